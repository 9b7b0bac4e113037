//! The coverage of the standard by a suite, computed from its results.
//!
//! A clause is *shown* if a claim of it passed and no check found a violation. A failure of level
//! SHOULD does not violate a clause that says MUST. A clause is *not judged* if no claim of it was
//! reached. A clause that no scenario cites is *not exercised*, and is counted too.

use std::collections::{BTreeMap, BTreeSet};

use mqttspec_judge::results::SuiteResult;
use mqttspec_judge::verdict::Verdict;
use mqttspec_spec::{Area, Catalogue, Clause, Level, Roles, Standard};

use crate::Outcome;

/// The standing of one clause in a suite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ClauseStanding {
    /// A claim of it passed, and no check found a violation.
    Shown,
    /// A check that cites it failed.
    Failed,
    /// The failed checks found only a wrong Reason Code.
    Nearly,
    /// A check failed under a reading of the standard that is not the only defensible one.
    Contested,
    /// No claim of it was judged, and a scenario that cites it broke.
    Error,
    /// No claim of it was reached in a scenario that ran.
    NotJudged,
    /// Every scenario that cites it was skipped.
    Skipped,
    /// No scenario cites it.
    NotShown,
    /// The wire cannot show it, for this reason.
    Unobservable(&'static str),
}

/// One clause in a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClauseRow {
    /// The clause in the catalogue.
    pub(crate) clause: &'static Clause,
    /// Its standing in the suite.
    pub(crate) standing: ClauseStanding,
    /// The scenario files that cite it.
    pub(crate) files: Vec<String>,
}

/// The clauses of one area of the protocol, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AreaCoverage {
    /// The area; `None` for the sum of all areas.
    pub area: Option<Area>,
    /// Clauses that count: the numbered ones.
    pub total: usize,
    /// Of these, shown.
    pub shown: usize,
    /// Of these, failed. Includes wrong Reason Codes.
    pub failed: usize,
    /// Of these, failed only under a contested reading.
    pub contested: usize,
    /// Of these, cited by scenarios that were all skipped or broke.
    pub skipped: usize,
    /// Of these, cited, but no claim was reached.
    pub not_judged: usize,
    /// Of these, not observable on the wire and cited by no scenario.
    pub unobservable: usize,
    /// Of these, cited by no scenario.
    pub not_shown: usize,
}

/// The coverage of one version of the standard. The counts are of the numbered clauses (in 3.1,
/// which numbers none, of all) that bind the peers under test, and of the others that a scenario
/// cites.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// `3.1`, `3.1.1` or `5.0`.
    pub version: String,
    /// The roles of the peers under test.
    pub roles: Roles,
    /// The counts of all areas together.
    pub all: AreaCoverage,
    /// The areas, in the order of the standard.
    pub areas: Vec<AreaCoverage>,
    /// Every numbered clause, and every other clause that a scenario cites.
    pub(crate) rows: Vec<ClauseRow>,
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

    /// The word for what is counted: 3.1 numbers nothing.
    pub(crate) fn numbered(&self) -> &'static str {
        if self.version == Standard::V3_1.to_string() { "" } else { "numbered " }
    }

    fn of_standard(suite: &SuiteResult, standard: Standard) -> Self {
        let version = standard.to_string();
        let seen = Seen::of(suite, &version);
        let roles = tested_roles(suite);
        let mut rows = Vec::new();
        let mut all = AreaCoverage::default();
        let mut areas: Vec<AreaCoverage> = Vec::new();
        for clause in Catalogue::iter(standard) {
            let standing = seen.standing(clause, roles);
            let files: Vec<String> = seen.citing(clause.id).map(str::to_owned).collect();
            let binds = roles == Roles::Both || clause.role.includes(roles);
            if !binds && files.is_empty() && !standing.is_bad() {
                continue;
            }
            if clause.is_counted() {
                all.add(&standing);
                let place = areas.iter().position(|row| row.area == Some(clause.area));
                let place = place.unwrap_or_else(|| {
                    areas.push(AreaCoverage { area: Some(clause.area), ..AreaCoverage::default() });
                    areas.len() - 1
                });
                areas[place].add(&standing);
            } else if files.is_empty() && !standing.is_bad() {
                continue;
            }
            rows.push(ClauseRow { clause, standing, files });
        }
        Self { version, roles, all, areas, rows }
    }
}

/// The roles whose peers the cases test.
fn tested_roles(suite: &SuiteResult) -> Roles {
    let tests = |role| suite.cases.iter().any(|case| case.tests == role);
    match (tests("server"), tests("client")) {
        (true, false) => Roles::Server,
        (false, true) => Roles::Client,
        _ => Roles::Both,
    }
}

