//! Sessions and Client Identifiers (§3.1.2.4, §3.1.2.11.2, §3.1.3.1, §4.1).

use core::time::Duration;

use mqttspec_codec::{Packet, SessionExpiryInterval, Utf8String};
use mqttspec_spec::Standard;

use super::mutant;
use crate::edit::{edit_connack, edit_connect, hidden_unsubscribe};
use crate::effect::{Effect, deliver, send};
use crate::handlers::send_except_hidden;
use crate::mutant::Mutant;

pub(super) static MUTANTS: &[Mutant] = &[
    mutant("session-forgotten", "starts a new Session with every connection")
        .gets_wrong(&["session_present", "PUBLISH", "PUBREC", "PUBREL", "PUBCOMP"])
        .breaks(
            &["MQTT-3.1.2-5", "MQTT-3.1.2-23", "MQTT-3.2.2-3", "MQTT-4.1.0-1"],
            &["MQTT-3.1.2-4", "MQTT-3.1.2-5", "MQTT-3.2.2-2", "MQTT-4.1.0-1", "U3-006"],
        )
        .on_incoming(|_, packet| deliver(edit_connect(packet, |connect| connect.clean_start = true))),
    mutant("session-kept", "does not discard a Session at Clean Start")
        .breaks(&["MQTT-3.1.2-4", "MQTT-3.2.2-2", "U5-024"], &["MQTT-3.1.2-6", "MQTT-3.2.2-1"])
        .also_blamed(&[(
            Standard::V3_1_1,
            &["MQTT-3.2.2-3"],
            "Session Present 1 shows that the Session was kept",
        )])
        .on_incoming(|_, packet| {
            deliver(edit_connect(packet, |connect| {
                connect.clean_start &= connect.client_id.as_str().is_empty();
            }))
        }),
    mutant("session-present-always", "reports that a Session is present when there is none")
        .gets_wrong(&["session_present"])
        .breaks(&["MQTT-3.2.2-2", "MQTT-3.2.2-3"], &["MQTT-3.2.2-1", "MQTT-3.2.2-3"])
        .on_outgoing(|_, packet| {
            send(edit_connack(packet, |ack| ack.session_present = !ack.reason.is_failure()))
        }),
    mutant("session-present-never", "reports that no Session is present when there is one")
        .gets_wrong(&["session_present"])
        .breaks(&["MQTT-3.2.2-3"], &["MQTT-3.2.2-2"])
        .also_blamed(&[
            (
                Standard::V3_1_1,
                &["MQTT-3.3.1-3", "MQTT-4.3.3-1"],
                "what is sent again in a Session that is new by its CONNACK is new to the Client",
            ),
            (
                Standard::V5,
                &["MQTT-4.4.0-1"],
                "what is sent again in a Session that is new by its CONNACK is not to be sent again",
            ),
        ])
        .on_outgoing(|_, packet| send(edit_connack(packet, |ack| ack.session_present = false))),
    mutant("session-never-expires", "never ends a Session")
        .gets_wrong(&["session_present", "extra", "PUBLISH"])
        .breaks(&["MQTT-4.1.0-2", "U5-036"], &[])
        .also_blamed(&[(
            Standard::V5,
            &["MQTT-3.1.2-6", "MQTT-3.2.2-3", "U5-038"],
            "Session Present 1 shows that the Session has not ended, and not why",
        )])
        .on_incoming(|_, mut packet| {
            match &mut packet {
                Packet::Connect(connect) if connect.version.is_5() => {
                    connect.properties.set(SessionExpiryInterval(u32::MAX));
                }
                Packet::Disconnect(disconnect) => {
                    disconnect.properties.remove::<SessionExpiryInterval>();
                }
                _ => {}
            }
            deliver(packet)
        }),
    mutant("session-ends-with-the-connection", "ignores the Session Expiry Interval")
        .gets_wrong(&["session_present", "PUBLISH", "PUBREC", "PUBREL", "PUBCOMP"])
        .breaks(&["MQTT-3.1.2-23", "MQTT-3.1.2-5", "U5-036"], &[])
        .also_blamed(&[(
            Standard::V5,
            &["MQTT-3.2.2-3", "MQTT-4.4.0-1"],
            "a Server that has lost a Session reports and sends what one does that never had it",
        )])
        .on_incoming(|_, packet| {
            deliver(edit_connect(packet, |connect| {
                connect.properties.remove::<SessionExpiryInterval>();
            }))
        }),
    mutant("session-expires-early", "ends every Session after half of its Session Expiry Interval")
        .gets_wrong(&["session_present", "PUBLISH"])
        .breaks(&["MQTT-3.1.2-23", "U5-036"], &[])
        .also_blamed(&[(
            Standard::V5,
            &["MQTT-3.2.2-3"],
            "Session Present 0 shows that the Session has ended",
        )])
        .on_incoming(|_, mut packet| {
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
            deliver(packet)
        }),
    mutant("expiry-at-disconnect-ignored", "ignores a Session Expiry Interval in DISCONNECT")
        .breaks(&["U5-038", "MQTT-4.1.0-2"], &[])
        .on_incoming(|_, mut packet| {
            if let Packet::Disconnect(disconnect) = &mut packet {
                disconnect.properties.remove::<SessionExpiryInterval>();
            }
            deliver(packet)
        }),
    mutant("identifiers-regardless-of-case", "ignores case in Client Identifiers")
        .breaks(&["MQTT-3.1.3-2", "MQTT-3.1.2-6", "MQTT-3.2.2-3"], &["MQTT-3.1.3-2", "MQTT-3.2.2-3"])
        .on_incoming(|_, packet| {
            deliver(edit_connect(packet, |connect| {
                if let Ok(lower) = Utf8String::try_from(connect.client_id.as_str().to_lowercase().as_str()) {
                    connect.client_id = lower;
                }
            }))
        }),
    mutant("short-identifiers-only", "uses only the first eight letters of a Client Identifier")
        .breaks(
            &["MQTT-3.1.3-2", "MQTT-3.1.3-5", "MQTT-3.1.2-6", "MQTT-3.2.2-3"],
            &["MQTT-3.1.3-2", "MQTT-3.1.3-5", "MQTT-3.2.2-3"],
        )
        .on_incoming(|_, packet| {
            deliver(edit_connect(packet, |connect| {
                let short: String = connect.client_id.as_str().chars().take(8).collect();
                if let Ok(short) = Utf8String::try_from(short.as_str()) {
                    connect.client_id = short;
                }
            }))
        }),
    mutant("takes-nobody-over", "keeps two connections with the same Client Identifier open")
        .gets_wrong(&["closed", "PUBLISH", "extra", "session_present"])
        .breaks(&["MQTT-3.1.4-3"], &["MQTT-3.1.4-2"])
        .on_incoming(|state, packet| {
            let connections = state.connection_count();
            deliver(edit_connect(packet, |connect| {
                let other = format!("{}-{connections}", connect.client_id.as_str());
                if let (true, Ok(other)) = (connections > 1, Utf8String::try_from(other.as_str())) {
                    connect.client_id = other;
                }
            }))
        }),
    mutant("deaf-after-five-connections", "delivers nothing to a Session after its fifth connection")
        .gets_wrong(&["PUBLISH"])
        .breaks(
            &["MQTT-3.1.2-5", "MQTT-4.5.0-1", "MQTT-4.4.0-1"],
            &["MQTT-3.1.2-4", "MQTT-3.1.2-5", "MQTT-4.5.0-1", "MQTT-4.4.0-1"],
        )
        .on_outgoing(|state, packet| match packet {
            Packet::Publish(_) if state.connection_count() > 5 => Vec::new(),
            packet => send(packet),
        }),
    mutant("a-fault-hits-everybody", "closes every connection when one is lost")
        .gets_wrong(&["closed", "PUBLISH", "PINGRESP", "extra"])
        .breaks(&["U5-150"], &["U3-014"])
        .also_blamed(&[
            (
                Standard::V5,
                &["MQTT-4.1.0-1"],
                "a PUBACK that does not come may be due to a lost Session or to a closed connection",
            ),
            (
                Standard::V3_1_1,
                &["MQTT-4.1.0-1"],
                "a PUBACK that does not come may be due to a lost Session or to a closed connection",
            ),
        ])
        .on_network_end(|state| {
            let closes = state.other_connections().map(|number| Effect::Close.on(number));
            closes.chain([Effect::DeliverEnd]).collect()
        }),
    mutant("losses-unnoticed", "does not detect that a connection is lost")
        .gets_wrong(&["PUBLISH", "closed", "session_present"])
        .breaks(&["MQTT-3.1.2-8", "U5-042"], &["MQTT-3.1.2-8"])
        .on_network_end(|_| Vec::new()),
    mutant("subscriptions-end-with-time", "removes a Subscription after ten minutes")
        .gets_wrong(&["PUBLISH"])
        .breaks(&["MQTT-4.1.0-1", "U5-033"], &["MQTT-4.1.0-1", "MQTT-4.1.0-2"])
        .on_outgoing(|_, packet| send_except_hidden(packet))
        .on_incoming(|_, packet| match &packet {
            Packet::Subscribe(subscribe) => {
                let unsubscribe = hidden_unsubscribe(subscribe);
                vec![Effect::Deliver(packet), Effect::DeliverLater(Duration::from_secs(600), unsubscribe)]
            }
            _ => deliver(packet),
        }),
];
