//! Acknowledgements and the steps of hand-shakes (§4.3, §4.4).

use mqttspec_codec::{
    Delivery, MessageExpiryInterval, Packet, PacketType, PubAck, PubAckReason, PubRec, PubRel, PubRelReason,
    Publish, QoS,
};

use super::server;
use crate::defects::Defect;
use crate::defects::deeds::{Deed, say, tell};
use crate::defects::rules::{
    acknowledgement, acknowledges_what_it_forgot, after, forgets_what_it_received, is_acknowledgement,
    notes_pubrec, renumbered, says_in_pairs, says_no, says_no_pubrel_again, says_publish_for_pubrel, with_id,
};

pub(super) static DEFECTS: &[Defect] = &[
    server("no-puback", "does not acknowledge QoS 1 messages")
        .says(|_, packet| says_no(packet, PacketType::PubAck)),
    server("no-pubrec", "does not answer QoS 2 messages")
        .says(|_, packet| says_no(packet, PacketType::PubRec)),
    server("no-pubrel", "does not release QoS 2 messages")
        .says(|_, packet| says_no(packet, PacketType::PubRel)),
    server("no-pubcomp", "does not answer PUBREL").says(|_, packet| says_no(packet, PacketType::PubComp)),
    server("no-suback", "does not answer SUBSCRIBE").says(|_, packet| says_no(packet, PacketType::SubAck)),
    server("no-unsuback", "does not answer UNSUBSCRIBE")
        .says(|_, packet| says_no(packet, PacketType::UnsubAck)),
    server("no-pingresp", "does not answer PINGREQ").says(|_, packet| says_no(packet, PacketType::PingResp)),
    server("acknowledges-twice", "acknowledges a QoS 1 message twice").says(|_, packet| match packet {
        Packet::PubAck(_) => vec![Deed::Say(packet.clone()), Deed::Say(packet)],
        packet => say(packet),
    }),
    server("acknowledges-another", "answers with a Packet Identifier that is not that of the request").says(
        |_, packet| match packet {
            Packet::Publish(_) | Packet::PubRel(_) => say(packet),
            packet => say(renumbered(packet, after)),
        },
    ),
    server("acknowledges-only-the-first", "does not acknowledge what it acknowledged before").says(
        |scene, packet| match (&packet, packet.packet_identifier()) {
            (Packet::PubRec(_), Some(id)) if !scene.wire.identifiers.insert(id) => Vec::new(),
            _ => say(packet),
        },
    ),
    server("acknowledges-out-of-order", "acknowledges messages in pairs, the second first")
        .says(|scene, packet| says_in_pairs(scene, packet, is_acknowledgement)),
    server("refuses-a-repeated-qos2", "answers the repetition of a QoS 2 message with 0x91").hears(
        |scene, packet| match &packet {
            Packet::Publish(Publish { delivery: Delivery::ExactlyOnce { id, dup: true }, .. }) => {
                if scene.wire.version.is_5() {
                    say(PubRec::new(*id, PubAckReason::PacketIdentifierInUse))
                } else {
                    vec![Deed::Close, Deed::TellEnd]
                }
            }
            _ => tell(packet),
        },
    ),
    server(
        "disconnects-at-the-second-repetition",
        "takes the second repetition of a message for a Protocol Error",
    )
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
    server("loses-what-is-repeated", "acknowledges a repeated message and does not deliver it").hears(
        |scene, packet| match &packet {
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
        },
    ),
    server(
        "forgets-received-qos2",
        "forgets which QoS 2 messages it has, so that a repeated one is a new one",
    )
    .hears(forgets_what_it_received)
    .says(acknowledges_what_it_forgot),
    server("delivers-at-publish-and-pubrel", "delivers a QoS 2 message at its PUBLISH and at its PUBREL")
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
    server("pubrel-before-pubrec", "releases a QoS 2 message together with its PUBLISH").says(|_, packet| {
        match &packet {
            Packet::PubRel(_) => Vec::new(),
            Packet::Publish(publish) => {
                let release = match publish.delivery {
                    Delivery::ExactlyOnce { id, .. } => Some(Deed::Say(PubRel::success(id).into())),
                    _ => None,
                };
                [Deed::Say(packet)].into_iter().chain(release).collect()
            }
            _ => say(packet),
        }
    }),
    server("pubrel-not-sent-again", "does not send PUBREL again on a new connection")
        .hears(notes_pubrec)
        .says(says_no_pubrel_again),
    server("publish-again-for-pubrel", "begins with PUBLISH again where PUBREL is due on a new connection")
        .hears(notes_pubrec)
        .says(says_publish_for_pubrel),
    server("pubcomp-not-found", "answers every PUBREL with 0x92").says(|scene, mut packet| {
        if let (Packet::PubComp(done), true) = (&mut packet, scene.wire.version.is_5()) {
            done.reason = PubRelReason::PacketIdentifierNotFound;
        }
        say(packet)
    }),
    server("pubrel-lost-to-expiry", "does not release a message with a Message Expiry Interval").says(
        |scene, packet| match &packet {
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
        },
    ),
    server("hears-no-acknowledgement", "takes no notice of acknowledgements")
        .hears(|_, packet| if is_acknowledgement(&packet) { Vec::new() } else { tell(packet) }),
    server("hears-no-refusal", "takes a PUBACK or PUBREC that refuses a message for one that accepts it")
        .hears(|_, mut packet| {
            if let Packet::PubAck(PubAck { reason, .. }) | Packet::PubRec(PubRec { reason, .. }) = &mut packet
            {
                *reason = PubAckReason::Success;
            }
            tell(packet)
        }),
];
