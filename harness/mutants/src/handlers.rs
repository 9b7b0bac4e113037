//! Handlers that several mutants share.

use mqttspec_codec::{Packet, PacketIdentifier, PacketType, PubRel, QoS};

use crate::edit::{HIDDEN_IDENTIFIER, renumbered, with_id};
use crate::effect::{Effect, deliver, send};
use crate::state::State;

/// Sends every packet except those of one type.
pub(crate) fn send_except(packet: Packet, packet_type: PacketType) -> Vec<Effect> {
    if packet.packet_type() == packet_type { Vec::new() } else { send(packet) }
}

/// Sends every packet except the answers to requests that the mutant made itself.
pub(crate) fn send_except_hidden(packet: Packet) -> Vec<Effect> {
    match &packet {
        Packet::SubAck(ack) if ack.id == HIDDEN_IDENTIFIER => Vec::new(),
        Packet::UnsubAck(ack) if ack.id == HIDDEN_IDENTIFIER => Vec::new(),
        _ => send(packet),
    }
}

/// Swaps packets in pairs: the second of each two is sent first.
pub(crate) fn swap_pairs(state: &mut State, packet: Packet, applies: fn(&Packet) -> bool) -> Vec<Effect> {
    if !applies(&packet) {
        return send(packet);
    }
    match state.held.take() {
        Some(held) => vec![Effect::Send(packet), Effect::Send(held)],
        None => {
            state.held = Some(packet);
            Vec::new()
        }
    }
}

// One Packet Identifier for all messages: on the network, every message of the peer has the
// identifier 1.

/// Outgoing half: gives every PUBLISH and PUBREL the identifier 1.
pub(crate) fn use_one_identifier(state: &mut State, packet: Packet) -> Vec<Effect> {
    let is_publish = matches!(packet, Packet::Publish(_));
    if !is_publish && !matches!(packet, Packet::PubRel(_)) {
        return send(packet);
    }
    send(renumbered(packet, |id| {
        if is_publish {
            state.identifiers.entry(PacketIdentifier::MIN).or_default().push_back(id);
        }
        PacketIdentifier::MIN
    }))
}

/// Incoming half: gives each acknowledgement the identifier that the peer used.
pub(crate) fn restore_identifier(state: &mut State, packet: Packet) -> Vec<Effect> {
    let used = state.identifiers.entry(PacketIdentifier::MIN).or_default();
    let is_last = matches!(packet, Packet::PubAck(_) | Packet::PubComp(_));
    if !is_last && !matches!(packet, Packet::PubRec(_)) {
        return deliver(packet);
    }
    let original = if is_last { used.pop_front() } else { used.front().copied() };
    deliver(renumbered(packet, |id| original.unwrap_or(id)))
}

// Forgotten Packet Identifiers of received QoS 2 messages: a repeated PUBLISH reaches the peer as a
// new message.

/// Incoming half: gives a repeated PUBLISH another identifier and DUP 0.
pub(crate) fn forget_received(state: &mut State, packet: Packet) -> Vec<Effect> {
    match packet {
        Packet::Publish(mut repeated)
            if repeated.delivery.dup() && repeated.delivery.qos() == QoS::ExactlyOnce =>
        {
            let Some(id) = repeated.delivery.packet_identifier() else { return Vec::new() };
            let other = PacketIdentifier::new(id.get() ^ 0x4000).unwrap_or(PacketIdentifier::MIN);
            state.identifiers.entry(id).or_default().push_back(other);
            repeated.delivery = with_id(repeated.delivery, other).with_dup(false);
            deliver(repeated)
        }
        Packet::PubRel(release) => {
            let id = state.identifiers.get(&release.id).and_then(|others| others.front().copied());
            deliver(PubRel { id: id.unwrap_or(release.id), ..release })
        }
        packet => deliver(packet),
    }
}

/// Outgoing half: acknowledges with the identifier that the sender used.
pub(crate) fn acknowledge_forgotten(state: &mut State, packet: Packet) -> Vec<Effect> {
    if !matches!(packet, Packet::PubRec(_) | Packet::PubComp(_)) {
        return send(packet);
    }
    send(renumbered(packet, |id| {
        let known = state.identifiers.iter().find(|(_, others)| others.contains(&id));
        known.map_or(id, |(original, _)| *original)
    }))
}

// PUBREL on a new Network Connection.

/// Incoming half: records which messages a PUBREC arrived for on this Network Connection.
pub(crate) fn record_pubrec(state: &mut State, packet: Packet) -> Vec<Effect> {
    if let Packet::PubRec(record) = &packet {
        state.connection.identifiers.insert(record.id);
    }
    deliver(packet)
}

/// Outgoing half: does not resend PUBREL on a new Network Connection.
pub(crate) fn omit_repeated_pubrel(state: &mut State, packet: Packet) -> Vec<Effect> {
    match &packet {
        Packet::PubRel(release) if !state.connection.identifiers.contains(&release.id) => Vec::new(),
        _ => send(packet),
    }
}

/// Outgoing half: resends PUBLISH instead of PUBREL on a new Network Connection.
pub(crate) fn send_publish_for_pubrel(state: &mut State, packet: Packet) -> Vec<Effect> {
    match &packet {
        Packet::Publish(publish) => {
            if let Some(id) = publish.delivery.packet_identifier() {
                state.messages.insert(id, publish.clone());
            }
            send(packet)
        }
        Packet::PubRel(release) if !state.connection.identifiers.contains(&release.id) => {
            let Some(mut message) = state.messages.get(&release.id).cloned() else { return send(packet) };
            message.delivery = message.delivery.with_dup(true);
            send(message)
        }
        _ => send(packet),
    }
}
