//! Session State and retained messages as records, for a store that outlives the broker (§4.1,
//! §4.1.1).
//!
//! The broker has no store: it returns what changed ([`Change`]), and
//! [`Broker::restore`](crate::Broker::restore) reads the records back. There are records for
//! Sessions that outlive their Network Connection with all that §4.1 lists, for Wills of every
//! Session, and for retained messages. A message that waits for several Sessions is one record with
//! a reference count.
//!
//! The records of a Session with much content are removed in several batches. Its own record goes
//! first, and a mark takes its place until the last one is removed: a broker that is restored
//! meanwhile goes on with it. A message that is given to Sessions in parts has a record with the
//! last Session that has got it. Releases that do not know these two kinds refuse a store that has
//! such a record.

mod format;
mod restore;

use std::collections::BTreeMap;

use mqttspec_codec::{PacketIdentifier, TopicFilter, TopicName, Utf8String};
use mqttspec_core::Change;

use crate::message::{Delivery, Message, MessageId};
use crate::outbound::{Order, Stage};
use crate::parts::Sizes;
use crate::session::{Session, SessionKey, Subscription};
use format::Key;
pub use restore::RestoreError;

/// The changes since the last batch: the last one of each record.
#[derive(Debug)]
pub(crate) struct Records {
    enabled: bool,
    pending: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// The number of records that refer to the record of a message.
    references: BTreeMap<MessageId, u32>,
}

impl Records {
    pub(crate) const fn new(enabled: bool) -> Self {
        Self { enabled, pending: BTreeMap::new(), references: BTreeMap::new() }
    }

    pub(crate) fn count(&self) -> usize {
        self.pending.len()
    }

    pub(crate) fn take(&mut self) -> Vec<Change> {
        let pending = std::mem::take(&mut self.pending);
        let change = |(key, value)| match value {
            Some(value) => Change::Put { key, value },
            None => Change::Delete { key },
        };
        pending.into_iter().map(change).collect()
    }

    /// The Session has a new Network Connection: from now on it is recorded if it outlives the
    /// connection.
    pub(crate) fn put_whole_session(&mut self, key: SessionKey, session: &mut Session, sizes: Sizes) {
        if session.recorded && !session.is_durable() && session.content_count() <= sizes.content {
            self.delete_contents(key, session);
            session.recorded = false;
        }
        // A Session that was not recorded has just been created and has no content. One with much
        // content stays recorded. It ends with its Network Connection, or at a restart.
        session.recorded |= session.is_durable();
        self.put_session(key, session);
    }

    /// A Session that ends with its Network Connection has a record only for its Will Message,
    /// which a restart must not lose.
    pub(crate) fn put_session(&mut self, key: SessionKey, session: &Session) {
        if session.recorded || session.will.is_some() {
            self.put(Key::Session(key), || format::session(session));
        } else {
            self.delete(Key::Session(key));
        }
    }

    /// The Session has ended. The records of its content are removed one by one.
    pub(crate) fn delete_session(&mut self, key: SessionKey) {
        self.delete(Key::Session(key));
    }

    /// A Session has ended, and the records of its content are not removed at once.
    pub(crate) fn put_ended(&mut self, key: SessionKey, client_id: &Utf8String) {
        self.put(Key::Ended(key), || format::ended(client_id));
    }

    /// All records of the Session are removed.
    pub(crate) fn delete_ended(&mut self, key: SessionKey) {
        self.delete(Key::Ended(key));
    }

    pub(crate) fn put_subscription(
        &mut self,
        key: SessionKey,
        recorded: bool,
        filter: &TopicFilter,
        subscription: &Subscription,
    ) {
        if recorded {
            self.put(Key::Subscription(key, filter), || format::subscription(subscription));
        }
    }

    pub(crate) fn delete_subscription(&mut self, key: SessionKey, recorded: bool, filter: &TopicFilter) {
        if recorded {
            self.delete(Key::Subscription(key, filter));
        }
    }

    /// A QoS 2 message was accepted whose PUBREL is expected.
    pub(crate) fn put_received(&mut self, key: SessionKey, recorded: bool, identifier: PacketIdentifier) {
        if recorded {
            self.put(Key::Received(key, identifier), format::received);
        }
    }

    pub(crate) fn delete_received(&mut self, key: SessionKey, recorded: bool, identifier: PacketIdentifier) {
        if recorded {
            self.delete(Key::Received(key, identifier));
        }
    }

