//! Decoding a stream: the first packet, size limits, policies, and the number of bytes consumed.
#![expect(clippy::unwrap_used, reason = "a failure here is the test failing")]

mod support;

use bytes::{Bytes, BytesMut};
use mqttspec_codec::{
    Advice, Answer, ConnectReason, DecodeError, Decoder, DisconnectReason, Misdeed, Packet, PacketType,
    Policy, Role, Version, decode, decode_from, decode_publish,
};
use support::wire;

fn buffer(notation: &str) -> BytesMut {
    BytesMut::from(&wire(notation).bytes[..])
}

fn refused(decoder: &mut Decoder, notation: &str) -> DecodeError {
    decoder.decode(&mut buffer(notation)).unwrap_err()
}

#[test]
fn first_packet_of_a_client_must_be_connect() {
    for notation in
        ["C0 00", "30 {<'t'> {}}", "82 {0001 {} <'a'> 00}", "E0 00", "F0 {18 {15<'M'>}}", "20 02 00 00", "00"]
    {
        let error = refused(&mut Decoder::new(Role::Server), notation);
        assert_eq!(error.kind, Misdeed::FirstPacketNotConnect);
        assert_eq!(error.clause(), Some("MQTT-3.1.0-1"));
        // Neither CONNACK nor DISCONNECT may be sent.
        assert_eq!(error.answer(), Answer::Close);
    }
}

#[test]
fn server_learns_the_version_from_connect() {
    for (connect, version, publish) in [
        ("10 {<'MQIsdp'> 03 02 003C <'a'>}", Version::V3_1, "30 {<'t'> 'x'}"),
        ("10 {<'MQTT'> 04 02 003C <>}", Version::V3_1_1, "30 {<'t'> 'x'}"),
        ("10 {<'MQTT'> 05 02 003C {} <>}", Version::V5, "30 {<'t'> {} 'x'}"),
    ] {
        let mut decoder = Decoder::new(Role::Server);
        assert_eq!(decoder.version(), None);
        let mut stream = buffer(connect);
        stream.extend_from_slice(&wire(publish).bytes);
        assert_eq!(decoder.decode(&mut stream).unwrap().unwrap().packet_type(), PacketType::Connect);
        assert_eq!(decoder.version(), Some(version));
        let Some(Packet::Publish(publish)) = decoder.decode(&mut stream).unwrap() else {
            panic!("no PUBLISH")
        };
        assert_eq!(publish.payload, "x");
        assert_eq!(decoder.decode(&mut stream), Ok(None));
    }
}

#[test]
fn packet_of_exactly_the_maximum_size_is_accepted() {
    let mut decoder = Decoder::new(Role::Client);
    decoder.set_maximum_packet_size(8);
    // 1 byte of type and flags, 1 byte of Remaining Length, 6 bytes after it.
    assert!(decoder.decode(&mut buffer("30 {<'t'> {} 'xy'}")).unwrap().is_some());
    let error = refused(&mut decoder, "30 {<'t'> {} 'xyz'}");
    assert_eq!(error.kind, Misdeed::PacketTooLarge);
    assert_eq!(error.answer(), Answer::Disconnect(DisconnectReason::PacketTooLarge));
}

#[test]
fn packet_above_the_maximum_size_is_refused_by_its_header() {
    let mut decoder = Decoder::new(Role::Client);
    decoder.set_maximum_packet_size(1000);
    assert_eq!(decoder.decode(&mut buffer("30 E8")), Ok(None));
    assert_eq!(refused(&mut decoder, "30 E8 07").kind, Misdeed::PacketTooLarge);
    let mut decoder = Decoder::new(Role::Server);
    decoder.set_version(Version::V3_1_1);
    decoder.set_maximum_packet_size(1000);
    assert_eq!(refused(&mut decoder, "30 FF FF FF 7F").answer(), Answer::Close);
}

