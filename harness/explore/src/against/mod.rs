//! The same generated scenarios on two servers, and what the clients see differently.
//!
//! The standard leaves many choices to a server, so a difference is not a violation by itself. The
//! checks judge both runs, and a difference names the clauses that a run breaks.

mod page;
mod seen;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use mqttspec_codec::Version;
use mqttspec_judge::Case;
use mqttspec_judge::history::History;
use mqttspec_judge::results::RunResult;
use mqttspec_judge::verdict::Verdict;
use mqttspec_notation as notation;
use mqttspec_runner::latitude::Latitude;
use mqttspec_runner::live::single::LiveTarget;
use mqttspec_runner::run::{RunOptions, run_recorded};
use serde::{Deserialize, Serialize};

use self::seen::{FirstDifference, Seen};
use crate::campaign::Options;
use crate::features::{Feature, Features};
use crate::generate::{canonical, draft};
use crate::live::{features_on, only_version, server_of};
use crate::live_server::LiveServer;
use crate::run::{FILE, case_of, shapes};
use crate::shape::Shape;
use crate::shrink_live::{Shrinking, shrink_together};
use crate::swarm::Swarm;

/// How many repetitions of a run must show a difference.
const REPETITIONS: usize = 3;

/// The number of scenarios that run on one server before they run on the other.
const BATCH: u64 = 64;

/// One of the two servers that are compared.
pub enum Side<'l> {
    /// The reference broker or a mutant of it, in the simulated world.
    Simulated(RunOptions),
    /// A live server.
    Live(&'l mut LiveTarget),
}

/// What a clause that a run breaks was found by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Violation {
    /// The check: `the monitor …`.
    pub check: String,
    /// The violated clauses.
    pub clauses: Vec<String>,
}

/// Something that the clients of two servers see differently.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The version of the standard.
    pub version: String,
    /// The kind of packet, or `message`.
    pub what: String,
    /// What the clients of each server see.
    pub seen: [String; 2],
    /// What each run of the shrunk scenario breaks; mostly nothing.
    pub violations: Violations,
    /// The first seed that shows it.
    pub seed: u64,
    /// The number of scenarios that show it.
    pub times: u64,
    /// The shrunk scenario.
    pub scenario: String,
}

/// The results of a comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// The names of the two servers.
    pub names: [String; 2],
    /// The number of scenarios that ran on both.
    pub runs: u64,
    /// Of these, those that could not be judged to their end on one of them.
    pub not_compared: u64,
    /// Of these, those in which the clients of both saw the same.
    pub equal: u64,
    /// One difference of each kind, in the order of their seeds.
    pub differences: Vec<Difference>,
    /// How many kinds of differences not all repetitions showed. They do not count.
    pub unconfirmed: u64,
}

/// Two servers.
pub struct Against<'l> {
    /// The servers.
    pub sides: [Side<'l>; 2],
    /// Ends the comparison at once.
    pub stop: &'l AtomicBool,
    /// No more scenarios are drawn; differences are still repeated and shrunk.
    pub enough: &'l AtomicBool,
}

/// Without these, the same scenario takes the same course on both servers: what a fault cuts off
/// depends on the times of a server.
const FAULTS: &[Feature] = &[
    Feature::Cut,
    Feature::Close,
    Feature::Partition,
    Feature::Latency,
    Feature::Loss,
    Feature::Bandwidth,
    Feature::Stall,
    Feature::CrashServer,
    Feature::CrashClient,
    Feature::Profile,
];

impl Features {
    /// The features that a comparison draws unless others are named: all but faults.
    #[must_use]
    pub fn without_faults() -> Self {
        Self::default().without(FAULTS)
    }
}

/// A scenario, with what its runs must show.
struct Trial {
    text: String,
    version: Version,
}

/// A kind of difference: version, and what is seen.
type Kind = (String, FirstDifference);

struct Suspect {
    seed: u64,
    times: u64,
    trial: Trial,
}

/// A run, if it came to its end.
type Ran = Option<(RunResult, History)>;

/// What the runs on each of the two servers break.
type Violations = [Vec<Violation>; 2];

/// Compares the two servers until the runs are done or a flag of `against` is set. `progress` gets
/// the results so far.
pub fn compare(
    options: &Options,
    against: &mut Against<'_>,
    progress: &mut dyn FnMut(&Comparison, Option<&str>),
) -> Comparison {
    let names = [0, 1].map(|side| against.sides[side].name());
    let mut comparison = Comparison { names, ..Comparison::default() };
    let suspects = draw(options, against, &mut comparison, progress);
    progress(&comparison, Some(&format!("{} kinds of differences: repeating their runs", suspects.len())));
    let confirmed = confirm(against, &mut comparison, suspects);
    progress(&comparison, Some(&format!("{} kinds were confirmed: shrinking them", confirmed.len())));
    let shrunk = shrink_all(options, against, &confirmed);
    for ((kind, suspect), (scenario, violations)) in confirmed.into_iter().zip(shrunk) {
        let (version, FirstDifference { what, seen }) = kind;
        let Suspect { seed, times, .. } = suspect;
        comparison.differences.push(Difference { version, what, seen, violations, seed, times, scenario });
    }
    comparison.differences.sort_by_key(|difference| difference.seed);
    comparison
}

