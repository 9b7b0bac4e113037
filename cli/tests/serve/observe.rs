//! `mqttspec observe` between a client and a broker: both are judged.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};

use crate::check::DEVICE;
use crate::process::{CONNACK, Serve, exchange, rest, transcript};

fn observe(broker: SocketAddr, arguments: &[&str]) -> Serve {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_mqttspec"));
    command.args(["observe", "--listen", "127.0.0.1:0", "--to", &format!("mqtt://{broker}")]);
    Serve::spawn({
        command.args(arguments);
        command
    })
}

/// A broker that accepts one connection and answers its first packet with these bytes.
#[expect(clippy::disallowed_methods, reason = "it waits for the program under test, beside the test")]
fn answering(bytes: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut connect = [0; 64];
        assert!(stream.read(&mut connect).unwrap() > 0);
        stream.write_all(bytes).unwrap();
        // Until the other end closes.
        let _ = stream.read(&mut connect);
    });
    address
}

#[test]
fn packets_pass_unchanged_and_nothing_is_found_in_correct_peers() {
    let broker = Serve::start(&[]);
    let proxy = observe(broker.address("mqtt"), &["--trace"]);
    let mut client = proxy.dial(DEVICE, CONNACK);
    exchange(&mut client, b"\x32\x08\x00\x01t\x00\x07\x00hi", b"\x40\x02\x00\x07");
    exchange(&mut client, b"\xe0\x00", b"");
    assert_eq!(rest(&mut client), b"");
    let (code, printed) = proxy.stop();
    assert_eq!(code, 0, "{printed}");
    let lines = transcript(&printed);
    assert_eq!(
        lines[1..],
        [
            "device > CONNECT client_id=device clean_start keep_alive=0",
            "device < CONNACK session_present=0 reason=success maximum_packet_size=16777216 topic_alias_maximum=10",
            "device > PUBLISH id=7 qos=1 topic=t payload=\"hi\"",
            "device < PUBACK id=7",
            "device > DISCONNECT",
            "device < closed",
        ],
        "{printed}"
    );
}

#[test]
fn a_violation_of_the_client_is_reported() {
    let broker = Serve::start(&[]);
    let proxy = observe(broker.address("mqtt"), &[]);
    let mut client = proxy.dial(DEVICE, CONNACK);
    // PUBLISH to "t" at QoS 1 with DUP although it is the first.
    exchange(&mut client, b"\x3a\x08\x00\x01t\x00\x07\x00hi", b"\x40\x02\x00\x07");
    let (code, printed) = proxy.stop();
    assert_eq!(code, 1, "{printed}");
    assert!(printed.starts_with("VIOLATION by device (127.0.0.1:"), "{printed}");
    assert!(printed.contains("  requirement  MQTT-4.3.2-2 (MQTT 5.0, section 4.3.2): "), "{printed}");
    assert!(printed.contains("\nchecked: 1 violations\n"), "{printed}");
}

#[test]
fn a_violation_of_the_broker_is_reported() {
    // CONNACK with a reserved flag.
    let broker = answering(b"\x20\x03\x02\x00\x00");
    let proxy = observe(broker, &[]);
    let client = proxy.dial(DEVICE, b"\x20\x03\x02\x00\x00");
    drop(client);
    let (code, printed) = proxy.stop();
    assert_eq!(code, 1, "{printed}");
    assert!(
        printed.starts_with("VIOLATION by the server, on the connection of device (127.0.0.1:"),
        "{printed}"
    );
    assert!(printed.contains("  requirement  MQTT-3.2.2-1 (MQTT 5.0, section 3.2.2"), "{printed}");
    assert!(printed.contains("  bytes        20 03 02 00 00\n"), "{printed}");
    assert!(printed.ends_with("MQTT-3.2.2-1  the server\n"), "{printed}");
}

#[test]
fn a_broker_that_cannot_be_reached_closes_the_connection() {
    let proxy = observe(TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap(), &[]);
    assert_eq!(rest(&mut proxy.connect()), b"");
    assert_eq!(proxy.stop(), (0, "checked: no violations\n".to_owned()));
}
