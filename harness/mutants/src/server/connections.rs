//! Accepting, refusing and closing Network Connections (§3.1.4, §3.2, §3.14, §4.8, §4.13).

use core::time::Duration;

use bytes::Bytes;
use mqttspec_codec::{
    AssignedClientIdentifier, ConnectReason, DisconnectReason, Packet, PacketType, PubAck, PubAckReason,
    PubRec, RequestResponseInformation, ResponseInformation, SubAckReason, Utf8String,
};
use mqttspec_spec::Standard;

use super::mutant;
use crate::edit::{edit_connack, edit_connect, is_acknowledgement};
use crate::effect::{Effect, deliver, send};
use crate::handlers::send_except;
use crate::mutant::Mutant;

/// The clauses of 5.0 that require a Server to close the Network Connection.
const CLOSING_5: &[&str] = &[
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
    "U5-019",
    "U5-151",
    "MQTT-4.13.1-1",
    "MQTT-4.13.2-1",
];

/// The clauses of 3.1.1 that require it.
const CLOSING_3_1_1: &[&str] = &[
    "MQTT-3.1.0-2",
    "MQTT-3.1.2-2",
    "MQTT-3.1.2-24",
    "MQTT-3.1.3-9",
    "MQTT-3.1.4-1",
    "MQTT-3.1.4-2",
    "MQTT-3.2.2-5",
    "MQTT-4.8.0-1",
    "U3-011",
    "U3-017",
];

