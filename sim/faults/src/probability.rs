//! A probability that means the same on every machine.

use std::fmt;

/// A probability, kept as a number of 2⁶⁴ths so that a draw is a comparison of integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Probability(u64);

impl Probability {
    /// Never.
    pub const NEVER: Probability = Probability(0);
    /// Always.
    pub const ALWAYS: Probability = Probability(u64::MAX);

    /// Three times in ten.
    pub const THIRTY_PERCENT: Probability = Probability(u64::MAX / 10 * 3);

    /// From a fraction of one. Below 0 and not a number count as 0, above 1 counts as 1.
    pub fn fraction(fraction: f64) -> Probability {
        // 2⁶⁴ as a float; the cast saturates, and takes NaN to 0.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "saturates as documented"
        )]
        Probability((fraction * 18_446_744_073_709_551_616.0) as u64)
    }

    /// From a number of hundredths. Above 100 counts as 100.
    pub fn percent(percent: u32) -> Probability {
        Probability::fraction(f64::from(percent) / 100.0)
    }

    /// As a fraction of one.
    pub fn as_fraction(self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "for people")]
        let threshold = self.0 as f64;
        threshold / 18_446_744_073_709_551_616.0
    }

    /// Decides one case by a word in which all bits are equally likely. Draws no word if the answer
    /// is known.
    pub fn decide(self, draw_word: impl FnOnce() -> u64) -> bool {
        match self.0 {
            0 => false,
            u64::MAX => true,
            threshold => draw_word() < threshold,
        }
    }
}

impl fmt::Display for Probability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} %", self.as_fraction() * 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fraction_is_kept_at_its_ends() {
        let cases = [(-1.0, 0), (f64::NAN, 0), (0.0, 0), (0.5, 1 << 63), (1.0, u64::MAX), (2.0, u64::MAX)];
        for (fraction, threshold) in cases {
            assert_eq!(Probability::fraction(fraction), Probability(threshold), "{fraction}");
        }
    }

    #[test]
    fn never_and_always_draw_nothing() {
        let no_draw = || panic!("drawn");
        assert!(!Probability::NEVER.decide(no_draw));
        assert!(Probability::ALWAYS.decide(no_draw));
        assert!(Probability::percent(50).decide(|| (1 << 63) - 1));
        assert!(!Probability::percent(50).decide(|| 1 << 63));
    }
}
