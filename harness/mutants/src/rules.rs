//! The parts that rules are made of, for either side.

use bytes::BytesMut;
use mqttspec_codec::{
    Connect, Delivery, NonEmpty, Packet, PacketIdentifier, PacketType, PubAck, PubComp, PubRec, PubRel,
    Publish, QoS, Subscribe, Subscription, TopicName, Unsubscribe, Version, Will,
};

use super::deeds::{Deed, say, tell};
use super::scene::Scene;

const FIRST: PacketIdentifier = PacketIdentifier::MIN;

/// The packet, changed if it is a PUBLISH.
pub(super) fn publish(mut packet: Packet, change: impl FnOnce(&mut Publish)) -> Packet {
    if let Packet::Publish(publish) = &mut packet {
        change(publish);
    }
    packet
}

/// The packet, changed if it is a CONNECT.
pub(super) fn connect(mut packet: Packet, change: impl FnOnce(&mut Connect)) -> Packet {
    if let Packet::Connect(connect) = &mut packet {
        change(connect);
    }
    packet
}

/// The packet, its Will changed if it is a CONNECT with one.
pub(super) fn will(packet: Packet, change: impl FnOnce(&mut Will)) -> Packet {
    connect(packet, |connect| {
        if let Some(will) = &mut connect.will {
            change(will);
        }
    })
}

/// The packet, its Subscriptions changed if it is a SUBSCRIBE.
pub(super) fn subscriptions(mut packet: Packet, change: impl FnMut(&mut Subscription)) -> Packet {
    if let Packet::Subscribe(subscribe) = &mut packet {
        subscribe.subscriptions.iter_mut().for_each(change);
    }
    packet
}

/// The packet, changed if it is a CONNACK.
pub(super) fn connack(mut packet: Packet, change: impl FnOnce(&mut mqttspec_codec::ConnAck)) -> Packet {
    if let Packet::ConnAck(ack) = &mut packet {
        change(ack);
    }
    packet
}

/// Says everything but packets of one type.
pub(super) fn says_no(packet: Packet, packet_type: PacketType) -> Vec<Deed> {
    if packet.packet_type() == packet_type { Vec::new() } else { say(packet) }
}

