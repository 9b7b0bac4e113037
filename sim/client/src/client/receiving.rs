//! Messages from the Server (§3.3.4, §4.3, §4.5): de-duplication, acknowledgement, Topic Alias,
//! Receive Maximum.

use std::time::Duration;

use mqttspec_codec::{
    Delivery, Packet, PacketType, PubAck, PubAckReason, PubComp, PubRec, PubRel, PubRelReason, Publish, QoS,
    ReasonString, SubscriptionIdentifier, TopicAlias, TopicName, UserProperty,
};

use super::{Client, Link};
use crate::command::{Delivered, Handle};
use crate::error::{Error, Invalid, Violation};
use crate::event::{Event, Message};
use crate::options::Acknowledgement;
use crate::session::Arrival;
use crate::store;

impl Client {
    pub(super) fn receive_publish(&mut self, now: Duration, mut publish: Publish) -> Result<(), Violation> {
        let Link::Up(connection) = &mut self.link else { return Ok(()) };
        let alias = publish.properties.get().map(|TopicAlias(alias)| alias);
        let topic = connection.inbound_aliases.resolve(publish.topic.take(), alias)?;
        if alias.is_some() {
            publish.properties.remove::<TopicAlias>();
        }
        // §3.3.4
        let known = &self.session.subscription_identifiers;
        if publish.properties.get_all().any(|identifier: SubscriptionIdentifier| !known.contains(&identifier))
        {
            return Err(Violation::SubscriptionIdentifierUnknown);
        }
        // [MQTT-3.3.4-1] [MQTT-4.5.0-2]
        let arrival = match publish.delivery {
            Delivery::AtMostOnce => None,
            Delivery::AtLeastOnce { id, .. } => Some((id, self.session.inbound.at_least_once(id)?)),
            Delivery::ExactlyOnce { id, .. } => Some((id, self.session.inbound.exactly_once(id)?)),
        };
        match arrival {
            None => {
                self.hand_over(now, topic, None, publish);
            }
            Some((_, Arrival::New(delivered))) => {
                let reported = self.hand_over(now, topic, Some(delivered), publish);
                if !reported || self.options.acknowledgement == Acknowledgement::Automatic {
                    self.decide(delivered, PubAckReason::Success);
                }
            }
            // [MQTT-4.3.3-8] [MQTT-4.3.3-10]
            Some((id, Arrival::Duplicate)) => {
                self.statistics.duplicates_received += 1;
                self.send(now, PubRec::success(id).into());
            }
            Some((_, Arrival::Held)) => self.statistics.duplicates_received += 1,
        }
        self.send_due(now);
        Ok(())
    }

    pub(super) fn receive_pubrel(&mut self, now: Duration, pubrel: &PubRel) {
        let known = self.session.inbound.pubrel(pubrel.id);
        if known {
            self.delete(store::received_key(pubrel.id));
        }
        // [MQTT-4.3.3-11] §3.7.2.1: even if the identifier is unknown, which is not an error during
        // recovery
        let reason = if known || !self.version().is_5() {
            PubRelReason::Success
        } else {
            self.statistics.acknowledgements_unknown += 1;
            PubRelReason::PacketIdentifierNotFound
        };
        self.send(now, PubComp::new(pubrel.id, reason).into());
    }

    pub(super) fn acknowledge(
        &mut self,
        now: Duration,
        handle: Handle,
        message: Delivered,
        reason: PubAckReason,
    ) {
        // [MQTT-3.4.2-1] [MQTT-3.5.2-1]
        if !reason.client_may_send() || (reason.is_failure() && !self.version().is_5()) {
            return self.fail(handle, Error::Invalid(Invalid::NeedsVersion5));
        }
        if !self.decide(message, reason) {
            return self.fail(handle, Error::Invalid(Invalid::NothingToAcknowledge));
        }
        self.events.push_back(Event::Acknowledged { handle });
        self.acknowledge_held_delivery(now, message, reason);
        self.send_due(now);
    }

    /// §3.1.2.11.7: where the Server may send explanations if Request Problem Information was 0.
    pub(super) fn check_problem_information(&self, packet: &Packet) -> Result<(), Violation> {
        if self.options.request_problem_information || !self.version().is_5() {
            return Ok(());
        }
        macro_rules! explains {
            ($packet:expr) => {
                $packet.properties.contains::<ReasonString>() || $packet.properties.contains::<UserProperty>()
            };
        }
        let explains = match packet {
            Packet::PubAck(packet) => explains!(packet),
            Packet::PubRec(packet) => explains!(packet),
            Packet::PubRel(packet) => explains!(packet),
            Packet::PubComp(packet) => explains!(packet),
            Packet::SubAck(packet) => explains!(packet),
            Packet::UnsubAck(packet) => explains!(packet),
            Packet::Auth(packet) => explains!(packet),
            _ => false,
        };
        let packet_type: PacketType = packet.packet_type();
        if explains { Err(Violation::ProblemInformationUnasked(packet_type)) } else { Ok(()) }
    }

    /// Passes a message to the application. Returns false if it was for the client itself.
    fn hand_over(
        &mut self,
        now: Duration,
        topic: TopicName,
        delivered: Option<Delivered>,
        publish: Publish,
    ) -> bool {
        self.statistics.messages_received += 1;
        self.message_passed(now);
        let message = Message {
            delivered,
            topic,
            payload: publish.payload,
            qos: publish.delivery.qos(),
            dup: publish.delivery.dup(),
            retain: publish.retain,
            properties: publish.properties,
            delivery: None,
        };
        let Some(message) = self.take_response(message) else { return true };
        let message =
            self.take_acknowledgement(now, message).and_then(|message| self.take_delivery(now, message));
        let Some(message) = message else { return false };
        self.events.push_back(Event::Message(message));
        true
    }

    /// Records the decision on a message. Returns false if the message does not wait for one.
    fn decide(&mut self, delivered: Delivered, reason: PubAckReason) -> bool {
        match self.session.inbound.decide(delivered, reason) {
            None => false,
            Some(remember) => {
                if let Some(identifier) = remember {
                    self.put(store::received_key(identifier), Vec::new());
                }
                true
            }
        }
    }

    fn send_due(&mut self, now: Duration) {
        if !matches!(self.link, Link::Up(_)) {
            return;
        }
        while let Some(due) = self.session.inbound.next_due() {
            // [MQTT-2.2.1-5] [MQTT-4.3.2-4] [MQTT-4.3.3-8]
            let packet = match due.qos {
                QoS::ExactlyOnce => PubRec::new(due.identifier, due.reason).into(),
                _ => PubAck::new(due.identifier, due.reason).into(),
            };
            self.send(now, packet);
        }
    }
}
