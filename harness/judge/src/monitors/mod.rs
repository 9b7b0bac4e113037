//! Monitors: rules that hold on every Network Connection of every run, whatever the scenario asserts. One family a file.
//!
//! A monitor reads the history once, after the run, and judges only the peer at the other end of the observer's wire. It counts nothing that the peer
//! cannot be held to: an acknowledgement that was sent on a connection that then broke may or may not have arrived, so both are
//! allowed; once the harness itself misbehaves on a connection (raw bytes, changed packets), the connection is not judged any more.

mod acknowledgement_order;
mod conversation;
mod exchanges;
mod hand_shakes;
mod maximum_packet_size;
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
use conversation::{Conversations, Glance};

/// A family of rules. Each stands in a file of its own; [`MONITORS`] names them all.
struct Monitor {
    /// Its name in findings.
    name: &'static str,
    /// The clauses of every rule that it can report.
    rules: &'static [Clauses],
    /// What watches one run.
    watcher: fn() -> Box<dyn Watcher>,
}

/// Every monitor, in the order in which they see an event.
const MONITORS: [&Monitor; 7] = [
    &well_formed::MONITOR,
    &packet_identifiers::MONITOR,
    &hand_shakes::MONITOR,
    &acknowledgement_order::MONITOR,
    &receive_maximum::MONITOR,
    &maximum_packet_size::MONITOR,
    &topic_aliases::MONITOR,
];

/// Watches every connection of a run.
trait Watcher {
    /// Sees one event of a connection, and returns what is wrong with it.
    fn see(&mut self, glance: &Glance<'_>) -> Vec<Finding>;

    /// Drops what is known of the host's connections before this one.
    fn forget_before(&mut self, connection: ConnectionKey);
}

/// The clauses of one rule, by version and by the side that must obey. Empty where the version has no number for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Clauses {
    server_5: &'static [&'static str],
    client_5: &'static [&'static str],
    server_3_1_1: &'static [&'static str],
    client_3_1_1: &'static [&'static str],
}

impl Clauses {
    /// A rule that both sides obey under the same number.
    const fn both(v5: &'static [&'static str], v3_1_1: &'static [&'static str]) -> Self {
        Self { server_5: v5, client_5: v5, server_3_1_1: v3_1_1, client_3_1_1: v3_1_1 }
    }

    /// Those that the judged side of the connection must obey.
    fn of(self, glance: &Glance<'_>) -> &'static [&'static str] {
        let standard = if glance.version == Version::V5 { Standard::V5 } else { Standard::V3_1_1 };
        self.for_side(glance.peer, standard)
    }

    fn for_side(self, side: Role, standard: Standard) -> &'static [&'static str] {
        match (standard, side) {
            (Standard::V5, Role::Server) => self.server_5,
            (Standard::V5, Role::Client) => self.client_5,
            (Standard::V3_1_1, Role::Server) => self.server_3_1_1,
            (Standard::V3_1_1, Role::Client) => self.client_3_1_1,
        }
    }
}

/// Something that a monitor can report, of one side in one version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// The monitor.
    pub monitor: &'static str,
    /// The side that must obey.
    pub side: Role,
    /// The version whose clauses these are.
    pub standard: Standard,
    /// The clauses that it cites; none for malformed packets, of which the codec names the clause.
    pub clauses: Vec<&'static str>,
}

impl Rule {
    /// Everything that the monitors can report, in their order.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for Monitor { name, rules, .. } in MONITORS {
            for (side, standard) in SIDES {
                if *name == well_formed::MONITOR.name {
                    all.push(Self { monitor: name, side, standard, clauses: Vec::new() });
                }
                for clauses in rules.iter().map(|clauses| clauses.for_side(side, standard)) {
                    let rule = Self { monitor: name, side, standard, clauses: clauses.to_vec() };
                    if !clauses.is_empty() && !all.contains(&rule) {
                        all.push(rule);
                    }
                }
            }
        }
        all
    }

    /// Whether a finding about this side, in this version, reports this rule.
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

const SIDES: [(Role, Standard); 4] = [
    (Role::Server, Standard::V5),
    (Role::Server, Standard::V3_1_1),
    (Role::Client, Standard::V5),
    (Role::Client, Standard::V3_1_1),
];

/// Runs every monitor over a history. Returns their findings in the order of the events.
#[must_use]
pub fn judge(history: &History) -> Vec<Finding> {
    let mut monitors = Monitors::default();
    history
        .events()
        .iter()
        .enumerate()
        .flat_map(|(index, event)| monitors.see(history, index, event))
        .collect()
}

/// Every monitor, in the middle of a history that goes on: for live traffic, which is judged while it happens.
pub struct Monitors {
    watchers: [Box<dyn Watcher>; MONITORS.len()],
    conversations: Conversations,
}

impl Default for Monitors {
    fn default() -> Self {
        Self {
            watchers: MONITORS.map(|monitor| (monitor.watcher)()),
            conversations: Conversations::default(),
        }
    }
}

impl Monitors {
    /// Sees the next event, and returns what is wrong with it. `index` is its place in the history, of which only the hosts are read.
    pub fn see(&mut self, history: &History, index: usize, event: &Event) -> Vec<Finding> {
        let Some(glance) = self.conversations.glance(history, index, event) else { return Vec::new() };
        self.watchers.iter_mut().flat_map(|watcher| watcher.see(&glance)).collect()
    }

    /// Forgets the host's connections before this one, when nothing of them can come any more and what their Session holds has gone on
    /// to this one. Without it the memory of a live watch grows with each reconnect.
    pub fn forget_before(&mut self, connection: ConnectionKey) {
        self.conversations.forget_before(connection);
        self.watchers.iter_mut().for_each(|watcher| watcher.forget_before(connection));
    }
}

impl std::fmt::Debug for Monitors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Monitors").finish_non_exhaustive()
    }
}

/// Whether a connection belongs to another host, or is not before `kept` in the same one.
fn outlives(connection: &ConnectionKey, kept: ConnectionKey) -> bool {
    connection.host != kept.host || connection.number >= kept.number
}
