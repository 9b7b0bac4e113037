//! The health check of a connection: it warns if the application neither sends nor receives a
//! message for a long time, although the Network Connection is alive.

use std::time::Duration;

#[derive(Debug)]
pub(crate) struct Health {
    connected_at: Duration,
    last_message: Duration,
    /// The application was warned, and no message followed.
    is_warned: bool,
}

impl Health {
    pub(crate) fn new(now: Duration) -> Self {
        Self { connected_at: now, last_message: now, is_warned: false }
    }

    /// A message was sent or received.
    pub(crate) fn message(&mut self, now: Duration) {
        self.last_message = now;
        self.is_warned = false;
    }

    /// The first check that finds the connection inactive, if no message comes.
    pub(crate) fn deadline(&self, check: Duration, inactivity: Duration) -> Option<Duration> {
        if self.is_warned || inactivity.is_zero() {
            return None;
        }
        let due = self.last_message.saturating_add(inactivity);
        let since = due.saturating_sub(self.connected_at).as_nanos();
        let checks = since.div_ceil(check.as_nanos().max(1));
        let at = check.as_nanos().max(1).checked_mul(checks)?;
        Some(self.connected_at.saturating_add(Duration::from_nanos(u64::try_from(at).ok()?)))
    }

    /// A check. Returns for how long the connection is inactive, if that is to be reported.
    pub(crate) fn check(&mut self, now: Duration, check: Duration, inactivity: Duration) -> Option<Duration> {
        self.deadline(check, inactivity).filter(|at| *at <= now)?;
        self.is_warned = true;
        Some(now.saturating_sub(self.last_message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_first_check_after_the_limit_warns_once_until_there_is_a_message() {
        let (check, limit) = (at(30), at(300));
        let mut health = Health::new(at(7));
        health.message(at(20));
        assert_eq!(health.deadline(check, limit), Some(at(337)), "the checks are at 7 s, 37 s, …");
        assert_eq!(health.check(at(336), check, limit), None);
        assert_eq!(health.check(at(337), check, limit), Some(at(317)));
        assert_eq!((health.check(at(900), check, limit), health.deadline(check, limit)), (None, None));
        health.message(at(1000));
        assert_eq!(health.deadline(check, limit), Some(at(1327)));
        assert_eq!(health.deadline(check, at(0)), None, "switched off");
    }
}
