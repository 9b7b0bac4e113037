//! Monitors: rules that every Network Connection of every run must keep, whatever the scenario
//! asserts. Each file has one family of rules.
//!
//! A monitor reads the history once, after the run, and judges only the peer of the observer. It
//! reports only what is certain. An acknowledgement that was sent on a connection that then broke
//! may or may not have arrived, so both are allowed. Once the harness itself sends raw bytes or a
//! changed packet on a connection, that connection is not judged any more.

mod acknowledgement_order;
mod equal_messages;
mod exchanges;
mod frames;
mod handshakes;
mod maximum_packet_size;
mod observation;
mod packet_identifiers;
mod receive_maximum;
mod topic_aliases;
mod well_formed;

#[cfg(test)]
mod tests;

use mqttspec_codec::{Role, Version};
use mqttspec_spec::Standard;

use crate::finding::{Check, Finding};
use crate::history::{ConnectionKey, Event, History};
use exchanges::{Exchanges, Judgement};
use observation::{Connections, Observation};

/// A family of rules, in a file of its own. [`MONITORS`] lists them all.
struct Monitor {
    /// Its name in findings.
    name: &'static str,
    /// The clauses of each rule that it can report.
    rules: &'static [Clauses],
    /// Makes the state for one run.
    watcher: fn() -> Box<dyn Watcher>,
}

/// Every monitor, in the order in which they receive an event.
const MONITORS: [&Monitor; 8] = [
    &well_formed::MONITOR,
    &frames::MONITOR,
    &packet_identifiers::MONITOR,
    &handshakes::MONITOR,
    &acknowledgement_order::MONITOR,
    &receive_maximum::MONITOR,
    &maximum_packet_size::MONITOR,
    &topic_aliases::MONITOR,
];

/// The state of a monitor during a run.
trait Watcher {
    /// Receives one event of a connection, with the judgement on it as part of an exchange. Returns
    /// the rules that it violates.
    fn see(&mut self, observation: &Observation<'_>, judgement: Judgement) -> Vec<Finding>;

    /// Drops the state of the host's earlier connections.
    fn forget_before(&mut self, connection: ConnectionKey);
}

/// The clauses of one rule, by version and by the role that must obey. Empty if the version has no
/// clause for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Clauses {
    server_5: &'static [&'static str],
    client_5: &'static [&'static str],
    server_3_1_1: &'static [&'static str],
    client_3_1_1: &'static [&'static str],
}

impl Clauses {
    /// A rule with the same clauses for both roles.
    const fn both(v5: &'static [&'static str], v3_1_1: &'static [&'static str]) -> Self {
        Self { server_5: v5, client_5: v5, server_3_1_1: v3_1_1, client_3_1_1: v3_1_1 }
    }

    /// Those that the judged end of the connection must obey; for 3.1, those of 3.1.1.
    fn of(self, observation: &Observation<'_>) -> &'static [&'static str] {
        self.for_role(observation.peer, Standard::of(observation.version))
    }

    fn for_role(self, role: Role, standard: Standard) -> &'static [&'static str] {
        match (standard, role) {
            (Standard::V5, Role::Server) => self.server_5,
            (Standard::V5, Role::Client) => self.client_5,
            (Standard::V3_1 | Standard::V3_1_1, Role::Server) => self.server_3_1_1,
            (Standard::V3_1 | Standard::V3_1_1, Role::Client) => self.client_3_1_1,
        }
    }
}

/// A rule that a monitor checks, for one role in one version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// The monitor.
    pub monitor: &'static str,
    /// The role that must obey.
    pub role: Role,
    /// The version of the clauses.
    pub standard: Standard,
    /// The cited clauses; none for malformed packets, whose clause the codec names.
    pub clauses: Vec<&'static str>,
}

impl Rule {
    /// Every rule that the monitors can report, in their order.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for Monitor { name, rules, .. } in MONITORS {
            for (role, standard) in ROLES {
                if *name == well_formed::MONITOR.name {
                    all.push(Self { monitor: name, role, standard, clauses: Vec::new() });
                }
                for clauses in rules.iter().map(|clauses| clauses.for_role(role, standard)) {
                    let rule = Self { monitor: name, role, standard, clauses: clauses.to_vec() };
                    if !clauses.is_empty() && !all.contains(&rule) {
                        all.push(rule);
                    }
                }
            }
        }
        all
    }

    /// Whether a finding about this role, in this version, reports this rule.
    #[must_use]
    pub fn is_reported_by(&self, finding: &Finding) -> bool {
        if finding.check != Check::Monitor(self.monitor.to_owned()) {
            return false;
        }
        if self.clauses.is_empty() {
            return finding.expected == well_formed::A_PACKET;
        }
        finding
            .requirements
            .iter()
            .map(|requirement| requirement.clause.as_str())
            .eq(self.clauses.iter().copied())
    }
}

const ROLES: [(Role, Standard); 4] = [
    (Role::Server, Standard::V5),
    (Role::Server, Standard::V3_1_1),
    (Role::Client, Standard::V5),
    (Role::Client, Standard::V3_1_1),
];

/// Runs every monitor over a history. Returns their findings in the order of the events.
#[must_use]
pub fn judge(history: &History) -> Vec<Finding> {
    let mut monitors = Monitors::default();
    let mut findings = Vec::new();
    for (index, event) in history.events().iter().enumerate() {
        findings.append(&mut monitors.see(history, index, event));
    }
    findings
}

/// All monitors, and their state after part of a history: for live traffic, which is judged as it
/// happens.
pub struct Monitors {
    watchers: [Box<dyn Watcher>; MONITORS.len()],
    connections: Connections,
    exchanges: Exchanges,
}

impl Default for Monitors {
    fn default() -> Self {
        Self {
            watchers: MONITORS.map(|monitor| (monitor.watcher)()),
            connections: Connections::default(),
            exchanges: Exchanges::default(),
        }
    }
}

impl Monitors {
    /// Receives the next event, and returns the rules that it violates. `index` is its index in the
    /// history. Its hosts are read; its events may be left out, and then fewer clauses are certain.
    pub fn see(&mut self, history: &History, index: usize, event: &Event) -> Vec<Finding> {
        let Some(observation) = self.connections.observe(history, index, event) else { return Vec::new() };
        let judgement = self.exchanges.follow(&observation);
        let mut findings = Vec::new();
        for watcher in &mut self.watchers {
            findings.append(&mut watcher.see(&observation, judgement));
        }
        findings.retain(|finding| has_its_rule(observation.version, finding));
        findings
    }

    /// Drops the state of the host's earlier connections, once no event of them can follow and
    /// their Session has been resumed by this one. Without this, the memory for live traffic grows
    /// with each reconnect.
    pub fn forget_before(&mut self, connection: ConnectionKey) {
        self.connections.forget_before(connection);
        self.exchanges.forget_before(connection);
        self.watchers.iter_mut().for_each(|watcher| watcher.forget_before(connection));
    }
}

impl std::fmt::Debug for Monitors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Monitors").finish_non_exhaustive()
    }
}

/// Whether the version has the rule that a finding reports. The monitors know those of 3.1.1, of
/// which 3.1 has some. Bytes that are no packet are none in any version.
fn has_its_rule(version: Version, finding: &Finding) -> bool {
    version != Version::V3_1 || !finding.requirements.is_empty() || finding.expected == well_formed::A_PACKET
}
