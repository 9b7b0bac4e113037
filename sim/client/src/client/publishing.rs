//! Messages to the Server: from the command through the queue to the last acknowledgement (§3.3,
//! §4.3, §4.9).

use std::time::Duration;

use mqttspec_codec::{
    Delivery, MessageExpiryInterval, Packet, PacketIdentifier, PubAck, PubAckReason, PubComp, PubRec, PubRel,
    PubRelReason, Publish, QoS, ReasonString, TopicAlias,
};

use super::delivering::AttemptEnd;
use super::{Client, Link};
use crate::alias::{ALIAS_COST, Spelling};
use crate::command::{Handle, Publication};
use crate::error::{Error, Unsupported, Violation};
use crate::event::Event;
use crate::options::QueuePolicy;
use crate::queue::Waiting;
use crate::session::{Outcome, Phase, Resend};
use crate::store::{self, PublicationRecord};

impl Client {
    pub(super) fn publish(&mut self, now: Duration, handle: Handle, publication: Publication) {
        if let Err(invalid) = publication.check(self.version()) {
            return self.fail(handle, Error::Invalid(invalid));
        }
        self.accept_publication(now, handle, publication);
    }

    /// Accepts a valid publication of the application or of the client itself.
    pub(super) fn accept_publication(&mut self, now: Duration, handle: Handle, publication: Publication) {
        let qos = publication.qos.unwrap_or(self.options.default_qos);
        if let Some(lacking) = self.unsupported(&publication, qos) {
            return self.fail(handle, Error::NotSupported(lacking));
        }
        if qos == QoS::AtMostOnce && !self.options.queue_qos0 && !matches!(self.link, Link::Up(_)) {
            return self.drop_message(handle);
        }
        self.queue.insert(handle, Waiting { publication, qos, accepted_at: now });
        self.pump(now);
        if self.queue.get(handle).is_some() {
            self.keep_waiting(handle);
        }
    }

    /// Sends as many messages as the send quota allows: first those to re-send, then those that
    /// wait, in order.
    pub(super) fn pump(&mut self, now: Duration) {
        if !matches!(self.link, Link::Up(_)) {
            return;
        }
        while let Some(resend) = self.session.outbound.next_resend() {
            self.resend(now, resend);
        }
        loop {
            let blocked = !self.session.outbound.may_begin();
            let Some((handle, _)) = self.queue.first(blocked) else { break };
            if !self.send_waiting(now, handle) {
                break;
            }
        }
    }

    /// Fails messages whose Message Expiry Interval has passed while they waited.
    pub(super) fn expire_waiting(&mut self, now: Duration) {
        while let Some(handle) = self.queue.next_expired(now) {
            self.forget_waiting(handle);
            self.statistics.messages_dropped += 1;
            self.fail(handle, Error::Expired);
        }
    }

    pub(super) fn receive_puback(&mut self, now: Duration, puback: &PubAck) -> Result<(), Violation> {
        let outcome = self.session.outbound.puback(puback.id, &mut self.session.identifiers)?;
        let explanation = puback.properties.get().map(|ReasonString(text)| text.as_str().to_owned());
        self.acknowledged(now, outcome, puback.reason, explanation);
        Ok(())
    }

    pub(super) fn receive_pubrec(&mut self, now: Duration, pubrec: &PubRec) -> Result<(), Violation> {
        let outcome =
            self.session.outbound.pubrec(pubrec.id, pubrec.reason, &mut self.session.identifiers)?;
        let reason = match outcome {
            Outcome::Done(_) => {
                let explanation = pubrec.properties.get().map(|ReasonString(text)| text.as_str().to_owned());
                self.acknowledged(now, outcome, pubrec.reason, explanation);
                return Ok(());
            }
            Outcome::Release => {
                self.put_exchange(pubrec.id);
                PubRelReason::Success
            }
            Outcome::Unknown if pubrec.reason.is_failure() => {
                self.statistics.acknowledgements_unknown += 1;
                return Ok(());
            }
            // §3.6.2.1: the Server may still have the identifier, so it must be released.
            Outcome::Unknown => {
                self.statistics.acknowledgements_unknown += 1;
                PubRelReason::PacketIdentifierNotFound
            }
        };
        self.send_pubrel(now, pubrec.id, reason);
        Ok(())
    }

    pub(super) fn receive_pubcomp(&mut self, now: Duration, pubcomp: &PubComp) -> Result<(), Violation> {
        // §3.7.2.1: "Packet Identifier not found" is not an error during recovery: the exchange is
        // complete for the Server.
        let outcome = self.session.outbound.pubcomp(pubcomp.id, &mut self.session.identifiers)?;
        self.acknowledged(now, outcome, PubAckReason::Success, None);
        Ok(())
    }

    /// The exchange is complete: reports that to the application and removes the message.
    pub(super) fn published(&mut self, handle: Handle, publication: Publication, reason: PubAckReason) {
        self.delete(store::publication_key(handle));
        self.report_published(handle, publication, reason);
    }

