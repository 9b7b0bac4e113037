//! Events inside the broker, for histories and traces. Nothing on the wire depends on whether they
//! are read.

use mqttspec_codec::{ConnectReason, DisconnectReason, QoS, TopicName, Utf8String, Version};

use crate::ConnectionId;

/// An event inside the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A CONNECT was accepted.
    Connected {
        /// The Network Connection.
        connection: ConnectionId,
        /// The ClientID, chosen by the Client or assigned by the Server.
        client_id: Utf8String,
        /// The protocol version of the Client.
        version: Version,
        /// Whether a Session was resumed.
        session_present: bool,
    },
    /// A CONNECT was refused.
    Refused {
        /// The Network Connection.
        connection: ConnectionId,
        /// The reason.
        reason: ConnectReason,
    },
    /// A Network Connection ended.
    Disconnected {
        /// The Network Connection.
        connection: ConnectionId,
        /// The ClientID, if a CONNECT was accepted.
        client_id: Option<Utf8String>,
        /// Which side ended it, and how.
        ending: Ending,
    },
    /// A Client broke a rule in a way that its packets alone do not show, and the Server ends the
    /// Network Connection (§4.13).
    RuleBroken {
        /// The Network Connection.
        connection: ConnectionId,
        /// The Reason Code that a 5.0 Client is sent.
        reason: DisconnectReason,
        /// What the Client did.
        detail: &'static str,
        /// The clauses that it broke, by their numbers in 5.0; empty if the rule has no number.
        clauses: &'static [&'static str],
    },
    /// A Session began (§4.1).
    SessionCreated {
        /// The ClientID.
        client_id: Utf8String,
    },
    /// A Session was resumed on a new Network Connection.
    SessionResumed {
        /// The ClientID.
        client_id: Utf8String,
    },
    /// A new Network Connection replaced one that was still open (§3.1.4).
    SessionTakenOver {
        /// The ClientID.
        client_id: Utf8String,
        /// The old Network Connection.
        from: ConnectionId,
        /// The new one.
        to: ConnectionId,
    },
    /// A Session ended.
    SessionEnded {
        /// The ClientID.
        client_id: Utf8String,
        /// The reason.
        why: SessionEnd,
    },
    /// A Will Message was published (§3.1.2.5).
    WillPublished {
        /// The ClientID.
        client_id: Utf8String,
        /// The topic.
        topic: TopicName,
    },
    /// A Will Message was deleted without being published.
    WillDiscarded {
        /// The ClientID.
        client_id: Utf8String,
        /// The reason.
        why: WillEnd,
    },
    /// The Server took ownership of an Application Message.
    MessageAccepted {
        /// The ClientID of the publisher, or of the owner of a Will.
        client_id: Utf8String,
        /// The topic.
        topic: TopicName,
        /// The QoS that it was published with.
        qos: QoS,
        /// The number of copies that were given to Sessions.
        copies: usize,
    },
    /// A copy of an Application Message was dropped.
    MessageDropped {
        /// The ClientID of the receiver.
        client_id: Utf8String,
        /// The topic.
        topic: TopicName,
        /// The reason.
        why: Drop,
    },
    /// A retained message was deleted because its Message Expiry Interval passed (§3.3.1.3).
    RetainedExpired {
        /// The topic.
        topic: TopicName,
    },
}

/// Which side ended a Network Connection, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The Client sent DISCONNECT.
    Client(DisconnectReason),
    /// The Network Connection ended without DISCONNECT.
    Network,
    /// The Server closed it. A 5.0 Client was sent this Reason Code.
    Server(DisconnectReason),
    /// The Server closed it without DISCONNECT: there was no accepted CONNECT, or no Reason Code
    /// fits.
    Silent,
}

/// Why a Session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEnd {
    /// Its Session Expiry Interval passed, or was 0 when the Network Connection closed.
    Expired,
    /// A CONNECT with Clean Start 1 replaced it.
    CleanStart,
}

/// Why a Will Message was deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WillEnd {
    /// DISCONNECT with Reason Code 0x00, or any DISCONNECT before 5.0.
    Disconnected,
    /// The Client reconnected before the Will Delay Interval had passed.
    Reconnected,
    /// The user may no longer publish to its topic.
    NotAuthorized,
}

/// Why a copy of a message was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drop {
    /// The Client's queue is full.
    QueueFull,
    /// Its Message Expiry Interval passed.
    Expired,
    /// It exceeds the Client's Maximum Packet Size.
    TooLarge,
    /// The Session ended before it was delivered.
    SessionEnded,
    /// The Client answered with a Reason Code of 0x80 or above.
    Refused,
    /// QoS 0, and the Client is not connected.
    Away,
    /// QoS 0, and the Client does not read fast enough.
    Congested,
    /// The user may no longer read its topic.
    NotAuthorized,
}
