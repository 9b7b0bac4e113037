//! What clients do wrong.

use core::num::NonZeroU16;
use core::time::Duration;

use bytes::Bytes;
use mqttspec_codec::{
    ConnectReason, MaximumPacketSize, MaximumQoS, Packet, PacketType, PubAck, PubAckReason, PubRec, QoS,
    ReceiveMaximum, RetainAvailable, ServerKeepAlive, TopicAlias, TopicAliasMaximum,
};

use super::Defect;
use super::deeds::{Deed, say, tell};
use super::rules::{
    acknowledges_what_it_forgot, after, connack, connect, forgets_what_it_received, is_acknowledgement,
    notes_pubrec, one_for_all, one_was_for, publish, remembers, renumbered, repetition, says_in_pairs,
    says_no, says_no_pubrel_again, says_publish_for_pubrel,
};
use mqttspec_codec::Role;

const fn client(name: &'static str, does: &'static str) -> Defect {
    Defect::of(Role::Client, name, does)
}

pub(super) static DEFECTS: &[Defect] = &[
    // Hand-shakes.
    client("no-puback", "does not acknowledge QoS 1 messages")
        .breaks(&["MQTT-4.3.2-4", "MQTT-4.5.0-2"], &["MQTT-4.3.2-2", "MQTT-4.5.0-2"])
        .says(|_, packet| says_no(packet, PacketType::PubAck)),
    client("no-pubrec", "does not answer QoS 2 messages")
        .breaks(&["MQTT-4.3.3-8", "MQTT-4.5.0-2"], &["MQTT-4.3.3-2", "MQTT-4.5.0-2"])
        .says(|_, packet| says_no(packet, PacketType::PubRec)),
    client("no-pubrel", "does not release QoS 2 messages")
        .breaks(&["MQTT-4.3.3-4"], &["MQTT-4.3.3-1"])
        .says(|_, packet| says_no(packet, PacketType::PubRel)),
    client("no-pubcomp", "does not answer PUBREL")
        .breaks(&["MQTT-4.3.3-11"], &["MQTT-4.3.3-2"])
        .says(|_, packet| says_no(packet, PacketType::PubComp)),
    client("acknowledges-another", "acknowledges with another Packet Identifier")
        .breaks(&["MQTT-2.2.1-5"], &["MQTT-2.3.1-6"])
        .says(
            |_, packet| {
                if is_acknowledgement(&packet) { say(renumbered(packet, after)) } else { say(packet) }
            },
        ),
    client("pubacks-out-of-order", "acknowledges QoS 1 messages in pairs, the second first")
        .breaks(&["MQTT-4.6.0-2"], &["MQTT-4.6.0-2"])
        .says(|scene, packet| says_in_pairs(scene, packet, |packet| matches!(packet, Packet::PubAck(_)))),
    client("pubrecs-out-of-order", "acknowledges QoS 2 messages in pairs, the second first")
        .breaks(&["MQTT-4.6.0-3"], &["MQTT-4.6.0-3"])
        .says(|scene, packet| says_in_pairs(scene, packet, |packet| matches!(packet, Packet::PubRec(_)))),
    client("releases-out-of-order", "releases messages in pairs, the second first")
        .breaks(&["MQTT-4.6.0-4"], &["MQTT-4.6.0-4"])
        .says(|scene, packet| says_in_pairs(scene, packet, |packet| matches!(packet, Packet::PubRel(_)))),
    client("forgets-received-qos2", "hands a repeated QoS 2 message to its application again")
        .breaks(&["MQTT-4.3.3-10"], &["MQTT-4.3.3-2"])
        .hears(forgets_what_it_received)
        .says(acknowledges_what_it_forgot),
    client("hands-over-twice", "hands QoS 0 messages to its application twice")
        .breaks(&["MQTT-4.3.1-1"], &["MQTT-4.3.1-1"])
        .hears(|_, packet| match &packet {
            Packet::Publish(publish) if publish.delivery.qos() == QoS::AtMostOnce => {
                vec![Deed::Tell(packet.clone()), Deed::Tell(packet)]
            }
            _ => tell(packet),
        }),
    client("keeps-messages-to-itself", "acknowledges messages and does not hand them over")
        .breaks(&["MQTT-4.3.2-4", "MQTT-4.3.3-8"], &["MQTT-4.3.2-2", "MQTT-4.3.3-2"])
        .hears(|_, packet| match super::rules::acknowledgement(&packet) {
            Some(answer) => say(answer),
            None if matches!(packet, Packet::Publish(_)) => Vec::new(),
            None => tell(packet),
        }),
    client("pubrel-not-sent-again", "does not send PUBREL again on a new connection")
        .breaks(&["MQTT-4.3.3-5", "MQTT-4.4.0-1"], &["MQTT-4.3.3-1", "MQTT-4.4.0-1"])
        .hears(notes_pubrec)
        .says(says_no_pubrel_again),
    client("publish-again-for-pubrel", "sends PUBLISH again where PUBREL is due on a new connection")
        .breaks(&["MQTT-4.3.3-6", "U5-119"], &["MQTT-4.3.3-1"])
        .hears(notes_pubrec)
        .says(says_publish_for_pubrel),
    client("dup-forgotten", "sends again with DUP 0").breaks(&["MQTT-3.3.1-1"], &["MQTT-3.3.1-1"]).says(
        |_, packet| say(publish(packet, |publish| publish.delivery = publish.delivery.with_dup(false))),
    ),
    client("dup-always", "sends with DUP 1 from the first time on")
        .breaks(&["MQTT-4.3.2-2", "MQTT-4.3.3-2"], &["MQTT-4.3.2-1", "MQTT-4.3.3-1"])
        .says(|_, packet| say(publish(packet, |publish| publish.delivery = publish.delivery.with_dup(true)))),
    client("repeats-while-connected", "sends a message again while the connection stands")
        .breaks(&["MQTT-4.4.0-1", "U5-118"], &[])
        .says(|_, packet| match &packet {
            Packet::Publish(publish) => {
                let again = repetition(publish);
                [packet].into_iter().chain(again).map(Deed::Say).collect()
            }
            _ => say(packet),
        }),
    client("does-not-send-again", "does not send on a new connection what was not acknowledged")
        .breaks(
            &["MQTT-4.3.2-3", "MQTT-4.3.3-3", "MQTT-4.4.0-1"],
            &["MQTT-4.3.2-1", "MQTT-4.3.3-1", "MQTT-4.4.0-1"],
        )
        .says(|_, packet| match &packet {
            Packet::Publish(publish) if publish.delivery.dup() => Vec::new(),
            _ => say(packet),
        }),
    client("loses-every-third", "loses every third message that it sends")
        .breaks(&["MQTT-4.3.2-2", "MQTT-4.3.3-2"], &["MQTT-4.3.2-1", "MQTT-4.3.3-1"])
        .says(|scene, packet| match &packet {
            Packet::Publish(_) if scene.each(3) => Vec::new(),
            _ => say(packet),
        }),
    client("out-of-order", "sends messages in pairs, the second first")
        .breaks(&["MQTT-4.6.0-1"], &["MQTT-4.6.0-1"])
        .says(|scene, packet| says_in_pairs(scene, packet, |packet| matches!(packet, Packet::Publish(_)))),
    client("one-identifier-for-all", "gives every message the Packet Identifier 1")
        .breaks(
            &["MQTT-2.2.1-3", "MQTT-4.3.2-1", "MQTT-4.3.3-1"],
            &["MQTT-2.3.1-2", "MQTT-4.3.2-1", "MQTT-4.3.3-1"],
        )
        .says(one_for_all)
        .hears(one_was_for),
    client(
        "identifiers-shared-by-both-directions",
        "takes a message whose identifier one of its own messages has for no message",
    )
    .breaks(&["MQTT-4.3.3-8", "U5-113"], &["MQTT-4.3.3-2"])
    .says(|scene, packet| {
        if let Packet::Publish(publish) = &packet {
            scene.wire.identifiers.extend(publish.delivery.packet_identifier());
        }
        say(packet)
    })
    .hears(|scene, packet| match &packet {
        Packet::Publish(publish)
            if publish
                .delivery
                .packet_identifier()
                .is_some_and(|id| scene.wire.identifiers.contains(&id)) =>
        {
            Vec::new()
        }
        _ => tell(packet),
    }),
    client("hears-no-refusal", "takes a PUBACK or PUBREC that refuses a message for one that accepts it")
        .breaks(&["MQTT-4.4.0-2"], &[])
        .hears(|_, mut packet| {
            if let Packet::PubAck(PubAck { reason, .. }) | Packet::PubRec(PubRec { reason, .. }) = &mut packet
            {
                *reason = PubAckReason::Success;
            }
            tell(packet)
        }),
    // What the server said of itself.
    client("receive-maximum-ignored", "takes no notice of the Receive Maximum of the server")
        .breaks(&["MQTT-3.3.4-7", "MQTT-4.9.0-2"], &[])
        .hears(|_, packet| {
            tell(connack(packet, |ack| {
                ack.properties.remove::<ReceiveMaximum>();
            }))
        }),
    client("quota-leaks", "can send one message less with every connection").breaks(&["U5-126"], &[]).hears(
        |scene, packet| {
            let visits = u16::try_from(scene.visits()).unwrap_or(u16::MAX);
            tell(connack(packet, |ack| {
                if let Some(maximum) = ack.properties.get::<ReceiveMaximum>() {
                    let left = maximum.0.get().saturating_sub(visits - 1);
                    ack.properties.set(ReceiveMaximum(NonZeroU16::new(left).unwrap_or(NonZeroU16::MIN)));
                }
            }))
        },
    ),
    client("packet-size-ignored", "takes no notice of the Maximum Packet Size of the server")
        .breaks(&["MQTT-3.2.2-15"], &[])
        .hears(|_, packet| {
            tell(connack(packet, |ack| {
                ack.properties.remove::<MaximumPacketSize>();
            }))
        }),
    client("maximum-qos-ignored", "takes no notice of the Maximum QoS of the server")
        .breaks(&["MQTT-3.2.2-11"], &[])
        .hears(|_, packet| {
            tell(connack(packet, |ack| {
                ack.properties.remove::<MaximumQoS>();
            }))
        }),
    client("retain-available-ignored", "sends retained messages to a server that takes none")
        .breaks(&["MQTT-3.2.2-14"], &[])
        .hears(|_, packet| {
            tell(connack(packet, |ack| {
                ack.properties.remove::<RetainAvailable>();
            }))
        }),
    client("server-keep-alive-ignored", "takes no notice of the Server Keep Alive")
        .breaks(&["MQTT-3.1.2-21", "MQTT-3.2.2-21"], &[])
        .hears(|_, packet| {
            tell(connack(packet, |ack| {
                ack.properties.remove::<ServerKeepAlive>();
            }))
        }),
    client("alias-maximum-ignored", "uses Topic Aliases whatever the Topic Alias Maximum of the server is")
        .breaks(&["MQTT-3.2.2-17", "MQTT-3.2.2-18", "MQTT-3.3.2-9"], &[])
        .hears(|scene, packet| {
            let is_5 = scene.wire.version.is_5();
            tell(connack(packet, |ack| {
                if is_5 && !ack.reason.is_failure() {
                    ack.properties.set(TopicAliasMaximum(100));
                }
            }))
        }),
    client("alias-outlives-its-connection", "uses a Topic Alias of an earlier connection")
        .breaks(&["MQTT-3.3.2-7"], &[])
        .says(|scene, packet| {
            let again = scene.visits() > 1;
            say(publish(packet, |publish| {
                if again && publish.properties.contains::<TopicAlias>() {
                    publish.topic = None;
                }
            }))
        }),
    client("loses-aliased-messages", "does not understand a Topic Alias")
        .breaks(&["MQTT-3.3.2-10", "U5-079"], &[])
        .hears(|_, packet| match &packet {
            Packet::Publish(publish) if publish.topic.is_none() => Vec::new(),
            _ => tell(packet),
        }),
    client("alias-of-before", "takes a Topic Alias that was set on an earlier connection")
        .breaks(&["MQTT-3.3.2-7"], &[])
        .hears(|scene, packet| match packet {
            Packet::Publish(mut publish) => {
                match (&publish.topic, publish.properties.contains::<TopicAlias>()) {
                    (Some(topic), true) => {
                        scene.topics.insert(topic.as_str().to_owned());
                    }
                    (None, true) => {
                        let known = scene
                            .topics
                            .first()
                            .map(|topic| mqttspec_codec::TopicName::try_from(topic.as_str()));
                        if let Some(Ok(topic)) = known {
                            publish.topic = Some(topic);
                            publish.properties.remove::<TopicAlias>();
                        }
                    }
                    _ => {}
                }
                tell(publish)
            }
            packet => tell(packet),
        }),
    // Sessions.
    client("session-present-taken-for-granted", "takes its Session for present when the server has none")
        .breaks(&["MQTT-3.2.2-5", "MQTT-4.4.0-1"], &["MQTT-4.4.0-1"])
        .hears(|scene, packet| {
            let resumes = scene.visits() > 1;
            tell(connack(packet, |ack| ack.session_present |= resumes && !ack.reason.is_failure()))
        }),
    client("session-present-unheard", "takes its Session for lost when the server has it")
        .breaks(&["MQTT-3.2.2-4", "MQTT-4.1.0-1", "MQTT-4.4.0-1"], &["MQTT-4.1.0-1", "MQTT-4.4.0-1"])
        .hears(|_, packet| tell(connack(packet, |ack| ack.session_present = false))),
    client("clean-start-always", "begins every Session anew")
        .breaks(&["MQTT-3.1.2-23", "MQTT-4.1.0-1", "MQTT-4.4.0-1"], &["MQTT-4.1.0-1", "MQTT-4.4.0-1"])
        .says(|_, packet| say(connect(packet, |connect| connect.clean_start = true))),
    client("clean-start-never", "wants every Session of before")
        .breaks_only_a_promise()
        .says(|_, packet| say(connect(packet, |connect| connect.clean_start = false))),
    client("subscribes-once-only", "does not subscribe again when the server has lost the Session")
        .breaks_only_a_promise()
        .says(|scene, packet| match &packet {
            Packet::Subscribe(subscribe) => {
                let again = scene.visits() > 1;
                remembers(scene, subscribe);
                if again { Vec::new() } else { say(packet) }
            }
            _ => say(packet),
        }),
    client("subscribes-at-each-connection", "subscribes again although its Session is there")
        .breaks_only_a_promise()
        .says(|scene, packet| {
            if let Packet::Subscribe(subscribe) = &packet {
                remembers(scene, subscribe);
            }
            say(packet)
        })
        .hears(|scene, packet| match &packet {
            Packet::ConnAck(ack) if ack.session_present => {
                let before = scene.subscribed.get(&scene.client_id()).and_then(|all| all.last()).cloned();
                [Deed::Tell(packet)]
                    .into_iter()
                    .chain(before.map(|subscribe| Deed::Say(subscribe.into())))
                    .collect()
            }
            _ => tell(packet),
        }),
    // The connection.
    client("never-closes", "neither disconnects nor closes")
        .breaks(&["MQTT-3.14.4-2", "MQTT-4.13.2-1"], &["MQTT-3.14.4-1", "MQTT-4.8.0-1"])
        .tolerates_misdeeds()
        .says(|_, packet| says_no(packet, PacketType::Disconnect))
        .closes(|_| Vec::new()),
    client("closes-without-disconnect", "closes without DISCONNECT")
        .breaks_only_a_promise()
        .says(|_, packet| says_no(packet, PacketType::Disconnect)),
    client("speaks-after-disconnect", "sends a PINGREQ behind its DISCONNECT")
        .breaks(&["MQTT-3.14.4-1"], &["MQTT-3.14.4-2"])
        .says(|_, packet| match packet {
            Packet::Disconnect(_) => vec![Deed::Say(packet), Deed::Say(Packet::PingReq)],
            packet => say(packet),
        }),
    client("stays-after-disconnect", "does not close after its DISCONNECT")
        .breaks(&["MQTT-3.14.4-2"], &["MQTT-3.14.4-1"])
        .closes(|_| Vec::new()),
    client("takes-malformed-packets", "takes no notice of malformed packets")
        .breaks(&["U5-147"], &["MQTT-4.8.0-1"])
        .tolerates_misdeeds()
        .hears_malformed(|_, _| Vec::new()),
    client("does-not-ping", "sends no PINGREQ").breaks(&["MQTT-3.1.2-20"], &["MQTT-3.1.2-23"]).says(
        |_, packet| match packet {
            Packet::PingReq => tell(Packet::PingResp),
            packet => say(packet),
        },
    ),
    client("misses-no-pingresp", "does not notice that there is no PINGRESP")
        .breaks_only_a_promise()
        .says(|_, packet| match packet {
            Packet::PingReq => vec![Deed::Say(packet), Deed::Tell(Packet::PingResp)],
            packet => say(packet),
        })
        .hears(|_, packet| if matches!(packet, Packet::PingResp) { Vec::new() } else { tell(packet) }),
    client("connects-late", "waits five minutes before each CONNECT after the first")
        .breaks_only_a_promise()
        .says(|scene, packet| match packet {
            Packet::Connect(_) if scene.visits.values().any(|visits| *visits > 1) => {
                vec![Deed::SayLater(Duration::from_secs(300), packet)]
            }
            packet => say(packet),
        }),
    client("hears-no-connack-refusal", "takes a CONNACK that refuses it for one that accepts it")
        .breaks_only_a_promise()
        .hears(|_, packet| tell(connack(packet, |ack| ack.reason = ConnectReason::Success))),
    client("waits-for-ever", "does not notice that the server says nothing")
        .breaks_only_a_promise()
        .loses(|_| Vec::new())
        .says(|scene, packet| match packet {
            Packet::Connect(_) => {
                scene.count += 1;
                vec![Deed::Say(packet)]
            }
            packet => say(packet),
        })
        .closes(|_| Vec::new()),
    client("hears-no-disconnect", "takes no notice of the server's DISCONNECT and of its close")
        .breaks(&["U5-151"], &[])
        .hears(|_, packet| if matches!(packet, Packet::Disconnect(_)) { Vec::new() } else { tell(packet) })
        .loses(|_| Vec::new()),
    client("qos0-twice", "sends a QoS 0 message twice").breaks(&["MQTT-4.3.1-1"], &["MQTT-4.3.1-1"]).says(
        |_, packet| match &packet {
            Packet::Publish(publish) if publish.delivery.qos() == QoS::AtMostOnce => {
                vec![Deed::Say(packet.clone()), Deed::Say(packet)]
            }
            _ => say(packet),
        },
    ),
    client("malformed-publish", "sends PUBLISH packets with both QoS bits set")
        .breaks(&["MQTT-3.3.1-4"], &["MQTT-3.3.1-4"])
        .says(|_, packet| match packet {
            Packet::Publish(_) => {
                vec![Deed::SayBytes(Bytes::from_static(&[0x36, 0x05, 0x00, 0x01, b't', 0x00, 0x01]))]
            }
            packet => say(packet),
        }),
    client("sends-pingresp", "sends PINGRESP when it is accepted").breaks(&["U5-156"], &["U3-016"]).hears(
        |_, packet| match &packet {
            Packet::ConnAck(ack) if !ack.reason.is_failure() => {
                vec![Deed::Tell(packet), Deed::Say(Packet::PingResp)]
            }
            _ => tell(packet),
        },
    ),
    client("alias-maximum-off-by-one", "uses one Topic Alias more than the server takes")
        .breaks(&["MQTT-3.2.2-17", "MQTT-3.3.2-9"], &[])
        .hears(|_, packet| {
            tell(connack(packet, |ack| {
                if let Some(maximum) =
                    ack.properties.get::<TopicAliasMaximum>().filter(|maximum| maximum.0 > 0)
                {
                    ack.properties.set(TopicAliasMaximum(maximum.0.saturating_add(1)));
                }
            }))
        }),
];
