//! Checks that every host acts, that faults and properties name such hosts, and that the scenario
//! asserts something.

use std::collections::BTreeMap;

use super::Checker;
use crate::SERVER;
use crate::vocabulary::nearest;
use crate::{Content, Direction, Hosts, Name, Roles, Span, Step, StepKind};

/// The host of the server, which needs no line of its own.

#[derive(Default)]
struct Cast {
    /// Every host, the position of its first use, and whether it acts.
    hosts: BTreeMap<Name, (Span, bool)>,
    /// The hosts that faults, properties and loads name.
    named: Vec<(Name, Span)>,
    asserts: bool,
}

impl Cast {
    fn host(&mut self, name: &str, span: Span, acts: bool) {
        let (_, acted) = self.hosts.entry(name.to_owned()).or_insert((span, false));
        *acted |= acts;
    }

    fn group(&mut self, hosts: &Hosts, span: Span) -> Vec<Name> {
        match hosts {
            Hosts::All => Vec::new(),
            Hosts::Named(names) => {
                let names: Vec<Name> = names.iter().flat_map(crate::HostName::expand).collect();
                self.named.extend(names.iter().map(|name| (name.clone(), span)));
                names
            }
        }
    }
}

impl Checker<'_> {
    pub(super) fn hosts(&mut self) {
        let scenario = self.scenario;
        let mut cast = Cast::default();
        let mut declared = Vec::new();
        for client in &scenario.clients {
            for name in client.names.iter().flat_map(crate::HostName::expand) {
                if declared.contains(&name) || name == SERVER {
                    self.error(client.span, format!("the host `{name}` exists already"));
                }
                cast.host(&name, client.span, false);
                declared.push(name);
            }
        }
        scenario.walk(&mut |step| self.step(step, &declared, &mut cast));
        self.cast(&cast);
    }

    fn step(&mut self, step: &Step, declared: &[Name], cast: &mut Cast) {
        let is_reference = |host: &Name| declared.contains(host);
        match &step.kind {
            StepKind::Line { host, direction, content } => {
                let acts = *direction == Direction::ToServer && !matches!(content, Content::Nothing { .. });
                cast.host(host, step.span, acts);
                cast.asserts |= self.is_expected(*direction) && !matches!(content, Content::Anything);
                self.is_no_server(host, step.span);
                if is_reference(host) && self.scenario.tests == Roles::Server {
                    self.error(step.span, format!("`{host}` runs the reference client, whose packets the harness neither sends nor sees"))
                        .help = Some("use a verb (`connects`, `receives`), `ask`, `told`, or `tests client`".to_owned());
                }
            }
            StepKind::Verb { host, action } => {
                cast.host(host, step.span, true);
                cast.asserts |= action.expects();
                self.is_no_server(host, step.span);
                if self.scenario.tests == Roles::Client && !is_reference(host) {
                    self.error(
                        step.span,
                        "the harness plays the server here, so it has no client of its own",
                    )
                    .help = Some(format!(
                        "`ask {host} …` gives the client under test a command; lines `{host} > …` are packets that it must send"
                    ));
                }
            }
            StepKind::Ask { host, .. } | StepKind::Told { host, .. } => {
                cast.host(host, step.span, matches!(step.kind, StepKind::Ask { .. }));
                cast.asserts |= matches!(step.kind, StepKind::Told { .. });
                self.is_no_server(host, step.span);
                if self.scenario.tests == Roles::Server && !is_reference(host) {
                    self.error(
                        step.span,
                        format!("`{host}` is not a client under test or a reference client"),
                    )
                    .help = Some(format!("write `tests client` or `client {host} reference` in the header"));
                }
            }
            StepKind::Load(load) => {
                let publishers = cast.group(&load.publishers, step.span);
                for host in publishers {
                    cast.host(&host, step.span, true);
                }
            }
            StepKind::Fault(fault) => {
                cast.group(&fault.hosts, step.span);
                cast.named.extend(fault.towards.iter().map(|host| (host.clone(), step.span)));
            }
            StepKind::Property(property) => {
                cast.asserts = true;
                cast.named.extend(property.host.iter().map(|host| (host.clone(), step.span)));
            }
            _ => {}
        }
    }

    fn is_no_server(&mut self, host: &str, span: Span) {
        if host == SERVER {
            self.error(span, "a line starts with the host of a client").help = Some(
                "`device < …` is sent by the server to `device`, `device > …` by `device` to the server"
                    .to_owned(),
            );
        }
    }

    fn cast(&mut self, cast: &Cast) {
        for (name, (span, acts)) in &cast.hosts {
            if !acts && name != SERVER {
                let others = cast.hosts.iter().filter(|(_, (_, acts))| *acts).map(|(name, _)| name.as_str());
                let near = nearest(name, others);
                let error = self.error(*span, format!("`{name}` never acts"));
                error.label = "it can never be observed".to_owned();
                error.help = Some(match near {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("give it a line like `{name} connects`"),
                });
            }
        }
        for (name, span) in &cast.named {
            if name != SERVER && !cast.hosts.contains_key(name) {
                let near = nearest(name, cast.hosts.keys().map(String::as_str).chain([SERVER]));
                let error = self.error(*span, format!("`{name}` never acts"));
                error.label = "no line of the file starts with this host".to_owned();
                error.help = near.map(|near| format!("did you mean `{near}`?"));
            }
        }
        if !cast.asserts {
            let at = self.scenario.steps.last().map_or(Span::new(0, 0), |step| step.span);
            self.error(at, "the scenario asserts nothing").help = Some(
                "expect a packet (`watcher < PUBLISH …`), `nothing`, or a property of the whole run"
                    .to_owned(),
            );
        }
    }
}
