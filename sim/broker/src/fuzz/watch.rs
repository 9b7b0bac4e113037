//! The rules that a Server's packets on one Network Connection must obey.

use std::collections::{BTreeMap, BTreeSet};

use bytes::BytesMut;
use mqttspec_codec::*;

use super::is_last;

#[derive(Debug)]
pub(super) struct Watch {
    version: Option<Version>,
    receive_maximum: usize,
    maximum_packet_size: Option<usize>,
    alias_maximum: u16,
    problem_information: bool,
    has_method: bool,
    accepted: bool,
    ended: bool,
    aliases: BTreeSet<u16>,
    /// PUBLISH packets to the Client that are not completely acknowledged.
    in_flight: BTreeMap<PacketIdentifier, QoS>,
    /// The number of answers that the Server owes, by type and identifier.
    owed: BTreeMap<(PacketType, PacketIdentifier), usize>,
    pings: usize,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            version: None,
            receive_maximum: usize::from(u16::MAX),
            maximum_packet_size: None,
            alias_maximum: 0,
            problem_information: true,
            has_method: false,
            accepted: false,
            ended: false,
            aliases: BTreeSet::new(),
            in_flight: BTreeMap::new(),
            owed: BTreeMap::new(),
            pings: 0,
        }
    }
}

impl Watch {
    /// The version of an accepted or pending CONNECT.
    pub(super) const fn version(&self) -> Option<Version> {
        self.version
    }

    /// The Client sent a packet.
    pub(super) fn received(&mut self, packet: &Packet) {
        match packet {
            Packet::Connect(connect) if self.version.is_none() => {
                let properties = &connect.properties;
                self.version = Some(connect.version);
                self.receive_maximum = properties
                    .get()
                    .map_or(self.receive_maximum, |ReceiveMaximum(maximum)| maximum.get().into());
                self.maximum_packet_size =
                    properties.get().map(|MaximumPacketSize(size)| size.get() as usize);
                self.alias_maximum = properties.get().map_or(0, |TopicAliasMaximum(maximum)| maximum);
                self.problem_information =
                    properties.get().is_none_or(|RequestProblemInformation(wanted)| wanted);
                self.has_method = properties.contains::<AuthenticationMethod>();
            }
            Packet::Publish(publish) => match publish.delivery {
                Delivery::AtMostOnce => {}
                Delivery::AtLeastOnce { id, .. } => self.owe(PacketType::PubAck, id),
                Delivery::ExactlyOnce { id, .. } => self.owe(PacketType::PubRec, id),
            },
            Packet::PubRec(PubRec { id, reason, .. }) if !reason.is_failure() => {
                self.owe(PacketType::PubRel, *id);
            }
            Packet::PubRec(PubRec { id, .. })
            | Packet::PubAck(PubAck { id, .. })
            | Packet::PubComp(PubComp { id, .. }) => {
                self.in_flight.remove(id);
            }
            Packet::PubRel(PubRel { id, .. }) => self.owe(PacketType::PubComp, *id),
            Packet::Subscribe(Subscribe { id, .. }) => self.owe(PacketType::SubAck, *id),
            Packet::Unsubscribe(Unsubscribe { id, .. }) => self.owe(PacketType::UnsubAck, *id),
            Packet::PingReq => self.pings += 1,
            _ => {}
        }
    }

    fn owe(&mut self, answer: PacketType, id: PacketIdentifier) {
        *self.owed.entry((answer, id)).or_default() += 1;
    }

    fn pay(&mut self, answer: PacketType, id: PacketIdentifier) -> bool {
        let owed = self.owed.entry((answer, id)).or_default();
        let due = *owed > 0;
        *owed = owed.saturating_sub(1);
        due
    }