    /// A message waits for the Session.
    pub(crate) fn add_delivery(
        &mut self,
        key: SessionKey,
        recorded: bool,
        order: Order,
        delivery: &Delivery,
    ) {
        if !recorded || !self.enabled {
            return;
        }
        self.hold_message(&delivery.message);
        self.put(Key::Delivery(key, order), || format::waiting(delivery));
    }

    /// PUBLISH is being sent.
    pub(crate) fn begin_delivery(
        &mut self,
        key: SessionKey,
        recorded: bool,
        order: Order,
        identifier: PacketIdentifier,
        delivery: &Delivery,
    ) {
        if recorded {
            self.put(Key::Delivery(key, order), || format::begun(identifier, delivery));
        }
    }

    /// PUBREC was received: only the identifier is still needed.
    pub(crate) fn put_released(
        &mut self,
        key: SessionKey,
        recorded: bool,
        order: Order,
        identifier: PacketIdentifier,
    ) {
        if recorded {
            self.put(Key::Delivery(key, order), || format::released(identifier));
        }
    }

    /// The delivery is complete, or continues with another order. `message` is what its record
    /// referred to.
    pub(crate) fn delete_delivery(
        &mut self,
        key: SessionKey,
        recorded: bool,
        order: Order,
        message: Option<&Message>,
    ) {
        if !recorded || !self.enabled {
            return;
        }
        self.delete(Key::Delivery(key, order));
        if let Some(message) = message {
            self.release_message(message.id);
        }
    }

    /// The message is given to Sessions in parts.
    pub(crate) fn put_routing(&mut self, message: &Message) {
        if self.enabled {
            self.hold_message(message);
            self.move_routing(message, None);
        }
    }

    /// The Sessions up to this one have the message.
    pub(crate) fn move_routing(&mut self, message: &Message, after: Option<SessionKey>) {
        self.put(Key::Routing(message.id), || format::routing(after));
    }

    pub(crate) fn delete_routing(&mut self, message: &Message) {
        if self.enabled {
            self.delete(Key::Routing(message.id));
            self.release_message(message.id);
        }
    }

    /// The message is given to Shared Subscriptions in parts.
    pub(crate) fn put_distribution(&mut self, message: &Message) {
        if self.enabled {
            self.hold_message(message);
            self.move_distribution(message, None);
        }
    }

    /// The Shared Subscriptions up to this one have the message.
    pub(crate) fn move_distribution(&mut self, message: &Message, after: Option<&TopicFilter>) {
        self.put(Key::Distribution(message.id), || format::distribution(after));
    }

    pub(crate) fn delete_distribution(&mut self, message: &Message) {
        if self.enabled {
            self.delete(Key::Distribution(message.id));
            self.release_message(message.id);
        }
    }

    pub(crate) fn put_retained(&mut self, message: &Message) {
        self.put(Key::Retained(&message.topic), || format::message(message));
    }

    pub(crate) fn delete_retained(&mut self, topic: &TopicName) {
        self.delete(Key::Retained(topic));
    }

    /// A restored record refers to the record of this message.
    fn count_reference(&mut self, id: MessageId) {
        *self.references.entry(id).or_default() += 1;
    }

    fn delete_contents(&mut self, key: SessionKey, session: &Session) {
        for filter in session.subscriptions.keys() {
            self.delete_subscription(key, true, filter);
        }
        for identifier in &session.received {
            self.delete_received(key, true, *identifier);
        }
        for (order, delivery) in session.outbound.waiting() {
            self.delete_delivery(key, true, order, Some(&delivery.message));
        }
        for (order, in_flight) in session.outbound.in_flight() {
            let message = match &in_flight.stage {
                Stage::Publish(delivery) => Some(&*delivery.message),
                Stage::PubRel => None,
            };
            self.delete_delivery(key, true, order, message);
        }
    }

    fn hold_message(&mut self, message: &Message) {
        let references = self.references.entry(message.id).or_default();
        *references += 1;
        if *references == 1 {
            self.put(Key::Message(message.id), || format::message(message));
        }
    }

    fn release_message(&mut self, id: MessageId) {
        let Some(references) = self.references.get_mut(&id) else { return };
        *references -= 1;
        if *references == 0 {
            self.references.remove(&id);
            self.delete(Key::Message(id));
        }
    }

    fn put(&mut self, key: Key<'_>, value: impl FnOnce() -> Vec<u8>) {
        if self.enabled {
            self.pending.insert(key.to_bytes(), Some(value()));
        }
    }

    fn delete(&mut self, key: Key<'_>) {
        if self.enabled {
            self.pending.insert(key.to_bytes(), None);
        }
    }
}
