//! Random operations of several Clients, compared with a small model of the messages that each must
//! get.
//!
//! The model has no packets: a Session is a list of Subscriptions and a list of messages that it
//! must get. Clients acknowledge late, lose their Network Connections at any time and reconnect
//! with smaller windows; the broker crashes. At the end every Client that still has a Session
//! reconnects, and must have received exactly its list, in order for each topic.
#![expect(clippy::unwrap_used, reason = "what is not as expected fails the test")]

#[path = "situations/rig.rs"]
#[expect(dead_code, reason = "shared with the situations, which use more of it")]
mod rig;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU16;

use mqttspec_codec::*;
use proptest::prelude::*;

use rig::*;

const CLIENTS: [&str; 4] = ["a", "b", "c", "d"];
const TOPICS: [&str; 4] = ["x", "x/y", "x/z", "/"];
const FILTERS: [&str; 8] = ["x", "x/y", "x/+", "x/#", "+", "#", "+/+", "w/#"];
const WILL_TOPICS: [&str; 4] = ["w/a", "w/b", "w/c", "w/d"];

#[derive(Clone, Debug)]
enum Operation {
    Connect { client: usize, clean_start: bool, expiry: u32, window: u16, will_delay: Option<u32> },
    Cut { client: usize },
    Disconnect { client: usize },
    Subscribe { client: usize, filter: usize, qos: QoS, no_local: bool, retain_handling: RetainHandling },
    Unsubscribe { client: usize, filter: usize },
    Publish { client: usize, topic: usize, qos: QoS, retain: bool, empty: bool, cut: CutAt },
    Acknowledge { client: usize, count: usize },
    Pass { seconds: u32 },
    Crash,
}

/// When the publisher's Network Connection breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CutAt {
    Nowhere,
    /// The Server has the PUBLISH; its acknowledgement is lost.
    BehindPublish,
    /// The Client has the PUBREC; its PUBREL is lost.
    BehindPubRec,
}

fn operation() -> impl Strategy<Value = Operation> {
    let client = 0..CLIENTS.len();
    let qos = prop::sample::select(&QoS::ALL[..]);
    let handling = prop::sample::select(vec![
        RetainHandling::SendAtSubscribe,
        RetainHandling::SendIfNew,
        RetainHandling::DoNotSend,
    ]);
    let expiry = prop::sample::select(vec![0, 5, 1000, u32::MAX]);
    let will_delay = prop::option::weighted(0.4, prop::sample::select(vec![0, 3, 8]));
    let cut = prop_oneof![6 => Just(CutAt::Nowhere), 1 => Just(CutAt::BehindPublish), 1 => Just(CutAt::BehindPubRec)];
    prop_oneof![
        4 => (client.clone(), prop::bool::weighted(0.2), expiry, 1..6u16, will_delay).prop_map(
            |(client, clean_start, expiry, window, will_delay)| {
                Operation::Connect { client, clean_start, expiry, window, will_delay }
            }),
        2 => client.clone().prop_map(|client| Operation::Cut { client }),
        1 => client.clone().prop_map(|client| Operation::Disconnect { client }),
        3 => (client.clone(), 0..FILTERS.len(), qos.clone(), any::<bool>(), handling).prop_map(
            |(client, filter, qos, no_local, retain_handling)| {
                Operation::Subscribe { client, filter, qos, no_local, retain_handling }
            }),
        1 => (client.clone(), 0..FILTERS.len()).prop_map(|(client, filter)| Operation::Unsubscribe { client, filter }),
        8 => (client.clone(), 0..TOPICS.len(), qos, any::<bool>(), prop::bool::weighted(0.1), cut).prop_map(
            |(client, topic, qos, retain, empty, cut)| Operation::Publish { client, topic, qos, retain, empty, cut }),
        4 => (client, 1..5usize).prop_map(|(client, count)| Operation::Acknowledge { client, count }),
        2 => (1..10u32).prop_map(|seconds| Operation::Pass { seconds }),
        1 => Just(Operation::Crash),
    ]
}

/// A message in the model.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Message {
    topic: &'static str,
    payload: String,
    qos: QoS,
}

/// A Session in the model.
#[derive(Debug, Default)]
struct Session {
    expiry: u32,
    /// When the Network Connection ended.
    away_since: Option<u64>,
    subscriptions: BTreeMap<&'static str, (QoS, bool)>,
    expected: Vec<Message>,
    /// When the Will Message is due, after the Network Connection has ended.
    will: Option<(u32, Message)>,
    will_due: Option<u64>,
}

