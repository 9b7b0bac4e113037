//! The rules that a client must obey towards Server and application.

use std::collections::{BTreeMap, BTreeSet};

use mqttspec_codec::{
    ConnAck, Delivery, MaximumPacketSize, MaximumQoS, Packet, PacketIdentifier, PubAck, PubComp, PubRec,
    Publish, QoS, ReceiveMaximum, SessionExpiryInterval, SubAck, SubAckReason, TopicAlias, TopicAliasMaximum,
    UnsubAck, UnsubAckReason, Version,
};

use crate::{Event, Handle, Transmit};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    Down,
    Dialling,
    /// Open, with the packets that were sent or accepted so far.
    Open {
        connect_sent: bool,
        accepted: bool,
        disconnect_sent: bool,
    },
}

/// The next packet that a Server owes a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owed {
    PubAck,
    PubRec,
    PubComp,
    SubAck,
    UnsubAck,
}

impl Owed {
    fn is_session_state(self) -> bool {
        matches!(self, Self::PubAck | Self::PubRec | Self::PubComp)
    }
}

#[derive(Debug)]
pub(super) struct Watch {
    version: Version,
    pub(super) link: Link,
    /// Packet Identifiers in use, each with the next packet that the Server owes.
    in_use: BTreeMap<PacketIdentifier, Owed>,
    unacknowledged: BTreeSet<PacketIdentifier>,
    receive_maximum: usize,
    maximum_packet_size: usize,
    maximum_qos: QoS,
    topic_alias_maximum: u16,
    session_present: bool,
    /// Whether the Session ends with the Network Connection.
    passing: bool,
    ended: BTreeSet<Handle>,
}

impl Watch {
    pub(super) fn new(version: Version) -> Self {
        Self {
            version,
            link: Link::Down,
            in_use: BTreeMap::new(),
            unacknowledged: BTreeSet::new(),
            receive_maximum: usize::MAX,
            maximum_packet_size: usize::MAX,
            maximum_qos: QoS::ExactlyOnce,
            topic_alias_maximum: 0,
            session_present: false,
            passing: false,
            ended: BTreeSet::new(),
        }
    }

    pub(super) fn version(&mut self, version: Version) {
        self.version = version;
    }

    /// The driver has opened a Network Connection.
    pub(super) fn opened(&mut self) {
        self.link = Link::Open { connect_sent: false, accepted: false, disconnect_sent: false };
        self.unacknowledged.clear();
        self.receive_maximum = usize::MAX;
        self.maximum_packet_size = usize::MAX;
        self.maximum_qos = QoS::ExactlyOnce;
        self.topic_alias_maximum = 0;
        self.session_present = false;
        self.in_use.retain(|_, owed| owed.is_session_state());
    }

    pub(super) fn closed(&mut self) {
        if matches!(self.link, Link::Open { accepted: true, .. }) && self.passing {
            self.in_use.clear();
        }
        self.link = Link::Down;
    }

    /// A crash: handles of commands that have ended may be used again.
    pub(super) fn crashed(&mut self) {
        self.closed();
        self.ended.clear();
    }

    /// The client has accepted a packet of the Server: from here on its limits apply.
    pub(super) fn server_sends(&mut self, packet: &Packet) {
        if !matches!(self.link, Link::Open { connect_sent: true, .. }) {
            return;
        }
        match packet {
            Packet::ConnAck(connack) => self.accepts(connack),
            Packet::PubAck(puback) => self.settled(puback.id, &[Owed::PubAck]),
            Packet::PubRec(pubrec) if pubrec.reason.is_failure() => {
                self.settled(pubrec.id, &[Owed::PubRec, Owed::PubComp]);
            }
            Packet::PubRec(pubrec) => {
                if let Some(owed @ Owed::PubRec) = self.in_use.get_mut(&pubrec.id) {
                    *owed = Owed::PubComp;
                }
            }
            Packet::PubComp(pubcomp) => self.settled(pubcomp.id, &[Owed::PubComp]),
            Packet::SubAck(suback) => self.settled(suback.id, &[Owed::SubAck]),
            Packet::UnsubAck(unsuback) => self.settled(unsuback.id, &[Owed::UnsubAck]),
            _ => {}
        }
    }

    /// The correct next answer of a Server to the `number`th packet that has no complete answer.
    pub(super) fn answer(&self, number: usize) -> Option<Packet> {
        let (&id, owed) = self.in_use.iter().nth(number.checked_rem(self.in_use.len())?)?;
        Some(match owed {
            Owed::PubAck => PubAck::success(id).into(),
            Owed::PubRec => PubRec::success(id).into(),
            Owed::PubComp => PubComp::success(id).into(),
            Owed::SubAck => SubAck::new(id, [SubAckReason::GrantedQoS2]).into(),
            Owed::UnsubAck if self.version.is_5() => UnsubAck::new(id, [UnsubAckReason::Success]).into(),
            Owed::UnsubAck => UnsubAck::new(id, []).into(),
        })
    }

    pub(super) fn event(&mut self, event: &Event) {
        if let Event::SessionEnded { .. } = event {
            self.in_use.retain(|_, owed| !owed.is_session_state());
        }
        if let Some(handle) = event.ends() {
            assert!(self.ended.insert(handle), "command {handle} ends twice: {event:?}");
        }
    }