/// Runs generated scenarios on both servers. Returns the kinds of differences.
fn draw(
    options: &Options,
    against: &mut Against<'_>,
    comparison: &mut Comparison,
    progress: &mut dyn FnMut(&Comparison, Option<&str>),
) -> BTreeMap<Kind, Suspect> {
    let features =
        against.live().fold(options.features.clone(), |features, target| features_on(&features, target));
    let server = against.live().map(server_of).reduce(LiveServer::both);
    let only = against.live().find_map(|target| only_version(target.versions()));
    let version = options.version.or(only);
    let (first, count) = options.seeds_after(&crate::campaign::Campaign::default());
    let mut suspects: BTreeMap<Kind, Suspect> = BTreeMap::new();
    let mut number = 0;
    while options.runs.is_none_or(|runs| number < runs) && !against.is_over() {
        let size = options.runs.map_or(BATCH, |runs| BATCH.min(runs - number));
        let batch: Vec<(u64, Trial)> = (number..number + size)
            .map(|number| {
                let seed = first.saturating_add(number.saturating_mul(count));
                let swarm = Swarm::draw(seed, options.tests, version, &features);
                let swarm = match server {
                    Some(server) => swarm.on(server),
                    None => swarm,
                };
                (seed, Trial { text: draft(seed, &swarm), version: swarm.version })
            })
            .collect();
        number += size;
        let cases: Vec<Option<Case>> = batch.iter().map(|(_, trial)| case_of(&trial.text).ok()).collect();
        let pairs = against.run(&cases);
        for ((seed, trial), pair) in batch.into_iter().zip(pairs) {
            comparison.runs += 1;
            match difference(&pair) {
                None => comparison.not_compared += 1,
                Some(None) => comparison.equal += 1,
                Some(Some(difference)) => {
                    let kind = (trial.version.to_string(), difference);
                    suspects.entry(kind).or_insert(Suspect { seed, times: 0, trial }).times += 1;
                }
            }
        }
        progress(comparison, None);
    }
    suspects
}

/// The first difference of two runs; `None` if one of them did not come to its end.
fn difference(pair: &[Ran; 2]) -> Option<Option<FirstDifference>> {
    let [Some((_, one)), Some((_, other))] = pair else { return None };
    Some(Seen::of(one).first_difference(&Seen::of(other)))
}

/// Repeats the runs of suspects. Returns those that all repetitions show.
fn confirm(
    against: &mut Against<'_>,
    comparison: &mut Comparison,
    suspects: BTreeMap<Kind, Suspect>,
) -> Vec<(Kind, Suspect)> {
    let repeated = suspects
        .iter()
        .flat_map(|(kind, suspect)| [(&suspect.trial.text, kind, suspect.trial.version); REPETITIONS]);
    let shown = against.show(repeated);
    let mut confirmed = Vec::new();
    for ((kind, suspect), shown) in suspects.into_iter().zip(shown.chunks(REPETITIONS)) {
        if shown.iter().all(Option::is_some) {
            confirmed.push((kind, suspect));
        } else {
            comparison.unconfirmed += 1;
        }
    }
    confirmed
}

/// The scenarios without what the differences do not need, and what their runs break. If the first
/// run of one breaks something, the shrunk one does too. All are shrunk at the same time.
fn shrink_all(
    options: &Options,
    against: &mut Against<'_>,
    confirmed: &[(Kind, Suspect)],
) -> Vec<(String, Violations)> {
    let trials = confirmed.iter().map(|(kind, of)| (&of.trial.text, kind, of.trial.version));
    let shown = against.show(trials);
    let first: Vec<Violations> = shown.into_iter().map(Option::unwrap_or_default).collect();
    let keeps = |number: usize, violations: &Violations| {
        violations.iter().zip(&first[number]).all(|(side, before)| before.is_empty() || !side.is_empty())
    };
    let begin = |(kind, of): &(Kind, Suspect)| {
        Shrinking::new(&of.trial.text, &shape_of(kind, &of.trial.text), options.limits.runs)
    };
    let mut shrinking: Vec<Option<Shrinking>> = confirmed.iter().map(begin).collect();
    shrink_together(&mut shrinking, |candidates| {
        if against.stop.load(Ordering::Relaxed) {
            return None;
        }
        let trials = candidates.iter().map(|(number, text)| {
            let (kind, of) = &confirmed[*number];
            (text, kind, of.trial.version)
        });
        let shown = against.show(trials).into_iter().zip(candidates);
        let shown = shown.map(|(of, (number, _))| of.is_some_and(|violations| keeps(*number, &violations)));
        Some(shown.collect())
    });
    let scenarios = confirmed.iter().zip(shrinking).map(|((kind, of), one)| {
        let FirstDifference { what, seen } = &kind.1;
        let title = format!("{what}: {} or {}", seen[0], seen[1]);
        one.map_or_else(|| canonical(of.trial.text.clone()), |one| one.titled(title))
    });
    let scenarios: Vec<String> = scenarios.collect();
    let trials = confirmed.iter().zip(&scenarios).map(|((kind, of), text)| (text, kind, of.trial.version));
    let last = against.show(trials);
    let broken = last.into_iter().zip(first).map(|(last, first)| last.unwrap_or(first));
    scenarios.into_iter().zip(broken).collect()
}

