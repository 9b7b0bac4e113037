//! No packet is larger than the Maximum Packet Size of its receiver.
//!
//! MQTT 5.0 §3.1.2.11.4, §3.2.2.3.6: the whole packet counts, with its fixed header. CONNECT and
//! CONNACK announce the maximum for one Network Connection.

use std::collections::BTreeMap;

use mqttspec_codec::{MaximumPacketSize as Property, Role, Version};

use super::observation::{Observation, Seen};
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
    /// The maximum that the observer announced, in bytes.
    maximums: BTreeMap<ConnectionKey, u32>,
}

impl Watcher for MaximumPacketSize {
    fn see(&mut self, observation: &Observation<'_>) -> Vec<Finding> {
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
        match self.maximums.get(&observation.connection) {
            Some(maximum)
                if from_peer && observation.size > usize::try_from(*maximum).unwrap_or(usize::MAX) =>
            {
                vec![observation.finding(
                    &MONITOR,
                    CLAUSES.of(observation),
                    format!("no packet of more than {maximum} bytes (Maximum Packet Size)"),
                    format!("a packet of {} bytes of the {}", observation.size, observation.peer),
                )]
            }
            _ => Vec::new(),
        }
    }

    fn forget_before(&mut self, connection: ConnectionKey) {
        self.maximums.retain(|key, _| outlives(key, connection));
    }
}