    fn report_published(&mut self, handle: Handle, publication: Publication, reason: PubAckReason) {
        self.statistics.messages_published += 1;
        if self.silent_publications.remove(&handle) || self.requests.contains(handle) {
            return;
        }
        if self.outbox.is_attempt(handle) {
            return self.attempts_over.push(AttemptEnd { attempt: handle, error: None });
        }
        self.events.push_back(Event::Published { handle, publication, reason });
    }

    pub(super) fn put_publication(&mut self, handle: Handle, record: &PublicationRecord) {
        if !self.omits_changes
            && let Some(value) = store::publication_value(record)
        {
            self.put(store::publication_key(handle), value);
        }
    }

    /// Whether the packet is within the Server's Maximum Packet Size.
    pub(super) fn fits(&self, packet: &Packet) -> bool {
        let Link::Up(connection) = &self.link else { return true };
        // [MQTT-3.2.2-15]
        packet.encoded_len(self.version()).is_ok_and(|length| length <= connection.limits.maximum_packet_size)
    }

    fn acknowledged(
        &mut self,
        now: Duration,
        outcome: Outcome,
        reason: PubAckReason,
        explanation: Option<String>,
    ) {
        match outcome {
            Outcome::Done(exchange) if exchange.phase == Phase::Abandoned => {
                self.delete(store::publication_key(exchange.handle));
            }
            Outcome::Done(exchange) if reason.is_failure() => {
                self.delete(store::publication_key(exchange.handle));
                self.fail(exchange.handle, Error::PublishRefused { reason, explanation });
            }
            Outcome::Done(exchange) => self.published(exchange.handle, exchange.publication, reason),
            Outcome::Release | Outcome::Unknown => self.statistics.acknowledgements_unknown += 1,
        }
        self.use_free_identifiers(now);
    }

    fn resend(&mut self, now: Duration, resend: Resend) {
        match resend {
            // [MQTT-4.3.3-6] [MQTT-4.4.0-1]
            Resend::PubRel(identifier) => self.send_pubrel(now, identifier, PubRelReason::Success),
            Resend::Publish(identifier) => {
                let Some(exchange) = self.session.outbound.get(identifier) else { return };
                let (handle, qos, publication) =
                    (exchange.handle, exchange.qos, exchange.publication.clone());
                // The new connection may allow less than the old one.
                if let Some(lacking) = self.unsupported(&publication, qos) {
                    self.session.outbound.abandon(identifier);
                    self.put_exchange(identifier);
                    return self.fail(handle, Error::NotSupported(lacking));
                }
                // [MQTT-3.3.1-1] [MQTT-4.3.3-7]
                self.statistics.messages_resent += 1;
                self.send_publish(now, publication, delivery(qos, identifier, true));
            }
        }
    }

    fn send_pubrel(&mut self, now: Duration, identifier: PacketIdentifier, reason: PubRelReason) {
        // [MQTT-2.2.1-5] [MQTT-4.3.3-4]
        let reason = if self.version().is_5() { reason } else { PubRelReason::Success };
        self.send(now, PubRel::new(identifier, reason).into());
    }

    /// Sends a waiting message. Returns false if it must continue to wait.
    fn send_waiting(&mut self, now: Duration, handle: Handle) -> bool {
        let Some(waiting) = self.queue.remove(handle) else { return true };
        if let Some(lacking) = self.unsupported(&waiting.publication, waiting.qos) {
            self.delete(store::publication_key(handle));
            self.statistics.messages_dropped += 1;
            self.fail(handle, Error::NotSupported(lacking));
            return true;
        }
        if waiting.qos == QoS::AtMostOnce {
            // [MQTT-4.3.1-1]
            let publication = waiting.publication;
            self.send_publish(now, aged(publication.clone(), now, waiting.accepted_at), Delivery::AtMostOnce);
            self.statistics.messages_sent += 1;
            self.report_published(handle, publication, PubAckReason::Success);
            return true;
        }
        let Some(identifier) = self.session.identifiers.allocate() else {
            self.queue.insert(handle, waiting);
            return false;
        };
        // [MQTT-4.3.2-2] [MQTT-4.3.3-2]
        let publication = aged(waiting.publication, now, waiting.accepted_at);
        let packet = delivery(waiting.qos, identifier, false);
        self.session.outbound.begin(
            identifier,
            handle,
            Waiting { publication: publication.clone(), ..waiting },
        );
        self.put_exchange(identifier);
        self.send_publish(now, publication, packet);
        self.statistics.messages_sent += 1;
        true
    }

    fn send_publish(&mut self, now: Duration, publication: Publication, delivery: Delivery) {
        self.message_passed(now);
        let plain = Publish {
            topic: Some(publication.topic),
            delivery,
            retain: publication.retain,
            properties: publication.properties,
            payload: publication.payload,
        };
        let packet = self.with_alias(plain);
        self.send(now, packet.into());
    }

