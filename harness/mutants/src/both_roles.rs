//! Mutants that are alike for both roles.

use mqttspec_codec::{Packet, PubAck, PubAckReason, QoS, Role};

use crate::effect::{Effect, send};
use crate::mutant::{Mutant, WebSocketFault};

pub(crate) const fn qos0_twice(role: Role) -> Mutant {
    Mutant::of(role, "qos0-twice", "sends a QoS 0 message twice")
        .gets_wrong(&["extra"])
        .breaks(&["MQTT-4.3.1-1"], &["MQTT-4.3.1-1"])
        .on_outgoing(|_, packet| match &packet {
            Packet::Publish(publish) if publish.delivery.qos() == QoS::AtMostOnce => {
                vec![Effect::Send(packet.clone()), Effect::Send(packet)]
            }
            _ => send(packet),
        })
}

pub(crate) const fn answers_qos2_as_qos1(role: Role) -> Mutant {
    Mutant::of(role, "answers-qos2-as-qos1", "answers QoS 2 messages with PUBACK")
        .gets_wrong(&["PUBREC", "PUBCOMP"])
        .breaks(&["MQTT-3.3.4-1", "MQTT-4.3.3-8"], &["MQTT-3.3.4-1", "MQTT-4.3.3-2"])
        .on_outgoing(|_, packet| match packet {
            Packet::PubRec(ack) => send(PubAck::new(ack.id, PubAckReason::Success)),
            packet => send(packet),
        })
}

pub(crate) const fn packets_in_text_frames(role: Role) -> Mutant {
    Mutant::of(role, "packets-in-text-frames", "sends its packets in WebSocket frames of text")
        .breaks(&["MQTT-6.0.0-1"], &["MQTT-6.0.0-1"])
        .over_websocket(WebSocketFault::SendsText)
}

pub(crate) const fn text_frames_accepted(role: Role) -> Mutant {
    Mutant::of(role, "text-frames-accepted", "takes packets from WebSocket frames of text")
        .breaks(&["MQTT-6.0.0-1"], &["MQTT-6.0.0-1"])
        .over_websocket(WebSocketFault::AcceptsText)
}

pub(crate) const fn frame_taken_for_a_packet(role: Role) -> Mutant {
    Mutant::of(
        role,
        "frame-taken-for-a-packet",
        "reads one whole packet from each WebSocket frame, and nothing more",
    )
    .breaks(&["MQTT-6.0.0-2"], &["MQTT-6.0.0-2"])
    .over_websocket(WebSocketFault::TakesAFrameForAPacket)
}
