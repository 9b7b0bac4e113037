//! Work that the broker does in parts, so that other work is done in between.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use mqttspec_codec::{PacketIdentifier, TopicFilter, Utf8String};

use crate::memory::Charge;
use crate::message::{Delivery, Message};
use crate::options::Parts;
use crate::outbound::{Order, Stage};
use crate::session::{Session, SessionKey, Subscription};
use crate::small_map::{self, SmallMap};
use crate::topic::{GroupKey, Matches};

/// How much is done at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// The time from one part to the next.
    pub(crate) pause: Duration,
    /// The effort after which the other deadlines that have passed are left for the next call.
    pub(crate) due: u64,
    /// The nodes of the tree of Subscriptions that a search looks at. To give a message to a
    /// Session takes as long as some nodes.
    pub(crate) search: usize,
    /// The number of matching Subscriptions up to which a message is given to all.
    pub(crate) matches: usize,
    /// The number of Subscriptions, messages and Packet Identifiers up to which all of a Session
    /// are removed.
    pub(crate) content: usize,
    /// If there are more: the number of levels of Topic Filters that are removed. To remove a
    /// record takes as long as some levels.
    pub(crate) removal: usize,
    /// The number of Shared Subscriptions that one search finds. If there are as many, the message
    /// is given to them in parts.
    pub(crate) shared: usize,
    /// The number of Shared Subscriptions that are compared with a message before another message
    /// is given.
    pub(crate) distribution: u32,
    /// Bytes of messages that are given to Shared Subscriptions before other work is done.
    pub(crate) distribution_bytes: u64,
    /// The number of retained messages in one part of a search, before another Session is served.
    pub(crate) scan: u32,
    /// If more messages than this wait for a Client, its searches for retained messages pause.
    pub(crate) enough_waiting: usize,
    /// Bytes of messages that are sent to one Client before another one is served.
    pub(crate) sent_bytes: u64,
    /// The number of Clients that are sent such a part in turn.
    pub(crate) receivers: usize,
}

impl Sizes {
    const USUAL: Self = Self {
        pause: Duration::from_nanos(1),
        due: 500,
        search: 10_000,
        matches: 1_000,
        content: 500,
        removal: 16_000,
        shared: 1001,
        distribution: 250,
        distribution_bytes: 1 << 20,
        scan: 1000,
        enough_waiting: 1000,
        sent_bytes: 256 << 10,
        receivers: 8,
    };

    /// So that a few messages need several parts.
    const SMALL: Self = Self {
        pause: Duration::from_millis(20),
        due: 2,
        search: 4,
        matches: 1,
        content: 2,
        removal: 40,
        shared: 2,
        distribution: 1,
        distribution_bytes: 8,
        scan: 2,
        enough_waiting: 2,
        sent_bytes: 300,
        receivers: 1,
    };

    pub(crate) const fn of(parts: Parts) -> Self {
        match parts {
            Parts::Usual => Self::USUAL,
            Parts::Small => Self::SMALL,
        }
    }

    /// When work that is done in parts goes on.
    pub(crate) const fn soon(&self, now: Duration) -> Duration {
        now.saturating_add(self.pause)
    }
}

/// What is left of a Session that has ended.
#[derive(Debug)]
pub(crate) struct Leaving {
    pub(crate) session: SessionKey,
    pub(crate) client_id: Utf8String,
    /// Whether its records must be removed too.
    pub(crate) recorded: bool,
    pub(crate) subscriptions: small_map::IntoIter<TopicFilter, Subscription>,
    pub(crate) received: BTreeSet<PacketIdentifier>,
    /// Those in flight, then those that wait.
    pub(crate) deliveries: VecDeque<(Order, Left)>,
    /// The memory that the Session took.
    _charge: Charge,
}

/// A delivery that a Session had when it ended.
#[derive(Debug)]
pub(crate) enum Left {
    Waiting(Delivery),
    InFlight(Stage),
}

impl Leaving {
    pub(crate) fn new(key: SessionKey, mut session: Session) -> Self {
        let waiting = session.outbound.take_waiting_if(|_| true).into_iter();
        let in_flight = session.outbound.take_all_in_flight();
        let in_flight = in_flight.map(|(order, in_flight)| (order, Left::InFlight(in_flight.stage)));
        Self {
            session: key,
            recorded: session.recorded,
            deliveries: in_flight
                .chain(waiting.map(|(order, delivery)| (order, Left::Waiting(delivery))))
                .collect(),
            subscriptions: session.subscriptions.into_iter(),
            received: session.received,
            client_id: session.client_id,
            _charge: session.charge,
        }
    }

