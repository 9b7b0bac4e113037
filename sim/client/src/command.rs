//! The commands of an application.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use mqttspec_codec::{
    ContentType, Disconnect, DisconnectReason, PayloadFormatIndicator, Properties, PubAckReason, Publish,
    QoS, Subscribe, Subscription, TopicFilter, TopicName, Unsubscribe, UserProperty, Utf8String, ValueError,
};

use crate::Options;

/// Identifies a command; the event that ends the command has it. Handles increase in the order of
/// the commands.
///
/// A client never uses a handle twice. After a restart, messages from the store keep their handles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle(pub u64);

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Identifies a received message that waits for its acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Delivered(pub u64);

/// A command. Each ends in exactly one event with its [`Handle`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Command {
    /// Opens a Network Connection and sends CONNECT. Options, if given, replace the current ones.
    ///
    /// Ends in [`Connected`](crate::Event::Connected) or [`Failed`](crate::Event::Failed).
    Connect(Option<Box<Options>>),
    /// Publishes a message, at once or when there is a Network Connection and send quota.
    ///
    /// Ends in [`Published`](crate::Event::Published): for QoS 0 when it was sent, for QoS 1 with
    /// PUBACK, for QoS 2 with PUBCOMP; or in [`Failed`](crate::Event::Failed) or
    /// [`Dropped`](crate::Event::Dropped).
    Publish(Publication),
    /// Subscribes, at once or when there is a Network Connection.
    ///
    /// Ends in [`Subscribed`](crate::Event::Subscribed) or [`Failed`](crate::Event::Failed).
    Subscribe(SubscribeRequest),
    /// Unsubscribes, at once or when there is a Network Connection.
    ///
    /// Ends in [`Unsubscribed`](crate::Event::Unsubscribed) or [`Failed`](crate::Event::Failed).
    Unsubscribe(UnsubscribeRequest),
    /// Sends DISCONNECT and closes, or stops connecting.
    ///
    /// Ends in [`Disconnected`](crate::Event::Disconnected) or [`Failed`](crate::Event::Failed).
    Disconnect(DisconnectRequest),
    /// Acknowledges a received message, if the option `acknowledgement` is manual.
    ///
    /// Ends in [`Acknowledged`](crate::Event::Acknowledged) or [`Failed`](crate::Event::Failed).
    Acknowledge {
        /// The message.
        message: Delivered,
        /// Success, or why the application refuses the message (5.0).
        reason: PubAckReason,
    },
    /// Publishes a request and waits for the response (5.0, §4.10). The client subscribes to the
    /// Response Topic first.
    ///
    /// Ends in [`Response`](crate::Event::Response), [`Failed`](crate::Event::Failed) or
    /// [`Dropped`](crate::Event::Dropped).
    Request {
        /// The request. The client sets Response Topic and Correlation Data.
        publication: Publication,
        /// The Response Topic; `None` for a topic that the client chooses, below the Server's
        /// Response Information if there is any.
        response_topic: Option<TopicName>,
        /// How long to wait for the response; `None` for the option
        /// `request_timeout`.
        timeout: Option<Duration>,
    },
    /// Puts a message into the outbox. It is published until the receiver acknowledges it end to
    /// end.
    ///
    /// Ends in [`Delivered`](crate::Event::Delivered) or [`Failed`](crate::Event::Failed).
    Deliver(DeliverRequest),
    /// Authenticates again, with the Authentication Method of the connection (5.0, §4.12.1).
    ///
    /// Ends in [`Reauthenticated`](crate::Event::Reauthenticated) or
    /// [`Failed`](crate::Event::Failed).
    Reauthenticate,
}

/// What a payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadKind {
    /// UTF-8 text: `text/plain`.
    Text,
    /// JSON: `application/json`.
    Json,
    /// Bytes: `application/octet-stream`.
    Binary,
}

/// A message to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// The topic.
    pub topic: TopicName,
    /// The Application Message.
    pub payload: Bytes,
    /// The QoS; `None` for the option `default_qos`.
    pub qos: Option<QoS>,
    /// RETAIN: whether the Server should retain the message.
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

    /// The same message with this QoS.
    #[must_use]
    pub fn qos(self, qos: QoS) -> Self {
        Self { qos: Some(qos), ..self }
    }

    /// The same message with the Payload Format Indicator and the Content Type of this kind (5.0).
    #[must_use]
    pub fn described(mut self, kind: PayloadKind) -> Self {
        let (format, content_type) = match kind {
            PayloadKind::Text => (PayloadFormatIndicator::Utf8, "text/plain"),
            PayloadKind::Json => (PayloadFormatIndicator::Utf8, "application/json"),
            PayloadKind::Binary => (PayloadFormatIndicator::Unspecified, "application/octet-stream"),
        };
        self.properties.set(format);
        self.properties.set(ContentType(Utf8String::from_static(content_type)));
        self
    }

    /// The same message with RETAIN 1.
    #[must_use]
    pub fn retained(self) -> Self {
        Self { retain: true, ..self }
    }

    /// The same message with one more User Property (5.0).
    ///
    /// # Errors
    /// If a text is longer than 65,535 bytes or has the character U+0000.
    pub fn user_property(mut self, name: &str, value: &str) -> Result<Self, ValueError> {
        self.properties.push(UserProperty::new(Utf8String::try_from(name)?, Utf8String::try_from(value)?));
        Ok(self)
    }
}

/// A message for the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliverRequest {
    /// The message.
    pub publication: Publication,
    /// How long it may take until it expires; `None` for the option `delivery_time_to_live`.
    pub time_to_live: Option<Duration>,
    /// How many times it may be published again; `None` for the option `delivery_retries`.
    pub retries: Option<u32>,
}

impl From<Publication> for DeliverRequest {
    fn from(publication: Publication) -> Self {
        Self { publication, time_to_live: None, retries: None }
    }
}

/// The subscriptions of one SUBSCRIBE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscribeRequest {
    /// Topic Filters with their Subscription Options; at least one.
    pub subscriptions: Vec<Subscription>,
    /// Properties (5.0): Subscription Identifier, User Properties.
    pub properties: Properties<Subscribe>,
}

/// The Topic Filters of one UNSUBSCRIBE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsubscribeRequest {
    /// Topic Filters; at least one.
    pub filters: Vec<TopicFilter>,
    /// Properties (5.0): User Properties.
    pub properties: Properties<Unsubscribe>,
}

/// The content of a DISCONNECT.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DisconnectRequest {
    /// The Reason Code (5.0).
    pub reason: DisconnectReason,
    /// Properties (5.0): Session Expiry Interval, Reason String, User Properties.
    pub properties: Properties<Disconnect>,
}
