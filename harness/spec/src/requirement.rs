//! A clause as findings and reports cite it.

use std::collections::BTreeSet;
use std::fmt;

use mqttspec_codec::Version;
use serde::{Deserialize, Serialize};

use crate::{Catalogue, Clause, Standard};

/// A clause of one version of the standard, with the catalogue's summary.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Requirement {
    /// The version of the standard that the id belongs to: `3.1`, `3.1.1` or `5.0`.
    pub version: String,
    /// The id as the standard prints it, without brackets (`MQTT-3.1.2-8`), or one of ours
    /// (`U5-043`, `U31-001`).
    pub clause: String,
    /// The number of the section, for example `3.1.2.5`; empty if unknown.
    pub section: String,
    /// The requirement in our own words; empty if unknown.
    pub summary: String,
}

impl Requirement {
    /// The clause with this id. Section and summary are empty if the standard has no such clause.
    #[must_use]
    pub fn new(version: Version, id: &str) -> Self {
        let standard = Standard::of(version);
        let known = Catalogue::get(standard, id);
        Self {
            version: standard.to_string(),
            clause: id.to_owned(),
            section: known.map_or_else(String::new, |known| known.section.to_owned()),
            summary: known.map_or_else(String::new, |known| known.summary.to_owned()),
        }
    }

    /// The clauses of a rule in a version. `ids` are clauses of 5.0 or of 3.1.1. In MQTT 3.1 the
    /// rule has the clauses that state the same: none if 3.1 has no such rule.
    #[must_use]
    pub fn of_rule(version: Version, ids: &[&str]) -> Vec<Self> {
        if version != Version::V3_1 {
            return ids.iter().map(|id| Self::new(version, id)).collect();
        }
        let stated: BTreeSet<&str> =
            ids.iter().flat_map(|id| Catalogue::in_3_1(id)).map(|clause| clause.id).collect();
        stated.into_iter().map(|id| Self::new(version, id)).collect()
    }

    /// Whether it is one of these clauses of 5.0 and 3.1.1. A clause of 3.1 is if it states nothing
    /// but what they state.
    #[must_use]
    pub fn is_one_of(&self, ids: &[&str]) -> bool {
        let states = |clause: &'static Clause| {
            clause.standard == Standard::V3_1
                && !clause.counterparts.is_empty()
                && clause.counterparts.iter().all(|id| ids.contains(id))
        };
        ids.contains(&self.clause.as_str()) || self.in_catalogue().is_some_and(states)
    }

    /// The clause in the catalogue; `None` if the standard has no such clause.
    #[must_use]
    pub fn in_catalogue(&self) -> Option<&'static Clause> {
        Catalogue::get(self.version.parse().ok()?, &self.clause)
    }
}

impl fmt::Display for Requirement {
    /// `MQTT-3.1.2-8 (MQTT 5.0, section 3.1.2.5): …`, as far as section and summary are known.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (MQTT {}", self.clause, self.version)?;
        if !self.section.is_empty() {
            write!(f, ", section {}", self.section)?;
        }
        f.write_str(")")?;
        if !self.summary.is_empty() {
            write!(f, ": {}", self.summary)?;
        }
        Ok(())
    }
}
