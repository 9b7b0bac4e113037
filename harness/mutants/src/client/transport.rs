//! Frames and the opening handshake of a WebSocket (§6).

use mqttspec_codec::Role;

use super::mutant;
use crate::both_roles::{frame_taken_for_a_packet, packets_in_text_frames, text_frames_accepted};
use crate::mutant::{Mutant, WebSocketFault};

pub(super) static MUTANTS: &[Mutant] = &[
    packets_in_text_frames(Role::Client),
    text_frames_accepted(Role::Client),
    frame_taken_for_a_packet(Role::Client),
    mutant("offers-another-subprotocol", "offers the WebSocket subprotocol mqttv3.1 alone")
        .breaks(&["MQTT-6.0.0-3"], &["MQTT-6.0.0-3"])
        .over_websocket(WebSocketFault::OtherSubprotocol),
];
