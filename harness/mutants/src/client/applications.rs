//! What the reference client promises its application beyond the standard: the circuit breaker, the
//! offline queue, and requests that time out.

use core::time::Duration;

use mqttspec_codec::{
    ConnAck, CorrelationData, Packet, PacketIdentifier, PubAck, Publish, QoS, ResponseTopic,
};

use super::mutant;
use crate::edit::with_id;
use crate::effect::{Effect, deliver, send};
use crate::mutant::Mutant;
use crate::state::State;

/// The number of ends of connections in a row, none of them after a CONNACK but the first, after
/// which the breaker of a scenario is open: a connection that was accepted, and three attempts.
const BREAKER: u32 = 4;

pub(super) static MUTANTS: &[Mutant] = &[
    mutant("breaker-stays-closed", "goes on trying after the failures that open its circuit breaker")
        .breaks_only_documented_behaviour()
        .on_incoming(count_from_connack)
        .on_network_end(|state| {
            state.count += 1;
            let again = (state.count >= BREAKER).then_some(Effect::Dial(Duration::from_secs(1)));
            [Effect::DeliverEnd].into_iter().chain(again).collect()
        }),
    mutant("breaker-stays-open", "makes no attempt any more once its circuit breaker has opened")
        .breaks_only_documented_behaviour()
        .on_incoming(count_from_connack)
        .on_outgoing(|state, packet| match packet {
            Packet::Connect(_) if state.count >= BREAKER => Vec::new(),
            packet => send(packet),
        })
        .on_network_end(|state| {
            state.count += 1;
            vec![Effect::DeliverEnd]
        }),
    mutant("queue-in-reverse", "sends the first two messages that waited in its queue in reverse order")
        .breaks_only_documented_behaviour()
        .on_outgoing(|state, packet| match number_in_queue(state, &packet) {
            Some(1) => {
                state.held = Some(packet);
                Vec::new()
            }
            Some(2) => [packet].into_iter().chain(state.held.take()).map(Effect::Send).collect(),
            _ => send(packet),
        }),
    mutant("queue-loses-the-first", "loses the message that waited longest in its queue")
        .breaks_only_documented_behaviour()
        .on_outgoing(|state, packet| match (number_in_queue(state, &packet), &packet) {
            (Some(1), Packet::Publish(publish)) => match publish.delivery.packet_identifier() {
                Some(id) => deliver(PubAck::success(id)),
                None => Vec::new(),
            },
            _ => send(packet),
        }),
    mutant("queue-keeps-too-many", "sends one message more than its queue can hold")
        .breaks_only_documented_behaviour()
        .on_outgoing(|state, packet| match (number_in_queue(state, &packet), packet) {
            (Some(2), Packet::Publish(publish)) => {
                let id = publish.delivery.packet_identifier().map_or(1, PacketIdentifier::get) ^ 0x4000;
                let id = PacketIdentifier::new(id).unwrap_or(PacketIdentifier::MIN);
                let more = Publish { delivery: with_id(publish.delivery, id), ..publish.clone() };
                vec![Effect::Send(publish.into()), Effect::Send(more.into())]
            }
            (_, packet) => send(packet),
        }),
    mutant("answers-its-requests", "makes up a response to each request of its application")
        .breaks_only_documented_behaviour()
        .on_outgoing(|_, packet| {
            let response = match &packet {
                Packet::Publish(request) => response_to(request),
                _ => None,
            };
            let later = |response| Effect::DeliverLater(Duration::from_secs(1), Packet::Publish(response));
            [Effect::Send(packet)].into_iter().chain(response.map(later)).collect()
        }),
];

/// A successful CONNACK begins the count of ends anew.
fn count_from_connack(state: &mut State, packet: Packet) -> Vec<Effect> {
    if matches!(&packet, Packet::ConnAck(ConnAck { reason, .. }) if !reason.is_failure()) {
        state.count = 0;
    }
    deliver(packet)
}

/// Counts the new QoS 1 messages of a connection after the first one, from 1.
fn number_in_queue(state: &mut State, packet: &Packet) -> Option<u32> {
    let Packet::Publish(publish) = packet else { return None };
    let is_new = publish.delivery.qos() == QoS::AtLeastOnce && !publish.delivery.dup();
    if !is_new || state.connection_count() < 2 {
        return None;
    }
    state.connection.count += 1;
    Some(state.connection.count)
}

/// A response to a request.
fn response_to(request: &Publish) -> Option<Publish> {
    let ResponseTopic(topic) = request.properties.get()?;
    let correlation: CorrelationData = request.properties.get()?;
    Some(Publish::new(topic, "made up").with(correlation))
}