/// The Client's side of a Session, and the messages that it has received.
#[derive(Debug, Default)]
struct Peer {
    connection: Option<Client>,
    window: usize,
    got: Vec<Message>,
    /// Packet Identifiers whose acknowledgement is not complete, with their messages.
    open: BTreeMap<PacketIdentifier, Message>,
    /// Those of them that were received on this Network Connection.
    met: BTreeSet<PacketIdentifier>,
    /// Acknowledgements that the Client has not sent yet.
    answers: VecDeque<Packet>,
    /// The packet that it re-sends when it resumes its Session.
    resend: Option<(Message, bool, CutAt)>,
}

struct World {
    rig: Rig,
    time: u64,
    sessions: BTreeMap<usize, Session>,
    retained: BTreeMap<&'static str, (usize, Message)>,
    peers: [Peer; 4],
    published: u32,
}

impl World {
    fn new() -> Self {
        Self {
            rig: Rig::with("connect_timeout=0"),
            time: 0,
            sessions: BTreeMap::new(),
            retained: BTreeMap::new(),
            peers: Default::default(),
            published: 0,
        }
    }

    fn run(&mut self, operation: &Operation) {
        match *operation {
            Operation::Connect { client, clean_start, expiry, window, will_delay } => {
                self.connect(client, clean_start, expiry, window, will_delay);
            }
            Operation::Cut { client } => self.cut(client),
            Operation::Disconnect { client } => {
                if let Some(connection) = self.peers[client].connection.take() {
                    self.rig.send(connection, Disconnect::normal());
                    self.sessions.get_mut(&client).unwrap().will = None;
                    self.lose_connection(client);
                }
            }
            Operation::Subscribe { client, filter, qos, no_local, retain_handling } => {
                self.subscribe(client, FILTERS[filter], qos, no_local, retain_handling);
            }
            Operation::Unsubscribe { client, filter } => {
                if let Some(connection) = self.peers[client].connection {
                    let removed =
                        self.sessions.get_mut(&client).unwrap().subscriptions.remove(FILTERS[filter]);
                    self.rig.send(
                        connection,
                        Unsubscribe::new(id(999), TopicFilter::from_static(FILTERS[filter])),
                    );
                    let reason = if removed.is_some() {
                        UnsubAckReason::Success
                    } else {
                        UnsubAckReason::NoSubscriptionExisted
                    };
                    self.rig.take(connection, UnsubAck::new(id(999), [reason]));
                }
            }
            Operation::Publish { client, topic, qos, retain, empty, cut } => {
                if self.peers[client].connection.is_some() {
                    self.published += 1;
                    let payload = if empty { String::new() } else { self.published.to_string() };
                    self.publish(client, Message { topic: TOPICS[topic], payload, qos }, retain, cut);
                }
            }
            Operation::Acknowledge { client, count } => {
                for _ in 0..count {
                    self.acknowledge(client);
                }
            }
            Operation::Pass { seconds } => {
                for _ in 0..seconds {
                    self.time += 1;
                    self.settle_due();
                    self.rig.pass(1.0);
                }
            }
            Operation::Crash => self.crash(),
        }
        self.read_all();
    }

    fn connect(
        &mut self,
        client: usize,
        clean_start: bool,
        expiry: u32,
        window: u16,
        will_delay: Option<u32>,
    ) {
        if self.peers[client].connection.take().is_some() {
            // Take-over: the old Network Connection ends first.
            self.lose_connection(client);
        }
        if clean_start {
            self.end_session(client);
        }
        let present = self.sessions.contains_key(&client);
        let topic = WILL_TOPICS[client];
        let will = will_delay.map(|delay| {
            self.published += 1;
            (delay, Message { topic, payload: format!("will {}", self.published), qos: Q1 })
        });
        let session = self.sessions.entry(client).or_default();
        session.expiry = expiry;
        session.away_since = None;
        session.will_due = None;
        session.will = will.clone();
        let connect = lasting(CLIENTS[client], expiry).with(ReceiveMaximum(NonZeroU16::new(window).unwrap()));
        let will = will.map(|(delay, message)| Will {
            qos: message.qos,
            payload: BinaryData::try_from(message.payload.as_str()).unwrap(),
            properties: Properties::new().with(WillDelayInterval(delay)),
            ..self::will(topic, "")
        });
        let (connection, connack) = self.rig.try_connect(Connect { clean_start, will, ..connect });
        assert_eq!(connack.session_present, present);
        let peer = &mut self.peers[client];
        peer.connection = Some(connection);
        peer.window = window.into();
        if !present {
            // The Client's state belongs to a Session that has ended.
            *peer = Peer { connection: peer.connection, window: peer.window, ..Peer::default() };
        }
        if let Some((message, retain, cut)) = self.peers[client].resend.take() {
            self.send_again(client, &message, retain, cut);
        }
    }

