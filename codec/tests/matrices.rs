//! Exhaustive tests of small spaces: Connect Flags, properties × packets, Reason Codes × packets ×
//! senders.
//!
//! The expectations are separate lists, written from the tables of the standard.
#![expect(clippy::unwrap_used, reason = "a failure here is the test failing")]

mod support;

use bytes::Bytes;
use mqttspec_codec::{Misdeed, Packet, PropertyIdentifier, Role, Version, decode, decode_from};
use mqttspec_codec::{PacketType, Policy};
use support::wire;

fn outcome(sender: Option<Role>, notation: &str, version: Version) -> Result<Packet, Misdeed> {
    let frame = Bytes::from(wire(notation).bytes);
    decode_from(sender, &frame, version, Policy::LENIENT).map_err(|error| error.kind)
}

/// All 256 values of the Connect Flags in each version, with a payload that matches the flags.
#[test]
fn connect_flags_in_all_combinations() {
    for version in Version::ALL {
        for flags in 0..=255u8 {
            let bit = |n: u32| flags >> n & 1 == 1;
            let (will, qos, retain, password, user) = (bit(2), flags >> 3 & 3, bit(5), bit(6), bit(7));
            let five = version == Version::V5;
            let mut body = match version {
                Version::V3_1 => "<'MQIsdp'> 03".to_owned(),
                Version::V3_1_1 => "<'MQTT'> 04".to_owned(),
                Version::V5 => "<'MQTT'> 05".to_owned(),
            };
            body += &format!(" {flags:02X} 003C {} <'id'>", if five { "{}" } else { "" });
            if will {
                body += &format!(" {} <'w'> <'p'>", if five { "{}" } else { "" });
            }
            if user {
                body += " <'u'>";
            }
            if password {
                body += " <'s'>";
            }
            // 3.1 calls bit 0 unused, and so the bits of a Will that is not there.
            let old = version == Version::V3_1;
            let legal = (old || !bit(0))
                && (qos != 3 || (old && !will))
                && (will || old || (qos == 0 && !retain))
                && (five || user || !password);
            match outcome(None, &format!("10 {{{body}}}"), version) {
                Ok(Packet::Connect(connect)) => {
                    assert!(legal, "{version} {flags:08b}");
                    assert_eq!(connect.clean_start, bit(1));
                    assert_eq!(
                        connect.will.as_ref().map(|will| (will.qos as u8, will.retain)),
                        will.then_some((qos, retain))
                    );
                    assert_eq!((connect.user_name.is_some(), connect.password.is_some()), (user, password));
                }
                other => assert!(!legal, "{version} {flags:08b}: {other:?}"),
            }
        }
    }
}

/// Identifier, a valid value, and the packets of §2.2.2.2 that may contain it.
const PROPERTIES: [(u8, &str, &str); 27] = [
    (0x01, "01", "PUBLISH WILL"),
    (0x02, "00000001", "PUBLISH WILL"),
    (0x03, "<'x'>", "PUBLISH WILL"),
    (0x08, "<'x'>", "PUBLISH WILL"),
    (0x09, "<'x'>", "PUBLISH WILL"),
    (0x0B, "01", "PUBLISH SUBSCRIBE"),
    (0x11, "00000001", "CONNECT CONNACK DISCONNECT"),
    (0x12, "<'x'>", "CONNACK"),
    (0x13, "0001", "CONNACK"),
    (0x15, "<'x'>", "CONNECT CONNACK AUTH"),
    (0x16, "<'x'>", "CONNECT CONNACK AUTH"),
    (0x17, "01", "CONNECT"),
    (0x18, "00000001", "WILL"),
    (0x19, "01", "CONNECT"),
    (0x1A, "<'x'>", "CONNACK"),
    (0x1C, "<'x'>", "CONNACK DISCONNECT"),
    (0x1F, "<'x'>", "CONNACK PUBACK PUBREC PUBREL PUBCOMP SUBACK UNSUBACK DISCONNECT AUTH"),
    (0x21, "0001", "CONNECT CONNACK"),
    (0x22, "0001", "CONNECT CONNACK"),
    (0x23, "0001", "PUBLISH"),
    (0x24, "01", "CONNACK"),
    (0x25, "01", "CONNACK"),
    (
        0x26,
        "<'k'> <'v'>",
        "CONNECT CONNACK PUBLISH WILL PUBACK PUBREC PUBREL PUBCOMP SUBSCRIBE SUBACK UNSUBSCRIBE UNSUBACK DISCONNECT AUTH",
    ),
    (0x27, "00000001", "CONNECT CONNACK"),
    (0x28, "01", "CONNACK"),
    (0x29, "01", "CONNACK"),
    (0x2A, "01", "CONNACK"),
];