impl ClauseStanding {
    /// Whether a check that cites the clause failed.
    pub(crate) const fn is_bad(&self) -> bool {
        matches!(self, Self::Failed | Self::Nearly | Self::Contested)
    }

    /// One word for the CSS classes and the filters of the page.
    pub(crate) const fn word(&self) -> &'static str {
        match self {
            Self::Shown => "shown",
            Self::Failed => "failed",
            Self::Nearly => "nearly",
            Self::Contested => "contested",
            Self::Error => "error",
            Self::NotJudged => "not-judged",
            Self::Skipped => "skipped",
            Self::NotShown => "not-shown",
            Self::Unobservable(_) => "unobservable",
        }
    }
}

impl AreaCoverage {
    fn add(&mut self, standing: &ClauseStanding) {
        self.total += 1;
        *match standing {
            ClauseStanding::Shown => &mut self.shown,
            ClauseStanding::Failed | ClauseStanding::Nearly => &mut self.failed,
            ClauseStanding::Contested => &mut self.contested,
            ClauseStanding::Skipped | ClauseStanding::Error => &mut self.skipped,
            ClauseStanding::NotJudged => &mut self.not_judged,
            ClauseStanding::NotShown => &mut self.not_shown,
            ClauseStanding::Unobservable(_) => &mut self.unobservable,
        } += 1;
    }
}

/// The results of the cases of one version, by clause.
struct Seen<'a> {
    /// The files that cite a clause, with the best result of their cases for it: a pass if they
    /// show it.
    cited: BTreeMap<&'a str, BTreeMap<&'a str, Verdict>>,
    /// The worst outcome of the failed checks of a clause.
    failed: BTreeMap<&'a str, Outcome>,
}

impl<'a> Seen<'a> {
    fn of(suite: &'a SuiteResult, version: &str) -> Self {
        let mut seen = Self { cited: BTreeMap::new(), failed: BTreeMap::new() };
        for case in suite.cases.iter().filter(|case| case.version == version) {
            for clause in &case.clauses {
                let verdict = match case.verdict {
                    _ if case.clauses_shown.contains(clause) => Verdict::Pass,
                    Verdict::Skip => Verdict::Skip,
                    Verdict::Error => Verdict::Error,
                    Verdict::Pass | Verdict::NotJudged | Verdict::Fail => Verdict::NotJudged,
                };
                let best = seen.cited.entry(clause).or_default().entry(&case.file).or_insert(verdict);
                *best = verdict.min(*best);
            }
            for failure in &case.failures {
                let outcome = match (&case.reading, &failure.finding.nearly) {
                    (Some(_), _) => Outcome::Contested,
                    (None, Some(_)) => Outcome::Nearly,
                    (None, None) => Outcome::Failed,
                };
                for requirement in &failure.finding.requirements {
                    let asks = level_of(version, &requirement.clause);
                    if requirement.version == version && asks <= Some(failure.finding.level) {
                        let worst = seen.failed.entry(&requirement.clause).or_insert(outcome);
                        *worst = outcome.max(*worst);
                    }
                }
            }
        }
        seen
    }

    fn citing(&self, clause: &str) -> impl Iterator<Item = &'a str> {
        self.cited.get(clause).into_iter().flat_map(|files| files.keys().copied())
    }

    fn standing(&self, clause: &Clause, roles: Roles) -> ClauseStanding {
        match self.failed.get(clause.id) {
            Some(Outcome::Contested) => return ClauseStanding::Contested,
            Some(Outcome::Nearly) => return ClauseStanding::Nearly,
            Some(_) => return ClauseStanding::Failed,
            None => {}
        }
        match (self.cited.get(clause.id), clause.unobservable_in(roles)) {
            (Some(files), _) if files.values().any(|best| *best == Verdict::Pass) => ClauseStanding::Shown,
            (Some(files), _) if files.values().any(|best| *best == Verdict::Error) => ClauseStanding::Error,
            (Some(files), _) if files.values().any(|best| *best == Verdict::NotJudged) => {
                ClauseStanding::NotJudged
            }
            (Some(_), _) => ClauseStanding::Skipped,
            (None, Some(why)) => ClauseStanding::Unobservable(why),
            (None, None) => ClauseStanding::NotShown,
        }
    }
}

/// The level of a clause; `None` if the catalogue does not have it.
fn level_of(version: &str, clause: &str) -> Option<Level> {
    let standard: Standard = version.parse().ok()?;
    Catalogue::get(standard, clause).map(|clause| clause.level)
}
