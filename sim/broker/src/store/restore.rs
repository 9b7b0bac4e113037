//! Creates a broker from the records of a store (§4.1.1): every Session as it was at the last
//! durable batch, without Network Connection.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use mqttspec_codec::{PacketIdentifier, TopicFilter, Utf8String};

use super::format::{Record, StoredCopy, StoredDelivery, StoredSession, read};
use crate::broker::Broker;
use crate::memory;
use crate::message::{Delivery, Message, MessageId};
use crate::options::Options;
use crate::outbound::{Order, Stage};
use crate::parts::{Leaving, Left};
use crate::session::{Session, SessionKey, Subscription};
use crate::small_map::SmallMap;
use crate::timers::Timer;

/// Why records cannot be restored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// The record has a kind or format that this broker does not write.
    #[error("the record with key {key:02x?} was not written by this broker")]
    Record {
        /// The key of the record.
        key: Vec<u8>,
    },
    /// The record belongs to a Session that has no record.
    #[error("a record belongs to Session {session}, which has no record")]
    Session {
        /// The number of the Session.
        session: u64,
    },
    /// The delivery refers to a message that has no record.
    #[error("a delivery refers to message {message}, which has no record")]
    Message {
        /// The number of the message.
        message: u64,
    },
}

/// A Session that had ended, and what is left of it.
#[derive(Default)]
struct Ended {
    client_id: Utf8String,
    subscriptions: SmallMap<TopicFilter, Subscription>,
    received: BTreeSet<PacketIdentifier>,
    deliveries: VecDeque<(Order, Left)>,
}

type Messages = BTreeMap<MessageId, Arc<Message>>;

impl Broker {
    /// A broker that continues where another one stopped or crashed. `now` has the same epoch as
    /// the times of the other one.
    ///
    /// Sessions that had a Network Connection lose it at `now`: Session Expiry Interval and Will
    /// Delay Interval start then. Deadlines that have passed are handled by the first
    /// [`handle_timeout`](Self::handle_timeout).
    ///
    /// # Errors
    /// If the records are not the result of a broker's batches, each applied as a whole.
    pub fn restore(
        options: Options,
        seed: u64,
        now: Duration,
        records: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>,
    ) -> Result<Self, RestoreError> {
        let mut broker = Self::new(options, seed);
        let mut messages = Messages::new();
        let mut of_sessions = Vec::new();
        let mut ended = BTreeMap::new();
        for (key, value) in records {
            match read(key.clone(), value).ok_or(RestoreError::Record { key })? {
                Record::Session(key, stored) => broker.restore_session(now, key, stored),
                Record::Message(mut message) => {
                    message.charge = broker.memory.charge(message.weight() + memory::MESSAGE_BYTES);
                    broker.next_message = broker.next_message.max(message.id.0);
                    messages.insert(message.id, Arc::new(message));
                }
                Record::Retained(mut message) => {
                    message.charge = broker.memory.charge(message.weight() + memory::MESSAGE_BYTES);
                    broker.next_message = broker.next_message.max(message.id.0);
                    broker.keep_retained(now, Arc::new(message));
                }
                Record::Ended(key, client_id) => {
                    broker.next_session = broker.next_session.max(key.0);
                    ended.insert(key, Ended { client_id, ..Ended::default() });
                }
                of_session => of_sessions.push(of_session),
            }
        }
        for record in of_sessions {
            match record.session().and_then(|key| ended.get_mut(&key)) {
                Some(ended) => broker.restore_ended(ended, record, &messages)?,
                None => broker.restore_content(now, record, &messages)?,
            }
        }
        for (key, ended) in ended {
            let Ended { client_id, subscriptions, received, deliveries } = ended;
            broker.add_leaving(now, Leaving::restored(key, client_id, subscriptions, received, deliveries));
        }
        Ok(broker)
    }

    fn restore_session(&mut self, now: Duration, key: SessionKey, stored: StoredSession) {
        let mut session = Session::new(stored.client_id, &self.memory);
        session.permissions = self.permissions_of(stored.owner.as_ref());
        self.reads_are_restricted |= session.permissions.subscribe.is_some();
        session.owner = stored.owner;
        session.recorded = stored.recorded;
        session.expiry_interval = stored.expiry_interval;
        session.will = stored.will.map(Box::new);
        session.charge.add(session.will.as_deref().map_or(0, memory::of_will));
        // Times that are not set had not started: the Network Connection was open.
        session.ends_at = stored.ends_at.or_else(|| session.end_after_close(now));
        if session.will.is_some() {
            let delay = Duration::from_secs(session.will_delay().into());
            // §3.1.2.5: a Will whose broker stopped is published late rather than never
            let due = stored.will_due.unwrap_or_else(|| now.saturating_add(delay));
            session.will_due = Some(due);
            self.timers.set(Timer::WillDelay(key), due);
        }
        if let Some(at) = session.ends_at {
            self.timers.set(Timer::SessionExpiry(key), at);
        }
        self.next_session = self.next_session.max(key.0);
        self.session_keys.insert(session.client_id.clone(), key);
        self.records.put_session(key, &session);
        self.sessions.insert(key, Box::new(session));
    }

