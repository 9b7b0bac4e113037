//! Session State as the Server keeps it (§4.1).

use std::collections::{BTreeSet, VecDeque};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use mqttspec_codec::{PacketIdentifier, QoS, TopicFilter, Utf8String, Will, WillDelayInterval};

use crate::ConnectionId;
use crate::authentication::Permissions;
use crate::memory::{Charge, Memory, SESSION_BYTES};
use crate::message::MessageId;
use crate::outbound::Outbound;
use crate::small_map::SmallMap;
use crate::topic::{Granted, Scan};

/// The Session Expiry Interval of a Session that does not expire (§3.1.2.11.2).
pub(crate) const NEVER: u32 = u32::MAX;

/// Identifies a Session during the life of the broker and its store. A later Session has a higher
/// key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SessionKey(pub(crate) u64);

/// The state that outlives a Network Connection.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) client_id: Utf8String,
    /// The user that made the Session; `None` for an anonymous Client.
    pub(crate) owner: Option<Utf8String>,
    /// What the owner may publish and receive, by the current users file.
    pub(crate) permissions: Arc<Permissions>,
    pub(crate) connection: Option<ConnectionId>,
    /// Whether the content of the Session is in the store, because it outlives its Network
    /// Connection.
    pub(crate) recorded: bool,
    /// Session Expiry Interval, in seconds.
    pub(crate) expiry_interval: u32,
    /// When a Session without Network Connection ends; `None` if it has one, or does not expire.
    pub(crate) ends_at: Option<Duration>,
    pub(crate) subscriptions: SmallMap<TopicFilter, Subscription>,
    /// QoS 1 and 2 messages to the Client that wait or are not completely acknowledged.
    pub(crate) outbound: Outbound,
    /// Packet Identifiers of QoS 2 messages from the Client whose PUBREL has not been received.
    pub(crate) received: BTreeSet<PacketIdentifier>,
    pub(crate) will: Option<Box<Will>>,
    /// Shared Subscriptions among the Subscriptions.
    pub(crate) shared_count: usize,
    /// Searches for retained messages that have not ended.
    pub(crate) scans: VecDeque<RetainedScan>,
    /// Whether the Session is in the broker's list of those that search.
    pub(crate) is_scanning: bool,
    /// Whether the Session is in the broker's list of those that have more messages to send.
    pub(crate) is_sending: bool,
    /// What it holds, without the messages.
    pub(crate) charge: Charge,
    /// When the Will Message must be published; `None` while the Network Connection is open, or
    /// without Will.
    pub(crate) will_due: Option<Duration>,
}

/// One Subscription of a Session (§3.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subscription {
    pub(crate) granted: Granted,
    /// Whether it is a Shared Subscription. Before 5.0, a filter that begins with `$share/` is like
    /// any other.
    pub(crate) shared: bool,
    /// The number of its search for retained messages; a new SUBSCRIBE replaces an older search.
    pub(crate) scan: u64,
}

/// A search for the retained messages of a Subscription.
#[derive(Debug)]
pub(crate) struct RetainedScan {
    pub(crate) filter: TopicFilter,
    pub(crate) number: u64,
    pub(crate) position: Scan,
    /// The last message from before the Subscription. Later ones are sent as they are published.
    pub(crate) until: MessageId,
}

impl Session {
    pub(crate) fn new(client_id: Utf8String, memory: &Memory) -> Self {
        let bytes = SESSION_BYTES + client_id.as_bytes().len() as u64;
        Self {
            client_id,
            owner: None,
            permissions: Permissions::nothing(),
            connection: None,
            recorded: false,
            expiry_interval: 0,
            ends_at: None,
            subscriptions: SmallMap::new(),
            outbound: Outbound::new(memory),
            received: BTreeSet::new(),
            will: None,
            shared_count: 0,
            scans: VecDeque::new(),
            is_scanning: false,
            is_sending: false,
            charge: memory.charge(bytes),
            will_due: None,
        }
    }

    /// The number of Subscriptions, messages and Packet Identifiers.
    pub(crate) fn content_count(&self) -> usize {
        self.subscriptions.len() + self.outbound.load() + self.received.len()
    }

    /// Whether the Session outlives its Network Connection, and therefore a restart of the Server
    /// [MQTT-3.1.2-23].
    pub(crate) fn is_durable(&self) -> bool {
        self.expiry_interval > 0
    }

    /// Whether the Session has expired, although its timer may not have fired yet.
    pub(crate) fn has_ended(&self, now: Duration) -> bool {
        self.ends_at.is_some_and(|at| at <= now)
    }

    /// When the Session ends if its Network Connection closes now (§3.1.2.11.2).
    pub(crate) fn end_after_close(&self, now: Duration) -> Option<Duration> {
        let interval = Duration::from_secs(self.expiry_interval.into());
        (self.expiry_interval != NEVER).then(|| now.saturating_add(interval))
    }

    /// Will Delay Interval, in seconds; 0 if there is none, as before 5.0 (§3.1.3.2.2).
    pub(crate) fn will_delay(&self) -> u32 {
        let property = self.will.as_ref().and_then(|will| will.properties.get::<WillDelayInterval>());
        property.map_or(0, |WillDelayInterval(seconds)| seconds)
    }
}

impl Granted {
    pub(crate) fn new(
        subscription: &mqttspec_codec::Subscription,
        qos: QoS,
        identifier: Option<NonZeroU32>,
    ) -> Self {
        Self {
            qos,
            no_local: subscription.no_local,
            retain_as_published: subscription.retain_as_published,
            identifier,
        }
    }
}
