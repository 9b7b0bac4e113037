//! What the peer sends can be decoded, and is a packet that its side may send.
//!
//! MQTT 5.0 §2 and §3, 3.1.1 the same: the codec's error knows the rule that a malformed packet breaks. Directions: Table 2-1.

use mqttspec_codec::{Packet, Role, Version};

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
            Seen::Malformed(error) => vec![Breach {
                clauses: error.clause().into_iter().collect(),
                expected: A_PACKET.to_owned(),
                actual: format!("a malformed packet of the {peer}: {error}"),
            }],
            Seen::FromPeer(packet) if !may_send(peer, version, packet) => vec![Breach {
                clauses: DIRECTION.of(glance),
                expected: format!("packets that a {peer} may send in MQTT {version}"),
                actual: format!("{} from the {peer}", packet.packet_type()),
            }],
            _ => Vec::new(),
        }
    }

    fn forget_before(&mut self, _: ConnectionKey) {}
}

fn may_send(peer: Role, version: Version, packet: &Packet) -> bool {
    match packet {
        Packet::Connect(_) | Packet::Subscribe(_) | Packet::Unsubscribe(_) | Packet::PingReq => {
            peer == Role::Client
        }
        Packet::ConnAck(_) | Packet::SubAck(_) | Packet::UnsubAck(_) | Packet::PingResp => {
            peer == Role::Server
        }
        Packet::Disconnect(_) => peer == Role::Client || version == Version::V5,
        Packet::Auth(_) => version == Version::V5,
        Packet::Publish(_)
        | Packet::PubAck(_)
        | Packet::PubRec(_)
        | Packet::PubRel(_)
        | Packet::PubComp(_) => true,
    }
}
