//! What happened inside the broker, for histories and traces. Nothing on the wire depends on whether events
//! are read.

use mqttspec_codec::{ConnectReason, DisconnectReason, QoS, TopicName, Utf8String, Version};

use crate::ConnectionId;

/// Something that happened inside the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A CONNECT was accepted.
    Connected {
        /// The Network Connection.
        connection: ConnectionId,
        /// The ClientID, also an assigned one.
        client_id: Utf8String,
        /// What it speaks.
        version: Version,
        /// Whether a Session was resumed.
        session_present: bool,
    },
    /// A CONNECT was refused, with this Reason Code if the version has it.
    Refused {
        /// The Network Connection.
        connection: ConnectionId,
        /// Why.
        reason: ConnectReason,
    },
    /// A Network Connection ended.
    Disconnected {
        /// The Network Connection.
        connection: ConnectionId,
        /// The ClientID, if a CONNECT was accepted.
        client_id: Option<Utf8String>,
        /// Who ended it and why.
        ending: Ending,
    },
    /// A Client broke a rule that its packets alone do not show to be broken, and the Server ends the Network
    /// Connection for it (§4.13).
    RuleBroken {
        /// The Network Connection.
        connection: ConnectionId,
        /// What a 5.0 Client is told.
        reason: DisconnectReason,
        /// What it did.
        detail: &'static str,
        /// The statements that it broke, by their numbers in 5.0; none where the rule has no number.
        statements: &'static [&'static str],
    },
    /// A Session began (§4.1).
    SessionCreated {
        /// Whose.
        client_id: Utf8String,
    },
    /// A Session was taken up by a new Network Connection.
    SessionResumed {
        /// Whose.
        client_id: Utf8String,
    },
    /// A new Network Connection took the place of one that was still open (§3.1.4).
    SessionTakenOver {
        /// Whose.
        client_id: Utf8String,
        /// The old Network Connection.
        from: ConnectionId,
        /// The new one.
        to: ConnectionId,
    },
    /// A Session ended.
    SessionEnded {
        /// Whose.
        client_id: Utf8String,
        /// Why.
        why: SessionEnd,
    },
    /// A Will Message was published (§3.1.2.5).
    WillPublished {
        /// Whose.
        client_id: Utf8String,
        /// Where.
        topic: TopicName,
    },
    /// A Will Message was deleted without being published.
    WillDiscarded {
        /// Whose.
        client_id: Utf8String,
        /// Why.
        why: WillEnd,
    },
    /// The Server took ownership of an Application Message.
    MessageAccepted {
        /// Who published it; the owner of the Will, if it is one.
        client_id: Utf8String,
        /// Where.
        topic: TopicName,
        /// At which QoS.
        qos: QoS,
        /// How many copies went to Sessions.
        copies: usize,
    },
    /// A copy of an Application Message will not reach this Client.
    MessageDropped {
        /// Who does not get it.
        client_id: Utf8String,
        /// Its topic.
        topic: TopicName,
        /// Why.
        why: Drop,
    },
    /// A retained message was deleted because its Message Expiry Interval passed (§3.3.1.3).
    RetainedExpired {
        /// Its topic.
        topic: TopicName,
    },
}

/// Who ended a Network Connection and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The Client sent DISCONNECT.
    Client(DisconnectReason),
    /// The Network Connection ended without DISCONNECT.
    Network,
    /// The Server closed it. A 5.0 Client was told this Reason Code.
    Server(DisconnectReason),
    /// The Server closed it without a word: there was no accepted CONNECT, or no Reason Code that fits.
    Silent,
}

/// Why a Session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEnd {
    /// Its Session Expiry Interval passed, or was 0 when the Network Connection closed.
    Expired,
    /// A CONNECT with Clean Start 1 took its place.
    CleanStart,
}

/// Why a Will Message was deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WillEnd {
    /// DISCONNECT with Reason Code 0x00, or any DISCONNECT before 5.0.
    Disconnected,
    /// The Client was back before the Will Delay Interval had passed.
    Reconnected,
}

/// Why a copy of a message was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drop {
    /// As many messages wait as the options allow.
    QueueFull,
    /// Its Message Expiry Interval passed.
    Expired,
    /// It exceeds the Client's Maximum Packet Size.
    TooLarge,
    /// The Session ended before it was delivered.
    SessionEnded,
    /// The Client answered with a Reason Code of 0x80 or above.
    Refused,
    /// QoS 0, and the Client is away.
    Away,
    /// QoS 0, and the Client does not read fast enough.
    Congested,
}
