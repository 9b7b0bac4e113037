//! Who plays whom: which hosts a scenario has, and whether the harness or a reference peer is on each.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use mqttspec_codec::Role;

use super::connection::Connection;
use mqttspec_judge::history::LaneInfo;
use mqttspec_notation::{Action, HostName, HostOption, Hosts, Name, Scenario, StepKind};

pub(crate) use mqttspec_notation::SERVER;

/// The port of the server.
pub(crate) const PORT: u16 = 1883;

/// Connections that the harness plays, by lane.
pub(crate) type Connections = Rc<RefCell<Vec<Option<Connection>>>>;

/// Who is on a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The harness: it does and sees what the transcript says, and nothing by itself.
    Played,
    /// The reference client or the reference broker.
    Reference,
}

/// The hosts of a scenario.
#[derive(Clone, Debug)]
pub(crate) struct Cast {
    /// The clients' hosts, in the order in which the scenario names them.
    pub(crate) clients: Vec<Client>,
    tests: Role,
    /// Whether the harness is the server: a client is tested, and the transcript says what passes between it and its server. Otherwise the
    /// reference broker is there.
    pub(crate) plays_server: bool,
}

/// A client's host.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) name: Name,
    pub(crate) part: Part,
    /// Options of the reference client.
    pub(crate) options: Vec<HostOption>,
    /// Whether the scenario itself says when the client connects; otherwise it does so from the start.
    pub(crate) connects_when_told: bool,
}

impl Cast {
    pub(crate) fn of(scenario: &Scenario, tests: Role) -> Self {
        let declared: Vec<Name> =
            scenario.clients.iter().flat_map(|declaration| expand(&declaration.names)).collect();
        let plays_server = tests == Role::Client && has_transcript(scenario, &declared);
        let mut clients: BTreeMap<Name, Client> = BTreeMap::new();
        let mut order = Vec::new();
        let mut meet = |name: &Name| {
            if name != SERVER && !clients.contains_key(name) {
                order.push(name.clone());
                let reference = plays_server || declared.contains(name);
                let part = if reference { Part::Reference } else { Part::Played };
                let options = Vec::new();
                let client = Client { name: name.clone(), part, options, connects_when_told: false };
                clients.insert(name.clone(), client);
            }
        };
        declared.iter().for_each(&mut meet);
        scenario.walk(&mut |step| match &step.kind {
            StepKind::Line { host, .. }
            | StepKind::Verb { host, .. }
            | StepKind::Ask { host, .. }
            | StepKind::Told { host, .. } => {
                meet(host);
            }
            StepKind::Fault(fault) => {
                names(&fault.hosts).iter().for_each(&mut meet);
                fault.towards.iter().for_each(&mut meet);
            }
            StepKind::Load(load) => names(&load.publishers).iter().for_each(&mut meet),
            _ => {}
        });
        for declaration in &scenario.clients {
            for name in expand(&declaration.names) {
                if let Some(client) = clients.get_mut(&name) {
                    client.options.extend(declaration.options.iter().cloned());
                }
            }
        }
        scenario.walk(&mut |step| {
            if let StepKind::Verb { host, action: Action::Connects { .. } }
            | StepKind::Ask { host, action: Action::Connects { .. } } = &step.kind
                && let Some(client) = clients.get_mut(host)
            {
                client.connects_when_told = true;
            }
        });
        Self { clients: order.iter().filter_map(|name| clients.remove(name)).collect(), tests, plays_server }
    }

    pub(crate) fn lanes(&self) -> Vec<LaneInfo> {
        let lane = |client: &Client| LaneInfo {
            name: Arc::from(client.name.as_str()),
            observer: match (self.tests, client.part) {
                // A client that is tested is judged from its server's end.
                (Role::Client, Part::Reference) => Role::Server,
                _ => Role::Client,
            },
        };
        self.clients.iter().map(lane).collect()
    }

    pub(crate) fn part(&self, host: &str) -> Part {
        let client = self.clients.iter().find(|client| client.name == host);
        client.map_or(Part::Played, |client| client.part)
    }

    /// The names of the hosts that something is about; `all` is every client's host.
    pub(crate) fn hosts(&self, hosts: &Hosts) -> Vec<Name> {
        match hosts {
            Hosts::All => self.clients.iter().map(|client| client.name.clone()).collect(),
            Hosts::Named(_) => names(hosts),
        }
    }
}

/// Whether a line says what passes between a tested client and its server. Roles are the declared clients, or all where none is declared.
fn has_transcript(scenario: &Scenario, declared: &[Name]) -> bool {
    let mut has = false;
    scenario.walk(&mut |step| {
        if let StepKind::Line { host, .. } = &step.kind {
            has |= declared.is_empty() || declared.contains(host);
        }
    });
    has
}

fn expand(names: &[HostName]) -> Vec<Name> {
    names.iter().flat_map(HostName::expand).collect()
}

fn names(hosts: &Hosts) -> Vec<Name> {
    match hosts {
        Hosts::All => Vec::new(),
        Hosts::Named(names) => expand(names),
    }
}