/// The packet, if it is an acknowledgement or answer, with another identifier.
pub(super) fn renumbered(
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

/// The next identifier.
pub(super) fn after(id: PacketIdentifier) -> PacketIdentifier {
    PacketIdentifier::new(id.get().wrapping_add(1)).unwrap_or(FIRST)
}

pub(super) fn with_id(delivery: Delivery, id: PacketIdentifier) -> Delivery {
    match delivery {
        Delivery::AtMostOnce => Delivery::AtMostOnce,
        Delivery::AtLeastOnce { dup, .. } => Delivery::AtLeastOnce { id, dup },
        Delivery::ExactlyOnce { dup, .. } => Delivery::ExactlyOnce { id, dup },
    }
}

/// The Topic Name of a PUBLISH; empty where there is only an alias.
pub(super) fn topic(publish: &Publish) -> String {
    publish.topic.as_ref().map_or_else(String::new, |topic| topic.as_str().to_owned())
}

/// The identifier of a request that the peer never made, or that nobody made to it: its answer is swallowed.
pub(super) const HIDDEN: PacketIdentifier = PacketIdentifier::MAX;

/// Says everything but the answers to hidden requests.
pub(super) fn says_nothing_hidden(packet: Packet) -> Vec<Deed> {
    match &packet {
        Packet::SubAck(ack) if ack.id == HIDDEN => Vec::new(),
        Packet::UnsubAck(ack) if ack.id == HIDDEN => Vec::new(),
        _ => say(packet),
    }
}

/// A hidden UNSUBSCRIBE for what a SUBSCRIBE asks for.
pub(super) fn undone(subscribe: &Subscribe) -> Packet {
    let mut filters = NonEmpty::one(subscribe.subscriptions.first().filter.clone());
    subscribe.subscriptions.iter().skip(1).for_each(|subscription| filters.push(subscription.filter.clone()));
    Unsubscribe::new(HIDDEN, filters).into()
}

/// The bytes of a packet; none where the version has no such packet.
pub(super) fn encoded(packet: &Packet, version: Version) -> Option<Vec<u8>> {
    let mut bytes = BytesMut::new();
    packet.encode(version, &mut bytes).ok()?;
    Some(bytes.to_vec())
}

/// A Topic Name that nobody uses.
pub(super) const ELSEWHERE: TopicName = TopicName::from_static("somewhere/else");

// Identifiers that are given twice: every exchange that the peer begins gets 1 on the wire.

/// Says every PUBLISH with the Packet Identifier 1.
pub(super) fn one_for_all(scene: &mut Scene, packet: Packet) -> Vec<Deed> {
    let begins = matches!(packet, Packet::Publish(_));
    let ours = begins || matches!(packet, Packet::PubRel(_));
    if !ours {
        return say(packet);
    }
    say(renumbered(packet, |id| {
        if begins {
            scene.identifiers.entry(FIRST).or_default().push_back(id);
        }
        FIRST
    }))
}

/// The way back for [`one_for_all`].
pub(super) fn one_was_for(scene: &mut Scene, packet: Packet) -> Vec<Deed> {
    let behind = scene.identifiers.entry(FIRST).or_default();
    let last = matches!(packet, Packet::PubAck(_) | Packet::PubComp(_));
    if !last && !matches!(packet, Packet::PubRec(_)) {
        return tell(packet);
    }
    let real = if last { behind.pop_front() } else { behind.front().copied() };
    tell(renumbered(packet, |id| real.unwrap_or(id)))
}

// Received QoS 2 identifiers that are forgotten: a repeated PUBLISH comes to the peer as a new one.

/// Hears a repeated PUBLISH as a new one.
pub(super) fn forgets_what_it_received(scene: &mut Scene, packet: Packet) -> Vec<Deed> {
    match packet {
        Packet::Publish(mut repeated)
            if repeated.delivery.dup() && repeated.delivery.qos() == QoS::ExactlyOnce =>
        {
            let Some(id) = repeated.delivery.packet_identifier() else { return Vec::new() };
            let other = PacketIdentifier::new(id.get() ^ 0x4000).unwrap_or(FIRST);
            scene.identifiers.entry(id).or_default().push_back(other);
            repeated.delivery = with_id(repeated.delivery, other).with_dup(false);
            tell(repeated)
        }
        Packet::PubRel(release) => {
            let id = scene.identifiers.get(&release.id).and_then(|behind| behind.front().copied());
            tell(PubRel { id: id.unwrap_or(release.id), ..release })
        }
        packet => tell(packet),
    }
}

/// The way back for [`forgets_what_it_received`].
pub(super) fn acknowledges_what_it_forgot(scene: &mut Scene, packet: Packet) -> Vec<Deed> {
    if !matches!(packet, Packet::PubRec(_) | Packet::PubComp(_)) {
        return say(packet);
    }
    say(renumbered(packet, |id| {
        let known = scene.identifiers.iter().find(|(_, behind)| behind.contains(&id));
        known.map_or(id, |(seen, _)| *seen)
    }))
}

/// Remembers for which messages PUBREC came on this Network Connection.
pub(super) fn notes_pubrec(scene: &mut Scene, packet: Packet) -> Vec<Deed> {
    if let Packet::PubRec(record) = &packet {
        scene.wire.identifiers.insert(record.id);
    }
    tell(packet)
}

/// Does not send PUBREL again on a new Network Connection.
pub(super) fn says_no_pubrel_again(scene: &mut Scene, packet: Packet) -> Vec<Deed> {
    match &packet {
        Packet::PubRel(release) if !scene.wire.identifiers.contains(&release.id) => Vec::new(),
        _ => say(packet),
    }
}

/// Begins with PUBLISH again where PUBREL is due on a new Network Connection.
pub(super) fn says_publish_for_pubrel(scene: &mut Scene, packet: Packet) -> Vec<Deed> {
    match &packet {
        Packet::Publish(publish) => {
            if let Some(id) = publish.delivery.packet_identifier() {
                scene.messages.insert(id, publish.clone());
            }
            say(packet)
        }
        Packet::PubRel(release) if !scene.wire.identifiers.contains(&release.id) => {
            let Some(mut message) = scene.messages.get(&release.id).cloned() else { return say(packet) };
            message.delivery = message.delivery.with_dup(true);
            say(message)
        }
        _ => say(packet),
    }
}

/// Sends messages in pairs, the second first.
pub(super) fn says_in_pairs(scene: &mut Scene, packet: Packet, which: fn(&Packet) -> bool) -> Vec<Deed> {
    if !which(&packet) {
        return say(packet);
    }
    match scene.held.take() {
        Some(held) => vec![Deed::Say(packet), Deed::Say(held)],
        None => {
            scene.held = Some(packet);
            Vec::new()
        }
    }
}

/// The acknowledgement that ends or goes on with what a PUBLISH or PUBREL began.
pub(super) fn acknowledgement(packet: &Packet) -> Option<Packet> {
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

/// A PUBLISH as a repetition; `None` for QoS 0, which has none.
pub(super) fn repetition(publish: &Publish) -> Option<Packet> {
    publish.delivery.packet_identifier()?;
    let mut again = publish.clone();
    again.delivery = again.delivery.with_dup(true);
    Some(again.into())
}

/// An acknowledgement of a PUBLISH, in any of its steps.
pub(super) fn is_acknowledgement(packet: &Packet) -> bool {
    matches!(packet, Packet::PubAck(_) | Packet::PubRec(_) | Packet::PubComp(_))
}

/// Whether a SUBSCRIBE asks for the same as one before on the Session at hand; it is remembered.
pub(super) fn remembers(scene: &mut Scene, subscribe: &Subscribe) {
    scene.subscribed.entry(scene.client_id()).or_default().push(subscribe.clone());
}
