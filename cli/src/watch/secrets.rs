//! Keeps passwords and Authentication Data out of what `serve` prints: a transcript is shown to
//! others and kept in logs.

use bytes::Bytes;
use mqttspec_codec::{AuthenticationData, BinaryData, Packet};
use mqttspec_judge::history::What;

/// What is printed in place of a secret.
const MASK: BinaryData = BinaryData::from_static(b"***");

/// The most that is shown of malformed bytes that may contain a secret: the fixed header, Protocol
/// Name and version of a CONNECT.
const START_BYTES: usize = 12;

/// What happened, without secrets. A packet that has one comes without its bytes.
pub(super) fn without_secrets(what: &What) -> What {
    match what {
        What::Sent { packet, .. } if has_secret(packet) => {
            What::Sent { packet: masked(packet.clone()), bytes: Bytes::new() }
        }
        What::Received { packet, .. } if has_secret(packet) => {
            What::Received { packet: masked(packet.clone()), bytes: Bytes::new() }
        }
        What::ReceivedMalformed { error, bytes } if is_connect_or_auth(bytes) => {
            What::ReceivedMalformed { error: *error, bytes: start_of(bytes) }
        }
        other => other.clone(),
    }
}

/// The start of malformed bytes that may contain a secret.
pub(super) fn start_of(bytes: &Bytes) -> Bytes {
    bytes.slice(..bytes.len().min(START_BYTES))
}

/// By the packet type in the first byte (2.1.2).
fn is_connect_or_auth(bytes: &Bytes) -> bool {
    bytes.first().is_some_and(|first| [1, 15].contains(&(first >> 4)))
}

fn has_secret(packet: &Packet) -> bool {
    match packet {
        Packet::Connect(connect) => {
            connect.password.is_some() || connect.properties.contains::<AuthenticationData>()
        }
        Packet::ConnAck(connack) => connack.properties.contains::<AuthenticationData>(),
        Packet::Auth(auth) => auth.properties.contains::<AuthenticationData>(),
        _ => false,
    }
}

fn masked(mut packet: Packet) -> Packet {
    match &mut packet {
        Packet::Connect(connect) => {
            connect.password = connect.password.as_ref().map(|_| MASK);
            if connect.properties.contains::<AuthenticationData>() {
                connect.properties.set(AuthenticationData(MASK));
            }
        }
        Packet::ConnAck(connack) if connack.properties.contains::<AuthenticationData>() => {
            connack.properties.set(AuthenticationData(MASK));
        }
        Packet::Auth(auth) if auth.properties.contains::<AuthenticationData>() => {
            auth.properties.set(AuthenticationData(MASK));
        }
        _ => {}
    }
    packet
}
