//! Delivery of messages: DUP, Packet Identifier, order, topic, payload and QoS (§3.3, §4.5, §4.6).

use bytes::Bytes;
use mqttspec_codec::{Delivery, Packet, QoS, Role, SubAckReason};
use mqttspec_spec::Standard;

use super::mutant;
use crate::both_roles::qos0_twice;
use crate::edit::{UNUSED_TOPIC, edit_publish, edit_subscriptions, encoded, repetition, topic};
use crate::effect::{Effect, deliver, send};
use crate::handlers::{restore_identifier, swap_pairs, use_one_identifier};
use crate::mutant::Mutant;

pub(super) static MUTANTS: &[Mutant] = &[
    mutant("dup-forgotten", "resends with DUP 0")
        .gets_wrong(&["dup=0"])
        .breaks(&["MQTT-3.3.1-1"], &["MQTT-3.3.1-1"])
        .also_blamed(&[
            (Standard::V3_1_1, &["MQTT-4.4.0-1"], "one PUBLISH is expected, repeated and with DUP"),
            (Standard::V5, &["MQTT-4.4.0-1"], "one PUBLISH is expected, repeated and with DUP"),
        ])
        .on_outgoing(|_, packet| {
            send(edit_publish(packet, |publish| publish.delivery = publish.delivery.with_dup(false)))
        }),
    mutant("dup-always", "sends with DUP 1 the first time")
        .gets_wrong(&["dup=1"])
        .breaks(
            &["MQTT-3.3.1-3", "MQTT-4.3.2-2", "MQTT-4.3.3-2"],
            &["MQTT-3.3.1-3", "MQTT-4.3.2-1", "MQTT-4.3.3-1"],
        )
        .on_outgoing(|_, packet| {
            send(edit_publish(packet, |publish| publish.delivery = publish.delivery.with_dup(true)))
        }),
    mutant("one-identifier-for-all", "gives every message the Packet Identifier 1")
        .gets_wrong(&["id", "PUBREL", "PUBLISH", "order"])
        .breaks(
            &["MQTT-2.2.1-4", "MQTT-4.3.2-1", "MQTT-4.3.3-1"],
            &["MQTT-2.3.1-4", "MQTT-4.3.2-1", "MQTT-4.3.3-1"],
        )
        .also_blamed(&[
            (Standard::V3_1_1, &["MQTT-2.3.1-1"], "one PUBLISH with an identifier of its own is expected"),
            (
                Standard::V5,
                &["MQTT-4.3.2-3", "MQTT-4.3.3-5"],
                "an identifier in use is given again, as if its message were no longer open",
            ),
        ])
        .on_outgoing(use_one_identifier)
        .on_incoming(restore_identifier),
    mutant("repeats-while-connected", "resends a QoS 1 message while the connection is open")
        .gets_wrong(&["extra"])
        .breaks(&["MQTT-4.4.0-1", "U5-118"], &[])
        .on_outgoing(|_, packet| match &packet {
            Packet::Publish(publish) if publish.delivery.qos() == QoS::AtLeastOnce => {
                let again = repetition(publish);
                [packet].into_iter().chain(again).map(Effect::Send).collect()
            }
            _ => send(packet),
        }),
    mutant("does-not-send-again", "does not resend unacknowledged messages on a new connection")
        .gets_wrong(&["PUBLISH"])
        .breaks(
            &["MQTT-4.4.0-1", "MQTT-4.3.2-3", "MQTT-4.3.3-3", "MQTT-3.10.4-3"],
            &["MQTT-4.4.0-1", "MQTT-4.3.2-1", "MQTT-4.3.3-1", "MQTT-3.10.4-3"],
        )
        .also_blamed(&[
            (
                Standard::V5,
                &["MQTT-3.3.1-1", "MQTT-4.6.0-5", "MQTT-3.3.2-7", "U5-078"],
                "DUP, order and topic are those of the repeated PUBLISH, which does not come",
            ),
            (
                Standard::V3_1_1,
                &["MQTT-2.3.1-4", "MQTT-4.6.0-6", "MQTT-3.3.1-1"],
                "identifier, DUP and order are those of the repeated PUBLISH, which does not come",
            ),
        ])
        .on_outgoing(|_, packet| match &packet {
            Packet::Publish(publish) if publish.delivery.dup() => Vec::new(),
            _ => send(packet),
        }),
    qos0_twice(Role::Server),
    mutant("loses-every-third", "drops every third message")
        .gets_wrong(&["PUBLISH"])
        .breaks(&["MQTT-4.5.0-1", "MQTT-4.1.0-1", "U5-124"], &["MQTT-4.5.0-1", "MQTT-4.1.0-1"])
        .on_outgoing(|state, packet| match &packet {
            Packet::Publish(_) if state.is_every_nth(3) => Vec::new(),
            _ => send(packet),
        }),
    mutant("loses-every-fortieth", "drops every fortieth message")
        .gets_wrong(&["PUBLISH"])
        .breaks(&["MQTT-4.5.0-1", "MQTT-4.1.0-1", "U5-124"], &["MQTT-4.5.0-1", "MQTT-4.1.0-1"])
        .on_outgoing(|state, packet| match &packet {
            Packet::Publish(_) if state.is_every_nth(40) => Vec::new(),
            _ => send(packet),
        }),
    mutant("out-of-order", "sends messages in swapped pairs")
        .gets_wrong(&["order", "PUBLISH", "extra"])
        .breaks(&["MQTT-4.6.0-5", "MQTT-4.6.0-6"], &["MQTT-4.6.0-5", "MQTT-4.6.0-6"])
        .also_blamed(&[
            (
                Standard::V3_1_1,
                &["MQTT-2.3.1-4"],
                "of two swapped packets the later one uses an identifier that the earlier one frees",
            ),
            (
                Standard::V5,
                &["MQTT-2.2.1-4", "MQTT-4.4.0-1"],
                "of two swapped packets the later one uses an identifier that the earlier one frees",
            ),
        ])
        .on_outgoing(|state, packet| {
            swap_pairs(state, packet, |packet| matches!(packet, Packet::Publish(_)))
        }),
    mutant("another-topic", "changes the topic of every message")
        .gets_wrong(&["topic", "PUBLISH"])
        .breaks(&["MQTT-3.3.2-3", "MQTT-4.5.0-1"], &["MQTT-3.3.2-3", "MQTT-4.5.0-1"])
        .also_blamed(&[(Standard::V5, &["U5-132"], "another name looks like one that was normalised")])
        .on_outgoing(|_, packet| {
            send(edit_publish(packet, |publish| {
                if publish.topic.is_some() {
                    publish.topic = Some(UNUSED_TOPIC);
                }
            }))
        }),
    mutant("cuts-payloads", "drops the last byte of every payload")
        .gets_wrong(&["payload", "PUBLISH", "extra", "order"])
        .breaks(
            &["MQTT-4.3.2-4", "MQTT-4.3.3-8", "MQTT-4.5.0-1"],
            &["MQTT-4.3.2-2", "MQTT-4.3.3-2", "MQTT-4.5.0-1"],
        )
        .also_blamed(&[(
            Standard::V5,
            &["MQTT-4.6.0-5", "U5-103"],
            "the messages are told apart by their payloads",
        )])
        .on_outgoing(|_, packet| {
            send(edit_publish(packet, |publish| {
                publish.payload.truncate(publish.payload.len().saturating_sub(1));
            }))
        }),
    mutant("qos-always-0", "delivers everything at QoS 0")
        .gets_wrong(&["qos", "extra", "order"])
        .breaks(&["MQTT-3.3.4-2", "MQTT-3.8.4-8"], &["MQTT-3.3.5-1", "MQTT-3.8.4-6"])
        .also_blamed(&[
            (Standard::V5, &["MQTT-3.8.4-3"], "the replaced Subscription shows in the QoS of its messages"),
            (
                Standard::V3_1_1,
                &["MQTT-3.8.4-3"],
                "the replaced Subscription shows in the QoS of its messages",
            ),
        ])
        .on_outgoing(|_, packet| {
            send(edit_publish(packet, |publish| publish.delivery = Delivery::AtMostOnce))
        }),
    mutant("grants-qos2-to-all", "grants QoS 2 to every Subscription, whatever was requested")
        .breaks(&["MQTT-3.8.4-7", "MQTT-3.8.4-8", "MQTT-4.8.2-3"], &["MQTT-3.8.4-5", "MQTT-3.8.4-6"])
        .on_incoming(|_, packet| {
            deliver(edit_subscriptions(packet, |subscription| subscription.qos = QoS::ExactlyOnce))
        })
        .on_outgoing(|_, mut packet| {
            if let Packet::SubAck(ack) = &mut packet {
                let granted = ack.reasons.iter_mut().filter(|reason| **reason == SubAckReason::GrantedQoS2);
                granted.for_each(|reason| *reason = SubAckReason::GrantedQoS0);
            }
            send(packet)
        }),
    mutant("says-granted-2", "reports QoS 2 in every SUBACK, whatever it granted")
        .gets_wrong(&["reasons"])
        .breaks(&["MQTT-3.8.4-7", "MQTT-3.8.4-8"], &["MQTT-3.8.4-5", "MQTT-3.8.4-6"])
        .also_blamed(&[
            (
                Standard::V3_1_1,
                &["MQTT-3.9.3-1", "MQTT-3.9.3-2"],
                "one SUBACK is expected, and its order shows where its codes differ",
            ),
            (
                Standard::V5,
                &["MQTT-3.9.3-1", "U5-149"],
                "one SUBACK is expected, and its order shows where its codes differ",
            ),
        ])
        .on_outgoing(|_, mut packet| {
            if let Packet::SubAck(ack) = &mut packet {
                ack.reasons.iter_mut().for_each(|reason| *reason = SubAckReason::GrantedQoS2);
            }
            send(packet)
        }),
    mutant("malformed-publish", "sends PUBLISH packets with both QoS bits set")
        .gets_wrong(&["PUBLISH"])
        .breaks(&["MQTT-3.3.1-4"], &["MQTT-3.3.1-4"])
        .on_outgoing(|_, packet| match packet {
            Packet::Publish(_) => {
                vec![Effect::SendBytes(Bytes::from_static(&[0x36, 0x05, 0x00, 0x01, b't', 0x00, 0x01]))]
            }
            packet => send(packet),
        }),
    mutant("takes-equal-messages-for-one", "drops a message that equals an earlier one")
        .gets_wrong(&["PUBLISH"])
        .breaks(&["MQTT-4.5.0-1", "U5-108"], &["MQTT-4.5.0-1"])
        .also_blamed(&[(
            Standard::V5,
            &["MQTT-4.8.2-3"],
            "two copies are expected, each at its own QoS, and one does not come",
        )])
        .on_outgoing(|state, packet| match &packet {
            Packet::Publish(publish) if !publish.delivery.dup() => {
                let message = format!("{} {:?}", topic(publish), publish.payload);
                if state.connection.topics.insert(message) { send(packet) } else { Vec::new() }
            }
            _ => send(packet),
        }),
    mutant("dup-on-qos-0", "accepts and sends DUP 1 with QoS 0")
        .breaks(&["MQTT-3.3.1-2"], &["MQTT-3.3.1-2"])
        .on_malformed(|_, bytes| match bytes.split_first() {
            Some((0x38, rest)) => vec![Effect::DeliverBytes([&[0x30], rest].concat().into())],
            _ => vec![Effect::DeliverBytes(bytes)],
        })
        .on_outgoing(|state, packet| match &packet {
            Packet::Publish(publish) if publish.delivery.qos() == QoS::AtMostOnce => {
                let mut bytes = encoded(&packet, state.connection.version).unwrap_or_default();
                bytes.iter_mut().take(1).for_each(|first| *first |= 0x08);
                vec![Effect::SendBytes(bytes.into())]
            }
            _ => send(packet),
        }),
    mutant("gossips", "sends every message to every Client")
        .gets_wrong(&["extra"])
        .breaks(&["MQTT-3.3.2-3", "U5-072", "U5-132", "U5-133"], &["MQTT-3.3.2-3", "MQTT-3.3.5-2"])
        .also_blamed(&[
            (Standard::V3_1_1, &["MQTT-4.7.3-4"], "a subscriber cannot tell why a topic counts as a match"),
            (Standard::V5, &["MQTT-4.7.3-4"], "a subscriber cannot tell why a topic counts as a match"),
        ])
        .on_incoming(|state, packet| {
            let Packet::Publish(publish) = &packet else { return deliver(packet) };
            let mut copy = publish.clone();
            (copy.delivery, copy.retain) = (Delivery::AtMostOnce, false);
            copy.properties.clear();
            let copies = state.other_connections().map(|number| Effect::Send(copy.clone().into()).on(number));
            copies.chain([Effect::Deliver(packet.clone())]).collect()
        }),
];
