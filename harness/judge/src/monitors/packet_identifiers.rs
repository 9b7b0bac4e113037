//! A Packet Identifier is not used again before its exchange is complete, and an answer carries the identifier of what it answers.
//!
//! MQTT 5.0 §2.2.1, §3.8.4, §3.10.4; 3.1.1 §2.3.1. An identifier of 0 is a malformed packet: see `well_formed`.

use std::collections::BTreeMap;

use mqttspec_codec::{Packet, PacketIdentifier, Role};

use super::conversation::{Glance, Seen};
use super::exchanges::{Exchanges, Judgement};
use super::{Clauses, Monitor, Watcher, outlives};
use crate::finding::Finding;
use crate::history::ConnectionKey;

const UNUSED: Clauses = Clauses {
    server_5: &["MQTT-2.2.1-4"],
    client_5: &["MQTT-2.2.1-3"],
    server_3_1_1: &["MQTT-2.3.1-4"],
    client_3_1_1: &["MQTT-2.3.1-2"],
};
const SUBACK: Clauses = of_servers(&["MQTT-2.2.1-6", "MQTT-3.8.4-2"], &["MQTT-2.3.1-7", "MQTT-3.8.4-2"]);
const UNSUBACK: Clauses = of_servers(&["MQTT-2.2.1-6", "MQTT-3.10.4-5"], &["MQTT-2.3.1-7", "MQTT-3.10.4-4"]);

/// A Client has nothing to answer in this way: `well_formed` knows that.
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
    exchanges: Exchanges,
    /// SUBSCRIBE and UNSUBSCRIBE packets that were sent to the peer and not answered, for each connection.
    subscribes: BTreeMap<ConnectionKey, Vec<PacketIdentifier>>,
    unsubscribes: BTreeMap<ConnectionKey, Vec<PacketIdentifier>>,
}

impl Watcher for PacketIdentifiers {
    fn see(&mut self, glance: &Glance<'_>) -> Vec<Finding> {
        let judgement = self.exchanges.follow(glance);
        let subscribes = self.subscribes.entry(glance.connection).or_default();
        let unsubscribes = self.unsubscribes.entry(glance.connection).or_default();
        match glance.seen {
            Seen::ToPeer(Packet::Subscribe(subscribe)) => subscribes.push(subscribe.id),
            Seen::ToPeer(Packet::Unsubscribe(unsubscribe)) => unsubscribes.push(unsubscribe.id),
            Seen::FromPeer(Packet::SubAck(_) | Packet::UnsubAck(_)) if glance.peer == Role::Client => {}
            Seen::FromPeer(Packet::SubAck(ack)) if !take(subscribes, ack.id) => {
                return vec![unasked(glance, SUBACK, "SUBACK", "SUBSCRIBE", ack.id)];
            }
            Seen::FromPeer(Packet::UnsubAck(ack)) if !take(unsubscribes, ack.id) => {
                return vec![unasked(glance, UNSUBACK, "UNSUBACK", "UNSUBSCRIBE", ack.id)];
            }
            Seen::FromPeer(packet) if judgement == Judgement::IdentifierInUse => {
                let id = identifier(packet).map_or_else(String::new, |id| id.to_string());
                return vec![glance.finding(
                    &MONITOR,
                    UNUSED.of(glance),
                    "a Packet Identifier that is not in use",
                    format!(
                        "a new {} of the {} with Packet Identifier {id}, whose exchange is not complete",
                        packet.packet_type(),
                        glance.peer
                    ),
                )];
            }
            _ => {}
        }
        Vec::new()
    }

    fn forget_before(&mut self, kept: ConnectionKey) {
        self.exchanges.forget_before(kept);
        self.subscribes.retain(|connection, _| outlives(connection, kept));
        self.unsubscribes.retain(|connection, _| outlives(connection, kept));
    }
}

fn take(waiting: &mut Vec<PacketIdentifier>, id: PacketIdentifier) -> bool {
    let found = waiting.iter().position(|waiting| *waiting == id);
    found.map(|index| waiting.remove(index)).is_some()
}

fn unasked(
    glance: &Glance<'_>,
    clauses: Clauses,
    answer: &str,
    question: &str,
    id: PacketIdentifier,
) -> Finding {
    glance.finding(
        &MONITOR,
        clauses.of(glance),
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
