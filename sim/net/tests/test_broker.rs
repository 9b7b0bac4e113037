//! The broker for other projects' tests, used as they would: with a blocking socket and bytes
//! written by hand.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use mqttspec_broker::Options;
use mqttspec_net::TestBroker;
use mqttspec_net::relay::{Cut, Direction};

/// CONNECT of 3.1.1 with Clean Session 0, Keep Alive 0 and the client identifier "t".
const CONNECT: &[u8] = b"\x10\x0d\x00\x04MQTT\x04\x00\x00\x00\x00\x01t";
const NEW_SESSION: &[u8] = b"\x20\x02\x00\x00";
const SESSION_PRESENT: &[u8] = b"\x20\x02\x01\x00";
/// SUBSCRIBE to "a" at QoS 1, and its SUBACK.
const SUBSCRIBE: &[u8] = b"\x82\x06\x00\x01\x00\x01a\x01";
const SUBACK: &[u8] = b"\x90\x03\x00\x01\x01";
const PINGREQ: &[u8] = b"\xc0\x00";
const PINGRESP: &[u8] = b"\xd0\x00";

fn dial(broker: &TestBroker) -> TcpStream {
    let stream = TcpStream::connect(broker.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

fn ask(stream: &mut TcpStream, packet: &[u8], answer: &[u8]) {
    stream.write_all(packet).unwrap();
    let mut received = vec![0; answer.len()];
    stream.read_exact(&mut received).unwrap();
    assert_eq!(received, answer);
}

#[test]
fn starts_in_one_line_and_stops_with_its_scope() {
    let broker = TestBroker::start().unwrap();
    assert_eq!(broker.url(), format!("mqtt://127.0.0.1:{}", broker.port()));
    let mut stream = dial(&broker);
    ask(&mut stream, CONNECT, NEW_SESSION);
    assert_eq!(broker.connections().unwrap(), 1);
    let address = broker.address();
    drop(broker);
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    assert_eq!(TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn many_run_side_by_side() {
    let brokers: Vec<_> = (0..5).map(|_| TestBroker::start().unwrap()).collect();
    for broker in &brokers {
        ask(&mut dial(broker), CONNECT, NEW_SESSION);
    }
}

#[test]
fn a_restart_keeps_sessions() {
    let broker = TestBroker::start().unwrap();
    let mut stream = dial(&broker);
    ask(&mut stream, CONNECT, NEW_SESSION);
    ask(&mut stream, SUBSCRIBE, SUBACK);
    broker.restart().unwrap();
    assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)), "the old connection is over");
    let mut stream = dial(&broker);
    ask(&mut stream, CONNECT, SESSION_PRESENT);
}

#[test]
fn its_network_can_fail() {
    let broker = TestBroker::start().unwrap();
    let mut stream = dial(&broker);
    ask(&mut stream, CONNECT, NEW_SESSION);
    broker.network(|faults| faults.partition(Direction::ToClient)).unwrap();
    stream.write_all(PINGREQ).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!(stream.read(&mut [0]).is_err(), "nothing passes");
    broker.network(|faults| faults.heal(Direction::ToClient)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    ask(&mut stream, &[], PINGRESP);
    broker.network(|faults| faults.cut(Cut::Reset)).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn options_are_the_brokers() {
    let mut options = Options::default();
    options.set("allow_anonymous", "no").unwrap();
    let broker = TestBroker::with(options).seed(7).start().unwrap();
    // Not authorized.
    ask(&mut dial(&broker), CONNECT, b"\x20\x02\x00\x05");
}
