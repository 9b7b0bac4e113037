//! A campaign: runs one seed after another, and keeps one finding of each shape.
//!
//! Threads take whole runs, and results are taken in the order of the seeds, so the number of
//! threads changes nothing but the speed. A campaign has no clock: the caller stops it.
//!
//! The first run that reaches a cell of the coverage is kept, and some later runs are changes of kept
//! ones. A run uses what was kept in earlier *generations* of runs, which are all done then.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;

use mqttspec_codec::{Role, Version};
use mqttspec_judge::verdict::Verdict;
use mqttspec_mutants::Mutant;
use mqttspec_runner::latitude::Latitude;
use mqttspec_runner::run::{RunOptions, run_recorded};
use mqttspec_world::Seed;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::changed::{Kept, changed};
use crate::coverage::Coverage;
use crate::features::{Feature, Features};
use crate::generate::{canonical, draft};
use crate::run::{case_of, shapes};
use crate::shape::Shape;
use crate::shrink::{Limits, shrink};
use crate::swarm::Swarm;

/// The usual [`Options::generation`].
pub const GENERATION: NonZeroU64 = NonZeroU64::new(256).expect("not zero");

/// One run of this number is a kept scenario that was changed.
const CHANGED: u64 = 5;

/// Parts of the texts of [`mqttspec_world::RunError`]: a peer, or the simulator, is at fault.
const FAULTS: [&str; 3] = ["panicked", "did not return within", "without letting time pass"];

/// One part of a campaign: shard 2 of 4 runs every fourth seed, beginning with the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    index: u64,
    count: u64,
}

impl Default for Shard {
    fn default() -> Self {
        Self { index: 0, count: 1 }
    }
}

impl std::str::FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('/').and_then(|(index, count)| {
            let (index, count): (u64, u64) = (index.parse().ok()?, count.parse().ok()?);
            (1..=count).contains(&index).then(|| Self { index: index - 1, count })
        });
        parsed.ok_or_else(|| format!("`{text}` is not a shard: write I/N, such as 1/4, with I from 1 to N"))
    }
}

/// What a campaign runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// The first seed.
    pub seed: u64,
    /// The number of runs of this shard; no limit if `None`.
    pub runs: Option<u64>,
    /// The role under test.
    pub tests: Role,
    /// Only this version.
    pub version: Option<Version>,
    /// The features that may be drawn.
    pub features: Features,
    /// The part of the seeds.
    pub shard: Shard,
    /// The number of threads.
    pub jobs: usize,
    /// A mutant in place of the reference peer.
    pub mutant: Option<&'static Mutant>,
    /// How the peer under test uses the choices that the standard leaves to it.
    pub latitude: Latitude,
    /// How long findings are shrunk.
    pub limits: Limits,
    /// The number of runs of a generation. A run may change what was kept by earlier generations.
    pub generation: NonZeroU64,
}

impl Options {
    /// The seed of the next run, and the distance between two seeds.
    pub(crate) fn seeds_after(&self, campaign: &Campaign) -> (u64, u64) {
        let Shard { index, count } = self.shard;
        (campaign.next_seed.unwrap_or(self.seed.saturating_add(index)), count)
    }

    /// The seed of the run of a scenario. The scenario is drawn from its own seed already, but not
    /// the latitude.
    fn run_seed(&self, seed: u64) -> u64 {
        if self.latitude == Latitude::Reference { 0 } else { seed }
    }

    fn of_runs(&self) -> RunOptions {
        RunOptions { mutant: self.mutant, latitude: self.latitude, ..RunOptions::default() }
    }
}

/// A finding of a campaign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// What it has in common with others.
    pub shape: Shape,
    /// The first seed that shows it.
    pub seed: u64,
    /// The number of runs that show it.
    pub times: u64,
    /// What was expected in the first run.
    pub expected: String,
    /// What happened instead.
    pub actual: String,
    /// The shrunk scenario.
    pub scenario: String,
}

/// The results of a campaign. It is also the file from which a campaign is resumed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Campaign {
    /// The number of runs.
    pub runs: u64,
    /// Of these, the runs that could not be judged to their end.
    pub not_judged: u64,
    /// The seed of the next run.
    pub next_seed: Option<u64>,
    /// One finding of each shape, in the order of their seeds.
    pub findings: Vec<Found>,
    /// The cells that were reached.
    pub coverage: Coverage,
    /// The scenarios that reached a cell first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<Kept>,
    /// On a live server: what only some of the repetitions of a run showed. It does not count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unconfirmed: Vec<Unconfirmed>,
}

