//! Topic Aliases in both directions (§3.2.2.3.8, §3.3.2.3.4).

use core::num::NonZeroU16;

use mqttspec_codec::{Packet, TopicAlias, TopicAliasMaximum, TopicName};
use mqttspec_spec::Standard;

use super::mutant;
use crate::edit::{edit_connack, edit_publish};
use crate::effect::{deliver, send};
use crate::mutant::Mutant;

pub(super) static MUTANTS: &[Mutant] = &[
    mutant("alias-maximum-ignored", "ignores the Topic Alias Maximum of the Server")
        .breaks(&["MQTT-3.2.2-17", "MQTT-3.2.2-18", "MQTT-3.3.2-9"], &[])
        .also_blamed(&[(
            Standard::V5,
            &["MQTT-3.3.2-7", "MQTT-4.4.0-1"],
            "one PUBLISH without an alias is expected, repeated on a new connection",
        )])
        .on_incoming(|state, packet| {
            let is_5 = state.connection.version.is_5();
            deliver(edit_connack(packet, |ack| {
                if is_5 && !ack.reason.is_failure() {
                    ack.properties.set(TopicAliasMaximum(100));
                }
            }))
        }),
    mutant("alias-outlives-its-connection", "uses a Topic Alias of an earlier connection")
        .breaks(&["MQTT-3.3.2-7", "U5-080"], &[])
        .on_outgoing(|state, packet| {
            let again = state.connection_count() > 1;
            send(edit_publish(packet, |publish| {
                if again && publish.properties.contains::<TopicAlias>() {
                    publish.topic = None;
                }
            }))
        }),
    mutant("loses-aliased-messages", "drops messages that have only a Topic Alias")
        .breaks(&["MQTT-3.3.2-10", "U5-079"], &[])
        .on_incoming(|_, packet| match &packet {
            Packet::Publish(publish) if publish.topic.is_none() => Vec::new(),
            _ => deliver(packet),
        }),
    mutant("alias-of-before", "resolves a Topic Alias that was set on an earlier connection")
        .breaks(&["MQTT-3.3.2-7", "MQTT-3.3.2-10", "U5-079"], &[])
        .on_incoming(|state, packet| match packet {
            Packet::Publish(mut publish) => {
                match (&publish.topic, publish.properties.contains::<TopicAlias>()) {
                    (Some(topic), true) => {
                        state.topics.insert(topic.as_str().to_owned());
                    }
                    (None, true) => {
                        let known = state.topics.first().map(|topic| TopicName::try_from(topic.as_str()));
                        if let Some(Ok(topic)) = known {
                            publish.topic = Some(topic);
                            publish.properties.remove::<TopicAlias>();
                        }
                    }
                    _ => {}
                }
                deliver(publish)
            }
            packet => deliver(packet),
        }),
    mutant("alias-of-another-topic", "sends an alias alone for a topic that has lost it to another topic")
        .breaks(&["U5-079"], &[])
        .on_outgoing(|state, packet| {
            send(edit_publish(packet, |publish| {
                let Some(topic) = publish.topic.as_ref().map(|topic| topic.as_str().to_owned()) else {
                    return;
                };
                if publish.properties.contains::<TopicAlias>() {
                    state.connection.topics.insert(topic);
                } else if state.connection.topics.contains(&topic)
                    && let Some(alias) = NonZeroU16::new(1)
                {
                    publish.topic = None;
                    publish.properties.set(TopicAlias(alias));
                }
            }))
        }),
    mutant("alias-maximum-off-by-one", "uses one Topic Alias more than the Server allows")
        .breaks(&["MQTT-3.2.2-17", "MQTT-3.3.2-9"], &[])
        .also_blamed(&[(
            Standard::V5,
            &["MQTT-3.3.2-7"],
            "one PUBLISH with an alias of the new connection is expected",
        )])
        .on_incoming(|_, packet| {
            deliver(edit_connack(packet, |ack| {
                if let Some(maximum) =
                    ack.properties.get::<TopicAliasMaximum>().filter(|maximum| maximum.0 > 0)
                {
                    ack.properties.set(TopicAliasMaximum(maximum.0.saturating_add(1)));
                }
            }))
        }),
];
