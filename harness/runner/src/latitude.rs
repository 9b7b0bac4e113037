//! The choices that the standard leaves to a peer, and how a run makes them.
//!
//! A reference peer is one right peer. A check that accepts only that one gives false verdicts on
//! others. With latitude, a run draws how the peer under test uses its choices; every scenario
//! must still pass, or be not judged.

use std::fmt;
use std::str::FromStr;

// An option with several conformant values. The first one is the reference's.
use mqttspec_broker::Latitude as Choice;
use mqttspec_codec::Role;
use mqttspec_judge::Case;
use mqttspec_mutants::Mutant;

use crate::executor::run_seed;

/// The name under which [`Latitude::Only`] takes a variant of the peer.
const VARIANT: &str = "variant";

/// How the peer under test uses the choices that the standard leaves to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Latitude {
    /// As the reference peer does.
    #[default]
    Reference,
    /// As the seed draws it.
    Drawn,
    /// As the reference peer does, but for one choice.
    Only {
        /// The name of the option, or `variant`.
        name: &'static str,
        /// Its value.
        value: &'static str,
    },
}

/// The text names no choice of a peer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is no choice of a peer. Write `drawn`, or one of: {}", all().join(", "))]
pub struct UnknownChoice {
    given: String,
}

impl FromStr for Latitude {
    type Err = UnknownChoice;

    /// Reads `drawn`, or one choice as `name=value`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "drawn" {
            return Ok(Self::Drawn);
        }
        let mut choices = [Role::Server, Role::Client].into_iter().flat_map(choices);
        let choice = choices.find(|(name, value)| text.split_once('=') == Some((name, value)));
        let (name, value) = choice.ok_or_else(|| UnknownChoice { given: text.to_owned() })?;
        Ok(Self::Only { name, value })
    }
}

impl fmt::Display for Latitude {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reference => f.write_str("reference"),
            Self::Drawn => f.write_str("drawn"),
            Self::Only { name, value } => write!(f, "{name}={value}"),
        }
    }
}

impl Latitude {
    /// The choices of the peer under test in one run; `None` where it is the reference peer.
    ///
    /// Each option keeps the reference's value in about half of the runs, so that a failure has few
    /// causes. The variant is drawn evenly, and one of them is the unchanged peer.
    pub(crate) fn choices(self, case: &Case, seed: u64) -> Option<Choices> {
        let variants = Mutant::variants(case.tests);
        match self {
            Self::Reference => None,
            Self::Drawn => {
                let seed = run_seed(case, seed).child("latitude");
                let options = options(case.tests).iter().filter_map(|choice| {
                    let mut draw = seed.child(choice.option).draw();
                    let value = draw.pick(choice.values.get(1..)?).copied()?;
                    (draw.below(2) == 1).then_some((choice.option, value))
                });
                let options = options.collect();
                let variant = seed.child(VARIANT).draw().pick(variants).unwrap_or(&variants[0]);
                Some(Choices { options, variant })
            }
            Self::Only { name, value } => {
                let is_option = options(case.tests).iter().any(|choice| choice.option == name);
                let options = is_option.then_some((name, value)).into_iter().collect();
                let named = variants.iter().find(|variant| name == VARIANT && variant.name == value);
                Some(Choices { options, variant: named.unwrap_or(&variants[0]) })
            }
        }
    }
}

/// How the peer under test uses its choices in one run.
#[derive(Clone, Debug)]
pub(crate) struct Choices {
    /// Options of its core, with their values. Those of the scenario override them.
    pub(crate) options: Vec<(&'static str, &'static str)>,
    /// What it does beyond options.
    pub(crate) variant: &'static Mutant,
}

impl Choices {
    /// The choices as text, for the reader of a failure.
    pub(crate) fn described(&self) -> Vec<(String, String)> {
        let options = self.options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let variant = (VARIANT.to_owned(), self.variant.name.to_owned());
        options.chain([variant]).collect()
    }
}

/// The options of a peer that are choices.
const fn options(role: Role) -> &'static [Choice] {
    match role {
        Role::Server => mqttspec_broker::Options::LATITUDE,
        Role::Client => mqttspec_client::Options::LATITUDE,
    }
}

/// Every choice of a peer that is not the reference's own, as name and value.
fn choices(role: Role) -> impl Iterator<Item = (&'static str, &'static str)> {
    let values = options(role)
        .iter()
        .flat_map(|choice| choice.values.iter().skip(1).map(|value| (choice.option, *value)));
    values.chain(Mutant::variants(role).iter().skip(1).map(|variant| (VARIANT, variant.name)))
}

/// Every text that [`Latitude::from_str`] takes as one choice.
fn all() -> Vec<String> {
    let both = [Role::Server, Role::Client].into_iter().flat_map(choices);
    let mut texts: Vec<String> = both.map(|(name, value)| format!("{name}={value}")).collect();
    texts.sort();
    texts.dedup();
    texts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_read_as_it_is_printed() {
        for text in all() {
            let latitude: Latitude = text.parse().unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(latitude.to_string(), text);
        }
        assert_eq!("drawn".parse(), Ok(Latitude::Drawn));
        assert!("send_maximum=65535".parse::<Latitude>().is_err(), "it is the reference's own");
    }
}
