//! The expected bytes follow the packet layouts of the standard and are not generated.

use super::*;
use crate::{Cell, Content, StepKind, parse};

struct Known;

impl Variables for Known {
    fn number(&self, name: &str) -> Option<u64> {
        (name == "id").then_some(0x1234)
    }

    fn text(&self, name: &str) -> Option<String> {
        (name == "i").then(|| "7".to_owned())
    }
}

/// The content of a line, as the notation reads it.
fn content(line: &str) -> Content {
    let source = format!("title t\nversions 5\n\na > {line}\n");
    let scenario = parse("test", &source).unwrap_or_else(|diagnostics| panic!("{diagnostics}"));
    match &scenario.steps[0].kind {
        StepKind::Line { content, .. } => content.clone(),
        other => panic!("{other:?}"),
    }
}

fn raw(line: &str) -> Result<Vec<u8>, BytesError> {
    match content(line) {
        Content::Raw(raw) => raw_bytes(&raw, &Known),
        other => panic!("{other:?}"),
    }
}

fn patch(line: &str, version: Version, bytes: &[u8]) -> Result<Vec<u8>, BytesError> {
    match content(line) {
        Content::Packet(pattern) => patched(bytes, pattern.packet_type, version, &pattern.patches, &Known),
        other => panic!("{other:?}"),
    }
}

/// CONNECT of MQTT 5: Clean Start, Keep Alive 60, Receive Maximum 10, Client Identifier "a".
const CONNECT: &[u8] = b"\x10\x11\x00\x04MQTT\x05\x02\x00\x3c\x03\x21\x00\x0a\x00\x01a";

#[test]
fn braces_are_preceded_by_the_length_of_their_contents() {
    let bytes = raw("raw 10 { str \"MQTT\" 05 02 u16 60 03 21 u16 10 str \"a\" }");
    assert_eq!(bytes.as_deref(), Ok(CONNECT));
    let bytes = raw("raw 10 { str \"MQTT\" 05 02 u16 60 { 21 u16 10 } str \"a\" }");
    assert_eq!(bytes.as_deref(), Ok(CONNECT));
}

#[test]
fn a_length_of_two_bytes_has_its_low_seven_bits_first() {
    let bytes = raw("raw 30 { fill 321 00 }").unwrap();
    assert_eq!(&bytes[..4], b"\x30\xc1\x02\x00");
    assert_eq!(bytes.len(), 324);
}

#[test]
fn typed_atoms_and_variables() {
    let bytes =
        raw("raw u8 255 u16 $id u32 0x01020304 varint 128 str \"m$i\" bytes \"x$i\" bytes x\"00ff\" aabb");
    assert_eq!(
        bytes.as_deref(),
        Ok(&b"\xff\x12\x34\x01\x02\x03\x04\x80\x01\x00\x02m7x7\x00\xff\xaa\xbb"[..])
    );
    assert_eq!(raw("raw u16 $other"), Err(BytesError::NoValue("other".to_owned())));
    assert_eq!(raw("raw u8 $id"), Err(BytesError::DoesNotFit(0x1234, "a byte")));
}

#[test]
fn raw_bytes_are_truncated_and_extended() {
    assert_eq!(raw("raw c0 00 truncated to 1, extended by 7f").as_deref(), Ok(&b"\xc0\x7f"[..]));
}

#[test]
fn places_of_a_connect() {
    let patched =
        |patches: &str| patch(&format!("CONNECT client_id=a {patches}"), Version::V5, CONNECT).unwrap();
    assert_eq!(
        patched("with connect_flags=0x03"),
        b"\x10\x11\x00\x04MQTT\x05\x03\x00\x3c\x03\x21\x00\x0a\x00\x01a"
    );
    assert_eq!(patched("with flags=1"), [&[0x11], &CONNECT[1..]].concat());
    assert_eq!(patched("with remaining_length=300"), [&b"\x10\xac\x02"[..], &CONNECT[2..]].concat());
    assert_eq!(patched("with remaining_length=nonminimal"), [&b"\x10\x91\x00"[..], &CONNECT[2..]].concat());
    assert_eq!(
        patched("with protocol_name=\"MQI\""),
        b"\x10\x10\x00\x03MQI\x05\x02\x00\x3c\x03\x21\x00\x0a\x00\x01a"
    );
    assert_eq!(
        patched("with client_id=x\"ff00\""),
        b"\x10\x12\x00\x04MQTT\x05\x02\x00\x3c\x03\x21\x00\x0a\x00\x02\xff\0"
    );
    assert_eq!(
        patched("with properties { 21 u16 1 21 u16 2 }"),
        b"\x10\x14\x00\x04MQTT\x05\x02\x00\x3c\x06\x21\x00\x01\x21\x00\x02\x00\x01a"
    );
    assert_eq!(
        patched("with property_length=nonminimal"),
        b"\x10\x12\x00\x04MQTT\x05\x02\x00\x3c\x83\x00\x21\x00\x0a\x00\x01a"
    );
    assert_eq!(patched("with byte 8=4, truncated to 9"), b"\x10\x11\x00\x04MQTT\x04");
    assert_eq!(patched("extended by 00ff"), [CONNECT, b"\x00\xff"].concat());
}