/// A packet with the placeholder `@` for its Properties.
const PACKETS: [(&str, &str); 14] = [
    ("CONNECT", "10 {<'MQTT'> 05 02 003C {@} <>}"),
    ("WILL", "10 {<'MQTT'> 05 06 003C {} <> {@} <'w'> <>}"),
    ("CONNACK", "20 {00 00 {@}}"),
    ("PUBLISH", "30 {<'t'> {@}}"),
    ("PUBACK", "40 {0001 00 {@}}"),
    ("PUBREC", "50 {0001 00 {@}}"),
    ("PUBREL", "62 {0001 00 {@}}"),
    ("PUBCOMP", "70 {0001 00 {@}}"),
    ("SUBSCRIBE", "82 {0001 {@} <'a'> 00}"),
    ("SUBACK", "90 {0001 {@} 00}"),
    ("UNSUBSCRIBE", "A2 {0001 {@} <'a'>}"),
    ("UNSUBACK", "B0 {0001 {@} 00}"),
    ("DISCONNECT", "E0 {00 {@}}"),
    ("AUTH", "F0 {18 {@}}"),
];

/// Further properties that the packet needs to be valid.
fn beside(packet: &str, id: u8) -> &'static str {
    match (packet, id) {
        ("CONNECT", 0x16) => "15<'M'>",
        ("AUTH", 0x15) => "",
        ("AUTH", _) => "15<'M'>",
        _ => "",
    }
}

#[test]
fn properties_in_every_packet() {
    let mut taken = 0;
    for (packet, notation) in PACKETS {
        for (id, value, allowed) in PROPERTIES {
            let property = format!("{id:02X} {value}");
            let beside = beside(packet, id);
            let once = outcome(None, &notation.replace('@', &format!("{beside} {property}")), Version::V5);
            let twice = outcome(
                None,
                &notation.replace('@', &format!("{beside} {property} {property}")),
                Version::V5,
            );
            if !allowed.split(' ').any(|allowed| allowed == packet) {
                assert_eq!(once, Err(Misdeed::PropertyNotAllowed), "{packet} {id:02X}");
                continue;
            }
            taken += 1;
            assert!(once.is_ok(), "{packet} {id:02X}: {once:?}");
            if id == 0x26 || (id == 0x0B && packet == "PUBLISH") {
                assert!(twice.is_ok(), "{packet} {id:02X}: {twice:?}");
            } else {
                assert_eq!(twice, Err(Misdeed::PropertyRepeated), "{packet} {id:02X}");
            }
        }
        for id in 0..=255u8 {
            if PROPERTIES.iter().all(|&(known, ..)| known != id) {
                let unknown = if id < 0x80 { format!("{id:02X} 00") } else { format!("{id:02X} 01 00") };
                let found = outcome(None, &notation.replace('@', &unknown), Version::V5);
                assert_eq!(found, Err(Misdeed::PropertyUnknown), "{packet} {id:02X}");
            }
        }
    }
    assert_eq!(taken, PROPERTIES.iter().map(|(.., allowed)| allowed.split(' ').count()).sum::<usize>());
    let known: Vec<_> = PropertyIdentifier::ALL.iter().map(|&id| id as u8).collect();
    assert_eq!(known, PROPERTIES.map(|(id, ..)| id));
}

/// A packet with the placeholder `@` for its Reason Code, all codes of its table, the codes that
/// only a Client may send, and the codes that only a Server may send.
type Reasons = (&'static str, &'static [u8], &'static [u8], &'static [u8]);

const REASONS: [Reasons; 9] = [
    (
        "20 {00 @ {}}",
        &[
            0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90, 0x95, 0x97,
            0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9F,
        ],
        &[],
        &[],
    ),
    ("40 {0001 @}", &[0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99], &[], &[0x10]),
    ("50 {0001 @}", &[0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99], &[], &[0x10]),
    ("62 {0001 @}", &[0x00, 0x92], &[], &[]),
    ("70 {0001 @}", &[0x00, 0x92], &[], &[]),
    ("90 {0001 {} @}", &[0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2], &[], &[]),
    ("B0 {0001 {} @}", &[0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91], &[], &[]),
    (
        "E0 {@}",
        &[
            0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8C, 0x8D, 0x8E, 0x8F, 0x90, 0x93, 0x94,
            0x95, 0x96, 0x97, 0x98, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2,
        ],
        &[0x04],
        &[0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x8F, 0x9A, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2],
    ),
    ("F0 {@ {15<'M'>}}", &[0x00, 0x18, 0x19], &[0x19], &[0x00]),
];

