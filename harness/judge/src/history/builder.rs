//! Builds histories for the tests of the checks.

use core::time::Duration;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use mqttspec_codec::{
    ConnAck, Connect, MaximumPacketSize, Packet, PacketIdentifier, Policy, PubAck, PubComp, PubRec, PubRel,
    Publish, QoS, ReceiveMaximum, Role, SubAck, SubAckReason, Subscribe, Subscription, TopicAliasMaximum,
    TopicFilter, TopicName, Utf8String, Version, decode_from,
};

use super::{Asked, ConnectionKey, Ending, Event, History, HostIndex, HostInfo, Message, Told, What};

/// A history under construction, with one event per millisecond.
#[derive(Clone)]
pub(crate) struct HistoryBuilder {
    history: History,
    version: Version,
    connections: Vec<u32>,
    clean: bool,
    receive_maximum: Option<u16>,
    maximum_packet_size: Option<u32>,
    topic_alias_maximum: Option<u16>,
    waited: Duration,
}

impl HistoryBuilder {
    /// A history of these clients' hosts, recorded by this end of their connections.
    pub(crate) fn of(version: Version, observer: Role, hosts: &[&str]) -> Self {
        let infos = hosts.iter().map(|host| HostInfo { name: Arc::from(*host), observer }).collect();
        Self {
            history: History::new(infos),
            version,
            connections: vec![0; hosts.len()],
            clean: true,
            receive_maximum: None,
            maximum_packet_size: None,
            topic_alias_maximum: None,
            waited: Duration::ZERO,
        }
    }

    /// The next connections resume the Session.
    pub(crate) fn resuming(mut self) -> Self {
        self.clean = false;
        self
    }

    /// The observer of the next connections announces this Receive Maximum.
    pub(crate) fn receive_maximum(mut self, maximum: u16) -> Self {
        self.receive_maximum = Some(maximum);
        self
    }

    /// The observer of the next connections announces this Maximum Packet Size.
    pub(crate) fn maximum_packet_size(mut self, bytes: u32) -> Self {
        self.maximum_packet_size = Some(bytes);
        self
    }

    /// The observer of the next connections announces this Topic Alias Maximum.
    pub(crate) fn topic_alias_maximum(mut self, maximum: u16) -> Self {
        self.topic_alias_maximum = Some(maximum);
        self
    }

    fn key(&self, host: &str) -> ConnectionKey {
        let index = self.history.host(host).expect("a host of the history");
        ConnectionKey { host: index, number: self.connections[usize::from(index.0)] }
    }

    fn push(mut self, host: &str, what: What) -> Self {
        let at = self.waited + Duration::from_millis(self.history.events().len() as u64);
        let connection = Some(self.key(host));
        self.history.push(Event { at, connection, line: 0, what });
        self
    }

    /// Time passes.
    pub(crate) fn waits(mut self, seconds: u64) -> Self {
        self.waited += Duration::from_secs(seconds);
        self
    }

    /// The observer sends a packet.
    pub(crate) fn sent(self, host: &str, packet: impl Into<Packet>) -> Self {
        let (packet, bytes) = self.encoded(packet);
        self.push(host, What::Sent { packet, bytes })
    }

    /// A packet of the peer arrives.
    pub(crate) fn received(self, host: &str, packet: impl Into<Packet>) -> Self {
        let (packet, bytes) = self.encoded(packet);
        self.push(host, What::Received { packet, bytes })
    }

    /// Bytes of the peer arrive that are not a packet, or not one that it may send.
    pub(crate) fn received_malformed(self, host: &str, bytes: &[u8]) -> Self {
        let bytes = Bytes::copy_from_slice(bytes);
        let index = self.history.host(host).expect("a host of the history");
        let peer = self.history.info(index).observer.peer();
        let error = decode_from(Some(peer), &bytes, self.version, Policy::LENIENT).expect_err("no packet");
        self.push(host, What::ReceivedMalformed { error, bytes })
    }

    fn encoded(&self, packet: impl Into<Packet>) -> (Packet, Bytes) {
        let (packet, mut bytes) = (packet.into(), BytesMut::new());
        packet.encode(self.version, &mut bytes).expect("a packet of the version");
        (packet, bytes.freeze())
    }

    /// The observer sends invalid bytes.
    pub(crate) fn raw(self, host: &str) -> Self {
        self.push(host, What::SentRaw { text: "raw 00".to_owned(), bytes: Bytes::from_static(&[0]) })
    }

    /// The observer sends these bytes, which are not a packet.
    pub(crate) fn sent_raw(self, host: &str, bytes: &'static [u8]) -> Self {
        self.push(host, What::SentRaw { text: "raw".to_owned(), bytes: Bytes::from_static(bytes) })
    }

    /// The connection is lost.
    pub(crate) fn lost(self, host: &str) -> Self {
        self.push(host, What::Closed(Ending::Reset))
    }

