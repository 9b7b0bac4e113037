//! The clause catalogue: every numbered conformance statement of MQTT 3.1.1 and 5.0, normative
//! sentences without a number, and rules of MQTT 3.1, which numbers none. Each has a summary in our
//! own words.
//!
//! The notation, the monitors, the reports and the comments in the code cite these ids, and tests
//! refuse ids that do not exist. The standards number the same rule differently and use the
//! same number for different rules, so an id means nothing without its [`Standard`]. The data is in
//! `clauses/*.toml` of this crate.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use mqttspec_codec::Version;
use serde::Deserialize;

use crate::{Area, Level, Roles};

/// A version of the standard with its clauses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standard {
    /// MQTT V3.1 Protocol Specification, 2010. It numbers no statements, so all ids are ours.
    V3_1,
    /// MQTT Version 3.1.1, OASIS Standard, 29 October 2014.
    V3_1_1,
    /// MQTT Version 5.0, OASIS Standard, 07 March 2019.
    V5,
}

impl Standard {
    /// All, the oldest first.
    pub const ALL: [Self; 3] = [Self::V3_1, Self::V3_1_1, Self::V5];

    /// Those that number their conformance statements, the older first.
    pub const NUMBERED: [Self; 2] = [Self::V3_1_1, Self::V5];

    /// The standard to which the counterparts of its clauses belong.
    #[must_use]
    pub const fn of_counterparts(self) -> Self {
        match self {
            Self::V3_1_1 => Self::V5,
            Self::V3_1 | Self::V5 => Self::V3_1_1,
        }
    }

    /// The standard of a version.
    #[must_use]
    pub const fn of(version: Version) -> Self {
        match version {
            Version::V3_1 => Self::V3_1,
            Version::V3_1_1 => Self::V3_1_1,
            Version::V5 => Self::V5,
        }
    }

    /// The address of its HTML edition.
    #[must_use]
    pub const fn address(self) -> &'static str {
        match self {
            Self::V3_1 => "https://public.dhe.ibm.com/software/dw/webservices/ws-mqtt/mqtt-v3r1.html",
            Self::V3_1_1 => "https://docs.oasis-open.org/mqtt/mqtt/v3.1.1/os/mqtt-v3.1.1-os.html",
            Self::V5 => "https://docs.oasis-open.org/mqtt/mqtt/v5.0/os/mqtt-v5.0-os.html",
        }
    }
}

impl fmt::Display for Standard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::V3_1 => "3.1",
            Self::V3_1_1 => "3.1.1",
            Self::V5 => "5.0",
        })
    }
}

/// The text names no version of MQTT.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no version of MQTT: 3.1, 3.1.1 or 5")]
pub struct UnknownStandard(String);

impl FromStr for Standard {
    type Err = UnknownStandard;

    /// Reads `3.1`, `3.1.1`, `5` or `5.0`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "3.1" => Ok(Self::V3_1),
            "3.1.1" => Ok(Self::V3_1_1),
            "5" | "5.0" => Ok(Self::V5),
            _ => Err(UnknownStandard(text.to_owned())),
        }
    }
}

/// Where a clause comes from, and so how binding it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// A conformance statement with a number of its own: `MQTT-3.1.2-8`.
    #[default]
    Numbered,
    /// A sentence of the standard that has no number. The id (`U5-043`) is ours.
    Body,
    /// Behaviour that the standard leaves open on purpose. Every option in the summary is
    /// conformant.
    Choice,
    /// Our interpretation: it follows from the text, and is not written there.
    Inferred,
}

