//! When to start the next attempt to connect: exponential back-off with jitter.
//!
//! No version of the standard defines how a client reconnects. By default the delay doubles with
//! each failure up to a limit; it can also grow by the first delay, or stay. It is multiplied by a
//! random factor from 0.5 to 1.0, so that clients that lost the same Server do not all reconnect at
//! once.

use std::time::Duration;

use rand::Rng;

use crate::options::ReconnectPolicy;

/// Counts since the last success.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
    retries: u32,
}

/// The limits from the options.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) growth: ReconnectPolicy,
    pub(crate) first: Duration,
    pub(crate) max: Duration,
    /// 0 for no limit.
    pub(crate) attempts: u32,
}

impl Backoff {
    /// The number of the next attempt, starting at 1.
    pub(crate) fn attempt(&self) -> u32 {
        self.failures + 1
    }

    /// The number of delays so far.
    pub(crate) fn retries(&self) -> u32 {
        self.retries
    }

    /// The delay before the next attempt, or `None` when the limit of attempts is reached.
    pub(crate) fn next_delay(&mut self, limits: Limits, random: &mut impl Rng) -> Option<Duration> {
        if limits.attempts != 0 && self.failures >= limits.attempts {
            return None;
        }
        let factor = match limits.growth {
            ReconnectPolicy::Exponential => 1 << self.retries.min(31),
            ReconnectPolicy::Linear => self.retries.saturating_add(1),
            ReconnectPolicy::Constant => 1,
        };
        self.retries = self.retries.saturating_add(1);
        let whole = limits.first.saturating_mul(factor).min(limits.max);
        let half = whole / 2;
        let share = u64::from(random.next_u32());
        let jitter = half.as_nanos() * u128::from(share) / u128::from(u32::MAX);
        Some(half + Duration::from_nanos(u64::try_from(jitter).unwrap_or(u64::MAX)))
    }

    /// An attempt has failed.
    pub(crate) fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// The Server has accepted a CONNECT.
    pub(crate) fn succeeded(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const LIMITS: Limits = Limits {
        growth: ReconnectPolicy::Exponential,
        first: Duration::from_secs(1),
        max: Duration::from_secs(60),
        attempts: 10,
    };

    #[test]
    fn a_delay_can_grow_evenly_or_stay() {
        for (growth, wholes_s) in
            [(ReconnectPolicy::Linear, [1, 2, 3, 4, 5]), (ReconnectPolicy::Constant, [1, 1, 1, 1, 1])]
        {
            let mut random = ChaCha8Rng::seed_from_u64(1);
            let mut backoff = Backoff::default();
            for whole_s in wholes_s {
                let delay = backoff.next_delay(Limits { growth, ..LIMITS }, &mut random).unwrap();
                let whole = Duration::from_secs(whole_s);
                assert!(delay >= whole / 2 && delay <= whole, "{growth:?}: {delay:?} of {whole:?}");
            }
        }
    }

    #[test]
    fn delays_double_within_half_and_whole_and_stop_at_the_limit() {
        for seed in 0..50 {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let mut backoff = Backoff::default();
            for whole_s in [1, 2, 4, 8, 16, 32, 60, 60, 60, 60] {
                let delay = backoff.next_delay(LIMITS, &mut random).unwrap();
                let whole = Duration::from_secs(whole_s);
                assert!(delay >= whole / 2 && delay <= whole, "{delay:?} of {whole:?}");
                backoff.failed();
            }
            assert_eq!(backoff.next_delay(LIMITS, &mut random), None);
        }
    }

    #[test]
    fn success_starts_anew() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let mut backoff = Backoff::default();
        for _ in 0..10 {
            backoff.next_delay(LIMITS, &mut random);
            backoff.failed();
        }
        backoff.succeeded();
        assert_eq!(backoff.attempt(), 1);
        assert!(backoff.next_delay(LIMITS, &mut random).unwrap() <= Duration::from_secs(1));
    }

    #[test]
    fn without_a_limit_a_thousand_failures_still_give_a_delay() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let mut backoff = Backoff::default();
        let limits = Limits { attempts: 0, ..LIMITS };
        for _ in 0..1000 {
            backoff.next_delay(limits, &mut random);
            backoff.failed();
        }
        assert!(backoff.next_delay(limits, &mut random).unwrap() >= Duration::from_secs(30));
    }
}