    pub(crate) fn asked(self, host: &str, asked: Asked) -> Self {
        self.push(host, What::Asked(asked))
    }

    pub(crate) fn told(self, host: &str, told: Told) -> Self {
        self.push(host, What::Told(told))
    }

    /// The observer closes the connection.
    pub(crate) fn closes(self, host: &str) -> Self {
        self.push(host, What::Closed(Ending::ByObserver))
    }

    /// The peer closes the connection.
    pub(crate) fn closed(self, host: &str) -> Self {
        self.push(host, What::Closed(Ending::ByPeer))
    }

    /// A new connection without a packet.
    pub(crate) fn opens(mut self, host: &str) -> Self {
        let index = self.history.host(host).expect("a host of the history");
        self.connections[usize::from(index.0)] += 1;
        let version = self.version;
        self.push(host, What::Opened(version))
    }

    /// A new connection, with CONNECT and CONNACK. `present` is Session Present.
    pub(crate) fn connects(self, host: &str, present: bool) -> Self {
        let index = self.history.host(host).expect("a host of the history");
        let mut connect =
            Connect::new(self.version, Utf8String::try_from(host).expect("a Client Identifier"));
        connect.clean_start = self.clean;
        let mut ack = ConnAck::accepted(present);
        let observer = self.history.info(index).observer;
        if let Some(maximum) = self.receive_maximum {
            let maximum = ReceiveMaximum(maximum.try_into().expect("not 0"));
            match observer {
                Role::Client => connect = connect.with(maximum),
                Role::Server => ack = ack.with(maximum),
            }
        }
        if let Some(bytes) = self.maximum_packet_size {
            let size = MaximumPacketSize(bytes.try_into().expect("not 0"));
            match observer {
                Role::Client => connect = connect.with(size),
                Role::Server => ack = ack.with(size),
            }
        }
        if let Some(maximum) = self.topic_alias_maximum {
            match observer {
                Role::Client => connect = connect.with(TopicAliasMaximum(maximum)),
                Role::Server => ack = ack.with(TopicAliasMaximum(maximum)),
            }
        }
        let opened = self.opens(host);
        match observer {
            Role::Client => opened.sent(host, connect).received(host, ack),
            Role::Server => opened.received(host, connect).sent(host, ack),
        }
    }

    /// SUBSCRIBE and SUBACK.
    pub(crate) fn subscribes(self, host: &str, filter: &str, qos: QoS) -> Self {
        let filter = TopicFilter::try_from(filter).expect("a Topic Filter");
        let subscribe = Subscribe {
            id: id(9999),
            properties: mqttspec_codec::Properties::new(),
            subscriptions: Subscription::new(filter, qos).into(),
        };
        let granted = SubAckReason::try_from(u8::from(qos)).expect("a granted QoS");
        self.sent(host, subscribe).received(host, SubAck::new(id(9999), granted))
    }

    pub(crate) fn build(self) -> History {
        self.history
    }
}

pub(crate) fn id(number: u16) -> PacketIdentifier {
    PacketIdentifier::new(number).expect("not 0")
}

pub(crate) fn publish(qos: QoS, number: u16, payload: &str) -> Publish {
    let topic = TopicName::try_from("t").expect("a Topic Name");
    let publish = Publish::new(topic, Bytes::from(payload.to_owned()));
    match qos {
        QoS::AtMostOnce => publish,
        QoS::AtLeastOnce => publish.at_least_once(id(number)),
        QoS::ExactlyOnce => publish.exactly_once(id(number)),
    }
}

pub(crate) fn again(mut publish: Publish) -> Publish {
    publish.delivery = publish.delivery.with_dup(true);
    publish
}

pub(crate) fn puback(number: u16) -> PubAck {
    PubAck::success(id(number))
}

pub(crate) fn pubrec(number: u16) -> PubRec {
    PubRec::success(id(number))
}

pub(crate) fn pubrel(number: u16) -> PubRel {
    PubRel::success(id(number))
}

pub(crate) fn pubcomp(number: u16) -> PubComp {
    PubComp::success(id(number))
}

pub(crate) fn message(payload: &str, qos: QoS) -> Message {
    Message { topic: "t".to_owned(), payload: Bytes::from(payload.to_owned()), qos, retain: false }
}

/// The report of a message without properties.
pub(crate) fn received(payload: &str, qos: QoS) -> Told {
    Told::Message { message: message(payload, qos), properties: None }
}

#[test]
fn connections_are_numbered_per_host() {
    let history = HistoryBuilder::of(Version::V5, Role::Client, &["a", "b"])
        .connects("b", false)
        .connects("b", false)
        .build();
    let last = history.events().last().and_then(|event| event.connection);
    assert_eq!(last, Some(ConnectionKey { host: HostIndex(1), number: 2 }));
}
