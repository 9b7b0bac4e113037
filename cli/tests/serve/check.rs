//! `--trace` prints the traffic; `--check` reports violations by Clients.

use crate::process::{CONNACK, CONNECT, Serve, exchange, rest, transcript};

/// CONNECT of 5.0 with Clean Start and the client identifier "device".
pub(crate) const DEVICE: &[u8] = b"\x10\x13\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x06device";

#[test]
fn the_transcript_is_in_the_notation() {
    let serve = Serve::start(&["--trace"]);
    let mut device = serve.dial(DEVICE, CONNACK);
    // PUBLISH to "t" at QoS 1.
    exchange(&mut device, b"\x32\x08\x00\x01t\x00\x07\x00hi", b"\x40\x02\x00\x07");
    exchange(&mut device, b"\xe0\x00", b"");
    assert_eq!(rest(&mut device), b"");
    let (code, printed) = serve.stop();
    assert_eq!(code, 0);
    let lines = transcript(&printed);
    assert!(lines[0].starts_with("# connection-1 opens from 127.0.0.1:"), "{printed}");
    assert_eq!(
        lines[1..],
        [
            "device > CONNECT client_id=device clean_start keep_alive=0",
            "device < CONNACK session_present=0 reason=success maximum_packet_size=16777216 topic_alias_maximum=10",
            "device > PUBLISH id=7 qos=1 topic=t payload=\"hi\"",
            "device < PUBACK id=7",
            "device > DISCONNECT",
            "# the Session of device ends: it expired",
            "device < closed",
        ]
    );
}

#[test]
fn a_correct_client_has_no_violation() {
    let serve = Serve::start(&["--check"]);
    let mut client = serve.dial(CONNECT, CONNACK);
    exchange(&mut client, b"\x32\x08\x00\x01t\x00\x07\x00hi", b"\x40\x02\x00\x07");
    exchange(&mut client, b"\xe0\x00", b"");
    assert_eq!(rest(&mut client), b"");
    assert_eq!(serve.stop(), (0, "checked: no violations\n".to_owned()));
}

#[test]
fn an_unset_topic_alias_is_reported_once() {
    let serve = Serve::start(&["--check"]);
    let mut device = serve.dial(DEVICE, CONNACK);
    // PUBLISH without a Topic Name, with Topic Alias 3.
    exchange(&mut device, b"\x30\x06\x00\x00\x03\x23\x00\x03", b"");
    assert_eq!(rest(&mut device)[2], 0x82);
    let (_, printed) = serve.stop();
    assert_eq!(printed.matches("VIOLATION").count(), 1, "{printed}");
}

#[test]
fn a_violation_is_reported_with_its_clause() {
    let serve = Serve::start(&["--check"]);
    let mut device = serve.dial(DEVICE, CONNACK);
    // PUBLISH to "t" at QoS 1 with DUP although it is the first.
    exchange(&mut device, b"\x3a\x08\x00\x01t\x00\x07\x00hi", b"\x40\x02\x00\x07");
    // PINGREQ with a reserved flag.
    exchange(&mut device, b"\xc1\x00", b"");
    assert_eq!(rest(&mut device)[2], 0x81);
    let (code, printed) = serve.stop();
    assert_eq!(code, 1, "{printed}");
    assert!(printed.starts_with("VIOLATION by device (127.0.0.1:"), "{printed}");
    for row in [
        "  requirement  MQTT-4.3.2-2 (MQTT 5.0, section 4.3.2): ",
        "  found by     the monitor `QoS hand-shakes`\n",
        "  packet       device > PUBLISH id=7 dup qos=1 topic=t payload=\"hi\"\n",
        "  bytes        3a 08 00 01 74 00 07 00 68 69\n",
        "  requirement  MQTT-2.1.3-1 (MQTT 5.0, section 2.1.3): ",
        "  bytes        c1 00\n",
        "\nchecked: 2 violations\n",
        "  MQTT-4.3.2-2  device\n",
    ] {
        assert!(printed.contains(row), "{row}\n{printed}");
    }
}

#[test]
fn a_violation_that_the_broker_closes_for_is_reported() {
    let serve = Serve::start(&["--check"]);
    let mut device = serve.dial(DEVICE, CONNACK);
    // PUBLISH to "t" with Topic Alias 11, where CONNACK said 10.
    exchange(&mut device, b"\x30\x07\x00\x01t\x03\x23\x00\x0b", b"\xe0");
    assert_eq!(rest(&mut device)[1], 0x94);
    // A second CONNECT, of 3.1.1.
    let connect = crate::process::CONNECT_3_1_1;
    let mut old = serve.dial(connect, b"\x20\x02\x00\x00");
    exchange(&mut old, connect, b"");
    assert_eq!(rest(&mut old), b"");
    let (code, printed) = serve.stop();
    assert_eq!(code, 1, "{printed}");
    for row in [
        "  requirement  MQTT-3.3.2-9 (MQTT 5.0, section 3.3.2.3.4): ",
        "  found by     the monitor `Topic Aliases`\n",
        "  expected     no Topic Alias above 10 (Topic Alias Maximum)\n",
        "  requirement  MQTT-3.1.0-2 (MQTT 3.1.1, section 3.1): ",
        "  found by     the broker\n",
        "  expected     no cause for a DISCONNECT with 0x82 (Protocol Error)\n",
        "  actual       a second CONNECT\n",
        "\nchecked: 2 violations\n",
    ] {
        assert!(printed.contains(row), "{row}\n{printed}");
    }
}

#[test]
fn first_bytes_that_are_not_a_connect_are_reported() {
    let serve = Serve::start(&["--check", "--trace"]);
    let mut stranger = serve.connect();
    exchange(&mut stranger, b"GET / HTTP/1.1\r\n\r\n", b"");
    assert_eq!(rest(&mut stranger), b"");
    let (code, printed) = serve.stop();
    assert_eq!(code, 1, "{printed}");
    assert!(printed.contains("connection-1 > raw 47 45 54"), "{printed}");
    assert!(printed.contains("VIOLATION by connection-1 (127.0.0.1:"), "{printed}");
}

#[test]
fn a_resumed_session_is_checked_across_connections() {
    // CONNECT of 5.0 without Clean Start, with Session Expiry Interval 3600 and the client
    // identifier "s".
    let resume = b"\x10\x13\x00\x04MQTT\x05\x00\x00\x00\x05\x11\x00\x00\x0e\x10\x00\x01s";
    let serve = Serve::start(&["--check"]);
    let mut first = serve.dial(resume, CONNACK);
    // PUBLISH at QoS 2, answered by PUBREC; the connection ends before PUBREL.
    exchange(&mut first, b"\x34\x08\x00\x01t\x00\x07\x00hi", b"\x50\x02\x00\x07");
    drop(first);
    let mut second = serve.dial(resume, b"\x20\x0b\x01\x00\x08\x27\x01\x00\x00\x00\x22\x00\x0a");
    // The first PUBREL continues the exchange; the second belongs to no exchange.
    exchange(&mut second, b"\x62\x02\x00\x07", b"\x70\x02\x00\x07");
    exchange(&mut second, b"\x62\x02\x00\x08", b"\x70");
    drop(second);
    let (code, printed) = serve.stop();
    assert_eq!(code, 1, "{printed}");
    assert_eq!(printed.matches("VIOLATION").count(), 1, "{printed}");
    assert!(printed.contains("MQTT-4.3.3-4 (MQTT 5.0"), "{printed}");
    assert!(printed.contains("s > PUBREL id=8"), "{printed}");
}
