//! A Packet Identifier is not used again before its exchange is complete, and an answer carries the
//! identifier of its request.
//!
//! MQTT 5.0 §2.2.1, §3.8.4, §3.10.4; 3.1.1 §2.3.1. An identifier of 0 is a malformed packet: see
//! `well_formed`.

use mqttspec_codec::{Packet, PacketIdentifier, Role};

use super::exchanges::Judgement;
use super::observation::{Observation, Seen};
use super::{Clauses, Monitor, Watcher};
use crate::finding::Finding;
use crate::history::ConnectionKey;
use crate::per_connection::PerConnection;

const UNUSED: Clauses = Clauses {
    server_5: &["MQTT-2.2.1-4"],
    client_5: &["MQTT-2.2.1-3"],
    server_3_1_1: &["MQTT-2.3.1-4"],
    client_3_1_1: &["MQTT-2.3.1-2"],
};
const SUBACK: Clauses = of_servers(&["MQTT-2.2.1-6", "MQTT-3.8.4-2"], &["MQTT-2.3.1-7", "MQTT-3.8.4-2"]);
const UNSUBACK: Clauses = of_servers(&["MQTT-2.2.1-6", "MQTT-3.10.4-5"], &["MQTT-2.3.1-7", "MQTT-3.10.4-4"]);

/// A Client never sends these packets: see `well_formed`.
const fn of_servers(v5: &'static [&'static str], v3_1_1: &'static [&'static str]) -> Clauses {
    Clauses { server_5: v5, client_5: &[], server_3_1_1: v3_1_1, client_3_1_1: &[] }
}

pub(super) const MONITOR: Monitor = Monitor {
    name: "Packet Identifiers",
    rules: &[UNUSED, SUBACK, UNSUBACK],
    watcher: || Box::<PacketIdentifiers>::default(),
};

#[derive(Default)]
struct PacketIdentifiers {
    /// SUBSCRIBE packets that the peer has not answered, for each connection.
    subscribes: PerConnection<Vec<PacketIdentifier>>,
    /// The same of UNSUBSCRIBE packets.
    unsubscribes: PerConnection<Vec<PacketIdentifier>>,
}

impl Watcher for PacketIdentifiers {
    fn see(&mut self, observation: &Observation<'_>, judgement: Judgement) -> Vec<Finding> {
        match observation.seen {
            Seen::ToPeer(Packet::Subscribe(subscribe)) => {
                self.subscribes.get_or_default(observation.connection).push(subscribe.id);
            }
            Seen::ToPeer(Packet::Unsubscribe(unsubscribe)) => {
                self.unsubscribes.get_or_default(observation.connection).push(unsubscribe.id);
            }
            Seen::FromPeer(Packet::SubAck(_) | Packet::UnsubAck(_)) if observation.peer == Role::Client => {}
            Seen::FromPeer(Packet::SubAck(ack))
                if !take(self.subscribes.get_mut(observation.connection), ack.id) =>
            {
                return vec![unasked(observation, SUBACK, "SUBACK", "SUBSCRIBE", ack.id)];
            }
            Seen::FromPeer(Packet::UnsubAck(ack))
                if !take(self.unsubscribes.get_mut(observation.connection), ack.id) =>
            {
                return vec![unasked(observation, UNSUBACK, "UNSUBACK", "UNSUBSCRIBE", ack.id)];
            }
            Seen::FromPeer(packet) if judgement == Judgement::IdentifierInUse => {
                let id = identifier(packet).map_or_else(String::new, |id| id.to_string());
                return vec![observation.finding(
                    &MONITOR,
                    UNUSED.of(observation),
                    "a Packet Identifier that is not in use",
                    format!(
                        "a new {} of the {} with Packet Identifier {id}, whose exchange is not complete",
                        packet.packet_type(),
                        observation.peer
                    ),
                )];
            }
            _ => {}
        }
        Vec::new()
    }

    fn forget_before(&mut self, kept: ConnectionKey) {
        self.subscribes.forget_before(kept);
        self.unsubscribes.forget_before(kept);
    }
}

fn take(waiting: Option<&mut Vec<PacketIdentifier>>, id: PacketIdentifier) -> bool {
    let Some(waiting) = waiting else { return false };
    let found = waiting.iter().position(|waiting| *waiting == id);
    found.map(|index| waiting.remove(index)).is_some()
}

fn unasked(
    observation: &Observation<'_>,
    clauses: Clauses,
    answer: &str,
    question: &str,
    id: PacketIdentifier,
) -> Finding {
    observation.finding(
        &MONITOR,
        clauses.of(observation),
        format!("a {answer} with the Packet Identifier of a {question} that waits for it"),
        format!("a {answer} with Packet Identifier {id}, for which no {question} waits"),
    )
}

fn identifier(packet: &Packet) -> Option<PacketIdentifier> {
    match packet {
        Packet::Publish(publish) => publish.delivery.packet_identifier(),
        Packet::Subscribe(subscribe) => Some(subscribe.id),
        Packet::Unsubscribe(unsubscribe) => Some(unsubscribe.id),
        _ => None,
    }
}
