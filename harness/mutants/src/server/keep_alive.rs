//! Keep Alive (§3.1.2.10).

use mqttspec_codec::Packet;

use super::mutant;
use crate::edit::edit_connect;
use crate::effect::{deliver, send};
use crate::mutant::Mutant;

pub(super) static MUTANTS: &[Mutant] = &[
    mutant("keep-alive-ignored", "ignores the Keep Alive")
        .gets_wrong(&["closed"])
        .breaks(&["MQTT-3.1.2-22", "MQTT-3.2.2-22"], &["MQTT-3.1.2-24"])
        .on_incoming(|_, packet| deliver(edit_connect(packet, |connect| connect.keep_alive = 0))),
    mutant("keep-alive-for-all", "applies a Keep Alive of a minute to Clients with Keep Alive 0")
        .gets_wrong(&["extra", "closed", "DISCONNECT"])
        .breaks(&["U5-053"], &["MQTT-3.1.2-24"])
        .on_incoming(|_, packet| {
            deliver(edit_connect(packet, |connect| {
                if connect.keep_alive == 0 {
                    connect.keep_alive = 60;
                }
            }))
        }),
    mutant("pings-count-for-nothing", "does not count PINGREQ as activity")
        .breaks(&["MQTT-3.1.2-22"], &["MQTT-3.1.2-24"])
        .on_incoming(|_, packet| match packet {
            Packet::PingReq => send(Packet::PingResp),
            packet => deliver(packet),
        }),
];