pub(super) static MUTANTS: &[Mutant] = &[
    mutant("no-pingresp", "does not answer PINGREQ")
        .gets_wrong(&["PINGRESP"])
        .breaks(&["MQTT-3.12.4-1", "U5-055"], &["MQTT-3.12.4-1"])
        .on_outgoing(|_, packet| send_except(packet, PacketType::PingResp)),
    mutant("response-information-unasked", "sends Response Information to every Client")
        .breaks(&["MQTT-3.1.2-28"], &[])
        .also_blamed(&[(
            Standard::V5,
            &["MQTT-3.1.2-24"],
            "the property makes CONNACK larger than the Client takes",
        )])
        .on_incoming(|_, packet| {
            deliver(edit_connect(packet, |connect| {
                if connect.version.is_5() {
                    connect.properties.set(RequestResponseInformation(true));
                }
            }))
        })
        .on_outgoing(|state, packet| {
            let is_5 = state.connection.version.is_5();
            send(edit_connack(packet, |ack| {
                if let (Ok(text), true) = (Utf8String::try_from("there"), is_5) {
                    ack.properties.set(ResponseInformation(text));
                }
            }))
        }),
    mutant("connack-without-properties", "sends CONNACK without properties")
        .breaks(&["MQTT-3.2.2-9", "MQTT-3.2.2-16", "MQTT-3.2.2-21", "MQTT-4.12.0-5", "U5-027"], &[])
        .on_outgoing(|_, packet| send(edit_connack(packet, |ack| ack.properties.clear()))),
    mutant("no-assigned-identifier", "sends no Assigned Client Identifier")
        .breaks(&["MQTT-3.1.3-7", "MQTT-3.2.2-16"], &[])
        .also_blamed(&[(
            Standard::V5,
            &["MQTT-3.1.3-6"],
            "only the CONNACK shows the identifier that was assigned",
        )])
        .on_outgoing(|_, packet| {
            send(edit_connack(packet, |ack| {
                ack.properties.remove::<AssignedClientIdentifier>();
            }))
        }),
    mutant("connack-twice", "answers CONNECT twice")
        .breaks(&["MQTT-3.2.0-2"], &["MQTT-3.1.4-4"])
        .on_outgoing(|_, packet| match &packet {
            Packet::ConnAck(_) => vec![Effect::Send(packet.clone()), Effect::Send(packet)],
            _ => send(packet),
        }),
    mutant("connack-late", "sends CONNACK after the messages that wait for the Client")
        .gets_wrong(&["PUBLISH", "CONNACK"])
        .breaks(&["MQTT-3.2.0-1"], &["MQTT-3.2.0-1"])
        .also_blamed(&[
            (
                Standard::V5,
                &["MQTT-3.1.4-4", "MQTT-3.2.2-3"],
                "another packet comes in place of the CONNACK with Session Present",
            ),
            (
                Standard::V3_1_1,
                &["MQTT-3.1.4-3", "MQTT-3.2.2-2", "MQTT-4.4.0-1"],
                "another packet comes in place of the CONNACK with Session Present",
            ),
        ])
        .on_outgoing(|_, packet| match &packet {
            Packet::ConnAck(_) => vec![Effect::SendLater(Duration::from_millis(200), packet)],
            _ => send(packet),
        }),
    mutant("never-closes", "neither disconnects nor closes")
        .gets_wrong(&["closed"])
        .breaks(CLOSING_5, CLOSING_3_1_1)
        .that_accepts_violations()
        .on_outgoing(|_, packet| send_except(packet, PacketType::Disconnect))
        .on_peer_close(|_| Vec::new()),
    mutant("closes-late", "closes five minutes later than it should")
        .gets_wrong(&["closed"])
        .breaks(CLOSING_5, CLOSING_3_1_1)
        .also_blamed(&[
            (
                Standard::V5,
                &["MQTT-3.2.2-8", "MQTT-3.1.2-3", "U5-052", "MQTT-3.3.2-7", "U5-035", "U5-078"],
                "the close that shows what the Server made of a packet does not come in time",
            ),
            (
                Standard::V3_1_1,
                &["MQTT-2.2.2-2", "MQTT-3.1.2-3"],
                "the close that shows what the Server made of a packet does not come in time",
            ),
        ])
        .that_accepts_violations()
        .on_peer_close(|_| vec![Effect::CloseLater(Duration::from_secs(300))]),
    mutant("closes-without-a-word", "sends no DISCONNECT and no refusal before it closes")
        .gets_wrong(&["DISCONNECT", "CONNACK"])
        .breaks(
            &["MQTT-3.1.4-3", "U5-147"],
            &["MQTT-3.1.2-2", "MQTT-3.1.3-8", "MQTT-3.1.3-9", "U3-001", "U3-004"],
        )
        .on_outgoing(|_, packet| match &packet {
            Packet::Disconnect(_) => Vec::new(),
            Packet::ConnAck(ack) if ack.reason.is_failure() => Vec::new(),
            _ => send(packet),
        }),
    mutant("speaks-after-disconnect", "sends a PINGRESP after its DISCONNECT")
        .breaks(&["MQTT-3.14.4-1"], &[])
        .also_blamed(&[(
            Standard::V5,
            &["MQTT-3.14.4-2", "MQTT-4.13.2-1"],
            "a close is expected, and a packet comes in its place",
        )])
        .on_outgoing(|_, packet| match &packet {
            Packet::Disconnect(_) => vec![Effect::Send(packet), Effect::Send(Packet::PingResp)],
            _ => send(packet),
        }),
    mutant("gives-another-reason", "uses Reason Code 0x83 in every refusal and DISCONNECT")
        .gets_wrong(&["reason"])
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
        .on_outgoing(|state, mut packet| {
            if state.connection.version.is_5() {
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
            send(packet)
        }),
    mutant("refuses-in-the-form-of-5.0", "refuses a CONNECT of another version with a CONNACK of 5.0")
        .gets_wrong(&["CONNACK"])
        .breaks(&[], &["MQTT-3.1.2-2", "MQTT-3.1.3-8", "MQTT-3.1.3-9"])
        .on_malformed(|_, bytes| {
            // The Protocol Version of a short CONNECT with the Protocol Name MQTT.
            let reason = match bytes.get(8).filter(|_| bytes.starts_with(&[0x10])) {
                None | Some(5) => return vec![Effect::DeliverBytes(bytes)],
                Some(4) => ConnectReason::ClientIdentifierNotValid,
                Some(_) => ConnectReason::UnsupportedProtocolVersion,
            };
            vec![refusal_of_5(reason), Effect::Close, Effect::DeliverEnd]
        })
        .on_outgoing(|state, packet| match &packet {
            Packet::ConnAck(ack) if ack.reason.is_failure() && !state.connection.version.is_5() => {
                vec![refusal_of_5(ack.reason)]
            }
            _ => send(packet),
        }),
    mutant("takes-malformed-packets", "ignores malformed packets")
        .gets_wrong(&["closed"])
        .breaks(
            &["MQTT-3.1.4-1", "MQTT-3.8.3-5", "MQTT-3.14.1-1", "MQTT-4.13.1-1"],
            &["MQTT-3.1.4-1", "MQTT-3.8.3-4", "MQTT-3.14.1-1", "MQTT-4.8.0-1"],
        )
        .that_accepts_violations()
        .on_malformed(|_, _| Vec::new())
        .on_outgoing(|_, packet| send_except(packet, PacketType::Disconnect)),
    mutant("answers-identifier-0", "answers packets with Packet Identifier 0 with the same one")
        .gets_wrong(&["closed"])
        .breaks(&["MQTT-2.2.1-3", "MQTT-4.13.1-1"], &["MQTT-2.3.1-1", "MQTT-4.8.0-1"])
        .on_malformed(|_, bytes| match with_identifier_0(&bytes) {
            Some(answer) => vec![Effect::SendBytes(answer)],
            None => vec![Effect::DeliverBytes(bytes)],
        }),
    mutant("closes-for-nothing", "closes at the first message")
        .gets_wrong(&["PUBLISH", "PUBACK", "PUBREC", "closed"])
        .breaks(
            &["MQTT-3.3.4-1", "MQTT-4.3.1-1", "MQTT-4.3.2-4", "MQTT-4.3.3-8"],
            &["MQTT-3.3.4-1", "MQTT-4.3.1-1", "MQTT-4.3.2-2", "MQTT-4.3.3-2"],
        )
        .also_blamed(&[(
            Standard::V5,
            &["MQTT-3.4.2-1", "U5-071"],
            "the acknowledgement whose Reason Code is looked at does not come",
        )])
        .on_incoming(|_, packet| match packet {
            Packet::Publish(_) => vec![Effect::Close, Effect::DeliverEnd],
            packet => deliver(packet),
        }),
    mutant(
        "closes-at-unknown-identifiers",
        "closes when an acknowledgement has an identifier that is not in use",
    )
    .breaks(&["U5-117"], &["MQTT-4.3.3-2"])
    .on_outgoing(|state, packet| {
        state
            .connection
            .identifiers
            .extend(packet.packet_identifier().filter(|_| matches!(packet, Packet::Publish(_))));
        send(packet)
    })
    .on_incoming(|state, packet| match packet.packet_identifier() {
        Some(id) if is_acknowledgement(&packet) && !state.connection.identifiers.contains(&id) => {
            vec![Effect::Close, Effect::DeliverEnd]
        }
        _ => deliver(packet),
    }),
    mutant("serves-before-connack", "serves a Client whose CONNECT it refused")
        .gets_wrong(&["closed", "session_expiry"])
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
        .that_accepts_violations()
        .on_outgoing(|state, packet| {
            let is_5 = state.connection.version.is_5();
            send(edit_connack(packet, |ack| {
                ack.reason = ConnectReason::Success;
                if is_5 {
                    ack.properties.clear();
                }
            }))
        })
        .on_peer_close(|_| Vec::new()),
    mutant("grants-everything", "reports success for what it refuses")
        .breaks(&["MQTT-3.8.4-7", "U5-072", "U5-093"], &["MQTT-3.8.3-2", "MQTT-3.8.4-5"])
        .also_blamed(&[
            (
                Standard::V5,
                &["U5-149", "MQTT-3.9.3-1"],
                "one SUBACK is expected, and its order shows where its codes differ",
            ),
            (
                Standard::V3_1_1,
                &["MQTT-3.9.3-1", "MQTT-3.9.3-2"],
                "one SUBACK is expected, and its order shows where its codes differ",
            ),
        ])
        .on_outgoing(|_, mut packet| {
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
            send(packet)
        }),
    mutant("disconnects-for-a-refusal", "closes the connection instead of refusing one request")
        .gets_wrong(&["SUBACK", "PUBACK"])
        .breaks(&["MQTT-3.8.4-1", "U5-149"], &["MQTT-3.8.4-1"])
        .also_blamed(&[
            (
                Standard::V5,
                &["MQTT-3.8.4-7", "MQTT-3.9.3-1"],
                "the SUBACK whose codes are looked at does not come",
            ),
            (
                Standard::V3_1_1,
                &["MQTT-3.8.4-5", "MQTT-3.9.3-1", "MQTT-3.9.3-2"],
                "the SUBACK whose codes are looked at does not come",
            ),
        ])
        .on_outgoing(|_, packet| {
            let refuses = match &packet {
                Packet::SubAck(ack) => ack.reasons.iter().any(|reason| reason.is_failure()),
                Packet::PubAck(PubAck { reason, .. }) | Packet::PubRec(PubRec { reason, .. }) => {
                    reason.is_failure()
                }
                _ => false,
            };
            if refuses { vec![Effect::Close, Effect::DeliverEnd] } else { send(packet) }
        }),
    mutant("any-protocol-name", "accepts a CONNECT with another Protocol Name")
        .breaks(&["MQTT-3.1.2-1"], &["MQTT-3.1.2-1"])
        .on_malformed(|_, bytes| match level_after_another_name(&bytes) {
            Some(5) => vec![Effect::SendBytes(Bytes::from_static(&[0x20, 0x03, 0x00, 0x00, 0x00]))],
            Some(_) => vec![Effect::SendBytes(Bytes::from_static(&[0x20, 0x02, 0x00, 0x00]))],
            None => vec![Effect::DeliverBytes(bytes)],
        }),
    mutant("disconnects-before-connack", "sends DISCONNECT to a Client that it has not accepted")
        .breaks(&["MQTT-3.14.0-1", "U5-023"], &["U3-016", "U3-017"])
        .on_peer_close(|state| match &state.connection.connect {
            None => vec![Effect::SendBytes(Bytes::from_static(&[0xe0, 0x02, 0x81, 0x00])), Effect::Close],
            Some(_) => vec![Effect::Close],
        }),
    mutant("identifiers-need-a-hyphen", "closes on Client Identifiers without a hyphen")
        .gets_wrong(&["CONNACK", "closed"])
        .breaks(&["MQTT-3.1.3-5"], &["MQTT-3.1.3-5"])
        .on_incoming(|_, packet| match &packet {
            Packet::Connect(connect) if !connect.client_id.as_str().contains('-') => {
                vec![Effect::Close, Effect::DeliverEnd]
            }
            _ => deliver(packet),
        }),
    mutant("speaks-behind-the-clients-disconnect", "answers DISCONNECT with PINGRESP")
        .breaks(&["U5-151"], &["U3-011"])
        .on_incoming(|_, packet| match packet {
            Packet::Disconnect(_) => vec![Effect::Send(Packet::PingResp), Effect::Deliver(packet)],
            packet => deliver(packet),
        }),
    mutant("sends-pingreq", "sends PINGREQ after its CONNACK").breaks(&["U5-156"], &["U3-016"]).on_outgoing(
        |_, packet| match &packet {
            Packet::ConnAck(ack) if !ack.reason.is_failure() => {
                vec![Effect::Send(packet), Effect::Send(Packet::PingReq)]
            }
            _ => send(packet),
        },
    ),
];

/// A CONNACK in the form of 5.0, which has a Property Length.
fn refusal_of_5(reason: ConnectReason) -> Effect {
    Effect::SendBytes(Bytes::from(vec![0x20, 3, 0, u8::from(reason), 0]))
}

/// The Protocol Version of a CONNECT whose Protocol Name is not MQTT; `None` for other bytes.
fn level_after_another_name(bytes: &[u8]) -> Option<u8> {
    let [0x10, _, high, low, rest @ ..] = bytes else { return None };
    let (name, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([*high, *low])))?;
    rest.first().copied().filter(|_| name != b"MQTT")
}

/// The acknowledgement of a packet with Packet Identifier 0, in 3.1.1; `None` for other packets.
fn with_identifier_0(packet: &[u8]) -> Option<Bytes> {
    let (&first, rest) = packet.split_first()?;
    let has_identifier_0 = |at: usize| rest.get(at..at + 2) == Some(&[0, 0]);
    // One byte of Remaining Length is before the fields.
    let topic = || rest.get(1..3).map(|length| usize::from(u16::from_be_bytes([length[0], length[1]])));
    let answer: &[u8] = match first >> 4 {
        3 if has_identifier_0(3 + topic()?) => match first & 0x06 {
            0x02 => &[0x40, 2, 0, 0],
            0x04 => &[0x50, 2, 0, 0],
            _ => return None,
        },
        6 if has_identifier_0(1) => &[0x70, 2, 0, 0],
        8 if has_identifier_0(1) => &[0x90, 3, 0, 0, 0],
        10 if has_identifier_0(1) => &[0xb0, 2, 0, 0],
        _ => return None,
    };
    Some(Bytes::copy_from_slice(answer))
}
