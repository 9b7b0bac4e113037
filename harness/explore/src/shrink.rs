//! Makes a failing scenario short: removes steps, hosts, faults and fields, and simplifies values
//! and times, while a run still shows a finding of the same shape.
//!
//! The time is bounded by a number of runs, so that the result depends on the input only.

use mqttspec_codec::Version;
use mqttspec_mutants::Mutant;
use mqttspec_notation::{
    self as notation, Action, Content, FaultKind, Field, Scenario, Step, StepKind, Timing,
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

/// A shrunk scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shrunk {
    /// The file, in canonical layout.
    pub text: String,
    /// The number of runs that it took.
    pub runs: u32,
    /// Under how many of five seeds it fails.
    pub fails: u32,
}

/// Shrinks a scenario whose run under seed 0 has a finding of this shape.
///
/// # Errors
/// If the text is no scenario, or if its run has no such finding.
pub fn shrink(
    text: &str,
    shape: &Shape,
    version: Version,
    mutant: Option<&'static Mutant>,
    limits: Limits,
) -> Result<Shrunk, String> {
    let scenario = notation::parse(FILE, text).map_err(|diagnostics| diagnostics.plain())?;
    let mut shrinker = Shrinker { shape, version, mutant, left: limits.runs };
    if !shrinker.fails(&scenario) {
        return Err("a run under seed 0 does not show the finding".to_owned());
    }
    let mut best = scenario;
    loop {
        let before = notation::print(&best);
        best = shrinker.without_steps(best);
        best = shrinker.without_hosts(best);
        best = shrinker.simpler_steps(best);
        if shrinker.left == 0 || notation::print(&best) == before {
            break;
        }
    }
    let text = described(&best, shape);
    let fails = (0..5).filter(|seed| shows(&text, shape, version, mutant, *seed)).count();
    Ok(Shrunk { text, runs: limits.runs - shrinker.left, fails: u32::try_from(fails).unwrap_or(0) })
}

/// Shrinks a scenario to the first finding of its run under seed 0.
///
/// # Errors
/// If the text is no scenario with one case, or if its run has no finding.
pub fn shrink_first(text: &str, limits: Limits) -> Result<Shrunk, String> {
    let case = case_of(text)?;
    let result = run_with(&case, 0, RunOptions::default());
    let first = shapes(&result, case.version).into_keys().next();
    let shape = first.ok_or_else(|| "a run under seed 0 has no finding".to_owned())?;
    shrink(text, &shape, case.version, None, limits)
}

/// The file with a title that says what fails.
fn described(scenario: &Scenario, shape: &Shape) -> String {
    let mut scenario = scenario.clone();
    // The comment about the swarm describes the run before it was shrunk.
    scenario.header_comments.clear();
    scenario.title = format!("{} expects {}", shape.check, shape.expected).replace('#', "").trim().to_owned();
    scenario.comments_below.push(format!("fails: {}: {}", shape.check, shape.clauses.join(" ")));
    notation::print(&scenario)
}

fn shows(text: &str, shape: &Shape, version: Version, mutant: Option<&'static Mutant>, seed: u64) -> bool {
    let Ok(case) = case_of(text) else { return false };
    let result = run_with(&case, seed, RunOptions { mutant, ..RunOptions::default() });
    shapes(&result, version).contains_key(shape)
}

struct Shrinker<'s> {
    shape: &'s Shape,
    version: Version,
    mutant: Option<&'static Mutant>,
    left: u32,
}

impl Shrinker<'_> {
    fn fails(&mut self, scenario: &Scenario) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        shows(&notation::print(scenario), self.shape, self.version, self.mutant, 0)
    }

    /// Removes runs of steps: first half of them, at last single ones.
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
fn is_of(step: &Step, name: &str) -> bool {
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
fn fields_of(step: &mut Step) -> Option<&mut Vec<Field>> {
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
fn simpler(step: &Step) -> Vec<Step> {
    let mut forms = Vec::new();
    if step.timing != Timing::Usual {
        forms.push(Step { timing: Timing::Usual, ..step.clone() });
    }
    match &step.kind {
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
