//! An Application Message as the Server holds it, shared by all its copies (§1.2, §3.3).

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mqttspec_codec::{MessageExpiryInterval, Properties, Publish, QoS, TopicFilter, TopicName, Utf8String};

use crate::memory::{Charge, MESSAGE_BYTES, Memory};

/// Identifies a message during the life of the broker and its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MessageId(pub(crate) u64);

#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) id: MessageId,
    /// The ClientID of the publisher, for No Local. Empty for messages of the Server itself.
    pub(crate) publisher: Utf8String,
    /// The user that published it; `None` for an anonymous Client.
    pub(crate) user: Option<Utf8String>,
    /// Its part of the broker's memory.
    pub(crate) charge: Charge,
    pub(crate) topic: TopicName,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    /// The properties that are forwarded unaltered: all but Topic Alias, Message Expiry Interval
    /// and Subscription Identifier.
    pub(crate) properties: Properties<Publish>,
    pub(crate) expiry: Option<Expiry>,
    pub(crate) payload: Bytes,
}

/// When a message expires (§3.3.2.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expiry {
    /// In seconds, as published.
    pub(crate) interval: u32,
    /// When the Server received the message.
    pub(crate) since: Duration,
}

impl Expiry {
    pub(crate) fn at(self) -> Duration {
        self.since.saturating_add(Duration::from_secs(self.interval.into()))
    }

    /// Whether the interval has passed. A message with interval 0 does not expire in the instant in
    /// which it was received.
    pub(crate) fn has_passed(self, now: Duration) -> bool {
        now > self.since && now >= self.at()
    }

    /// [MQTT-3.3.2-6] The received interval minus the whole seconds that the message has waited
    /// here.
    pub(crate) fn remaining(self, now: Duration) -> MessageExpiryInterval {
        let waited = u32::try_from(now.saturating_sub(self.since).as_secs()).unwrap_or(u32::MAX);
        MessageExpiryInterval(self.interval.saturating_sub(waited))
    }
}

impl Message {
    pub(crate) fn has_expired(&self, now: Duration) -> bool {
        self.expiry.is_some_and(|expiry| expiry.has_passed(now))
    }

    /// Whether the Server publishes it for its own purposes (§4.7.2).
    pub(crate) fn is_of_server(&self) -> bool {
        self.publisher.as_str().is_empty()
    }

    /// A copy in buffers of its own.
    pub(crate) fn detached(&self, memory: &Memory) -> Self {
        Self {
            id: self.id,
            publisher: self.publisher.detached(),
            user: self.user.as_ref().map(Utf8String::detached),
            charge: memory.charge(self.weight() + MESSAGE_BYTES),
            topic: self.topic.detached(),
            qos: self.qos,
            retain: self.retain,
            properties: self.properties.detached(),
            expiry: self.expiry,
            payload: Bytes::copy_from_slice(&self.payload),
        }
    }

    /// The size of the message in a queue, in bytes.
    pub(crate) fn weight(&self) -> u64 {
        (self.topic.as_bytes().len() + self.properties.as_bytes().len() + self.payload.len()) as u64
    }
}

/// One copy of a message for one Session.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) message: Arc<Message>,
    /// The lower of the published and the granted QoS.
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    /// The Subscription Identifiers of the matching Subscriptions (§3.3.2.3.8).
    pub(crate) identifiers: Vec<NonZeroU32>,
    /// The Shared Subscription that selected this Session, if any (§4.8.2).
    pub(crate) shared: Option<TopicFilter>,
}

impl Delivery {
    /// The size of the copy in a queue, in bytes. There may be many Subscription Identifiers.
    pub(crate) fn weight(&self) -> u64 {
        self.message.weight() + self.identifier_bytes()
    }

    pub(crate) fn identifier_bytes(&self) -> u64 {
        4 * self.identifiers.len() as u64
    }
}
