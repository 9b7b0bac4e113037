//! What the peer sends can be decoded, and is a packet that its side may send.
//!
//! MQTT 5.0 §2 and §3, 3.1.1 the same: the codec's error knows the rule that a malformed packet breaks. Directions: §2.1.2, 3.1.1 §2.2.1.

use mqttspec_codec::Misdeed;

use super::conversation::{Glance, Seen};
use super::{Clauses, Monitor, Watcher};
use crate::finding::Finding;
use crate::history::ConnectionKey;

const DIRECTION: Clauses = Clauses::both(&["U5-156"], &["U3-016"]);

pub(super) const MONITOR: Monitor =
    Monitor { name: "well-formed packets", rules: &[DIRECTION], watcher: || Box::new(WellFormed) };

/// What the rule for malformed packets asks for, whose clause the codec names.
pub(super) const A_PACKET: &str = "bytes that are a packet as the standard defines it";

struct WellFormed;

impl Watcher for WellFormed {
    fn see(&mut self, glance: &Glance<'_>) -> Vec<Finding> {
        let (peer, version) = (glance.peer, glance.version);
        match glance.seen {
            Seen::Malformed(error) if error.kind == Misdeed::WrongSender => vec![glance.finding(
                &MONITOR,
                DIRECTION.of(glance),
                format!("packets that a {peer} may send in MQTT {version}"),
                format!("a packet of the other direction from the {peer}: {error}"),
            )],
            Seen::Malformed(error) => vec![glance.finding(
                &MONITOR,
                error.clause().as_slice(),
                A_PACKET,
                format!("a malformed packet of the {peer}: {error}"),
            )],
            _ => Vec::new(),
        }
    }

    fn forget_before(&mut self, _: ConnectionKey) {}
}
