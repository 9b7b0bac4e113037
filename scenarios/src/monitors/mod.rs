//! Monitors: rules that hold on every Network Connection of every run, whatever the scenario asserts. One family a file.
//!
//! A monitor reads the history once, after the run, and judges only the peer at the other end of the observer's wire. It counts nothing that the peer
//! cannot be held to: an acknowledgement that was sent on a connection that then broke may or may not have arrived, so both are
//! allowed; once the harness itself misbehaves on a connection (raw bytes, changed packets), the connection is not judged any more.

mod acknowledgement_order;
mod conversation;
mod exchanges;
mod hand_shakes;
mod packet_identifiers;
mod receive_maximum;
mod well_formed;

#[cfg(test)]
mod tests;

use mqttspec_codec::{Role, Version};

use crate::history::History;
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
        match (glance.version, glance.peer) {
            (Version::V5, Role::Server) => self.server_5,
            (Version::V5, Role::Client) => self.client_5,
            (_, Role::Server) => self.server_3_1_1,
            (_, Role::Client) => self.client_3_1_1,
        }
        .to_vec()
    }
}

/// Runs every monitor over a history; what they found, in the order in which it happened.
#[must_use]
pub fn judge(history: &History) -> Vec<Violation> {
    type Named = (&'static str, Box<dyn Watcher>);
    let mut watchers: [Named; 5] = [
        ("well-formed packets", Box::new(well_formed::WellFormed)),
        ("Packet Identifiers", Box::<packet_identifiers::PacketIdentifiers>::default()),
        ("QoS hand-shakes", Box::<hand_shakes::HandShakes>::default()),
        ("order of acknowledgements", Box::<acknowledgement_order::AcknowledgementOrder>::default()),
        ("Receive Maximum", Box::<receive_maximum::ReceiveMaximum>::default()),
    ];
    let mut violations = Vec::new();
    let mut conversations = Conversations::default();
    for (index, event) in history.events().iter().enumerate() {
        let Some(glance) = conversations.glance(history, event) else { continue };
        for (monitor, watcher) in &mut watchers {
            violations.extend(watcher.see(&glance).into_iter().map(|breach| Violation {
                monitor,
                event: index,
                clauses: breach.clauses,
                expected: breach.expected,
                actual: breach.actual,
            }));
        }
    }
    violations
}