    pub(super) fn transmit(&mut self, transmit: &Transmit) {
        match transmit {
            Transmit::Dial { .. } => {
                assert_eq!(self.link, Link::Down, "Dial with a Network Connection");
                self.link = Link::Dialling;
            }
            Transmit::Close => {
                assert_ne!(self.link, Link::Down, "Close without a Network Connection");
                self.closed();
            }
            Transmit::Packet { packet, .. } => self.client_sends(packet),
        }
    }

    fn client_sends(&mut self, packet: &Packet) {
        let Link::Open { connect_sent, accepted, disconnect_sent } = &mut self.link else {
            panic!("{packet:?} without a Network Connection");
        };
        // [MQTT-3.14.4-1]
        assert!(!*disconnect_sent, "{packet:?} behind DISCONNECT");
        // [MQTT-3.1.0-1] [MQTT-3.1.0-2]
        assert_eq!(*connect_sent, !matches!(packet, Packet::Connect(_)), "{packet:?}");
        let before_connack = matches!(packet, Packet::Connect(_) | Packet::Auth(_) | Packet::Disconnect(_));
        assert!(*accepted || before_connack, "{packet:?} before CONNACK");
        *connect_sent = true;
        *disconnect_sent = matches!(packet, Packet::Disconnect(_));
        let length = packet.encoded_len(self.version);
        let length = length.unwrap_or_else(|error| panic!("{packet:?} has no encoding: {error}"));
        // [MQTT-3.2.2-15] acknowledgements cannot be made smaller
        let free = matches!(packet, Packet::Publish(_) | Packet::Subscribe(_) | Packet::Unsubscribe(_));
        assert!(!free || length <= self.maximum_packet_size, "{packet:?} is too large");
        match packet {
            Packet::Connect(connect) => {
                self.passing = match self.version {
                    Version::V5 => {
                        connect.properties.get().is_none_or(|SessionExpiryInterval(seconds)| seconds == 0)
                    }
                    _ => connect.clean_start,
                };
                if connect.clean_start {
                    self.in_use.retain(|_, owed| !owed.is_session_state());
                }
            }
            Packet::Publish(publish) => self.publishes(publish),
            Packet::Subscribe(subscribe) => self.takes(subscribe.id, Owed::SubAck),
            Packet::Unsubscribe(unsubscribe) => self.takes(unsubscribe.id, Owed::UnsubAck),
            _ => {}
        }
    }

    fn publishes(&mut self, publish: &Publish) {
        // [MQTT-3.2.2-11]
        assert!(publish.delivery.qos() <= self.maximum_qos, "{publish:?} is above Maximum QoS");
        // [MQTT-3.2.2-17] [MQTT-3.2.2-18]
        let alias = publish.properties.get().map_or(0, |TopicAlias(alias)| alias.get());
        assert!(alias <= self.topic_alias_maximum, "{publish:?} is above Topic Alias Maximum");
        let (id, dup, owed) = match publish.delivery {
            Delivery::AtMostOnce => return,
            Delivery::AtLeastOnce { id, dup } => (id, dup, Owed::PubAck),
            Delivery::ExactlyOnce { id, dup } => (id, dup, Owed::PubRec),
        };
        if dup {
            // [MQTT-4.4.0-1]; 3.1 has no Session Present
            assert!(self.session_present || self.version == Version::V3_1, "DUP in a new Session");
            // [MQTT-4.3.3-6]
            assert_eq!(self.in_use.get(&id), Some(&owed), "DUP of nothing, or behind PUBREC: {id}");
        } else {
            self.takes(id, owed);
        }
        self.unacknowledged.insert(id);
        // [MQTT-3.3.4-7]
        assert!(self.unacknowledged.len() <= self.receive_maximum, "more than Receive Maximum");
    }

    fn takes(&mut self, id: PacketIdentifier, owed: Owed) {
        // [MQTT-2.2.1-3]
        let other = self.in_use.insert(id, owed);
        assert_eq!(other, None, "{id} is in use");
    }

    fn accepts(&mut self, connack: &ConnAck) {
        let Link::Open { accepted, .. } = &mut self.link else { return };
        if *accepted || connack.reason.is_failure() {
            return;
        }
        *accepted = true;
        if let Some(SessionExpiryInterval(seconds)) = connack.properties.get() {
            self.passing = seconds == 0;
        }
        self.session_present = connack.session_present;
        self.receive_maximum =
            connack.properties.get().map_or(usize::MAX, |ReceiveMaximum(maximum)| maximum.get().into());
        self.maximum_packet_size =
            connack.properties.get().map_or(usize::MAX, |MaximumPacketSize(size)| size.get() as usize);
        self.maximum_qos = connack.properties.get().map_or(QoS::ExactlyOnce, MaximumQoS::qos);
        self.topic_alias_maximum = connack.properties.get().map_or(0, |TopicAliasMaximum(maximum)| maximum);
    }

    fn settled(&mut self, id: PacketIdentifier, owed: &[Owed]) {
        if self.in_use.get(&id).is_some_and(|due| owed.contains(due)) {
            self.in_use.remove(&id);
            self.unacknowledged.remove(&id);
        }
    }
}
