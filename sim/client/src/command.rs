//! What an application can ask of a client.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use mqttspec_codec::{
    Disconnect, DisconnectReason, Properties, PubAckReason, Publish, QoS, Subscribe, Subscription,
    TopicFilter, TopicName, Unsubscribe,
};

use crate::Options;

/// Names a command; the event that ends the command carries it. Handles grow in the order of the commands.
///
/// A handle is not given twice in the life of a client. After a restart, messages that the store kept have the handles
/// that they had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle(pub u64);

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names a received message that waits for its acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Delivered(pub u64);

/// A command. Each ends in exactly one event with its [`Handle`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Command {
    /// Opens a Network Connection and sends CONNECT; with options, these take the place of the present ones.
    ///
    /// Ends in [`Connected`](crate::Event::Connected) or [`Failed`](crate::Event::Failed).
    Connect(Option<Box<Options>>),
    /// Publishes a message, now or when there is a Network Connection and send quota.
    ///
    /// Ends in [`Published`](crate::Event::Published): QoS 0 when it was sent, QoS 1 with PUBACK, QoS 2 with PUBCOMP;
    /// or in [`Failed`](crate::Event::Failed) or [`Dropped`](crate::Event::Dropped).
    Publish(Publication),
    /// Subscribes, now or when there is a Network Connection.
    ///
    /// Ends in [`Subscribed`](crate::Event::Subscribed) or [`Failed`](crate::Event::Failed).
    Subscribe(SubscribeRequest),
    /// Unsubscribes, now or when there is a Network Connection.
    ///
    /// Ends in [`Unsubscribed`](crate::Event::Unsubscribed) or [`Failed`](crate::Event::Failed).
    Unsubscribe(UnsubscribeRequest),
    /// Sends DISCONNECT and closes; or stops trying to connect.
    ///
    /// Ends in [`Disconnected`](crate::Event::Disconnected) or [`Failed`](crate::Event::Failed).
    Disconnect(DisconnectRequest),
    /// Acknowledges a received message, where the option `acknowledgement` is manual.
    ///
    /// Ends in [`Acknowledged`](crate::Event::Acknowledged) or [`Failed`](crate::Event::Failed).
    Acknowledge {
        /// The message.
        message: Delivered,
        /// Success, or why the application does not take it (5.0).
        reason: PubAckReason,
    },
    /// Publishes a request and waits for the response (5.0, §4.10). The client subscribes to the Response Topic first.
    ///
    /// Ends in [`Response`](crate::Event::Response), [`Failed`](crate::Event::Failed) or
    /// [`Dropped`](crate::Event::Dropped).
    Request {
        /// The request; Response Topic and Correlation Data are set by the client.
        publication: Publication,
        /// Where the response should go; `None`: a topic of this client's own, below the Server's Response Information
        /// if it gave any.
        response_topic: Option<TopicName>,
        /// How long to wait for the response; `None`: the option `timeout`.
        timeout: Option<Duration>,
    },
    /// Puts a message into the outbox, to be published until the receiver acknowledges it end to end.
    ///
    /// Ends in [`Delivered`](crate::Event::Delivered) or [`Failed`](crate::Event::Failed).
    Deliver(Publication),
    /// Proves anew who the client is, by the authentication method of the connection (5.0, §4.12.1).
    ///
    /// Ends in [`Reauthenticated`](crate::Event::Reauthenticated) or [`Failed`](crate::Event::Failed).
    Reauthenticate,
}

/// A message to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// Where to.
    pub topic: TopicName,
    /// The Application Message.
    pub payload: Bytes,
    /// The QoS; `None`: the option `default_qos`.
    pub qos: Option<QoS>,
    /// Whether the Server should retain it.
    pub retain: bool,
    /// Properties (5.0), without Topic Alias and Subscription Identifier.
    pub properties: Properties<Publish>,
}

impl Publication {
    /// A message with the default QoS.
    #[must_use]
    pub fn new(topic: TopicName, payload: impl Into<Bytes>) -> Self {
        Self { topic, payload: payload.into(), qos: None, retain: false, properties: Properties::new() }
    }

    /// With this QoS.
    #[must_use]
    pub fn qos(self, qos: QoS) -> Self {
        Self { qos: Some(qos), ..self }
    }

    /// To be retained.
    #[must_use]
    pub fn retained(self) -> Self {
        Self { retain: true, ..self }
    }
}

/// What to subscribe to: the subscriptions of one SUBSCRIBE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscribeRequest {
    /// Topic Filters with their Subscription Options; at least one.
    pub subscriptions: Vec<Subscription>,
    /// Properties (5.0): Subscription Identifier, User Properties.
    pub properties: Properties<Subscribe>,
}

/// What to unsubscribe from: the Topic Filters of one UNSUBSCRIBE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsubscribeRequest {
    /// Topic Filters; at least one.
    pub filters: Vec<TopicFilter>,
    /// Properties (5.0): User Properties.
    pub properties: Properties<Unsubscribe>,
}

/// How to disconnect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DisconnectRequest {
    /// The Reason Code (5.0).
    pub reason: DisconnectReason,
    /// Properties (5.0): Session Expiry Interval, Reason String, User Properties.
    pub properties: Properties<Disconnect>,
}
