//! Judges a run that is over: by what the executor found, the monitors and the delivery checks.

use mqttspec_judge::deliveries::Deliveries;
use mqttspec_judge::history::History;
use mqttspec_judge::resilience::Endured;
use mqttspec_judge::results::{RunResult, Trace};
use mqttspec_judge::verdict::Verdict;
use mqttspec_judge::{Case, delivery_checks as properties, monitors, transcript};
use mqttspec_spec::Level;

use crate::executor::Executed;
use crate::found::{Found, Stop};

/// What is left when a run is over.
pub(crate) struct Performed {
    pub(crate) history: History,
    pub(crate) executed: Executed,
    pub(crate) hash: String,
}

/// The result of a run, and whether its failure may be due to a lack of time. `with_trace` asks for the trace of a run that passes.
pub(crate) fn judged(case: &Case, seed: u64, performed: Performed, with_trace: bool) -> (RunResult, bool) {
    let version = case.version;
    let Executed { findings, end } = performed.executed;
    let mut found = findings.found;
    let (verdict, reason) = match end {
        Ok(()) => {
            found.extend(judge_properties(&findings.properties, &performed.history));
            (None, String::new())
        }
        Err(Stop::Found(stopped)) => {
            found.push(*stopped);
            (None, String::new())
        }
        Err(Stop::Broken(reason)) => (Some(Verdict::Error), reason),
    };
    for violation in monitors::judge(&performed.history) {
        found.push(Found::of_violation(violation, &performed.history));
    }
    let timed = verdict.is_some() || found.iter().any(|found| found.timed);
    let level = found.iter().map(|found| found.level).max().unwrap_or(Level::Must);
    let failed = if found.is_empty() { Verdict::Pass } else { Verdict::Fail };
    let verdict = verdict.unwrap_or(failed);
    // Most runs pass, and nobody looks at all of their traces.
    let shown = with_trace || verdict != Verdict::Pass;
    let trace = if shown { transcript::trace(&performed.history, version) } else { Trace::default() };
    let failures =
        found.into_iter().map(|found| found.into_failure(case, seed, &performed.history, &trace)).collect();
    let endured = Endured::of(&case.scenario, &performed.history);
    let result = RunResult {
        seed,
        verdict,
        level,
        reason,
        failures,
        drawn: findings.drawn,
        branches: findings.branches,
        marks: findings.marks,
        endured,
        trace,
        history_hash: performed.hash,
        output: Vec::new(),
    };
    (result, timed)
}

fn judge_properties(properties: &[(u32, mqttspec_notation::Property)], history: &History) -> Vec<Found> {
    if properties.is_empty() {
        return Vec::new();
    }
    let deliveries = Deliveries::of(history);
    properties
        .iter()
        .flat_map(|(line, property)| {
            let broken = properties::judge(property, history, &deliveries);
            broken.into_iter().map(|broken| Found::of_property(broken, *line, history))
        })
        .collect()
}
