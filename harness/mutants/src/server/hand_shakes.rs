//! Acknowledgements and the steps of hand-shakes (§4.3, §4.4).

use std::collections::VecDeque;

use mqttspec_codec::{
    Delivery, MessageExpiryInterval, Packet, PacketType, PubAck, PubAckReason, PubRec, PubRel, PubRelReason,
    Publish, QoS,
};

use super::server;
use crate::Defect;
use crate::deeds::{Deed, say, tell};
use crate::rules::{
    acknowledgement, acknowledges_what_it_forgot, after, forgets_what_it_received, is_acknowledgement,
    notes_pubrec, renumbered, says_no, says_no_pubrel_again, says_publish_for_pubrel, with_id,
};

pub(super) static DEFECTS: &[Defect] = &[
    server("no-puback", "does not acknowledge QoS 1 messages")
        .breaks(&["MQTT-4.3.2-4", "MQTT-3.3.4-1"], &["MQTT-4.3.2-2", "MQTT-3.3.4-1"])
        .says(|_, packet| says_no(packet, PacketType::PubAck)),
    server("no-pubrec", "does not answer QoS 2 messages")
        .breaks(&["MQTT-4.3.3-8", "MQTT-3.3.4-1"], &["MQTT-4.3.3-2", "MQTT-3.3.4-1"])
        .says(|_, packet| says_no(packet, PacketType::PubRec)),
    server("no-pubrel", "does not release QoS 2 messages")
        .breaks(&["MQTT-4.3.3-4"], &["MQTT-4.3.3-1"])
        .says(|_, packet| says_no(packet, PacketType::PubRel)),
    server("no-pubcomp", "does not answer PUBREL")
        .breaks(&["MQTT-4.3.3-11"], &["MQTT-4.3.3-2"])
        .says(|_, packet| says_no(packet, PacketType::PubComp)),
    server("no-suback", "does not answer SUBSCRIBE")
        .breaks(&["MQTT-3.8.4-1"], &["MQTT-3.8.4-1"])
        .says(|_, packet| says_no(packet, PacketType::SubAck)),
    server("no-unsuback", "does not answer UNSUBSCRIBE")
        .breaks(&["MQTT-3.10.4-4"], &["MQTT-3.10.4-4"])
        .says(|_, packet| says_no(packet, PacketType::UnsubAck)),
    server("no-pingresp", "does not answer PINGREQ")
        .breaks(&["MQTT-3.12.4-1"], &["MQTT-3.12.4-1"])
        .says(|_, packet| says_no(packet, PacketType::PingResp)),
    server("acknowledges-twice", "acknowledges a QoS 1 message twice")
        .breaks(&["MQTT-2.2.1-5", "MQTT-4.3.2-4"], &["MQTT-2.3.1-6", "MQTT-4.3.2-2"])
        .says(|_, packet| match packet {
            Packet::PubAck(_) => vec![Deed::Say(packet.clone()), Deed::Say(packet)],
            packet => say(packet),
        }),
    server("acknowledges-another", "answers with a Packet Identifier that is not that of the request")
        .breaks(
            &[
                "MQTT-2.2.1-5",
                "MQTT-2.2.1-6",
                "MQTT-3.8.4-2",
                "MQTT-3.10.4-5",
                "MQTT-4.3.2-4",
                "MQTT-4.3.3-8",
                "MQTT-4.3.3-11",
            ],
            &[
                "MQTT-2.3.1-6",
                "MQTT-2.3.1-7",
                "MQTT-3.8.4-2",
                "MQTT-3.10.4-4",
                "MQTT-4.3.2-2",
                "MQTT-4.3.3-2",
            ],
        )
        .says(|_, packet| match packet {
            Packet::Publish(_) | Packet::PubRel(_) => say(packet),
            packet => say(renumbered(packet, after)),
        }),
    server("acknowledges-only-the-first", "does not acknowledge what it acknowledged before")
        .breaks(&["MQTT-4.3.3-10"], &["MQTT-4.3.3-2"])
        .says(|scene, packet| match (&packet, packet.packet_identifier()) {
            (Packet::PubRec(_), Some(id)) if !scene.wire.identifiers.insert(id) => Vec::new(),
            _ => say(packet),
        }),
    server("refuses-a-repeated-qos2", "answers the repetition of a QoS 2 message with 0x91")
        .breaks(&["MQTT-4.3.3-10"], &["MQTT-4.3.3-2"])
        .hears(|scene, packet| match &packet {
            Packet::Publish(Publish { delivery: Delivery::ExactlyOnce { id, dup: true }, .. }) => {
                if scene.wire.version.is_5() {
                    say(PubRec::new(*id, PubAckReason::PacketIdentifierInUse))
                } else {
                    vec![Deed::Close, Deed::TellEnd]
                }
            }
            _ => tell(packet),
        }),
    server(
        "disconnects-at-the-second-repetition",
        "takes the second repetition of a message for a Protocol Error",
    )
    .breaks(&["MQTT-4.3.3-10", "MQTT-4.3.2-5", "U5-056"], &["MQTT-4.3.3-2", "MQTT-4.3.2-2"])
    .hears(|scene, packet| match &packet {
        Packet::Publish(publish) if publish.delivery.dup() => {
            if scene.each(2) {
                vec![Deed::Close, Deed::TellEnd]
            } else {
                tell(packet)
            }
        }
        _ => tell(packet),
    }),
    server("loses-what-is-repeated", "acknowledges a repeated message and does not deliver it")
        .breaks(
            &["MQTT-4.3.2-4", "MQTT-4.3.2-5", "MQTT-4.3.3-8", "MQTT-4.5.0-1", "U5-123"],
            &["MQTT-4.3.2-2", "MQTT-4.3.3-2", "MQTT-4.5.0-1"],
        )
        .hears(|scene, packet| match &packet {
            Packet::Publish(publish) if publish.delivery.dup() => {
                acknowledgement(&packet).into_iter().map(Deed::Say).collect()
            }
            Packet::Publish(publish) => {
                scene.wire.identifiers.extend(publish.delivery.packet_identifier());
                tell(packet)
            }
            Packet::PubRel(release) if !scene.wire.identifiers.contains(&release.id) => {
                acknowledgement(&packet).into_iter().map(Deed::Say).collect()
            }
            _ => tell(packet),
        }),
    server(
        "forgets-received-qos2",
        "forgets which QoS 2 messages it has, so that a repeated one is a new one",
    )
    .breaks(&["MQTT-4.3.3-10"], &["MQTT-4.3.3-2"])
    .hears(forgets_what_it_received)
    .says(acknowledges_what_it_forgot),
    server("delivers-at-publish-and-pubrel", "delivers a QoS 2 message at its PUBLISH and at its PUBREL")
        .breaks(&["MQTT-4.3.3-10", "U5-116"], &["MQTT-4.3.3-2"])
        .says(|scene, packet| match &packet {
            Packet::Publish(publish)
                if publish.delivery.qos() == QoS::ExactlyOnce && !publish.delivery.dup() =>
            {
                let mut again = publish.clone();
                if let Some(id) = publish.delivery.packet_identifier() {
                    again.delivery = with_id(again.delivery, after(after(id)));
                }
                scene.count += 1;
                vec![Deed::Say(packet), Deed::Say(again.into())]
            }
            _ => say(packet),
        }),
    server("pubrel-before-pubrec", "releases a QoS 2 message together with its PUBLISH")
        .breaks(&["MQTT-4.3.3-4"], &["MQTT-4.3.3-1"])
        .says(|_, packet| match &packet {
            Packet::PubRel(_) => Vec::new(),
            Packet::Publish(publish) => {
                let release = match publish.delivery {
                    Delivery::ExactlyOnce { id, .. } => Some(Deed::Say(PubRel::success(id).into())),
                    _ => None,
                };
                [Deed::Say(packet)].into_iter().chain(release).collect()
            }
            _ => say(packet),
        }),
    server("pubrel-not-sent-again", "does not send PUBREL again on a new connection")
        .breaks(&["MQTT-4.3.3-5", "MQTT-4.4.0-1"], &["MQTT-4.3.3-1", "MQTT-4.4.0-1"])
        .hears(notes_pubrec)
        .says(says_no_pubrel_again),
    server("publish-again-for-pubrel", "begins with PUBLISH again where PUBREL is due on a new connection")
        .breaks(&["MQTT-4.3.3-6", "U5-119"], &["MQTT-4.3.3-1"])
        .hears(notes_pubrec)
        .says(says_publish_for_pubrel),
    server("pubcomp-not-found", "answers every PUBREL with 0x92")
        .breaks(&["MQTT-4.3.3-11", "U5-117"], &[])
        .says(|scene, mut packet| {
            if let (Packet::PubComp(done), true) = (&mut packet, scene.wire.version.is_5()) {
                done.reason = PubRelReason::PacketIdentifierNotFound;
            }
            say(packet)
        }),
    server("pubrel-lost-to-expiry", "does not release a message with a Message Expiry Interval")
        .breaks(&["MQTT-4.3.3-4", "MQTT-4.3.3-7", "MQTT-4.3.3-13"], &[])
        .says(|scene, packet| match &packet {
            Packet::Publish(publish) => {
                if publish.properties.contains::<MessageExpiryInterval>() {
                    scene
                        .messages
                        .extend(publish.delivery.packet_identifier().map(|id| (id, publish.clone())));
                }
                say(packet)
            }
            Packet::PubRel(release) if scene.messages.contains_key(&release.id) => Vec::new(),
            _ => say(packet),
        }),
    server("hears-no-acknowledgement", "takes no notice of acknowledgements")
        .breaks(&["MQTT-4.3.3-4", "MQTT-4.4.0-1", "MQTT-4.9.0-2"], &["MQTT-4.3.3-1", "MQTT-4.4.0-1"])
        .hears(|_, packet| if is_acknowledgement(&packet) { Vec::new() } else { tell(packet) }),
    server("hears-no-refusal", "takes a PUBACK or PUBREC that refuses a message for one that accepts it")
        .breaks(&["MQTT-4.4.0-2", "MQTT-4.8.2-6", "U5-106", "U5-114"], &[])
        .hears(|_, mut packet| {
            if let Packet::PubAck(PubAck { reason, .. }) | Packet::PubRec(PubRec { reason, .. }) = &mut packet
            {
                *reason = PubAckReason::Success;
            }
            tell(packet)
        }),
    server("acknowledges-unsubscribe-as-another", "answers UNSUBSCRIBE with another Packet Identifier")
        .breaks(&["MQTT-2.2.1-6", "MQTT-3.10.4-5"], &["MQTT-2.3.1-7", "MQTT-3.10.4-4"])
        .says(|_, packet| match packet {
            Packet::UnsubAck(_) => say(renumbered(packet, after)),
            packet => say(packet),
        }),
    server("one-unsuback-for-each-filter", "answers an UNSUBSCRIBE with an UNSUBACK for each filter")
        .breaks(&["MQTT-3.10.4-6", "MQTT-3.11.3-2"], &["MQTT-3.10.4-6"])
        .hears(|scene, packet| {
            if let Packet::Unsubscribe(unsubscribe) = &packet {
                scene.wire.count = u32::try_from(unsubscribe.filters.len()).unwrap_or(1);
            }
            tell(packet)
        })
        .says(|scene, packet| match packet {
            Packet::UnsubAck(ack) if scene.wire.count > 1 => {
                let mut one = ack.clone();
                one.reasons.truncate(1);
                (0..scene.wire.count).map(|_| Deed::Say(one.clone().into())).collect()
            }
            packet => say(packet),
        }),
    server("expired-in-mid-flow", "does not answer the PUBREL of a message that could expire")
        .breaks(&["MQTT-4.3.3-11", "MQTT-4.3.3-13", "U5-067"], &[])
        .hears(|scene, packet| match &packet {
            Packet::Publish(publish) if publish.properties.contains::<MessageExpiryInterval>() => {
                scene
                    .identifiers
                    .extend(publish.delivery.packet_identifier().map(|id| (id, VecDeque::new())));
                tell(packet)
            }
            Packet::PubRel(release) if scene.identifiers.contains_key(&release.id) => Vec::new(),
            _ => tell(packet),
        }),
];
