//! Protocol versions, byte for byte: the form of answers, and the bits that 3.1 calls unused.

use crate::rig::*;

/// CONNACK of 3.1 and 3.1.1 with return code 1, unacceptable protocol version.
const OLD_FORM: [u8; 4] = [0x20, 0x02, 0x00, 0x01];
/// CONNACK of 5.0 with Reason Code 0x84, Unsupported Protocol Version.
const NEW_FORM: [u8; 5] = [0x20, 0x03, 0x00, 0x84, 0x00];

/// A CONNECT with this Protocol Name and level, with Clean Session and a ClientID of one byte, and
/// with Properties if the level is 5 or more.
fn connect(name: &str, level: u8) -> Vec<u8> {
    let mut body = vec![0, u8::try_from(name.len()).unwrap()];
    body.extend_from_slice(name.as_bytes());
    body.extend_from_slice(&[level, 0x02, 0x00, 0x3C]);
    if level >= 5 {
        body.push(0);
    }
    body.extend_from_slice(&[0, 1, b'a']);
    [vec![0x10, u8::try_from(body.len()).unwrap()], body].concat()
}

/// The bytes that the Client receives before its Network Connection is closed.
fn refusal(versions: &str, connect: &[u8]) -> Vec<u8> {
    let mut rig = Rig::with(&format!("versions={versions}"));
    let client = rig.open();
    rig.write(client, connect);
    let answer = rig.read(client);
    assert!(rig.is_closed(client), "{versions}: {connect:02X?} is still open after {answer:02X?}");
    answer
}

#[test]
fn refused_level_is_answered_in_a_form_that_the_client_can_read_and_the_server_speaks() {
    // 3.1.1/[MQTT-3.1.2-2] a Server without 5.0 has one answer for every unknown level
    for versions in ["3.1", "3.1.1", "3.1,3.1.1"] {
        for (name, level) in
            [("MQTT", 0), ("MQTT", 3), ("MQTT", 5), ("MQTT", 6), ("MQTT", 0xFF), ("MQIsdp", 0x83)]
        {
            assert_eq!(refusal(versions, &connect(name, level)), OLD_FORM, "{versions}: {name} {level}");
        }
    }
    assert_eq!(refusal("3.1", &connect("MQTT", 4)), OLD_FORM);
    assert_eq!(refusal("3.1.1", &connect("MQIsdp", 3)), OLD_FORM);
    // A Server with 5.0 uses its own form for newer levels, and the old one for older levels.
    for versions in ["5.0", "3.1.1,5.0", "3.1,3.1.1,5.0"] {
        for level in [6, 0x7F, 0xFF] {
            assert_eq!(refusal(versions, &connect("MQTT", level)), NEW_FORM, "{versions}: {level}");
        }
        for (name, level) in [("MQTT", 0), ("MQTT", 3), ("MQIsdp", 4), ("MQIsdp", 0x83)] {
            assert_eq!(refusal(versions, &connect(name, level)), OLD_FORM, "{versions}: {name} {level}");
        }
    }
    assert_eq!(refusal("5.0", &connect("MQTT", 4)), OLD_FORM);
    assert_eq!(refusal("5.0", &connect("MQIsdp", 3)), OLD_FORM);
    assert_eq!(refusal("3.1.1,5.0", &connect("MQIsdp", 3)), OLD_FORM);
}

#[test]
fn level_is_refused_whatever_else_the_connect_holds() {
    // A 5.0 CONNECT with its reserved flag set, with a truncated property, and with a Maximum
    // Packet Size of 1.
    let reserved = [&[0x10, 14, 0, 4], &b"MQTT"[..], &[5, 0x03, 0, 60, 0, 0, 1, b'a']].concat();
    let truncated = [&[0x10, 13, 0, 4], &b"MQTT"[..], &[5, 0x02, 0, 60, 2, 0x21, 0]].concat();
    let small =
        [&[0x10, 19, 0, 4], &b"MQTT"[..], &[5, 0x02, 0, 60, 5, 0x27, 0, 0, 0, 1, 0, 1, b'a']].concat();
    for connect in [reserved, truncated, small] {
        let connect = [&[0x10, u8::try_from(connect.len() - 2).unwrap()], &connect[2..]].concat();
        assert_eq!(refusal("3.1.1", &connect), OLD_FORM, "{connect:02X?}");
    }
    // A Server that supports only 5.0 does not check the ClientID of a 3.1.1 CONNECT.
    let nameless = [&[0x10, 12, 0, 4], &b"MQTT"[..], &[4, 0x00, 0, 60, 0, 0]].concat();
    assert_eq!(refusal("5.0", &nameless), OLD_FORM);
}

#[test]
fn bits_that_3_1_calls_unused_are_ignored() {
    let connect =
        |first: u8, flags: u8| [&[first, 15, 0, 6], &b"MQIsdp"[..], &[3, flags, 0, 60, 0, 1, b'a']].concat();
    for (first, flags) in [(0x10, 0x01), (0x10, 0x03), (0x14, 0x02), (0x1F, 0x2B)] {
        let mut rig = Rig::new();
        let client = rig.open();
        rig.write(client, &connect(first, flags));
        assert_eq!(rig.read(client), [0x20, 0x02, 0x00, 0x00], "{first:02X} {flags:02X}");
        // PINGREQ, SUBSCRIBE with DUP 1 and unused bits, PUBREL with DUP 1, DISCONNECT
        rig.write(client, &[0xC8, 0x00]);
        assert_eq!(rig.read(client), [0xD0, 0x00]);
        rig.write(client, &[0x8A, 0x06, 0x00, 0x01, 0x00, 0x01, b't', 0xF9]);
        assert_eq!(rig.read(client), [0x90, 0x03, 0x00, 0x01, 0x01]);
        rig.write(client, &[0x6A, 0x02, 0x00, 0x05]);
        assert_eq!(rig.read(client), [0x70, 0x02, 0x00, 0x05]);
        rig.write(client, &[0xE3, 0x00]);
        assert!(rig.is_closed(client));
    }
    // 3.1.1 reserves these bits.
    for (first, flags) in [(0x11, 0x02), (0x10, 0x03)] {
        let mut rig = Rig::new();
        let client = rig.open();
        rig.write(client, &[&[first, 13, 0, 4], &b"MQTT"[..], &[4, flags, 0, 60, 0, 1, b'a']].concat());
        assert!(rig.read(client).is_empty());
        assert!(rig.is_closed(client));
    }
}