    fn cut(&mut self, client: usize) {
        if let Some(connection) = self.peers[client].connection.take() {
            self.rig.cut(connection);
            self.lose_connection(client);
        }
    }

    /// The effect of the end of a Network Connection on Session and Will, whatever its cause.
    fn lose_connection(&mut self, client: usize) {
        self.peers[client].met.clear();
        self.peers[client].answers.clear();
        let session = self.sessions.get_mut(&client).unwrap();
        session.away_since = Some(self.time);
        session.will_due = session.will.as_ref().map(|(delay, _)| self.time + u64::from(*delay));
        self.settle_due();
    }

    fn crash(&mut self) {
        self.rig.restart();
        for client in 0..CLIENTS.len() {
            if self.peers[client].connection.take().is_some() {
                self.peers[client].met.clear();
                self.peers[client].answers.clear();
                let session = self.sessions.get_mut(&client).unwrap();
                session.away_since = Some(self.time);
                session.will_due = session.will.as_ref().map(|(delay, _)| self.time + u64::from(*delay));
            }
        }
        self.rig.pass(0.0);
        self.settle_due();
    }

    /// Wills and ends of Sessions that are due by now.
    fn settle_due(&mut self) {
        for client in 0..CLIENTS.len() {
            let Some(session) = self.sessions.get_mut(&client) else { continue };
            if session.will_due.is_some_and(|due| due <= self.time) {
                self.publish_will(client);
            }
            let session = &self.sessions[&client];
            let ends = session.away_since.filter(|_| session.expiry != u32::MAX);
            if ends.is_some_and(|since| since + u64::from(session.expiry) <= self.time) {
                self.end_session(client);
            }
        }
    }

    fn publish_will(&mut self, client: usize) {
        let session = self.sessions.get_mut(&client).unwrap();
        session.will_due = None;
        if let Some((_, message)) = session.will.take() {
            self.route(client, &message, false);
        }
    }

    fn end_session(&mut self, client: usize) {
        if self.sessions.contains_key(&client) {
            self.publish_will(client);
            let session = self.sessions.remove(&client).unwrap();
            // What it received before is the start of what it must get.
            self.compare(client, &session, false);
            self.peers[client].got.clear();
        }
    }

    fn subscribe(
        &mut self,
        client: usize,
        wanted: &'static str,
        qos: QoS,
        no_local: bool,
        handling: RetainHandling,
    ) {
        let Some(connection) = self.peers[client].connection else { return };
        let session = self.sessions.get_mut(&client).unwrap();
        let existed = session.subscriptions.insert(wanted, (qos, no_local)).is_some();
        let send = match handling {
            RetainHandling::SendAtSubscribe => true,
            RetainHandling::SendIfNew => !existed,
            RetainHandling::DoNotSend => false,
        };
        for (topic, (publisher, message)) in self.retained.iter().filter(|_| send) {
            if matches(wanted, topic) && !(no_local && *publisher == client) {
                session.expected.push(Message { qos: message.qos.min(qos), ..message.clone() });
            }
        }
        let subscription = Subscription { no_local, retain_handling: handling, ..filter(wanted, qos) };
        self.rig.send(connection, Subscribe::new(id(999), subscription));
        let granted = SubAckReason::try_from(u8::from(qos)).unwrap();
        self.rig.take(connection, SubAck::new(id(999), granted));
    }

    /// The effect of a message in the model.
    fn route(&mut self, publisher: usize, message: &Message, retain: bool) {
        if retain && message.payload.is_empty() {
            self.retained.remove(message.topic);
        } else if retain {
            self.retained.insert(message.topic, (publisher, message.clone()));
        }
        for (client, session) in &mut self.sessions {
            let matching = session.subscriptions.iter().filter(|(wanted, (_, no_local))| {
                matches(wanted, message.topic) && !(*no_local && *client == publisher)
            });
            let Some(granted) = matching.map(|(_, (qos, _))| *qos).max() else { continue };
            let qos = granted.min(message.qos);
            if qos > Q0 || session.away_since.is_none() {
                session.expected.push(Message { qos, ..message.clone() });
            }
        }
    }

