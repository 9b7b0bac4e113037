//! Campaigns on live brokers.
//!
//! The same seed need not show the same thing twice: the timing of a real broker differs. So a new
//! finding counts only if each of three repetitions of its run shows it too. It is then shrunk by
//! many runs at the same time, because a run mostly waits. The results have it before it is shrunk,
//! so that it is not lost if shrinking is cut short.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mqttspec_codec::Version;
use mqttspec_judge::Case;
use mqttspec_judge::verdict::Verdict;
use mqttspec_runner::live::single::{LiveRun, LiveTarget};

use crate::campaign::{Campaign, Found, Options, Progress, Unconfirmed};
use crate::coverage::Coverage;
use crate::features::{Feature, Features};
use crate::generate::{canonical, draft};
use crate::live_server::LiveServer;
use crate::run::{case_of, shapes};
use crate::shape::Shape;
use crate::shrink::{Limits, is_sound};
use crate::shrink_live::{End, Shrinking, described, marked, shrink_together};
use crate::swarm::Swarm;

/// The number of repetitions that must show a finding.
const REPETITIONS: usize = 3;

/// How many runs of a candidate must show the finding while it is shrunk.
const ATTEMPTS: usize = 2;

/// Of how many seeds that show a finding one is chosen.
const EXAMPLES: usize = 3;

/// What a campaign on a live server needs beside its options.
pub struct Live<'l> {
    /// The server.
    pub target: &'l mut LiveTarget,
    /// Ends the campaign at once. What is not confirmed or not shrunk by then is marked so.
    pub stop: &'l AtomicBool,
    /// Ends the first part: no more scenarios are drawn.
    pub enough: &'l AtomicBool,
    /// The time since the campaign began.
    pub clock: &'l dyn Fn() -> Duration,
    /// How long each finding is shrunk; no limit if `None`. All are shrunk at the same time, so two
    /// of them have twice this time together.
    pub shrink_for: Option<Duration>,
}

/// A run of a generated scenario that showed something new.
struct Example {
    seed: u64,
    text: String,
    expected: String,
    actual: String,
}

/// What several runs showed.
#[derive(Default)]
struct Suspect {
    examples: Vec<Example>,
    times: u64,
}

/// A scenario, its version and the shape that it may show.
struct Trial {
    text: String,
    shape: Shape,
    version: Version,
}

