//! Counts of what a client has done and of what it holds.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::{Error, ErrorKind};

/// What a client has done since it was created, and what it holds now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Messages that wait to be sent.
    pub waiting: usize,
    /// QoS 1 and QoS 2 messages that were sent and are not completely acknowledged.
    pub in_flight: usize,
    /// Attempts to open a Network Connection.
    pub attempts: u64,
    /// CONNACK packets with Success.
    pub connections: u64,
    /// Accepted connections that have ended.
    pub disconnections: u64,
    /// Accepted connections that replaced one that was lost.
    pub reconnections: u64,
    /// Control Packets sent.
    pub packets_sent: u64,
    /// Control Packets received.
    pub packets_received: u64,
    /// PUBLISH packets sent for the first time.
    pub messages_sent: u64,
    /// PUBLISH packets sent again.
    pub messages_resent: u64,
    /// Messages whose exchange is complete.
    pub messages_published: u64,
    /// Messages received, including those for the client itself.
    pub messages_received: u64,
    /// QoS 2 PUBLISH packets and deliveries that the application had already received.
    pub duplicates_received: u64,
    /// Messages that were dropped from or refused by the publish queue, expired in it, or lost with
    /// the Session.
    pub messages_dropped: u64,
    /// Received deliveries whose checksum was wrong.
    pub deliveries_damaged: u64,
    /// End-to-end acknowledgements for deliveries that this client does not wait for.
    pub delivery_acknowledgements_unknown: u64,
    /// Damaged records that were set aside.
    pub records_set_aside: u64,
    /// Responses that no request waits for.
    pub responses_unexpected: u64,
    /// Acknowledgements with an unknown Packet Identifier.
    pub acknowledgements_unknown: u64,
    /// Bytes saved by Topic Aliases in PUBLISH packets, minus the size of the property.
    pub alias_bytes_saved: i64,
    /// When a packet was last sent or received.
    pub last_activity: Option<Duration>,
    pub(crate) errors: BTreeMap<ErrorKind, u64>,
}

impl Statistics {
    /// The number of errors of this kind.
    #[must_use]
    pub fn errors(&self, kind: ErrorKind) -> u64 {
        self.errors.get(&kind).copied().unwrap_or(0)
    }

    pub(crate) fn count(&mut self, error: &Error) {
        *self.errors.entry(error.kind()).or_default() += 1;
    }
}
