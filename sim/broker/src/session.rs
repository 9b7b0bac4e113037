//! Session State as the Server keeps it (§4.1).

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::time::Duration;

use mqttspec_codec::{PacketIdentifier, QoS, TopicFilter, Utf8String, Will, WillDelayInterval};

use crate::ConnectionId;
use crate::outbound::Outbound;
use crate::small_map::SmallMap;
use crate::topic::Granted;

/// Session Expiry Interval of a Session that does not end by itself (§3.1.2.11.2).
pub(crate) const NEVER: u32 = u32::MAX;

/// Names a Session for as long as the broker and its store exist. A later Session has a higher key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SessionKey(pub(crate) u64);

/// Everything that outlives a Network Connection.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) client_id: Utf8String,
    pub(crate) connection: Option<ConnectionId>,
    /// Whether the store knows what the Session holds, as it outlives its Network Connection.
    pub(crate) recorded: bool,
    /// Session Expiry Interval, in seconds.
    pub(crate) expiry_interval: u32,
    /// When a Session without Network Connection ends; `None`: it has one, or never.
    pub(crate) ends_at: Option<Duration>,
    pub(crate) subscriptions: SmallMap<TopicFilter, Subscription>,
    /// QoS 1 and 2 messages to the Client: those that wait and those not completely acknowledged.
    pub(crate) outbound: Outbound,
    /// QoS 2 messages from the Client for which no PUBREL has come: their Packet Identifiers.
    pub(crate) received: BTreeSet<PacketIdentifier>,
    pub(crate) will: Option<Box<Will>>,
    /// When the Will Message is due; `None` while the Network Connection is open, or without Will.
    pub(crate) will_due: Option<Duration>,
}

/// One Subscription of a Session (§3.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subscription {
    pub(crate) granted: Granted,
    /// Whether it is a Shared Subscription: before 5.0 a filter that begins with `$share/` is like any other.
    pub(crate) shared: bool,
}

impl Session {
    pub(crate) fn new(client_id: Utf8String) -> Self {
        Self {
            client_id,
            connection: None,
            recorded: false,
            expiry_interval: 0,
            ends_at: None,
            subscriptions: SmallMap::new(),
            outbound: Outbound::default(),
            received: BTreeSet::new(),
            will: None,
            will_due: None,
        }
    }

    /// Whether the Session outlives its Network Connection, and so a restart of the Server [MQTT-3.1.2-23].
    pub(crate) fn is_durable(&self) -> bool {
        self.expiry_interval > 0
    }

    /// When the Session ends if its Network Connection closes now (§3.1.2.11.2).
    pub(crate) fn end_after_close(&self, now: Duration) -> Option<Duration> {
        let interval = Duration::from_secs(self.expiry_interval.into());
        (self.expiry_interval != NEVER).then(|| now.saturating_add(interval))
    }

    /// Will Delay Interval, in seconds; 0 without one, as before 5.0 (§3.1.3.2.2).
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
