//! The clause catalogue: every numbered conformance statement of MQTT 3.1.1 and 5.0, and the rules of their bodies that carry no
//! number, each with a summary in our own words.
//!
//! It is apart from the scenarios so that the notation, the monitors, the reports and the comments in the code all cite the same
//! ids, and none that does not exist. The two standards number the same rule differently and use the same number for different
//! rules, so an id means nothing without its [`Standard`]. The data are `clauses/*.toml` of this crate.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use mqttspec_codec::Version;
use serde::Deserialize;

use crate::{Area, Level, Roles};

/// One of the two standards that number their conformance statements. (MQTT 3.1 has none.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standard {
    /// MQTT Version 3.1.1, OASIS Standard, 29 October 2014.
    V3_1_1,
    /// MQTT Version 5.0, OASIS Standard, 07 March 2019.
    V5,
}

impl Standard {
    /// Both, the older first.
    pub const ALL: [Self; 2] = [Self::V3_1_1, Self::V5];

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::V3_1_1 => Self::V5,
            Self::V5 => Self::V3_1_1,
        }
    }

    /// The standard of a version of a scenario; `None` for MQTT 3.1, which has no numbered clauses.
    #[must_use]
    pub const fn of(version: Version) -> Option<Self> {
        match version {
            Version::V3_1 => None,
            Version::V3_1_1 => Some(Self::V3_1_1),
            Version::V5 => Some(Self::V5),
        }
    }

    /// The address of its HTML edition.
    #[must_use]
    pub const fn address(self) -> &'static str {
        match self {
            Self::V3_1_1 => "https://docs.oasis-open.org/mqtt/mqtt/v3.1.1/os/mqtt-v3.1.1-os.html",
            Self::V5 => "https://docs.oasis-open.org/mqtt/mqtt/v5.0/os/mqtt-v5.0-os.html",
        }
    }
}

impl fmt::Display for Standard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::V3_1_1 => "3.1.1",
            Self::V5 => "5.0",
        })
    }
}

/// The text names neither MQTT 3.1.1 nor 5.0.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a standard with numbered clauses: 3.1.1 or 5")]
pub struct UnknownStandard(String);

impl FromStr for Standard {
    type Err = UnknownStandard;

    /// Reads `3.1.1`, `5` or `5.0`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "3.1.1" => Ok(Self::V3_1_1),
            "5" | "5.0" => Ok(Self::V5),
            _ => Err(UnknownStandard(text.to_owned())),
        }
    }
}

/// Where a clause comes from, and so how much weight it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// A conformance statement with a number of its own: `MQTT-3.1.2-8`.
    #[default]
    Numbered,
    /// A sentence of the standard's body that has no number. The id (`U5-043`) is ours.
    Body,
    /// Behaviour that the standard leaves open on purpose: every way that the summary names is conformant.
    Choice,
    /// Our reading: it follows from the text, and is not written there.
    Inferred,
}

/// One requirement of one standard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clause {
    /// The standard that it belongs to.
    pub standard: Standard,
    /// The id as the body of the standard prints it, without brackets (`MQTT-3.1.2-8`), or one of ours (`U5-043`, `U3-001`).
    pub id: &'static str,
    /// The number of the section in which the sentence stands: `3.1.2.5`. It may be finer than the id, or differ from it.
    pub section: &'static str,
    /// Who has to obey.
    pub role: Roles,
    /// How strongly: the strongest keyword of the sentence. A plain statement of the body counts as [`Level::Must`].
    pub level: Level,
    /// The area of the protocol.
    pub area: Area,
    /// What is required and when, in our own words: one sentence of at most 200 characters.
    pub summary: &'static str,
    /// The receiver that sees a breach on the wire and has to treat it as an error: where a scenario that breaks the clause makes sense.
    pub checked_by: Option<Roles>,
    /// The closest clauses of the other standard. They may differ in detail.
    pub counterparts: Vec<&'static str>,
    /// Other spellings of the id that the standard prints by mistake. [`Catalogue::nearest`] knows them, [`Catalogue::get`] does not.
    pub aliases: Vec<&'static str>,
    /// Why no scenario can show it.
    pub unobservable: Option<&'static str>,
    /// Where it comes from.
    pub origin: Origin,
}

impl Clause {
    /// The section in the HTML edition of the standard; the nearest section above it that has an anchor where it has none itself.
    #[must_use]
    pub fn link(&self) -> String {
        let anchors = &CATALOGUE.anchors[&self.standard];
        let mut section = self.section;
        loop {
            if let Some(anchor) = anchors.get(section) {
                return format!("{}#{anchor}", self.standard.address());
            }
            match section.rsplit_once('.') {
                Some((above, _)) => section = above,
                None => return self.standard.address().to_owned(),
            }
        }
    }

    /// Whether a suite that tests `role` has to show it: because `role` must obey, or because `role` must notice a breach.
    #[must_use]
    pub(crate) fn concerns(&self, role: Roles) -> bool {
        self.role.includes(role)
            || self.checked_by.is_some_and(|checks| checks.includes(role))
            || role == Roles::Both
    }
}