    fn restore_content(
        &mut self,
        now: Duration,
        record: Record,
        messages: &Messages,
    ) -> Result<(), RestoreError> {
        match record {
            Record::Subscription(key, filter, subscription) => {
                let session = self.restored(key)?;
                session.charge.add(memory::of_subscription(&filter));
                session.shared_count += usize::from(subscription.shared);
                session.subscriptions.insert(filter.clone(), subscription);
                if subscription.shared {
                    let group = self.subscriptions.insert_shared(&filter, key, subscription.granted);
                    if let Some(subscription) = self.subscriptions.shared(group) {
                        subscription.detach(key);
                    }
                } else {
                    self.subscriptions.insert(filter.as_bytes(), key, subscription.granted);
                }
                Ok(())
            }
            Record::Received(key, identifier) => {
                let session = self.restored(key)?;
                session.charge.add(memory::IDENTIFIER_BYTES);
                session.received.insert(identifier);
                Ok(())
            }
            Record::Delivery(key, order, stored) => self.restore_delivery(key, order, stored, messages),
            Record::Distribution(id, after) => {
                let message = messages.get(&id).ok_or(RestoreError::Message { message: id.0 })?;
                self.records.count_reference(id);
                self.restore_distribution(now, Arc::clone(message), after);
                Ok(())
            }
            Record::Routing(id, after) => {
                let message = messages.get(&id).ok_or(RestoreError::Message { message: id.0 })?;
                self.records.count_reference(id);
                self.add_routing(now, Arc::clone(message), after);
                Ok(())
            }
            Record::Session(..) | Record::Message(_) | Record::Retained(_) | Record::Ended(..) => Ok(()),
        }
    }

    /// A record of a Session that has ended.
    fn restore_ended(
        &mut self,
        ended: &mut Ended,
        record: Record,
        messages: &Messages,
    ) -> Result<(), RestoreError> {
        match record {
            Record::Subscription(_, filter, subscription) => {
                ended.subscriptions.insert(filter, subscription);
            }
            Record::Received(_, identifier) => {
                ended.received.insert(identifier);
            }
            Record::Delivery(_, order, stored) => {
                let left = match stored {
                    StoredDelivery::Waiting(copy) => {
                        self.records.count_reference(copy.message);
                        Left::Waiting(restore_copy(copy, messages)?)
                    }
                    StoredDelivery::Begun(_, copy) => {
                        self.records.count_reference(copy.message);
                        Left::InFlight(Stage::Publish(restore_copy(copy, messages)?))
                    }
                    StoredDelivery::Released(_) => Left::InFlight(Stage::PubRel),
                };
                ended.deliveries.push_back((order, left));
            }
            _ => {}
        }
        Ok(())
    }

    fn restore_delivery(
        &mut self,
        key: SessionKey,
        order: Order,
        stored: StoredDelivery,
        messages: &Messages,
    ) -> Result<(), RestoreError> {
        match stored {
            StoredDelivery::Waiting(copy) => {
                self.records.count_reference(copy.message);
                let delivery = restore_copy(copy, messages)?;
                self.restored(key)?.outbound.restore_waiting(order, delivery);
            }
            StoredDelivery::Begun(identifier, copy) => {
                self.records.count_reference(copy.message);
                let stage = Stage::Publish(restore_copy(copy, messages)?);
                self.restored(key)?.outbound.restore_in_flight(order, identifier, stage);
            }
            StoredDelivery::Released(identifier) => {
                self.restored(key)?.outbound.restore_in_flight(order, identifier, Stage::PubRel);
            }
        }
        Ok(())
    }

    fn restored(&mut self, key: SessionKey) -> Result<&mut Session, RestoreError> {
        self.sessions.get_mut(&key).map(Box::as_mut).ok_or(RestoreError::Session { session: key.0 })
    }
}

fn restore_copy(copy: StoredCopy, messages: &Messages) -> Result<Delivery, RestoreError> {
    let message = messages.get(&copy.message).ok_or(RestoreError::Message { message: copy.message.0 })?;
    Ok(Delivery {
        message: Arc::clone(message),
        qos: copy.qos,
        retain: copy.retain,
        identifiers: copy.identifiers,
        shared: copy.shared,
    })
}
