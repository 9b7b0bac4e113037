//! Deliveries with end-to-end acknowledgement, on both sides: the sender's outbox and the
//! receiver's acknowledgement.

use std::time::Duration;

use mqttspec_codec::{PubAckReason, QoS, TopicFilter, Utf8String};

use super::{Client, Link};
use crate::command::{DeliverRequest, Delivered, Handle, Publication};
use crate::envelope::{self, Envelope, Receipt};
use crate::error::{Awaited, Error};
use crate::event::{Event, Message};
use crate::options::Acknowledgement;
use crate::outbox::{DeliveryState, EndedDelivery, OutboxEntry};
use crate::store;

/// The end of a publication that belongs to a delivery.
#[derive(Debug)]
pub(super) struct AttemptEnd {
    pub(super) attempt: Handle,
    /// `None` if the Server has received it.
    pub(super) error: Option<Error>,
}

impl Client {
    pub(super) fn deliver(&mut self, now: Duration, handle: Handle, request: DeliverRequest) {
        let DeliverRequest { publication, time_to_live, retries } = request;
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
            expires_at: now.saturating_add(time_to_live.unwrap_or(self.options.delivery_time_to_live)),
            retries: 0,
            retries_max: retries.unwrap_or(self.options.delivery_retries),
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
            let envelope = delivery.envelope(self.options.delivery_acknowledgements.as_str());
            let message = envelope::wrap(self.version(), &envelope, delivery.publication.clone());
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
                self.delivery_failed(now, handle, error);
            }
        }
    }

    pub(super) fn expire_deliveries(&mut self, now: Duration) {
        for handle in self.outbox.sweep(now, self.options.delivery_sweep) {
            if self.end_delivery(now, handle, DeliveryState::Expired, None).is_some() {
                self.fail(handle, Error::Expired);
            }
        }
        while let Some(handle) = self.outbox.next_overdue(now) {
            if self.outbox.retry(handle, now) {
                self.put_delivery(handle);
            } else {
                self.delivery_failed(now, handle, Error::TimedOut(Awaited::DeliveryAcknowledgement));
            }
        }
        self.advance_deliveries(now);
    }

    /// Processes an end-to-end acknowledgement. Returns the message if it is for the application.
    pub(super) fn take_acknowledgement(&mut self, now: Duration, message: Message) -> Option<Message> {
        let prefix = self.options.delivery_acknowledgements.as_str();
        let Some(id) = message.topic.as_str().strip_prefix(prefix) else { return Some(message) };
        let Some(handle) = self.outbox.find(id) else { return self.unknown_acknowledgement(message) };
        // A message that is no acknowledgement does not end the delivery.
        let Some(receipt) = Receipt::of_payload(&message.payload) else {
            return self.unknown_acknowledgement(message);
        };
        let refusal = receipt.refusal();
        let state = if refusal.is_none() { DeliveryState::Acknowledged } else { DeliveryState::Failed };
        let OutboxEntry { handle, id, retries, .. } =
            self.end_delivery(now, handle, state, receipt.by.clone())?;
        let Receipt { by, at, .. } = receipt;
        match refusal {
            Some(reason) => self.fail(handle, Error::DeliveryRefused { by, reason }),
            None => {
                let at = at.map(Duration::from_millis);
                self.events.push_back(Event::Delivered { handle, id, retries, by, at });
            }
        }
        None
    }

    /// The acknowledgement of another sender's delivery, or of one that has ended. The application
    /// gets it only if it has subscribed to it itself.
    fn unknown_acknowledgement(&mut self, message: Message) -> Option<Message> {
        let own = self.acknowledgement_filter();
        if own.is_some_and(|own| self.is_for_client_only(&message.topic, &own)) {
            self.statistics.delivery_acknowledgements_unknown += 1;
            return None;
        }
        Some(message)
    }

    /// Ends a delivery: it is counted and goes into the history.
    fn end_delivery(
        &mut self,
        now: Duration,
        handle: Handle,
        state: DeliveryState,
        by: Option<String>,
    ) -> Option<OutboxEntry> {
        let entry = self.outbox.over(handle, state)?;
        self.stop_attempt(entry.attempt);
        self.delete(store::delivery_key(handle));
        self.put(store::totals_key(), store::totals_value(self.outbox.totals()));
        if self.options.delivery_history > 0 {
            let ended = EndedDelivery {
                handle,
                id: entry.id.clone(),
                topic: entry.publication.topic.clone(),
                state,
                created_at: entry.created_at,
                ended_at: now,
                retries: entry.retries,
                by,
            };
            let value = store::ended_value(&ended);
            let (number, forgotten) = self.outbox.remember(ended, self.options.delivery_history);
            self.put(store::ended_key(number), value);
            for number in forgotten {
                self.delete(store::ended_key(number));
            }
        }
        Some(entry)
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
        if !self.remember_delivery(&envelope.id) {
            self.statistics.duplicates_received += 1;
            let is_held = self.deliveries_held.values().any(|held| held.id == envelope.id);
            if !is_held {
                self.acknowledge_delivery(now, &envelope, PubAckReason::Success);
            }
            return None;
        }
        message.delivery = Some(envelope.clone().into_details());
        match message.delivered {
            Some(delivered) if self.options.acknowledgement == Acknowledgement::Manual => {
                self.deliveries_held.insert(delivered, envelope);
            }
            _ => self.acknowledge_delivery(now, &envelope, PubAckReason::Success),
        }
        Some(message)
    }

    /// The application has acknowledged or refused a message. If it was a delivery, the sender gets
    /// the same answer. A delivery that is refused and published again is passed to the application
    /// again.
    pub(super) fn acknowledge_held_delivery(
        &mut self,
        now: Duration,
        delivered: Delivered,
        reason: PubAckReason,
    ) {
        let Some(envelope) = self.deliveries_held.remove(&delivered) else { return };
        self.acknowledge_delivery(now, &envelope, reason);
        if reason.is_failure() && self.deliveries_seen.forget(&envelope.id) {
            self.delete(store::seen_key(&envelope.id));
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

    pub(super) fn fail_pending_deliveries(&mut self, now: Duration, error: &Error) {
        for handle in self.outbox.to_publish() {
            self.delivery_failed(now, handle, error.clone());
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

    fn delivery_failed(&mut self, now: Duration, handle: Handle, error: Error) {
        if self.end_delivery(now, handle, DeliveryState::Failed, None).is_some() {
            self.fail(handle, error);
        }
    }

    fn acknowledge_delivery(&mut self, now: Duration, envelope: &Envelope, reason: PubAckReason) {
        // An id that is not valid in a Topic Name cannot be acknowledged.
        let Some(topic) = envelope.acknowledgement(self.options.delivery_acknowledgements.as_str()) else {
            return;
        };
        let receipt = Receipt {
            id: envelope.id.clone(),
            by: Some(self.client_id().as_str().to_owned()),
            at: u64::try_from(now.as_millis()).ok(),
            reason: reason.into(),
        };
        let handle = self.new_handle();
        self.silent_publications.insert(handle);
        let publication = Publication::new(topic, receipt.to_payload()).qos(QoS::AtLeastOnce);
        self.accept_publication(now, handle, publication);
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
