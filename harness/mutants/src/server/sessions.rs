//! Sessions, and what keeps or ends a Network Connection (§3.1.2.4, §3.1.2.10, §3.1.2.11.2, §3.1.4, §4.1).

use core::time::Duration;

use mqttspec_codec::{Packet, SessionExpiryInterval, Utf8String};

use super::server;
use crate::Defect;
use crate::deeds::{Deed, say, tell};
use crate::rules::{connack, connect, says_nothing_hidden, undone};

pub(super) static DEFECTS: &[Defect] = &[
    server("session-forgotten", "begins every Session anew")
        .breaks(
            &["MQTT-3.1.2-5", "MQTT-3.1.2-23", "MQTT-3.2.2-3", "MQTT-4.1.0-1"],
            &["MQTT-3.1.2-4", "MQTT-3.1.2-5", "MQTT-3.2.2-2", "MQTT-4.1.0-1"],
        )
        .hears(|_, packet| tell(connect(packet, |connect| connect.clean_start = true))),
    server("session-kept", "does not discard a Session at Clean Start")
        .breaks(&["MQTT-3.1.2-4", "MQTT-3.2.2-2", "U5-024"], &["MQTT-3.1.2-6", "MQTT-3.2.2-1"])
        .hears(|_, packet| {
            tell(connect(packet, |connect| connect.clean_start &= connect.client_id.as_str().is_empty()))
        }),
    server("session-present-always", "says that a Session is present when there is none")
        .breaks(&["MQTT-3.2.2-2", "MQTT-3.2.2-3"], &["MQTT-3.2.2-1", "MQTT-3.2.2-3"])
        .says(|_, packet| say(connack(packet, |ack| ack.session_present = !ack.reason.is_failure()))),
    server("session-present-never", "says that no Session is present when there is one")
        .breaks(&["MQTT-3.2.2-3"], &["MQTT-3.2.2-2"])
        .says(|_, packet| say(connack(packet, |ack| ack.session_present = false))),
    server("session-never-expires", "keeps every Session for ever")
        .breaks(&["MQTT-4.1.0-2", "U5-036"], &[])
        .hears(|_, mut packet| {
            match &mut packet {
                Packet::Connect(connect) if connect.version.is_5() => {
                    connect.properties.set(SessionExpiryInterval(u32::MAX));
                }
                Packet::Disconnect(disconnect) => {
                    disconnect.properties.remove::<SessionExpiryInterval>();
                }
                _ => {}
            }
            tell(packet)
        }),
    server("session-ends-with-the-connection", "takes no notice of the Session Expiry Interval")
        .breaks(&["MQTT-3.1.2-23", "MQTT-3.1.2-5", "U5-036"], &[])
        .hears(|_, packet| {
            tell(connect(packet, |connect| {
                connect.properties.remove::<SessionExpiryInterval>();
            }))
        }),
    server("session-expires-early", "lets every Session expire in half its time")
        .breaks(&["MQTT-3.1.2-23", "U5-036"], &[])
        .hears(|_, mut packet| {
            let half = |expiry: Option<SessionExpiryInterval>| {
                expiry.map(|expiry| SessionExpiryInterval(expiry.0 / 2))
            };
            match &mut packet {
                Packet::Connect(connect) => {
                    if let Some(expiry) = half(connect.properties.get()) {
                        connect.properties.set(expiry);
                    }
                }
                Packet::Disconnect(disconnect) => {
                    if let Some(expiry) = half(disconnect.properties.get()) {
                        disconnect.properties.set(expiry);
                    }
                }
                _ => {}
            }
            tell(packet)
        }),
    server("expiry-at-disconnect-ignored", "takes no notice of a Session Expiry Interval in DISCONNECT")
        .breaks(&["U5-038"], &[])
        .hears(|_, mut packet| {
            if let Packet::Disconnect(disconnect) = &mut packet {
                disconnect.properties.remove::<SessionExpiryInterval>();
            }
            tell(packet)
        }),
    server(
        "identifiers-regardless-of-case",
        "takes Client Identifiers for the same that differ in upper and lower case",
    )
    .breaks(&["MQTT-3.1.3-2"], &["MQTT-3.1.3-2"])
    .hears(|_, packet| {
        tell(connect(packet, |connect| {
            if let Ok(lower) = Utf8String::try_from(connect.client_id.as_str().to_lowercase().as_str()) {
                connect.client_id = lower;
            }
        }))
    }),
    server("short-identifiers-only", "knows only the first eight letters of a Client Identifier")
        .breaks(&["MQTT-3.1.3-2", "MQTT-3.1.3-5"], &["MQTT-3.1.3-2", "MQTT-3.1.3-5"])
        .hears(|_, packet| {
            tell(connect(packet, |connect| {
                let short: String = connect.client_id.as_str().chars().take(8).collect();
                if let Ok(short) = Utf8String::try_from(short.as_str()) {
                    connect.client_id = short;
                }
            }))
        }),
    server("takes-nobody-over", "lets two connections with the same Client Identifier stand")
        .breaks(&["MQTT-3.1.4-3"], &["MQTT-3.1.4-2"])
        .hears(|scene, packet| {
            let visits = scene.visits();
            tell(connect(packet, |connect| {
                let other = format!("{}-{visits}", connect.client_id.as_str());
                if let (true, Ok(other)) = (visits > 1, Utf8String::try_from(other.as_str())) {
                    connect.client_id = other;
                }
            }))
        }),
    server("deaf-after-five-connections", "delivers nothing to a Session that was resumed five times")
        .breaks(&["MQTT-3.1.2-5", "MQTT-4.5.0-1"], &["MQTT-3.1.2-4", "MQTT-3.1.2-5", "MQTT-4.5.0-1"])
        .says(|scene, packet| match packet {
            Packet::Publish(_) if scene.visits() > 5 => Vec::new(),
            packet => say(packet),
        }),
    server("a-fault-hits-everybody", "loses everybody's connection with one")
        .breaks(&["U5-150"], &["U3-014"])
        .loses(|scene| {
            let others = scene.owners.values().filter(|number| **number != scene.wire.number);
            others
                .map(|number| Deed::Elsewhere(*number, Box::new(Deed::Close)))
                .chain([Deed::TellEnd])
                .collect()
        }),
    server("losses-unnoticed", "does not notice that a connection is lost")
        .breaks(&["MQTT-3.1.2-8", "U5-042"], &["MQTT-3.1.2-8"])
        .loses(|_| Vec::new()),
    server("keep-alive-ignored", "takes no notice of the Keep Alive")
        .breaks(&["MQTT-3.1.2-22", "MQTT-3.2.2-22"], &["MQTT-3.1.2-24"])
        .hears(|_, packet| tell(connect(packet, |connect| connect.keep_alive = 0))),
    server("keep-alive-too-strict", "closes after the Keep Alive and not after one and a half times")
        .breaks(&["MQTT-3.1.2-22"], &["MQTT-3.1.2-24"])
        .hears(|_, packet| tell(connect(packet, |connect| connect.keep_alive = connect.keep_alive * 2 / 3))),
    server("keep-alive-for-all", "gives Clients with Keep Alive 0 a minute")
        .breaks(&["U5-053"], &["MQTT-3.1.2-24"])
        .hears(|_, packet| {
            tell(connect(packet, |connect| {
                if connect.keep_alive == 0 {
                    connect.keep_alive = 60;
                }
            }))
        }),
    server("pings-count-for-nothing", "counts no PINGREQ as a sign of life")
        .breaks(&["MQTT-3.1.2-22"], &["MQTT-3.1.2-24"])
        .hears(|_, packet| match packet {
            Packet::PingReq => say(Packet::PingResp),
            packet => tell(packet),
        }),
    server("subscriptions-end-with-time", "forgets a Subscription ten minutes after it was made")
        .breaks(&["MQTT-4.1.0-1"], &["MQTT-4.1.0-1", "MQTT-4.1.0-2"])
        .says(|_, packet| says_nothing_hidden(packet))
        .hears(|_, packet| match &packet {
            Packet::Subscribe(subscribe) => {
                let undone = undone(subscribe);
                vec![Deed::Tell(packet), Deed::TellLater(Duration::from_secs(600), undone)]
            }
            _ => tell(packet),
        }),
];