#[test]
fn packet_above_the_maximum_size_breaks_the_clause_of_its_sender() {
    for (role, notation, clause) in [
        // The Client knows no limit before CONNACK.
        (Role::Server, "10 FF 7F 0004 'MQTT' 05", None),
        (Role::Server, "F0 FF 7F", None),
        (Role::Server, "30 FF 7F", Some("MQTT-3.2.2-15")),
        (Role::Client, "30 FF 7F", Some("MQTT-3.1.2-24")),
        (Role::Client, "20 FF 7F", Some("MQTT-3.1.2-24")),
    ] {
        let mut decoder = Decoder::new(role);
        decoder.set_maximum_packet_size(100);
        if !notation.starts_with("10") {
            decoder.set_version(Version::V5);
        }
        let error = refused(&mut decoder, notation);
        assert_eq!((error.kind, error.clause()), (Misdeed::PacketTooLarge, clause), "{notation}");
    }
}

#[test]
fn connect_above_the_maximum_size_is_answered_in_its_version() {
    for (notation, answer) in [
        ("10 FF 7F 0004 'MQTT' 05", Answer::ConnAck(ConnectReason::PacketTooLarge)),
        ("10 FF 7F 0004 'MQTT' 04", Answer::Close),
        ("10 FF 7F 0006 'MQIsd'", Answer::Close),
    ] {
        let mut decoder = Decoder::new(Role::Server);
        decoder.set_maximum_packet_size(100);
        let bytes = wire(notation).bytes;
        for shorter in 0..bytes.len() {
            assert_eq!(decoder.decode(&mut BytesMut::from(&bytes[..shorter])), Ok(None), "{shorter} bytes");
        }
        let error = refused(&mut decoder, notation);
        assert_eq!((error.kind, error.answer()), (Misdeed::PacketTooLarge, answer));
    }
    let mut decoder = Decoder::new(Role::Server);
    decoder.set_maximum_packet_size(3);
    assert_eq!(refused(&mut decoder, "10 02 0000").answer(), Answer::Close);
}

#[test]
fn header_that_shows_a_misdeed_is_refused_before_the_rest() {
    let mut decoder = Decoder::new(Role::Client);
    assert_eq!(refused(&mut decoder, "60").kind, Misdeed::ReservedFlags);
    assert_eq!(refused(&mut decoder, "82").kind, Misdeed::WrongSender);
    assert_eq!(refused(&mut decoder, "30 FF FF FF FF").kind, Misdeed::RemainingLengthTooLong);
    assert_eq!(refused(&mut decoder, "30 80 00").kind, Misdeed::RemainingLengthNotMinimal);
}

/// Flags in the fixed header of a first CONNECT are wrong unless it is one of 3.1, which its first
/// bytes show.
#[test]
fn flags_of_a_first_connect_wait_for_its_version() {
    let whole = wire("14 {<'MQIsdp'> 03 02 003C <'a'>}").bytes;
    for length in 0..whole.len() {
        let mut decoder = Decoder::new(Role::Server);
        assert_eq!(decoder.decode(&mut BytesMut::from(&whole[..length])), Ok(None), "{length} bytes");
    }
    let mut decoder = Decoder::new(Role::Server);
    let packet = decoder.decode(&mut BytesMut::from(&whole[..])).unwrap();
    assert!(matches!(packet, Some(Packet::Connect(connect)) if connect.version == Version::V3_1));
    assert_eq!(decoder.version(), Some(Version::V3_1));
    // Others are refused as soon as they differ.
    for notation in ["14 0F 0004", "14 0F 0006 'MQTT'", "14 0F 0006 'MQIsdp' 04", "14 08", "1F 00"] {
        let mut decoder = Decoder::new(Role::Server);
        let bytes = wire(notation).bytes;
        let shorter = decoder.decode(&mut BytesMut::from(&bytes[..1]));
        assert_eq!(shorter, Ok(None), "{notation}");
        let error = refused(&mut decoder, notation);
        assert_eq!((error.kind, error.offset), (Misdeed::ReservedFlags, 0), "{notation}");
        assert_eq!(error.answer(), Answer::Close, "{notation}");
    }
    // A Server sends no CONNECT at all.
    assert_eq!(refused(&mut Decoder::new(Role::Client), "14").kind, Misdeed::ReservedFlags);
}

