//! What a proof is, and how a case is run with a mutant.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use mqttspec_codec::Role;
use mqttspec_judge::Case;
use mqttspec_judge::finding::{self, Finding};
use mqttspec_judge::monitors::Rule;
use mqttspec_judge::results::RunResult;
use mqttspec_judge::verdict::Verdict;
use mqttspec_mutants::Mutant;
use mqttspec_notation::Guarantee;
use mqttspec_runner::run::{RunOptions, run_with};
use mqttspec_spec::Standard;

/// The largest number of seeds under which a case is run with a mutant.
const MAXIMUM_SEEDS: u64 = 4;

/// The mutant of this role that changes nothing.
pub(crate) fn unchanged(role: Role) -> &'static Mutant {
    static SERVER: Mutant = Mutant::unchanged(Role::Server);
    static CLIENT: Mutant = Mutant::unchanged(Role::Client);
    match role {
        Role::Server => &SERVER,
        Role::Client => &CLIENT,
    }
}

/// A mutant that makes a case fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Proof {
    pub(crate) mutant: &'static str,
    pub(crate) reported_by: ReportedBy,
    /// The clauses that the findings cite.
    pub(crate) blamed: Vec<String>,
}

impl Proof {
    /// The blamed clauses that the mutant keeps, unless it argues for them.
    pub(crate) fn unargued(&self, case: &Case) -> Vec<&str> {
        let Some(mutant) = Mutant::named(self.mutant, case.tests) else { return Vec::new() };
        let standard = Standard::of(case.version);
        let is_kept = |clause: &&str| !mutant.may_be_blamed_for(standard, clause);
        self.blamed.iter().map(String::as_str).filter(is_kept).collect()
    }

    /// Better proofs are greater: by the kind of check, and by whether they blame what is kept.
    pub(crate) fn rank(&self, case: &Case) -> (ReportedBy, bool) {
        (self.reported_by, self.unargued(case).is_empty())
    }
}

/// The kind of check whose failure cites a clause that the mutant breaks. The order is from the
/// weakest proof to the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ReportedBy {
    /// None: the failures cite other clauses.
    OtherClause,
    /// A line that shows no clause. A mutant that breaks no clause of the standard can do no more.
    SetUp,
    /// A monitor, which would report it in other scenarios too.
    Monitor,
    /// The scenario: one of its lines or delivery checks.
    Scenario,
}

