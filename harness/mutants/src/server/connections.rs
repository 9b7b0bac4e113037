//! Refusing, closing, answering and authenticating (§3.1.4, §3.2, §3.14, §4.8, §4.12, §4.13).

use core::time::Duration;

use bytes::Bytes;
use mqttspec_codec::{
    AuthenticationData, AuthenticationMethod, ConnectReason, Delivery, DisconnectReason, NonEmpty, Packet,
    PacketType, PubAck, PubAckReason, PubRec, SubAckReason, UnsubAck, UnsubAckReason, Utf8String,
};

use super::server;
use crate::Defect;
use crate::deeds::{Deed, say, tell};
use crate::rules::{connack, connect, is_acknowledgement, says_no};

pub(super) static DEFECTS: &[Defect] = &[
    // Closing.
    server("never-closes", "neither disconnects nor closes")
        .breaks(
            &[
                "MQTT-3.1.0-2",
                "MQTT-3.1.2-22",
                "MQTT-3.1.3-8",
                "MQTT-3.1.4-1",
                "MQTT-3.1.4-2",
                "MQTT-3.1.4-3",
                "MQTT-3.2.2-7",
                "MQTT-3.2.2-12",
                "MQTT-3.2.2-13",
                "MQTT-3.14.4-2",
                "MQTT-4.12.0-1",
                "MQTT-4.12.0-4",
                "MQTT-4.13.1-1",
                "MQTT-4.13.2-1",
            ],
            &[
                "MQTT-3.1.0-2",
                "MQTT-3.1.2-2",
                "MQTT-3.1.2-24",
                "MQTT-3.1.3-9",
                "MQTT-3.1.4-1",
                "MQTT-3.1.4-2",
                "MQTT-3.2.2-5",
                "MQTT-4.8.0-1",
            ],
        )
        .tolerates_misdeeds()
        .says(|_, packet| says_no(packet, PacketType::Disconnect))
        .closes(|_| Vec::new()),
    server("closes-late", "closes five minutes later than it should")
        .breaks(
            &[
                "MQTT-3.1.0-2",
                "MQTT-3.1.2-22",
                "MQTT-3.1.3-8",
                "MQTT-3.1.4-1",
                "MQTT-3.1.4-2",
                "MQTT-3.1.4-3",
                "MQTT-3.2.2-7",
                "MQTT-3.2.2-12",
                "MQTT-3.2.2-13",
                "MQTT-3.14.4-2",
                "MQTT-4.12.0-1",
                "MQTT-4.12.0-4",
                "MQTT-4.13.1-1",
                "MQTT-4.13.2-1",
            ],
            &[
                "MQTT-3.1.0-2",
                "MQTT-3.1.2-2",
                "MQTT-3.1.2-24",
                "MQTT-3.1.3-9",
                "MQTT-3.1.4-1",
                "MQTT-3.1.4-2",
                "MQTT-3.2.2-5",
                "MQTT-4.8.0-1",
            ],
        )
        .tolerates_misdeeds()
        .closes(|_| vec![Deed::CloseLater(Duration::from_secs(300))]),
    server("closes-without-a-word", "sends no DISCONNECT and no refusal")
        .breaks(
            &["MQTT-3.1.4-3", "U5-147"],
            &["MQTT-3.1.2-2", "MQTT-3.1.3-8", "MQTT-3.1.3-9", "U3-001", "U3-004"],
        )
        .says(|_, packet| match &packet {
            Packet::Disconnect(_) => Vec::new(),
            Packet::ConnAck(ack) if ack.reason.is_failure() => Vec::new(),
            _ => say(packet),
        }),
    server("speaks-after-disconnect", "sends a PINGRESP behind its DISCONNECT")
        .breaks(&["MQTT-3.14.4-1"], &[])
        .says(|_, packet| match &packet {
            Packet::Disconnect(_) => vec![Deed::Say(packet), Deed::Say(Packet::PingResp)],
            _ => say(packet),
        }),
    server("gives-another-reason", "gives 0x83 as the reason of every refusal and disconnection")
        .breaks(
            &[
                "MQTT-3.1.4-3",
                "MQTT-3.2.2-12",
                "MQTT-3.2.2-13",
                "MQTT-4.12.0-1",
                "U5-064",
                "U5-072",
                "U5-080",
                "U5-137",
                "U5-147",
            ],
            &["MQTT-3.1.2-2", "MQTT-3.1.3-8", "MQTT-3.1.3-9"],
        )
        .says(|scene, mut packet| {
            if scene.wire.version.is_5() {
                match &mut packet {
                    Packet::Disconnect(disconnect) => {
                        disconnect.reason = DisconnectReason::ImplementationSpecificError;
                    }
                    Packet::ConnAck(ack) if ack.reason.is_failure() => {
                        ack.reason = ConnectReason::ImplementationSpecificError;
                    }
                    Packet::PubAck(PubAck { reason, .. }) | Packet::PubRec(PubRec { reason, .. })
                        if reason.is_failure() =>
                    {
                        *reason = PubAckReason::ImplementationSpecificError;
                    }
                    _ => {}
                }
            } else if let Packet::ConnAck(ack) = &mut packet
                && ack.reason.is_failure()
            {
                ack.reason = ConnectReason::NotAuthorized;
            }
            say(packet)
        }),
    server("takes-malformed-packets", "takes no notice of malformed packets")
        .breaks(
            &["MQTT-3.1.4-1", "MQTT-3.8.3-5", "MQTT-3.14.1-1", "MQTT-4.13.1-1"],
            &["MQTT-3.1.4-1", "MQTT-3.8.3-4", "MQTT-3.14.1-1", "MQTT-4.8.0-1"],
        )
        .tolerates_misdeeds()
        .hears_malformed(|_, _| Vec::new())
        .says(|_, packet| says_no(packet, PacketType::Disconnect)),
    server("closes-for-nothing", "closes at the first message")
        .breaks(
            &["MQTT-3.3.4-1", "MQTT-4.3.1-1", "MQTT-4.3.2-4", "MQTT-4.3.3-8"],
            &["MQTT-3.3.4-1", "MQTT-4.3.1-1", "MQTT-4.3.2-2", "MQTT-4.3.3-2"],
        )
        .hears(|_, packet| match packet {
            Packet::Publish(_) => vec![Deed::Close, Deed::TellEnd],
            packet => tell(packet),
        }),
    server(
        "closes-at-unknown-identifiers",
        "closes when an acknowledgement has an identifier that is not in use",
    )
    .breaks(&["U5-117"], &["MQTT-4.3.3-2"])
    .says(|scene, packet| {
        scene
            .wire
            .identifiers
            .extend(packet.packet_identifier().filter(|_| matches!(packet, Packet::Publish(_))));
        say(packet)
    })
    .hears(|scene, packet| match packet.packet_identifier() {
        Some(id) if is_acknowledgement(&packet) && !scene.wire.identifiers.contains(&id) => {
            vec![Deed::Close, Deed::TellEnd]
        }
        _ => tell(packet),
    }),
    server("serves-before-connack", "serves a Client whose CONNECT it refused")
        .breaks(
            &[
                "MQTT-3.1.0-1",
                "MQTT-3.1.2-2",
                "MQTT-3.1.3-8",
                "MQTT-3.1.4-1",
                "MQTT-3.1.4-2",
                "MQTT-3.1.4-6",
                "MQTT-3.2.2-7",
                "MQTT-3.2.2-12",
                "MQTT-3.2.2-13",
                "MQTT-4.12.0-1",
                "MQTT-4.12.0-4",
                "U5-050",
            ],
            &[
                "MQTT-3.1.0-1",
                "MQTT-3.1.2-2",
                "MQTT-3.1.3-8",
                "MQTT-3.1.3-9",
                "MQTT-3.1.4-1",
                "MQTT-3.1.4-5",
                "MQTT-3.2.2-5",
                "U3-001",
                "U3-004",
            ],
        )
        .tolerates_misdeeds()
        .says(|scene, packet| {
            let is_5 = scene.wire.version.is_5();
            say(connack(packet, |ack| {
                ack.reason = ConnectReason::Success;
                if is_5 {
                    ack.properties.clear();
                }
            }))
        })
        .closes(|_| Vec::new()),
    server("grants-everything", "grants and accepts what it refused")
        .breaks(&["MQTT-3.8.4-7", "U5-072", "U5-093"], &["MQTT-3.8.3-2", "MQTT-3.8.4-5"])
        .says(|_, mut packet| {
            match &mut packet {
                Packet::SubAck(ack) => {
                    ack.reasons.iter_mut().filter(|reason| reason.is_failure()).for_each(|reason| {
                        *reason = SubAckReason::GrantedQoS0;
                    });
                }
                Packet::PubAck(PubAck { reason, .. }) | Packet::PubRec(PubRec { reason, .. }) => {
                    *reason = PubAckReason::Success;
                }
                _ => {}
            }
            say(packet)
        }),
    server("disconnects-for-a-refusal", "disconnects where one refusal would do")
        .breaks(&["MQTT-3.8.4-1", "U5-149"], &["MQTT-3.8.4-1"])
        .says(|_, packet| {
            let refuses = match &packet {
                Packet::SubAck(ack) => ack.reasons.iter().any(|reason| reason.is_failure()),
                Packet::PubAck(PubAck { reason, .. }) | Packet::PubRec(PubRec { reason, .. }) => {
                    reason.is_failure()
                }
                _ => false,
            };
            if refuses { vec![Deed::Close, Deed::TellEnd] } else { say(packet) }
        }),
    server("unsubscribes-in-words-only", "answers UNSUBSCRIBE and goes on delivering")
        .breaks(&["MQTT-3.10.4-1", "MQTT-3.10.4-2"], &["MQTT-3.10.4-1", "MQTT-3.10.4-2"])
        .hears(|scene, packet| match &packet {
            Packet::Unsubscribe(unsubscribe) => {
                let codes = if scene.wire.version.is_5() { unsubscribe.filters.len() } else { 0 };
                say(UnsubAck::new(unsubscribe.id, vec![UnsubAckReason::Success; codes]))
            }
            _ => tell(packet),
        }),
    server("unsuback-codes-reversed", "gives the codes of SUBACK and UNSUBACK in reverse")
        .breaks(&["MQTT-3.9.3-1", "MQTT-3.11.3-1"], &["MQTT-3.9.3-1"])
        .says(|_, mut packet| {
            match &mut packet {
                Packet::UnsubAck(ack) => ack.reasons.reverse(),
                Packet::SubAck(ack) => ack.reasons.reverse(),
                _ => {}
            }
            say(packet)
        }),
    server("one-answer-for-each-filter", "answers a SUBSCRIBE with a SUBACK for each filter")
        .breaks(&["MQTT-3.8.4-5", "MQTT-3.8.4-6"], &["MQTT-3.8.4-4", "MQTT-3.8.4-5"])
        .says(|_, packet| match packet {
            Packet::SubAck(ack) if ack.reasons.len() > 1 => ack
                .reasons
                .iter()
                .map(|reason| {
                    let mut one = ack.clone();
                    one.reasons = NonEmpty::one(*reason);
                    Deed::Say(one.into())
                })
                .collect(),
            packet => say(packet),
        }),
    // Authentication.
    server("no-authentication", "accepts whoever begins to authenticate")
        .breaks(&["MQTT-3.1.4-2", "MQTT-4.12.0-2", "MQTT-4.12.0-4"], &[])
        .hears(|scene, packet| match &packet {
            Packet::Connect(connect) if connect.properties.contains::<AuthenticationMethod>() => {
                let mut plain = connect.clone();
                plain.properties.remove::<AuthenticationMethod>();
                plain.properties.remove::<AuthenticationData>();
                scene.count += 1;
                vec![Deed::Tell(Packet::Connect(plain))]
            }
            Packet::Auth(_) => Vec::new(),
            _ => tell(packet),
        }),
    server("auth-without-method", "sends AUTH and CONNACK without the Authentication Method")
        .breaks(&["MQTT-4.12.0-5"], &[])
        .says(|_, mut packet| {
            match &mut packet {
                Packet::Auth(auth) => {
                    auth.properties.remove::<AuthenticationMethod>();
                }
                Packet::ConnAck(ack) => {
                    ack.properties.remove::<AuthenticationMethod>();
                }
                _ => {}
            }
            say(packet)
        }),
    server("auth-unasked", "names an Authentication Method to a Client that named none")
        .breaks(&["MQTT-4.12.0-6"], &[])
        .says(|scene, packet| {
            let is_5 = scene.wire.version.is_5();
            say(connack(packet, |ack| {
                if let (Ok(method), true) = (Utf8String::try_from("PLAIN"), is_5) {
                    ack.properties.set(AuthenticationMethod(method));
                }
            }))
        }),
    server("everybody-may-enter", "takes no notice of User Name and Password")
        .breaks(&["MQTT-3.1.4-2"], &["U3-001", "U3-004"])
        .hears(|_, packet| {
            tell(connect(packet, |connect| {
                connect.user_name = None;
                connect.password = None;
            }))
        }),
    server("any-protocol-name", "accepts a CONNECT with another Protocol Name")
        .breaks(&["MQTT-3.1.2-1"], &["MQTT-3.1.2-1"])
        .hears_malformed(|_, bytes| match level_behind_another_name(&bytes) {
            Some(5) => vec![Deed::SayBytes(Bytes::from_static(&[0x20, 0x03, 0x00, 0x00, 0x00]))],
            Some(_) => vec![Deed::SayBytes(Bytes::from_static(&[0x20, 0x02, 0x00, 0x00]))],
            None => vec![Deed::TellBytes(bytes)],
        }),
    server("disconnects-before-connack", "sends DISCONNECT to a Client that it has not accepted")
        .breaks(&["MQTT-3.14.0-1", "U5-023"], &["U3-016", "U3-017"])
        .closes(|scene| match &scene.wire.connect {
            None => vec![Deed::SayBytes(Bytes::from_static(&[0xe0, 0x02, 0x81, 0x00])), Deed::Close],
            Some(_) => vec![Deed::Close],
        }),
    server("password-needs-a-user-name", "closes on a Password without a User Name, as 3.1.1 has it")
        .breaks(&["U5-026"], &[])
        .hears(|_, packet| match &packet {
            Packet::Connect(connect) if connect.password.is_some() && connect.user_name.is_none() => {
                vec![Deed::Close, Deed::TellEnd]
            }
            _ => tell(packet),
        }),
    server("identifiers-need-a-hyphen", "closes on Client Identifiers without a hyphen")
        .breaks(&["MQTT-3.1.3-5"], &["MQTT-3.1.3-5"])
        .hears(|_, packet| match &packet {
            Packet::Connect(connect) if !connect.client_id.as_str().contains('-') => {
                vec![Deed::Close, Deed::TellEnd]
            }
            _ => tell(packet),
        }),
    server("speaks-behind-the-clients-disconnect", "answers DISCONNECT with PINGRESP")
        .breaks(&["U5-151"], &["U3-011"])
        .hears(|_, packet| match packet {
            Packet::Disconnect(_) => vec![Deed::Say(Packet::PingResp), Deed::Tell(packet)],
            packet => tell(packet),
        }),
    server("sends-pingreq", "sends PINGREQ behind its CONNACK").breaks(&["U5-156"], &["U3-016"]).says(
        |_, packet| match &packet {
            Packet::ConnAck(ack) if !ack.reason.is_failure() => {
                vec![Deed::Say(packet), Deed::Say(Packet::PingReq)]
            }
            _ => say(packet),
        },
    ),
    server("gossips", "gives every message to everybody")
        .breaks(&["MQTT-3.3.2-3", "U5-072"], &["MQTT-3.3.2-3", "MQTT-3.3.5-2"])
        .hears(|scene, packet| {
            let Packet::Publish(publish) = &packet else { return tell(packet) };
            let mut copy = publish.clone();
            (copy.delivery, copy.retain) = (Delivery::AtMostOnce, false);
            copy.properties.clear();
            let others = scene.owners.values().filter(|number| **number != scene.wire.number);
            let gossip =
                others.map(|number| Deed::Elsewhere(*number, Box::new(Deed::Say(copy.clone().into()))));
            gossip.chain([Deed::Tell(packet.clone())]).collect()
        }),
];

/// The Protocol Version behind another Protocol Name than MQTT, if the bytes begin like a CONNECT with one.
fn level_behind_another_name(bytes: &[u8]) -> Option<u8> {
    let [0x10, _, high, low, rest @ ..] = bytes else { return None };
    let (name, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([*high, *low])))?;
    rest.first().copied().filter(|_| name != b"MQTT")
}
