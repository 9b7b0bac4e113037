//! Frames and the opening handshake of a WebSocket (§6).

use mqttspec_codec::Role;

use super::mutant;
use crate::both_roles::{frame_taken_for_a_packet, packets_in_text_frames, text_frames_accepted};
use crate::mutant::{Mutant, WebSocketFault};

pub(super) static MUTANTS: &[Mutant] = &[
    packets_in_text_frames(Role::Server),
    text_frames_accepted(Role::Server),
    frame_taken_for_a_packet(Role::Server),
    mutant("selects-another-subprotocol", "selects the WebSocket subprotocol mqttv3.1")
        .breaks(&["MQTT-6.0.0-4"], &["MQTT-6.0.0-4"])
        .over_websocket(WebSocketFault::OtherSubprotocol),
];
