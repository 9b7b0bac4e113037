//! The two indexes of the broker (§4.7): Subscriptions that match a Topic Name, and retained
//! messages that match a Topic Filter.
//!
//! Topics are compared as bytes, level by level, without normalization [MQTT-4.7.3-4].

mod names;
mod tree;

use std::num::NonZeroU32;

use mqttspec_codec::QoS;

pub(crate) use names::{Scan, Step, key};
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
