//! The capabilities of a server: what its CONNACK announces, and corrections of a target file.

use core::time::Duration;
use std::collections::BTreeMap;

use mqttspec_codec::{
    ConnAck, MaximumPacketSize, MaximumQoS, ReceiveMaximum, RetainAvailable, ServerKeepAlive,
    SessionExpiryInterval, SharedSubscriptionAvailable, SubscriptionIdentifierAvailable, TopicAliasMaximum,
    Version, WildcardSubscriptionAvailable,
};

/// The capability that is `0` if the server refuses a CONNECT with Keep Alive 0.
pub(crate) const KEEP_ALIVE_0: &str = "keep_alive_0";

/// What a live server supports, and how fast it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Capabilities {
    /// The versions that it accepts.
    pub(crate) versions: Vec<Version>,
    /// The longest of several times between PINGREQ and PINGRESP.
    pub(crate) round_trip: Duration,
    /// How long a run waits after a SUBACK, until the Subscription is surely in force.
    pub(crate) subscribing: Duration,
    /// The capabilities by name, in the order in which they are printed.
    pub(crate) values: Vec<(String, String)>,
}

impl Capabilities {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.values.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Replaces probed values by those of a target file.
    pub(crate) fn override_with(&mut self, known: &BTreeMap<String, String>) {
        for (name, value) in known {
            match self.values.iter_mut().find(|(known, _)| known == name) {
                Some((_, found)) => found.clone_from(value),
                None => self.values.push((name.clone(), value.clone())),
            }
        }
    }
}

/// The capabilities in a CONNACK of 5.0; the default values of §3.2.2.3 for absent properties.
pub(crate) fn announced(connack: &ConnAck) -> Vec<(String, String)> {
    let properties = &connack.properties;
    let mut announced = Vec::new();
    let mut add = |name: &str, value: String| announced.push((name.to_owned(), value));
    add("maximum_qos", properties.get().map_or(2, |most: MaximumQoS| u8::from(most.qos())).to_string());
    add("retain_available", u8::from(properties.get().is_none_or(|RetainAvailable(is)| is)).to_string());
    add(
        "wildcard_subscription_available",
        u8::from(properties.get().is_none_or(|WildcardSubscriptionAvailable(is)| is)).to_string(),
    );
    add(
        "subscription_identifier_available",
        u8::from(properties.get().is_none_or(|SubscriptionIdentifierAvailable(is)| is)).to_string(),
    );
    add(
        "shared_subscription_available",
        u8::from(properties.get().is_none_or(|SharedSubscriptionAvailable(is)| is)).to_string(),
    );
    add("topic_alias_maximum", properties.get().map_or(0, |TopicAliasMaximum(most)| most).to_string());
    add("receive_maximum", properties.get().map_or(65_535, |ReceiveMaximum(most)| most.get()).to_string());
    if let Some(MaximumPacketSize(most)) = properties.get() {
        add("maximum_packet_size", most.to_string());
    }
    if let Some(ServerKeepAlive(seconds)) = properties.get() {
        add("server_keep_alive", seconds.to_string());
    }
    if let Some(SessionExpiryInterval(seconds)) = properties.get() {
        add("session_expiry", seconds.to_string());
    }
    announced
}