/// Something that a run on a live server showed, and not all of its repetitions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unconfirmed {
    /// What it has in common with others.
    pub shape: Shape,
    /// The seed of the run.
    pub seed: u64,
    /// The number of runs that showed it, without the repetitions.
    pub times: u64,
    /// What happened.
    pub actual: String,
    /// How many of the three repetitions showed it.
    pub repetitions: usize,
    /// The scenario.
    pub scenario: String,
}

/// What a caller sees of a campaign while it runs.
#[derive(Debug)]
pub struct Progress<'a> {
    /// The results so far.
    pub campaign: &'a Campaign,
    /// A finding of a new shape, which the last run showed.
    pub found: Option<&'a Found>,
    /// What a campaign on a live server does now. The results have what was found until then.
    pub note: Option<&'a str>,
}

impl<'a> Progress<'a> {
    /// A run has ended.
    pub(crate) fn run(campaign: &'a Campaign) -> Self {
        Self { campaign, found: None, note: None }
    }

    /// The new finding with this index was shrunk.
    pub(crate) fn found(campaign: &'a Campaign, index: usize) -> Self {
        Self { campaign, found: campaign.findings.get(index), note: None }
    }
}

/// Why the results of a campaign cannot be used.
#[derive(Debug, Error)]
pub enum CampaignError {
    /// The text is not the file of a campaign.
    #[error("not the results of a campaign: {0}")]
    Format(#[from] serde_json::Error),
}

impl Campaign {
    /// Reads what [`Campaign::text`] wrote.
    ///
    /// # Errors
    /// If the text is something else.
    pub fn read(text: &str) -> Result<Self, CampaignError> {
        Ok(serde_json::from_str(text)?)
    }

    /// The results as a file.
    ///
    /// # Errors
    /// Never for results of a campaign.
    pub fn text(&self) -> Result<String, CampaignError> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// Adds what a run showed. Returns the shapes that are new.
    pub(crate) fn add(
        &mut self,
        is_judged: bool,
        coverage: &Coverage,
        shapes: &BTreeMap<Shape, (String, String)>,
    ) -> Vec<(Shape, String, String)> {
        self.runs += 1;
        self.not_judged += u64::from(!is_judged);
        self.coverage.add(coverage);
        let mut new = Vec::new();
        for (shape, (expected, actual)) in shapes {
            match self.findings.iter_mut().find(|found| found.shape == *shape) {
                Some(found) => found.times += 1,
                None => new.push((shape.clone(), expected.clone(), actual.clone())),
            }
        }
        new
    }
}

/// Puts the results of shards together.
#[must_use]
pub fn merge(shards: &[Campaign]) -> Campaign {
    let mut merged = Campaign::default();
    for shard in shards {
        merged.runs += shard.runs;
        merged.not_judged += shard.not_judged;
        merged.coverage.add(&shard.coverage);
        for found in &shard.findings {
            match merged.findings.iter_mut().find(|known| known.shape == found.shape) {
                Some(known) => {
                    let times = known.times + found.times;
                    if found.seed < known.seed {
                        *known = found.clone();
                    }
                    known.times = times;
                }
                None => merged.findings.push(found.clone()),
            }
        }
    }
    merged.findings.sort_by(|one, other| (one.seed, &one.shape).cmp(&(other.seed, &other.shape)));
    merged
}

struct Run {
    seed: u64,
    version: Version,
    text: String,
    is_judged: bool,
    shapes: BTreeMap<Shape, (String, String)>,
    coverage: Coverage,
}

fn run_seed(seed: u64, options: &Options, kept: &[Kept]) -> Run {
    // A Server may close for what it does not authorize, and some that are drawn do.
    let features = match options.latitude {
        Latitude::Reference => options.features.clone(),
        _ => options.features.clone().without(&[Feature::Permissions]),
    };
    let swarm = Swarm::draw(seed, options.tests, options.version, &features);
    let version = swarm.version;
    let changed = change(seed, version, kept);
    let is_changed = changed.is_some();
    let text = changed.unwrap_or_else(|| draft(seed, &swarm));
    let run_options = options.of_runs();
    match case_of(&text) {
        Ok(case) => {
            let (result, history) = run_recorded(&case, options.run_seed(seed), run_options);
            let (mut shapes, coverage) = (shapes(&result, version), Coverage::of(&history));
            // A changed scenario may ask for what cannot be done, such as a command to a client that
            // does not run.
            let is_impossible = is_changed && result.verdict == Verdict::Error && !is_fault(&result.reason);
            if is_impossible {
                shapes.retain(|shape, _| !shape.clauses.is_empty());
            }
            let is_judged = result.verdict != Verdict::NotJudged && !is_impossible;
            Run { seed, version, text, is_judged, shapes, coverage }
        }
        Err(reason) => {
            let texts = ("the generated text is a scenario".to_owned(), reason.clone());
            let shapes = BTreeMap::from([(Shape::of_error(&reason, version), texts)]);
            Run { seed, version, text, is_judged: true, shapes, coverage: Coverage::default() }
        }
    }
}

/// Whether a run broke off by what a peer or the simulator did, and not by what the scenario asked
/// for.
fn is_fault(reason: &str) -> bool {
    FAULTS.iter().any(|fault| reason.contains(fault))
}

/// For one of [`CHANGED`] seeds: a kept scenario of the version with changes, if it is still a
/// scenario.
fn change(seed: u64, version: Version, kept: &[Kept]) -> Option<String> {
    let mut draw = Seed::new(seed).child("kept").draw();
    if draw.below(CHANGED) > 0 {
        return None;
    }
    let of_version: Vec<&Kept> = kept.iter().filter(|kept| kept.version == version.to_string()).collect();
    let text = changed(seed, draw.pick(&of_version)?)?;
    case_of(&text).is_ok().then_some(text)
}

/// Runs a campaign until its runs are done or `stop` is set. `before` has earlier results.
pub fn explore(
    options: &Options,
    before: Campaign,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Campaign {
    let mut campaign = before;
    while !stop.load(Ordering::Relaxed) {
        let until = (campaign.runs / options.generation + 1) * options.generation.get();
        let until = options.runs.map_or(until, |runs| runs.min(until));
        if campaign.runs >= until {
            break;
        }
        generation(options, &mut campaign, until, stop, progress);
    }
    campaign
}

/// Makes the runs up to this number of runs, or until `stop` is set.
#[expect(
    clippy::disallowed_methods,
    reason = "a thread takes whole runs, and results are taken in the order of the seeds"
)]
fn generation(
    options: &Options,
    campaign: &mut Campaign,
    until: u64,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(Progress<'_>),
) {
    let (first, count) = options.seeds_after(campaign);
    let left = until - campaign.runs;
    let began = campaign.runs / options.generation * options.generation.get();
    let kept: Vec<Kept> = campaign.kept.iter().filter(|kept| kept.run < began).cloned().collect();
    let next = AtomicU64::new(0);
    let seed_of = |number: u64| first.saturating_add(number.saturating_mul(count));
    std::thread::scope(|scope| {
        // A bounded channel: a slow seed does not let the others run far ahead.
        let (done, finished) = mpsc::sync_channel(4 * options.jobs.max(1));
        for _ in 0..options.jobs.max(1) {
            let (done, next, kept) = (done.clone(), &next, &kept);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= left
                        || done.send((number, run_seed(seed_of(number), options, kept))).is_err()
                    {
                        return;
                    }
                }
            });
        }
        drop(done);
        let mut waiting = BTreeMap::new();
        let mut expected = 0;
        for (number, run) in finished {
            waiting.insert(number, run);
            while let Some(run) = waiting.remove(&expected) {
                expected += 1;
                take(campaign, &run, options, progress);
                campaign.next_seed = Some(seed_of(expected));
            }
        }
    });
}