/// Runs a campaign on a live server. `before` has earlier results.
pub fn explore_live(
    options: &Options,
    live: &mut Live<'_>,
    before: Campaign,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Campaign {
    let mut campaign = before;
    let suspects = draw(options, live, &mut campaign, progress);
    let note = format!("{} new findings: repeating their runs", suspects.len());
    let known = campaign.unconfirmed.len();
    campaign.unconfirmed.extend(suspects.iter().filter_map(not_repeated));
    progress(Progress { campaign: &campaign, found: None, note: Some(&note) });
    campaign.unconfirmed.truncate(known);
    let confirmed = confirm(live, &mut campaign, suspects);
    let first = campaign.findings.len();
    let name = live.target.name().to_owned();
    for (shape, suspect) in &confirmed {
        let Some(Example { seed, text, expected, actual }) = suspect.examples.first() else { continue };
        let scenario = marked(text, &format!("on {name}; not shrunk yet"));
        let (shape, seed, times) = (shape.clone(), *seed, suspect.times);
        let (expected, actual) = (expected.clone(), actual.clone());
        campaign.findings.push(Found { shape, seed, times, expected, actual, scenario });
    }
    let bound = shrinking_time(live, confirmed.len());
    let most = bound.map_or_else(String::new, |bound| format!(" for at most {} s", bound.as_secs()));
    let note = format!("{} findings were confirmed: shrinking them{most}", confirmed.len());
    progress(Progress { campaign: &campaign, found: None, note: Some(&note) });
    let shrunk = shrink_all(options.limits, live, &confirmed);
    for (index, scenario) in (first..).zip(shrunk) {
        campaign.findings[index].scenario = scenario;
        progress(Progress::found(&campaign, index));
    }
    campaign
}

/// A suspect as the results have it until its runs are repeated.
fn not_repeated((shape, suspect): (&Shape, &Suspect)) -> Option<Unconfirmed> {
    let Example { seed, text, actual, .. } = suspect.examples.first()?;
    let scenario = marked(text, "its run was not repeated yet");
    let (shape, actual, times) = (shape.clone(), actual.clone(), suspect.times);
    Some(Unconfirmed { shape, seed: *seed, times, actual, repetitions: 0, scenario })
}

/// How long this number of findings is shrunk.
fn shrinking_time(live: &Live<'_>, findings: usize) -> Option<Duration> {
    let count = u32::try_from(findings).unwrap_or(u32::MAX);
    live.shrink_for.map(|each| each.saturating_mul(count))
}

/// Shrinks a scenario to the first finding of its run on a live server.
///
/// # Errors
/// If the text is no scenario with one case, or if not each of four runs has the finding.
pub fn shrink_first_live(text: &str, limits: Limits, live: &mut Live<'_>) -> Result<String, String> {
    let case = case_of(text)?;
    let version = case.version;
    let mut waiting = Some((case, 0));
    let mut first = None;
    live.target.run(&mut || waiting.take(), live.stop, &mut |_, run| {
        first = shapes_of(&run, version).into_iter().next();
    });
    let (shape, (expected, actual)) = first.ok_or("a run on the broker has no finding")?;
    let example = Example { seed: 0, text: text.to_owned(), expected, actual };
    let suspects = BTreeMap::from([(shape, Suspect { examples: vec![example], times: 1 })]);
    let mut campaign = Campaign::default();
    let confirmed = confirm(live, &mut campaign, suspects);
    if let Some(Unconfirmed { repetitions, .. }) = campaign.unconfirmed.first() {
        return Err(format!("only {repetitions} of {REPETITIONS} repetitions of its run have the finding"));
    }
    if live.stop.load(Ordering::Relaxed) {
        return Err("it was stopped".to_owned());
    }
    shrink_all(limits, live, &confirmed).pop().ok_or_else(|| "the finding did not come again".to_owned())
}

/// The features that make sense on a live server.
pub(crate) fn features_on(allowed: &Features, target: &LiveTarget) -> Features {
    use Feature as F;
    // These need a configured server, a disk, or more time.
    let mut without =
        vec![F::Durable, F::WebSocket, F::Auth, F::Permissions, F::LongWait, F::Profile, F::Characters];
    let lacks = |name: &str| target.capability(name) == Some("0");
    let needed = [
        ("topic_alias_maximum", F::TopicAliases),
        ("retain_available", F::Retained),
        ("shared_subscription_available", F::Shared),
        ("subscription_identifier_available", F::SubscriptionIdentifiers),
    ];
    without.extend(needed.iter().filter(|(name, _)| lacks(name)).map(|(_, feature)| *feature));
    match maximum_qos(target) {
        0 => without.extend([F::Qos1, F::Qos2]),
        1 => without.push(F::Qos2),
        _ => {}
    }
    if !target.has_own_servers() {
        without.extend([F::Malformed, F::Limits]);
    }
    // Another server may come back with a Session and without its last exchanges. What it then
    // sends is not judged.
    if !target.has_own_servers() || !target.is_durable() {
        without.push(F::CrashServer);
    }
    allowed.clone().without(&without)
}

fn maximum_qos(target: &LiveTarget) -> u64 {
    number(target, "maximum_qos").unwrap_or(2)
}

fn number(target: &LiveTarget, name: &str) -> Option<u64> {
    target.capability(name).and_then(|value| value.parse().ok())
}

/// What a generated scenario must know of the server.
pub(crate) fn server_of(target: &LiveTarget) -> LiveServer {
    LiveServer {
        topic_alias_maximum: number(target, "topic_alias_maximum").unwrap_or(0),
        maximum_qos: maximum_qos(target),
        retains: target.capability("retain_available") != Some("0"),
        accepts_keep_alive_0: target.capability("keep_alive_0") != Some("0"),
        takes_malformed: target.has_own_servers(),
        late: target.late().as_secs() + 1,
    }
}

/// Runs generated scenarios. Returns what is new.
fn draw(
    options: &Options,
    live: &mut Live<'_>,
    campaign: &mut Campaign,
    progress: &mut dyn FnMut(Progress<'_>),
) -> BTreeMap<Shape, Suspect> {
    let features = features_on(&options.features, live.target);
    let server = server_of(live.target);
    let version = options.version.or_else(|| only_version(live.target.versions()));
    let (first, count) = options.seeds_after(campaign);
    let left = options.runs.map_or(u64::MAX, |runs| runs.saturating_sub(campaign.runs));
    let mut drawn: Vec<(u64, Version, String)> = Vec::new();
    let mut suspects: BTreeMap<Shape, Suspect> = BTreeMap::new();
    let (stop, enough) = (live.stop, live.enough);
    let drawn_cell = std::cell::RefCell::new(&mut drawn);
    let mut next = || {
        let mut drawn = drawn_cell.borrow_mut();
        let number = drawn.len() as u64;
        if number >= left || enough.load(Ordering::Relaxed) {
            return None;
        }
        let seed = first.saturating_add(number.saturating_mul(count));
        let swarm = Swarm::draw(seed, options.tests, version, &features).on(server);
        let text = draft(seed, &swarm);
        let case = case_of(&text).ok()?;
        drawn.push((seed, swarm.version, text));
        Some((case, 0))
    };
    let mut done = |number: usize, run: LiveRun| {
        let drawn = drawn_cell.borrow();
        let Some((seed, version, text)) = drawn.get(number) else { return };
        let shapes = shapes_of(&run, *version);
        let is_judged = run.result.verdict != Verdict::NotJudged;
        for (shape, expected, actual) in campaign.add(is_judged, &Coverage::of(&run.history), &shapes) {
            let suspect = suspects.entry(shape).or_default();
            suspect.times += 1;
            if suspect.examples.len() < EXAMPLES {
                suspect.examples.push(Example { seed: *seed, text: text.clone(), expected, actual });
            }
        }
        progress(Progress::run(campaign));
    };
    live.target.run(&mut next, stop, &mut done);
    campaign.next_seed = Some(first.saturating_add((drawn.len() as u64).saturating_mul(count)));
    suspects
}

/// The version, if the server supports only one of those that are drawn.
pub(crate) fn only_version(versions: &[Version]) -> Option<Version> {
    let newer: Vec<Version> = versions.iter().copied().filter(|version| *version != Version::V3_1).collect();
    match newer[..] {
        [only] => Some(only),
        _ => None,
    }
}

fn shapes_of(run: &LiveRun, version: Version) -> BTreeMap<Shape, (String, String)> {
    let mut shapes = shapes(&run.result, version);
    if let Some(lost) = &run.lost {
        let reason = format!("the server serves after the run, but it {lost}");
        let texts = ("the server serves after the run".to_owned(), lost.clone());
        shapes.insert(Shape::of_error(&reason, version), texts);
    }
    shapes
}

/// Runs scenarios, but begins none after a time. Returns for each whether its run shows its shape.
fn try_all(live: &mut Live<'_>, trials: &[Trial], until: Option<Duration>) -> Vec<bool> {
    let cases: Vec<Option<Case>> = trials.iter().map(|trial| case_of(&trial.text).ok()).collect();
    let numbers: Vec<usize> = (0..trials.len()).filter(|number| cases[*number].is_some()).collect();
    let mut shown = vec![false; trials.len()];
    let mut waiting = numbers.iter();
    let clock = live.clock;
    let is_late = || until.is_some_and(|until| clock() >= until);
    let mut next =
        || waiting.next().filter(|_| !is_late()).and_then(|number| Some((cases[*number].clone()?, 0)));
    let mut done = |index: usize, run: LiveRun| {
        let Some(number) = numbers.get(index) else { return };
        let Trial { shape, version, .. } = &trials[*number];
        shown[*number] = shapes_of(&run, *version).contains_key(shape);
    };
    live.target.run(&mut next, live.stop, &mut done);
    shown
}

/// Repeats the runs of suspects. Returns those of which each repetition of a run shows them, with
/// this run.
fn confirm(
    live: &mut Live<'_>,
    campaign: &mut Campaign,
    suspects: BTreeMap<Shape, Suspect>,
) -> Vec<(Shape, Suspect)> {
    let mut trials = Vec::new();
    for (shape, suspect) in &suspects {
        for example in &suspect.examples {
            let (text, version) = (&example.text, version_of(shape));
            let trial = || Trial { text: text.clone(), shape: shape.clone(), version };
            trials.extend((0..REPETITIONS).map(|_| trial()));
        }
    }
    let shown = try_all(live, &trials, None);
    let mut shown = shown.chunks(REPETITIONS).map(|of| of.iter().filter(|shown| **shown).count());
    let mut confirmed = Vec::new();
    for (shape, mut suspect) in suspects {
        let counts: Vec<usize> = suspect.examples.iter().map(|_| shown.next().unwrap_or(0)).collect();
        let best = (0..counts.len()).max_by_key(|index| (counts[*index], std::cmp::Reverse(*index)));
        let Some(best) = best else { continue };
        let example = suspect.examples.swap_remove(best);
        if counts[best] == REPETITIONS {
            suspect.examples = vec![example];
            confirmed.push((shape, suspect));
        } else {
            let Example { seed, text, actual, .. } = example;
            let scenario = match live.stop.load(Ordering::Relaxed) {
                true => marked(&text, "stopped before its run was repeated three times"),
                false => canonical(text),
            };
            let (times, repetitions) = (suspect.times, counts[best]);
            campaign.unconfirmed.push(Unconfirmed { shape, seed, times, actual, repetitions, scenario });
        }
    }
    confirmed
}

fn version_of(shape: &Shape) -> Version {
    Version::ALL.into_iter().find(|version| version.to_string() == shape.version).unwrap_or(Version::V5)
}

/// Shrinks the scenarios of findings, all at the same time.
fn shrink_all(limits: Limits, live: &mut Live<'_>, confirmed: &[(Shape, Suspect)]) -> Vec<String> {
    let texts = confirmed
        .iter()
        .map(|(_, suspect)| suspect.examples.first().map_or(String::new(), |example| example.text.clone()));
    let texts: Vec<String> = texts.collect();
    let mut shrinking: Vec<Option<Shrinking>> = confirmed
        .iter()
        .zip(&texts)
        .map(|((shape, _), text)| Shrinking::new(text, shape, limits.runs))
        .collect();
    let until = shrinking_time(live, confirmed.len()).map(|bound| (live.clock)().saturating_add(bound));
    let mut end = End::Shrunk;
    shrink_together(&mut shrinking, |candidates| {
        if live.stop.load(Ordering::Relaxed) {
            end = End::Stopped;
            return None;
        }
        if until.is_some_and(|until| (live.clock)() >= until) {
            end = End::Late;
            return None;
        }
        let mut trials = Vec::new();
        for (number, text) in candidates {
            let (shape, _) = &confirmed[*number];
            let version = version_of(shape);
            let trial = || Trial { text: text.clone(), shape: shape.clone(), version };
            trials.extend((0..ATTEMPTS).map(|_| trial()));
        }
        let attempts = try_all(live, &trials, until);
        let shown = attempts.chunks(ATTEMPTS).map(|of| of.iter().all(|shown| *shown));
        let sound = |(number, text): &(usize, String)| is_sound(text, &confirmed[*number].0);
        Some(shown.zip(candidates).map(|(shown, candidate)| shown && sound(candidate)).collect())
    });
    // How steadily the shrunk scenarios fail.
    let mut trials = Vec::new();
    for ((shape, _), one) in confirmed.iter().zip(&shrinking) {
        let text = one.as_ref().map_or_else(String::new, Shrinking::text);
        let version = version_of(shape);
        trials.extend((0..REPETITIONS).map(|_| Trial { text: text.clone(), shape: shape.clone(), version }));
    }
    let shown = try_all(live, &trials, None);
    if live.stop.load(Ordering::Relaxed) {
        end = End::Stopped;
    }
    let fails = shown.chunks(REPETITIONS).map(|of| of.iter().filter(|shown| **shown).count());
    let name = live.target.name().to_owned();
    let mut files = Vec::new();
    for ((((shape, _), one), text), fails) in confirmed.iter().zip(shrinking).zip(texts).zip(fails) {
        files.push(match one {
            Some(one) => described(one, shape, &name, &end.words(fails, REPETITIONS)),
            None => canonical(text),
        });
    }
    files
}