/// A clause of a standard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clause {
    /// The standard that it belongs to.
    pub standard: Standard,
    /// The id as the standard prints it, without brackets (`MQTT-3.1.2-8`), or one of ours
    /// (`U5-043`, `U3-001`, `U31-001`).
    pub id: &'static str,
    /// The number of the section: `3.1.2.5`. It may be finer than the id, or differ from it.
    pub section: &'static str,
    /// The roles that it binds.
    pub role: Roles,
    /// The strongest keyword of the sentence. A plain statement counts as [`Level::Must`].
    pub level: Level,
    /// The area of the protocol.
    pub area: Area,
    /// The requirement in our own words: one sentence of at most 200 characters.
    pub summary: &'static str,
    /// The roles that must treat a violation as an error when they receive it. Scenarios violate
    /// the clause on purpose to test them.
    pub checked_by: Option<Roles>,
    /// The closest clauses of [`Standard::of_counterparts`]. They may differ in detail.
    pub counterparts: Vec<&'static str>,
    /// Of a clause of 3.1: clauses of 3.1.1 of which it states one part only.
    pub part_of: Vec<&'static str>,
    /// Misprints of the id in the standard. Only [`Catalogue::nearest`] accepts them.
    pub aliases: Vec<&'static str>,
    /// Why no scenario can observe it.
    pub unobservable: Option<&'static str>,
    /// Why no scenario can observe that a Client obeys it, if one can observe a Server.
    pub unobservable_in_clients: Option<&'static str>,
    /// Where it comes from.
    pub origin: Origin,
    /// What a peer has to get wrong to break it. Empty if anything can. The words are:
    ///
    /// - a packet that it owes (`PUBLISH`), or the end of the connection (`closed`);
    /// - a field of a packet, as the notation names it (`qos`), or the `reasons` of a SUBACK;
    /// - `dup=0` or `dup=1`: DUP has this value where it has to have the other one;
    /// - `form`: a packet is malformed;
    /// - `order`: a packet comes after one that it has to precede;
    /// - `instead`: another packet comes where one of a certain type has to be;
    /// - `extra`: a packet comes where none may.
    pub about: Vec<&'static str>,
}

impl Clause {
    /// Whether a peer breaks the clause that gets these things wrong, in the words of
    /// [`Clause::about`].
    #[must_use]
    pub fn is_broken_by(&self, wrong: &[&str]) -> bool {
        self.about.is_empty() || self.is_about(wrong)
    }

    /// Whether [`Clause::about`] names one of these things.
    #[must_use]
    pub fn is_about(&self, wrong: &[&str]) -> bool {
        wrong.iter().any(|wrong| self.about.contains(wrong))
    }

    /// A link to the section in the HTML edition of the standard. If the section has no anchor, the
    /// link leads to the nearest enclosing section that has one.
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

    /// Why no scenario can observe that a peer of `role` obeys it.
    #[must_use]
    pub fn unobservable_in(&self, role: Roles) -> Option<&'static str> {
        let in_clients = self.unobservable_in_clients.filter(|_| role == Roles::Client);
        self.unobservable.or(in_clients)
    }

    /// Whether reports count it. 3.1.1 and 5.0 are measured by their numbered statements, and 3.1,
    /// which has none, by the rules of its text.
    #[must_use]
    pub fn is_counted(&self) -> bool {
        match self.standard {
            Standard::V3_1 => self.origin == Origin::Body,
            Standard::V3_1_1 | Standard::V5 => self.origin == Origin::Numbered,
        }
    }

    /// Whether tests of `role` should cover it: because it binds `role`, or because `role` must
    /// detect violations.
    #[must_use]
    pub(crate) fn concerns(&self, role: Roles) -> bool {
        self.role.includes(role)
            || self.checked_by.is_some_and(|checks| checks.includes(role))
            || role == Roles::Both
    }
}

impl fmt::Display for Clause {
    /// As the code cites it: `[MQTT-3.1.2-8]`, and `3.1.1/[MQTT-…]` for a clause of 3.1.1.
    /// Ids of 3.1 differ from all others.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.standard {
            Standard::V3_1 | Standard::V5 => write!(f, "[{}]", self.id),
            Standard::V3_1_1 => write!(f, "3.1.1/[{}]", self.id),
        }
    }
}

