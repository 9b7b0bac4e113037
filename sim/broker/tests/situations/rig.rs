//! A broker with its driver, and access to each Network Connection.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::BytesMut;
use mqttspec_broker::{Broker, ConnectionId, Event, Options, Transmit};
use mqttspec_codec::*;

pub(crate) const V3_1: Version = Version::V3_1;
pub(crate) const V3_1_1: Version = Version::V3_1_1;
pub(crate) const V5: Version = Version::V5;

pub(crate) struct Rig {
    pub(crate) broker: Broker,
    pub(crate) now: Duration,
    options: Options,
    inboxes: BTreeMap<ConnectionId, VecDeque<Packet>>,
    /// The versions to encode the packets in the inboxes in.
    versions: BTreeMap<ConnectionId, Version>,
    decoders: BTreeMap<ConnectionId, Decoder>,
    closed: BTreeSet<ConnectionId>,
    pub(crate) records: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) events: Vec<Event>,
}

/// A Network Connection as its Client sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Client(pub(crate) ConnectionId);

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with("")
    }

    /// With options, as `name=value` separated by spaces.
    pub(crate) fn with(options: &str) -> Self {
        Self::with_options(
            options.split_whitespace().map(|option| option.split_once('=').expect("name=value")),
        )
    }

    pub(crate) fn with_options<'a>(settings: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut options = Options::default();
        for (name, value) in settings {
            options.set(name, value).unwrap();
        }
        Self {
            broker: Broker::new(options.clone(), 7),
            now: Duration::from_secs(1_000_000),
            options,
            inboxes: BTreeMap::new(),
            versions: BTreeMap::new(),
            decoders: BTreeMap::new(),
            closed: BTreeSet::new(),
            records: BTreeMap::new(),
            events: Vec::new(),
        }
    }

    /// What a driver does after each input.
    pub(crate) fn drive(&mut self) {
        for change in self.broker.take_changes() {
            change.apply(&mut self.records);
        }
        while let Some(transmit) = self.broker.poll_transmit() {
            match transmit {
                Transmit::Packet { connection, packet, version } => {
                    assert!(!self.closed.contains(&connection), "a packet behind the close: {packet:?}");
                    packet
                        .encode(version, &mut BytesMut::new())
                        .unwrap_or_else(|fault| panic!("{packet:?}: {fault}"));
                    self.versions.insert(connection, version);
                    self.inboxes.entry(connection).or_default().push_back(packet);
                }
                Transmit::Close { connection } => assert!(self.closed.insert(connection), "closed twice"),
            }
        }
        while let Some(event) = self.broker.poll_event() {
            self.events.push(event);
        }
    }

    pub(crate) fn open(&mut self) -> Client {
        let id = self.broker.handle_opened(self.now);
        self.drive();
        Client(id)
    }

    pub(crate) fn send(&mut self, client: Client, packet: impl Into<Packet>) {
        self.broker.handle_packet(self.now, client.0, packet.into());
        self.drive();
    }

    /// What a driver does with bytes from the Client.
    pub(crate) fn write(&mut self, client: Client, bytes: &[u8]) {
        let mut buffer = BytesMut::from(bytes);
        loop {
            let decoder = self.decoders.entry(client.0).or_insert_with(|| {
                let mut decoder = Decoder::new(Role::Server);
                decoder.set_maximum_packet_size(self.options.decoder_limit());
                decoder
            });
            if let Some(version) = self.versions.get(&client.0) {
                decoder.set_version(*version);
            }
            match decoder.decode(&mut buffer) {
                Ok(Some(packet)) => self.send(client, packet),
                Ok(None) => return assert!(buffer.is_empty(), "a part of a packet: {buffer:02X?}"),
                Err(fault) => {
                    self.broker.handle_malformed(self.now, client.0, &fault);
                    return self.drive();
                }
            }
        }
    }

    /// Removes and returns the packets for the Client, as bytes.
    pub(crate) fn read(&mut self, client: Client) -> Vec<u8> {
        let version = self.versions.get(&client.0).copied().unwrap_or(V5);
        let mut bytes = BytesMut::new();
        for packet in self.all(client) {
            packet.encode(version, &mut bytes).unwrap();
        }
        bytes.to_vec()
    }

    /// Removes and returns the next packet for the Client.
    pub(crate) fn receive(&mut self, client: Client) -> Packet {
        self.inboxes.get_mut(&client.0).and_then(VecDeque::pop_front).expect("a packet for the Client")
    }

    pub(crate) fn all(&mut self, client: Client) -> Vec<Packet> {
        self.inboxes.get_mut(&client.0).map(|inbox| inbox.drain(..).collect()).unwrap_or_default()
    }

    /// There are no packets for the Client, which a PINGREQ at the end proves.
    pub(crate) fn nothing(&mut self, client: Client) {
        self.send(client, Packet::PingReq);
        assert_eq!(self.all(client), [Packet::PingResp]);
    }

    pub(crate) fn receive_publish(&mut self, client: Client) -> Publish {
        match self.receive(client) {
            Packet::Publish(publish) => publish,
            other => panic!("PUBLISH expected, got {other:?}"),
        }
    }

    /// Removes this packet, which must be among those for the Client.
    pub(crate) fn take(&mut self, client: Client, packet: impl Into<Packet>) {
        let packet = packet.into();
        let inbox = self.inboxes.entry(client.0).or_default();
        let at = inbox.iter().position(|other| *other == packet);
        inbox.remove(at.unwrap_or_else(|| panic!("{packet:?} expected among {inbox:?}")));
    }

    /// Removes all packets for the Client, which must be PUBLISH, and returns their payloads.
    pub(crate) fn payloads(&mut self, client: Client) -> Vec<String> {
        let packets = self.all(client);
        packets
            .into_iter()
            .map(|packet| match packet {
                Packet::Publish(publish) => String::from_utf8(publish.payload.to_vec()).unwrap(),
                other => panic!("PUBLISH expected, got {other:?}"),
            })
            .collect()
    }

    pub(crate) fn is_closed(&self, client: Client) -> bool {
        self.closed.contains(&client.0)
    }

    /// The Server sent DISCONNECT with this Reason Code and closed.
    pub(crate) fn disconnected(&mut self, client: Client, reason: DisconnectReason) -> Disconnect {
        let Packet::Disconnect(disconnect) = self.receive(client) else { panic!("DISCONNECT expected") };
        assert_eq!(disconnect.reason, reason);
        self.closed_in_silence(client);
        disconnect
    }

    pub(crate) fn closed_in_silence(&mut self, client: Client) {
        assert_eq!(self.all(client), []);
        assert!(self.is_closed(client), "the Network Connection is still open");
    }

    /// Opens a Network Connection and connects.
    pub(crate) fn connect(&mut self, connect: impl Into<Packet>) -> Client {
        self.try_connect(connect).0
    }

    pub(crate) fn try_connect(&mut self, connect: impl Into<Packet>) -> (Client, ConnAck) {
        let (client, connack) = self.answer_to(connect);
        assert_eq!(connack.reason, ConnectReason::Success);
        (client, connack)
    }

    pub(crate) fn answer_to(&mut self, connect: impl Into<Packet>) -> (Client, ConnAck) {
        let client = self.open();
        self.send(client, connect);
        match self.receive(client) {
            Packet::ConnAck(connack) => (client, connack),
            other => panic!("CONNACK expected, got {other:?}"),
        }
    }

    /// The Network Connection breaks.
    pub(crate) fn cut(&mut self, client: Client) {
        self.broker.handle_closed(self.now, client.0);
        self.drive();
        self.closed.insert(client.0);
    }

    pub(crate) fn disconnect(&mut self, client: Client) {
        self.send(client, Disconnect::normal());
        self.closed_in_silence(client);
    }

    /// Lets time pass, and calls every timer at its deadline.
    pub(crate) fn pass(&mut self, seconds: f64) {
        let until = self.now + Duration::from_secs_f64(seconds);
        while let Some(at) = self.broker.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            let before = self.broker.effort();
            self.broker.handle_timeout(self.now);
            self.drive();
            let is_future = self.broker.poll_timeout().is_none_or(|next| next > self.now);
            assert!(is_future || self.broker.effort() > before, "a timer that does not move on");
        }
        self.now = until;
    }

    /// The broker crashes, and another one starts with the durable records.
    pub(crate) fn restart(&mut self) {
        for id in self.inboxes.keys() {
            self.closed.insert(*id);
        }
        let records = self.records.clone();
        self.broker = Broker::restore(self.options.clone(), 8, self.now, records).unwrap();
        self.inboxes.clear();
        self.closed.clear();
        self.drive();
    }

    /// [`restart`](Self::restart) with another value of an option.
    pub(crate) fn restart_with(&mut self, name: &str, value: &str) {
        self.options.set(name, value).unwrap();
        self.restart();
    }

    pub(crate) fn subscribe(&mut self, client: Client, filter: &str, qos: QoS) {
        self.subscribe_with(client, Subscription::new(TopicFilter::try_from(filter).unwrap(), qos));
    }

    pub(crate) fn subscribe_with(&mut self, client: Client, subscription: Subscription) {
        self.send(client, Subscribe::new(id(1), subscription));
        match self.receive(client) {
            Packet::SubAck(suback) => assert!(!suback.reasons.first().is_failure(), "{suback:?}"),
            other => panic!("SUBACK expected, got {other:?}"),
        }
    }

    /// Publishes a message, with the complete handshake for QoS 1 and 2.
    pub(crate) fn publish(&mut self, client: Client, publish: Publish) {
        let delivery = publish.delivery;
        self.send(client, publish);
        match delivery {
            Delivery::AtMostOnce => {}
            Delivery::AtLeastOnce { id, .. } => {
                self.take(client, PubAck::success(id));
            }
            Delivery::ExactlyOnce { id, .. } => {
                self.take(client, PubRec::success(id));
                self.send(client, PubRel::success(id));
                self.take(client, PubComp::success(id));
            }
        }
    }
}

