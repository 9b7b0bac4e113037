//! Each packet of the peer can be decoded, and is one that its role may send.
//!
//! MQTT 5.0 §2 and §3, 3.1.1 the same: the codec's error names the clause that a malformed packet
//! violates. Directions: §2.1.2, 3.1.1 §2.2.1.

use mqttspec_codec::{Misdeed, Version};

use super::exchanges::Judgement;
use super::observation::{Observation, Seen};
use super::{Clauses, Monitor, Watcher};
use crate::finding::Finding;
use crate::history::ConnectionKey;

const DIRECTION: Clauses = Clauses::both(&["U5-156"], &["U3-016"]);

pub(super) const MONITOR: Monitor =
    Monitor { name: "well-formed packets", rules: &[DIRECTION], watcher: || Box::new(WellFormed) };

/// What the rule for malformed packets expects. The codec names its clause.
pub(super) const A_PACKET: &str = "bytes that are a packet as the standard defines it";

/// What only later versions forbid. 3.1 has strings of modified UTF-8.
const ALLOWED_IN_3_1: [Misdeed; 8] = [
    Misdeed::RemainingLengthNotMinimal,
    Misdeed::IllFormedUtf8,
    Misdeed::Surrogate,
    Misdeed::NullCharacter,
    Misdeed::WillTopicEmpty,
    Misdeed::DupWithQoSZero,
    Misdeed::TopicNameEmpty,
    Misdeed::TopicFilterEmpty,
];

struct WellFormed;

impl Watcher for WellFormed {
    fn see(&mut self, observation: &Observation<'_>, _: Judgement) -> Vec<Finding> {
        let (peer, version) = (observation.peer, observation.version);
        match observation.seen {
            Seen::Malformed(error) if error.kind == Misdeed::WrongSender => vec![observation.finding(
                &MONITOR,
                DIRECTION.of(observation),
                format!("packets that a {peer} may send in MQTT {version}"),
                format!("a packet of the other direction from the {peer}: {error}"),
            )],
            Seen::Malformed(error) if version == Version::V3_1 && ALLOWED_IN_3_1.contains(&error.kind) => {
                Vec::new()
            }
            Seen::Malformed(error) => vec![observation.finding(
                &MONITOR,
                error.clause().or_else(|| rule(error.kind)).as_slice(),
                A_PACKET,
                format!("a malformed packet of the {peer}: {error}"),
            )],
            _ => Vec::new(),
        }
    }

    fn forget_before(&mut self, _: ConnectionKey) {}
}

/// The catalogue's id for a rule that the text of 5.0 states without a number. 3.1.1 has no
/// properties.
fn rule(kind: Misdeed) -> Option<&'static str> {
    match kind {
        Misdeed::VariableByteIntegerTooLong => Some("U5-001"),
        Misdeed::PropertyUnknown | Misdeed::PropertyNotAllowed => Some("U5-008"),
        Misdeed::PropertyRepeated => Some("U5-011"),
        Misdeed::RequestProblemInformationInvalid
        | Misdeed::RequestResponseInformationInvalid
        | Misdeed::MaximumQoSInvalid
        | Misdeed::RetainAvailableInvalid
        | Misdeed::WildcardSubscriptionAvailableInvalid
        | Misdeed::SubscriptionIdentifierAvailableInvalid
        | Misdeed::SharedSubscriptionAvailableInvalid => Some("U5-013"),
        Misdeed::ReceiveMaximumZero
        | Misdeed::MaximumPacketSizeZero
        | Misdeed::SubscriptionIdentifierZero => Some("U5-014"),
        _ => None,
    }
}
