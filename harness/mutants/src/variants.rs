//! Conformant peers that differ from the reference peers on the wire.
//!
//! A variant has the form of a mutant and breaks nothing. It does what the standard leaves open
//! and an option of the core cannot express: when packets are sent, and in which order. A check
//! that fails on a variant is wrong.

use core::time::Duration;

use mqttspec_codec::{Disconnect, Packet, Role, TopicAlias};

use crate::edit::edit_connect;
use crate::effect::{Effect, deliver, send};
use crate::mutant::Mutant;
use crate::state::State;

/// Longer than a round trip, shorter than every time that a scenario waits for.
const LATE: Duration = Duration::from_millis(50);

const fn server(name: &'static str, does: &'static str) -> Mutant {
    Mutant::of(Role::Server, name, does)
}

const fn client(name: &'static str, does: &'static str) -> Mutant {
    Mutant::of(Role::Client, name, does)
}

static SERVER: &[Mutant] = &[
    Mutant::unchanged(Role::Server),
    server("sends-messages-late", "sends each message after answers that follow it")
        .on_outgoing(|_, packet| send_late(packet, is_message)),
    // §3.8.4 of 5.0: PUBLISH packets may come before SUBACK
    server("acknowledges-subscriptions-late", "sends SUBACK after the first messages")
        .on_outgoing(|_, packet| send_late(packet, |packet| matches!(packet, Packet::SubAck(_)))),
    server("acknowledges-messages-late", "sends acknowledgements after packets that follow them")
        .on_outgoing(|_, packet| send_late(packet, is_acknowledgement)),
    // [MQTT-4.6.0-6] the order is that of one topic
    server("sends-topics-out-of-order", "keeps the order of messages within a topic only")
        .on_outgoing(|_, packet| send_late(packet, is_of_an_odd_topic)),
    // [MQTT-3.1.2-22] says when a Server closes at the latest
    server("closes-after-the-keep-alive", "does not wait for one and a half times the Keep Alive")
        .on_incoming(|_, packet| {
            deliver(edit_connect(packet, |connect| {
                connect.keep_alive = connect.keep_alive.saturating_mul(2).div_ceil(3);
            }))
        }),
    server("sends-in-parts", "sends each packet in two TCP segments")
        .on_outgoing(|_, packet| vec![Effect::SendInParts(packet)]),
];

static CLIENT: &[Mutant] = &[
    Mutant::unchanged(Role::Client),
    client("sends-messages-late", "sends each message after answers that follow it")
        .on_outgoing(|_, packet| send_late(packet, is_message)),
    client("acknowledges-messages-late", "sends acknowledgements after packets that follow them")
        .on_outgoing(|_, packet| send_late(packet, is_acknowledgement)),
    client("sends-in-parts", "sends each packet in two TCP segments")
        .on_outgoing(|_, packet| vec![Effect::SendInParts(packet)]),
    // [MQTT-3.1.4-6] of 5.0, MQTT-3.2.2-5 of 3.1.1: the Server closes after a refusal
    client("leaves-the-close-to-the-server", "does not close after a CONNACK that refuses it")
        .on_incoming(note_refusal)
        .on_peer_close(|state| if is_refused(state) { Vec::new() } else { vec![Effect::Close] }),
    client(
        "says-goodbye-after-a-refusal",
        "sends DISCONNECT before it closes after a CONNACK that refuses it",
    )
    .on_incoming(note_refusal)
    .on_peer_close(|state| match is_refused(state) {
        true => vec![Effect::Send(Disconnect::normal().into()), Effect::Close],
        false => vec![Effect::Close],
    }),
    // §4.13.1 of 5.0 recommends the DISCONNECT
    client("closes-without-a-reason", "closes without DISCONNECT after an error").on_outgoing(|_, packet| {
        match &packet {
            Packet::Disconnect(disconnect) if disconnect.reason.is_failure() => Vec::new(),
            _ => send(packet),
        }
    }),
    client("disconnects-without-a-reason", "sends DISCONNECT 0x00 after an error").on_outgoing(
        |_, mut packet| {
            if let Packet::Disconnect(disconnect) = &mut packet
                && disconnect.reason.is_failure()
            {
                *disconnect = Disconnect::normal();
            }
            send(packet)
        },
    ),
];

/// Notes whether the CONNACK of the connection was a refusal.
fn note_refusal(state: &mut State, packet: Packet) -> Vec<Effect> {
    if let Packet::ConnAck(ack) = &packet {
        state.connection.count = u32::from(ack.reason.is_failure());
    }
    deliver(packet)
}

fn is_refused(state: &State) -> bool {
    state.connection.count == 1
}

impl Mutant {
    /// The conformant variants of a peer. The first one is the reference peer unchanged.
    #[must_use]
    pub fn variants(role: Role) -> &'static [Self] {
        match role {
            Role::Server => SERVER,
            Role::Client => CLIENT,
        }
    }
}

/// Sends these packets late and the others at once. Late packets keep their order.
fn send_late(packet: Packet, is_late: fn(&Packet) -> bool) -> Vec<Effect> {
    if is_late(&packet) { vec![Effect::SendLater(LATE, packet)] } else { send(packet) }
}

const fn is_message(packet: &Packet) -> bool {
    matches!(packet, Packet::Publish(_))
}

const fn is_acknowledgement(packet: &Packet) -> bool {
    matches!(packet, Packet::PubAck(_) | Packet::PubRec(_) | Packet::PubComp(_))
}

/// Whether it is a message of a topic with an odd sum of bytes. A message with a Topic Alias is
/// not: the alias must be set before it is used.
fn is_of_an_odd_topic(packet: &Packet) -> bool {
    let Packet::Publish(publish) = packet else { return false };
    let Some(topic) = &publish.topic else { return false };
    !publish.properties.contains::<TopicAlias>()
        && topic.as_bytes().iter().fold(0, |sum, byte| sum ^ byte) & 1 == 1
}
