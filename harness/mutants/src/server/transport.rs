//! Frames and the opening handshake of a WebSocket (§6).

use super::mutant;
use crate::mutant::{Mutant, WebSocketFault};

pub(super) static MUTANTS: &[Mutant] = &[
    mutant("packets-in-text-frames", "sends its packets in WebSocket frames of text")
        .breaks(&["MQTT-6.0.0-1"], &["MQTT-6.0.0-1"])
        .over_websocket(WebSocketFault::SendsText),
    mutant("text-frames-accepted", "takes packets from WebSocket frames of text")
        .breaks(&["MQTT-6.0.0-1"], &["MQTT-6.0.0-1"])
        .over_websocket(WebSocketFault::AcceptsText),
    mutant("frame-taken-for-a-packet", "reads one whole packet from each WebSocket frame, and nothing more")
        .breaks(&["MQTT-6.0.0-2"], &["MQTT-6.0.0-2"])
        .over_websocket(WebSocketFault::TakesAFrameForAPacket),
    mutant("selects-another-subprotocol", "selects the WebSocket subprotocol mqttv3.1")
        .breaks(&["MQTT-6.0.0-4"], &["MQTT-6.0.0-4"])
        .over_websocket(WebSocketFault::OtherSubprotocol),
];