    /// The Server sent a packet.
    pub(super) fn sent(&mut self, packet: &Packet, version: Version) {
        assert!(!self.ended, "[MQTT-3.14.4-1] behind the last packet: {packet:?}");
        let mut frame = BytesMut::new();
        packet.encode(version, &mut frame).expect("what the broker sends has an encoding");
        let size = self.maximum_packet_size.unwrap_or(usize::MAX);
        assert!(frame.len() <= size, "[MQTT-3.1.2-24] {} bytes: {packet:?}", frame.len());
        self.check_explanations(packet);
        match packet {
            Packet::ConnAck(connack) => {
                assert!(!self.accepted, "[MQTT-3.2.0-2] a second CONNACK");
                assert!(!connack.session_present || !connack.reason.is_failure(), "[MQTT-3.2.2-6]");
                self.accepted = !connack.reason.is_failure();
            }
            Packet::Auth(_) => assert!(self.has_method, "[MQTT-4.12.0-6] AUTH without a method"),
            _ => assert!(self.accepted, "[MQTT-3.2.0-1] before CONNACK: {packet:?}"),
        }
        match packet {
            Packet::Publish(publish) => self.publish(publish),
            Packet::PubAck(PubAck { id, .. }) => {
                assert!(self.pay(PacketType::PubAck, *id), "PUBACK {id} not due");
            }
            Packet::PubRec(PubRec { id, .. }) => {
                assert!(self.pay(PacketType::PubRec, *id), "PUBREC {id} not due");
            }
            Packet::PubComp(PubComp { id, .. }) => {
                assert!(self.pay(PacketType::PubComp, *id), "PUBCOMP {id} not due");
            }
            Packet::SubAck(SubAck { id, .. }) => {
                assert!(self.pay(PacketType::SubAck, *id), "SUBACK {id} not due");
            }
            Packet::UnsubAck(UnsubAck { id, .. }) => {
                assert!(self.pay(PacketType::UnsubAck, *id), "UNSUBACK {id} not due");
            }
            // Re-sent ones have no PUBREC on this Network Connection.
            Packet::PubRel(PubRel { id, reason, .. }) => {
                let due = self.pay(PacketType::PubRel, *id);
                if *reason == PubRelReason::Success && !due {
                    assert!(self.in_flight.insert(*id, QoS::ExactlyOnce).is_none(), "PUBREL {id} not due");
                }
            }
            Packet::PingResp => {
                assert!(self.pings > 0, "PINGRESP not due");
                self.pings -= 1;
            }
            _ => {}
        }
        self.ended = is_last(packet);
    }

    fn publish(&mut self, publish: &Publish) {
        if let Some(id) = publish.delivery.packet_identifier() {
            let before = self.in_flight.insert(id, publish.delivery.qos());
            assert_eq!(before, None, "[MQTT-2.2.1-4] {id} is in flight");
            assert!(self.in_flight.len() <= self.receive_maximum, "[MQTT-3.3.4-9] above Receive Maximum");
        }
        let alias = publish.properties.get().map(|TopicAlias(alias)| alias.get());
        assert!(alias.is_none_or(|alias| alias <= self.alias_maximum), "[MQTT-3.3.2-11] {alias:?}");
        match (&publish.topic, alias) {
            (Some(_), Some(alias)) => {
                self.aliases.insert(alias);
            }
            (None, Some(alias)) => assert!(self.aliases.contains(&alias), "alias {alias} is not set"),
            (None, None) => panic!("neither Topic Name nor Topic Alias"),
            (Some(_), None) => {}
        }
    }

    /// [MQTT-3.1.2-29]
    fn check_explanations(&self, packet: &Packet) {
        fn explained<P: HasProperties>(properties: &Properties<P>) -> bool
        where
            ReasonString: AllowedIn<P>,
            UserProperty: AllowedIn<P>,
        {
            properties.contains::<ReasonString>() || properties.contains::<UserProperty>()
        }
        let explained = match packet {
            Packet::PubAck(packet) => explained(&packet.properties),
            Packet::PubRec(packet) => explained(&packet.properties),
            Packet::PubRel(packet) => explained(&packet.properties),
            Packet::PubComp(packet) => explained(&packet.properties),
            Packet::SubAck(packet) => explained(&packet.properties),
            Packet::UnsubAck(packet) => explained(&packet.properties),
            Packet::Auth(packet) => explained(&packet.properties),
            _ => false,
        };
        assert!(self.problem_information || !explained, "[MQTT-3.1.2-29] {packet:?}");
    }
}
