//! Enhanced authentication, and authentication on a connection that is open (§3.15, §4.12).

use mqttspec_codec::{Auth, AuthReason, AuthenticationMethod, Packet, Utf8String};
use mqttspec_spec::Standard;

use super::mutant;
use crate::edit::patched_auth;
use crate::effect::{Effect, deliver, send};
use crate::mutant::Mutant;

const ONE_LINE: &str = "one AUTH is expected, with its Reason Code and its method";

pub(super) static MUTANTS: &[Mutant] = &[
    mutant("answers-auth-with-re-authenticate", "answers the AUTH of the Server with Reason Code 0x19")
        .breaks(&["MQTT-4.12.0-3", "U5-141"], &[])
        .also_blamed(&[(Standard::V5, &["MQTT-4.12.0-5", "U5-140"], ONE_LINE)])
        .on_outgoing(|_, packet| {
            send(edit_auth(packet, |auth| {
                if auth.reason == AuthReason::ContinueAuthentication {
                    auth.reason = AuthReason::ReAuthenticate;
                }
            }))
        }),
    mutant("begins-again-with-continue", "begins to authenticate again with Reason Code 0x18")
        .breaks(&["U5-141"], &[])
        .also_blamed(&[(Standard::V5, &["MQTT-4.12.1-1"], ONE_LINE)])
        .on_outgoing(|_, packet| {
            send(edit_auth(packet, |auth| {
                if auth.reason == AuthReason::ReAuthenticate {
                    auth.reason = AuthReason::ContinueAuthentication;
                }
            }))
        }),
    mutant("method-changes", "names another Authentication Method in AUTH than in CONNECT")
        .breaks(&["MQTT-4.12.0-5", "MQTT-4.12.1-1", "U5-140"], &[])
        .also_blamed(&[(Standard::V5, &["MQTT-4.12.0-3", "U5-141"], ONE_LINE)])
        .on_outgoing(|_, packet| {
            send(edit_auth(packet, |auth| {
                auth.properties.set(AuthenticationMethod(Utf8String::from_static("SCRAM-SHA-1")));
            }))
        }),
    mutant("auth-flags", "sets a flag bit of AUTH")
        .breaks(&["MQTT-3.15.1-1"], &[])
        .on_outgoing(|state, packet| patched_auth(state, packet, |bytes| bytes[0] |= 0x01)),
    mutant("auth-with-unknown-code", "sends AUTH with a Reason Code that the standard does not list")
        .breaks(&["MQTT-3.15.2-1"], &[])
        .on_outgoing(|state, packet| patched_auth(state, packet, |bytes| bytes[2] = 0x42)),
    mutant("silent-while-it-authenticates", "acknowledges nothing while it authenticates again")
        .breaks(&["U5-144"], &[])
        .on_outgoing(|state, packet| match &packet {
            Packet::Auth(auth) if auth.reason == AuthReason::ReAuthenticate => {
                state.connection.count = 1;
                send(packet)
            }
            Packet::PubAck(_) if state.connection.count == 1 => Vec::new(),
            _ => send(packet),
        })
        .on_incoming(|state, packet| {
            if matches!(&packet, Packet::Auth(auth) if auth.reason == AuthReason::Success) {
                state.connection.count = 0;
            }
            deliver(packet)
        }),
    mutant("stays-with-an-impostor", "stays connected after a re-authentication has failed")
        .breaks(&["MQTT-4.12.1-2", "U5-145"], &[])
        .on_outgoing(|state, packet| match &packet {
            Packet::Auth(auth) if auth.reason == AuthReason::ReAuthenticate => {
                state.connection.count = 1;
                send(packet)
            }
            Packet::Disconnect(_) if state.connection.count == 1 => Vec::new(),
            _ => send(packet),
        })
        .on_peer_close(|state| match state.connection.count {
            1 => Vec::new(),
            _ => vec![Effect::Close],
        }),
];

fn edit_auth(mut packet: Packet, change: impl FnOnce(&mut Auth)) -> Packet {
    if let Packet::Auth(auth) = &mut packet {
        change(auth);
    }
    packet
}
