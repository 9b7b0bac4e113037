//! Who may connect: User Name, Password and enhanced authentication (§3.1.3, §4.12).

use bytes::Bytes;
use mqttspec_codec::{
    AuthReason, AuthenticationData, AuthenticationMethod, BinaryData, ConnAck, ConnectReason, Packet,
    TopicFilter, TopicName, Utf8String,
};
use mqttspec_spec::Standard;

use super::mutant;
use crate::edit::{edit_connack, edit_connect, edit_publish, edit_subscriptions, edit_will, patched_auth};
use crate::effect::{Effect, deliver, send};
use crate::mutant::Mutant;
use crate::state::State;

pub(super) static MUTANTS: &[Mutant] = &[
    mutant("no-authentication", "accepts every Client that begins to authenticate")
        .breaks(&["MQTT-3.1.4-2", "MQTT-4.12.0-2", "MQTT-4.12.0-4"], &[])
        .also_blamed(&[(
            Standard::V5,
            &["MQTT-4.12.0-5", "MQTT-3.15.2-1"],
            "the AUTH that would repeat the method does not come",
        )])
        .on_incoming(|_, packet| match &packet {
            Packet::Connect(connect) if connect.properties.contains::<AuthenticationMethod>() => {
                let mut plain = connect.clone();
                plain.properties.remove::<AuthenticationMethod>();
                plain.properties.remove::<AuthenticationData>();
                deliver(Packet::Connect(plain))
            }
            Packet::Auth(_) => Vec::new(),
            _ => deliver(packet),
        }),
    mutant("auth-without-method", "sends AUTH and CONNACK without the Authentication Method")
        .breaks(&["MQTT-4.12.0-5"], &[])
        .also_blamed(&[(
            Standard::V5,
            &["MQTT-3.15.2-1", "MQTT-4.12.0-2"],
            "one AUTH is expected, with its Reason Code and its method",
        )])
        .on_outgoing(|_, mut packet| {
            match &mut packet {
                Packet::Auth(auth) => {
                    auth.properties.remove::<AuthenticationMethod>();
                }
                Packet::ConnAck(ack) => {
                    ack.properties.remove::<AuthenticationMethod>();
                }
                _ => {}
            }
            send(packet)
        }),
    mutant("auth-flags", "sets a flag bit of AUTH")
        .breaks(&["MQTT-3.15.1-1"], &[])
        .on_outgoing(|state, packet| patched_auth(state, packet, |bytes| bytes[0] |= 0x01)),
    mutant("auth-with-unknown-code", "sends AUTH with a Reason Code that the standard does not list")
        .breaks(&["MQTT-3.15.2-1"], &[])
        .on_outgoing(|state, packet| patched_auth(state, packet, |bytes| bytes[2] = 0x42)),
    mutant("other-method-accepted", "accepts an AUTH with another Authentication Method")
        .breaks(&["MQTT-4.12.0-5", "MQTT-4.12.1-1", "U5-140"], &[])
        .on_incoming(|state, mut packet| {
            let connect = state.connection.connect.as_deref();
            let method = connect.and_then(|connect| connect.properties.get::<AuthenticationMethod>());
            if let (Packet::Auth(auth), Some(method)) = (&mut packet, method) {
                auth.properties.set(method);
            }
            deliver(packet)
        }),
    mutant("re-authentication-without-proof", "accepts every proof of a Client that authenticates again")
        .breaks(&["MQTT-4.12.1-2", "U5-145"], &[])
        .on_outgoing(|state, packet| {
            if matches!(&packet, Packet::ConnAck(ack) if !ack.reason.is_failure()) {
                state.connection.count = 1;
            }
            send(packet)
        })
        .on_incoming(|state, mut packet| match &mut packet {
            Packet::Auth(auth)
                if state.connection.count == 1 && auth.reason == AuthReason::ContinueAuthentication =>
            {
                auth.reason = AuthReason::Success;
                auth.properties.remove::<AuthenticationData>();
                send(packet)
            }
            _ => deliver(packet),
        }),
    mutant("re-authentication-never-ends", "ends a re-authentication with AUTH 0x18 in place of 0x00")
        .breaks(&["U5-141"], &[])
        .on_outgoing(|_, mut packet| {
            if let Packet::Auth(auth) = &mut packet {
                auth.reason = AuthReason::ContinueAuthentication;
            }
            send(packet)
        }),
    mutant("deaf-during-re-authentication", "drops other packets while a Client authenticates again")
        .breaks(&["U5-144"], &[])
        .on_incoming(|state, packet| match &packet {
            Packet::Auth(auth) => {
                state.connection.count = u32::from(auth.reason == AuthReason::ReAuthenticate);
                deliver(packet)
            }
            _ if state.connection.count == 1 => Vec::new(),
            _ => deliver(packet),
        }),
    mutant("auth-unasked", "sends an Authentication Method to a Client that sent none")
        .breaks(&["MQTT-4.12.0-6"], &[])
        .also_blamed(&[(
            Standard::V5,
            &["MQTT-3.1.2-24"],
            "the property makes CONNACK larger than the Client takes",
        )])
        .on_outgoing(|state, packet| {
            let is_5 = state.connection.version.is_5();
            send(edit_connack(packet, |ack| {
                if let (Ok(method), true) = (Utf8String::try_from("PLAIN"), is_5) {
                    ack.properties.set(AuthenticationMethod(method));
                }
            }))
        }),
    mutant("everybody-may-enter", "ignores User Name and Password")
        .gets_wrong(&["extra"])
        .breaks(&["MQTT-3.1.4-2"], &["U3-001", "U3-004"])
        .on_incoming(|_, packet| deliver(as_alice(packet))),
    mutant("takes-over-before-it-refuses", "takes a Session over before it checks who the Client is")
        .breaks(&["U5-050"], &["MQTT-4.1.0-2"])
        .on_incoming(|_, packet| match &packet {
            Packet::Connect(connect) if connect.user_name.is_some() => deliver(as_alice(packet)),
            _ => deliver(packet),
        })
        .on_outgoing(|state, packet| {
            let connect = state.connection.connect.as_deref();
            let user = connect.and_then(|connect| connect.user_name.clone().zip(connect.password.clone()));
            let is_alice = user.is_none_or(|(name, password)| name == ALICE && password.as_bytes() == SECRET);
            if is_alice { send(packet) } else { refuse_instead(packet) }
        }),
    mutant("gives-a-session-up-to-another-user", "ends a Client for another user, whom it then refuses")
        .gets_wrong(&["closed", "PUBLISH", "PINGRESP", "extra", "session_present", "CONNACK", "reason"])
        .breaks(&["U5-050"], &["MQTT-4.1.0-2"])
        .on_incoming(|state, packet| {
            let is_other = is_another_user(state);
            deliver(if is_other { as_alice(packet) } else { packet })
        })
        .on_outgoing(
            |state, packet| {
                if is_another_user(state) { refuse_instead(packet) } else { send(packet) }
            },
        ),
    mutant("permissions-ignored", "lets every user publish and read the topics that begin with closed/")
        .breaks_only_documented_behaviour()
        .on_incoming(|_, packet| {
            let packet = edit_will(packet, |will| opened(&mut will.topic));
            let packet = edit_publish(packet, |publish| publish.topic.iter_mut().for_each(opened));
            deliver(edit_subscriptions(packet, |subscription| {
                let filter = renamed(subscription.filter.as_str(), CLOSED, OPEN);
                if let Some(filter) = filter.and_then(|text| TopicFilter::try_from(text).ok()) {
                    subscription.filter = filter;
                }
            }))
        })
        .on_outgoing(|_, packet| {
            send(edit_publish(packet, |publish| {
                if let Some(topic) = &mut publish.topic {
                    rename(topic, OPEN, CLOSED);
                }
            }))
        }),
    mutant("password-needs-a-user-name", "closes on a Password without a User Name, as 3.1.1 requires")
        .breaks(&["U5-026"], &[])
        .on_incoming(|_, packet| match &packet {
            Packet::Connect(connect) if connect.password.is_some() && connect.user_name.is_none() => {
                vec![Effect::Close, Effect::DeliverEnd]
            }
            _ => deliver(packet),
        }),
];

