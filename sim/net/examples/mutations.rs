//! Sends mutated packets to `mqttspec serve`: `mutations MQTTSPEC PACKETS SEED`.
//!
//! Starts the broker. Eight threads open Network Connections and send packets of every type, each
//! changed in a few places, while another Client publishes to itself. A packet counts if the broker
//! reads it: up to the first malformed one of its connection, as the codec sees it. At the end the
//! broker must run, and have taken no more than 256 MiB more than before.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a program for a developer's terminal")]
#![expect(clippy::disallowed_methods, reason = "it measures real time, with a thread for each end")]

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use mqttspec_codec::{
    BinaryData, Connect, Decoder, NonEmpty, Packet, PacketIdentifier, PubAck, PubComp, PubRec, PubRel,
    Publish, QoS, Role, Subscribe, Subscription, TopicAlias, TopicFilter, TopicName, Unsubscribe,
    UserProperty, Utf8String, Version, Will,
};
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

const THREADS: u64 = 8;
const PACKETS_OF_CONNECTION: usize = 40;
const MOST_MEMORY_KIB: u64 = 256 << 10;

struct Tally {
    packets: AtomicU64,
    connections: AtomicU64,
    goal: u64,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [program, packets, seed] = arguments.as_slice() else {
        panic!("usage: mutations MQTTSPEC PACKETS SEED")
    };
    let (mut broker, port) = start(program);
    let idle = memory_kib(broker.id(), "VmRSS");
    let tally = Arc::new(Tally {
        packets: AtomicU64::new(0),
        connections: AtomicU64::new(0),
        goal: packets.parse().unwrap(),
    });
    let started = Instant::now();
    let over = Arc::new(AtomicBool::new(false));
    let bystander = {
        let over = Arc::clone(&over);
        std::thread::spawn(move || watch(port, &over))
    };
    let seed: u64 = seed.parse().unwrap();
    let senders: Vec<_> = (0..THREADS)
        .map(|thread| {
            let tally = Arc::clone(&tally);
            std::thread::spawn(move || attack(port, seed * THREADS + thread, &tally))
        })
        .collect();
    for sender in senders {
        sender.join().unwrap();
    }
    over.store(true, Ordering::Relaxed);
    let slowest = bystander.join().unwrap();
    let seconds = started.elapsed().as_secs_f64();
    let most = memory_kib(broker.id(), "VmHWM");
    let ended = broker.try_wait().unwrap();
    let packets = tally.packets.load(Ordering::Relaxed);
    println!(
        "seed {seed}: {packets} packets on {} connections in {seconds:.0} s, {:.0} packets/s; \
         memory {} MiB idle, {} MiB at most; slowest answer to another Client {} ms",
        tally.connections.load(Ordering::Relaxed),
        packets as f64 / seconds,
        idle >> 10,
        most >> 10,
        slowest.as_millis(),
    );
    assert!(ended.is_none(), "the broker ended: {ended:?}");
    let _ = broker.kill();
    let _ = broker.wait();
    assert!(most - idle <= MOST_MEMORY_KIB, "the broker took {} MiB", (most - idle) >> 10);
}

fn start(program: &str) -> (Child, u16) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let broker = Command::new(program)
        .args(["serve", "--listen", &format!("127.0.0.1:{port}")])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        std::thread::sleep(Duration::from_millis(20));
    }
    (broker, port)
}

fn memory_kib(process: u32, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(field));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
}

fn encoded(packet: &Packet, version: Version) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    packet.encode(version, &mut bytes).unwrap();
    bytes.to_vec()
}

/// A Client that publishes to itself; returns the longest time until its message came.
fn watch(port: u16, over: &AtomicBool) -> Duration {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_nodelay(true).unwrap();
    let version = Version::V3_1_1;
    let topic = TopicName::from_static("bystander");
    let filter = TopicFilter::from_static("bystander");
    let subscribe =
        Subscribe::new(PacketIdentifier::MIN, NonEmpty::one(Subscription::new(filter, QoS::AtMostOnce)));
    let mut connect = Connect::new(version, Utf8String::from_static("bystander"));
    connect.clean_start = true;
    let hello = [connect.into(), Packet::from(subscribe)].map(|packet| encoded(&packet, version)).concat();
    stream.write_all(&hello).unwrap();
    stream.read_exact(&mut [0; 9]).unwrap();
    let message = encoded(&Publish::new(topic, "x").into(), version);
    let mut slowest = Duration::ZERO;
    while !over.load(Ordering::Relaxed) {
        let sent = Instant::now();
        stream.write_all(&message).unwrap();
        stream.read_exact(&mut vec![0; message.len()]).unwrap();
        slowest = slowest.max(sent.elapsed());
        std::thread::sleep(Duration::from_millis(10));
    }
    slowest
}

