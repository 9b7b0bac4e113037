//! Connecting, pinging and closing (§3.1, §3.12, §3.14, §4.13).

use core::time::Duration;

use mqttspec_codec::{AuthenticationMethod, ConnectReason, Packet, PacketType, SessionExpiryInterval};
use mqttspec_spec::Standard;

use super::mutant;
use crate::edit::edit_connack;
use crate::effect::{Effect, deliver, send};
use crate::handlers::send_except;
use crate::mutant::Mutant;

pub(super) static MUTANTS: &[Mutant] = &[
    mutant("never-closes", "neither disconnects nor closes")
        .gets_wrong(&["closed"])
        .breaks(&["MQTT-3.14.1-1", "MQTT-3.14.4-2", "MQTT-4.13.2-1"], &["MQTT-3.14.4-1", "MQTT-4.8.0-1"])
        .that_accepts_violations()
        .on_outgoing(|_, packet| send_except(packet, PacketType::Disconnect))
        .on_peer_close(|_| Vec::new()),
    mutant("closes-without-disconnect", "closes without DISCONNECT")
        .breaks_only_documented_behaviour()
        .on_outgoing(|_, packet| send_except(packet, PacketType::Disconnect)),
    mutant("speaks-after-disconnect", "sends a PINGREQ after its DISCONNECT")
        .gets_wrong(&["DISCONNECT"])
        .breaks(&["MQTT-3.14.4-1"], &["MQTT-3.14.4-2"])
        .also_blamed(&[
            (Standard::V3_1_1, &["MQTT-3.14.4-1"], "a close is expected, and a packet comes in its place"),
            (Standard::V5, &["MQTT-3.14.4-2"], "a close is expected, and a packet comes in its place"),
        ])
        .on_outgoing(|_, packet| match packet {
            Packet::Disconnect(_) => vec![Effect::Send(packet), Effect::Send(Packet::PingReq)],
            packet => send(packet),
        }),
    mutant("asks-for-expiry-in-disconnect", "sends a Session Expiry Interval in every DISCONNECT")
        .breaks(&["U5-039"], &[])
        .on_outgoing(|_, packet| match packet {
            Packet::Disconnect(mut disconnect) => {
                disconnect.properties.set(SessionExpiryInterval(60));
                send(Packet::Disconnect(disconnect))
            }
            packet => send(packet),
        }),
    mutant("stays-after-disconnect", "does not close after its DISCONNECT")
        .gets_wrong(&["closed"])
        .breaks(&["MQTT-3.14.4-2"], &["MQTT-3.14.4-1"])
        .also_blamed(&[
            (
                Standard::V3_1_1,
                &["MQTT-3.14.4-2"],
                "a close shows that nothing follows, and it does not come",
            ),
            (Standard::V5, &["MQTT-3.14.4-1"], "a close shows that nothing follows, and it does not come"),
        ])
        .on_peer_close(|_| Vec::new()),
    mutant("takes-malformed-packets", "ignores malformed packets")
        .breaks(&["MQTT-3.14.1-1", "U5-147"], &["MQTT-4.8.0-1"])
        .that_accepts_violations()
        .on_malformed(|_, _| Vec::new()),
    mutant("speaks-before-connect", "sends a PINGREQ before its CONNECT")
        .breaks(&["MQTT-3.1.0-1"], &["MQTT-3.1.0-1"])
        .on_outgoing(|_, packet| match &packet {
            Packet::Connect(_) => vec![Effect::Send(Packet::PingReq), Effect::Send(packet)],
            _ => send(packet),
        }),
    mutant("speaks-before-connack", "sends a PINGREQ after its CONNECT")
        .breaks(&["MQTT-3.1.2-30"], &[])
        .also_blamed(&[(Standard::V5, &["U5-147"], "the packet between looks as if the Client went on")])
        .on_outgoing(|_, packet| match &packet {
            Packet::Connect(connect) if connect.properties.get::<AuthenticationMethod>().is_some() => {
                vec![Effect::Send(packet), Effect::Send(Packet::PingReq)]
            }
            _ => send(packet),
        }),
    mutant("does-not-ping", "sends no PINGREQ")
        .gets_wrong(&["PINGREQ"])
        .breaks(&["MQTT-3.1.2-20"], &["MQTT-3.1.2-23"])
        .also_blamed(&[(
            Standard::V5,
            &["U5-051"],
            "the PINGREQ that shows when one is needed does not come",
        )])
        .on_outgoing(|_, packet| match packet {
            Packet::PingReq => deliver(Packet::PingResp),
            packet => send(packet),
        }),
    mutant("misses-no-pingresp", "does not detect a missing PINGRESP")
        .breaks_only_documented_behaviour()
        .on_outgoing(|_, packet| match packet {
            Packet::PingReq => vec![Effect::Send(packet), Effect::Deliver(Packet::PingResp)],
            packet => send(packet),
        })
        .on_incoming(
            |_, packet| if matches!(packet, Packet::PingResp) { Vec::new() } else { deliver(packet) },
        ),
    mutant("connects-late", "waits five minutes before each CONNECT after the first")
        .breaks_only_documented_behaviour()
        .on_outgoing(|state, packet| match packet {
            Packet::Connect(_) if state.connection_counts.values().any(|count| *count > 1) => {
                vec![Effect::SendLater(Duration::from_secs(300), packet)]
            }
            packet => send(packet),
        }),
    mutant("hears-no-connack-refusal", "treats a CONNACK that refuses the connection as success")
        .breaks_only_documented_behaviour()
        .on_incoming(|_, packet| deliver(edit_connack(packet, |ack| ack.reason = ConnectReason::Success))),
    mutant("waits-for-ever", "does not detect that the connection is lost and never closes")
        .breaks_only_documented_behaviour()
        .on_network_end(|_| Vec::new())
        .on_peer_close(|_| Vec::new()),
    mutant("hears-no-disconnect", "ignores the DISCONNECT of the Server and its close")
        .breaks(&["U5-151"], &[])
        .on_incoming(
            |_, packet| if matches!(packet, Packet::Disconnect(_)) { Vec::new() } else { deliver(packet) },
        )
        .on_network_end(|_| Vec::new()),
    mutant("sends-pingresp", "sends PINGRESP after CONNACK")
        .breaks(&["U5-156"], &["U3-016"])
        .also_blamed(&[(Standard::V5, &["U5-147"], "the packet between looks as if the Client went on")])
        .on_incoming(|_, packet| match &packet {
            Packet::ConnAck(ack) if !ack.reason.is_failure() => {
                vec![Effect::Deliver(packet), Effect::Send(Packet::PingResp)]
            }
            _ => deliver(packet),
        }),
];