    fn with_alias(&mut self, mut packet: Publish) -> Publish {
        let version = self.version();
        let Link::Up(connection) = &mut self.link else { return packet };
        let Some(topic) = packet.topic.clone() else { return packet };
        // An alias beside the topic makes the packet larger; it must not become too large.
        let length = Packet::from(packet.clone()).encoded_len(version).unwrap_or(usize::MAX);
        if length.saturating_add(ALIAS_COST) > connection.limits.maximum_packet_size {
            return packet;
        }
        match connection.outbound_aliases.spell(&topic) {
            Spelling::Full => {}
            Spelling::Both(alias) => {
                packet.properties.set(TopicAlias(alias));
                self.statistics.alias_bytes_saved -= ALIAS_COST as i64;
            }
            Spelling::Alias(alias) => {
                packet.properties.set(TopicAlias(alias));
                packet.topic = None;
                self.statistics.alias_bytes_saved += topic.as_bytes().len() as i64 - ALIAS_COST as i64;
            }
        }
        packet
    }

    /// A feature that the message needs and the Server lacks. `None` if the client is not
    /// connected.
    fn unsupported(&self, publication: &Publication, qos: QoS) -> Option<Unsupported> {
        let Link::Up(connection) = &self.link else { return None };
        let limits = &connection.limits;
        // [MQTT-3.2.2-11]
        if qos > limits.maximum_qos {
            return Some(Unsupported::QoS(qos));
        }
        // [MQTT-3.2.2-14]
        if publication.retain && !limits.retain {
            return Some(Unsupported::Retain);
        }
        let packet = Packet::from(Publish {
            topic: Some(publication.topic.clone()),
            delivery: delivery(qos, PacketIdentifier::MIN, false),
            retain: publication.retain,
            properties: publication.properties.clone(),
            payload: publication.payload.clone(),
        });
        // [MQTT-3.2.2-15]
        let length = packet.encoded_len(self.version()).unwrap_or(usize::MAX);
        (length > limits.maximum_packet_size.min(LARGEST_PACKET)).then_some(Unsupported::PacketSize(length))
    }

    /// Keeps a message that could not be sent at once in the queue, if there is room.
    fn keep_waiting(&mut self, handle: Handle) {
        if self.queue.len() > self.options.publish_queue_size {
            match self.options.queue_policy {
                QueuePolicy::Refuse => {
                    self.queue.remove(handle);
                    self.statistics.messages_dropped += 1;
                    return self.fail(handle, Error::QueueFull);
                }
                QueuePolicy::DropNewest => {
                    self.queue.remove(handle);
                    return self.drop_message(handle);
                }
                QueuePolicy::DropOldest => {
                    if let Some(oldest) = self.queue.first(false).map(|(oldest, _)| oldest) {
                        self.forget_waiting(oldest);
                        self.drop_message(oldest);
                    }
                }
            }
        }
        let record = self.queue.get(handle).filter(|waiting| waiting.qos != QoS::AtMostOnce).map(|waiting| {
            PublicationRecord {
                publication: waiting.publication.clone(),
                qos: waiting.qos,
                accepted_at: waiting.accepted_at,
                exchange: None,
            }
        });
        if let Some(record) = record {
            self.put_publication(handle, &record);
        }
    }

    fn drop_message(&mut self, handle: Handle) {
        self.statistics.messages_dropped += 1;
        if self.silent_publications.remove(&handle) {
            return;
        }
        if self.outbox.is_attempt(handle) {
            return self.attempts_over.push(AttemptEnd { attempt: handle, error: Some(Error::QueueFull) });
        }
        self.requests.remove(handle);
        self.events.push_back(Event::Dropped { handle });
    }

    /// Removes a waiting message. Returns whether there was one.
    pub(super) fn forget_waiting(&mut self, handle: Handle) -> bool {
        let Some(waiting) = self.queue.remove(handle) else { return false };
        if waiting.qos != QoS::AtMostOnce {
            self.delete(store::publication_key(handle));
        }
        true
    }

    fn put_exchange(&mut self, identifier: PacketIdentifier) {
        if self.omits_changes {
            return;
        }
        let Some(exchange) = self.session.outbound.get(identifier) else { return };
        let record = PublicationRecord {
            publication: exchange.publication.clone(),
            qos: exchange.qos,
            accepted_at: exchange.accepted_at,
            exchange: Some((identifier, exchange.phase)),
        };
        self.put_publication(exchange.handle, &record);
    }
}

/// First byte, four bytes of Remaining Length, 268,435,455 bytes (§2.1.4).
const LARGEST_PACKET: usize = 268_435_455 + 5;

fn delivery(qos: QoS, id: PacketIdentifier, dup: bool) -> Delivery {
    match qos {
        QoS::AtMostOnce => Delivery::AtMostOnce,
        QoS::AtLeastOnce => Delivery::AtLeastOnce { id, dup },
        QoS::ExactlyOnce => Delivery::ExactlyOnce { id, dup },
    }
}

/// The message with its Message Expiry Interval reduced by the whole seconds that it has waited
/// here.
fn aged(mut publication: Publication, now: Duration, accepted_at: Duration) -> Publication {
    if let Some(MessageExpiryInterval(seconds)) = publication.properties.get() {
        let waited = u32::try_from(now.saturating_sub(accepted_at).as_secs()).unwrap_or(u32::MAX);
        if waited > 0 {
            publication.properties.set(MessageExpiryInterval(seconds.saturating_sub(waited)));
        }
    }
    publication
}
