//! Counts of what the broker holds: for operators, and for checks that nothing grows without bound.
//! A broker with the option `statistics_interval` also publishes them below `$SYS/broker/`.
//!
//! §4.7.2 of both standards: a Server may use Topic Names that begin with `$` for its own purposes.
//! The messages go the way of all others. So a filter that begins with a wildcard does not match
//! them, and who may read them is a matter of `subscribe` lines in the users file.

use std::sync::Arc;
use std::time::Duration;

use mqttspec_codec::{Properties, QoS, TopicName, Utf8String};

use crate::broker::Broker;
use crate::memory::MESSAGE_BYTES;
use crate::message::Message;
use crate::published::STATISTICS;
use crate::timers::Timer;

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
    /// Retained messages, without those of the statistics.
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
            retained: self.retained_of_clients(),
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

    /// The number of retained messages that Clients have published.
    pub(crate) fn retained_of_clients(&self) -> usize {
        self.retained.len() - self.published.retained
    }

    /// Publishes the statistics, and sets the timer for the next time.
    pub(crate) fn publish_statistics(&mut self, now: Duration) {
        let since = *self.published.since.get_or_insert(now);
        let statistics = self.statistics();
        let values = [
            ("uptime", now.saturating_sub(since).as_secs()),
            ("clients/connected", self.clients as u64),
            ("clients/total", statistics.sessions as u64),
            ("connections/count", statistics.connections as u64),
            ("subscriptions/count", statistics.subscriptions as u64),
            ("retained/count", statistics.retained as u64),
            ("messages/received", self.published.received),
            ("messages/sent", self.output.messages_sent),
            ("messages/waiting", statistics.waiting as u64),
            ("messages/waiting/bytes", statistics.waiting_bytes),
            ("messages/inflight", statistics.in_flight as u64),
            ("memory/bytes", statistics.memory),
        ];
        for (name, value) in values {
            self.publish_statistic(now, name, value.to_string());
        }
        self.publish_statistic(now, "version", concat!("mqttspec ", env!("CARGO_PKG_VERSION")).to_owned());
        self.timers.set(Timer::Statistics, now.saturating_add(self.options.statistics_interval));
    }

    /// Publishes one value, if it has changed. It is not stored: after a restart it is published
    /// anew.
    fn publish_statistic(&mut self, now: Duration, name: &str, value: String) {
        let Ok(topic) = Utf8String::try_from(format!("{STATISTICS}broker/{name}")) else { return };
        let Ok(topic) = TopicName::try_from(topic) else { return };
        let before = self.retained.matching_name(&topic).filter(|before| before.is_of_server());
        let is_known = before.is_some();
        if before.is_some_and(|before| before.payload == value) {
            return;
        }
        let message = Arc::new(Message {
            id: self.next_message_id(),
            publisher: Utf8String::default(),
            user: None,
            charge: self.memory.charge((topic.as_bytes().len() + value.len()) as u64 + MESSAGE_BYTES),
            topic,
            qos: QoS::AtMostOnce,
            retain: self.options.retain_available,
            properties: Properties::new(),
            expiry: None,
            payload: value.into(),
        });
        if message.retain {
            self.forget_retained(&message.topic);
            self.published.retained += usize::from(!is_known);
            self.retained.insert(Arc::clone(&message));
        }
        if self.route(now, &message).is_none() {
            self.begin_routing(now, &message);
        }
    }
}