/// What the topics begin with that a user of the scenarios may not use, and what the reference
/// broker receives instead: topics that each of them may use.
const CLOSED: &str = "closed/";
const OPEN: &str = "open/closed/";

fn opened(topic: &mut TopicName) {
    rename(topic, CLOSED, OPEN);
}

fn rename(topic: &mut TopicName, from: &str, to: &str) {
    if let Some(name) = renamed(topic.as_str(), from, to).and_then(|name| TopicName::try_from(name).ok()) {
        *topic = name;
    }
}

fn renamed(topic: &str, from: &str, to: &str) -> Option<Utf8String> {
    topic.strip_prefix(from).and_then(|rest| Utf8String::try_from(format!("{to}{rest}")).ok())
}

/// The user of the scenarios.
const ALICE: &str = "alice";
const SECRET: &[u8] = b"secret";

/// Whether the Client Identifier was used before, and the user is not the one of the scenarios.
fn is_another_user(state: &State) -> bool {
    let user = state.connection.connect.as_deref().and_then(|connect| connect.user_name.as_ref());
    state.connection_count() > 1 && user.is_none_or(|name| *name != ALICE)
}

/// A refusal and the end of the connection in place of a CONNACK that accepts it.
fn refuse_instead(packet: Packet) -> Vec<Effect> {
    if !matches!(&packet, Packet::ConnAck(ack) if !ack.reason.is_failure()) {
        return send(packet);
    }
    let mut effects = send(ConnAck::refused(ConnectReason::NotAuthorized));
    effects.extend([Effect::Close, Effect::DeliverEnd]);
    effects
}

fn as_alice(packet: Packet) -> Packet {
    edit_connect(packet, |connect| {
        connect.user_name = Some(Utf8String::from_static(ALICE));
        connect.password = BinaryData::try_from(Bytes::from_static(SECRET)).ok();
    })
}
