//! What remains after the broker stops, by a signal or by SIGKILL.

use std::net::Shutdown;

use crate::process::{CONNACK, CONNECT, CONNECT_3_1_1, Serve, exchange, expect, file, rest};

/// CONNECT of 5.0 without Clean Start, with Session Expiry Interval 3600 and the client identifier
/// "s".
const RESUME: &[u8] = b"\x10\x13\x00\x04MQTT\x05\x00\x00\x00\x05\x11\x00\x00\x0e\x10\x00\x01s";
/// SUBSCRIBE to "t" at QoS 1, and its answer.
const SUBSCRIBE: &[u8] = b"\x82\x07\x00\x01\x00\x00\x01t\x01";
const SUBACK: &[u8] = b"\x90\x04\x00\x01\x00\x01";
/// PUBLISH to "t" at QoS 1, retained, and its answer.
const PUBLISH: &[u8] = b"\x33\x08\x00\x01t\x00\x07\x00hi";
const PUBACK: &[u8] = b"\x40\x02\x00\x07";

#[test]
fn on_sigterm_clients_of_5_0_get_a_disconnect_and_all_are_closed() {
    let serve = Serve::start(&[]);
    let mut new = serve.dial(CONNECT, CONNACK);
    let mut old = serve.dial(CONNECT_3_1_1, b"\x20\x02\x00\x00");
    serve.signal("TERM");
    let said = rest(&mut new);
    // DISCONNECT, Server shutting down.
    assert_eq!((said[0], said[2]), (0xe0, 0x8b), "{said:02x?}");
    assert_eq!(rest(&mut old), b"");
    drop((new, old));
    let mut serve = serve;
    assert_eq!(serve.ended(), (0, String::new()));
}

#[test]
fn on_sigusr1_clients_are_referred_to_another_server() {
    let serve = Serve::start(&["--option", "server_reference=b:1883"]);
    let mut connected = serve.dial(CONNECT, CONNACK);
    serve.signal("USR1");
    // DISCONNECT, Use another server, with the Server Reference.
    expect(&mut connected, b"\xe0\x0b\x9c\x09\x1c\x00\x06b:1883");
    assert_eq!(rest(&mut connected), b"");
    // CONNACK with the same.
    let mut next = serve.dial(CONNECT, b"\x20\x0c\x00\x9c\x09\x1c\x00\x06b:1883");
    assert_eq!(rest(&mut next), b"");
    assert_eq!(serve.stop().0, 0);
}

#[test]
fn a_peer_that_does_not_close_does_not_delay_the_stop() {
    let mut serve = Serve::start(&[]);
    let silent = serve.connect();
    let mut connected = serve.dial(CONNECT, CONNACK);
    serve.signal("INT");
    assert_eq!(serve.ended().0, 0);
    assert_eq!(rest(&mut connected)[0], 0xe0);
    drop(silent);
}

#[test]
fn sessions_and_retained_messages_survive_sigterm() {
    let store = file("sigterm.redb", "");
    std::fs::remove_file(&store).unwrap();
    let serve = Serve::start(&["--store", &store]);
    leave_a_message(&serve);
    assert_eq!(serve.stop().0, 0);
    let serve = Serve::start(&["--store", &store]);
    find_the_message(&serve);
}

#[test]
fn acknowledged_messages_survive_sigkill() {
    let store = file("killed.redb", "");
    std::fs::remove_file(&store).unwrap();
    let serve = Serve::start(&["--store", &store]);
    leave_a_message(&serve);
    serve.signal("KILL");
    drop(serve);
    let serve = Serve::start(&["--store", &store]);
    find_the_message(&serve);
    // Once more, without changes in between.
    serve.signal("KILL");
    drop(serve);
    let serve = Serve::start(&["--store", &store]);
    serve.dial(RESUME, b"\x20\x0b\x01\x00\x08\x27\x01\x00\x00\x00\x22\x00\x0a");
}

/// A Session disconnects, and a message is queued for it.
fn leave_a_message(serve: &Serve) {
    let mut away = serve.dial(RESUME, CONNACK);
    exchange(&mut away, SUBSCRIBE, SUBACK);
    exchange(&mut away, b"\xe0\x00", b"");
    away.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&mut away), b"");
    let mut publisher = serve.dial(CONNECT, CONNACK);
    exchange(&mut publisher, PUBLISH, PUBACK);
}

fn find_the_message(serve: &Serve) {
    let mut back = serve.dial(RESUME, b"\x20\x0b\x01\x00\x08\x27\x01\x00\x00\x00\x22\x00\x0a");
    // The queued message: RETAIN 0, Packet Identifier 1.
    expect(&mut back, b"\x32\x08\x00\x01t\x00\x01\x00hi");
    exchange(&mut back, b"\x40\x02\x00\x01", b"");
    // The retained message, for a new Subscription.
    let mut reader = serve.dial(CONNECT, CONNACK);
    exchange(&mut reader, b"\x82\x07\x00\x01\x00\x00\x01t\x00", b"\x90\x04\x00\x01\x00\x00");
    expect(&mut reader, b"\x31\x06\x00\x01t\x00hi");
    // The PINGRESP shows that the acknowledgement above has arrived.
    exchange(&mut back, b"\xc0\x00", b"\xd0\x00");
}
