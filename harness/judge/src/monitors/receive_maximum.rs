//! No more PUBLISH packets with QoS above 0 are unacknowledged than the Receive Maximum allows.
//!
//! MQTT 5.0 §3.1.2.11.3, §3.2.2.3.3, §4.9. The count begins anew on each
//! Network Connection. The observer counts an acknowledgement when it sends it, before the peer
//! receives it, so its count never exceeds the peer's. An acknowledgement may be sent before the
//! packet that it acknowledges has arrived.

use std::collections::BTreeSet;

use mqttspec_codec::{Packet, PacketIdentifier, ReceiveMaximum as Property, Role, Version};

use super::exchanges::Judgement;
use super::observation::{Observation, Seen};
use super::{Clauses, Monitor, Watcher};
use crate::finding::Finding;
use crate::history::ConnectionKey;
use crate::per_connection::PerConnection;

const CLAUSES: Clauses = Clauses {
    server_5: &["MQTT-3.3.4-9", "MQTT-4.9.0-2"],
    client_5: &["MQTT-3.3.4-7", "MQTT-4.9.0-2"],
    server_3_1_1: &[],
    client_3_1_1: &[],
};

pub(super) const MONITOR: Monitor =
    Monitor { name: "Receive Maximum", rules: &[CLAUSES], watcher: || Box::<ReceiveMaximum>::default() };

#[derive(Default)]
struct ReceiveMaximum {
    quotas: PerConnection<Quota>,
}

struct Quota {
    maximum: u16,
    in_flight: BTreeSet<PacketIdentifier>,
    /// Acknowledged before a PUBLISH with this identifier arrived.
    early: BTreeSet<PacketIdentifier>,
}

impl Default for Quota {
    /// §3.1.2.11.3: 65,535 where the property is absent.
    fn default() -> Self {
        Self { maximum: u16::MAX, in_flight: BTreeSet::new(), early: BTreeSet::new() }
    }
}

impl Watcher for ReceiveMaximum {
    fn see(&mut self, observation: &Observation<'_>, _: Judgement) -> Vec<Finding> {
        if observation.version != Version::V5 {
            return Vec::new();
        }
        let quota = self.quotas.get_or_default(observation.connection);
        match observation.seen {
            // The observer's own packet carries the maximum that the peer must keep.
            Seen::Connect { packet, .. } if observation.peer == Role::Server => {
                quota.limit(packet.properties.get::<Property>().map(|maximum| maximum.0.get()));
            }
            Seen::ConnAck { packet, .. } if observation.peer == Role::Client => {
                quota.limit(packet.properties.get::<Property>().map(|maximum| maximum.0.get()));
            }
            Seen::ToPeer(packet) => quota.acknowledged(packet),
            Seen::FromPeer(Packet::Publish(publish)) => {
                let Some(id) = publish.delivery.packet_identifier() else { return Vec::new() };
                if !quota.early.remove(&id) {
                    quota.in_flight.insert(id);
                }
                let (count, maximum) = (quota.in_flight.len(), quota.maximum);
                if count > usize::from(maximum) {
                    return vec![observation.finding(
                        &MONITOR,
                        CLAUSES.of(observation),
                        format!("at most {maximum} PUBLISH packets in flight (Receive Maximum)"),
                        format!(
                            "{count} PUBLISH packets of the {} that are not acknowledged",
                            observation.peer
                        ),
                    )];
                }
            }
            _ => {}
        }
        Vec::new()
    }

    fn forget_before(&mut self, kept: ConnectionKey) {
        self.quotas.forget_before(kept);
    }
}

impl Quota {
    fn limit(&mut self, maximum: Option<u16>) {
        self.maximum = maximum.unwrap_or(u16::MAX);
    }

    fn acknowledged(&mut self, packet: &Packet) {
        let id = match packet {
            Packet::PubAck(ack) => ack.id,
            Packet::PubComp(ack) => ack.id,
            Packet::PubRec(ack) if ack.reason.is_failure() => ack.id,
            _ => return,
        };
        if !self.in_flight.remove(&id) {
            self.early.insert(id);
        }
    }
}
