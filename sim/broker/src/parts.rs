//! Work that the broker does in parts, so that other work is done in between.

use std::sync::Arc;

use mqttspec_codec::TopicFilter;

use crate::memory::Charge;
use crate::message::Message;
use crate::session::SessionKey;
use crate::topic::GroupKey;

/// The Subscriptions that are left of a Session.
#[derive(Debug)]
pub(crate) struct Leaving {
    pub(crate) session: SessionKey,
    /// Each Topic Filter, and whether it is that of a Shared Subscription.
    pub(crate) filters: Vec<(TopicFilter, bool)>,
    /// The memory that the Session took.
    _charge: Charge,
}

impl Leaving {
    pub(crate) fn new(session: SessionKey, filters: Vec<(TopicFilter, bool)>, charge: Charge) -> Self {
        Self { session, filters, _charge: charge }
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
