//! Counts of what the broker holds: for operators, and for checks that nothing grows without bound.

use crate::broker::Broker;

/// What a broker holds at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Network Connections, including those without an accepted CONNECT.
    pub connections: usize,
    /// Sessions, with or without Network Connection.
    pub sessions: usize,
    /// Subscriptions of all Sessions.
    pub subscriptions: usize,
    /// What is held for all Clients, in bytes: what the option `memory_maximum` limits.
    pub memory: u64,
    /// Retained messages.
    pub retained: usize,
    /// Copies of messages that wait to be sent.
    pub waiting: usize,
    /// Bytes of topic, properties and payload of those copies. A message is counted once for each
    /// copy.
    pub waiting_bytes: u64,
    /// QoS 1 and 2 exchanges with subscribers that have started and are not complete.
    pub in_flight: usize,
}

impl Broker {
    /// Counts what the broker holds, in time proportional to the number of Sessions.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let mut statistics = Statistics {
            connections: self.connections.len(),
            sessions: self.sessions.len(),
            retained: self.retained.len(),
            memory: self.memory.used(),
            ..Statistics::default()
        };
        for session in self.sessions.values() {
            statistics.subscriptions += session.subscriptions.len();
            statistics.waiting += session.outbound.waiting_count();
            statistics.waiting_bytes += session.outbound.waiting_bytes();
            statistics.in_flight += session.outbound.in_flight().count();
        }
        statistics
    }
}
