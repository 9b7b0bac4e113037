//! Interprets bytes as a schedule of Network Connections, valid and malformed packets, cuts, time
//! and crashes. For any bytes, the broker must not panic, must obey the standard in everything that
//! it sends ([`watch`]), must hold no more than its options allow, and must be the same after a
//! restore from its records.
//!
//! For fuzzers and for `cargo test`. Without the feature `fuzz` it is not part of the crate.

mod input;
mod watch;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use mqttspec_codec::{Decoder, Packet, Role};

use crate::{Broker, Change, ConnectionId, Options, Transmit};
use input::Input;
use watch::Watch;

/// Small limits, so that a short schedule reaches them.
const OPTIONS: &[(&str, &str)] = &[
    ("receive_maximum", "3"),
    ("topic_alias_maximum", "2"),
    ("queue_maximum", "8"),
    ("queue_maximum_bytes", "4000"),
    ("maximum_subscriptions", "6"),
    ("maximum_retained", "6"),
    ("maximum_connections", "8"),
    // So that a short schedule needs several parts.
    ("parts", "small"),
    ("session_expiry_maximum", "1000"),
    // The verifier gives the number of iterations for all: a schedule needs no slow hash.
    (
        "users",
        "user u password p; publish a/#; publish +; subscribe #; user v password q; user x scram-sha-256 1 c2FsdA== \
         AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    ),
];

/// Runs the schedule. Returns the number of packets that the broker received and sent.
///
/// # Panics
/// If the broker does anything wrong.
pub fn run(bytes: &[u8]) -> u64 {
    let mut input = Input::new(bytes);
    let mut options = Options::default();
    for (name, value) in OPTIONS {
        options.set(name, value).expect("the options are right");
    }
    let choices = input.byte();
    for (bit, (name, value)) in [
        ("overlapping_subscriptions", "copy_each"),
        ("queue_policy", "drop_oldest"),
        ("queue_qos_0", "yes"),
        ("shared_choice", "random"),
        ("report_no_matching_subscribers", "yes"),
        ("check_payload_format", "yes"),
        ("dollar_topics", "accept"),
        ("maximum_qos", "1"),
    ]
    .into_iter()
    .enumerate()
    {
        if choices & 1 << bit != 0 {
            options.set(name, value).expect("the options are right");
        }
    }
    let mut run = Run::new(options);
    run.play(&mut input);
    run.packets
}

struct Run {
    options: Options,
    broker: Broker,
    now: Duration,
    connections: BTreeMap<ConnectionId, Peer>,
    /// The durable records.
    records: BTreeMap<Vec<u8>, Vec<u8>>,
    sessions_ever: usize,
    packets: u64,
}

struct Peer {
    decoder: Decoder,
    buffer: BytesMut,
    watch: Watch,
}

impl Run {
    fn new(options: Options) -> Self {
        let broker = Broker::new(options.clone(), 0);
        Self {
            broker,
            options,
            now: Duration::ZERO,
            connections: BTreeMap::new(),
            records: BTreeMap::new(),
            sessions_ever: 0,
            packets: 0,
        }
    }

    fn play(&mut self, input: &mut Input<'_>) {
        while !input.is_empty() {
            match input.byte() % 16 {
                0 => self.open(),
                1 => self.close(input),
                2 => self.pass(input),
                3 if input.byte().is_multiple_of(4) => self.crash(),
                4 => self.raw(input),
                5 => self.congest(input),
                _ => self.packet(input),
            }
            self.drive();
            self.check_bounds();
        }
        self.crash();
        self.drive();
    }

    fn open(&mut self) {
        let id = self.broker.handle_opened(self.now);
        let mut decoder = Decoder::new(Role::Server);
        decoder.set_maximum_packet_size(self.options.decoder_limit());
        self.connections.insert(id, Peer { decoder, buffer: BytesMut::new(), watch: Watch::default() });
        self.sessions_ever += 1;
    }

    fn pick(&self, input: &mut Input<'_>) -> Option<ConnectionId> {
        let count = self.connections.len();
        let place = usize::from(input.byte()).checked_rem(count)?;
        self.connections.keys().nth(place).copied()
    }

    fn close(&mut self, input: &mut Input<'_>) {
        if let Some(id) = self.pick(input) {
            self.connections.remove(&id);
            self.broker.handle_closed(self.now, id);
        }
    }

    fn pass(&mut self, input: &mut Input<'_>) {
        self.now += Duration::from_millis(u64::from(input.byte()) * 100);
        if input.byte().is_multiple_of(2) {
            let is_due = |broker: &Broker, now| broker.poll_timeout().is_some_and(|next| next <= now);
            self.broker.handle_timeout(self.now);
            // If much is due, it is done in several calls.
            while is_due(&self.broker, self.now) {
                let before = self.broker.effort();
                self.broker.handle_timeout(self.now);
                assert!(self.broker.effort() > before, "a timer that is due stays due");
            }
        }
    }

    fn congest(&mut self, input: &mut Input<'_>) {
        if let Some(id) = self.pick(input) {
            let congested = input.byte().is_multiple_of(2);
            self.broker.handle_congestion(self.now, id, congested);
        }
    }

    /// A packet that is usually valid.
    fn packet(&mut self, input: &mut Input<'_>) {
        let Some(id) = self.pick(input) else { return };
        let Some(peer) = self.connections.get_mut(&id) else { return };
        let (packet, version) = input.packet(peer.watch.version());
        let mut frame = BytesMut::new();
        if packet.encode(version, &mut frame).is_ok() {
            self.feed(id, &frame.freeze());
        }
    }

    fn raw(&mut self, input: &mut Input<'_>) {
        if let Some(id) = self.pick(input) {
            let bytes = input.bytes();
            self.feed(id, &bytes);
        }
    }

    /// What a driver does with received bytes.
    fn feed(&mut self, id: ConnectionId, bytes: &Bytes) {
        let Some(peer) = self.connections.get_mut(&id) else { return };
        peer.buffer.extend_from_slice(bytes);
        loop {
            let Some(peer) = self.connections.get_mut(&id) else { return };
            match peer.decoder.decode(&mut peer.buffer) {
                Ok(Some(packet)) => {
                    peer.watch.received(&packet);
                    self.packets += 1;
                    self.broker.handle_packet(self.now, id, packet);
                    self.drive();
                }
                Ok(None) => return,
                Err(fault) => {
                    self.broker.handle_malformed(self.now, id, &fault);
                    self.drive();
                    assert!(
                        !self.connections.contains_key(&id),
                        "a malformed packet ends the Network Connection"
                    );
                    return;
                }
            }
        }
    }

    fn drive(&mut self) {
        for change in self.broker.take_changes() {
            change.apply(&mut self.records);
        }
        while let Some(transmit) = self.broker.poll_transmit() {
            match transmit {
                Transmit::Packet { connection, packet, version } => {
                    // The Client has closed; the broker does not know that yet.
                    let Some(peer) = self.connections.get_mut(&connection) else { continue };
                    peer.watch.sent(&packet, version);
                    self.packets += 1;
                }
                Transmit::Close { connection } => {
                    self.connections.remove(&connection);
                }
            }
        }
        while self.broker.poll_event().is_some() {}
    }

    /// The broker crashes and is restored from its durable records.
    fn crash(&mut self) {
        let restored = Broker::restore(self.options.clone(), 1, self.now, self.records.clone());
        self.broker = restored.expect("the records are this broker's");
        self.connections.clear();
        self.drive();
        let before = self.records.clone();
        let again = Broker::restore(self.options.clone(), 1, self.now, before.clone());
        let mut again = again.expect("the records are this broker's");
        for change in again.take_changes() {
            if let Change::Put { key, value } = change {
                assert_eq!(before.get(&key), Some(&value), "a second restore changes nothing");
            }
        }
        assert_eq!(again.statistics(), self.broker.statistics());
    }

    fn check_bounds(&self) {
        let statistics = self.broker.statistics();
        assert!(statistics.sessions <= self.sessions_ever);
        assert!(statistics.subscriptions <= statistics.sessions * 6);
        assert!(statistics.retained <= 6 + statistics.sessions, "Wills are retained beyond the maximum only");
        assert!(statistics.waiting <= statistics.sessions * 8);
        assert!(statistics.waiting_bytes <= statistics.sessions as u64 * 4000);
        assert!(statistics.connections >= self.connections.len());
    }
}

/// Whether its sender may send nothing after this packet.
fn is_last(packet: &Packet) -> bool {
    match packet {
        Packet::Disconnect(_) => true,
        Packet::ConnAck(connack) => connack.reason.is_failure(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::run;

    #[test]
    fn the_corpus() {
        let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/broker");
        let mut seeds: Vec<_> =
            std::fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
        seeds.sort();
        assert!(!seeds.is_empty(), "no seeds in {corpus}");
        for seed in seeds {
            run(&std::fs::read(seed).unwrap());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn random_schedules(bytes in prop::collection::vec(any::<u8>(), 0..4000)) {
            run(&bytes);
        }
    }
}
