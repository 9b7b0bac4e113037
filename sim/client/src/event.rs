//! What a client tells its application.

use std::time::Duration;

use bytes::Bytes;
use mqttspec_codec::{
    ConnAck, Disconnect, Properties, PubAckReason, Publish, QoS, SubAck, SubAckReason, Subscription,
    TopicName, UnsubAck, UnsubAckReason, Utf8String,
};

use crate::circuit::CircuitState;
use crate::command::{Delivered, Handle, Publication};
use crate::error::Error;

/// Where a client stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// No Network Connection and no wish for one.
    #[default]
    Disconnected,
    /// The application's Connect is on its way.
    Connecting,
    /// The Server has accepted CONNECT.
    Connected,
    /// The Network Connection was lost or could not be had; another attempt waits or is on its way.
    Reconnecting,
    /// Every attempt was used up, or the Server said no for good.
    Failed,
}

/// What happened. Events come in the order in which things happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// An attempt begins: the driver is asked for a Network Connection.
    Connecting {
        /// 1 for the first since the last success.
        attempt: u32,
    },
    /// The Server has accepted CONNECT.
    Connected {
        /// The Connect command, if this is the connection that it waited for.
        handle: Option<Handle>,
        /// Whether the Server has resumed a Session (§3.2.2.1.1).
        session_present: bool,
        /// The Client Identifier in use, which the Server may have assigned.
        client_id: Utf8String,
        /// All that the Server said.
        properties: Properties<ConnAck>,
    },
    /// An attempt has failed.
    AttemptFailed {
        /// Why.
        error: Error,
    },
    /// A Network Connection with an accepted CONNECT has ended.
    Disconnected {
        /// The Disconnect command, if the application wanted it.
        handle: Option<Handle>,
        /// Why, if the application did not.
        error: Option<Error>,
        /// Properties of the Server's DISCONNECT.
        properties: Properties<Disconnect>,
    },
    /// The next attempt waits.
    Reconnecting {
        /// Its number since the connection was lost, from 1.
        attempt: u32,
        /// How long it waits from now.
        delay: Duration,
    },
    /// The client makes no more attempts by itself.
    GaveUp {
        /// What the last attempt failed with.
        error: Error,
    },
    /// The circuit breaker has changed.
    Circuit(CircuitState),
    /// The Session of before is over; what happened to its messages is told message by message.
    SessionEnded {
        /// Messages in flight that are published again as new messages.
        republished: usize,
        /// Messages in flight that failed.
        failed: usize,
    },
    /// The subscriptions of a lost Session were made again.
    SubscriptionsRestored {
        /// Each with the Server's answer.
        subscriptions: Vec<(Subscription, SubAckReason)>,
    },
    /// A message arrived.
    Message(Message),
    /// A publication is done.
    Published {
        /// The Publish command.
        handle: Handle,
        /// The message.
        publication: Publication,
        /// Success, or No matching subscribers; Success where the standard has no Reason Code.
        reason: PubAckReason,
    },
    /// The Server has answered SUBSCRIBE.
    Subscribed {
        /// The Subscribe command.
        handle: Handle,
        /// One for each Topic Filter; some may be failures.
        reasons: Vec<SubAckReason>,
        /// Properties of SUBACK.
        properties: Properties<SubAck>,
    },
    /// The Server has answered UNSUBSCRIBE.
    Unsubscribed {
        /// The Unsubscribe command.
        handle: Handle,
        /// One for each Topic Filter; none before 5.0.
        reasons: Vec<UnsubAckReason>,
        /// Properties of UNSUBACK.
        properties: Properties<UnsubAck>,
    },
    /// A received message has been acknowledged.
    Acknowledged {
        /// The Acknowledge command.
        handle: Handle,
    },
    /// The response to a request has come.
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
        /// Its id on the wire.
        id: String,
        /// How often it was published again.
        retries: u32,
    },
    /// The Server is content with who the client is.
    Reauthenticated {
        /// The Reauthenticate command.
        handle: Handle,
    },
    /// A command has failed.
    Failed {
        /// The command.
        handle: Handle,
        /// Why.
        error: Error,
    },
    /// The publish queue was full, and its policy chose this message; or QoS 0 messages do not wait.
    Dropped {
        /// The Publish command.
        handle: Handle,
    },
}

/// A received message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Names it for [`Command::Acknowledge`](crate::Command::Acknowledge); `None` for QoS 0.
    pub delivered: Option<Delivered>,
    /// The Topic Name, also where the Server sent an alias.
    pub topic: TopicName,
    /// The Application Message.
    pub payload: Bytes,
    /// The QoS of this delivery.
    pub qos: QoS,
    /// Whether the Server may have sent it before.
    pub dup: bool,
    /// RETAIN.
    pub retain: bool,
    /// Properties, without Topic Alias.
    pub properties: Properties<Publish>,
}