    /// With the records that were left.
    pub(crate) fn restored(
        session: SessionKey,
        client_id: Utf8String,
        subscriptions: SmallMap<TopicFilter, Subscription>,
        received: BTreeSet<PacketIdentifier>,
        deliveries: VecDeque<(Order, Left)>,
    ) -> Self {
        let subscriptions = subscriptions.into_iter();
        let _charge = Charge::default();
        Self { session, client_id, recorded: true, subscriptions, received, deliveries, _charge }
    }

    /// The number of things that are left.
    pub(crate) fn len(&self) -> usize {
        self.subscriptions.len() + self.received.len() + self.deliveries.len()
    }
}

/// A message that is given to Sessions in parts.
#[derive(Debug)]
pub(crate) struct Routing {
    pub(crate) message: Arc<Message>,
    /// Subscriptions with a higher number were made after the message was published.
    pub(crate) until: u64,
    /// The last Session that was served.
    pub(crate) after: Option<SessionKey>,
    /// The number of copies that were given.
    pub(crate) copies: usize,
}

/// The messages that are given to Sessions in parts, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Routings {
    pub(crate) queue: VecDeque<Routing>,
    /// The number of messages by publisher.
    pub(crate) by_publisher: BTreeMap<Utf8String, u32>,
    /// Progress with the first message.
    pub(crate) stage: RoutingStage,
    /// The Subscriptions that the first message matches, as far as they were found.
    pub(crate) matches: Matches,
    /// Sessions with Subscriptions that were made, replaced or removed since the queue was empty.
    /// Those that were made, with their numbers.
    pub(crate) changed: BTreeMap<SessionKey, BTreeMap<TopicFilter, u64>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum RoutingStage {
    #[default]
    Idle,
    Searching,
    /// The place of the next Session among the matches.
    Serving(usize),
}

impl Routings {
    /// The number of messages of this Client.
    #[inline]
    pub(crate) fn of(&self, client_id: &Utf8String) -> u32 {
        if self.queue.is_empty() { 0 } else { self.by_publisher.get(client_id).copied().unwrap_or(0) }
    }

    pub(crate) fn push(&mut self, routing: Routing) {
        *self.by_publisher.entry(routing.message.publisher.clone()).or_default() += 1;
        self.queue.push_back(routing);
    }

    /// Removes the first message, which all have got.
    pub(crate) fn pop(&mut self) -> Option<Routing> {
        let routing = self.queue.pop_front()?;
        self.stage = RoutingStage::Idle;
        self.matches = Matches::default();
        let publisher = &routing.message.publisher;
        if let Some(count) = self.by_publisher.get_mut(publisher) {
            *count -= 1;
            if *count == 0 {
                self.by_publisher.remove(publisher);
            }
        }
        if self.queue.is_empty() {
            self.changed.clear();
        }
        Some(routing)
    }

    /// A Subscription was made, or replaced (`made` is `None`).
    pub(crate) fn note_subscribed(&mut self, session: SessionKey, filter: &TopicFilter, made: Option<u64>) {
        if !self.queue.is_empty() {
            let filters = self.changed.entry(session).or_default();
            if let Some(number) = made {
                filters.insert(filter.detached(), number);
            }
        }
    }

    pub(crate) fn note_unsubscribed(&mut self, session: SessionKey, filter: &TopicFilter) {
        if !self.queue.is_empty() {
            self.changed.entry(session).or_default().remove(filter);
        }
    }

    pub(crate) fn note_ended(&mut self, session: SessionKey) {
        self.changed.remove(&session);
    }
}

/// A message that is given to Shared Subscriptions in parts.
#[derive(Debug)]
pub(crate) struct Distribution {
    pub(crate) message: Arc<Message>,
    /// The filter of the last Shared Subscription that was served.
    pub(crate) after: Option<TopicFilter>,
    /// Shared Subscriptions from this one on were made after the message was published.
    pub(crate) until: GroupKey,
}