pub(crate) fn id(number: u16) -> PacketIdentifier {
    PacketIdentifier::new(number).unwrap()
}

/// A 5.0 CONNECT with Clean Start 1 and Session Expiry Interval 0.
pub(crate) fn v5(client_id: &'static str) -> Connect {
    Connect { keep_alive: 0, ..Connect::new(V5, Utf8String::from_static(client_id)) }
}

/// A 5.0 CONNECT with Clean Start 0 and a Session Expiry Interval in seconds.
pub(crate) fn lasting(client_id: &'static str, expiry: u32) -> Connect {
    Connect { clean_start: false, ..v5(client_id) }.with(SessionExpiryInterval(expiry))
}

/// A 3.1.1 CONNECT with this Clean Session.
pub(crate) fn v311(client_id: &'static str, clean_session: bool) -> Connect {
    let connect = Connect::new(V3_1_1, Utf8String::from_static(client_id));
    Connect { clean_start: clean_session, keep_alive: 0, ..connect }
}

pub(crate) fn publish(topic: &str, payload: &str) -> Publish {
    Publish::new(TopicName::try_from(topic).unwrap(), payload.to_owned())
}

pub(crate) fn qos_1(number: u16, topic: &str, payload: &str) -> Publish {
    publish(topic, payload).at_least_once(id(number))
}

pub(crate) fn qos_2(number: u16, topic: &str, payload: &str) -> Publish {
    publish(topic, payload).exactly_once(id(number))
}

pub(crate) fn filter(filter: &str, qos: QoS) -> Subscription {
    Subscription::new(TopicFilter::try_from(filter).unwrap(), qos)
}

pub(crate) fn will(topic: &'static str, payload: &'static str) -> Will {
    Will {
        topic: TopicName::from_static(topic),
        payload: BinaryData::from_static(payload.as_bytes()),
        qos: QoS::AtMostOnce,
        retain: false,
        properties: Properties::new(),
    }
}

pub(crate) const Q0: QoS = QoS::AtMostOnce;
pub(crate) const Q1: QoS = QoS::AtLeastOnce;
pub(crate) const Q2: QoS = QoS::ExactlyOnce;
