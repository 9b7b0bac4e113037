//! Changes a scenario that reached a new cell of the coverage, so that runs near it are made too.
//!
//! A change moves, repeats, removes or exchanges steps, puts another fault in place of one, or takes
//! another time. What comes out need not make sense: a step that cannot be done leaves the rest of its
//! run not judged. The delivery checks of the scenario counted on what it was, so they are left out: the
//! monitors and the history model judge the run.

use std::time::Duration;

use mqttspec_notation::{
    self as notation, Comments, Fault, FaultKind, Guarantee, HeaderComment, HeaderWord, HostName, Hosts,
    Property, Scenario, ShownClause, Shows, Span, Step, StepKind, Time, TimeRange, Timing, VersionMark,
};
use mqttspec_world::{Draw, Seed};
use serde::{Deserialize, Serialize};

use crate::run::FILE;
use crate::shrink::fields_of;

/// A scenario whose run was the first to reach a cell of the coverage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The number of the run in the campaign or shard, from 0.
    pub run: u64,
    /// Its seed.
    pub seed: u64,
    /// The version of the standard.
    pub version: String,
    /// The scenario.
    pub scenario: String,
}

/// The most changes to one scenario.
const CHANGES: u64 = 4;

/// The clause that the check of a changed scenario shows.
const SHOWN: &str = "MQTT-4.3.1-1";

/// Waits that let other things overlap.
const WAITS: [Duration; 6] = [
    Duration::from_millis(1),
    Duration::from_millis(30),
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(4),
    Duration::from_secs(12),
];

/// The scenario of a seed, changed from a kept one. `None` if the kept text is no scenario, or if an
/// application acknowledges messages itself: without its command, its client owes no answer.
pub(crate) fn changed(seed: u64, kept: &Kept) -> Option<String> {
    let mut scenario = notation::parse(FILE, &kept.scenario).ok()?;
    let mut options = scenario.clients.iter().flat_map(|client| &client.options);
    if options.any(|option| option.name == "acknowledgement") {
        return None;
    }
    let mut draw = Seed::new(seed).child("changes").draw();
    scenario.steps.retain(|step| !matches!(step.kind, StepKind::Property(_)));
    let changes = 1 + draw.below(CHANGES);
    for _ in 0..changes {
        change(&mut scenario.steps, &mut draw);
    }
    check(&mut scenario);
    scenario.title = format!("Generated from seed {seed}");
    let comment = format!("Seed {seed}: the scenario of seed {}, changed {changes} times", kept.seed);
    let comments = Comments { above: vec![comment], ..Comments::default() };
    scenario.header_comments = vec![HeaderComment { word: HeaderWord::Title, index: 0, comments }];
    Some(notation::print(&scenario))
}

fn change(steps: &mut Vec<Step>, draw: &mut Draw) {
    if steps.is_empty() {
        return;
    }
    let place = |draw: &mut Draw, length: usize| usize::try_from(draw.below(length as u64)).unwrap_or(0);
    let at = place(draw, steps.len());
    match draw.below(7) {
        0 => {
            let step = steps.remove(at);
            let to = place(draw, steps.len() + 1);
            steps.insert(to, step);
        }
        1 => {
            let to = place(draw, steps.len() + 1);
            steps.insert(to, steps[at].clone());
        }
        2 => drop(steps.remove(at)),
        3 if at > 0 => steps.swap(at - 1, at),
        4 => {
            let wait = draw.pick(&WAITS).copied().unwrap_or_default();
            let is_wait = matches!(steps[at].kind, StepKind::Wait(_));
            let step = step_of(StepKind::Wait(Time::everywhere(wait)));
            if is_wait { steps[at] = step } else { steps.insert(at, step) }
        }
        5 => {
            // Faults are what the coverage is about, so they change more often.
            let host = steps.iter().skip(at).chain(steps.iter().take(at)).find_map(host_of);
            let Some(host) = host else { return };
            let step = step_of(StepKind::Fault(fault_of(host, draw)));
            let replaces = matches!(&steps[at].kind, StepKind::Fault(fault) if is_of_link(fault));
            if replaces { steps[at] = step } else { steps.insert(at, step) }
        }
        _ => {
            let fields = fields_of(&mut steps[at]).filter(|fields| !fields.is_empty());
            if let Some(fields) = fields {
                fields.remove(place(draw, fields.len()));
            }
        }
    }
}

/// The client of a step, if the step is one of a client.
fn host_of(step: &Step) -> Option<HostName> {
    let (StepKind::Line { host, .. } | StepKind::Verb { host, .. } | StepKind::Ask { host, .. }) = &step.kind
    else {
        return None;
    };
    Some(HostName::One(host.clone()))
}

fn is_of_link(fault: &Fault) -> bool {
    use FaultKind as Kind;
    matches!(
        fault.kind,
        Kind::Cut | Kind::Close | Kind::Partition | Kind::Latency(_) | Kind::Loss { .. } | Kind::Stall
    ) && fault.hosts != Hosts::All
}

/// A fault of the links of a client, which ends by itself.
fn fault_of(host: HostName, draw: &mut Draw) -> Fault {
    let seconds = Duration::from_secs;
    let kinds = [
        FaultKind::Cut,
        FaultKind::Partition,
        FaultKind::Latency(TimeRange { simulated: (seconds(1), seconds(4)), live: None }),
        FaultKind::Loss { per_mille: 300 },
        FaultKind::Bandwidth { bytes_per_second: 50 },
        FaultKind::Stall,
    ];
    let kind = draw.pick(&kinds).cloned().unwrap_or(FaultKind::Cut);
    let lasts = kind != FaultKind::Cut;
    let lasting = lasts.then(|| Time::everywhere(seconds(1 + draw.below(20))));
    Fault { kind, hosts: Hosts::Named(vec![host]), towards: None, lasting }
}

fn step_of(kind: StepKind) -> Step {
    Step {
        span: Span::default(),
        versions: VersionMark::default(),
        timing: Timing::Usual,
        kind,
        shows: None,
        comments: Comments::default(),
    }
}

/// Removes all claims, and adds one that no delivery can break.
fn check(scenario: &mut Scenario) {
    for step in &mut scenario.steps {
        step.shows = None;
    }
    scenario.clauses.retain(|clause| clause.id == SHOWN);
    let guarantees = vec![Guarantee::NoViolation];
    let property = StepKind::Property(Property { host: None, qos: None, guarantees });
    let shown = ShownClause { span: Span::default(), versions: VersionMark::default(), id: SHOWN.to_owned() };
    scenario.steps.push(Step { shows: Some(Shows::Clauses(vec![shown])), ..step_of(property) });
}

#[cfg(test)]
mod tests {
    use mqttspec_codec::Role;

    use super::*;
    use crate::features::Features;
    use crate::generate::generate;
    use crate::run::case_of;
    use crate::swarm::Swarm;

    #[test]
    fn most_changed_scenarios_can_run() {
        let mut run = 0;
        for seed in 0..100 {
            let swarm = Swarm::draw(seed, Role::Server, None, &Features::default());
            let (scenario, version) = (generate(seed, &swarm), swarm.version.to_string());
            let kept = Kept { run: 0, seed, version, scenario };
            let text = changed(1000 + seed, &kept).expect("it was a scenario");
            assert_eq!(changed(1000 + seed, &kept).as_ref(), Some(&text), "the seed decides");
            assert_ne!(text, kept.scenario);
            run += usize::from(case_of(&text).is_ok());
        }
        assert!(run > 80, "{run} of 100");
    }
}
