//! Acknowledgements of QoS 1 and QoS 2 messages, in both directions (§4.3, §4.4).

use std::collections::VecDeque;

use mqttspec_codec::{
    Delivery, MessageExpiryInterval, Packet, PacketType, PubAck, PubAckReason, PubRec, PubRel, PubRelReason,
    Publish, QoS, Role,
};
use mqttspec_spec::Standard;

use super::mutant;
use crate::both_roles::answers_qos2_as_qos1;
use crate::edit::{acknowledgement, duplicate, is_acknowledgement, next_identifier, renumbered};
use crate::effect::{Effect, deliver, send};
use crate::handlers::{
    acknowledge_forgotten, forget_received, omit_repeated_pubrel, record_pubrec, send_except,
    send_publish_for_pubrel,
};
use crate::mutant::Mutant;

pub(super) static MUTANTS: &[Mutant] = &[
    mutant("no-puback", "does not acknowledge QoS 1 messages")
        .gets_wrong(&["PUBACK"])
        .breaks(&["MQTT-4.3.2-4", "MQTT-3.3.4-1"], &["MQTT-4.3.2-2", "MQTT-3.3.4-1"])
        .also_blamed(&[(Standard::V3_1, &["U31-027"], "a message that is not allowed has no PUBACK either")])
        .on_outgoing(|_, packet| send_except(packet, PacketType::PubAck)),
    mutant("no-pubrec", "does not answer QoS 2 messages")
        .gets_wrong(&["PUBREC"])
        .breaks(&["MQTT-4.3.3-8", "MQTT-4.3.3-10", "MQTT-3.3.4-1"], &["MQTT-4.3.3-2", "MQTT-3.3.4-1"])
        .on_outgoing(|_, packet| send_except(packet, PacketType::PubRec)),
    mutant("no-pubrel", "does not send PUBREL")
        .gets_wrong(&["PUBREL"])
        .breaks(&["MQTT-4.3.3-4"], &["MQTT-4.3.3-1"])
        .on_outgoing(|_, packet| send_except(packet, PacketType::PubRel)),
    mutant("no-pubcomp", "does not answer PUBREL")
        .gets_wrong(&["PUBCOMP"])
        .breaks(&["MQTT-4.3.3-11"], &["MQTT-4.3.3-2"])
        .on_outgoing(|_, packet| send_except(packet, PacketType::PubComp)),
    answers_qos2_as_qos1(Role::Server),
    mutant("answers-qos1-as-qos2", "answers QoS 1 messages with PUBREC")
        .gets_wrong(&["PUBACK"])
        .breaks(&["MQTT-3.3.4-1", "MQTT-4.3.2-4"], &["MQTT-3.3.4-1", "MQTT-4.3.2-2"])
        .on_outgoing(|_, packet| match packet {
            Packet::PubAck(ack) => send(PubRec::new(ack.id, PubAckReason::Success)),
            packet => send(packet),
        }),
    mutant("acknowledges-another", "answers with another Packet Identifier than the request's")
        .gets_wrong(&["id", "PUBACK", "PUBREC", "PUBCOMP", "SUBACK", "UNSUBACK"])
        .breaks(
            &[
                "MQTT-2.2.1-5",
                "MQTT-2.2.1-6",
                "MQTT-3.8.4-2",
                "MQTT-3.10.4-5",
                "MQTT-4.3.2-4",
                "MQTT-4.3.3-8",
                "MQTT-4.3.3-11",
                "MQTT-3.8.4-1",
            ],
            &[
                "MQTT-2.3.1-6",
                "MQTT-2.3.1-7",
                "MQTT-3.8.4-2",
                "MQTT-3.10.4-4",
                "MQTT-4.3.2-2",
                "MQTT-4.3.3-2",
                "MQTT-3.8.4-1",
            ],
        )
        .on_outgoing(|_, packet| match packet {
            Packet::Publish(_) | Packet::PubRel(_) => send(packet),
            packet => send(renumbered(packet, next_identifier)),
        }),
    mutant("acknowledges-only-the-first", "does not acknowledge the repetition of a message")
        .gets_wrong(&["PUBACK", "PUBREC"])
        .breaks(&["MQTT-4.3.3-10"], &["MQTT-4.3.3-2"])
        .on_outgoing(|state, packet| match (&packet, packet.packet_identifier()) {
            (Packet::PubRec(_), Some(id)) if !state.connection.identifiers.insert(id) => Vec::new(),
            _ => send(packet),
        }),
    mutant("refuses-a-repeated-qos2", "refuses the repetition of a QoS 2 message with 0x91")
        .breaks(&["MQTT-4.3.3-10"], &["MQTT-4.3.3-2"])
        .on_incoming(|state, packet| match &packet {
            Packet::Publish(Publish { delivery: Delivery::ExactlyOnce { id, dup: true }, .. }) => {
                if state.connection.version.is_5() {
                    send(PubRec::new(*id, PubAckReason::PacketIdentifierInUse))
                } else {
                    vec![Effect::Close, Effect::DeliverEnd]
                }
            }
            _ => deliver(packet),
        }),
    mutant("remembers-what-it-refused", "holds an identifier in use after a PUBREC that refuses its message")
        .breaks(&["MQTT-4.3.3-9", "U5-149"], &[])
        .on_incoming(|state, packet| match &packet {
            Packet::Publish(Publish { delivery: Delivery::ExactlyOnce { id, .. }, .. })
                if state.connection.identifiers.contains(id) =>
            {
                send(PubRec::new(*id, PubAckReason::PacketIdentifierInUse))
            }
            _ => deliver(packet),
        })
        .on_outgoing(|state, packet| {
            if let Packet::PubRec(ack) = &packet
                && ack.reason.is_failure()
            {
                state.connection.identifiers.insert(ack.id);
            }
            send(packet)
        }),
    mutant(
        "disconnects-at-the-second-repetition",
        "treats the second repetition of a message as a Protocol Error",
    )
    .breaks(&["MQTT-4.3.3-10", "MQTT-4.3.2-5", "U5-056"], &["MQTT-4.3.3-2", "MQTT-4.3.2-2"])
    .on_incoming(|state, packet| match &packet {
        Packet::Publish(publish) if publish.delivery.dup() => {
            if state.is_every_nth(2) {
                vec![Effect::Close, Effect::DeliverEnd]
            } else {
                deliver(packet)
            }
        }
        _ => deliver(packet),
    }),
    mutant("loses-what-is-repeated", "acknowledges a repeated message and does not deliver it")
        .gets_wrong(&["PUBLISH"])
        .breaks(
            &["MQTT-4.3.2-4", "MQTT-4.3.2-5", "MQTT-4.3.3-8", "MQTT-4.5.0-1", "U5-123", "U5-056"],
            &["MQTT-4.3.2-2", "MQTT-4.3.3-2", "MQTT-4.5.0-1"],
        )
        .on_incoming(|state, packet| match &packet {
            Packet::Publish(publish) if publish.delivery.dup() => {
                acknowledgement(&packet).into_iter().map(Effect::Send).collect()
            }
            Packet::Publish(publish) => {
                state.connection.identifiers.extend(publish.delivery.packet_identifier());
                deliver(packet)
            }
            Packet::PubRel(release) if !state.connection.identifiers.contains(&release.id) => {
                acknowledgement(&packet).into_iter().map(Effect::Send).collect()
            }
            _ => deliver(packet),
        }),
    mutant(
        "forgets-received-qos2",
        "forgets received QoS 2 messages, so that a repetition counts as a new message",
    )
    .breaks(&["MQTT-4.3.3-10"], &["MQTT-4.3.3-2", "MQTT-4.1.0-1"])
    .on_incoming(forget_received)
    .on_outgoing(acknowledge_forgotten),
    mutant("delivers-at-publish-and-pubrel", "delivers a QoS 2 message at its PUBLISH and at its PUBREL")
        .gets_wrong(&["extra"])
        .breaks(&["MQTT-4.3.3-10", "U5-116"], &["MQTT-4.3.3-2"])
        .also_blamed(&[
            (Standard::V3_1_1, &["MQTT-2.3.1-4"], "the second copy takes an identifier that is in use"),
            (Standard::V5, &["MQTT-2.2.1-4"], "the second copy takes an identifier that is in use"),
        ])
        .on_outgoing(|_, packet| match &packet {
            Packet::Publish(publish)
                if publish.delivery.qos() == QoS::ExactlyOnce && !publish.delivery.dup() =>
            {
                let second = duplicate(publish);
                vec![Effect::Send(packet), Effect::Send(second.into())]
            }
            _ => send(packet),
        }),
    mutant("pubrel-before-pubrec", "sends PUBREL together with PUBLISH")
        .gets_wrong(&["PUBREL"])
        .breaks(&["MQTT-4.3.3-3", "MQTT-4.3.3-4"], &["MQTT-4.3.3-1"])
        .on_outgoing(|_, packet| match &packet {
            Packet::PubRel(_) => Vec::new(),
            Packet::Publish(publish) => {
                let release = match publish.delivery {
                    Delivery::ExactlyOnce { id, .. } => Some(Effect::Send(PubRel::success(id).into())),
                    _ => None,
                };
                [Effect::Send(packet)].into_iter().chain(release).collect()
            }
            _ => send(packet),
        }),
    mutant("pubrel-not-sent-again", "does not resend PUBREL on a new connection")
        .gets_wrong(&["PUBREL"])
        .breaks(&["MQTT-4.3.3-5", "MQTT-4.4.0-1"], &["MQTT-4.3.3-1", "MQTT-4.4.0-1"])
        .on_incoming(record_pubrec)
        .on_outgoing(omit_repeated_pubrel),
    mutant("publish-again-for-pubrel", "resends PUBLISH instead of PUBREL on a new connection")
        .gets_wrong(&["PUBREL"])
        .breaks(
            &["MQTT-4.3.3-6", "U5-119", "MQTT-4.3.3-5", "MQTT-4.4.0-1"],
            &["MQTT-4.3.3-1", "MQTT-4.4.0-1"],
        )
        .on_incoming(record_pubrec)
        .on_outgoing(send_publish_for_pubrel),
    mutant("pubcomp-not-found", "answers every PUBREL with 0x92")
        .breaks(&["MQTT-4.3.3-11", "U5-117"], &[])
        .also_blamed(&[(
            Standard::V5,
            &["U5-113", "U5-005"],
            "a PUBREL that is not understood looks like one whose exchange is unknown",
        )])
        .on_outgoing(|state, mut packet| {
            if let (Packet::PubComp(done), true) = (&mut packet, state.connection.version.is_5()) {
                done.reason = PubRelReason::PacketIdentifierNotFound;
            }
            send(packet)
        }),
    mutant("pubrel-lost-to-expiry", "does not send PUBREL for a message with a Message Expiry Interval")
        .breaks(&["MQTT-4.3.3-4", "MQTT-4.3.3-7", "MQTT-4.3.3-13"], &[])
        .on_outgoing(|state, packet| match &packet {
            Packet::Publish(publish) => {
                if publish.properties.contains::<MessageExpiryInterval>() {
                    state
                        .messages
                        .extend(publish.delivery.packet_identifier().map(|id| (id, publish.clone())));
                }
                send(packet)
            }
            Packet::PubRel(release) if state.messages.contains_key(&release.id) => Vec::new(),
            _ => send(packet),
        }),
    mutant("hears-no-acknowledgement", "ignores acknowledgements")
        .gets_wrong(&["PUBREL", "PUBLISH", "extra"])
        .breaks(&["MQTT-4.3.3-4", "MQTT-4.4.0-1", "MQTT-4.9.0-2"], &["MQTT-4.3.3-1", "MQTT-4.4.0-1"])
        .on_incoming(|_, packet| if is_acknowledgement(&packet) { Vec::new() } else { deliver(packet) }),
    mutant("hears-no-refusal", "treats a PUBACK or PUBREC that refuses a message as success")
        .breaks(&["MQTT-4.4.0-2", "MQTT-4.8.2-6", "U5-106", "U5-114"], &[])
        .also_blamed(&[(
            Standard::V5,
            &["MQTT-4.4.0-1"],
            "what a refusal ended is sent again under its old identifier",
        )])
        .on_incoming(|_, mut packet| {
            if let Packet::PubAck(PubAck { reason, .. }) | Packet::PubRec(PubRec { reason, .. }) = &mut packet
            {
                *reason = PubAckReason::Success;
            }
            deliver(packet)
        }),
    mutant("expired-in-mid-flow", "does not answer the PUBREL of a message with a Message Expiry Interval")
        .breaks(&["MQTT-4.3.3-11", "MQTT-4.3.3-13", "U5-067"], &[])
        .on_incoming(|state, packet| match &packet {
            Packet::Publish(publish) if publish.properties.contains::<MessageExpiryInterval>() => {
                state
                    .identifiers
                    .extend(publish.delivery.packet_identifier().map(|id| (id, VecDeque::new())));
                deliver(packet)
            }
            Packet::PubRel(release) if state.identifiers.contains_key(&release.id) => Vec::new(),
            _ => deliver(packet),
        }),
];
