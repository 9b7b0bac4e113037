//! The seed of a run, as a tree of named streams.
//!
//! Every purpose draws from its own stream (link timing, host order, a host's identifiers, …), so
//! that an additional draw for one purpose does not change the others. A stream is ChaCha8. The
//! arithmetic that turns its words into choices is implemented here, so that it is the same on
//! every machine and independent of library versions.

use mqttspec_faults::Probability;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::time::Duration;
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// A node of the seed tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed {
    key: [u8; 32],
}

impl Seed {
    /// The root of the tree. A run prints this number; the same number repeats the run.
    pub fn new(seed: u64) -> Seed {
        Seed { key: [0; 32] }.derive(&seed.to_le_bytes())
    }

    /// The child node with that name.
    pub fn child(&self, name: &str) -> Seed {
        self.derive(name.as_bytes())
    }

    /// The child node with that number.
    pub fn nth(&self, number: u64) -> Seed {
        self.derive(&number.to_le_bytes())
    }

    /// The stream of draws of this node, from its beginning.
    pub fn draw(&self) -> Draw {
        Draw { words: ChaCha8Rng::from_seed(self.key) }
    }

    /// This node as a number, to seed other generators.
    pub fn to_u64(&self) -> u64 {
        let mut first = [0; 8];
        first.copy_from_slice(&self.key[..8]);
        u64::from_le_bytes(first)
    }

    /// This node as a key, to seed other generators.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.key
    }

    fn derive(&self, label: &[u8]) -> Seed {
        let mut input = Vec::with_capacity(32 + label.len());
        input.extend_from_slice(&self.key);
        input.extend_from_slice(label);
        let mut key = [0; 32];
        key[..16].copy_from_slice(&xxh3_128_with_seed(&input, 0).to_le_bytes());
        key[16..].copy_from_slice(&xxh3_128_with_seed(&input, 1).to_le_bytes());
        Seed { key }
    }
}

/// A stream of pseudo-random draws: the same seed gives the same draws, bit for bit, on every
/// machine.
#[derive(Clone, Debug)]
pub struct Draw {
    words: ChaCha8Rng,
}

impl Draw {
    /// The next 64 bits.
    pub fn word(&mut self) -> u64 {
        self.words.next_u64()
    }

    /// A uniformly distributed number below `limit`; 0 if `limit` is 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        if limit == 0 {
            return 0;
        }
        // Lemire's method: words that would make small numbers more likely are drawn again.
        let unfair = limit.wrapping_neg() % limit;
        loop {
            let wide = u128::from(self.word()) * u128::from(limit);
            #[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
            if (wide as u64) >= unfair {
                return (wide >> 64) as u64;
            }
        }
    }

    /// True with that probability.
    pub fn chance(&mut self, probability: Probability) -> bool {
        probability.decide(|| self.word())
    }

    /// A duration from `low` to `high` inclusive, uniformly distributed in nanoseconds.
    pub fn duration(&mut self, low: Duration, high: Duration) -> Duration {
        let span = high.saturating_sub(low).as_nanos();
        let span = u64::try_from(span).unwrap_or(u64::MAX - 1);
        low + Duration::from_nanos(self.below(span + 1))
    }

    /// Shuffles a slice; every order is equally likely.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = usize::try_from(self.below(last as u64 + 1)).unwrap_or(last);
            items.swap(last, other);
        }
    }

    /// One of the items, each equally likely; `None` if there are none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(usize::try_from(self.below(items.len() as u64)).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_means_the_same_on_every_machine() {
        let mut draw = Seed::new(42).child("link timing").draw();
        let words: Vec<u64> = (0..3).map(|_| draw.word()).collect();
        assert_eq!(words, EXPECTED_WORDS);
    }

    const EXPECTED_WORDS: [u64; 3] =
        [12_799_253_587_073_550_729, 3_567_084_033_877_644_503, 16_911_436_917_089_031_258];

    #[test]
    fn a_draw_in_one_stream_moves_no_other() {
        let root = Seed::new(7);
        let mut timing = root.child("link timing").draw();
        let alone = timing.word();
        let mut order = root.child("host order").draw();
        order.word();
        assert_eq!(root.child("link timing").draw().word(), alone);
        assert_ne!(root.child("host order").draw().word(), alone);
        assert_ne!(root.nth(0), root.nth(1));
    }

    #[test]
    fn below_stays_below_and_reaches_every_number() {
        let mut draw = Seed::new(1).draw();
        let mut seen = [0u32; 6];
        for _ in 0..6_000 {
            seen[draw.below(6) as usize] += 1;
        }
        assert!(seen.iter().all(|&n| (800..1_200).contains(&n)), "{seen:?}");
        assert_eq!(draw.below(0), 0);
        assert_eq!(draw.below(1), 0);
    }

    #[test]
    fn a_probability_is_kept_at_its_ends() {
        let mut draw = Seed::new(1).draw();
        assert!((0..1_000).all(|_| !draw.chance(Probability::fraction(0.0))));
        assert!((0..1_000).all(|_| draw.chance(Probability::fraction(1.0))));
        assert!((0..1_000).all(|_| !draw.chance(Probability::fraction(f64::NAN))));
        let thirds = (0..10_000).filter(|_| draw.chance(Probability::percent(30))).count();
        assert!((2_800..3_200).contains(&thirds), "{thirds}");
    }
}
