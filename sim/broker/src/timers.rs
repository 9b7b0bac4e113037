//! Timers: one ordered set of deadlines for the whole broker.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mqttspec_codec::TopicName;

use crate::ConnectionId;
use crate::session::SessionKey;

/// The purpose of a deadline. Deadlines of the same instant are handled in this order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// No CONNECT was received, or its authentication did not end (§3.1.4).
    ConnectTimeout(ConnectionId),
    /// No packet was received for one and a half Keep Alive periods (§3.1.2.10).
    KeepAlive(ConnectionId),
    /// The Will Delay Interval of a Session without Network Connection has passed (§3.1.3.2.2).
    WillDelay(SessionKey),
    /// The Session Expiry Interval has passed (§4.1.1).
    SessionExpiry(SessionKey),
    /// Searches for retained messages go on.
    RetainedScans,
    /// What is left of Sessions that have ended is removed.
    Leaving,
    /// More of the messages that wait for Clients are sent.
    Deliveries,
    /// A message is given to more Sessions.
    Routings,
    /// Messages are given to more Shared Subscriptions.
    Distributions,
    /// The statistics are published.
    Statistics,
    /// The Message Expiry Interval of a retained message has passed (§3.3.1.3). Boxed, because
    /// there are few of these, and one or two deadlines for each Session.
    RetainedExpiry(Box<TopicName>),
}

#[derive(Debug, Default)]
pub(crate) struct Timers {
    by_time: BTreeSet<(Duration, Timer)>,
    by_timer: BTreeMap<Timer, Duration>,
}

impl Timers {
    /// Sets the timer, or moves it if it is set.
    pub(crate) fn set(&mut self, timer: Timer, at: Duration) {
        if let Some(before) = self.by_timer.insert(timer.clone(), at) {
            self.by_time.remove(&(before, timer.clone()));
        }
        self.by_time.insert((at, timer));
    }

    pub(crate) fn cancel(&mut self, timer: Timer) {
        if let Some(at) = self.by_timer.remove(&timer) {
            self.by_time.remove(&(at, timer));
        }
    }

    pub(crate) fn is_due(&self, timer: &Timer, now: Duration) -> bool {
        self.by_timer.get(timer).is_some_and(|at| *at <= now)
    }

    pub(crate) fn next(&self) -> Option<Duration> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Removes and returns the first timer whose deadline has passed.
    pub(crate) fn take_due(&mut self, now: Duration) -> Option<Timer> {
        if self.next()? > now {
            return None;
        }
        let (_, timer) = self.by_time.pop_first()?;
        self.by_timer.remove(&timer);
        Some(timer)
    }
}
