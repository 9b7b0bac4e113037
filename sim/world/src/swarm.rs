//! Options of a run, drawn from its seed, so that many seeds cover many combinations.

use crate::seed::Seed;
use mqttspec_faults::Probability;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

/// The options of a run, each drawn from the seed by its name.
///
/// Adding an option does not change the others. Print the swarm before the run starts, and pass it
/// to [`Builder::swarm`](crate::Builder::swarm), so that the history and a failure contain the
/// options.
///
/// ```
/// use mqttspec_world::{Probability, Swarm, World};
/// use std::time::Duration;
///
/// let mut swarm = Swarm::new(7);
/// let clients = swarm.number("clients", 1..=5);
/// let quality = swarm.choice("qos", &["0", "1", "2"]);
/// let lossy = swarm.chance("lossy", Probability::percent(50));
/// let latency = swarm.duration("latency", Duration::from_millis(1)..=Duration::from_millis(300));
/// println!("seed 7: {swarm}");
/// # let _ = (quality, lossy);
/// let mut world = World::builder(7).swarm(&swarm).latency(latency);
/// for number in 1..=clients {
///     world = world.host(&format!("client {number}"), |_| async {});
/// }
/// world.run(|_| async {})?;
/// # Ok::<(), mqttspec_world::Failure>(())
/// ```
#[derive(Clone, Debug)]
pub struct Swarm {
    seed: Seed,
    drawn: Vec<(String, String)>,
}

impl Swarm {
    /// Creates an empty set of options for the run with that seed.
    pub fn new(seed: u64) -> Swarm {
        Swarm { seed: Seed::new(seed).child("swarm"), drawn: Vec::new() }
    }

    /// A uniformly distributed number of the range; the range's start if its end is smaller.
    pub fn number(&mut self, name: &str, range: RangeInclusive<u64>) -> u64 {
        let (low, high) = range.into_inner();
        let span = high.saturating_sub(low);
        let mut draw = self.seed.child(name).draw();
        let number = if span == u64::MAX { draw.word() } else { low + draw.below(span + 1) };
        self.note(name, &number);
        number
    }

    /// A uniformly distributed duration of the range, in whole milliseconds.
    pub fn duration(&mut self, name: &str, range: RangeInclusive<Duration>) -> Duration {
        let milliseconds = |duration: &Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let (low, high) = (milliseconds(range.start()), milliseconds(range.end()));
        let mut draw = self.seed.child(name).draw();
        let span = high.saturating_sub(low).min(u64::MAX - 1);
        let duration = Duration::from_millis(low + draw.below(span + 1));
        self.note(name, &format_args!("{duration:?}"));
        duration
    }

    /// True with that probability.
    pub fn chance(&mut self, name: &str, probability: Probability) -> bool {
        let chosen = self.seed.child(name).draw().chance(probability);
        self.note(name, &chosen);
        chosen
    }

    /// One of the choices, each equally likely.
    ///
    /// # Panics
    /// If `choices` is empty.
    pub fn choice<T: Clone + fmt::Display>(&mut self, name: &str, choices: &[T]) -> T {
        let chosen = self.seed.child(name).draw().pick(choices).cloned();
        let chosen = chosen.unwrap_or_else(|| panic!("the option {name:?} has no choices"));
        self.note(name, &chosen);
        chosen
    }

    fn note(&mut self, name: &str, value: &dyn fmt::Display) {
        self.drawn.push((name.to_owned(), value.to_string()));
    }
}

impl fmt::Display for Swarm {
    /// Prints `name=value` for each option, in drawing order.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (name, value)) in self.drawn.iter().enumerate() {
            let space = if place == 0 { "" } else { " " };
            write!(f, "{space}{name}={value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_more_moves_none_of_the_others() {
        for seed in 0..100 {
            let mut short = Swarm::new(seed);
            let clients = short.number("clients", 1..=1_000);
            let mut long = Swarm::new(seed);
            long.chance("lossy", Probability::percent(50));
            assert_eq!(long.number("clients", 1..=1_000), clients);
        }
    }

    #[test]
    fn seeds_try_all_choices_within_their_ranges() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let mut swarm = Swarm::new(seed);
            let second = Duration::from_secs(1);
            let latency = swarm.duration("latency", second..=2 * second);
            assert!((second..=2 * second).contains(&latency));
            assert_eq!(swarm.number("one", 5..=5), 5);
            swarm.number("any", 0..=u64::MAX);
            seen.insert((swarm.number("few", 1..=3), swarm.choice("qos", &["0", "1", "2"])));
        }
        assert_eq!(seen.len(), 9, "each number with each choice: {seen:?}");
    }

    #[test]
    fn options_are_printed_in_the_order_in_which_they_were_drawn() {
        let mut swarm = Swarm::new(3);
        swarm.chance("never", Probability::NEVER);
        swarm.duration("latency", Duration::from_millis(20)..=Duration::from_millis(20));
        assert_eq!(swarm.to_string(), "never=false latency=20ms");
    }
}