impl fmt::Display for Clause {
    /// As it is cited in the code: `[MQTT-3.1.2-8]`, and `3.1.1/[MQTT-…]` for a clause of 3.1.1.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.standard {
            Standard::V5 => write!(f, "[{}]", self.id),
            Standard::V3_1_1 => write!(f, "3.1.1/[{}]", self.id),
        }
    }
}

/// All clauses of both standards.
#[derive(Debug)]
pub struct Catalogue {
    clauses: BTreeMap<Standard, Vec<Clause>>,
    /// Places in `clauses`.
    by_id: BTreeMap<Standard, BTreeMap<&'static str, usize>>,
    anchors: BTreeMap<Standard, BTreeMap<String, String>>,
}

impl Catalogue {
    /// The clause with this id, numbered or ours; `None` where the standard has no such clause.
    #[must_use]
    pub fn get(standard: Standard, id: &str) -> Option<&'static Clause> {
        let place = CATALOGUE.by_id[&standard].get(id)?;
        CATALOGUE.clauses[&standard].get(*place)
    }

    /// All clauses of a standard: first the numbered ones in its order, then the rules without a number.
    pub fn iter(standard: Standard) -> impl Iterator<Item = &'static Clause> {
        CATALOGUE.clauses[&standard].iter()
    }

    /// The clause that somebody who wrote `id` probably meant: the one that the standard also prints like this, the counterpart where
    /// the other standard has this id, otherwise the nearest spelling. `None` where nothing is near, or where `id` exists.
    #[must_use]
    pub fn nearest(standard: Standard, id: &str) -> Option<&'static Clause> {
        if Self::get(standard, id).is_some() {
            return None;
        }
        if let Some(misprinted) = Self::iter(standard).find(|clause| clause.aliases.contains(&id)) {
            return Some(misprinted);
        }
        if let Some(meant) = Self::get(standard.other(), id).and_then(|clause| clause.counterparts.first()) {
            return Self::get(standard, meant);
        }
        // More than two slips make another id, not a misspelt one.
        Self::iter(standard)
            .map(|clause| {
                (
                    strsim::damerau_levenshtein(&clause.id.to_ascii_uppercase(), &id.to_ascii_uppercase()),
                    clause,
                )
            })
            .filter(|(distance, _)| *distance <= 2)
            .min_by_key(|(distance, _)| *distance)
            .map(|(_, clause)| clause)
    }
}

static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| {
    let mut catalogue =
        Catalogue { clauses: BTreeMap::new(), by_id: BTreeMap::new(), anchors: BTreeMap::new() };
    for (standard, text) in [
        (Standard::V3_1_1, include_str!("../clauses/v3.1.1.toml")),
        (Standard::V3_1_1, include_str!("../clauses/rules-v3.1.1.toml")),
        (Standard::V5, include_str!("../clauses/v5.0.toml")),
        (Standard::V5, include_str!("../clauses/rules-v5.0.toml")),
    ] {
        let file: File<'static> =
            toml::from_str(text).expect("the catalogue's files are part of the program and tested");
        let clauses = catalogue.clauses.entry(standard).or_default();
        let by_id = catalogue.by_id.entry(standard).or_default();
        for entry in file.clause {
            let previous = by_id.insert(entry.id, clauses.len());
            assert!(previous.is_none(), "{} stands twice in the catalogue of {standard}", entry.id);
            clauses.push(entry.into_clause(standard));
        }
    }
    let sections: BTreeMap<String, BTreeMap<String, String>> =
        toml::from_str(include_str!("../clauses/sections.toml"))
            .expect("the catalogue's files are part of the program and tested");
    for (standard, anchors) in sections {
        catalogue
            .anchors
            .insert(standard.parse().expect("the tables of sections.toml are named for standards"), anchors);
    }
    catalogue
});

/// A file of the catalogue.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File<'a> {
    #[serde(borrow)]
    clause: Vec<Entry<'a>>,
}

/// A clause as it stands in its file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry<'a> {
    id: &'a str,
    section: &'a str,
    role: Roles,
    level: Level,
    area: Area,
    summary: &'a str,
    checked_by: Option<Roles>,
    #[serde(borrow, default)]
    counterparts: Vec<&'a str>,
    #[serde(borrow, default)]
    aliases: Vec<&'a str>,
    #[serde(borrow)]
    unobservable: Option<&'a str>,
    #[serde(default)]
    origin: Origin,
}

impl Entry<'static> {
    fn into_clause(self, standard: Standard) -> Clause {
        Clause {
            standard,
            id: self.id,
            section: self.section,
            role: self.role,
            level: self.level,
            area: self.area,
            summary: self.summary,
            checked_by: self.checked_by,
            counterparts: self.counterparts,
            aliases: self.aliases,
            unobservable: self.unobservable,
            origin: self.origin,
        }
    }
}

#[cfg(test)]
mod tests;