    fn publish(&mut self, client: usize, message: Message, retain: bool, cut: CutAt) {
        let connection = self.peers[client].connection.unwrap();
        self.route(client, &message, retain);
        let packet = packet(&message, retain);
        match (message.qos, cut) {
            (Q0, _) | (_, CutAt::Nowhere) => self.rig.publish(connection, packet),
            (Q1, _) | (_, CutAt::BehindPublish) => {
                self.rig.send(connection, packet);
                self.peers[client].resend = Some((message, retain, CutAt::BehindPublish));
            }
            _ => {
                self.rig.send(connection, packet);
                self.peers[client].resend = Some((message, retain, CutAt::BehindPubRec));
            }
        }
        if self.peers[client].resend.is_some() {
            // It has everything that was sent before the cut.
            self.read(client);
            self.cut(client);
        }
    }

    /// The Client has resumed its Session and completes the exchange that was cut.
    fn send_again(&mut self, client: usize, message: &Message, retain: bool, cut: CutAt) {
        let connection = self.peers[client].connection.unwrap();
        if cut == CutAt::BehindPubRec {
            self.rig.send(connection, PubRel::success(id(500)));
            self.rig.take(connection, PubComp::success(id(500)));
            return;
        }
        if message.qos == Q1 {
            // The Server had acknowledged it, so this is a new message.
            self.route(client, message, retain);
        }
        let mut packet = packet(message, retain);
        packet.delivery = packet.delivery.with_dup(true);
        self.rig.publish(connection, packet);
    }

    fn acknowledge(&mut self, client: usize) {
        let peer = &mut self.peers[client];
        let (Some(connection), Some(answer)) = (peer.connection, peer.answers.pop_front()) else { return };
        if let Packet::PubAck(PubAck { id, .. }) | Packet::PubComp(PubComp { id, .. }) = &answer {
            peer.open.remove(id);
            peer.met.remove(id);
        }
        self.rig.send(connection, answer);
        self.read(client);
    }

    fn read_all(&mut self) {
        for client in 0..CLIENTS.len() {
            self.read(client);
        }
    }

    fn read(&mut self, client: usize) {
        let peer = &mut self.peers[client];
        let Some(connection) = peer.connection else { return };
        for packet in self.rig.all(connection) {
            match packet {
                Packet::Publish(publish) => peer.take(&publish),
                Packet::PubRel(pubrel) => peer.answers.push_back(PubComp::success(pubrel.id).into()),
                // Answers to the exchange that was cut on purpose.
                Packet::PubAck(_) | Packet::PubRec(_) => {}
                other => panic!("unexpected {other:?}"),
            }
        }
        assert!(peer.met.len() <= peer.window, "more in flight than Receive Maximum");
    }

    /// Every Client with a Session reconnects and acknowledges everything.
    fn finish(&mut self) {
        for client in 0..CLIENTS.len() {
            if let Some(session) = self.sessions.get(&client) {
                let expiry = session.expiry;
                self.connect(client, false, expiry, 10, None);
                self.read_all();
            }
        }
        while self.peers.iter().any(|peer| !peer.answers.is_empty()) {
            for client in 0..CLIENTS.len() {
                self.acknowledge(client);
            }
        }
        for (client, session) in &self.sessions {
            self.compare(*client, session, true);
            assert!(self.peers[*client].open.is_empty(), "an exchange that never ends");
        }
    }

