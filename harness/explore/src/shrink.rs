//! Makes a failing scenario short: removes steps, hosts, faults and fields, and simplifies values
//! and times, while a run still shows a finding of the same shape.
//!
//! The time is bounded by a number of runs, so that the result depends on the input only.

use std::time::Duration;

use mqttspec_codec::Version;
use mqttspec_judge::finding::Check;
use mqttspec_notation::{
    self as notation, Action, ClauseReference, Content, FaultKind, Field, Guarantee, Property, Scenario,
    ShownClause, Shows, Step, StepKind, Time, Timing, VersionMark,
};
use mqttspec_runner::run::{RunOptions, run_with};

use crate::run::{FILE, case_of, shapes};
use crate::shape::Shape;

/// How long to shrink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The number of runs.
    pub runs: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { runs: 1500 }
    }
}

/// The seeds under which a shorter scenario may fail. Without a step, the others draw other times.
const SEEDS: u64 = 3;

/// The largest scenario of which pairs of steps are removed: one may undo the other, as a crash and
/// a start.
const STEPS_IN_PAIRS: usize = 16;

/// A shrunk scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shrunk {
    /// The file, in canonical layout.
    pub text: String,
    /// The number of runs that it took.
    pub runs: u32,
    /// A seed under which it fails.
    pub seed: u64,
    /// Under how many of the seeds 0 to 4 it fails.
    pub fails: u32,
}

/// Shrinks a scenario whose run under a seed has a finding of this shape.
///
/// # Errors
/// If the text is no scenario, or if its run has no such finding.
pub fn shrink(
    text: &str,
    seed: u64,
    shape: &Shape,
    version: Version,
    options: RunOptions,
    limits: Limits,
) -> Result<Shrunk, String> {
    let scenario = notation::parse(FILE, text).map_err(|diagnostics| diagnostics.plain())?;
    let mut shrinker = Shrinker { shape, version, options, left: limits.runs, seed, seeds: 1 };
    if !shrinker.fails(&scenario) {
        return Err(format!("a run under seed {seed} does not show the finding"));
    }
    let one_version = Scenario { versions: vec![version], ..scenario.clone() };
    let mut best = if shrinker.fails(&one_version) { one_version } else { scenario };
    let only_finding = with_clauses(best.clone(), &shape.clauses);
    if shrinker.fails(&only_finding) {
        best = only_finding;
    }
    loop {
        let before = notation::print(&best);
        best = shrinker.without_steps(best);
        best = shrinker.without_hosts(best);
        best = shrinker.simpler_steps(best);
        if shrinker.seeds > 1 {
            best = shrinker.waits(best);
            best = shrinker.without_pairs(best);
        }
        match notation::print(&best) == before {
            _ if shrinker.left == 0 => break,
            true if shrinker.seeds > 1 => break,
            // One seed is enough to remove most of a large scenario. More seeds are tried for the
            // rest.
            true => shrinker.seeds = SEEDS,
            false => {}
        }
    }
    let (runs, seed) = (limits.runs - shrinker.left, shrinker.seed);
    let shown = |seed: &u64| shows(&notation::print(&best), shape, version, options, *seed);
    let fails = u32::try_from((0..5).filter(shown).count()).unwrap_or(0);
    Ok(Shrunk { text: described(best, shape, seed, fails), runs, seed, fails })
}

/// Shrinks a scenario to the first finding of its run under a seed.
///
/// # Errors
/// If the text is no scenario with one case, or if its run has no finding.
pub fn shrink_first(text: &str, seed: u64, limits: Limits) -> Result<Shrunk, String> {
    let case = case_of(text)?;
    let options = RunOptions::default();
    let result = run_with(&case, seed, options);
    let first = shapes(&result, case.version).into_keys().next();
    let shape = first.ok_or_else(|| format!("a run under seed {seed} has no finding"))?;
    shrink(text, seed, &shape, case.version, options, limits)
}

/// The file with a title, the clauses and the seed of the finding.
fn described(mut scenario: Scenario, shape: &Shape, seed: u64, fails: u32) -> String {
    // The comment about the swarm describes the run before it was shrunk.
    scenario.header_comments.clear();
    scenario.title = format!("{} expects {}", shape.check, shape.expected).replace('#', "").trim().to_owned();
    scenario.comments_below.push(format!("fails: {}: {}", shape.check, shape.clauses.join(" ")));
    scenario.comments_below.push(format!("under seed {seed}; under {fails} of the seeds 0 to 4"));
    notation::print(&scenario)
}