/// All clauses of all standards.
#[derive(Debug)]
pub struct Catalogue {
    clauses: BTreeMap<Standard, Vec<Clause>>,
    /// Positions in `clauses`.
    by_id: BTreeMap<Standard, BTreeMap<&'static str, usize>>,
    anchors: BTreeMap<Standard, BTreeMap<String, String>>,
}

impl Catalogue {
    /// The clause with this id; `None` if the standard has no such clause.
    #[must_use]
    pub fn get(standard: Standard, id: &str) -> Option<&'static Clause> {
        let position = CATALOGUE.by_id[&standard].get(id)?;
        CATALOGUE.clauses[&standard].get(*position)
    }

    /// All clauses of a standard: first the numbered ones in its order, then those without a
    /// number.
    pub fn iter(standard: Standard) -> impl Iterator<Item = &'static Clause> {
        CATALOGUE.clauses[&standard].iter()
    }

    /// The clauses of MQTT 3.1 that state the same rule as this clause of 3.1.1.
    pub fn in_3_1(id: &str) -> impl Iterator<Item = &'static Clause> {
        Self::iter(Standard::V3_1).filter(move |clause| clause.counterparts.contains(&id))
    }

    /// The clause that was probably meant by an unknown id: the one with this misprint, otherwise
    /// the counterpart of another standard's clause with this id, otherwise the nearest spelling.
    /// `None` if nothing is near, or if `id` exists.
    #[must_use]
    pub fn nearest(standard: Standard, id: &str) -> Option<&'static Clause> {
        if Self::get(standard, id).is_some() {
            return None;
        }
        if let Some(misprinted) = Self::iter(standard).find(|clause| clause.aliases.contains(&id)) {
            return Some(misprinted);
        }
        if let Some(meant) =
            Self::get(standard.of_counterparts(), id).and_then(|clause| clause.counterparts.first())
        {
            return Self::get(standard, meant);
        }
        // With more than two differences, it is probably another id.
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
        (Standard::V3_1, include_str!("../clauses/rules-v3.1.toml")),
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
            assert!(previous.is_none(), "{} is twice in the catalogue of {standard}", entry.id);
            clauses.push(entry.into_clause(standard));
        }
    }
    let about: Vec<Vec<&'static str>> =
        catalogue.clauses[&Standard::V3_1].iter().map(|clause| about_of(&catalogue, clause)).collect();
    for (clause, about) in catalogue.clauses.entry(Standard::V3_1).or_default().iter_mut().zip(about) {
        clause.about = about;
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

/// What a clause of 3.1 is about: the same as the clauses of 3.1.1 that state its rule.
fn about_of(catalogue: &Catalogue, clause: &Clause) -> Vec<&'static str> {
    let of_3_1_1 = |id: &&'static str| {
        let position = catalogue.by_id[&Standard::V3_1_1].get(id)?;
        catalogue.clauses[&Standard::V3_1_1].get(*position)
    };
    let counterparts: Vec<&Clause> = clause.counterparts.iter().filter_map(of_3_1_1).collect();
    if counterparts.iter().any(|clause| clause.about.is_empty()) {
        return Vec::new();
    }
    let about: BTreeSet<&str> = counterparts.iter().flat_map(|clause| &clause.about).copied().collect();
    about.into_iter().collect()
}

/// A file of the catalogue.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File<'a> {
    #[serde(borrow)]
    clause: Vec<Entry<'a>>,
}

/// A clause in its file.
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
    part_of: Vec<&'a str>,
    #[serde(borrow, default)]
    aliases: Vec<&'a str>,
    #[serde(borrow)]
    unobservable: Option<&'a str>,
    #[serde(borrow)]
    unobservable_in_clients: Option<&'a str>,
    #[serde(default)]
    origin: Origin,
    #[serde(borrow, default)]
    about: Vec<&'a str>,
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
            part_of: self.part_of,
            aliases: self.aliases,
            unobservable: self.unobservable,
            unobservable_in_clients: self.unobservable_in_clients,
            origin: self.origin,
            about: self.about,
        }
    }
}

#[cfg(test)]
mod tests;
