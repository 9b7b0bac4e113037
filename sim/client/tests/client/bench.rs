//! A client whose Server is the test: it passes inputs and checks outputs.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use mqttspec_client::{Client, Command, Event, Handle, Options, Publication, SubscribeRequest, Transmit};
use mqttspec_codec::{
    ConnAck, Delivery, Packet, PacketIdentifier, PubAck, PubComp, PubRec, Publish, QoS, Subscription,
    TopicFilter, TopicName, Utf8String, Version,
};

pub(crate) struct Bench {
    pub(crate) client: Client,
    pub(crate) now: Duration,
    pub(crate) store: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) events: VecDeque<Event>,
    pub(crate) transmits: VecDeque<Transmit>,
}

impl Bench {
    pub(crate) fn new(options: Options) -> Self {
        Self {
            client: Client::new(options, 7),
            now: Duration::ZERO,
            store: BTreeMap::new(),
            events: VecDeque::new(),
            transmits: VecDeque::new(),
        }
    }

    /// Connected with the given CONNACK.
    pub(crate) fn connected_with(options: Options, connack: ConnAck) -> Self {
        let mut bench = Self::new(options);
        bench.command(Command::Connect(None));
        bench.accept(connack);
        bench.quiet();
        bench
    }

    pub(crate) fn connected(version: Version) -> Self {
        Self::connected_with(options(version), ConnAck::accepted(false))
    }

    pub(crate) fn command(&mut self, command: Command) -> Handle {
        let handle = self.client.handle_command(self.now, command);
        self.drive();
        handle
    }

    pub(crate) fn packet(&mut self, packet: impl Into<Packet>) {
        self.client.handle_packet(self.now, packet.into());
        self.drive();
    }

    pub(crate) fn closed(&mut self) {
        self.client.handle_closed(self.now);
        self.drive();
    }

    pub(crate) fn network_up(&mut self) {
        self.client.handle_opened(self.now);
        self.drive();
    }

    pub(crate) fn network_fails(&mut self) {
        self.client.handle_dial_failed(self.now, mqttspec_client::Unreachable::ConnectionRefused);
        self.drive();
    }

    /// Lets time pass until the next deadline. Returns the duration.
    pub(crate) fn run_to_deadline(&mut self) -> Duration {
        let at = self.client.poll_timeout().expect("nothing to wait for");
        let waited = at.saturating_sub(self.now);
        self.now = self.now.max(at);
        self.client.handle_timeout(self.now);
        self.drive();
        waited
    }

    /// Lets time pass, and calls every deadline on the way.
    pub(crate) fn wait(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(at) = self.client.poll_timeout().filter(|&at| at <= end) {
            self.now = self.now.max(at);
            self.client.handle_timeout(self.now);
            self.drive();
        }
        self.now = end;
        self.client.handle_timeout(end);
        self.drive();
    }

    /// Opens the Network Connection that was requested, and accepts CONNECT. Returns the CONNECT.
    pub(crate) fn accept(&mut self, connack: ConnAck) -> Packet {
        assert!(matches!(self.transmits.pop_front(), Some(Transmit::Dial { .. })), "no Dial");
        self.network_up();
        let connect = self.sent();
        assert!(matches!(connect, Packet::Connect(_)), "{connect:?}");
        self.packet(connack);
        connect
    }

    /// Resets the connection. The client waits and reconnects.
    pub(crate) fn reconnect(&mut self, connack: ConnAck) -> Packet {
        self.closed();
        self.transmits.clear();
        self.run_to_deadline();
        self.accept(connack)
    }

    /// The process crashes and is restored from the store.
    pub(crate) fn crash(&mut self) {
        let options = self.client.options().clone();
        self.client = Client::restore(options, 8, self.now, self.store.clone());
        self.transmits.clear();
        self.events.clear();
        self.drive();
    }

    /// The next transmit, which must be a packet.
    pub(crate) fn sent(&mut self) -> Packet {
        match self.transmits.pop_front() {
            Some(Transmit::Packet { packet, .. }) => packet,
            other => panic!("a packet was expected, not {other:?}"),
        }
    }

    pub(crate) fn sent_publish(&mut self) -> Publish {
        match self.sent() {
            Packet::Publish(publish) => publish,
            other => panic!("PUBLISH was expected, not {other:?}"),
        }
    }

    pub(crate) fn event(&mut self) -> Event {
        self.events.pop_front().expect("an event was expected")
    }

    pub(crate) fn silent(&self) {
        assert_eq!(self.transmits, [], "silence was expected");
    }

    pub(crate) fn quiet(&mut self) {
        self.events.clear();
        self.transmits.clear();
    }

    pub(crate) fn publish(&mut self, topic: &'static str, payload: &'static str, qos: QoS) -> Handle {
        self.command(Command::Publish(Publication::new(TopicName::from_static(topic), payload).qos(qos)))
    }

    pub(crate) fn subscribe(&mut self, filter: &'static str, qos: QoS) -> Handle {
        self.command(Command::Subscribe(SubscribeRequest {
            subscriptions: vec![Subscription::new(TopicFilter::from_static(filter), qos)],
            properties: Default::default(),
        }))
    }

    /// The payloads of all messages that the application has received.
    /// The last packet that was sent; the ones before it are skipped.
    pub(crate) fn last_sent(&mut self) -> Option<Packet> {
        std::mem::take(&mut self.transmits).into_iter().rev().find_map(|transmit| match transmit {
            Transmit::Packet { packet, .. } => Some(packet),
            _ => None,
        })
    }

    pub(crate) fn received(&mut self) -> Vec<String> {
        let events = std::mem::take(&mut self.events);
        events
            .into_iter()
            .filter_map(|event| match event {
                Event::Message(message) => Some(String::from_utf8(message.payload.to_vec()).unwrap()),
                _ => None,
            })
            .collect()
    }

    /// The handles of all publications that have ended with success.
    pub(crate) fn published(&mut self) -> Vec<Handle> {
        let events = std::mem::take(&mut self.events);
        events
            .into_iter()
            .filter_map(|event| match event {
                Event::Published { handle, .. } => Some(handle),
                _ => None,
            })
            .collect()
    }

    fn drive(&mut self) {
        while let Some(event) = self.client.poll_event() {
            self.events.push_back(event);
        }
        for change in self.client.take_changes() {
            change.apply(&mut self.store);
        }
        while let Some(transmit) = self.client.poll_transmit() {
            self.transmits.push_back(transmit);
        }
    }
}

pub(crate) fn options(version: Version) -> Options {
    Options { version, client_id: Utf8String::from_static("device"), ..Options::default() }
}

pub(crate) fn id(value: u16) -> PacketIdentifier {
    PacketIdentifier::new(value).unwrap()
}

pub(crate) fn incoming(topic: &'static str, payload: &'static str, delivery: Delivery) -> Publish {
    Publish { delivery, ..Publish::new(TopicName::from_static(topic), payload) }
}

pub(crate) fn puback(value: u16) -> PubAck {
    PubAck::success(id(value))
}

pub(crate) fn pubrec(value: u16) -> PubRec {
    PubRec::success(id(value))
}

pub(crate) fn pubcomp(value: u16) -> PubComp {
    PubComp::success(id(value))
}

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
