//! What a proof is, and how one is played.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use mqttspec_codec::Role;
use mqttspec_judge::Case;
use mqttspec_judge::delivery_checks as properties;
use mqttspec_judge::finding::{self, Finding};
use mqttspec_judge::monitors::Rule;
use mqttspec_judge::results::RunResult;
use mqttspec_judge::verdict::Verdict;
use mqttspec_mutants::Defect;
use mqttspec_notation::Guarantee;
use mqttspec_runner::run::{Wanted, run_for};
use mqttspec_spec::Standard;

/// Under how many seeds a defect may be looked for in a scenario that is run under many.
const SEEDS: u64 = 4;

/// Liars that change nothing.
pub(crate) static HONEST: [Defect; 2] = [Defect::none(Role::Server), Defect::none(Role::Client)];

/// A defect that fails a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Proof {
    pub(crate) defect: &'static str,
    pub(crate) told: Told,
}

/// Who tells what the defect breaks: who reports a failure that cites such a clause. The order is from the worst to the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Told {
    /// Nobody: the failures cite other clauses.
    Nobody,
    /// A monitor, which would have reported it in another scenario too.
    Monitor,
    /// The scenario: one of its lines or properties.
    Scenario,
}

/// Everything that is proved, and everything that is not.
pub(crate) struct Proofs {
    /// For each case, in the order of the suite.
    pub(crate) cases: Vec<Option<Proof>>,
    /// For each defect a case that finds it.
    pub(crate) defects: BTreeMap<(Role, &'static str), Option<(usize, Proof)>>,
    /// For each rule and property a case and the defect of which it reports.
    pub(crate) checks: BTreeMap<Check, Option<(usize, &'static str)>>,
}

impl Proofs {
    /// Nothing is proved yet.
    pub(crate) fn none(cases: &[Case]) -> Self {
        Self {
            cases: vec![None; cases.len()],
            defects: Defect::all().map(|defect| ((defect.side, defect.name), None)).collect(),
            checks: Check::all().into_iter().map(|check| (check, None)).collect(),
        }
    }
}

/// A check besides the lines of the scenarios.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Check {
    Rule(Rule),
    Property(&'static str),
}

impl Check {
    pub(crate) fn all() -> Vec<Self> {
        let guarantees = [
            Guarantee::ExactlyOnce,
            Guarantee::AtLeastOnce,
            Guarantee::AtMostOnce,
            Guarantee::InOrder,
            Guarantee::InOrderOfFirstDelivery,
        ];
        let rules = Rule::all().into_iter().map(Self::Rule);
        rules
            .chain(guarantees.into_iter().map(|guarantee| Self::Property(properties::words(guarantee))))
            .collect()
    }

    fn is_reported_by(&self, case: &Case, finding: &Finding) -> bool {
        match self {
            Self::Rule(rule) => {
                rule.side == case.tests
                    && Some(rule.standard) == Standard::of(case.version)
                    && rule.is_reported_by(finding)
            }
            Self::Property(words) => finding.check == finding::Check::DeliveryCheck((*words).to_owned()),
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Property(words) => write!(f, "property | {words} | either | either"),
            Self::Rule(rule) => {
                let clauses = match rule.clauses.as_slice() {
                    [] => "that of the malformed packet".to_owned(),
                    clauses => clauses.join(" "),
                };
                write!(
                    f,
                    "{} | {clauses} | {} | {}",
                    rule.monitor,
                    mqttspec_spec::role_word(rule.side),
                    rule.standard
                )
            }
        }
    }
}

/// What came of a case with a defect.
pub(crate) struct Played<'a> {
    case: &'a Case,
    defect: &'static Defect,
    result: RunResult,
}

/// Plays a case with a defect until it fails, under a few seeds where the scenario is for many.
pub(crate) fn play<'a>(case: &'a Case, defect: &'static Defect) -> Played<'a> {
    let seeds = u64::from(case.scenario.seeds).clamp(1, SEEDS);
    let mut result = play_once(case, defect, 0);
    for seed in 1..seeds {
        if result.verdict != Verdict::Pass {
            break;
        }
        result = play_once(case, defect, seed);
    }
    Played { case, defect, result }
}

pub(crate) fn play_once(case: &Case, defect: &'static Defect, seed: u64) -> RunResult {
    run_for(case, seed, Wanted { trace: false, defect: Some(defect) })
}

impl Played<'_> {
    /// The proof that it is. Where there is a table, what failed before the rows' own block says nothing of them.
    pub(crate) fn proof(&self) -> Option<Proof> {
        if self.result.verdict != Verdict::Fail {
            return None;
        }
        let standard = Standard::of(self.case.version)?;
        let rows_from = rows_from(self.case);
        let of_row = self.findings().filter(|finding| finding.line == 0 || finding.line >= rows_from);
        let told = of_row.map(|finding| match &finding.check {
            _ if !self.defect.is_told_by(standard, finding) => Told::Nobody,
            finding::Check::Monitor(_) => Told::Monitor,
            _ => Told::Scenario,
        });
        Some(Proof { defect: self.defect.name, told: told.max()? })
    }

    pub(crate) fn passes(&self) -> bool {
        self.result.verdict == Verdict::Pass
    }

    pub(crate) fn shows(&self, check: &Check) -> bool {
        self.findings().any(|finding| check.is_reported_by(self.case, finding))
    }

    fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.result.failures.iter().map(|reported| &reported.finding)
    }
}

/// The line of the file on which the steps of each row begin; 0 without a table.
fn rows_from(case: &Case) -> u32 {
    if case.row.is_none() {
        return 0;
    }
    let line = case.source.lines().position(|line| line.starts_with("each row"));
    line.and_then(|line| u32::try_from(line + 1).ok()).unwrap_or(0)
}

/// What comes of each unit, in their order.
#[expect(
    clippy::disallowed_methods,
    reason = "each unit is worked on by one thread, and results are put in order"
)]
pub(crate) fn in_parallel<T: Sync, R: Send>(units: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(BTreeMap::new());
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(unit) = units.get(index) else { break };
                    let result = work(unit);
                    results.lock().unwrap_or_else(PoisonError::into_inner).insert(index, result);
                }
            });
        }
    });
    results.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect()
}