/// The scenario with these clauses in place of its own, and without delivery checks. The finding is
/// not about a line of the scenario, so the last line shows the clauses.
pub(crate) fn with_clauses(mut scenario: Scenario, clauses: &[String]) -> Scenario {
    let span = notation::Span::default();
    scenario.clauses = Vec::new();
    for version in &scenario.versions {
        let reference = |id: &String| ClauseReference { span, version: *version, id: id.clone() };
        scenario.clauses.extend(clauses.iter().map(reference));
    }
    scenario.steps.retain(|step| !matches!(step.kind, StepKind::Property(_)));
    let shown =
        clauses.iter().map(|id| ShownClause { span, versions: VersionMark::default(), id: id.clone() });
    let nothing_more = Property { host: None, qos: None, guarantees: vec![Guarantee::NothingMore] };
    scenario.steps.push(Step {
        span,
        versions: VersionMark::default(),
        timing: Timing::Usual,
        kind: StepKind::Property(nothing_more),
        shows: Some(Shows::Clauses(shown.collect())),
        comments: notation::Comments::default(),
    });
    scenario
}

fn shows(text: &str, shape: &Shape, version: Version, options: RunOptions, seed: u64) -> bool {
    let Ok(case) = case_of(text) else { return false };
    let result = run_with(&case, seed, options);
    shapes(&result, version).contains_key(shape) && (options.mutant.is_none() || is_sound(text, shape))
}

/// Whether the reference peer does what the scenario expects. Without the packet that asks for it,
/// an expected answer would be missing on any peer.
pub(crate) fn is_sound(text: &str, shape: &Shape) -> bool {
    if shape.check != Check::Expectation.to_string() {
        return true;
    }
    let Ok(case) = case_of(text) else { return false };
    !shapes(&run_with(&case, 0, RunOptions::default()), case.version).contains_key(shape)
}

struct Shrinker<'s> {
    shape: &'s Shape,
    version: Version,
    options: RunOptions,
    left: u32,
    /// The seed under which the best scenario fails.
    seed: u64,
    /// The number of seeds that are tried.
    seeds: u64,
}

impl Shrinker<'_> {
    fn fails(&mut self, scenario: &Scenario) -> bool {
        let text = notation::print(scenario);
        let others = (0..self.seeds).filter(|other| *other != self.seed && self.seeds > 1);
        for seed in std::iter::once(self.seed).chain(others.collect::<Vec<_>>()) {
            if self.left == 0 {
                return false;
            }
            self.left -= 1;
            if shows(&text, self.shape, self.version, self.options, seed) {
                self.seed = seed;
                return true;
            }
        }
        false
    }

    /// Removes groups of consecutive steps: first half of all steps, in the end single ones.
    fn without_steps(&mut self, mut best: Scenario) -> Scenario {
        let mut size = best.steps.len().div_ceil(2).max(1);
        loop {
            let mut at = 0;
            while at < best.steps.len() {
                let mut candidate = best.clone();
                candidate.steps.drain(at..(at + size).min(best.steps.len()));
                if self.fails(&candidate) {
                    best = candidate;
                } else {
                    at += size;
                }
            }
            if size == 1 || self.left == 0 {
                return best;
            }
            size = size.div_ceil(2);
        }
    }

    /// Removes two steps at once.
    fn without_pairs(&mut self, mut best: Scenario) -> Scenario {
        if best.steps.len() > STEPS_IN_PAIRS {
            return best;
        }
        let mut first = 0;
        while first < best.steps.len() {
            let pair = (first + 1..best.steps.len()).find_map(|second| {
                let mut candidate = best.clone();
                candidate.steps.remove(second);
                candidate.steps.remove(first);
                self.fails(&candidate).then_some(candidate)
            });
            match pair {
                Some(shorter) => best = shorter,
                None => first += 1,
            }
        }
        best
    }

    /// Puts a wait in place of a step that only takes time, and joins waits.
    fn waits(&mut self, mut best: Scenario) -> Scenario {
        let mut at = 0;
        while at < best.steps.len() {
            let is_wait =
                |step: Option<&Step>| matches!(step.map(|step| &step.kind), Some(StepKind::Wait(_)));
            let mut candidate = best.clone();
            if is_wait(best.steps.get(at)) && is_wait(best.steps.get(at + 1)) {
                candidate.steps.remove(at);
            } else if !is_wait(best.steps.get(at)) {
                let kind = StepKind::Wait(Time::everywhere(Duration::from_millis(1)));
                candidate.steps[at] = Step { kind, timing: Timing::Usual, ..best.steps[at].clone() };
            } else {
                at += 1;
                continue;
            }
            if self.fails(&candidate) {
                best = candidate;
            } else {
                at += 1;
            }
        }
        best
    }

    /// Removes clients with all their steps, and options of those that are left.
    fn without_hosts(&mut self, mut best: Scenario) -> Scenario {
        for index in (0..best.clients.len()).rev() {
            let names: Vec<String> =
                best.clients[index].names.iter().flat_map(notation::HostName::expand).collect();
            let mut candidate = best.clone();
            candidate.clients.remove(index);
            candidate.steps.retain(|step| !names.iter().any(|name| is_of(step, name)));
            if self.fails(&candidate) {
                best = candidate;
            }
        }
        for index in (0..best.clients.len()).rev() {
            for option in (0..best.clients[index].options.len()).rev() {
                let mut candidate = best.clone();
                candidate.clients[index].options.remove(option);
                if self.fails(&candidate) {
                    best = candidate;
                }
            }
        }
        if !best.broker.is_empty() {
            let mut candidate = best.clone();
            candidate.broker.clear();
            if self.fails(&candidate) {
                best = candidate;
            }
        }
        best
    }

    fn simpler_steps(&mut self, mut best: Scenario) -> Scenario {
        for index in 0..best.steps.len() {
            for simpler in simpler(&best.steps[index]) {
                let mut candidate = best.clone();
                candidate.steps[index] = simpler;
                if self.fails(&candidate) {
                    best = candidate;
                    break;
                }
            }
            // Fields, from the last to the first.
            for field in (0..fields_of(&mut best.steps[index].clone()).map_or(0, |fields| fields.len())).rev()
            {
                let mut candidate = best.clone();
                if let Some(fields) = fields_of(&mut candidate.steps[index])
                    && field < fields.len()
                {
                    fields.remove(field);
                    if self.fails(&candidate) {
                        best = candidate;
                    }
                }
            }
        }
        best
    }
}

