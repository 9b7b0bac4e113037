//! A clause as findings and reports cite it.

use std::fmt;

use mqttspec_codec::Version;
use serde::{Deserialize, Serialize};

use crate::{Catalogue, Clause, Standard};

/// A clause of one version of the standard, with the catalogue's summary.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Requirement {
    /// The version of the standard that the id belongs to: `3.1.1` or `5.0`.
    pub version: String,
    /// The id as the standard prints it, without brackets (`MQTT-3.1.2-8`), or one of ours
    /// (`U5-043`).
    pub clause: String,
    /// The number of the section, for example `3.1.2.5`; empty if unknown.
    pub section: String,
    /// The requirement in our own words; empty if unknown.
    pub summary: String,
}

impl Requirement {
    /// The clause with this id. MQTT 3.1 has no numbered clauses, so its rules have the numbers of
    /// 3.1.1. Section and summary are empty if the standard has no such clause.
    #[must_use]
    pub fn new(version: Version, id: &str) -> Self {
        let standard = Standard::of(version).unwrap_or(Standard::V3_1_1);
        let known = Catalogue::get(standard, id);
        Self {
            version: standard.to_string(),
            clause: id.to_owned(),
            section: known.map_or_else(String::new, |known| known.section.to_owned()),
            summary: known.map_or_else(String::new, |known| known.summary.to_owned()),
        }
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
