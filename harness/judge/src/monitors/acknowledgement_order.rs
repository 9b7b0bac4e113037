//! A Client sends acknowledgements in the order of the packets that they acknowledge.
//!
//! MQTT 5.0 and 3.1.1 §4.6: PUBACK and PUBREC in the order of the PUBLISH packets, PUBREL in the
//! order of the PUBREC packets. The clauses bind the Client; a Server's order of acknowledgements
//! is not judged.

use std::collections::VecDeque;

use mqttspec_codec::{Packet, PacketIdentifier, QoS, Role};

use super::exchanges::Judgement;
use super::observation::{Observation, Seen};
use super::{Clauses, Monitor, Watcher};
use crate::finding::Finding;
use crate::history::ConnectionKey;
use crate::per_connection::PerConnection;

const PUBACK: Clauses = of_clients(&["MQTT-4.6.0-2"]);
const PUBREC: Clauses = of_clients(&["MQTT-4.6.0-3"]);
const PUBREL: Clauses = of_clients(&["MQTT-4.6.0-4"]);

pub(super) const MONITOR: Monitor = Monitor {
    name: "order of acknowledgements",
    rules: &[PUBACK, PUBREC, PUBREL],
    watcher: || Box::<AcknowledgementOrder>::default(),
};

/// The same number in both versions.
const fn of_clients(clauses: &'static [&'static str]) -> Clauses {
    Clauses { server_5: &[], client_5: clauses, server_3_1_1: &[], client_3_1_1: clauses }
}

#[derive(Default)]
struct AcknowledgementOrder {
    waiting: PerConnection<Waiting>,
}

/// The packets that the peer has not answered on this connection, oldest first.
#[derive(Default)]
struct Waiting {
    puback: VecDeque<PacketIdentifier>,
    pubrec: VecDeque<PacketIdentifier>,
    pubrel: VecDeque<PacketIdentifier>,
}

impl Watcher for AcknowledgementOrder {
    fn see(&mut self, observation: &Observation<'_>, _: Judgement) -> Vec<Finding> {
        if observation.peer != Role::Client {
            return Vec::new();
        }
        let waiting = self.waiting.get_or_default(observation.connection);
        let (queue, id, clauses, what) = match observation.seen {
            Seen::ToPeer(packet) => {
                waiting.sent(packet);
                return Vec::new();
            }
            Seen::FromPeer(Packet::PubAck(ack)) => {
                (&mut waiting.puback, ack.id, PUBACK, "PUBACK packets in the order of the PUBLISH packets")
            }
            Seen::FromPeer(Packet::PubRec(ack)) => {
                (&mut waiting.pubrec, ack.id, PUBREC, "PUBREC packets in the order of the PUBLISH packets")
            }
            Seen::FromPeer(Packet::PubRel(ack)) => {
                (&mut waiting.pubrel, ack.id, PUBREL, "PUBREL packets in the order of the PUBREC packets")
            }
            _ => return Vec::new(),
        };
        let Some(place) = queue.iter().position(|waiting| *waiting == id) else { return Vec::new() };
        queue.remove(place);
        if place == 0 {
            return Vec::new();
        }
        vec![observation.finding(
            &MONITOR,
            clauses.of(observation),
            what,
            format!("Packet Identifier {id} answered before {place} older"),
        )]
    }

    fn forget_before(&mut self, kept: ConnectionKey) {
        self.waiting.forget_before(kept);
    }
}

impl Waiting {
    fn sent(&mut self, packet: &Packet) {
        match packet {
            Packet::Publish(publish) => {
                let Some(id) = publish.delivery.packet_identifier() else { return };
                match publish.delivery.qos() {
                    QoS::AtMostOnce => {}
                    QoS::AtLeastOnce => self.puback.push_back(id),
                    QoS::ExactlyOnce => self.pubrec.push_back(id),
                }
            }
            Packet::PubRec(ack) if !ack.reason.is_failure() => self.pubrel.push_back(ack.id),
            _ => {}
        }
    }
}