#[test]
fn reason_codes_in_every_packet_from_either_end() {
    for (notation, codes, of_client, of_server) in REASONS {
        let packet = PacketType::of_first_byte(wire(&notation[..2]).bytes[0]).unwrap();
        for code in 0..=255u8 {
            let notation = notation.replace('@', &format!("{code:02X}"));
            let expected = |only_other: &[u8]| match code {
                code if !codes.contains(&code) => Some(Misdeed::ReasonCodeInvalid),
                code if only_other.contains(&code) => Some(Misdeed::ReasonCodeFromWrongSender),
                _ => None,
            };
            assert_eq!(outcome(None, &notation, Version::V5).err(), expected(&[]), "{notation}");
            if packet.may_be_sent_by(Role::Client, Version::V5) {
                let found = outcome(Some(Role::Client), &notation, Version::V5).err();
                assert_eq!(found, expected(of_server), "{notation} from a Client");
            }
            if packet.may_be_sent_by(Role::Server, Version::V5) {
                let found = outcome(Some(Role::Server), &notation, Version::V5).err();
                assert_eq!(found, expected(of_client), "{notation} from a Server");
            }
        }
    }
    for code in 0..=255u8 {
        let connack = outcome(None, &format!("20 02 00 {code:02X}"), Version::V3_1_1);
        assert_eq!(connack.is_ok(), code <= 5, "return code {code}");
        let suback = outcome(None, &format!("90 03 0001 {code:02X}"), Version::V3_1_1);
        assert_eq!(suback.is_ok(), matches!(code, 0 | 1 | 2 | 0x80), "return code {code}");
    }
}

/// All 256 values of the Subscription Options.
#[test]
fn subscription_options_in_all_combinations() {
    for options in 0..=255u8 {
        let five = outcome(None, &format!("82 {{0001 {{}} <'a'> {options:02X}}}"), Version::V5);
        let legal = options >> 6 == 0 && options & 3 != 3 && options >> 4 & 3 != 3;
        assert_eq!(five.is_ok(), legal, "{options:08b}");
        let shared = outcome(None, &format!("82 {{0001 {{}} <'$share/g/a'> {options:02X}}}"), Version::V5);
        assert_eq!(shared.is_ok(), legal && options & 4 == 0, "{options:08b}");
        let three = outcome(None, &format!("82 {{0001 <'a'> {options:02X}}}"), Version::V3_1_1);
        assert_eq!(three.is_ok(), options < 3, "{options:08b}");
    }
}

/// Every first byte of a packet, with a valid body for its type.
#[test]
fn first_bytes_in_all_combinations() {
    let body = |packet: u8, flags: u8| match packet {
        1 => "{<'MQTT'> 05 02 003C {} <>}",
        2 => "{00 00 {}}",
        3 if flags & 0b110 == 0 => "{<'t'> {}}",
        3 => "{<'t'> 0001 {}}",
        4..=7 => "{0001}",
        8 => "{0001 {} <'a'> 00}",
        9 | 11 => "{0001 {} 00}",
        10 => "{0001 {} <'a'>}",
        15 => "{18 {15<'M'>}}",
        _ => "{}",
    };
    for first in 0..=255u8 {
        let (packet, flags) = (first >> 4, first & 15);
        let frame = Bytes::from(wire(&format!("{first:02X} {}", body(packet, flags))).bytes);
        let expected = match packet {
            0 => Some(Misdeed::PacketTypeZero),
            3 if flags >> 1 & 3 == 3 => Some(Misdeed::PublishQoSInvalid),
            3 if flags & 0b1110 == 0b1000 => Some(Misdeed::DupWithQoSZero),
            3 => None,
            6 | 8 | 10 => (flags != 2).then_some(Misdeed::ReservedFlags),
            _ => (flags != 0).then_some(Misdeed::ReservedFlags),
        };
        assert_eq!(decode(&frame, Version::V5).err().map(|error| error.kind), expected, "{first:02X}");
    }
}

/// Every first byte on a Network Connection of 3.1, which calls most flags unused.
#[test]
fn first_bytes_of_3_1_in_all_combinations() {
    let body = |packet: u8, flags: u8| match packet {
        1 => "{<'MQIsdp'> 03 02 003C <'a'>}",
        2 => "{00 00}",
        3 if flags & 0b110 == 0 => "{<'t'>}",
        3 => "{<'t'> 0001}",
        4..=7 | 11 => "{0001}",
        8 => "{0001 <'a'> 00}",
        9 => "{0001 00}",
        10 => "{0001 <'a'>}",
        _ => "{}",
    };
    for first in 0..=255u8 {
        let (packet, flags) = (first >> 4, first & 15);
        let frame = Bytes::from(wire(&format!("{first:02X} {}", body(packet, flags))).bytes);
        let expected = match packet {
            0 => Some(Misdeed::PacketTypeZero),
            3 if flags >> 1 & 3 == 3 => Some(Misdeed::PublishQoSInvalid),
            3 if flags & 0b1110 == 0b1000 => Some(Misdeed::DupWithQoSZero),
            6 | 8 | 10 => (flags >> 1 & 3 != 1).then_some(Misdeed::ReservedFlags),
            15 => Some(Misdeed::PacketTypeReserved),
            _ => None,
        };
        assert_eq!(decode(&frame, Version::V3_1).err().map(|error| error.kind), expected, "{first:02X}");
    }
}
