//! What is delivered: messages, their order, their Topic Aliases and properties (§3.3, §4.6, §4.9).

use core::num::{NonZeroU16, NonZeroU32};
use core::time::Duration;

use bytes::Bytes;
use mqttspec_codec::{
    AssignedClientIdentifier, CorrelationData, Delivery, Disconnect, DisconnectReason, MaximumPacketSize,
    MessageExpiryInterval, Packet, PayloadFormatIndicator, PubAck, PubComp, QoS, ReasonString,
    ReceiveMaximum, RequestProblemInformation, RequestResponseInformation, ResponseInformation,
    ResponseTopic, SubAckReason, TopicAlias, TopicAliasMaximum, UserProperty, Utf8String,
};

use super::server;
use crate::Defect;
use crate::deeds::{Deed, say, tell};
use crate::rules::{
    ELSEWHERE, connack, connect, encoded, one_for_all, one_was_for, publish, repetition, says_in_pairs,
    subscriptions, topic,
};

pub(super) static DEFECTS: &[Defect] = &[
    // Deliveries.
    server("dup-forgotten", "sends again with DUP 0").breaks(&["MQTT-3.3.1-1"], &["MQTT-3.3.1-1"]).says(
        |_, packet| say(publish(packet, |publish| publish.delivery = publish.delivery.with_dup(false))),
    ),
    server("dup-always", "sends with DUP 1 from the first time on")
        .breaks(
            &["MQTT-3.3.1-3", "MQTT-4.3.2-2", "MQTT-4.3.3-2"],
            &["MQTT-3.3.1-3", "MQTT-4.3.2-1", "MQTT-4.3.3-1"],
        )
        .says(|_, packet| say(publish(packet, |publish| publish.delivery = publish.delivery.with_dup(true)))),
    server("one-identifier-for-all", "gives every message the Packet Identifier 1")
        .breaks(
            &["MQTT-2.2.1-4", "MQTT-4.3.2-1", "MQTT-4.3.3-1"],
            &["MQTT-2.3.1-4", "MQTT-4.3.2-1", "MQTT-4.3.3-1"],
        )
        .says(one_for_all)
        .hears(one_was_for),
    server("repeats-while-connected", "sends a QoS 1 message again while the connection stands")
        .breaks(&["MQTT-4.4.0-1", "U5-118"], &[])
        .says(|_, packet| match &packet {
            Packet::Publish(publish) if publish.delivery.qos() == QoS::AtLeastOnce => {
                let again = repetition(publish);
                [packet].into_iter().chain(again).map(Deed::Say).collect()
            }
            _ => say(packet),
        }),
    server(
        "does-not-send-again",
        "does not send on a new connection what was not acknowledged on the old one",
    )
    .breaks(
        &["MQTT-4.4.0-1", "MQTT-4.3.2-3", "MQTT-4.3.3-3"],
        &["MQTT-4.4.0-1", "MQTT-4.3.2-1", "MQTT-4.3.3-1"],
    )
    .says(|_, packet| match &packet {
        Packet::Publish(publish) if publish.delivery.dup() => Vec::new(),
        _ => say(packet),
    }),
    server("qos0-twice", "sends a QoS 0 message twice").breaks(&["MQTT-4.3.1-1"], &["MQTT-4.3.1-1"]).says(
        |_, packet| match &packet {
            Packet::Publish(publish) if publish.delivery.qos() == QoS::AtMostOnce => {
                vec![Deed::Say(packet.clone()), Deed::Say(packet)]
            }
            _ => say(packet),
        },
    ),
    server("loses-every-third", "loses every third message")
        .breaks(&["MQTT-4.5.0-1", "MQTT-4.1.0-1", "U5-124"], &["MQTT-4.5.0-1", "MQTT-4.1.0-1"])
        .says(|scene, packet| match &packet {
            Packet::Publish(_) if scene.each(3) => Vec::new(),
            _ => say(packet),
        }),
    server("loses-every-fortieth", "loses every fortieth message")
        .breaks(&["MQTT-4.5.0-1", "MQTT-4.1.0-1", "U5-124"], &["MQTT-4.5.0-1", "MQTT-4.1.0-1"])
        .says(|scene, packet| match &packet {
            Packet::Publish(_) if scene.each(40) => Vec::new(),
            _ => say(packet),
        }),
    server("out-of-order", "sends messages in pairs, the second first")
        .breaks(&["MQTT-4.6.0-5", "MQTT-4.6.0-6"], &["MQTT-4.6.0-5", "MQTT-4.6.0-6"])
        .says(|scene, packet| says_in_pairs(scene, packet, |packet| matches!(packet, Packet::Publish(_)))),
    server("another-topic", "sends messages with another topic")
        .breaks(&["MQTT-3.3.2-3"], &["MQTT-3.3.2-3"])
        .says(|_, packet| {
            say(publish(packet, |publish| {
                if publish.topic.is_some() {
                    publish.topic = Some(ELSEWHERE);
                }
            }))
        }),
    server("cuts-payloads", "loses the last byte of every payload")
        .breaks(
            &["MQTT-4.3.2-4", "MQTT-4.3.3-8", "MQTT-4.5.0-1"],
            &["MQTT-4.3.2-2", "MQTT-4.3.3-2", "MQTT-4.5.0-1"],
        )
        .says(|_, packet| {
            say(publish(packet, |publish| publish.payload.truncate(publish.payload.len().saturating_sub(1))))
        }),
    server("qos-always-0", "delivers everything at QoS 0")
        .breaks(&["MQTT-3.3.4-2", "MQTT-3.8.4-8"], &["MQTT-3.3.5-1", "MQTT-3.8.4-6"])
        .says(|_, packet| say(publish(packet, |publish| publish.delivery = Delivery::AtMostOnce))),
    server("grants-qos2-to-all", "gives everybody the QoS of the message, whatever was granted")
        .breaks(&["MQTT-3.8.4-7", "MQTT-3.8.4-8", "MQTT-4.8.2-3"], &["MQTT-3.8.4-5", "MQTT-3.8.4-6"])
        .hears(|_, packet| tell(subscriptions(packet, |subscription| subscription.qos = QoS::ExactlyOnce))),
    server("says-granted-2", "says that it granted QoS 2, whatever it did")
        .breaks(&["MQTT-3.8.4-7", "MQTT-3.8.4-8"], &["MQTT-3.8.4-5", "MQTT-3.8.4-6"])
        .says(|_, mut packet| {
            if let Packet::SubAck(ack) = &mut packet {
                ack.reasons.iter_mut().for_each(|reason| *reason = SubAckReason::GrantedQoS2);
            }
            say(packet)
        }),
    server("malformed-publish", "sends PUBLISH packets with both QoS bits set")
        .breaks(&["MQTT-3.3.1-4"], &["MQTT-3.3.1-4"])
        .says(|_, packet| match packet {
            Packet::Publish(_) => {
                vec![Deed::SayBytes(Bytes::from_static(&[0x36, 0x05, 0x00, 0x01, b't', 0x00, 0x01]))]
            }
            packet => say(packet),
        }),
    server("receive-maximum-ignored", "takes no notice of the Receive Maximum of the Client")
        .breaks(&["MQTT-3.3.4-9", "MQTT-4.9.0-2"], &[])
        .hears(|_, packet| {
            tell(connect(packet, |connect| {
                connect.properties.remove::<ReceiveMaximum>();
            }))
        }),
    server("quota-leaks", "loses a unit of its send quota with every connection")
        .breaks(&["U5-126"], &[])
        .says(|scene, packet| {
            let maximum =
                scene.wire.connect.as_ref().and_then(|connect| connect.properties.get::<ReceiveMaximum>());
            let quota = maximum.map_or(u32::MAX, |maximum| maximum.0.get().into());
            match &packet {
                Packet::Publish(publish) if publish.delivery.qos() > QoS::AtMostOnce => {
                    scene.wire.identifiers.extend(publish.delivery.packet_identifier());
                    let in_flight = u32::try_from(scene.wire.identifiers.len()).unwrap_or(u32::MAX);
                    if in_flight > quota.saturating_sub(scene.visits() - 1) {
                        Vec::new()
                    } else {
                        say(packet)
                    }
                }
                _ => say(packet),
            }
        }),
    server("holds-answers-back", "answers nothing to a Client that has a message to acknowledge")
        .breaks(&["MQTT-3.3.4-10", "MQTT-4.9.0-3"], &[])
        .says(|scene, packet| match &packet {
            Packet::Publish(publish) => {
                scene.wire.identifiers.extend(publish.delivery.packet_identifier());
                say(packet)
            }
            Packet::PubRel(_) | Packet::Disconnect(_) => say(packet),
            _ if scene.wire.identifiers.is_empty() => say(packet),
            _ => Vec::new(),
        })
        .hears(|scene, packet| {
            if let Packet::PubAck(PubAck { id, .. }) | Packet::PubComp(PubComp { id, .. }) = &packet {
                scene.wire.identifiers.remove(id);
            }
            tell(packet)
        }),
    server("packet-size-ignored", "takes no notice of the Maximum Packet Size of the Client")
        .breaks(
            &[
                "MQTT-3.1.2-24",
                "MQTT-3.2.2-19",
                "MQTT-3.2.2-20",
                "MQTT-3.9.2-1",
                "MQTT-3.9.2-2",
                "MQTT-3.11.2-1",
                "MQTT-3.14.2-3",
                "MQTT-3.14.2-4",
            ],
            &[],
        )
        .hears(|_, packet| {
            tell(connect(packet, |connect| {
                connect.properties.remove::<MaximumPacketSize>();
            }))
        }),
    server("packet-size-off-by-two", "counts the Maximum Packet Size without the fixed header")
        .breaks(&["MQTT-3.1.2-24", "U5-002"], &[])
        .hears(|_, packet| {
            tell(connect(packet, |connect| {
                if let Some(size) = connect.properties.get::<MaximumPacketSize>() {
                    connect.properties.set(MaximumPacketSize(size.0.saturating_add(2)));
                }
            }))
        }),
    server("packet-size-too-careful", "sends nothing that is just as large as the Maximum Packet Size")
        .breaks(&["U5-002", "MQTT-4.5.0-1"], &[])
        .hears(|_, packet| {
            tell(connect(packet, |connect| {
                let size = connect.properties.get::<MaximumPacketSize>();
                let smaller = size.and_then(|size| NonZeroU32::new(size.0.get() - 1));
                if let Some(size) = smaller {
                    connect.properties.set(MaximumPacketSize(size));
                }
            }))
        }),
    server("explains-too-long", "adds a Reason String of 200 bytes to every acknowledgement")
        .breaks(
            &[
                "MQTT-3.1.2-24",
                "MQTT-3.2.2-19",
                "MQTT-3.4.2-2",
                "MQTT-3.5.2-2",
                "MQTT-3.6.2-2",
                "MQTT-3.7.2-2",
                "MQTT-3.9.2-1",
                "MQTT-3.11.2-1",
                "MQTT-3.14.2-3",
                "MQTT-3.15.2-2",
            ],
            &[],
        )
        .says(|scene, mut packet| {
            let Ok(text) = Utf8String::try_from("x".repeat(200).as_str()) else { return say(packet) };
            let reason = ReasonString(text);
            match &mut packet {
                _ if !scene.wire.version.is_5() => {}
                Packet::ConnAck(ack) => ack.properties.set(reason),
                Packet::Auth(auth) => auth.properties.set(reason),
                Packet::PubAck(ack) => ack.properties.set(reason),
                Packet::PubRec(ack) => ack.properties.set(reason),
                Packet::PubComp(ack) => ack.properties.set(reason),
                Packet::SubAck(ack) => ack.properties.set(reason),
                Packet::UnsubAck(ack) => ack.properties.set(reason),
                Packet::Disconnect(disconnect) => disconnect.properties.set(reason),
                _ => {}
            }
            say(packet)
        }),
    server("problem-information-ignored", "takes no notice of Request Problem Information")
        .breaks(&["MQTT-3.1.2-29"], &[])
        .hears(|_, packet| {
            tell(connect(packet, |connect| {
                connect.properties.remove::<RequestProblemInformation>();
            }))
        }),
    // Topic Aliases.
    server("alias-maximum-ignored", "uses Topic Aliases whatever the Topic Alias Maximum of the Client is")
        .breaks(&["MQTT-3.1.2-26", "MQTT-3.1.2-27", "MQTT-3.3.2-11"], &[])
        .hears(|_, packet| {
            tell(connect(packet, |connect| {
                if connect.version.is_5() {
                    connect.properties.set(TopicAliasMaximum(100));
                }
            }))
        }),
    server("alias-outlives-its-connection", "uses a Topic Alias of an earlier connection")
        .breaks(&["MQTT-3.3.2-7"], &[])
        .says(|scene, packet| {
            let again = scene.visits() > 1;
            say(publish(packet, |publish| {
                if again && publish.properties.contains::<TopicAlias>() {
                    publish.topic = None;
                }
            }))
        }),
    server("hands-aliases-on", "hands the Topic Alias of the publisher on to subscribers")
        .breaks(&["MQTT-3.1.2-26", "MQTT-3.1.2-27", "U5-082"], &[])
        .hears(|scene, packet| {
            if let Packet::Publish(publish) = &packet
                && let Some(alias) = publish.properties.get::<TopicAlias>()
            {
                scene.count = alias.0.get().into();
            }
            tell(packet)
        })
        .says(|scene, packet| {
            let alias = u16::try_from(scene.count).ok().and_then(NonZeroU16::new);
            say(publish(packet, |publish| {
                if let Some(alias) = alias {
                    publish.properties.set(TopicAlias(alias));
                }
            }))
        }),
    server("forgets-aliases", "forgets a Topic Alias after it was used once")
        .breaks(&["MQTT-3.3.2-12", "U5-079", "U5-083"], &[])
        .hears(|scene, packet| {
            if let Packet::Publish(publish) = &packet
                && publish.topic.is_none()
                && publish.properties.contains::<TopicAlias>()
            {
                scene.count += 1;
                return if scene.wire.version.is_5() {
                    vec![
                        Deed::Say(Disconnect::new(DisconnectReason::TopicAliasInvalid).into()),
                        Deed::Close,
                        Deed::TellEnd,
                    ]
                } else {
                    tell(packet)
                };
            }
            tell(packet)
        }),
    server("no-aliases-announced", "announces a Topic Alias Maximum that it does not keep")
        .breaks(&["MQTT-3.3.2-12"], &[])
        .says(|scene, packet| {
            let is_5 = scene.wire.version.is_5();
            say(connack(packet, |ack| {
                if is_5 && !ack.reason.is_failure() {
                    ack.properties.set(TopicAliasMaximum(u16::MAX));
                }
            }))
        }),
    // Properties of messages.
    server("forgets-properties", "forwards messages without their properties")
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
        .says(|_, packet| say(publish(packet, |publish| publish.properties.clear()))),
    server("reverses-user-properties", "forwards User Properties in another order")
        .breaks(&["MQTT-3.3.2-18", "MQTT-3.1.3-10"], &[])
        .says(|_, packet| {
            say(publish(packet, |publish| {
                let mut pairs: Vec<_> = publish.properties.user_properties().collect();
                while publish.properties.remove::<UserProperty>() {}
                pairs.reverse();
                for (name, value) in pairs {
                    publish.properties.push(UserProperty { name, value });
                }
            }))
        }),
    server("adds-properties", "adds a Content Type and a Payload Format Indicator to every message")
        .breaks(&["MQTT-3.3.2-4"], &[])
        .says(|scene, packet| {
            let is_5 = scene.wire.version.is_5();
            say(publish(packet, |publish| {
                if is_5 {
                    publish.properties.set(PayloadFormatIndicator::Utf8);
                }
            }))
        }),
    server(
        "forgets-the-response-topic",
        "forwards a request without its Response Topic and Correlation Data",
    )
    .breaks(&["MQTT-3.3.2-15", "MQTT-3.3.2-16"], &[])
    .says(|_, packet| {
        say(publish(packet, |publish| {
            publish.properties.remove::<ResponseTopic>();
            publish.properties.remove::<CorrelationData>();
        }))
    }),
    server("expiry-unchanged", "forwards the Message Expiry Interval as it came")
        .breaks(&["MQTT-3.3.2-6"], &[])
        .says(|scene, packet| {
            let first = scene.count;
            say(publish(packet, |publish| {
                if publish.properties.contains::<MessageExpiryInterval>() {
                    publish.properties.set(MessageExpiryInterval(first));
                }
            }))
        })
        .hears(|scene, packet| {
            if let Packet::Publish(publish) = &packet
                && let Some(expiry) = publish.properties.get::<MessageExpiryInterval>()
            {
                scene.count = expiry.0;
            }
            tell(packet)
        }),
    server("expiry-ignored", "takes no notice of the Message Expiry Interval")
        .breaks(&["MQTT-3.3.2-5", "MQTT-3.3.2-6"], &[])
        .hears(|_, packet| {
            tell(publish(packet, |publish| {
                publish.properties.remove::<MessageExpiryInterval>();
            }))
        }),
    server("response-information-unasked", "gives Response Information to everybody")
        .breaks(&["MQTT-3.1.2-28"], &[])
        .hears(|_, packet| {
            tell(connect(packet, |connect| {
                if connect.version.is_5() {
                    connect.properties.set(RequestResponseInformation(true));
                }
            }))
        })
        .says(|scene, packet| {
            let is_5 = scene.wire.version.is_5();
            say(connack(packet, |ack| {
                if let (Ok(text), true) = (Utf8String::try_from("there"), is_5) {
                    ack.properties.set(ResponseInformation(text));
                }
            }))
        }),
    server("connack-without-properties", "accepts without telling its limits")
        .breaks(&["MQTT-3.2.2-9", "MQTT-3.2.2-16", "MQTT-3.2.2-21", "MQTT-4.12.0-5", "U5-027"], &[])
        .says(|_, packet| say(connack(packet, |ack| ack.properties.clear()))),
    server("no-assigned-identifier", "does not tell the Client Identifier that it assigned")
        .breaks(&["MQTT-3.1.3-7", "MQTT-3.2.2-16"], &[])
        .says(|_, packet| {
            say(connack(packet, |ack| {
                ack.properties.remove::<AssignedClientIdentifier>();
            }))
        }),
    server("connack-twice", "answers CONNECT twice").breaks(&["MQTT-3.2.0-2"], &["MQTT-3.1.4-4"]).says(
        |_, packet| match &packet {
            Packet::ConnAck(_) => vec![Deed::Say(packet.clone()), Deed::Say(packet)],
            _ => say(packet),
        },
    ),
    server("connack-late", "answers CONNECT after what waits for the Client")
        .breaks(&["MQTT-3.2.0-1"], &["MQTT-3.2.0-1"])
        .says(|_, packet| match &packet {
            Packet::ConnAck(_) => vec![Deed::SayLater(Duration::from_millis(200), packet)],
            _ => say(packet),
        }),
    server("alias-maximum-off-by-one", "uses one Topic Alias more than the Client takes")
        .breaks(&["MQTT-3.1.2-26", "MQTT-3.3.2-11"], &[])
        .hears(|_, packet| {
            tell(connect(packet, |connect| {
                if let Some(maximum) =
                    connect.properties.get::<TopicAliasMaximum>().filter(|maximum| maximum.0 > 0)
                {
                    connect.properties.set(TopicAliasMaximum(maximum.0.saturating_add(1)));
                }
            }))
        }),
    server(
        "takes-equal-messages-for-one",
        "sends a message no second time, whether or not it is another one",
    )
    .breaks(&["MQTT-4.5.0-1", "U5-108"], &["MQTT-4.5.0-1"])
    .says(|scene, packet| match &packet {
        Packet::Publish(publish) if !publish.delivery.dup() => {
            let message = format!("{} {:?}", topic(publish), publish.payload);
            if scene.wire.topics.insert(message) { say(packet) } else { Vec::new() }
        }
        _ => say(packet),
    }),
    server("dup-on-qos-0", "takes and sends DUP 1 with QoS 0")
        .breaks(&["MQTT-3.3.1-2"], &["MQTT-3.3.1-2"])
        .hears_malformed(|_, bytes| match bytes.split_first() {
            Some((0x38, rest)) => vec![Deed::TellBytes([&[0x30], rest].concat().into())],
            _ => vec![Deed::TellBytes(bytes)],
        })
        .says(|scene, packet| match &packet {
            Packet::Publish(publish) if publish.delivery.qos() == QoS::AtMostOnce => {
                let mut bytes = encoded(&packet, scene.wire.version).unwrap_or_default();
                bytes.iter_mut().take(1).for_each(|first| *first |= 0x08);
                vec![Deed::SayBytes(bytes.into())]
            }
            _ => say(packet),
        }),
];
