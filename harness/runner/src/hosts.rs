//! The hosts of a scenario, and who acts on each: the executor, or a peer.

use std::collections::BTreeMap;
use std::sync::Arc;

use mqttspec_codec::Role;
use mqttspec_judge::history::{HostIndex, HostInfo};
use mqttspec_notation::{self as notation, Action, HostName, HostOption, Name, Scenario, StepKind};

pub(crate) use mqttspec_notation::SERVER;

/// The port of the server.
pub(crate) const PORT: u16 = 1883;

/// Who acts on a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PlayedBy {
    /// The executor, which executes only the lines of the scenario.
    Executor,
    /// A client or a broker.
    Peer,
}

/// The hosts of a scenario.
#[derive(Clone, Debug)]
pub(crate) struct Hosts {
    /// The hosts of clients, in the order in which the scenario names them.
    pub(crate) clients: Vec<ClientHost>,
    tests: Role,
    /// Whether the executor acts as the server: if a client is tested, and the scenario has the
    /// packets between it and its server. Otherwise a broker runs on the server's host.
    pub(crate) plays_server: bool,
}

/// The host of a client.
#[derive(Clone, Debug)]
pub(crate) struct ClientHost {
    pub(crate) name: Name,
    pub(crate) played_by: PlayedBy,
    /// Options of the client that runs here.
    pub(crate) options: Vec<HostOption>,
    /// Whether a step of the scenario connects the client. Otherwise it connects at the start.
    pub(crate) connects_when_told: bool,
}

impl Hosts {
    pub(crate) fn of(scenario: &Scenario, tests: Role) -> Self {
        let declared: Vec<Name> =
            scenario.clients.iter().flat_map(|declaration| expand(&declaration.names)).collect();
        let plays_server = tests == Role::Client && has_transcript(scenario, &declared);
        let mut clients: BTreeMap<Name, ClientHost> = BTreeMap::new();
        let mut order = Vec::new();
        let mut add = |name: &Name| {
            if name != SERVER && !clients.contains_key(name) {
                order.push(name.clone());
                let is_peer = plays_server || declared.contains(name);
                let played_by = if is_peer { PlayedBy::Peer } else { PlayedBy::Executor };
                let options = Vec::new();
                let client = ClientHost { name: name.clone(), played_by, options, connects_when_told: false };
                clients.insert(name.clone(), client);
            }
        };
        declared.iter().for_each(&mut add);
        scenario.walk(&mut |step| match &step.kind {
            StepKind::Line { host, .. }
            | StepKind::Verb { host, .. }
            | StepKind::Ask { host, .. }
            | StepKind::Told { host, .. } => {
                add(host);
            }
            StepKind::Fault(fault) => {
                names(&fault.hosts).iter().for_each(&mut add);
                fault.towards.iter().for_each(&mut add);
            }
            StepKind::Load(load) => names(&load.publishers).iter().for_each(&mut add),
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

    /// Whether the reference broker serves the clients under test.
    pub(crate) fn serves_tested_clients(&self) -> bool {
        self.tests == Role::Client && !self.plays_server
    }

    /// The hosts of clients as the history knows them.
    pub(crate) fn infos(&self) -> Vec<HostInfo> {
        let info = |client: &ClientHost| HostInfo {
            name: Arc::from(client.name.as_str()),
            observer: match (self.tests, client.played_by) {
                // A client under test is observed at its server's end.
                (Role::Client, PlayedBy::Peer) => Role::Server,
                _ => Role::Client,
            },
        };
        self.clients.iter().map(info).collect()
    }

    /// The role of the executor on the connections.
    pub(crate) fn observer(&self) -> Role {
        if self.plays_server { Role::Server } else { Role::Client }
    }

    /// The hosts of clients.
    pub(crate) fn indices(&self) -> impl Iterator<Item = HostIndex> + use<> {
        (0..u16::try_from(self.clients.len()).unwrap_or(u16::MAX)).map(HostIndex)
    }

    /// The host of a client by its name.
    pub(crate) fn index(&self, name: &str) -> Option<HostIndex> {
        let index = self.clients.iter().position(|client| client.name == name)?;
        u16::try_from(index).ok().map(HostIndex)
    }

    /// The name of a client's host.
    pub(crate) fn name(&self, host: HostIndex) -> &str {
        &self.clients[usize::from(host.0)].name
    }

    pub(crate) fn is_played_by(&self, host: &str, player: PlayedBy) -> bool {
        let client = self.clients.iter().find(|client| client.name == host);
        client.map_or(PlayedBy::Executor, |client| client.played_by) == player
    }

    /// The names of hosts in the notation; `all` means every client's host.
    pub(crate) fn named(&self, hosts: &notation::Hosts) -> Vec<Name> {
        match hosts {
            notation::Hosts::All => self.clients.iter().map(|client| client.name.clone()).collect(),
            notation::Hosts::Named(_) => names(hosts),
        }
    }

    /// A received line with its host and direction.
    pub(crate) fn directed(&self, host: HostIndex, content: &str) -> String {
        let sign = if self.observer() == Role::Client { '<' } else { '>' };
        format!("{} {sign} {content}", self.name(host))
    }
}

/// Whether a line has a packet between a client under test and its server. The declared clients are
/// tested, or all clients if none is declared.
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

fn names(hosts: &notation::Hosts) -> Vec<Name> {
    match hosts {
        notation::Hosts::All => Vec::new(),
        notation::Hosts::Named(names) => expand(names),
    }
}
