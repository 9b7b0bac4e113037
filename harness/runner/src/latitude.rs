//! The choices that the standard leaves to a peer, drawn by the seed of a run.
//!
//! A reference peer is one right peer. A check that accepts only that one gives false verdicts on
//! others. With latitude, a run draws how the peer under test uses its choices; every scenario
//! must still pass, or be not judged.

use mqttspec_broker::Latitude as Choice;
use mqttspec_codec::Role;
use mqttspec_judge::Case;
use mqttspec_mutants::Mutant;

use crate::executor::run_seed;

/// How the peer under test uses its choices in one run.
#[derive(Clone, Debug)]
pub(crate) struct Latitude {
    /// Options of its core, with their values. Those of the scenario override them.
    pub(crate) options: Vec<(&'static str, &'static str)>,
    /// What it does beyond options.
    pub(crate) variant: &'static Mutant,
}

impl Latitude {
    /// Draws the choices of the peer under test. Each is the reference's own in about half of the
    /// runs, so that a failure has few causes.
    pub(crate) fn draw(case: &Case, seed: u64) -> Self {
        let seed = run_seed(case, seed).child("latitude");
        let (choices, variants): (&[Choice], _) = match case.tests {
            Role::Server => (mqttspec_broker::Options::LATITUDE, Mutant::variants(Role::Server)),
            Role::Client => (mqttspec_client::Options::LATITUDE, Mutant::variants(Role::Client)),
        };
        let options = choices.iter().filter_map(|choice| {
            let mut draw = seed.child(choice.option).draw();
            let value = draw.pick(choice.values.get(1..)?).copied()?;
            (draw.below(2) == 1).then_some((choice.option, value))
        });
        let options = options.collect();
        let variant = seed.child("variant").draw().pick(variants).unwrap_or(&variants[0]);
        Self { options, variant }
    }

    /// What was drawn, for the reader of a failure.
    pub(crate) fn drawn(&self) -> Vec<(String, String)> {
        let options = self.options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let variant = ("variant".to_owned(), self.variant.name.to_owned());
        options.chain([variant]).collect()
    }
}
