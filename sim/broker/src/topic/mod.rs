//! Which Subscriptions and which retained messages a topic meets (§4.7): the two indexes of the broker.
//!
//! Topics are compared as bytes, level by level, with no normalisation [MQTT-4.7.3-4].

mod names;
mod tree;

use std::num::NonZeroU32;

use mqttspec_codec::QoS;

pub(crate) use names::{key, matching};
pub(crate) use tree::{GroupKey, Matches, SubscriptionTree};

/// What a Session was granted for one Topic Filter: the part of a Subscription that delivery needs
/// (§3.8.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Granted {
    pub(crate) qos: QoS,
    pub(crate) no_local: bool,
    pub(crate) retain_as_published: bool,
    pub(crate) identifier: Option<NonZeroU32>,
}
