//! No packet is larger than the Maximum Packet Size of the side that gets it.
//!
//! MQTT 5.0 §3.1.2.11.4, §3.2.2.3.6: the whole packet counts, its fixed header too. Announced in CONNECT and CONNACK for one Network Connection.

use std::collections::BTreeMap;

use mqttspec_codec::{MaximumPacketSize as Property, Role, Version};

use super::conversation::{Glance, Seen};
use super::{Clauses, Monitor, Watcher, outlives};
use crate::finding::Finding;
use crate::history::ConnectionKey;

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
    /// What the observer's own packet announced, in bytes.
    maximums: BTreeMap<ConnectionKey, u32>,
}

impl Watcher for MaximumPacketSize {
    fn see(&mut self, glance: &Glance<'_>) -> Vec<Finding> {
        if glance.version != Version::V5 {
            return Vec::new();
        }
        let announced = match glance.seen {
            Seen::Connect { packet, .. } if glance.peer == Role::Server => {
                packet.properties.get::<Property>()
            }
            Seen::ConnAck { packet, .. } if glance.peer == Role::Client => {
                packet.properties.get::<Property>()
            }
            _ => None,
        };
        if let Some(maximum) = announced {
            self.maximums.insert(glance.connection, maximum.0.get());
            return Vec::new();
        }
        let from_peer = match glance.seen {
            Seen::FromPeer(_) => true,
            Seen::ConnAck { .. } => glance.peer == Role::Server,
            _ => false,
        };
        match self.maximums.get(&glance.connection) {
            Some(maximum) if from_peer && glance.size > usize::try_from(*maximum).unwrap_or(usize::MAX) => {
                vec![glance.finding(
                    &MONITOR,
                    CLAUSES.of(glance),
                    format!("no packet of more than {maximum} bytes (Maximum Packet Size)"),
                    format!("a packet of {} bytes of the {}", glance.size, glance.peer),
                )]
            }
            _ => Vec::new(),
        }
    }

    fn forget_before(&mut self, connection: ConnectionKey) {
        self.maximums.retain(|key, _| outlives(key, connection));
    }
}