fn attack(port: u16, seed: u64, tally: &Tally) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    while tally.packets.load(Ordering::Relaxed) < tally.goal {
        let (bytes, read) = connection(&mut random);
        // The port may be short of numbers for a moment.
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else {
            std::thread::sleep(Duration::from_millis(10));
            continue;
        };
        let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
        // What the broker refuses ends the connection, and is no failure.
        if stream.write_all(&bytes).is_ok() {
            let _ = stream.shutdown(Shutdown::Write);
            let mut answers = [0; 16 << 10];
            while stream.read(&mut answers).is_ok_and(|count| count > 0) {}
        }
        tally.packets.fetch_add(read, Ordering::Relaxed);
        tally.connections.fetch_add(1, Ordering::Relaxed);
    }
}

/// What is sent on a connection, and how many packets of it are read.
fn connection(random: &mut ChaCha8Rng) -> (Vec<u8>, u64) {
    let version = [Version::V5, Version::V5, Version::V3_1_1][random.random_range(0..3)];
    let mut bytes = encoded(&connect(random, version).into(), version);
    if random.random_ratio(1, 10) {
        mutate(random, &mut bytes);
    }
    for _ in 0..PACKETS_OF_CONNECTION {
        let mut one = encoded(&packet(random, version), version);
        if random.random_ratio(1, 4) {
            mutate(random, &mut one);
        } else {
            mutate_content(random, &mut one);
        }
        bytes.extend_from_slice(&one);
    }
    let (mut decoder, mut left) = (Decoder::new(Role::Server), BytesMut::from(&bytes[..]));
    let mut read = 0;
    loop {
        match decoder.decode(&mut left) {
            Ok(Some(_)) => read += 1,
            Ok(None) => return (bytes, read),
            Err(_) => return (bytes, read + 1),
        }
    }
}

/// Changes the bytes of a packet anywhere.
fn mutate(random: &mut ChaCha8Rng, bytes: &mut Vec<u8>) {
    for _ in 0..random.random_range(1..4) {
        let at = random.random_range(0..bytes.len());
        match random.random_range(0..5) {
            0 => bytes[at] ^= 1 << random.random_range(0..8),
            1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][random.random_range(0..5)],
            2 => bytes.insert(at, random.next_u32() as u8),
            3 if bytes.len() > 2 => drop(bytes.remove(at)),
            _ => {
                let part = bytes[at..].to_vec();
                bytes.splice(at..at, part);
            }
        }
    }
}

/// Changes bytes near the end, mostly those of payloads, topics and properties.
fn mutate_content(random: &mut ChaCha8Rng, bytes: &mut [u8]) {
    let first = (bytes.len() / 2).max(4);
    if first < bytes.len() {
        let at = random.random_range(first..bytes.len());
        bytes[at] ^= 1 << random.random_range(0..5);
    }
}

fn connect(random: &mut ChaCha8Rng, version: Version) -> Connect {
    let id = format!("c{}", random.random_range(0..50));
    let mut connect = Connect::new(version, Utf8String::try_from(id.as_str()).unwrap());
    connect.clean_start = random.random_ratio(1, 2);
    if random.random_ratio(1, 4) {
        connect.will = Some(Will::new(topic(random), BinaryData::from_static(b"gone")));
    }
    connect
}

fn topic(random: &mut ChaCha8Rng) -> TopicName {
    TopicName::from_static(["a", "a/b", "a/b/c", "b", "b/x", "/"][random.random_range(0..6)])
}

fn filter(random: &mut ChaCha8Rng) -> TopicFilter {
    TopicFilter::from_static(
        ["a", "a/+", "a/#", "#", "+/b", "$share/g/a", "$share/h/#"][random.random_range(0..7)],
    )
}

fn packet(random: &mut ChaCha8Rng, version: Version) -> Packet {
    let id = PacketIdentifier::new(random.random_range(1..30)).unwrap();
    match random.random_range(0..12) {
        0..=4 => {
            let length = random.random_range(0..200);
            let mut publish = Publish::new(topic(random), vec![b'x'; length]);
            publish = match random.random_range(0..3) {
                0 => publish,
                1 => publish.at_least_once(id),
                _ => publish.exactly_once(id),
            };
            publish.retain = random.random_ratio(1, 5);
            if version.is_5() && random.random_ratio(1, 3) {
                publish = publish.with(UserProperty::from_static("name", "value"));
            }
            if version.is_5() && random.random_ratio(1, 5) {
                publish =
                    publish.with(TopicAlias(std::num::NonZeroU16::new(random.random_range(1..12)).unwrap()));
            }
            publish.into()
        }
        5 => PubAck::success(id).into(),
        6 => PubRec::success(id).into(),
        7 => PubRel::success(id).into(),
        8 => PubComp::success(id).into(),
        9 => {
            let subscription = Subscription::new(filter(random), QoS::ALL[random.random_range(0..3)]);
            Subscribe::new(id, NonEmpty::one(subscription)).into()
        }
        10 => Unsubscribe::new(id, filter(random)).into(),
        _ => Packet::PingReq,
    }
}
