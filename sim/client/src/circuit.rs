//! A circuit breaker: after consecutive failures it allows no attempt for a while, then a single
//! one.
//!
//! It is separate from back-off because it applies to repeated Connect commands too.

use std::time::Duration;

/// The state of the circuit breaker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CircuitState {
    /// Attempts are allowed.
    #[default]
    Closed,
    /// No attempt is allowed before `until`.
    Open {
        /// When one attempt is allowed.
        until: Duration,
    },
    /// One attempt is in progress; its result decides.
    HalfOpen,
}

/// Counts consecutive failures.
#[derive(Debug, Default)]
pub(crate) struct Circuit {
    state: CircuitState,
    failures: u32,
}

impl Circuit {
    pub(crate) fn state(&self) -> CircuitState {
        self.state
    }

    /// When an attempt is allowed; `now` if at once.
    pub(crate) fn earliest(&self, now: Duration) -> Duration {
        match self.state {
            CircuitState::Open { until } => until.max(now),
            CircuitState::Closed | CircuitState::HalfOpen => now,
        }
    }

    /// An attempt starts. Returns whether the state changed.
    pub(crate) fn attempt(&mut self, now: Duration) -> bool {
        match self.state {
            CircuitState::Open { until } if now >= until => {
                self.state = CircuitState::HalfOpen;
                true
            }
            _ => false,
        }
    }

    /// The attempt failed. With `failures_max` 0 the breaker stays closed. Returns whether the
    /// state changed.
    pub(crate) fn failed(&mut self, now: Duration, failures_max: u32, delay: Duration) -> bool {
        self.failures = self.failures.saturating_add(1);
        let trips = self.state == CircuitState::HalfOpen || self.failures >= failures_max;
        if failures_max == 0 || !trips {
            return false;
        }
        self.state = CircuitState::Open { until: now + delay };
        true
    }

    /// The Server accepted a CONNECT. Returns whether the state changed.
    pub(crate) fn succeeded(&mut self) -> bool {
        self.failures = 0;
        std::mem::take(&mut self.state) != CircuitState::Closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELAY: Duration = Duration::from_secs(30);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn opens_after_five_failures_and_lets_one_attempt_pass_after_thirty_seconds() {
        let mut circuit = Circuit::default();
        for _ in 0..4 {
            assert!(!circuit.failed(at(10), 5, DELAY));
        }
        assert!(circuit.failed(at(10), 5, DELAY));
        assert_eq!(circuit.earliest(at(11)), at(40));
        assert!(!circuit.attempt(at(39)));
        assert!(circuit.attempt(at(40)));
        assert_eq!(circuit.state(), CircuitState::HalfOpen);
    }

    #[test]
    fn the_half_open_attempt_decides() {
        let mut circuit = Circuit::default();
        for _ in 0..5 {
            circuit.failed(at(0), 5, DELAY);
        }
        circuit.attempt(at(30));
        assert!(circuit.failed(at(31), 5, DELAY));
        assert_eq!(circuit.state(), CircuitState::Open { until: at(61) });
        circuit.attempt(at(61));
        assert!(circuit.succeeded());
        assert_eq!(circuit.state(), CircuitState::Closed);
        assert!(!circuit.failed(at(62), 5, DELAY), "the count starts anew");
    }

    #[test]
    fn zero_failures_turns_it_off() {
        let mut circuit = Circuit::default();
        for _ in 0..100 {
            assert!(!circuit.failed(at(0), 0, DELAY));
        }
        assert_eq!(circuit.earliest(at(7)), at(7));
    }
}
