//! Sending and receiving messages: DUP, Packet Identifier, order, repetition (§3.3, §4.3, §4.6).

use bytes::Bytes;
use mqttspec_codec::{Packet, QoS, Role};
use mqttspec_spec::Standard;

use super::mutant;
use crate::both_roles::qos0_twice;
use crate::edit::{edit_publish, repetition};
use crate::effect::{Effect, deliver, send};
use crate::handlers::{restore_identifier, swap_pairs, use_one_identifier};
use crate::mutant::Mutant;

pub(super) static MUTANTS: &[Mutant] = &[
    mutant("hands-over-twice", "delivers QoS 0 messages to its application twice")
        .gets_wrong(&["extra", "PUBLISH"])
        .breaks(&["MQTT-4.3.1-1"], &["MQTT-4.3.1-1"])
        .on_incoming(|_, packet| match &packet {
            Packet::Publish(publish) if publish.delivery.qos() == QoS::AtMostOnce => {
                vec![Effect::Deliver(packet.clone()), Effect::Deliver(packet)]
            }
            _ => deliver(packet),
        }),
    mutant("dup-forgotten", "resends with DUP 0")
        .gets_wrong(&["dup=0"])
        .breaks(&["MQTT-3.3.1-1"], &["MQTT-3.3.1-1"])
        .also_blamed(&[
            (
                Standard::V3_1_1,
                &["MQTT-4.4.0-1", "MQTT-4.6.0-1"],
                "one PUBLISH is expected, repeated and with DUP",
            ),
            (
                Standard::V5,
                &["MQTT-4.4.0-1", "MQTT-4.6.0-1"],
                "one PUBLISH is expected, repeated and with DUP",
            ),
        ])
        .on_outgoing(|_, packet| {
            send(edit_publish(packet, |publish| publish.delivery = publish.delivery.with_dup(false)))
        }),
    mutant("dup-always", "sends with DUP 1 the first time")
        .gets_wrong(&["dup=1"])
        .breaks(&["MQTT-4.3.2-2", "MQTT-4.3.3-2"], &["MQTT-4.3.2-1", "MQTT-4.3.3-1"])
        .on_outgoing(|_, packet| {
            send(edit_publish(packet, |publish| publish.delivery = publish.delivery.with_dup(true)))
        }),
    mutant("repeats-while-connected", "resends a message while the connection is open")
        .gets_wrong(&["extra"])
        .breaks(&["MQTT-4.4.0-1", "U5-118"], &[])
        .on_outgoing(|_, packet| match &packet {
            Packet::Publish(publish) => {
                let again = repetition(publish);
                [packet].into_iter().chain(again).map(Effect::Send).collect()
            }
            _ => send(packet),
        }),
    mutant("does-not-send-again", "does not resend unacknowledged messages on a new connection")
        .gets_wrong(&["PUBLISH"])
        .breaks(
            &["MQTT-4.3.2-3", "MQTT-4.3.3-3", "MQTT-4.4.0-1"],
            &["MQTT-4.3.2-1", "MQTT-4.3.3-1", "MQTT-4.4.0-1"],
        )
        .also_blamed(&[
            (
                Standard::V5,
                &["MQTT-4.6.0-1"],
                "the order is that of the repeated PUBLISH packets, which do not come",
            ),
            (
                Standard::V3_1_1,
                &["MQTT-4.6.0-1"],
                "the order is that of the repeated PUBLISH packets, which do not come",
            ),
        ])
        .on_outgoing(|_, packet| match &packet {
            Packet::Publish(publish) if publish.delivery.dup() => Vec::new(),
            _ => send(packet),
        }),
    mutant("loses-every-third", "drops every third message that it sends")
        .gets_wrong(&["PUBLISH"])
        .breaks(&["MQTT-4.3.2-2", "MQTT-4.3.3-2"], &["MQTT-4.3.2-1", "MQTT-4.3.3-1"])
        .also_blamed(&[(
            Standard::V3_1_1,
            &["MQTT-2.3.1-3", "MQTT-3.3.1-1", "MQTT-4.4.0-1"],
            "the message that it drops is one that it has to send again",
        )])
        .on_outgoing(|state, packet| match &packet {
            Packet::Publish(_) if state.is_every_nth(3) => Vec::new(),
            _ => send(packet),
        }),
    mutant("out-of-order", "swaps each two messages that it sends again")
        .gets_wrong(&["order", "PUBLISH"])
        .breaks(&["MQTT-4.6.0-1"], &["MQTT-4.6.0-1"])
        .also_blamed(&[
            (
                Standard::V3_1_1,
                &["MQTT-4.4.0-1"],
                "one PUBLISH is expected, the next of those that are repeated",
            ),
            (Standard::V5, &["MQTT-4.4.0-1"], "one PUBLISH is expected, the next of those that are repeated"),
        ])
        .on_outgoing(|state, packet| {
            let is_repeated =
                |packet: &Packet| matches!(packet, Packet::Publish(publish) if publish.delivery.dup());
            swap_pairs(state, packet, is_repeated)
        }),
    mutant("one-identifier-for-all", "gives every message the Packet Identifier 1")
        .gets_wrong(&["id"])
        .breaks(
            &["MQTT-2.2.1-3", "MQTT-4.3.2-1", "MQTT-4.3.3-1"],
            &["MQTT-2.3.1-2", "MQTT-4.3.2-1", "MQTT-4.3.3-1"],
        )
        .also_blamed(&[
            (Standard::V5, &["MQTT-4.3.3-1"], "one PUBLISH with an identifier of its own is expected"),
            (Standard::V3_1_1, &["MQTT-4.3.3-1"], "one PUBLISH with an identifier of its own is expected"),
        ])
        .on_outgoing(use_one_identifier)
        .on_incoming(restore_identifier),
    mutant(
        "identifiers-shared-by-both-directions",
        "drops a message whose Packet Identifier one of its own messages uses",
    )
    .breaks(&["MQTT-4.3.3-8", "U5-113"], &["MQTT-4.3.3-2"])
    .on_outgoing(|state, packet| {
        if let Packet::Publish(publish) = &packet {
            state.connection.identifiers.extend(publish.delivery.packet_identifier());
        }
        send(packet)
    })
    .on_incoming(|state, packet| match &packet {
        Packet::Publish(publish)
            if publish
                .delivery
                .packet_identifier()
                .is_some_and(|id| state.connection.identifiers.contains(&id)) =>
        {
            Vec::new()
        }
        _ => deliver(packet),
    }),
    qos0_twice(Role::Client),
    mutant("malformed-publish", "sends PUBLISH packets with both QoS bits set")
        .breaks(&["MQTT-3.3.1-4"], &["MQTT-3.3.1-4"])
        .on_outgoing(|_, packet| match packet {
            Packet::Publish(_) => {
                vec![Effect::SendBytes(Bytes::from_static(&[0x36, 0x05, 0x00, 0x01, b't', 0x00, 0x01]))]
            }
            packet => send(packet),
        }),
];
