//! Functions that change or make packets, for mutants of both roles.

use bytes::{Bytes, BytesMut};
use mqttspec_codec::{
    ConnAck, Connect, Delivery, NonEmpty, Packet, PacketIdentifier, PubAck, PubComp, PubRec, PubRel, Publish,
    Subscribe, Subscription, TopicName, Unsubscribe, Version, Will,
};

use crate::effect::{Effect, send};
use crate::state::State;

/// A Topic Name that no scenario uses.
pub(crate) const UNUSED_TOPIC: TopicName = TopicName::from_static("somewhere/else");

/// The Packet Identifier of SUBSCRIBE and UNSUBSCRIBE packets that a mutant makes itself. The
/// answers to them must not reach the network. No scenario uses it.
pub(crate) const HIDDEN_IDENTIFIER: PacketIdentifier = match PacketIdentifier::new(61_853) {
    Some(id) => id,
    None => PacketIdentifier::MAX,
};

/// Changes the packet if it is a PUBLISH.
pub(crate) fn edit_publish(mut packet: Packet, change: impl FnOnce(&mut Publish)) -> Packet {
    if let Packet::Publish(publish) = &mut packet {
        change(publish);
    }
    packet
}

/// Changes the packet if it is a CONNECT.
pub(crate) fn edit_connect(mut packet: Packet, change: impl FnOnce(&mut Connect)) -> Packet {
    if let Packet::Connect(connect) = &mut packet {
        change(connect);
    }
    packet
}

/// Changes the Will of the packet if it is a CONNECT with a Will.
pub(crate) fn edit_will(packet: Packet, change: impl FnOnce(&mut Will)) -> Packet {
    edit_connect(packet, |connect| {
        if let Some(will) = &mut connect.will {
            change(will);
        }
    })
}

/// Changes each Subscription of the packet if it is a SUBSCRIBE.
pub(crate) fn edit_subscriptions(mut packet: Packet, change: impl FnMut(&mut Subscription)) -> Packet {
    if let Packet::Subscribe(subscribe) = &mut packet {
        subscribe.subscriptions.iter_mut().for_each(change);
    }
    packet
}

/// Changes the packet if it is a CONNACK.
pub(crate) fn edit_connack(mut packet: Packet, change: impl FnOnce(&mut ConnAck)) -> Packet {
    if let Packet::ConnAck(ack) = &mut packet {
        change(ack);
    }
    packet
}

/// Changes the Packet Identifier of a PUBLISH, an acknowledgement, a SUBACK or an UNSUBACK.
pub(crate) fn renumbered(
    mut packet: Packet,
    number: impl FnOnce(PacketIdentifier) -> PacketIdentifier,
) -> Packet {
    match &mut packet {
        Packet::Publish(publish) => {
            if let Some(id) = publish.delivery.packet_identifier() {
                publish.delivery = with_id(publish.delivery, number(id));
            }
        }
        Packet::PubAck(PubAck { id, .. })
        | Packet::PubRec(PubRec { id, .. })
        | Packet::PubRel(PubRel { id, .. })
        | Packet::PubComp(PubComp { id, .. }) => *id = number(*id),
        Packet::SubAck(ack) => ack.id = number(ack.id),
        Packet::UnsubAck(ack) => ack.id = number(ack.id),
        _ => {}
    }
    packet
}

/// The Packet Identifier after this one; 1 after the largest.
pub(crate) fn next_identifier(id: PacketIdentifier) -> PacketIdentifier {
    PacketIdentifier::new(id.get().wrapping_add(1)).unwrap_or(PacketIdentifier::MIN)
}

/// The same delivery with another Packet Identifier.
pub(crate) fn with_id(delivery: Delivery, id: PacketIdentifier) -> Delivery {
    match delivery {
        Delivery::AtMostOnce => Delivery::AtMostOnce,
        Delivery::AtLeastOnce { dup, .. } => Delivery::AtLeastOnce { id, dup },
        Delivery::ExactlyOnce { dup, .. } => Delivery::ExactlyOnce { id, dup },
    }
}

/// A second PUBLISH of the same message, with a Packet Identifier of its own.
pub(crate) fn duplicate(publish: &Publish) -> Publish {
    let mut second = publish.clone();
    if let Some(id) = publish.delivery.packet_identifier() {
        second.delivery = with_id(second.delivery, next_identifier(next_identifier(id)));
    }
    second
}

/// The PUBLISH with DUP 1; `None` for QoS 0, which is never resent.
pub(crate) fn repetition(publish: &Publish) -> Option<Packet> {
    publish.delivery.packet_identifier()?;
    let mut again = publish.clone();
    again.delivery = again.delivery.with_dup(true);
    Some(again.into())
}

/// The Topic Name of a PUBLISH; empty if it has only a Topic Alias.
pub(crate) fn topic(publish: &Publish) -> String {
    publish.topic.as_ref().map_or_else(String::new, |topic| topic.as_str().to_owned())
}

/// The next packet that the receiver of a PUBLISH or PUBREL owes to its sender.
pub(crate) fn acknowledgement(packet: &Packet) -> Option<Packet> {
    match packet {
        Packet::Publish(publish) => match publish.delivery {
            Delivery::AtMostOnce => None,
            Delivery::AtLeastOnce { id, .. } => Some(PubAck::success(id).into()),
            Delivery::ExactlyOnce { id, .. } => Some(PubRec::success(id).into()),
        },
        Packet::PubRel(release) => Some(PubComp::success(release.id).into()),
        _ => None,
    }
}

/// Whether the packet is a PUBACK, PUBREC or PUBCOMP.
pub(crate) fn is_acknowledgement(packet: &Packet) -> bool {
    matches!(packet, Packet::PubAck(_) | Packet::PubRec(_) | Packet::PubComp(_))
}

/// An UNSUBSCRIBE with the hidden identifier for every Topic Filter of a SUBSCRIBE.
pub(crate) fn hidden_unsubscribe(subscribe: &Subscribe) -> Packet {
    let mut filters = NonEmpty::one(subscribe.subscriptions.first().filter.clone());
    subscribe.subscriptions.iter().skip(1).for_each(|subscription| filters.push(subscription.filter.clone()));
    Unsubscribe::new(HIDDEN_IDENTIFIER, filters).into()
}

/// Sends an AUTH after a change of its bytes. Its length must have one byte.
pub(crate) fn patched_auth(state: &State, packet: Packet, change: impl FnOnce(&mut Vec<u8>)) -> Vec<Effect> {
    match encoded(&packet, state.connection.version) {
        Some(mut bytes) if matches!(packet, Packet::Auth(_)) && bytes[1] < 0x80 => {
            change(&mut bytes);
            vec![Effect::SendBytes(Bytes::from(bytes))]
        }
        _ => send(packet),
    }
}

/// The bytes of a packet; `None` if the version has no such packet.
pub(crate) fn encoded(packet: &Packet, version: Version) -> Option<Vec<u8>> {
    let mut bytes = BytesMut::new();
    packet.encode(version, &mut bytes).ok()?;
    Some(bytes.to_vec())
}
