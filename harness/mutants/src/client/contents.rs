//! What packets contain (§2, §3): bits, fields, lengths and sizes.

use bytes::Bytes;
use mqttspec_codec::{
    Auth, AuthReason, AuthenticationMethod, Packet, PacketType, Properties, ReasonString, TopicName,
    UserProperty, Utf8String,
};
use mqttspec_spec::Standard;

use super::mutant;
use crate::edit::{edit_connect, edit_publish, encoded};
use crate::effect::{Effect, deliver, send};
use crate::mutant::Mutant;
use crate::state::State;

/// A text that no small packet has room for.
const LONG: Utf8String = Utf8String::from_static("because the application asked for it");

pub(super) static MUTANTS: &[Mutant] = &[
    mutant("will-qos-without-will", "sets Will QoS 1 in a CONNECT without Will")
        .breaks(&["MQTT-3.1.2-11"], &["MQTT-3.1.2-13"])
        .on_outgoing(|state, packet| set_connect_flags(state, packet, false, 0x08)),
    mutant("will-retain-without-will", "sets Will Retain in a CONNECT without Will")
        .breaks(&["MQTT-3.1.2-13"], &["MQTT-3.1.2-15"])
        .on_outgoing(|state, packet| set_connect_flags(state, packet, false, 0x20)),
    mutant("will-qos-3", "sets both bits of Will QoS")
        .breaks(&["MQTT-3.1.2-12"], &["MQTT-3.1.2-14"])
        .on_outgoing(|state, packet| set_connect_flags(state, packet, true, 0x18)),
    mutant("other-protocol-name", "sends another Protocol Name").breaks(&["MQTT-3.1.2-1"], &[]).on_outgoing(
        |state, packet| match packet {
            Packet::Connect(_) => patched(state, &packet, |bytes| {
                let name = content(bytes) + 2;
                bytes[name + 3] = b'X';
            }),
            packet => send(packet),
        },
    ),
    mutant("empty-client-id-keeps-the-session", "asks for its old Session without a Client Identifier")
        .breaks(&[], &["MQTT-3.1.3-7"])
        .on_outgoing(|_, packet| {
            send(edit_connect(packet, |connect| {
                if connect.client_id.is_empty() {
                    connect.clean_start = false;
                }
            }))
        }),
    mutant("subscribe-flags", "sends SUBSCRIBE without its flag bits")
        .breaks(&["MQTT-3.8.1-1"], &["MQTT-3.8.1-1"])
        .on_outgoing(|state, packet| clear_flags(state, packet, PacketType::Subscribe)),
    mutant("unsubscribe-flags", "sends UNSUBSCRIBE without its flag bits")
        .breaks(&["MQTT-3.10.1-1"], &["MQTT-3.10.1-1"])
        .on_outgoing(|state, packet| clear_flags(state, packet, PacketType::Unsubscribe)),
    mutant("pubrel-flags", "sends PUBREL without its flag bits")
        .gets_wrong(&["form", "PUBREL"])
        .breaks(&["MQTT-3.6.1-1"], &["MQTT-3.6.1-1"])
        .on_outgoing(|state, packet| clear_flags(state, packet, PacketType::PubRel)),
    mutant("subscribes-to-nothing", "sends SUBSCRIBE without a Topic Filter")
        .breaks(&["MQTT-3.8.3-2"], &["MQTT-3.8.3-3"])
        .on_outgoing(|state, packet| without_filters(state, packet, PacketType::Subscribe)),
    mutant("unsubscribes-from-nothing", "sends UNSUBSCRIBE without a Topic Filter")
        .gets_wrong(&["form"])
        .breaks(&["MQTT-3.10.3-2"], &["MQTT-3.10.3-2"])
        .on_outgoing(|state, packet| without_filters(state, packet, PacketType::Unsubscribe)),
    mutant("hash-inside-a-filter", "writes each level of a Topic Filter after # too")
        .breaks(&["MQTT-4.7.1-1"], &["MQTT-4.7.1-2"])
        .on_outgoing(|state, packet| match packet {
            Packet::Subscribe(_) => replaced(state, &packet, b"a/#", b"#/a"),
            packet => send(packet),
        }),
    mutant("topic-with-wildcard", "publishes to a Topic Name with a wildcard")
        .breaks(&["MQTT-3.3.2-2"], &["MQTT-3.3.2-2"])
        .on_outgoing(|state, packet| match packet {
            Packet::Publish(_) => replaced(state, &packet, b"jobs/1", b"jobs/+"),
            packet => send(packet),
        }),
    mutant("response-topic-with-wildcard", "asks for answers on a Response Topic with a wildcard")
        .breaks(&["MQTT-3.3.2-14"], &[])
        .on_outgoing(|state, packet| match packet {
            Packet::Publish(_) => replaced(state, &packet, b"answers/device", b"answers/devic+"),
            packet => send(packet),
        }),
    mutant("subscription-identifier-sent", "sends a Subscription Identifier in PUBLISH")
        .breaks(&["MQTT-3.3.4-6"], &[])
        .on_outgoing(|state, packet| match packet {
            // The Property Length of a PUBLISH without properties, which ends in its payload.
            Packet::Publish(ref publish) if publish.properties.is_empty() => {
                let at_end = publish.payload.len() + 1;
                patched(state, &packet, |bytes| {
                    let at = bytes.len() - at_end;
                    bytes.splice(at..=at, [2, 0x0b, 1]);
                    bytes[1] += 2;
                })
            }
            packet => send(packet),
        }),
    mutant("padded-length", "writes a Remaining Length of two bytes with a third")
        .breaks(&["MQTT-1.5.5-1"], &[])
        .on_outgoing(|state, packet| match packet {
            Packet::Publish(_) => patched(state, &packet, |bytes| {
                if content(bytes) == 3 {
                    bytes[2] |= 0x80;
                    bytes.insert(3, 0);
                }
            }),
            packet => send(packet),
        }),
    mutant("byte-order-mark-dropped", "drops U+FEFF at the start of a Topic Name")
        .breaks(&["MQTT-1.5.4-3"], &["MQTT-1.5.3-3"])
        .on_outgoing(|_, packet| {
            send(edit_publish(packet, |publish| {
                publish.topic = publish.topic.take().map(without_mark);
            }))
        })
        .on_incoming(|_, packet| {
            deliver(edit_publish(packet, |publish| {
                publish.topic = publish.topic.take().map(without_mark);
            }))
        }),
    mutant("reason-strings-too-long", "adds a Reason String, whatever the Server takes")
        .breaks(
            &[
                "MQTT-3.2.2-15",
                "MQTT-3.4.2-2",
                "MQTT-3.5.2-2",
                "MQTT-3.6.2-2",
                "MQTT-3.7.2-2",
                "MQTT-3.14.2-3",
                "MQTT-3.15.2-2",
            ],
            &[],
        )
        .on_outgoing(|_, mut packet| {
            match &mut packet {
                Packet::PubAck(ack) => ack.properties.set(ReasonString(LONG)),
                Packet::PubRec(ack) => ack.properties.set(ReasonString(LONG)),
                Packet::PubRel(ack) => ack.properties.set(ReasonString(LONG)),
                Packet::PubComp(ack) => ack.properties.set(ReasonString(LONG)),
                Packet::Disconnect(packet) => packet.properties.set(ReasonString(LONG)),
                Packet::Auth(auth) => auth.properties.set(ReasonString(LONG)),
                _ => {}
            }
            send(packet)
        }),
    mutant("user-properties-too-long", "adds a User Property, whatever the Server takes")
        .breaks(
            &[
                "MQTT-3.2.2-15",
                "MQTT-3.4.2-3",
                "MQTT-3.5.2-3",
                "MQTT-3.6.2-3",
                "MQTT-3.7.2-3",
                "MQTT-3.14.2-4",
                "MQTT-3.15.2-3",
            ],
            &[],
        )
        .on_outgoing(|_, mut packet| {
            let property = UserProperty { name: Utf8String::from_static("why"), value: LONG };
            match &mut packet {
                Packet::PubAck(ack) => ack.properties.push(property),
                Packet::PubRec(ack) => ack.properties.push(property),
                Packet::PubRel(ack) => ack.properties.push(property),
                Packet::PubComp(ack) => ack.properties.push(property),
                Packet::Disconnect(packet) => packet.properties.push(property),
                Packet::Auth(auth) => auth.properties.push(property),
                _ => {}
            }
            send(packet)
        }),
    mutant("auth-without-method", "sends AUTH although it named no Authentication Method")
        .breaks(&["MQTT-4.12.0-7"], &[])
        .also_blamed(&[(Standard::V5, &["U5-147"], "the packet between looks as if the Client went on")])
        .on_incoming(|_, packet| {
            let mut effects = Vec::new();
            if matches!(&packet, Packet::ConnAck(ack) if !ack.reason.is_failure()) {
                let mut properties = Properties::new();
                properties.set(AuthenticationMethod(Utf8String::from_static("SCRAM-SHA-256")));
                effects.push(Effect::Send(Auth { reason: AuthReason::ReAuthenticate, properties }.into()));
            }
            effects.push(Effect::Deliver(packet));
            effects
        }),
];

