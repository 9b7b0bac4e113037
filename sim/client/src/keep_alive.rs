//! Keep Alive (§3.1.2.10): when PINGREQ is due, and when the Server has been silent for too long.

use std::time::Duration;

/// The timing of one Network Connection.
#[derive(Debug)]
pub(crate) struct KeepAlive {
    /// Zero if Keep Alive is off.
    interval: Duration,
    ratio: f64,
    timeout: Duration,
    last_sent: Duration,
    last_received: Duration,
    ping_sent: Option<Duration>,
}

impl KeepAlive {
    /// `seconds` 0 turns it off. Without `timeout`, PINGRESP is expected within one Keep Alive.
    pub(crate) fn new(now: Duration, seconds: u16, ratio: f64, timeout: Option<Duration>) -> Self {
        let interval = Duration::from_secs(seconds.into());
        Self {
            interval,
            ratio,
            timeout: timeout.unwrap_or(interval),
            last_sent: now,
            last_received: now,
            ping_sent: None,
        }
    }

    pub(crate) fn sent(&mut self, now: Duration) {
        self.last_sent = now;
    }

    pub(crate) fn received(&mut self, now: Duration) {
        self.last_received = now;
    }

    pub(crate) fn ping_sent(&mut self, now: Duration) {
        self.last_sent = now;
        self.ping_sent.get_or_insert(now);
    }

    pub(crate) fn pong_received(&mut self) {
        self.ping_sent = None;
    }

    /// When the next PINGREQ is due.
    ///
    /// Silence of the Server counts like silence of the client. Otherwise a client that sends all
    /// the time would not detect a dead connection.
    pub(crate) fn ping_due(&self) -> Option<Duration> {
        // [MQTT-3.1.2-20] 3.1.1/[MQTT-3.1.2-23]
        if self.interval.is_zero() {
            return None;
        }
        if self.ping_sent.is_some() {
            return Some(self.last_sent + self.interval);
        }
        Some(self.last_sent.min(self.last_received) + self.interval.mul_f64(self.ratio))
    }

    /// When the connection is closed because PINGRESP is missing. Other packets of the Server do
    /// not extend this.
    pub(crate) fn pong_overdue(&self) -> Option<Duration> {
        Some(self.ping_sent? + self.timeout)
    }

    pub(crate) fn deadline(&self) -> Option<Duration> {
        [self.ping_due(), self.pong_overdue()].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_ping_is_due_after_half_the_keep_alive_of_silence() {
        let mut keep_alive = KeepAlive::new(s(0), 60, 0.5, None);
        assert_eq!(keep_alive.ping_due(), Some(s(30)));
        keep_alive.sent(s(20));
        keep_alive.received(s(20));
        assert_eq!(keep_alive.ping_due(), Some(s(50)));
    }

    #[test]
    fn a_client_that_only_sends_still_asks_whether_the_server_is_there() {
        let mut keep_alive = KeepAlive::new(s(0), 60, 0.5, None);
        keep_alive.sent(s(29));
        assert_eq!(keep_alive.ping_due(), Some(s(30)));
        keep_alive.ping_sent(s(30));
        keep_alive.sent(s(80));
        keep_alive.received(s(80));
        assert_eq!(keep_alive.pong_overdue(), Some(s(90)), "no PINGRESP is no PINGRESP");
    }

    #[test]
    fn the_interval_holds_even_while_pingresp_is_awaited() {
        let mut keep_alive = KeepAlive::new(s(0), 10, 0.5, Some(s(60)));
        keep_alive.ping_sent(s(5));
        assert_eq!(keep_alive.ping_due(), Some(s(15)));
        keep_alive.ping_sent(s(15));
        assert_eq!(keep_alive.pong_overdue(), Some(s(65)));
    }

    #[test]
    fn keep_alive_zero_is_off() {
        let keep_alive = KeepAlive::new(s(0), 0, 0.5, None);
        assert_eq!(keep_alive.deadline(), None);
    }
}
