//! The time that a driver passes to its core.
//!
//! A core's time is a [`Duration`] since an epoch that the driver chooses. A stored Session
//! outlives the driver, so the epoch must stay the same: in a simulation it is the start of the
//! world, and live it is the Unix epoch. Time since the start of the driver is tokio's, which a
//! simulation controls.

use std::time::Duration;

use mqttspec_runtime::Instant;

/// A clock that never goes back.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    started: Instant,
    at_start: Duration,
}

impl Clock {
    /// A clock that shows `now` at this moment and goes on from there.
    #[must_use]
    pub fn showing(now: Duration) -> Clock {
        Clock { started: mqttspec_runtime::now(), at_start: now }
    }

    /// A clock that shows the time since the Unix epoch, read once from the machine: setting the
    /// machine's clock later does not move it.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place where a live driver learns the time of day")]
    pub fn of_this_machine() -> Clock {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH);
        Clock::showing(since_epoch.unwrap_or_default())
    }

    /// Time since the epoch.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.at_start + mqttspec_runtime::now().saturating_duration_since(self.started)
    }

    /// The instant at which the clock will show `time`, for a timer; now, if it has passed.
    #[must_use]
    pub fn instant(&self, time: Duration) -> Instant {
        self.started + time.saturating_sub(self.at_start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn goes_on_from_what_it_showed() {
        let clock = Clock::showing(Duration::from_secs(1000));
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(clock.now(), Duration::from_secs(1005));
        assert_eq!(clock.instant(Duration::from_secs(1005)), Instant::now());
        assert_eq!(clock.instant(Duration::from_secs(1007)), Instant::now() + Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_time_before_the_start_is_due_at_once() {
        let clock = Clock::showing(Duration::from_secs(1000));
        assert!(clock.instant(Duration::from_secs(3)) <= Instant::now());
    }
}
