//! How fast and how large brokers are on this machine's loopback interface: the same load for each,
//! in the same run.
//!
//! `sim/net/examples/loopback.sh` builds and starts `mqttspec serve` and mosquitto, and runs this
//! with their process numbers and ports: `loopback NAME=PROCESS:PORT,PORT…`. Rounds alternate
//! between the brokers and the best of each counts. The load is bytes that were encoded before, so
//! that it costs little. `loopback sessions …` fills the brokers with Sessions and measures in
//! between; `loopback connections …` with Network Connections.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a program for a developer's terminal")]
#![expect(clippy::disallowed_methods, reason = "it measures real time, with a thread for each end")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const MESSAGES: usize = 100_000;
const ROUNDS: usize = 3;
const PAYLOAD: [u8; 64] = [b'x'; 64];
/// Messages without an answer yet, as a client with a Receive Maximum would have them.
const WINDOW: usize = 1000;
/// Messages in one write.
const CHUNK: usize = 100;

/// A broker that runs.
struct Broker {
    name: String,
    process: u32,
    ports: Vec<u16>,
}

fn main() {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let what = if arguments.first().is_some_and(|word| !word.contains('=')) {
        arguments.remove(0)
    } else {
        "throughput".to_owned()
    };
    let brokers: Vec<Broker> = arguments.iter().map(|argument| Broker::named(argument)).collect();
    assert!(
        !brokers.is_empty(),
        "usage: loopback [throughput|durable|sessions|connections] NAME=PROCESS:PORT,PORT…"
    );
    match what.as_str() {
        "throughput" => throughput(&brokers),
        "durable" => durable(&brokers),
        "sessions" => {
            grow(&brokers, &[0, 1_000, 10_000, 100_000], "Sessions that are away", Broker::leave_sessions);
        }
        "connections" => {
            grow(&brokers, &[0, 1_000, 8_000], "idle Network Connections", Broker::connect_idle);
        }
        other => panic!("there is no `{other}`"),
    }
}

type Measure = fn(u16) -> Duration;

fn throughput(brokers: &[Broker]) {
    let rows: [(&str, Measure); 5] = [
        ("PUBLISH QoS 0, no subscriber", |port| publish(port, 0)),
        ("PUBLISH QoS 1, no subscriber", |port| publish(port, 1)),
        ("PUBLISH QoS 2, no subscriber", |port| publish(port, 2)),
        ("QoS 0 to one subscriber", |port| deliver(port, 0)),
        ("QoS 1 to one subscriber, both acknowledged", |port| deliver(port, 1)),
    ];
    head("messages per second", brokers);
    for (what, measure) in rows {
        print_row(what, &best(brokers, measure));
    }
}

/// With a Session that is kept, every message and every acknowledgement is on the disk before
/// anything is said of it.
fn durable(brokers: &[Broker]) {
    head("messages per second", brokers);
    print_row("QoS 1 to a Session that is kept", &best(brokers, |port| deliver_to(port, 1, 0)));
    print_row("QoS 2, no subscriber", &best(brokers, |port| publish(port, 2)));
}

/// Fills the brokers step by step and measures one connection's messages in between.
fn grow<H>(brokers: &[Broker], steps: &[usize], what: &str, fill: fn(&Broker, usize, usize) -> H) {
    head(&format!("messages per second, QoS 1 to one subscriber, beside so many {what}"), brokers);
    let mut filled = 0;
    let mut held = Vec::new();
    let empty: Vec<usize> = brokers.iter().map(|broker| resident_bytes(broker.process)).collect();
    let mut took = vec![Duration::ZERO; brokers.len()];
    for &step in steps {
        for (broker, took) in brokers.iter().zip(&mut took) {
            let start = Instant::now();
            held.push(fill(broker, filled, step));
            *took += start.elapsed();
        }
        filled = step;
        print_row(&step.to_string(), &best(brokers, |port| deliver(port, 1)));
    }
    for ((broker, empty), took) in brokers.iter().zip(empty).zip(took) {
        let bytes = (resident_bytes(broker.process) - empty) / filled;
        let rate = filled as f64 / took.as_secs_f64();
        println!("\n{}: {bytes} bytes each, made at {rate:.0} per second", broker.name);
    }
}

/// Messages per second of each broker, the best of all rounds.
fn best(brokers: &[Broker], measure: Measure) -> Vec<f64> {
    let mut best = vec![0.0_f64; brokers.len()];
    for _ in 0..ROUNDS {
        for (broker, best) in brokers.iter().zip(&mut best) {
            *best = best.max(MESSAGES as f64 / measure(broker.ports[0]).as_secs_f64());
        }
    }
    best
}

fn head(what: &str, brokers: &[Broker]) {
    let names: Vec<_> = brokers.iter().map(|broker| format!(" {} |", broker.name)).collect();
    println!("| {what} |{}", names.concat());
    println!("|---|{}", "--:|".repeat(brokers.len()));
}

fn print_row(what: &str, rates: &[f64]) {
    let cells: Vec<_> = rates.iter().map(|rate| format!(" {rate:.0} |")).collect();
    println!("| {what} |{}", cells.concat());
}

impl Broker {
    /// `NAME=PROCESS:PORT,PORT…`
    fn named(argument: &str) -> Broker {
        let (name, rest) = argument.split_once('=').unwrap();
        let (process, ports) = rest.split_once(':').unwrap();
        let ports = ports.split(',').map(|port| port.parse().unwrap()).collect();
        Broker { name: name.to_owned(), process: process.parse().unwrap(), ports }
    }