/// Everything that needs a proof, with its proof if there is one.
pub(crate) struct Proofs {
    /// One per case, in the order of the suite.
    pub(crate) cases: Vec<Option<Proof>>,
    /// For each mutant, a case that detects it.
    pub(crate) mutants: BTreeMap<(Role, &'static str), Option<(usize, Proof)>>,
    /// For each monitor rule and delivery check, a case and the mutant that it reports in it.
    pub(crate) checks: BTreeMap<Check, Option<(usize, &'static str)>>,
}

impl Proofs {
    /// No proofs yet.
    pub(crate) fn none(cases: &[Case]) -> Self {
        Self {
            cases: vec![None; cases.len()],
            mutants: Mutant::all().map(|mutant| ((mutant.role, mutant.name), None)).collect(),
            checks: Check::all().into_iter().map(|check| (check, None)).collect(),
        }
    }
}

/// A check that is not a line of a scenario.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Check {
    Rule(Rule),
    Delivery(&'static str),
}

impl Check {
    pub(crate) fn all() -> Vec<Self> {
        let rules = Rule::all().into_iter().map(Self::Rule);
        // `no violation` has no findings of its own: those of the monitors are.
        let deliveries = Guarantee::ALL.into_iter().filter(|guarantee| *guarantee != Guarantee::NoViolation);
        rules.chain(deliveries.map(|guarantee| Self::Delivery(guarantee.words()))).collect()
    }

    fn is_reported_by(&self, case: &Case, finding: &Finding) -> bool {
        match self {
            Self::Rule(rule) => {
                rule.role == case.tests
                    && rule.standard == Standard::of(case.version)
                    && rule.is_reported_by(finding)
            }
            Self::Delivery(words) if *words == Guarantee::NothingMore.words() => {
                finding.check == finding::Check::LeftOver
            }
            Self::Delivery(words) => finding.check == finding::Check::DeliveryCheck((*words).to_owned()),
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delivery(words) => write!(f, "delivery check | {words} | either | either"),
            Self::Rule(rule) => {
                let clauses = match rule.clauses.as_slice() {
                    [] => "the clause of the malformed packet".to_owned(),
                    clauses => clauses.join(" "),
                };
                write!(
                    f,
                    "{} | {clauses} | {} | {}",
                    rule.monitor,
                    mqttspec_spec::role_word(rule.role),
                    rule.standard
                )
            }
        }
    }
}

/// The result of a case with a mutant.
pub(crate) struct MutantRun<'a> {
    case: &'a Case,
    mutant: &'static Mutant,
    result: RunResult,
}

/// A clause that a case cites against a mutant that keeps it.
pub(crate) struct Blamed {
    pub(crate) clause: String,
    pub(crate) case: String,
    /// The line, what it expected and what happened.
    pub(crate) found: String,
}

/// Runs a case with a mutant. If the scenario asks for many seeds, a few are tried until one fails.
pub(crate) fn run_mutant<'a>(case: &'a Case, mutant: &'static Mutant) -> MutantRun<'a> {
    let seeds = u64::from(case.scenario.seeds).clamp(1, MAXIMUM_SEEDS);
    let mut result = run_once(case, mutant, 0);
    for seed in 1..seeds {
        if !matches!(result.verdict, Verdict::Pass | Verdict::NotJudged) {
            break;
        }
        result = run_once(case, mutant, seed);
    }
    MutantRun { case, mutant, result }
}

/// Without the history model: PROVED.md shows which mutants the scenarios and the monitors find.
pub(crate) fn run_once(case: &Case, mutant: &'static Mutant, seed: u64) -> RunResult {
    run_with(case, seed, RunOptions { mutant: Some(mutant), model: false, ..RunOptions::default() })
}

impl MutantRun<'_> {
    /// The proof that the run gives, if it failed. In a scenario with a table, only failures from
    /// the steps of the row on count.
    pub(crate) fn proof(&self) -> Option<Proof> {
        if self.result.verdict == Verdict::NotJudged && self.mutant.breaks_documented_behaviour() {
            let (mutant, reported_by) = (self.mutant.name, ReportedBy::SetUp);
            return Some(Proof { mutant, reported_by, blamed: Vec::new() });
        }
        if self.result.verdict != Verdict::Fail {
            return None;
        }
        let standard = Standard::of(self.case.version);
        let of_row = self.of_row();
        let cited = of_row.iter().flat_map(|finding| &finding.requirements);
        let blamed: BTreeSet<String> = cited.map(|requirement| requirement.clause.clone()).collect();
        let reported_by = of_row.iter().map(|finding| match &finding.check {
            _ if !self.mutant.is_reported_by(standard, finding) => ReportedBy::OtherClause,
            finding::Check::Monitor(_) => ReportedBy::Monitor,
            _ => ReportedBy::Scenario,
        });
        let (mutant, reported_by) = (self.mutant.name, reported_by.max()?);
        Some(Proof { mutant, reported_by, blamed: blamed.into_iter().collect() })
    }

    /// The clauses that the findings cite although the mutant keeps them, and does not argue for
    /// them.
    pub(crate) fn wrongly_blamed(&self) -> Vec<Blamed> {
        if self.proof().is_none() {
            return Vec::new();
        }
        let standard = Standard::of(self.case.version);
        let one_line = |text: &str| text.replace('\n', " ");
        let mut blamed: Vec<Blamed> = Vec::new();
        for finding in self.of_row() {
            for clause in finding.requirements.iter().map(|requirement| &requirement.clause) {
                if self.mutant.may_be_blamed_for(standard, clause) {
                    continue;
                }
                let clause = format!("{standard} {clause}");
                let found = format!(
                    "{}: {} BUT {}",
                    finding.line,
                    one_line(&finding.expected),
                    one_line(&finding.actual)
                );
                if blamed.iter().all(|other| other.clause != clause) {
                    blamed.push(Blamed { clause, case: self.case.name(), found });
                }
            }
        }
        blamed
    }

    pub(crate) fn passes(&self) -> bool {
        self.result.verdict == Verdict::Pass
    }

    pub(crate) fn reports(&self, check: &Check) -> bool {
        self.findings().any(|finding| check.is_reported_by(self.case, finding))
    }

    /// The findings of the row of a table, or of the whole scenario.
    fn of_row(&self) -> Vec<&Finding> {
        let rows_from = rows_from(self.case);
        self.findings().filter(|finding| finding.line == 0 || finding.line >= rows_from).collect()
    }

    fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.result.failures.iter().map(|reported| &reported.finding)
    }
}

/// The line of the file on which the steps of a row begin; 0 without a table.
fn rows_from(case: &Case) -> u32 {
    if case.row.is_none() {
        return 0;
    }
    let line = case.source.lines().position(|line| line.starts_with("each row"));
    line.and_then(|line| u32::try_from(line + 1).ok()).unwrap_or(0)
}

/// The results of all units, in their order.
#[expect(
    clippy::disallowed_methods,
    reason = "one thread works on each unit, and the results are put in order"
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
