//! Every valid packet, truncated, extended and changed at every byte.
//!
//! A changed packet is either refused, or it is itself valid and re-encodes to the same bytes.
#![expect(clippy::unwrap_used, reason = "a failure here is the test failing")]

mod support;

use bytes::{Bytes, BytesMut};
use mqttspec_codec::{DecodeError, Misdeed, Packet, PacketType, Policy, Version, decode_from};
use support::{Row, rows, variable};

/// Each row with its body, which is the packet without the fixed header.
fn bases() -> Vec<(Row, Vec<u8>)> {
    let bases: Vec<_> = rows("valid")
        .into_iter()
        .filter(|row| row.wire.bytes.len() < 200)
        .map(|row| {
            let length = 1 + variable_length(&row.wire.bytes[1..]);
            let body = row.wire.bytes[length..].to_vec();
            (row, body)
        })
        .collect();
    let types: std::collections::BTreeSet<_> = bases.iter().map(|(row, _)| row.wire.bytes[0] >> 4).collect();
    assert_eq!(types.len(), PacketType::ALL.len(), "a packet type is missing");
    bases
}

fn variable_length(bytes: &[u8]) -> usize {
    1 + bytes.iter().position(|byte| byte & 0x80 == 0).unwrap()
}

fn decoded(row: &Row, first_byte: u8, body: &[u8]) -> (Bytes, Result<Packet, DecodeError>) {
    let mut frame = vec![first_byte];
    frame.extend_from_slice(&variable(body.len()));
    frame.extend_from_slice(body);
    let frame = Bytes::from(frame);
    let outcome = decode_from(Some(row.sender), &frame, row.version, Policy::LENIENT);
    (frame, outcome)
}

/// Checks that the packet is refused or re-encodes to the same bytes, except for forms that have a
/// shorter encoding.
fn refused_or_a_packet(row: &Row, first_byte: u8, body: &[u8]) -> bool {
    let (frame, outcome) = decoded(row, first_byte, body);
    let Ok(packet) = outcome else { return true };
    let version = match &packet {
        Packet::Connect(connect) => connect.version,
        _ => row.version,
    };
    let mut out = BytesMut::new();
    packet.encode(version, &mut out).unwrap();
    if out != frame {
        let short_forms = matches!(
            packet.packet_type(),
            PacketType::PubAck
                | PacketType::PubRec
                | PacketType::PubRel
                | PacketType::PubComp
                | PacketType::Disconnect
        );
        assert!(
            short_forms && out.len() < frame.len() || version == Version::V3_1,
            "{}: {frame:02X?}",
            row.place
        );
    }
    assert_eq!(
        decode_from(Some(row.sender), &out.freeze(), version, Policy::LENIENT),
        Ok(packet),
        "{}",
        row.place
    );
    false
}

#[test]
fn cut_at_every_byte() {
    let (mut cuts, mut refused) = (0, 0);
    for (row, body) in bases() {
        let whole = &row.wire.bytes;
        for length in 0..whole.len() {
            let frame = Bytes::copy_from_slice(&whole[..length]);
            let error = decode_from(Some(row.sender), &frame, row.version, Policy::LENIENT).unwrap_err();
            assert_eq!((error.kind, error.offset), (Misdeed::PacketTooShort, length), "{}", row.place);
        }
        for length in 0..body.len() {
            cuts += 1;
            refused += usize::from(refused_or_a_packet(&row, whole[0], &body[..length]));
            let fixed_length = matches!(whole[0] >> 4, 1 | 2);
            if fixed_length && row.version != Version::V3_1 {
                let (_, outcome) = decoded(&row, whole[0], &body[..length]);
                assert!(outcome.is_err(), "{} cut to {length}", row.place);
            }
        }
    }
    assert!(refused * 10 > cuts * 7, "{refused} of {cuts} refused: only payloads and lists can be truncated");
}

