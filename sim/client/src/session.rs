//! The Session State of a client (§4.1; 3.1.1 §3.1.2.4): what it must remember while there is no Network Connection.
//!
//! QoS 1 and QoS 2 messages sent and not fully acknowledged; QoS 2 messages received and not complete. Subscriptions
//! are the Server's to keep; what the client knows of them is in [`subscriptions`](crate::subscriptions).

mod identifiers;
mod inbound;
mod outbound;

use std::collections::BTreeSet;
use std::time::Duration;

use mqttspec_codec::{SubscriptionIdentifier, Utf8String};

pub(crate) use identifiers::Identifiers;
pub(crate) use inbound::{Arrival, Inbound};
pub(crate) use outbound::{Exchange, Outbound, Outcome, Phase, Resend};

/// A Session Expiry Interval that never ends (§3.1.2.11.2).
pub(crate) const NEVER: u32 = u32::MAX;

#[derive(Debug)]
pub(crate) struct Session {
    /// Whether a Server has accepted this Session and, as far as the client knows, still has it.
    pub(crate) exists: bool,
    /// [MQTT-3.1.3-2] Whose Session it is.
    pub(crate) client_id: Utf8String,
    /// Session Expiry Interval in seconds, as the two sides agreed on it; before 5.0: 0 or never.
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

    /// The Network Connection has closed: from here the Session Expiry Interval runs.
    pub(crate) fn connection_closed(&mut self, now: Duration) {
        self.ends_at = (self.expiry != NEVER).then(|| now + Duration::from_secs(self.expiry.into()));
    }

    /// Whether the Session Expiry Interval has run out.
    pub(crate) fn has_ended(&self, now: Duration) -> bool {
        self.exists && self.ends_at.is_some_and(|end| end <= now)
    }
}
