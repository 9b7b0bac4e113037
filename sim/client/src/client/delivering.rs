//! Deliveries with end-to-end acknowledgement, on both sides: the sender's outbox and the
//! receiver's acknowledgement.

use std::time::Duration;

use mqttspec_codec::{QoS, TopicFilter, TopicName, Utf8String};

use super::{Client, Link};
use crate::command::{Delivered, Handle, Publication};
use crate::envelope;
use crate::error::{Awaited, Error};
use crate::event::{Event, Message};
use crate::options::Acknowledgement;
use crate::outbox::{DeliveryState, OutboxEntry};
use crate::store;

/// The end of a publication that belongs to a delivery.
#[derive(Debug)]
pub(super) struct AttemptEnd {
    pub(super) attempt: Handle,
    /// `None` if the Server has received it.
    pub(super) error: Option<Error>,
}

impl Client {
    pub(super) fn deliver(&mut self, now: Duration, handle: Handle, publication: Publication) {
        if let Err(invalid) = publication.check(self.version()) {
            return self.fail(handle, Error::Invalid(invalid));
        }
        let qos = publication.qos.unwrap_or(self.options.default_qos);
        let delivery = OutboxEntry {
            handle,
            id: self.delivery_id(now),
            checksum: envelope::checksum(&publication.topic, &publication.payload),
            publication,
            qos,
            state: DeliveryState::Pending,
            created_at: now,
            updated_at: now,
            retries: 0,
            attempt: None,
            retry_at: None,
        };
        self.outbox.insert(delivery, now, self.options.delivery_sweep);
        self.put_delivery(handle);
        self.advance_deliveries(now);
    }

    /// Publishes the waiting deliveries, once acknowledgements can be received.
    pub(super) fn advance_deliveries(&mut self, now: Duration) {
        if !matches!(self.link, Link::Up(_)) {
            return;
        }
        for handle in self.outbox.to_publish() {
            let Some(filter) = self.acknowledgement_filter() else { return };
            // As for requests: the subscription must exist before a fast acknowledgement.
            if !self.ensure_subscribed(now, &filter) {
                return;
            }
            let Some(delivery) = self.outbox.get(handle) else { continue };
            let message = envelope::wrap(self.version(), &delivery.envelope(), delivery.publication.clone());
            let attempt = self.new_handle();
            self.outbox.attempt(handle, attempt);
            self.put_delivery(handle);
            self.accept_publication(now, attempt, message);
        }
    }

    /// Processes the ends of publications that belong to deliveries.
    pub(super) fn settle_attempts(&mut self, now: Duration) {
        for AttemptEnd { attempt, error } in std::mem::take(&mut self.attempts_over) {
            let retry = self.options.delivery_retry;
            let Some(handle) = self.outbox.attempt_over(attempt, error.is_none(), now, retry) else {
                continue;
            };
            self.put_delivery(handle);
            // If the standard or the Server does not allow the message, another attempt would not
            // help.
            if let Some(error @ (Error::Invalid(_) | Error::NotSupported(_))) = error {
                self.delivery_failed(handle, error);
            }
        }
    }

    pub(super) fn expire_deliveries(&mut self, now: Duration) {
        let sweep = (self.options.delivery_sweep, self.options.delivery_time_to_live);
        for handle in self.outbox.sweep(now, sweep.0, sweep.1) {
            let Some(delivery) = self.outbox.over(handle, DeliveryState::Expired) else { continue };
            self.stop_attempt(delivery.attempt);
            self.delete(store::delivery_key(handle));
            self.fail(handle, Error::Expired);
        }
        while let Some(handle) = self.outbox.next_overdue(now) {
            if self.outbox.retry(handle, self.options.delivery_retries, now) {
                self.put_delivery(handle);
            } else {
                self.delivery_failed(handle, Error::TimedOut(Awaited::DeliveryAcknowledgement));
            }
        }
        self.advance_deliveries(now);
    }

    /// Processes an end-to-end acknowledgement. Returns the message if it is not one.
    pub(super) fn take_acknowledgement(&mut self, message: Message) -> Option<Message> {
        let id = message.topic.as_str().strip_prefix(self.options.delivery_acknowledgements.as_str());
        let Some(delivery) = id.and_then(|id| self.outbox.acknowledged(id)) else { return Some(message) };
        self.stop_attempt(delivery.attempt);
        self.delete(store::delivery_key(delivery.handle));
        let OutboxEntry { handle, id, retries, .. } = delivery;
        self.events.push_back(Event::Delivered { handle, id, retries });
        None
    }

