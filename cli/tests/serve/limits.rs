//! Limits against abuse, each with the answer that the standard defines.

use std::io::Write as _;

use crate::process::{CONNACK, CONNECT, Serve, exchange, rest};

#[test]
fn a_client_above_the_connection_limit_gets_server_busy() {
    let serve = Serve::start(&["--option", "maximum_connections=1"]);
    let first = serve.dial(CONNECT, CONNACK);
    let mut second = serve.connect();
    exchange(&mut second, b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x01d", b"\x20");
    let answer = rest(&mut second);
    assert_eq!(answer[2], 0x89, "{answer:02x?}");
    drop(first);
}

#[test]
fn a_too_large_first_packet_is_refused_before_it_arrives() {
    let serve = Serve::start(&["--option", "first_packet_bytes=1000"]);
    let mut giant = serve.connect();
    exchange(&mut giant, b"\x10\xff\xff\xff\x7f\x00\x04MQTT\x05", b"\x20");
    let answer = rest(&mut giant);
    assert_eq!(answer[2], 0x95, "{answer:02x?}");
}

#[test]
fn a_connection_without_connect_is_closed_after_a_timeout() {
    let serve = Serve::start(&["--option", "connect_timeout=500ms"]);
    let mut silent = serve.connect();
    assert_eq!(rest(&mut silent), b"");
}

#[test]
fn a_full_queue_can_close_the_connection_of_its_session() {
    // The Client accepts one message at a time and never acknowledges it.
    let serve = Serve::start(&["--option", "queue_maximum_bytes=100", "--option", "queue_policy=disconnect"]);
    let mut reader = serve.dial(b"\x10\x11\x00\x04MQTT\x05\x02\x00\x00\x03\x21\x00\x01\x00\x01r", CONNACK);
    exchange(&mut reader, b"\x82\x07\x00\x01\x00\x00\x01t\x01", b"\x90\x04\x00\x01\x00\x01");
    let mut writer = serve.dial(CONNECT, CONNACK);
    for _ in 0..5 {
        writer.write_all(&[b"\x32\x2e\x00\x01t\x00\x07\x00".as_slice(), &[b'x'; 40]].concat()).unwrap();
        exchange(&mut writer, b"", b"\x40\x02\x00\x07");
    }
    let said = rest(&mut reader);
    // The one PUBLISH of 48 bytes, and DISCONNECT with Quota exceeded.
    assert_eq!((said[0], said[48], said[50]), (0x32, 0xe0, 0x97), "{said:02x?}");
}
