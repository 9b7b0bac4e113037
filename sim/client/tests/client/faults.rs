//! The client against a model Server whose connection is cut, and whose client crashes, at any
//! point.
//!
//! QoS 2 messages are delivered exactly once and QoS 1 messages at least once, in order, in both
//! directions.

use std::collections::VecDeque;

use mqttspec_client::{Client, Command, Event, Options, Publication, Transmit};
use mqttspec_codec::{Packet, QoS, TopicName, Version};
use proptest::prelude::*;

use crate::bench::options;
use crate::model::Server;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// The client's application publishes.
    Up(QoS),
    /// Another application publishes.
    Down(QoS),
    /// Packets arrive at the Server, and at the client.
    ToServer(u8),
    ToClient(u8),
    /// The connection is lost with all packets in transit; the Server detects it first or later.
    Cut,
    /// The client crashes and is restored from its store.
    Crash,
    /// Time passes until the client's next deadline.
    Time,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop::sample::select(&[QoS::AtLeastOnce, QoS::ExactlyOnce][..]).prop_map(Step::Up),
        4 => prop::sample::select(&[QoS::AtLeastOnce, QoS::ExactlyOnce][..]).prop_map(Step::Down),
        6 => (1..4u8).prop_map(Step::ToServer),
        6 => (1..4u8).prop_map(Step::ToClient),
        3 => Just(Step::Cut),
        2 => Just(Step::Crash),
        4 => Just(Step::Time),
    ]
}

struct Pair {
    client: Client,
    now: std::time::Duration,
    store: std::collections::BTreeMap<Vec<u8>, Vec<u8>>,
    server: Server,
    /// `None` without Network Connection.
    to_server: Option<VecDeque<Packet>>,
    received: Vec<(QoS, String)>,
    published: usize,
    sent: Vec<(QoS, String)>,
    queued_down: Vec<(QoS, String)>,
}

impl Pair {
    fn new(options: Options, server: Server) -> Self {
        let mut pair = Self {
            client: Client::new(options, 3),
            now: std::time::Duration::ZERO,
            store: Default::default(),
            server,
            to_server: None,
            received: Vec::new(),
            published: 0,
            sent: Vec::new(),
            queued_down: Vec::new(),
        };
        pair.client.handle_command(pair.now, Command::Connect(None));
        pair.drive();
        // There are no messages for a Session before its first CONNACK.
        pair.step(Step::ToServer(1));
        pair.step(Step::ToClient(1));
        pair
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Up(qos) => {
                let payload = format!("{}", self.sent.len());
                self.sent.push((qos, payload.clone()));
                let publication = Publication::new(TopicName::from_static("up"), payload).qos(qos);
                self.client.handle_command(self.now, Command::Publish(publication));
            }
            Step::Down(qos) => {
                let payload = format!("{}", self.queued_down.len());
                self.queued_down.push((qos, payload.clone()));
                self.server.publish(qos, payload);
            }
            Step::ToServer(count) => {
                for _ in 0..count {
                    let Some(packet) = self.to_server.as_mut().and_then(VecDeque::pop_front) else { break };
                    self.server.receive(packet);
                }
            }
            Step::ToClient(count) => {
                for _ in 0..count {
                    let Some(packet) = self.server.out.pop_front() else { break };
                    self.client.handle_packet(self.now, packet);
                    self.drive();
                }
            }
            Step::Cut => {
                self.hang_up();
                self.client.handle_closed(self.now);
            }
            Step::Crash => {
                self.hang_up();
                let options = self.client.options().clone();
                self.client = Client::restore(options, 4, self.now, self.store.clone());
                self.client.handle_command(self.now, Command::Connect(None));
            }
            Step::Time => {
                if let Some(at) = self.client.poll_timeout() {
                    self.now = self.now.max(at);
                    self.client.handle_timeout(self.now);
                }
            }
        }
        self.drive();
    }

    fn hang_up(&mut self) {
        self.to_server = None;
        self.server.connection_lost();
    }

    fn drive(&mut self) {
        loop {
            while let Some(event) = self.client.poll_event() {
                match event {
                    Event::Message(message) => {
                        let payload = String::from_utf8(message.payload.to_vec()).unwrap();
                        self.received.push((message.qos, payload));
                    }
                    Event::Published { .. } => self.published += 1,
                    Event::Failed { error, .. } => panic!("{error}"),
                    Event::GaveUp { error } => panic!("gave up: {error}"),
                    _ => {}
                }
            }
            for change in self.client.take_changes() {
                change.apply(&mut self.store);
            }
            let mut dialled = false;
            while let Some(transmit) = self.client.poll_transmit() {
                match transmit {
                    Transmit::Dial { .. } => dialled = true,
                    Transmit::Packet { packet, .. } => {
                        self.to_server.as_mut().expect("a connection").push_back(packet);
                    }
                    Transmit::Close => self.hang_up(),
                }
            }
            if !dialled {
                break;
            }
            self.to_server = Some(VecDeque::new());
            self.client.handle_opened(self.now);
        }
    }

    /// No more faults: everything must complete.
    fn heal(&mut self) {
        for _ in 0..10_000 {
            let idle = self.server.out.is_empty() && self.to_server.as_ref().is_none_or(VecDeque::is_empty);
            let done = self.server.is_done()
                && self.client.statistics().in_flight + self.client.statistics().waiting == 0;
            if idle && done && self.to_server.is_some() {
                return;
            }
            if idle {
                self.step(Step::Time);
            }
            self.step(Step::ToServer(9));
            self.step(Step::ToClient(9));
        }
        panic!("it does not come to rest: {:?}", self.server);
    }
}

/// Each message of a QoS 2 list once and in order; of a QoS 1 list at least once, first arrivals in
/// order.
fn judge(sent: &[(QoS, String)], arrived: &[(QoS, String)]) -> Result<(), TestCaseError> {
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let of = |list: &[(QoS, String)]| -> Vec<String> {
            list.iter().filter(|(other, _)| *other == qos).map(|(_, payload)| payload.clone()).collect()
        };
        let mut arrived = of(arrived);
        if qos == QoS::AtLeastOnce {
            let mut seen = std::collections::BTreeSet::new();
            arrived.retain(|payload| seen.insert(payload.clone()));
        }
        prop_assert_eq!(arrived, of(sent), "QoS {}", qos);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn exactly_once_at_least_once_and_in_order_whatever_is_cut_or_crashes(
        version in prop::sample::select(&[Version::V3_1_1, Version::V5][..]),
        receive_maximum in 0..4u16,
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let options = Options { reconnect_attempts: 0, circuit_failures: 0, session_expiry: u32::MAX, ..options(version) };
        let server = Server::new(if version.is_5() { receive_maximum } else { 0 });
        let mut pair = Pair::new(options, server);
        for step in steps {
            pair.step(step);
        }
        pair.heal();
        judge(&pair.sent, &pair.server.taken)?;
        judge(&pair.queued_down, &pair.received)?;
        prop_assert!(pair.published >= pair.sent.len());
        // Only the Session is left.
        prop_assert_eq!(pair.store.keys().cloned().collect::<Vec<_>>(), vec![b"c".to_vec()]);
    }
}
