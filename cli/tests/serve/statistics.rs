//! The statistics that the broker publishes.

use std::io::{Read as _, Write as _};

use crate::process::{CONNACK, CONNECT, Serve};

/// SUBSCRIBE to `$SYS/broker/clients/connected` at QoS 0.
const SUBSCRIBE: &[u8] = b"\x82\x23\x00\x01\x00\x00\x1d$SYS/broker/clients/connected\x00";
const SUBACK: &[u8] = b"\x90\x04\x00\x01\x00\x00";

#[test]
fn statistics_come_at_their_interval_unless_they_are_off() {
    let serve = Serve::start(&["--option", "statistics_interval=1"]);
    let mut operator = serve.dial(CONNECT, CONNACK);
    operator.write_all(SUBSCRIBE).unwrap();
    let mut seen = Vec::new();
    // The number of Clients was 0 before this one, and is published when it has changed.
    while !seen.ends_with(b"connected\x001") {
        let mut byte = [0];
        operator.read_exact(&mut byte).unwrap();
        seen.push(byte[0]);
    }
    assert!(seen.windows(SUBACK.len()).any(|part| part == SUBACK), "{seen:02x?}");

    let serve = Serve::start(&["--option", "statistics_interval=0"]);
    let mut operator = serve.dial(CONNECT, CONNACK);
    operator.write_all(SUBSCRIBE).unwrap();
    // A PINGRESP right after the SUBACK: no message is there.
    operator.write_all(b"\xc0\x00").unwrap();
    let mut answers = [0; 8];
    operator.read_exact(&mut answers).unwrap();
    assert_eq!(answers, *b"\x90\x04\x00\x01\x00\x00\xd0\x00");
}