#[test]
fn bytes_after_the_packet_are_not_read() {
    let mut decoder = Decoder::new(Role::Client);
    let mut stream = buffer("40 02 0001 FF FF FF FF FF");
    assert!(decoder.decode(&mut stream).unwrap().is_some());
    assert_eq!(stream, b"\xFF\xFF\xFF\xFF\xFF"[..]);
}

#[test]
fn incomplete_packet_stays_in_the_buffer() {
    let mut decoder = Decoder::new(Role::Client);
    let whole = wire("32 {<'t'> 0001 {} 78*300}").bytes;
    for length in 0..whole.len() {
        let mut stream = BytesMut::from(&whole[..length]);
        assert_eq!(decoder.decode(&mut stream), Ok(None));
        assert_eq!(stream, whole[..length], "no byte is consumed");
    }
}

#[test]
fn frame_must_be_exactly_one_packet() {
    let frame = |notation| Bytes::from(wire(notation).bytes);
    let error = decode(&frame("C0 00 C0 00"), Version::V5).unwrap_err();
    assert_eq!((error.kind, error.offset), (Misdeed::SurplusBytes, 2));
    for (notation, length) in [("", 0), ("C0", 1), ("30 05 0001 't'", 5), ("30 80", 2)] {
        let error = decode(&frame(notation), Version::V5).unwrap_err();
        assert_eq!((error.kind, error.offset), (Misdeed::PacketTooShort, length));
    }
}

/// Control characters and non-characters at the bounds of their ranges, and their neighbours.
#[test]
fn policy_decides_on_discouraged_code_points() {
    let cases = [
        ('\u{1}', Some(Misdeed::ControlCharacter)),
        ('\u{1F}', Some(Misdeed::ControlCharacter)),
        (' ', None),
        ('~', None),
        ('\u{7F}', Some(Misdeed::ControlCharacter)),
        ('\u{80}', Some(Misdeed::ControlCharacter)),
        ('\u{9F}', Some(Misdeed::ControlCharacter)),
        ('\u{A0}', None),
        ('\u{FDCF}', None),
        ('\u{FDD0}', Some(Misdeed::NonCharacter)),
        ('\u{FDEF}', Some(Misdeed::NonCharacter)),
        ('\u{FDF0}', None),
        ('\u{FEFF}', None),
        ('\u{FFFD}', None),
        ('\u{FFFE}', Some(Misdeed::NonCharacter)),
        ('\u{FFFF}', Some(Misdeed::NonCharacter)),
        ('\u{1FFFE}', Some(Misdeed::NonCharacter)),
        ('\u{10FFFD}', None),
        ('\u{10FFFF}', Some(Misdeed::NonCharacter)),
    ];
    for (character, expected) in cases {
        let topic = format!("ab{character}");
        let mut bytes = vec![0x30, topic.len() as u8 + 3, 0, topic.len() as u8];
        bytes.extend_from_slice(topic.as_bytes());
        bytes.push(0);
        let frame = Bytes::from(bytes);
        assert!(decode(&frame, Version::V5).is_ok(), "lenient by default: {character:?}");
        let strict = decode_from(None, &frame, Version::V5, Policy::STRICT);
        match expected {
            None => assert!(strict.is_ok(), "{character:?}"),
            Some(kind) => {
                let error = strict.unwrap_err();
                assert_eq!((error.kind, error.offset), (kind, 6), "{character:?}");
                assert_eq!(error.answer(), Answer::Disconnect(DisconnectReason::MalformedPacket));
            }
        }
    }
}

#[test]
fn policies_are_independent() {
    let control = Bytes::from(wire("30 {<'a' 01> {}}").bytes);
    let non = Bytes::from(wire("30 {<'a' EF BF BF> {}}").bytes);
    let only_control = Policy { control_characters: Advice::Refuse, ..Policy::LENIENT };
    let only_non = Policy { non_characters: Advice::Refuse, ..Policy::LENIENT };
    assert!(decode_from(None, &control, Version::V5, only_non).is_ok());
    assert!(decode_from(None, &non, Version::V5, only_control).is_ok());
    assert!(decode_from(None, &control, Version::V5, only_control).is_err());
    assert!(decode_from(None, &non, Version::V5, only_non).is_err());
}

