//! The Session State of a client (§4.1; 3.1.1 §3.1.2.4), which outlives the Network Connection.
//!
//! It consists of the QoS 1 and QoS 2 messages that were sent and are not completely acknowledged,
//! and of the QoS 2 messages that were received and are not complete. Subscriptions are part of the
//! Server's state; the client's copy is in [`subscriptions`](crate::subscriptions).

mod identifiers;
mod inbound;
mod outbound;

use std::collections::BTreeSet;
use std::time::Duration;

use mqttspec_codec::{SubscriptionIdentifier, Utf8String};

pub(crate) use identifiers::Identifiers;
pub(crate) use inbound::{Arrival, Inbound};
pub(crate) use outbound::{Exchange, Outbound, Outcome, Phase, Resend};

/// The Session Expiry Interval of a Session that does not expire (§3.1.2.11.2).
pub(crate) const NEVER: u32 = u32::MAX;

#[derive(Debug)]
pub(crate) struct Session {
    /// Whether a Server has accepted this Session and, as far as the client knows, still has it.
    pub(crate) exists: bool,
    /// [MQTT-3.1.3-2] The Client Identifier of the Session.
    pub(crate) client_id: Utf8String,
    /// The agreed Session Expiry Interval, in seconds; before 5.0: 0 or [`NEVER`].
    pub(crate) expiry: u32,
    /// When the Session ends, while there is no Network Connection.
    pub(crate) ends_at: Option<Duration>,
    /// Every Subscription Identifier that was used in this Session.
    pub(crate) subscription_identifiers: BTreeSet<SubscriptionIdentifier>,
    pub(crate) identifiers: Identifiers,
    pub(crate) outbound: Outbound,
    pub(crate) inbound: Inbound,
}

impl Session {
    pub(crate) fn new() -> Self {
        Self {
            exists: false,
            client_id: Utf8String::new(),
            expiry: 0,
            ends_at: None,
            subscription_identifiers: BTreeSet::new(),
            identifiers: Identifiers::new(),
            outbound: Outbound::new(),
            inbound: Inbound::new(),
        }
    }

    /// The Network Connection has closed: starts the Session Expiry Interval.
    pub(crate) fn connection_closed(&mut self, now: Duration) {
        self.ends_at = (self.expiry != NEVER).then(|| now + Duration::from_secs(self.expiry.into()));
    }

    /// Whether the Session Expiry Interval has passed.
    pub(crate) fn has_ended(&self, now: Duration) -> bool {
        self.exists && self.ends_at.is_some_and(|end| end <= now)
    }
}