    /// For each topic and QoS, the Client has received what it must get.
    fn compare(&self, client: usize, session: &Session, complete: bool) {
        let of = |messages: &[Message]| {
            let mut by_stream: BTreeMap<(&'static str, QoS), Vec<String>> = BTreeMap::new();
            for message in messages {
                by_stream.entry((message.topic, message.qos)).or_default().push(message.payload.clone());
            }
            by_stream
        };
        let (got, expected) = (of(&self.peers[client].got), of(&session.expected));
        if complete {
            assert_eq!(got, expected, "Client {}", CLIENTS[client]);
        }
        for (stream, messages) in got {
            let expected = expected.get(&stream).map_or(&[][..], Vec::as_slice);
            assert!(expected.starts_with(&messages), "{stream:?}: {messages:?} of {expected:?}");
        }
    }
}

impl Peer {
    fn take(&mut self, publish: &Publish) {
        let name = publish.topic.as_ref().expect("no aliases here").as_str();
        let topic = TOPICS.into_iter().chain(WILL_TOPICS).find(|topic| *topic == name).unwrap();
        let payload = String::from_utf8(publish.payload.to_vec()).unwrap();
        let message = Message { topic, payload, qos: publish.delivery.qos() };
        let Some(id) = publish.delivery.packet_identifier() else {
            self.got.push(message);
            return;
        };
        assert!(self.met.insert(id), "{id} was in use");
        let again = self.open.insert(id, message.clone());
        assert_eq!(again.is_some(), publish.delivery.dup(), "DUP says whether it was sent before");
        match again {
            Some(before) => assert_eq!(before, message, "one identifier for two messages"),
            None => self.got.push(message),
        }
        let exactly_once = publish.delivery.qos() == Q2;
        self.answers.push_back(if exactly_once {
            PubRec::success(id).into()
        } else {
            PubAck::success(id).into()
        });
    }
}

fn packet(message: &Message, retain: bool) -> Publish {
    let packet = match message.qos {
        QoS::AtMostOnce => publish(message.topic, &message.payload),
        QoS::AtLeastOnce => qos_1(500, message.topic, &message.payload),
        QoS::ExactlyOnce => qos_2(500, message.topic, &message.payload),
    };
    Publish { retain, ..packet }
}

/// By the definition of §4.7.1, level by level.
fn matches(filter: &str, topic: &str) -> bool {
    let (filter, topic): (Vec<_>, Vec<_>) = (filter.split('/').collect(), topic.split('/').collect());
    match filter.split_last() {
        Some((&"#", parents)) => {
            topic.len() >= parents.len() && level_by_level(parents, &topic[..parents.len()])
        }
        _ => level_by_level(&filter, &topic),
    }
}

fn level_by_level(filter: &[&str], topic: &[&str]) -> bool {
    filter.len() == topic.len()
        && filter.iter().zip(topic).all(|(wanted, level)| *wanted == "+" || wanted == level)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn everybody_gets_what_the_model_says(operations in prop::collection::vec(operation(), 1..120)) {
        let mut world = World::new();
        for operation in &operations {
            world.run(operation);
        }
        world.finish();
    }

    /// Members of a Shared Subscription connect, disconnect and acknowledge late; each QoS 2
    /// message reaches exactly one of them.
    #[test]
    fn every_shared_message_reaches_exactly_one_member(steps in prop::collection::vec((0..3usize, 0..5u8), 1..80)) {
        let mut rig = Rig::new();
        let publisher = rig.connect(v5("publisher"));
        let mut peers: [Peer; 3] = Default::default();
        let connect = |rig: &mut Rig, peer: &mut Peer, client: usize| {
            let window = ReceiveMaximum(NonZeroU16::new(2).unwrap());
            peer.connection = Some(rig.connect(lasting(CLIENTS[client], u32::MAX).with(window)));
            peer.met.clear();
            peer.answers.clear();
        };
        for (client, peer) in peers.iter_mut().enumerate() {
            connect(&mut rig, peer, client);
            rig.subscribe(peer.connection.unwrap(), "$share/g/x", Q2);
        }
        let read = |rig: &mut Rig, peer: &mut Peer| {
            for packet in peer.connection.map(|connection| rig.all(connection)).unwrap_or_default() {
                match packet {
                    Packet::Publish(publish) => peer.take(&publish),
                    Packet::PubRel(pubrel) => peer.answers.push_back(PubComp::success(pubrel.id).into()),
                    other => panic!("unexpected {other:?}"),
                }
            }
        };
        let acknowledge = |rig: &mut Rig, peer: &mut Peer| {
            if let (Some(connection), Some(answer)) = (peer.connection, peer.answers.pop_front()) {
                if let Packet::PubComp(PubComp { id, .. }) = &answer {
                    peer.open.remove(id);
                    peer.met.remove(id);
                }
                rig.send(connection, answer);
            }
        };
        let mut published = 0;
        for (client, action) in steps {
            match action {
                0 => connect(&mut rig, &mut peers[client], client),
                1 => if let Some(connection) = peers[client].connection.take() {
                    rig.cut(connection);
                },
                2 => acknowledge(&mut rig, &mut peers[client]),
                _ => {
                    published += 1;
                    rig.publish(publisher, qos_2(1, "x", &published.to_string()));
                }
            }
            peers.iter_mut().for_each(|peer| read(&mut rig, peer));
        }
        for client in 0..peers.len() {
            connect(&mut rig, &mut peers[client], client);
            peers.iter_mut().for_each(|peer| read(&mut rig, peer));
        }
        while peers.iter().any(|peer| !peer.answers.is_empty()) {
            for peer in &mut peers {
                acknowledge(&mut rig, peer);
            }
            peers.iter_mut().for_each(|peer| read(&mut rig, peer));
        }
        let mut got: Vec<u32> =
            peers.iter().flat_map(|peer| &peer.got).map(|message| message.payload.parse().unwrap()).collect();
        got.sort_unstable();
        prop_assert_eq!(got, (1..=published).collect::<Vec<_>>());
    }
}