/// Whether a step is about this host only.
pub(crate) fn is_of(step: &Step, name: &str) -> bool {
    match &step.kind {
        StepKind::Line { host, .. }
        | StepKind::Verb { host, .. }
        | StepKind::Ask { host, .. }
        | StepKind::Told { host, .. } => host == name,
        StepKind::Fault(fault) => match &fault.hosts {
            notation::Hosts::Named(names) => {
                names.iter().flat_map(notation::HostName::expand).eq([name.to_owned()])
            }
            notation::Hosts::All => false,
        },
        _ => false,
    }
}

/// The fields of a step that may be removed one by one.
pub(crate) fn fields_of(step: &mut Step) -> Option<&mut Vec<Field>> {
    match &mut step.kind {
        StepKind::Line { content: Content::Packet(pattern), .. } => Some(&mut pattern.fields),
        StepKind::Verb { action, .. } | StepKind::Ask { action, .. } => match action {
            Action::Connects { fields, .. }
            | Action::Subscribes { fields, .. }
            | Action::Unsubscribes { fields, .. }
            | Action::Publishes { fields, .. }
            | Action::Disconnects { fields } => Some(fields),
            _ => None,
        },
        _ => None,
    }
}

/// Simpler forms of a step, the simplest first.
pub(crate) fn simpler(step: &Step) -> Vec<Step> {
    let mut forms = Vec::new();
    if step.timing != Timing::Usual {
        forms.push(Step { timing: Timing::Usual, ..step.clone() });
    }
    match &step.kind {
        StepKind::Wait(time) if time.simulated > Duration::from_millis(1) => {
            for wait in [Duration::from_millis(1), Duration::from_secs(1), time.simulated / 2] {
                if wait < time.simulated && wait.subsec_nanos() % 1_000_000 == 0 {
                    forms.push(Step { kind: StepKind::Wait(Time::everywhere(wait)), ..step.clone() });
                }
            }
        }
        StepKind::Ask { host, action: Action::Subscribes { subscriptions, fields, expecting } } => {
            for index in 0..subscriptions.len() {
                for option in 0..subscriptions[index].options.len() {
                    let mut subscriptions = subscriptions.clone();
                    subscriptions[index].options.remove(option);
                    let (fields, expecting) = (fields.clone(), expecting.clone());
                    let action = Action::Subscribes { subscriptions, fields, expecting };
                    forms.push(Step { kind: StepKind::Ask { host: host.clone(), action }, ..step.clone() });
                }
            }
        }
        StepKind::Fault(fault) => {
            // A cut is the simplest way to lose a connection.
            let other = !matches!(
                fault.kind,
                FaultKind::Cut | FaultKind::Heal | FaultKind::Resume | FaultKind::Start
            );
            let of_client = fault.hosts != notation::Hosts::All;
            if other && of_client && fault.towards.is_none() {
                let cut = notation::Fault { kind: FaultKind::Cut, lasting: None, ..fault.clone() };
                forms.push(Step { kind: StepKind::Fault(cut), timing: Timing::Usual, ..step.clone() });
            }
        }
        _ => {}
    }
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_without_its_question_is_not_sound() {
        let text = |question: &str| {
            let header = "title    A test\nclauses  MQTT-4.3.3-2\nversions 3.1.1\n\n";
            format!("{header}p > CONNECT\np < CONNACK\n{question}p < PUBCOMP id=7 shows MQTT-4.3.3-2\n")
        };
        let case = case_of(&text("")).expect("a scenario");
        let found = shapes(&run_with(&case, 0, RunOptions::default()), case.version);
        let shape = found.into_keys().next().expect("the answer is missing");
        assert!(!is_sound(&text(""), &shape));
        assert!(is_sound(&text("p > PUBREL id=7\n"), &shape));
        let monitor = Shape { check: "the monitor `x`".to_owned(), ..shape };
        assert!(is_sound(&text(""), &monitor));
    }
}
