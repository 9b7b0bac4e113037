//! A Server that is small enough to be obviously correct: one Session that never ends, QoS 1 and
//! QoS 2 in both directions.
//!
//! It publishes on command and records what it receives. It is a second implementation of §4.3 and
//! §4.4, independent of the reference broker on purpose.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU16;

use mqttspec_codec::{
    ConnAck, Delivery, Packet, PacketIdentifier, PubAck, PubComp, PubRec, PubRel, Publish, QoS,
    ReceiveMaximum, TopicName,
};

#[derive(Debug, Default)]
pub(crate) struct Server {
    /// Payloads in the order in which the Server took ownership.
    pub(crate) taken: Vec<(QoS, String)>,
    session: bool,
    received: BTreeSet<PacketIdentifier>,
    backlog: VecDeque<(QoS, String)>,
    in_flight: BTreeMap<u64, (PacketIdentifier, QoS, String, Phase)>,
    sequence: u64,
    next: u16,
    connected: bool,
    pub(crate) out: VecDeque<Packet>,
    /// 0 if it has none.
    receive_maximum: u16,
    unacknowledged: BTreeSet<PacketIdentifier>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    Published,
    Released,
}

/// The largest number of messages from the Server in flight.
const IN_FLIGHT_MAX: usize = 3;

impl Server {
    pub(crate) fn new(receive_maximum: u16) -> Self {
        Self { receive_maximum, ..Self::default() }
    }

    /// Another application publishes a message for the client.
    pub(crate) fn publish(&mut self, qos: QoS, payload: String) {
        self.backlog.push_back((qos, payload));
        self.pump();
    }

    pub(crate) fn connection_lost(&mut self) {
        self.connected = false;
        self.out.clear();
    }

    pub(crate) fn is_done(&self) -> bool {
        self.backlog.is_empty() && self.in_flight.is_empty() && self.received.is_empty()
    }

    pub(crate) fn receive(&mut self, packet: Packet) {
        match packet {
            Packet::Connect(connect) => {
                assert!(!self.connected, "a second CONNECT");
                if connect.clean_start {
                    self.session = false;
                    self.received.clear();
                    self.in_flight.clear();
                }
                let mut connack = ConnAck::accepted(self.session);
                if let Some(maximum) =
                    NonZeroU16::new(self.receive_maximum).filter(|_| connect.version.is_5())
                {
                    connack = connack.with(ReceiveMaximum(maximum));
                }
                self.out.push_back(connack.into());
                self.session = true;
                self.connected = true;
                self.unacknowledged.clear();
                self.resume();
                self.pump();
            }
            Packet::Publish(publish) => self.receive_publish(&publish),
            Packet::PubRel(pubrel) => {
                self.received.remove(&pubrel.id);
                self.unacknowledged.remove(&pubrel.id);
                self.out.push_back(PubComp::success(pubrel.id).into());
            }
            Packet::PubAck(puback) => self.settle(puback.id, QoS::AtLeastOnce, Phase::Published),
            Packet::PubRec(pubrec) => {
                if let Some((_, _, _, phase)) = self.in_flight.values_mut().find(|(id, ..)| *id == pubrec.id)
                {
                    *phase = Phase::Released;
                }
                self.out.push_back(PubRel::success(pubrec.id).into());
            }
            Packet::PubComp(pubcomp) => self.settle(pubcomp.id, QoS::ExactlyOnce, Phase::Released),
            Packet::PingReq => self.out.push_back(Packet::PingResp),
            other => panic!("the client sent {other:?}"),
        }
    }

    fn receive_publish(&mut self, publish: &Publish) {
        let payload = String::from_utf8(publish.payload.to_vec()).unwrap();
        if let Some(id) = publish.delivery.packet_identifier() {
            self.unacknowledged.insert(id);
            if self.receive_maximum != 0 {
                assert!(
                    self.unacknowledged.len() <= usize::from(self.receive_maximum),
                    "above Receive Maximum"
                );
            }
        }
        match publish.delivery {
            Delivery::AtMostOnce => self.taken.push((QoS::AtMostOnce, payload)),
            Delivery::AtLeastOnce { id, .. } => {
                self.taken.push((QoS::AtLeastOnce, payload));
                self.unacknowledged.remove(&id);
                self.out.push_back(PubAck::success(id).into());
            }
            Delivery::ExactlyOnce { id, dup } => {
                if self.received.insert(id) {
                    self.taken.push((QoS::ExactlyOnce, payload));
                } else {
                    assert!(dup, "{id} used for another message before PUBREL");
                }
                self.out.push_back(PubRec::success(id).into());
            }
        }
    }

    fn settle(&mut self, id: PacketIdentifier, qos: QoS, phase: Phase) {
        self.in_flight.retain(|_, entry| !(entry.0 == id && entry.1 == qos && entry.3 == phase));
        self.pump();
    }

    fn resume(&mut self) {
        let owed: Vec<_> = self.in_flight.values().cloned().collect();
        for (id, qos, payload, phase) in owed {
            match phase {
                Phase::Released => self.out.push_back(PubRel::success(id).into()),
                Phase::Published => self.send(id, qos, &payload, true),
            }
        }
    }

    fn pump(&mut self) {
        while self.connected && self.in_flight.len() < IN_FLIGHT_MAX {
            let Some((qos, payload)) = self.backlog.pop_front() else { return };
            self.next = self.next % 7 + 1;
            while self.in_flight.values().any(|(id, ..)| id.get() == self.next) {
                self.next = self.next % 7 + 1;
            }
            let id = PacketIdentifier::new(self.next).unwrap();
            self.sequence += 1;
            self.in_flight.insert(self.sequence, (id, qos, payload.clone(), Phase::Published));
            self.send(id, qos, &payload, false);
        }
    }

    fn send(&mut self, id: PacketIdentifier, qos: QoS, payload: &str, dup: bool) {
        let delivery = match qos {
            QoS::ExactlyOnce => Delivery::ExactlyOnce { id, dup },
            _ => Delivery::AtLeastOnce { id, dup },
        };
        let publish =
            Publish { delivery, ..Publish::new(TopicName::from_static("down"), payload.to_owned()) };
        self.out.push_back(publish.into());
    }
}
