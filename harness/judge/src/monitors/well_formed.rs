//! What the peer sends can be decoded, and is a packet that its side may send.
//!
//! MQTT 5.0 §2 and §3, 3.1.1 the same: the codec's error knows the rule that a malformed packet breaks. Directions: §2.1.2, 3.1.1 §2.2.1.

use mqttspec_codec::Misdeed;

use super::conversation::{Glance, Seen};
use super::{Breach, Clauses, Watcher};
use crate::history::ConnectionKey;

const DIRECTION: Clauses = Clauses::both(&["U5-156"], &["U3-016"]);

pub(super) const RULES: &[Clauses] = &[DIRECTION];

/// What the rule for malformed packets asks for, whose clause the codec names.
pub(super) const A_PACKET: &str = "bytes that are a packet as the standard defines it";

pub(super) struct WellFormed;

impl Watcher for WellFormed {
    fn see(&mut self, glance: &Glance<'_>) -> Vec<Breach> {
        let (peer, version) = (glance.peer, glance.version);
        match glance.seen {
            Seen::Malformed(error) if error.kind == Misdeed::WrongSender => vec![Breach {
                clauses: DIRECTION.of(glance),
                expected: format!("packets that a {peer} may send in MQTT {version}"),
                actual: format!("a packet of the other direction from the {peer}: {error}"),
            }],
            Seen::Malformed(error) => vec![Breach {
                clauses: error.clause().into_iter().collect(),
                expected: A_PACKET.to_owned(),
                actual: format!("a malformed packet of the {peer}: {error}"),
            }],
            _ => Vec::new(),
        }
    }

    fn forget_before(&mut self, _: ConnectionKey) {}
}