/// The shape of a difference. It breaks no clause, so the scenario keeps one of its own.
fn shape_of((version, FirstDifference { what, seen }): &Kind, text: &str) -> Shape {
    let clauses = notation::parse(FILE, text)
        .ok()
        .and_then(|scenario| scenario.clauses.first().map(|clause| clause.id.clone()));
    Shape {
        version: version.clone(),
        check: what.clone(),
        clauses: clauses.into_iter().collect(),
        expected: seen.join(" or "),
    }
}

/// What a run breaks.
fn violations(result: &RunResult, version: Version) -> Vec<Violation> {
    let shapes = shapes(result, version).into_keys().filter(|shape| !shape.clauses.is_empty());
    shapes.map(|Shape { check, clauses, .. }| Violation { check, clauses }).collect()
}

impl Against<'_> {
    fn live(&self) -> impl Iterator<Item = &LiveTarget> {
        self.sides.iter().filter_map(|side| match side {
            Side::Simulated(_) => None,
            Side::Live(target) => Some(&**target),
        })
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.enough.load(Ordering::Relaxed)
    }

    /// Runs each case on both servers.
    fn run(&mut self, cases: &[Option<Case>]) -> Vec<[Ran; 2]> {
        let stop = self.stop;
        let [one, other] = &mut self.sides;
        let (ones, others) = (one.run(cases, stop), other.run(cases, stop));
        ones.into_iter().zip(others).map(|(one, other)| [one, other]).collect()
    }

    /// What the runs of each text break, if they show its kind of difference.
    fn show<'t>(
        &mut self,
        trials: impl Iterator<Item = (&'t String, &'t Kind, Version)>,
    ) -> Vec<Option<Violations>> {
        let (cases, kinds): (Vec<_>, Vec<_>) =
            trials.map(|(text, kind, version)| (case_of(text).ok(), (kind, version))).unzip();
        let pairs = self.run(&cases).into_iter().zip(kinds);
        pairs
            .map(|(pair, ((_, kind), version))| {
                let is_shown = difference(&pair)? == Some(kind.clone());
                let broken = |ran: Ran| ran.map_or(Vec::new(), |(result, _)| violations(&result, version));
                is_shown.then(|| pair.map(broken))
            })
            .collect()
    }
}

impl Side<'_> {
    fn name(&self) -> String {
        match self {
            Self::Simulated(RunOptions { mutant: Some(mutant), .. }) => mutant.name.to_owned(),
            Self::Simulated(RunOptions { latitude: Latitude::Reference, .. }) => {
                "the reference broker".to_owned()
            }
            Self::Simulated(RunOptions { latitude, .. }) => format!("the reference broker, {latitude}"),
            Self::Live(target) => target.name().to_owned(),
        }
    }

    /// Runs the cases under seed 0; a result of one that broke off is `None`.
    fn run(&mut self, cases: &[Option<Case>], stop: &AtomicBool) -> Vec<Ran> {
        let mut results: Vec<Ran> = cases.iter().map(|_| None).collect();
        match self {
            Self::Simulated(options) => {
                let options = RunOptions { model: true, ..*options };
                for (case, result) in cases.iter().zip(&mut results) {
                    if !stop.load(Ordering::Relaxed) {
                        *result = case.as_ref().map(|case| run_recorded(case, 0, options));
                    }
                }
            }
            Self::Live(target) => {
                let numbers: Vec<usize> =
                    (0..cases.len()).filter(|number| cases[*number].is_some()).collect();
                let mut waiting = numbers.iter();
                let mut next = || waiting.next().and_then(|number| Some((cases[*number].clone()?, 0)));
                target.run(&mut next, stop, &mut |index, run| {
                    if let Some(number) = numbers.get(index) {
                        results[*number] = Some((run.result, run.history));
                    }
                });
            }
        }
        for result in &mut results {
            let ended = |verdict| matches!(verdict, Verdict::Pass | Verdict::Fail);
            *result = result.take().filter(|(result, _)| ended(result.verdict));
        }
        results
    }
}