#[test]
fn stretched_at_every_byte() {
    for (row, body) in bases() {
        for at in 0..=body.len() {
            for byte in [0x00, 0x01, 0x26, 0x41, 0x80, 0xFF] {
                let mut longer = body.clone();
                longer.insert(at, byte);
                refused_or_a_packet(&row, row.wire.bytes[0], &longer);
            }
        }
        // After the last field, in packets that have no open-ended payload or list.
        if !matches!(row.wire.bytes[0] >> 4, 3 | 8 | 9 | 10 | 11) && row.version != Version::V3_1 {
            for byte in [0x00, 0x01, 0xFF] {
                let mut longer = body.clone();
                longer.push(byte);
                let (_, outcome) = decoded(&row, row.wire.bytes[0], &longer);
                let is_short_form =
                    matches!(row.wire.bytes[0] >> 4, 4..=7 | 14) && row.version == Version::V5;
                assert!(outcome.is_err() || is_short_form, "{} and {byte:02X}", row.place);
            }
        }
    }
}

#[test]
fn every_bit_flipped() {
    for (row, body) in bases() {
        for bit in 0..4 {
            refused_or_a_packet(&row, row.wire.bytes[0] ^ 1 << bit, &body);
        }
        for at in 0..body.len() {
            for bit in 0..8 {
                let mut changed = body.clone();
                changed[at] ^= 1 << bit;
                refused_or_a_packet(&row, row.wire.bytes[0], &changed);
            }
        }
    }
}

#[test]
fn every_reserved_bit_set() {
    // 3.1 reserves none.
    for (row, body) in bases().into_iter().filter(|(row, _)| row.version != Version::V3_1) {
        let first = row.wire.bytes[0];
        let kind = |first, body: &[u8]| decoded(&row, first, body).1.map_err(|error| error.kind);
        let flipped = |at: usize, bit: u32| {
            let mut body = body.clone();
            body[at] ^= 1 << bit;
            body
        };
        if first >> 4 != 3 {
            for bit in 0..4 {
                assert_eq!(kind(first ^ 1 << bit, &body), Err(Misdeed::ReservedFlags), "{}", row.place);
            }
        }
        match first >> 4 {
            1 => {
                assert_eq!(kind(first, &flipped(7, 0)), Err(Misdeed::ConnectReservedFlag), "{}", row.place);
            }
            2 => {
                for bit in 1..8 {
                    assert_eq!(
                        kind(first, &flipped(0, bit)),
                        Err(Misdeed::ConnAckReservedFlags),
                        "{}",
                        row.place
                    );
                }
            }
            8 => {
                let reserved = if row.version == Version::V5 { 6..8 } else { 2..8 };
                for bit in reserved {
                    let last = flipped(body.len() - 1, bit);
                    assert_eq!(
                        kind(first, &last),
                        Err(Misdeed::SubscriptionOptionsReserved),
                        "{}",
                        row.place
                    );
                }
            }
            _ => {}
        }
    }
}

/// What 3.1 calls unused changes nothing, whatever its value.
#[test]
fn every_unused_bit_of_3_1_flipped() {
    let mut flips = 0;
    for (row, body) in bases().into_iter().filter(|(row, _)| row.version == Version::V3_1) {
        let first = row.wire.bytes[0];
        let packet = |first: u8, body: &[u8]| decoded(&row, first, body).1;
        let expected = packet(first, &body);
        assert!(expected.is_ok(), "{}", row.place);
        let (flags, in_body): (&[u32], Option<(usize, &[u32])>) = match first >> 4 {
            1 => (&[0, 1, 2, 3], Some((9, &[0]))),
            2 => (&[0, 1, 2, 3], Some((0, &[0, 1, 2, 3, 4, 5, 6, 7]))),
            3 => (&[], None),
            8 => (&[0, 3], Some((body.len() - 1, &[2, 3, 4, 5, 6, 7]))),
            6 | 10 => (&[0, 3], None),
            _ => (&[0, 1, 2, 3], None),
        };
        for bit in flags {
            assert_eq!(packet(first ^ 1 << bit, &body), expected, "{}: flag {bit}", row.place);
            flips += 1;
        }
        for (at, bit) in in_body.into_iter().flat_map(|(at, bits)| bits.iter().map(move |bit| (at, bit))) {
            let mut changed = body.clone();
            changed[at] ^= 1 << bit;
            assert_eq!(packet(first, &changed), expected, "{}: bit {bit} of byte {at}", row.place);
            flips += 1;
        }
    }
    assert!(flips > 100, "only {flips} bits flipped");
}
