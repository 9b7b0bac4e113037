//! How much of the standard a suite exercised: computed from verdicts, never typed by hand.
//!
//! A clause is *shown* when a scenario that cites it passed and none failed it. What no scenario cites stays in the table as *not
//! exercised*, so a gap is counted and cannot be forgotten.

use std::collections::{BTreeMap, BTreeSet};

use mqttspec_scenarios::clauses::{Catalogue, Clause, Origin, Standard};
use mqttspec_scenarios::results::SuiteResult;
use mqttspec_scenarios::verdict::Verdict;

/// What a suite says about one clause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClauseStanding {
    /// A scenario that cites it passed, and nothing found it broken.
    Shown,
    /// A check that names it failed.
    Failed,
    /// Every scenario that cites it was skipped or broke.
    Skipped,
    /// No scenario cites it.
    NotShown,
    /// The wire cannot show it, for this reason.
    Unobservable(&'static str),
}

/// One clause in a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClauseRow {
    /// `MQTT-3.1.2-8`
    pub clause: &'static str,
    /// The section in which it stands.
    pub section: &'static str,
    /// What it asks for, in our own words.
    pub summary: &'static str,
    /// Where it stands in the HTML edition of the standard.
    pub link: String,
    /// What the suite says about it.
    pub standing: ClauseStanding,
    /// The scenario files that cite it.
    pub files: Vec<String>,
}

/// The clauses of one part of the protocol, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModuleRow {
    /// The part of the protocol: `Wills`.
    pub module: &'static str,
    /// Numbered statements.
    pub total: usize,
    /// Of these, shown.
    pub shown: usize,
    /// Of these, failed.
    pub failed: usize,
    /// Of these, cited by scenarios that were all skipped or broke.
    pub skipped: usize,
    /// Of these, not to be seen on the wire and cited by no scenario.
    pub unobservable: usize,
    /// Of these, cited by no scenario.
    pub not_shown: usize,
}

/// One version of the standard, as far as a suite exercised it. The counts are of numbered statements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// `3.1.1` or `5.0`.
    pub version: String,
    /// All numbered statements together.
    pub all: ModuleRow,
    /// The parts of the protocol, in the order of the standard.
    pub modules: Vec<ModuleRow>,
    /// Every numbered statement, and every rule without a number that a scenario cites.
    pub rows: Vec<ClauseRow>,
}

impl Coverage {
    /// The coverage of each version that the suite ran, the older first.
    #[must_use]
    pub fn of(suite: &SuiteResult) -> Vec<Self> {
        let run: BTreeSet<&str> = suite.cases.iter().map(|case| case.version.as_str()).collect();
        Standard::ALL
            .into_iter()
            .filter(|standard| run.contains(standard.to_string().as_str()))
            .map(|standard| Self::of_standard(suite, standard))
            .collect()
    }

    fn of_standard(suite: &SuiteResult, standard: Standard) -> Self {
        let version = standard.to_string();
        let seen = Seen::of(suite, &version);
        let mut rows = Vec::new();
        let mut all = ModuleRow { module: "all", ..ModuleRow::default() };
        let mut modules: Vec<ModuleRow> = Vec::new();
        for clause in Catalogue::iter(standard) {
            let standing = seen.standing(clause);
            let files: Vec<String> = seen.citing(clause.id).map(str::to_owned).collect();
            if clause.origin == Origin::Numbered {
                all.add(&standing);
                let place = modules.iter().position(|module| module.module == clause.area);
                let place = place.unwrap_or_else(|| {
                    modules.push(ModuleRow { module: clause.area, ..ModuleRow::default() });
                    modules.len() - 1
                });
                modules[place].add(&standing);
            } else if files.is_empty() && standing != ClauseStanding::Failed {
                continue;
            }
            rows.push(ClauseRow {
                clause: clause.id,
                section: clause.section,
                summary: clause.summary,
                link: clause.link(),
                standing,
                files,
            });
        }
        Self { version, all, modules, rows }
    }
}

impl ModuleRow {
    fn add(&mut self, standing: &ClauseStanding) {
        self.total += 1;
        *match standing {
            ClauseStanding::Shown => &mut self.shown,
            ClauseStanding::Failed => &mut self.failed,
            ClauseStanding::Skipped => &mut self.skipped,
            ClauseStanding::NotShown => &mut self.not_shown,
            ClauseStanding::Unobservable(_) => &mut self.unobservable,
        } += 1;
    }
}

/// What the cases of one version say about clause ids.
struct Seen<'a> {
    /// The files that cite a clause, with whether one of their cases passed.
    cited: BTreeMap<&'a str, BTreeMap<&'a str, bool>>,
    failed: BTreeSet<&'a str>,
}

impl<'a> Seen<'a> {
    fn of(suite: &'a SuiteResult, version: &str) -> Self {
        let mut seen = Self { cited: BTreeMap::new(), failed: BTreeSet::new() };
        for case in suite.cases.iter().filter(|case| case.version == version) {
            for clause in &case.clauses {
                let passed = seen.cited.entry(clause).or_default().entry(&case.file).or_default();
                *passed |= case.verdict == Verdict::Pass;
            }
            let requirements = case.failures.iter().flat_map(|failure| &failure.requirements);
            seen.failed.extend(
                requirements
                    .filter(|requirement| requirement.version == version)
                    .map(|requirement| requirement.clause.as_str()),
            );
        }
        seen
    }

    fn citing(&self, clause: &str) -> impl Iterator<Item = &'a str> {
        self.cited.get(clause).into_iter().flat_map(|files| files.keys().copied())
    }

    fn standing(&self, clause: &Clause) -> ClauseStanding {
        if self.failed.contains(clause.id) {
            return ClauseStanding::Failed;
        }
        match (self.cited.get(clause.id), clause.unobservable) {
            (Some(files), _) if files.values().any(|passed| *passed) => ClauseStanding::Shown,
            (Some(_), _) => ClauseStanding::Skipped,
            (None, Some(why)) => ClauseStanding::Unobservable(why),
            (None, None) => ClauseStanding::NotShown,
        }
    }
}
