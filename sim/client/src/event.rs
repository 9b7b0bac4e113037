//! The events of a client for its application.

use std::time::Duration;

use bytes::Bytes;
use mqttspec_codec::{
    ConnAck, Disconnect, Properties, PubAckReason, Publish, QoS, SubAck, SubAckReason, Subscription,
    TopicName, UnsubAck, UnsubAckReason, Utf8String,
};

use crate::circuit::CircuitState;
use crate::command::{Delivered, Handle, Publication};
use crate::error::Error;
use crate::restore::RestoreError;

/// The state of a client's connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Not connected, and not connecting.
    #[default]
    Disconnected,
    /// Connecting on a Connect command.
    Connecting,
    /// The Server has accepted CONNECT.
    Connected,
    /// The Network Connection was lost or could not be established; another attempt is waiting or
    /// in progress.
    Reconnecting,
    /// All attempts have failed, or the error is permanent.
    Failed,
}

/// An event. Events are in the order in which they happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// An attempt to connect has started.
    Connecting {
        /// Its number since the last success, starting at 1.
        attempt: u32,
    },
    /// The Server has accepted CONNECT.
    Connected {
        /// The Connect command that ends with this event, if any.
        handle: Option<Handle>,
        /// Whether the Server has resumed a Session (§3.2.2.1.1).
        session_present: bool,
        /// The Client Identifier, which the Server may have assigned.
        client_id: Utf8String,
        /// The properties of CONNACK.
        properties: Properties<ConnAck>,
    },
    /// An attempt has failed.
    AttemptFailed {
        /// The reason.
        error: Error,
    },
    /// A Network Connection with an accepted CONNECT has ended.
    Disconnected {
        /// The Disconnect command that ends with this event, if any.
        handle: Option<Handle>,
        /// The reason, if there was no Disconnect command.
        error: Option<Error>,
        /// Properties of the Server's DISCONNECT.
        properties: Properties<Disconnect>,
    },
    /// Another attempt will follow.
    Reconnecting {
        /// Its number since the connection was lost, starting at 1.
        attempt: u32,
        /// The delay before it starts.
        delay: Duration,
    },
    /// The client makes no more attempts until the next Connect command.
    GaveUp {
        /// The error of the last attempt.
        error: Error,
    },
    /// The connection is up, but no message was sent or received for a long time.
    Inactive {
        /// For how long.
        duration: Duration,
    },
    /// A response that no request waits for: its request was answered, has timed out or was sent
    /// before a restart.
    UnexpectedResponse(Message),
    /// The circuit breaker has changed.
    Circuit(CircuitState),
    /// The previous Session has ended. Each of its messages has an event of its own.
    SessionEnded {
        /// Messages in flight that are published again as new messages.
        republished: usize,
        /// Messages in flight that failed.
        failed: usize,
    },
    /// Subscriptions of a lost Session were restored.
    SubscriptionsRestored {
        /// Each subscription with the Server's answer.
        subscriptions: Vec<(Subscription, SubAckReason)>,
    },
    /// A message was received.
    Message(Message),
    /// A message was published.
    Published {
        /// The Publish command.
        handle: Handle,
        /// The message.
        publication: Publication,
        /// Success or No matching subscribers. It is Success for QoS 0 and before 5.0.
        reason: PubAckReason,
    },
    /// The Server has answered SUBSCRIBE.
    Subscribed {
        /// The Subscribe command.
        handle: Handle,
        /// One Reason Code for each Topic Filter; some may be failures.
        reasons: Vec<SubAckReason>,
        /// Properties of SUBACK.
        properties: Properties<SubAck>,
    },
    /// The Server has answered UNSUBSCRIBE.
    Unsubscribed {
        /// The Unsubscribe command.
        handle: Handle,
        /// One Reason Code for each Topic Filter; none before 5.0.
        reasons: Vec<UnsubAckReason>,
        /// Properties of UNSUBACK.
        properties: Properties<UnsubAck>,
    },
    /// A received message has been acknowledged.
    Acknowledged {
        /// The Acknowledge command.
        handle: Handle,
    },
    /// The response to a request was received.
    Response {
        /// The Request command.
        handle: Handle,
        /// The response.
        message: Message,
    },
    /// The receiver has acknowledged a delivery end to end.
    Delivered {
        /// The Deliver command.
        handle: Handle,
        /// The id of the delivery in the message.
        id: String,
        /// The number of times that it was published again.
        retries: u32,
        /// The Client Identifier of the receiver, if it said so.
        by: Option<String>,
        /// When the receiver acknowledged it, by its own clock, if it said so.
        at: Option<Duration>,
    },
    /// The client has authenticated again.
    Reauthenticated {
        /// The Reauthenticate command.
        handle: Handle,
    },
    /// A record of the store is damaged. It was set aside under another key, and the client
    /// continues without it.
    RecordSetAside {
        /// What is wrong with it.
        error: RestoreError,
    },
    /// A command has failed.
    Failed {
        /// The command.
        handle: Handle,
        /// The reason.
        error: Error,
    },
    /// A message was dropped: the publish queue was full and its policy selected this message, or
    /// QoS 0 messages are not queued.
    Dropped {
        /// The Publish command.
        handle: Handle,
    },
}

/// A received message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Identifies the message for [`Command::Acknowledge`](crate::Command::Acknowledge); `None` for
    /// QoS 0.
    pub delivered: Option<Delivered>,
    /// The Topic Name, even if the Server sent a Topic Alias.
    pub topic: TopicName,
    /// The Application Message.
    pub payload: Bytes,
    /// The QoS of this delivery.
    pub qos: QoS,
    /// DUP: whether the Server may have sent it before.
    pub dup: bool,
    /// RETAIN.
    pub retain: bool,
    /// Properties, without Topic Alias.
    pub properties: Properties<Publish>,
    /// What the sender's outbox says about the message, if it comes from one and the option
    /// `acknowledge_deliveries` is set.
    pub delivery: Option<DeliveryDetails>,
}

/// What the sender's outbox says about a received message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryDetails {
    /// Identifies the delivery.
    pub id: String,
    /// When the sender's application gave it to its client, by the clock of the sender.
    pub created_at: Option<Duration>,
    /// The number of times that it was published again.
    pub retries: Option<u32>,
}

impl Event {
    /// The command that ends with this event, if one does.
    #[must_use]
    pub fn ends(&self) -> Option<Handle> {
        match self {
            Event::Connected { handle, .. } | Event::Disconnected { handle, .. } => *handle,
            Event::Published { handle, .. }
            | Event::Subscribed { handle, .. }
            | Event::Unsubscribed { handle, .. }
            | Event::Acknowledged { handle }
            | Event::Response { handle, .. }
            | Event::Delivered { handle, .. }
            | Event::Reauthenticated { handle }
            | Event::Failed { handle, .. }
            | Event::Dropped { handle } => Some(*handle),
            _ => None,
        }
    }
}