    /// Sessions with a Subscription at QoS 1, whose Clients have gone.
    fn leave_sessions(&self, from: usize, to: usize) {
        for number in from..to {
            let mut client = connect(self.ports[0], &format!("away{number:06}"), 0);
            let filter = format!("away/{number:06}");
            let mut subscribe = b"\x82\x12\x00\x01\x00\x0b".to_vec();
            subscribe.extend(filter.as_bytes());
            subscribe[1] = u8::try_from(filter.len() + 5).unwrap();
            subscribe.push(1);
            client.write_all(&subscribe).unwrap();
            client.read_exact(&mut [0; 5]).unwrap();
            client.write_all(b"\xe0\x00").unwrap();
            // The Server closes first: so this end's port is free at once.
            assert_eq!(client.read(&mut [0; 1]).unwrap(), 0);
        }
    }

    /// Network Connections that do nothing, over all the ports: each port can have some ten
    /// thousand.
    fn connect_idle(&self, from: usize, to: usize) -> Vec<TcpStream> {
        let port = |number: usize| self.ports[number % self.ports.len()];
        (from..to).map(|number| connect(port(number), &format!("idle{number:06}"), 2)).collect()
    }
}

/// Connects in 3.1.1, with these Connect Flags and Keep Alive 0.
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
    assert_eq!((connack[0], connack[3]), (0x20, 0));
    stream
}

/// The length of a PUBLISH of the load.
fn packet_length(qos: u8) -> usize {
    2 + 6 + PAYLOAD.len() + if qos > 0 { 2 } else { 0 }
}

/// PUBLISH packets to "load"; Packet Identifiers go round.
fn load(qos: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in 0..MESSAGES {
        let identifier = u16::try_from(number % 65_535 + 1).unwrap().to_be_bytes();
        bytes.extend([0x30 | qos << 1, u8::try_from(packet_length(qos) - 2).unwrap(), 0, 4]);
        bytes.extend(b"load");
        if qos > 0 {
            bytes.extend(identifier);
        }
        bytes.extend(PAYLOAD);
    }
    bytes
}

/// Publishes all, at most a window ahead of the answers, and fences with PINGREQ.
fn publish(port: u16, qos: u8) -> Duration {
    let mut stream = connect(port, "publisher", 2);
    let bytes = load(qos);
    let start = Instant::now();
    let mut answers = vec![0; 4 * WINDOW];
    for window in bytes.chunks(packet_length(qos) * WINDOW) {
        stream.write_all(window).unwrap();
        let answers = &mut answers[..4 * (window.len() / packet_length(qos))];
        if qos > 0 {
            stream.read_exact(answers).unwrap();
        }
        if qos == 2 {
            // PUBREC to PUBREL.
            answers.chunks_mut(4).for_each(|answer| answer[0] = 0x62);
            stream.write_all(answers).unwrap();
            stream.read_exact(answers).unwrap();
        }
    }
    stream.write_all(b"\xc0\x00").unwrap();
    let mut pingresp = [0; 2];
    stream.read_exact(&mut pingresp).unwrap();
    assert_eq!(pingresp, *b"\xd0\x00");
    start.elapsed()
}

/// Publishes all to a subscriber with a Clean Session.
fn deliver(port: u16, qos: u8) -> Duration {
    deliver_to(port, qos, 2)
}

/// Publishes all, at most a window ahead of what the subscriber has, until it has all.
fn deliver_to(port: u16, qos: u8, connect_flags: u8) -> Duration {
    let mut subscriber =
        connect(port, if connect_flags == 0 { "keeper" } else { "subscriber" }, connect_flags);
    let mut subscribe = *b"\x82\x09\x00\x01\x00\x04load\x00";
    subscribe[10] = qos;
    subscriber.write_all(&subscribe).unwrap();
    subscriber.read_exact(&mut [0; 5]).unwrap();
    let mut publisher = connect(port, "publisher", 2);
    let bytes = load(qos);
    let length = packet_length(qos);
    let received = AtomicUsize::new(0);
    let start = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| receive_all(&mut subscriber, qos, &received));
        let mut acknowledgements = publisher.try_clone().unwrap();
        if qos > 0 {
            scope.spawn(move || acknowledgements.read_exact(&mut vec![0; 4 * MESSAGES]).unwrap());
        }
        for (number, chunk) in bytes.chunks(length * CHUNK).enumerate() {
            while number * CHUNK >= received.load(Ordering::Acquire) + WINDOW {
                std::thread::yield_now();
            }
            publisher.write_all(chunk).unwrap();
        }
    });
    start.elapsed()
}

fn receive_all(subscriber: &mut TcpStream, qos: u8, received: &AtomicUsize) {
    let length = packet_length(qos);
    let mut buffer = vec![0; length * WINDOW];
    let mut acknowledgements = Vec::with_capacity(4 * WINDOW);
    let (mut count, mut filled) = (0, 0);
    while count < MESSAGES {
        let read = subscriber.read(&mut buffer[filled..]).unwrap();
        assert!(read > 0, "the broker closed");
        filled += read;
        let whole = filled / length;
        if qos > 0 {
            acknowledgements.clear();
            for packet in buffer.chunks_exact(length).take(whole) {
                acknowledgements.extend([0x40, 2, packet[8], packet[9]]);
            }
            subscriber.write_all(&acknowledgements).unwrap();
        }
        buffer.copy_within(whole * length..filled, 0);
        filled -= whole * length;
        count += whole;
        received.store(count, Ordering::Release);
    }
    // The acknowledgements have arrived when this is answered.
    subscriber.write_all(b"\xc0\x00").unwrap();
    subscriber.read_exact(&mut [0; 2]).unwrap();
}

fn resident_bytes(process: u32) -> usize {
    let statm = std::fs::read_to_string(format!("/proc/{process}/statm")).unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}