#[test]
fn policy_decides_on_payload_format() {
    let refuse = Policy { payload_format: Advice::Refuse, ..Policy::LENIENT };
    for (notation, kind) in [
        ("30 {<'t'> {01 01} 'ok' ^FF}", Some(Misdeed::PayloadNotUtf8)),
        ("30 {<'t'> {26<'k'><'v'> 01 01} ^ED A0 80}", Some(Misdeed::PayloadNotUtf8)),
        // U+0000 is not forbidden there.
        ("30 {<'t'> {01 01} 00 'ok'}", None),
        ("30 {<'t'> {01 01}}", None),
        ("30 {<'t'> {01 00} FF}", None),
        ("30 {<'t'> {} FF}", None),
        ("10 {<'MQTT'> 05 06 003C {} <> {01 01} <'w'> <'a' ^C3>}", Some(Misdeed::WillPayloadNotUtf8)),
        ("10 {<'MQTT'> 05 06 003C {} <> {01 01} <'w'> <C3 A9>}", None),
        ("10 {<'MQTT'> 05 06 003C {} <> {} <'w'> <C3>}", None),
    ] {
        let bytes = wire(notation);
        let frame = Bytes::from(bytes.bytes);
        assert!(decode(&frame, Version::V5).is_ok(), "lenient by default: {notation}");
        let outcome = decode_from(None, &frame, Version::V5, refuse);
        let found = outcome.as_ref().err().map(|error| (error.kind, error.offset));
        assert_eq!(found, kind.map(|kind| (kind, bytes.mark.unwrap())), "{notation}");
        match outcome.map_err(|error| error.answer()) {
            Err(Answer::Disconnect(reason)) => assert_eq!(reason, DisconnectReason::PayloadFormatInvalid),
            Err(Answer::ConnAck(reason)) => assert_eq!(reason, ConnectReason::PayloadFormatInvalid),
            Err(Answer::Close) => panic!("{notation}"),
            Ok(_) => {}
        }
    }
}

#[test]
fn borrowed_publish_is_checked_like_the_owned_one() {
    let bytes = wire("3B {<'a/b'> 0007 {01 01 26<'k'><'v'> 23 0005} 'body'}").bytes;
    let publish = decode_publish(None, &bytes, Version::V5, Policy::LENIENT).unwrap().unwrap();
    assert_eq!((publish.topic.as_str(), publish.payload), ("a/b", &b"body"[..]));
    let shown = format!("{:?}", publish.properties);
    assert_eq!(
        shown,
        r#"{PayloadFormatIndicator: Byte(1), UserProperty: StringPair("k", "v"), TopicAlias: TwoByteInteger(5)}"#
    );
    assert_eq!(decode_publish(None, &wire("C0 00").bytes, Version::V5, Policy::LENIENT), Ok(None));
    for row in support::rows("malformed") {
        if row.wire.bytes[0] >> 4 == PacketType::Publish as u8 {
            let frame = Bytes::from(row.wire.bytes);
            let owned = decode_from(Some(row.sender), &frame, row.version, Policy::LENIENT).unwrap_err();
            let borrowed = decode_publish(Some(row.sender), &frame, row.version, Policy::LENIENT);
            assert_eq!(borrowed, Err(owned), "{}", row.place);
        }
    }
}

#[test]
fn decoded_parts_share_the_buffer_until_detached() {
    let frame = Bytes::from(wire("30 {<'topic'> {26<'k'><'v'>} 'payload'}").bytes);
    let range = frame.as_ptr_range();
    let Ok(Packet::Publish(publish)) = decode(&frame, Version::V5) else { panic!("no PUBLISH") };
    assert!(range.contains(&publish.payload.as_ptr()));
    assert!(range.contains(&publish.topic.as_ref().unwrap().as_bytes().as_ptr()));
    let detached = publish.detached();
    assert_eq!(detached, publish);
    assert!(!range.contains(&detached.payload.as_ptr()));
    assert!(!range.contains(&detached.topic.as_ref().unwrap().as_bytes().as_ptr()));
    assert!(!range.contains(&detached.properties.as_bytes().as_ptr()));
}