fn take(campaign: &mut Campaign, run: &Run, options: &Options, progress: &mut dyn FnMut(Progress<'_>)) {
    let (number, cells) = (campaign.runs, campaign.coverage.cells());
    let new = campaign.add(run.is_judged, &run.coverage, &run.shapes);
    if campaign.coverage.cells() > cells {
        let (seed, version) = (run.seed, run.version.to_string());
        let scenario = canonical(run.text.clone());
        campaign.kept.push(Kept { run: number, seed, version, scenario });
    }
    if new.is_empty() {
        return progress(Progress::run(campaign));
    }
    for (shape, expected, actual) in new {
        let shrunk = shrink(
            &run.text,
            options.run_seed(run.seed),
            &shape,
            run.version,
            options.of_runs(),
            options.limits,
        );
        let scenario = shrunk.map_or_else(|_| canonical(run.text.clone()), |shrunk| shrunk.text);
        campaign.findings.push(Found { shape, seed: run.seed, times: 1, expected, actual, scenario });
        progress(Progress::found(campaign, campaign.findings.len() - 1));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mqttspec_world::RunError;

    use super::*;

    #[test]
    fn a_run_that_a_peer_breaks_off_is_no_impossible_scenario() {
        let (host, busiest, at) = (String::new(), String::new(), Duration::ZERO);
        let errors = [
            RunError::HostPanicked { host: host.clone(), message: String::new(), at },
            RunError::Spinning { host, polls: 1, at },
            RunError::TimeLimit { limit: at },
            RunError::EventLimit { limit: 1, at, busiest: busiest.clone() },
            RunError::RealTimeLimit { limit: at, at, busiest },
        ];
        for error in errors {
            assert!(is_fault(&error.to_string()), "{error}");
        }
        assert!(!is_fault("d2: the client does not run"));
    }
}