/// Sends the bytes of a packet after a change.
fn patched(state: &State, packet: &Packet, change: impl FnOnce(&mut Vec<u8>)) -> Vec<Effect> {
    let version = match packet {
        Packet::Connect(connect) => connect.version,
        _ => state.connection.version,
    };
    encoded(packet, version)
        .map(|mut bytes| {
            change(&mut bytes);
            Effect::SendBytes(Bytes::from(bytes))
        })
        .into_iter()
        .collect()
}

/// Where the variable header begins.
fn content(bytes: &[u8]) -> usize {
    1 + bytes[1..].iter().take_while(|byte| **byte & 0x80 != 0).count() + 1
}

/// Sets Connect Flags in a CONNECT that has a Will, or in one that has none.
fn set_connect_flags(state: &State, packet: Packet, with_will: bool, flags: u8) -> Vec<Effect> {
    match &packet {
        Packet::Connect(connect) if connect.will.is_some() == with_will => patched(state, &packet, |bytes| {
            // After the Protocol Name of six bytes and the Protocol Version.
            let at = content(bytes) + 7;
            bytes[at] |= flags;
        }),
        _ => send(packet),
    }
}

fn clear_flags(state: &State, packet: Packet, of: PacketType) -> Vec<Effect> {
    if packet.packet_type() == of { patched(state, &packet, |bytes| bytes[0] &= 0xf0) } else { send(packet) }
}

/// Ends a SUBSCRIBE or UNSUBSCRIBE before its first Topic Filter.
fn without_filters(state: &State, packet: Packet, of: PacketType) -> Vec<Effect> {
    if packet.packet_type() != of {
        return send(packet);
    }
    let is_5 = state.connection.version.is_5();
    patched(state, &packet, |bytes| {
        let at = content(bytes);
        // The Packet Identifier, and no properties.
        let mut left = vec![bytes[0], if is_5 { 3 } else { 2 }, bytes[at], bytes[at + 1]];
        left.extend(is_5.then_some(0));
        *bytes = left;
    })
}

/// Replaces each occurrence of a text by another of its length.
fn replaced(state: &State, packet: &Packet, text: &[u8], by: &[u8]) -> Vec<Effect> {
    patched(state, packet, |bytes| {
        for at in 0..=bytes.len().saturating_sub(text.len()) {
            if bytes[at..].starts_with(text) {
                bytes[at..at + text.len()].copy_from_slice(by);
            }
        }
    })
}

fn without_mark(topic: TopicName) -> TopicName {
    let text = topic.as_str().trim_start_matches('\u{feff}').to_owned();
    TopicName::try_from(text).unwrap_or(topic)
}
