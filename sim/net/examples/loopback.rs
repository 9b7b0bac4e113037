//! How fast and how large: messages per second through the broker driver on this machine's loopback interface, and
//! bytes per idle connection. `cargo run --release -p mqttspec-net --example loopback`
//!
//! The third part is a broker with its Sessions on this machine's disk: one commit for all that arrived together.
//!
//! The broker runs in a process of its own, so that its memory is its own. The load is bytes that were encoded before,
//! so that it costs little. Any broker at a port can be measured too: `… --example loopback 1883`.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a program for a developer's terminal")]
#![expect(clippy::disallowed_methods, reason = "it measures real time")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use mqttspec_net::broker::Server;
use mqttspec_net::store::{NoStore, RedbStore, Store};
use mqttspec_net::{Clock, TcpNet};
use mqttspec_world::{Listener as _, Net as _};

const MESSAGES: usize = 200_000;
/// Messages where each waits for the disk.
const DURABLE_MESSAGES: usize = 20_000;
const PAYLOAD: [u8; 64] = [b'x'; 64];
/// Messages without an answer yet, as a client with a Receive Maximum would have them.
const WINDOW: usize = 1000;

fn main() {
    let argument = std::env::args().nth(1);
    match argument.as_deref() {
        Some("serve") => serve(NoStore),
        Some("serve-durable") => {
            let path = std::env::args().nth(2).unwrap();
            serve(RedbStore::open_file(path.as_ref()).unwrap());
        }
        Some(port) => measure(port.parse().unwrap()),
        None => {
            with_broker(&["serve"], |port, process| {
                measure(port);
                memory(port, process);
            });
            let path = std::env::temp_dir().join(format!("mqttspec-loopback-{}", std::process::id()));
            with_broker(&["serve-durable", path.to_str().unwrap()], |port, _| {
                // A Session that outlives its connection, so that every message is stored for it.
                let mut away = connect(port, "away", 0);
                away.write_all(b"\x82\x09\x00\x01\x00\x04load\x01").unwrap();
                away.read_exact(&mut [0; 5]).unwrap();
                drop(away);
                let took = publish(port, 1, DURABLE_MESSAGES);
                report("publish QoS 1, stored on disk for a Session", DURABLE_MESSAGES, took);
            });
            std::fs::remove_file(path).unwrap();
        }
    }
}

/// Runs a broker in a process of its own.
fn with_broker(arguments: &[&str], measure: impl FnOnce(u16, u32)) {
    let this = std::env::current_exe().unwrap();
    let mut broker = Command::new(this).args(arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(broker.stdout.take().unwrap()).read_line(&mut line).unwrap();
    measure(line.trim().parse().unwrap(), broker.id());
    broker.kill().unwrap();
    broker.wait().unwrap();
}

fn serve(store: impl Store) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let mut options = mqttspec_broker::Options::default();
        options.set("queue_maximum", "0").unwrap();
        let (server, entrance) = Server::new(options, 1, Clock::of_this_machine(), store, ()).unwrap();
        let listener = TcpNet::loopback().listen(0).await.unwrap();
        println!("{}", listener.local_addr().unwrap().port());
        entrance.listen(listener);
        server.run().await.unwrap();
    });
}

fn measure(port: u16) {
    for qos in 0..=2 {
        report(&format!("publish QoS {qos}, no subscriber"), MESSAGES, publish(port, qos, MESSAGES));
    }
    for qos in 0..=1 {
        report(&format!("publish QoS {qos} to one subscriber at QoS 0"), MESSAGES, deliver(port, qos));
    }
}

fn memory(port: u16, process: u32) {
    let before = resident_bytes(process);
    let idle: Vec<_> = (0..2000).map(|number| connect(port, &format!("idle{number:05}"), 2)).collect();
    std::thread::sleep(Duration::from_millis(300));
    println!("{:>9} bytes per idle connection", (resident_bytes(process) - before) / idle.len());
}