#[test]
fn a_length_that_is_set_stays_when_the_packet_grows() {
    let bytes = patch("CONNECT with remaining_length=5, client_id=\"abc\"", Version::V5, CONNECT).unwrap();
    assert_eq!(bytes, b"\x10\x05\x00\x04MQTT\x05\x02\x00\x3c\x03\x21\x00\x0a\x00\x03abc");
}

#[test]
fn an_acknowledgement_in_short_form_is_spelt_out() {
    let puback = b"\x40\x02\x00\x07";
    assert_eq!(patch("PUBACK id=7 with id=0", Version::V5, puback).unwrap(), b"\x40\x02\x00\x00");
    assert_eq!(patch("PUBACK id=7 with reason=0x7f", Version::V5, puback).unwrap(), b"\x40\x03\x00\x07\x7f");
    assert_eq!(
        patch("PUBACK id=7 with properties { 1f str \"x\" }", Version::V5, puback).unwrap(),
        b"\x40\x08\x00\x07\x00\x04\x1f\x00\x01x"
    );
    assert_eq!(
        patch("PUBACK id=7 with reason=0x7f", Version::V3_1_1, puback).unwrap_err().to_string(),
        "PUBACK in MQTT 3.1.1 has no `reason`"
    );
    assert_eq!(
        patch("DISCONNECT with property_length=1", Version::V5, b"\xe0\x00").unwrap(),
        b"\xe0\x02\x00\x01"
    );
}

#[test]
fn places_of_publish_subscribe_and_suback() {
    let publish = b"\x32\x07\x00\x01t\x00\x09\x00x";
    assert_eq!(patch("PUBLISH with id=0", Version::V5, publish).unwrap(), b"\x32\x07\x00\x01t\x00\x00\x00x");
    assert_eq!(
        patch("PUBLISH with flags=0x06", Version::V5, publish).unwrap(),
        b"\x36\x07\x00\x01t\x00\x09\x00x"
    );
    assert_eq!(
        patch("PUBLISH with topic=\"a/#\"", Version::V5, publish).unwrap(),
        b"\x32\x09\x00\x03a/#\x00\x09\x00x"
    );
    let subscribe = b"\x82\x06\x00\x01\x00\x01t\x01";
    assert_eq!(
        patch("SUBSCRIBE t with options=0xff, filter=\"\"", Version::V3_1_1, subscribe).unwrap(),
        b"\x82\x05\x00\x01\x00\x00\xff"
    );
    let suback = b"\x90\x04\x00\x01\x00\x01";
    assert_eq!(patch("SUBACK with reason=3", Version::V5, suback).unwrap(), b"\x90\x04\x00\x01\x00\x03");
}

#[test]
fn a_missing_place_is_an_error() {
    assert_eq!(
        patch("PINGREQ with byte 2=0", Version::V5, b"\xc0\x00"),
        Err(BytesError::NoSuchByte { offset: 2, length: 2 })
    );
    assert_eq!(patch("PUBLISH with id=0", Version::V5, CONNECT), Err(BytesError::NoSuchPacket("PUBLISH")));
    assert!(
        patch("PUBLISH with id=0", Version::V5, b"\x30\x05\x00\x01t\x00x").is_err(),
        "QoS 0 has no identifier"
    );
}

#[test]
fn a_cell_of_a_table_holds_a_patched_packet() {
    let source = "title t\nversions 5\ntable case clauses bytes\n one  MQTT-1  CONNECT client_id=a with connect_flags=0x03\n";
    let scenario = parse("test", source).unwrap_or_else(|diagnostics| panic!("{diagnostics}"));
    let cell = &scenario.table.unwrap().rows[0].cells[0];
    assert!(
        matches!(cell, Cell::Content(content) if content.to_string().ends_with("with connect_flags=0x03"))
    );
}
