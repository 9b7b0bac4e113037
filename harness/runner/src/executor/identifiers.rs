//! The Packet Identifiers that the executor uses on a host, so that it can choose a free one (MQTT
//! 5.0 §2.2.1).

use std::collections::BTreeSet;

use mqttspec_codec::{Packet, PacketIdentifier, QoS};

#[derive(Clone, Debug, Default)]
pub(crate) struct Identifiers {
    in_use: BTreeSet<PacketIdentifier>,
    last: u16,
}

impl Identifiers {
    /// The next free identifier after the last one used.
    pub(crate) fn free(&self) -> PacketIdentifier {
        let after = (self.last.saturating_add(1)..=u16::MAX).chain(1..=self.last);
        after
            .filter_map(PacketIdentifier::new)
            .find(|id| !self.in_use.contains(id))
            .unwrap_or(PacketIdentifier::MIN)
    }

    /// Notes that the executor sends a packet.
    pub(crate) fn sent(&mut self, packet: &Packet) {
        let begins = match packet {
            Packet::Publish(publish) if publish.delivery.qos() != QoS::AtMostOnce => {
                publish.delivery.packet_identifier()
            }
            Packet::Subscribe(subscribe) => Some(subscribe.id),
            Packet::Unsubscribe(unsubscribe) => Some(unsubscribe.id),
            _ => None,
        };
        if let Some(id) = begins {
            self.last = id.get();
            self.in_use.insert(id);
        }
    }

    /// Notes that the peer sent a packet, which may end an exchange.
    pub(crate) fn received(&mut self, packet: &Packet) {
        match packet {
            Packet::PubAck(ack) => drop(self.in_use.remove(&ack.id)),
            Packet::PubRec(ack) if ack.reason.is_failure() => drop(self.in_use.remove(&ack.id)),
            Packet::PubComp(ack) => drop(self.in_use.remove(&ack.id)),
            Packet::SubAck(ack) => drop(self.in_use.remove(&ack.id)),
            Packet::UnsubAck(ack) => drop(self.in_use.remove(&ack.id)),
            Packet::ConnAck(ack) if !ack.session_present => self.in_use.clear(),
            _ => {}
        }
    }
}
