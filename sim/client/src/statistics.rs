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
    /// Network Connections asked for.
    pub attempts: u64,
    /// CONNACKs that accepted.
    pub connections: u64,
    /// Accepted connections that have ended.
    pub disconnections: u64,
    /// Accepted connections after the first that came without a Connect command.
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
    /// Messages handed to the application.
    pub messages_received: u64,
    /// QoS 2 PUBLISH packets that the application had already.
    pub duplicates_received: u64,
    /// Messages that the publish queue dropped or refused, or that expired in it.
    pub messages_dropped: u64,
    /// Deliveries whose checksum was wrong.
    pub deliveries_damaged: u64,
    /// Acknowledgements that belong to nothing.
    pub acknowledgements_unknown: u64,
    /// Bytes that Topic Aliases have saved in PUBLISH packets, less those that the property cost.
    pub alias_bytes_saved: i64,
    /// When a packet was last sent or received.
    pub last_activity: Option<Duration>,
    pub(crate) errors: BTreeMap<ErrorKind, u64>,
}

impl Statistics {
    /// How many errors of this kind there were.
    #[must_use]
    pub fn errors(&self, kind: ErrorKind) -> u64 {
        self.errors.get(&kind).copied().unwrap_or(0)
    }

    pub(crate) fn count(&mut self, error: &Error) {
        *self.errors.entry(error.kind()).or_default() += 1;
    }
}
