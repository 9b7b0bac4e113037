//! No Topic Alias is above the Topic Alias Maximum of its receiver, and none is used before its
//! connection has set it.
//!
//! MQTT 5.0 §3.1.2.11.5, §3.2.2.3.8, §3.3.2.3.4. The maximum and the mappings belong to one Network
//! Connection.

use std::collections::BTreeSet;

use mqttspec_codec::{Packet, Publish, Role, TopicAlias, TopicAliasMaximum, Version};

use super::exchanges::Judgement;
use super::observation::{Observation, Seen};
use super::{Clauses, Monitor, Watcher};
use crate::finding::Finding;
use crate::history::ConnectionKey;
use crate::per_connection::PerConnection;

const ABOVE: Clauses = Clauses {
    server_5: &["MQTT-3.3.2-11", "MQTT-3.1.2-26"],
    client_5: &["MQTT-3.3.2-9", "MQTT-3.2.2-17"],
    server_3_1_1: &[],
    client_3_1_1: &[],
};

const NOT_WANTED: Clauses = Clauses {
    server_5: &["MQTT-3.1.2-27"],
    client_5: &["MQTT-3.2.2-18"],
    server_3_1_1: &[],
    client_3_1_1: &[],
};

const NOT_SET: Clauses = Clauses::both(&["U5-080", "MQTT-3.3.2-7"], &[]);

pub(super) const MONITOR: Monitor = Monitor {
    name: "Topic Aliases",
    rules: &[ABOVE, NOT_WANTED, NOT_SET],
    watcher: || Box::<TopicAliases>::default(),
};

#[derive(Default)]
struct TopicAliases {
    connections: PerConnection<Aliases>,
}

#[derive(Default)]
struct Aliases {
    /// The maximum that the observer announced; 0 if it announced none.
    maximum: u16,
    /// The aliases that the peer has set.
    set: BTreeSet<u16>,
}

impl Watcher for TopicAliases {
    fn see(&mut self, observation: &Observation<'_>, _: Judgement) -> Vec<Finding> {
        if observation.version != Version::V5 {
            return Vec::new();
        }
        let aliases = self.connections.get_or_default(observation.connection);
        let announced = match observation.seen {
            Seen::Connect { packet, .. } if observation.peer == Role::Server => {
                packet.properties.get::<TopicAliasMaximum>()
            }
            Seen::ConnAck { packet, .. } if observation.peer == Role::Client => {
                packet.properties.get::<TopicAliasMaximum>()
            }
            Seen::FromPeer(Packet::Publish(publish)) => {
                return aliases.judge(observation, publish).into_iter().collect();
            }
            _ => None,
        };
        if let Some(maximum) = announced {
            aliases.maximum = maximum.0;
        }
        Vec::new()
    }

    fn forget_before(&mut self, connection: ConnectionKey) {
        self.connections.forget_before(connection);
    }
}

impl Aliases {
    fn judge(&mut self, observation: &Observation<'_>, publish: &Publish) -> Option<Finding> {
        let alias = publish.properties.get::<TopicAlias>()?.0.get();
        let peer = observation.peer;
        if alias > self.maximum {
            let clauses = if self.maximum == 0 { NOT_WANTED } else { ABOVE };
            return Some(observation.finding(
                &MONITOR,
                clauses.of(observation),
                match self.maximum {
                    0 => "no Topic Alias (no Topic Alias Maximum was announced)".to_owned(),
                    maximum => format!("no Topic Alias above {maximum} (Topic Alias Maximum)"),
                },
                format!("Topic Alias {alias} in a PUBLISH of the {peer}"),
            ));
        }
        if publish.topic.is_some() {
            self.set.insert(alias);
            return None;
        }
        (!self.set.contains(&alias)).then(|| {
            observation.finding(
                &MONITOR,
                NOT_SET.of(observation),
                "a Topic Name, or a Topic Alias that was set on this Network Connection",
                format!("Topic Alias {alias}, which the {peer} has not set, in place of the Topic Name"),
            )
        })
    }
}