    /// The receiver's part: removes the envelope. Returns the message if the application must get
    /// it.
    pub(super) fn take_delivery(&mut self, now: Duration, mut message: Message) -> Option<Message> {
        if !self.options.acknowledge_deliveries {
            return Some(message);
        }
        let Some(envelope) = envelope::unwrap(&mut message) else { return Some(message) };
        if envelope::checksum(&message.topic, &message.payload) != envelope.checksum {
            // No end-to-end acknowledgement, so that the sender tries again.
            self.statistics.deliveries_damaged += 1;
            return None;
        }
        let new = self.remember_delivery(&envelope.id);
        if !new {
            self.statistics.duplicates_received += 1;
            self.acknowledge_delivery(now, &envelope.id);
            return None;
        }
        match message.delivered {
            Some(delivered) if self.options.acknowledgement == Acknowledgement::Manual => {
                self.deliveries_held.insert(delivered, envelope.id);
            }
            _ => self.acknowledge_delivery(now, &envelope.id),
        }
        Some(message)
    }

    /// The application has acknowledged a message. If it was a delivery, acknowledges it to the
    /// sender.
    pub(super) fn acknowledge_held_delivery(&mut self, now: Duration, delivered: Delivered, success: bool) {
        let Some(id) = self.deliveries_held.remove(&delivered) else { return };
        if success {
            self.acknowledge_delivery(now, &id);
        } else if self.deliveries_seen.forget(&id) {
            self.delete(store::seen_key(&id));
        }
    }

    /// After a restart: publishes again what the crash has lost, such as QoS 0 publications.
    pub(super) fn restore_attempts(&mut self) {
        for (handle, attempt) in self.outbox.attempts() {
            let alive = self.queue.get(attempt).is_some() || self.session.outbound.has(attempt);
            if !alive {
                self.outbox.attempt_lost(handle);
                self.put_delivery(handle);
            }
        }
    }

    pub(super) fn fail_pending_deliveries(&mut self, error: &Error) {
        for handle in self.outbox.to_publish() {
            self.delivery_failed(handle, error.clone());
        }
    }

    pub(super) fn acknowledgement_filter(&self) -> Option<TopicFilter> {
        TopicFilter::try_from(format!("{}+", self.options.delivery_acknowledgements.as_str())).ok()
    }

    /// Removes a publication that has not been sent yet.
    fn stop_attempt(&mut self, attempt: Option<Handle>) {
        if let Some(attempt) = attempt.filter(|&attempt| self.forget_waiting(attempt)) {
            self.outbox.forget_attempt(attempt);
        }
    }

    fn delivery_failed(&mut self, handle: Handle, error: Error) {
        if self.outbox.over(handle, DeliveryState::Failed).is_some() {
            self.delete(store::delivery_key(handle));
            self.fail(handle, error);
        }
    }

    fn acknowledge_delivery(&mut self, now: Duration, id: &str) {
        let topic = TopicName::try_from(format!("{}{id}", self.options.delivery_acknowledgements.as_str()));
        // An id that is not valid in a Topic Name cannot be acknowledged.
        let Ok(topic) = topic else { return };
        let handle = self.new_handle();
        self.silent_publications.insert(handle);
        self.accept_publication(now, handle, Publication::new(topic, "").qos(QoS::AtLeastOnce));
    }

    /// Returns false if the delivery was received before.
    fn remember_delivery(&mut self, id: &str) -> bool {
        let Some(remembered) = self.deliveries_seen.remember(id) else { return false };
        self.put(store::seen_key(id), remembered.number.to_be_bytes().to_vec());
        if let Some(forgotten) = remembered.forgotten {
            self.delete(store::seen_key(&forgotten));
        }
        true
    }

    pub(super) fn put_delivery(&mut self, handle: Handle) {
        let Some(value) = self.outbox.get(handle).and_then(store::delivery_value) else { return };
        self.put(store::delivery_key(handle), value);
    }

    /// Unique among deliveries, as long as the store is kept or time advances.
    fn delivery_id(&mut self, now: Duration) -> String {
        let number = self.next_delivery;
        self.next_delivery += 1;
        self.put(store::next_delivery_key(), self.next_delivery.to_be_bytes().to_vec());
        let name: String = Utf8String::as_str(self.client_id())
            .chars()
            .map(|c| if c.is_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' })
            .collect();
        format!("{name}-{number}-{:x}", now.as_millis())
    }
}
