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

use crate::history::{ConnectionKey, Event, History};
use mqttspec_spec::Standard;

use crate::verdict::{Failure, FoundBy};
use conversation::{Conversations, Glance};

/// A rule that a peer broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The monitor that saw it.
    pub monitor: &'static str,
    /// The index of the event in the history by which it is certain.
    pub event: usize,
    /// The clauses of the connection's version; none where the rule has no number.
    pub clauses: Vec<&'static str>,
    /// What the rule asks for.
    pub expected: String,
    /// What happened instead, in words; the packet itself is in the event.
    pub actual: String,
}

/// Watches every connection of a run.
trait Watcher {
    /// Sees one thing that happened on a connection, and says what rule the peer broke by it.
    fn see(&mut self, glance: &Glance<'_>) -> Vec<Breach>;

    /// Drops what is known of the lane's connections before this one.
    fn forget_before(&mut self, connection: ConnectionKey);
}

/// What a watcher says of the event that it sees.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Breach {
    /// The clauses of the connection's version.
    clauses: Vec<&'static str>,
    expected: String,
    actual: String,
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
    fn of(self, glance: &Glance<'_>) -> Vec<&'static str> {
        let standard = if glance.version == Version::V5 { Standard::V5 } else { Standard::V3_1_1 };
        self.for_side(glance.peer, standard).to_vec()
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
        for (monitor, rules) in RULES {
            for (side, standard) in SIDES {
                if *monitor == WELL_FORMED {
                    all.push(Self { monitor, side, standard, clauses: Vec::new() });
                }
                for clauses in rules.iter().map(|clauses| clauses.for_side(side, standard)) {
                    let rule = Self { monitor, side, standard, clauses: clauses.to_vec() };
                    if !clauses.is_empty() && !all.contains(&rule) {
                        all.push(rule);
                    }
                }
            }
        }
        all
    }

    /// Whether a failure of a run against this side, in this version, is a report of this rule.
    #[must_use]
    pub fn is_reported_by(&self, failure: &Failure) -> bool {
        if failure.found_by != FoundBy::Monitor(self.monitor.to_owned()) {
            return false;
        }
        if self.clauses.is_empty() {
            return failure.expected == well_formed::A_PACKET;
        }
        failure
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

const WELL_FORMED: &str = "well-formed packets";
const PACKET_IDENTIFIERS: &str = "Packet Identifiers";
const HAND_SHAKES: &str = "QoS hand-shakes";
const ACKNOWLEDGEMENT_ORDER: &str = "order of acknowledgements";
const RECEIVE_MAXIMUM: &str = "Receive Maximum";
const MAXIMUM_PACKET_SIZE: &str = "Maximum Packet Size";
const TOPIC_ALIASES: &str = "Topic Aliases";

/// The rules of each monitor.
const RULES: &[(&str, &[Clauses])] = &[
    (WELL_FORMED, well_formed::RULES),
    (PACKET_IDENTIFIERS, packet_identifiers::RULES),
    (HAND_SHAKES, hand_shakes::RULES),
    (ACKNOWLEDGEMENT_ORDER, acknowledgement_order::RULES),
    (RECEIVE_MAXIMUM, receive_maximum::RULES),
    (MAXIMUM_PACKET_SIZE, maximum_packet_size::RULES),
    (TOPIC_ALIASES, topic_aliases::RULES),
];

/// Runs every monitor over a history; what they found, in the order in which it happened.
#[must_use]
pub fn judge(history: &History) -> Vec<Violation> {
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
    watchers: [(&'static str, Box<dyn Watcher>); 7],
    conversations: Conversations,
}

impl Default for Monitors {
    fn default() -> Self {
        Self {
            watchers: [
                (WELL_FORMED, Box::new(well_formed::WellFormed)),
                (PACKET_IDENTIFIERS, Box::<packet_identifiers::PacketIdentifiers>::default()),
                (HAND_SHAKES, Box::<hand_shakes::HandShakes>::default()),
                (ACKNOWLEDGEMENT_ORDER, Box::<acknowledgement_order::AcknowledgementOrder>::default()),
                (RECEIVE_MAXIMUM, Box::<receive_maximum::ReceiveMaximum>::default()),
                (MAXIMUM_PACKET_SIZE, Box::<maximum_packet_size::MaximumPacketSize>::default()),
                (TOPIC_ALIASES, Box::<topic_aliases::TopicAliases>::default()),
            ],
            conversations: Conversations::default(),
        }
    }
}

impl Monitors {
    /// Sees the next event, and says what rules the peer broke by it. `index` is its place in the history, whose lanes alone are read.
    pub fn see(&mut self, history: &History, index: usize, event: &Event) -> Vec<Violation> {
        let Some(glance) = self.conversations.glance(history, event) else { return Vec::new() };
        let mut violations = Vec::new();
        for (monitor, watcher) in &mut self.watchers {
            violations.extend(watcher.see(&glance).into_iter().map(|breach| Violation {
                monitor,
                event: index,
                clauses: breach.clauses,
                expected: breach.expected,
                actual: breach.actual,
            }));
        }
        violations
    }

    /// Forgets the lane's connections before this one, when nothing of them can come any more and what their Session holds has gone on
    /// to this one. Without it the memory of a live watch grows with each reconnect.
    pub fn forget_before(&mut self, connection: ConnectionKey) {
        self.conversations.forget_before(connection);
        self.watchers.iter_mut().for_each(|(_, watcher)| watcher.forget_before(connection));
    }
}

impl std::fmt::Debug for Monitors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Monitors").finish_non_exhaustive()
    }
}

/// Whether a connection belongs to another lane, or is not before `kept` in the same one.
fn outlives(connection: &ConnectionKey, kept: ConnectionKey) -> bool {
    connection.lane != kept.lane || connection.number >= kept.number
}