fn report(what: &str, messages: usize, took: Duration) {
    println!("{:>9.0} messages/s: {what}", messages as f64 / took.as_secs_f64());
}

/// Connects with these Connect Flags.
fn connect(port: u16, client_id: &str, flags: u8) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut packet = b"\x10\x00\x00\x04MQTT\x04\x00\x00\x00\x00".to_vec();
    packet[9] = flags;
    packet.push(u8::try_from(client_id.len()).unwrap());
    packet.extend(client_id.as_bytes());
    packet[1] = u8::try_from(packet.len() - 2).unwrap();
    stream.write_all(&packet).unwrap();
    let mut connack = [0; 4];
    stream.read_exact(&mut connack).unwrap();
    assert_eq!(connack, *b"\x20\x02\x00\x00");
    stream
}

/// PUBLISH packets to "load"; Packet Identifiers go round.
fn load(qos: u8, messages: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in 0..messages {
        let identifier = u16::try_from(number % 65_535 + 1).unwrap().to_be_bytes();
        let length = 6 + PAYLOAD.len() + if qos > 0 { 2 } else { 0 };
        bytes.extend([0x30 | qos << 1, u8::try_from(length).unwrap(), 0, 4]);
        bytes.extend(b"load");
        if qos > 0 {
            bytes.extend(identifier);
        }
        bytes.extend(PAYLOAD);
    }
    bytes
}

/// Publishes all, at most a window ahead of the answers, and fences with PINGREQ.
fn publish(port: u16, qos: u8, messages: usize) -> Duration {
    let mut stream = connect(port, "publisher", 2);
    let bytes = load(qos, messages);
    let start = Instant::now();
    send(&mut stream, &bytes, bytes.len() / messages, qos);
    stream.write_all(b"\xc0\x00").unwrap();
    let mut pingresp = [0; 2];
    stream.read_exact(&mut pingresp).unwrap();
    assert_eq!(pingresp, *b"\xd0\x00");
    start.elapsed()
}

fn send(stream: &mut TcpStream, bytes: &[u8], packet: usize, qos: u8) {
    let mut answers = vec![0; 4 * WINDOW];
    for window in bytes.chunks(packet * WINDOW) {
        stream.write_all(window).unwrap();
        let count = window.len() / packet;
        if qos > 0 {
            stream.read_exact(&mut answers[..4 * count]).unwrap();
        }
        if qos == 2 {
            // PUBREC to PUBREL.
            answers[..4 * count].chunks_mut(4).for_each(|answer| answer[0] = 0x62);
            stream.write_all(&answers[..4 * count]).unwrap();
            stream.read_exact(&mut answers[..4 * count]).unwrap();
        }
    }
}

/// Publishes all and waits until the subscriber has all, a window at a time so that nothing need be dropped.
fn deliver(port: u16, qos: u8) -> Duration {
    let mut subscriber = connect(port, "subscriber", 2);
    subscriber.write_all(b"\x82\x09\x00\x01\x00\x04load\x00").unwrap();
    let mut suback = [0; 5];
    subscriber.read_exact(&mut suback).unwrap();
    let mut publisher = connect(port, "publisher", 2);
    let bytes = load(qos, MESSAGES);
    let packet = bytes.len() / MESSAGES;
    let mut delivered = vec![0; (8 + PAYLOAD.len()) * WINDOW];
    let mut answers = vec![0; 4 * WINDOW];
    let start = Instant::now();
    for window in bytes.chunks(packet * WINDOW) {
        publisher.write_all(window).unwrap();
        let count = window.len() / packet;
        subscriber.read_exact(&mut delivered[..(8 + PAYLOAD.len()) * count]).unwrap();
        if qos > 0 {
            publisher.read_exact(&mut answers[..4 * count]).unwrap();
        }
    }
    start.elapsed()
}

fn resident_bytes(process: u32) -> usize {
    let statm = std::fs::read_to_string(format!("/proc/{process}/statm")).unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}
