//! No packet is larger than the Maximum Packet Size of its receiver.
//!
//! MQTT 5.0 §3.1.2.11.4, §3.2.2.3.6: the whole packet counts, with its fixed header. CONNECT and
//! CONNACK announce the maximum for one Network Connection.

use mqttspec_codec::{MaximumPacketSize as Property, Packet, Property as AnyProperty, Role, Version};

use super::exchanges::Judgement;
use super::observation::{Observation, Seen};
use super::{Clauses, Monitor, Watcher};
use crate::finding::Finding;
use crate::history::ConnectionKey;
use crate::per_connection::PerConnection;

const CLAUSES: Clauses = Clauses {
    server_5: &["MQTT-3.1.2-24"],
    client_5: &["MQTT-3.2.2-15"],
    server_3_1_1: &[],
    client_3_1_1: &[],
};

pub(super) const MONITOR: Monitor = Monitor {
    name: "Maximum Packet Size",
    rules: &[CLAUSES],
    watcher: || Box::<MaximumPacketSize>::default(),
};

#[derive(Default)]
struct MaximumPacketSize {
    /// The maximum that the observer announced, in bytes.
    maximums: PerConnection<u32>,
}

impl Watcher for MaximumPacketSize {
    fn see(&mut self, observation: &Observation<'_>, _: Judgement) -> Vec<Finding> {
        if observation.version != Version::V5 {
            return Vec::new();
        }
        let announced = match observation.seen {
            Seen::Connect { packet, .. } if observation.peer == Role::Server => {
                packet.properties.get::<Property>()
            }
            Seen::ConnAck { packet, .. } if observation.peer == Role::Client => {
                packet.properties.get::<Property>()
            }
            _ => None,
        };
        if let Some(maximum) = announced {
            self.maximums.insert(observation.connection, maximum.0.get());
            return Vec::new();
        }
        let from_peer = match observation.seen {
            Seen::FromPeer(_) => true,
            Seen::ConnAck { .. } => observation.peer == Role::Server,
            _ => false,
        };
        match self.maximums.get(observation.connection) {
            Some(maximum)
                if from_peer && observation.size > usize::try_from(*maximum).unwrap_or(usize::MAX) =>
            {
                let clauses = [CLAUSES.of(observation), &of_properties(observation)].concat();
                vec![observation.finding(
                    &MONITOR,
                    &clauses,
                    format!("no packet of more than {maximum} bytes (Maximum Packet Size)"),
                    format!("a packet of {} bytes of the {}", observation.size, observation.peer),
                )]
            }
            _ => Vec::new(),
        }
    }

    fn forget_before(&mut self, connection: ConnectionKey) {
        self.maximums.forget_before(connection);
    }
}

/// The clauses about the Reason String and the User Properties that a packet has, and that may not
/// make it too large.
fn of_properties(observation: &Observation<'_>) -> Vec<&'static str> {
    let Seen::FromPeer(packet) = observation.seen else { return Vec::new() };
    let (properties, clauses): (Vec<AnyProperty>, _) = match packet {
        Packet::PubAck(ack) => (ack.properties.iter().collect(), ["MQTT-3.4.2-2", "MQTT-3.4.2-3"]),
        Packet::PubRec(ack) => (ack.properties.iter().collect(), ["MQTT-3.5.2-2", "MQTT-3.5.2-3"]),
        Packet::PubRel(ack) => (ack.properties.iter().collect(), ["MQTT-3.6.2-2", "MQTT-3.6.2-3"]),
        Packet::PubComp(ack) => (ack.properties.iter().collect(), ["MQTT-3.7.2-2", "MQTT-3.7.2-3"]),
        Packet::SubAck(ack) => (ack.properties.iter().collect(), ["MQTT-3.9.2-1", "MQTT-3.9.2-2"]),
        Packet::UnsubAck(ack) => (ack.properties.iter().collect(), ["MQTT-3.11.2-1", "MQTT-3.11.2-2"]),
        Packet::Disconnect(packet) => {
            (packet.properties.iter().collect(), ["MQTT-3.14.2-3", "MQTT-3.14.2-4"])
        }
        Packet::Auth(auth) => (auth.properties.iter().collect(), ["MQTT-3.15.2-2", "MQTT-3.15.2-3"]),
        _ => return Vec::new(),
    };
    let has = [
        properties.iter().any(|property| matches!(property, AnyProperty::ReasonString(_))),
        properties.iter().any(|property| matches!(property, AnyProperty::UserProperty(_))),
    ];
    clauses.into_iter().zip(has).filter(|(_, has)| *has).map(|(clause, _)| clause).collect()
}
