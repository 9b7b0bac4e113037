//! Properties of forwarded messages (§3.3.2.3).

use mqttspec_codec::{
    CorrelationData, MessageExpiryInterval, Packet, PayloadFormatIndicator, ResponseTopic, UserProperty,
};
use mqttspec_spec::Standard;

use super::mutant;
use crate::edit::edit_publish;
use crate::effect::{deliver, send};
use crate::mutant::Mutant;

pub(super) static MUTANTS: &[Mutant] = &[
    mutant("forgets-properties", "forwards messages without their properties")
        .gets_wrong(&[
            "payload_format",
            "message_expiry",
            "content_type",
            "response_topic",
            "correlation_data",
            "user_property",
            "subscription_identifier",
        ])
        .breaks(
            &[
                "MQTT-3.3.2-4",
                "MQTT-3.3.2-6",
                "MQTT-3.3.2-15",
                "MQTT-3.3.2-16",
                "MQTT-3.3.2-17",
                "MQTT-3.3.2-20",
            ],
            &[],
        )
        .on_outgoing(|_, packet| send(edit_publish(packet, |publish| publish.properties.clear()))),
    mutant("reverses-user-properties", "forwards User Properties in another order")
        .breaks(&["MQTT-3.3.2-18", "MQTT-3.1.3-10"], &[])
        .on_outgoing(|_, packet| {
            send(edit_publish(packet, |publish| {
                let mut pairs: Vec<_> = publish.properties.user_properties().collect();
                while publish.properties.remove::<UserProperty>() {}
                pairs.reverse();
                for (name, value) in pairs {
                    publish.properties.push(UserProperty { name, value });
                }
            }))
        }),
    mutant("adds-properties", "adds a Payload Format Indicator to every message")
        .breaks(&["MQTT-3.3.2-4"], &[])
        .also_blamed(&[(
            Standard::V5,
            &["MQTT-3.3.2-15", "MQTT-3.3.2-16", "MQTT-3.3.2-20", "U5-065"],
            "one PUBLISH without any property is expected",
        )])
        .on_outgoing(|state, packet| {
            let is_5 = state.connection.version.is_5();
            send(edit_publish(packet, |publish| {
                if is_5 {
                    publish.properties.set(PayloadFormatIndicator::Utf8);
                }
            }))
        }),
    mutant(
        "forgets-the-response-topic",
        "forwards a request without its Response Topic and Correlation Data",
    )
    .gets_wrong(&["response_topic", "correlation_data"])
    .breaks(&["MQTT-3.3.2-15", "MQTT-3.3.2-16"], &[])
    .on_outgoing(|_, packet| {
        send(edit_publish(packet, |publish| {
            publish.properties.remove::<ResponseTopic>();
            publish.properties.remove::<CorrelationData>();
        }))
    }),
    mutant("expiry-unchanged", "forwards the Message Expiry Interval without reducing it")
        .gets_wrong(&["message_expiry"])
        .breaks(&["MQTT-3.3.2-6"], &[])
        .on_outgoing(|state, packet| {
            let first = state.count;
            send(edit_publish(packet, |publish| {
                if publish.properties.contains::<MessageExpiryInterval>() {
                    publish.properties.set(MessageExpiryInterval(first));
                }
            }))
        })
        .on_incoming(|state, packet| {
            if let Packet::Publish(publish) = &packet
                && let Some(expiry) = publish.properties.get::<MessageExpiryInterval>()
            {
                state.count = expiry.0;
            }
            deliver(packet)
        }),
    mutant("expiry-ignored", "ignores the Message Expiry Interval")
        .breaks(&["MQTT-3.3.2-5", "MQTT-3.3.2-6", "U5-066", "U5-059"], &[])
        .on_incoming(|_, packet| {
            deliver(edit_publish(packet, |publish| {
                publish.properties.remove::<MessageExpiryInterval>();
            }))
        }),
];
