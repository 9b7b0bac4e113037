//! Judges a finished run by the findings of the executor, the monitors and the delivery checks.

use mqttspec_judge::command::RepeatCommand;
use mqttspec_judge::deliveries::Deliveries;
use mqttspec_judge::finding::{Finding, ReportedFinding};
use mqttspec_judge::history::History;
use mqttspec_judge::resilience::Endured;
use mqttspec_judge::results::RunResult;
use mqttspec_judge::trace::Trace;
use mqttspec_judge::verdict::Verdict;
use mqttspec_judge::{Case, delivery_checks, monitors, transcript};
use mqttspec_spec::Level;

use crate::executor::Executed;
use crate::found::Stop;

/// A finished run.
pub(crate) struct Performed {
    pub(crate) history: History,
    pub(crate) executed: Executed,
}

/// The result of a run, and whether a failure may be caused by timing. With `with_trace`, a run
/// that passes has its trace too.
pub(crate) fn judged(
    case: &Case,
    command: &RepeatCommand,
    performed: Performed,
    with_trace: bool,
) -> (RunResult, bool) {
    let Performed { history, executed: Executed { findings, end } } = performed;
    let mut found = findings.found;
    let (stopped, reason) = match end {
        Ok(()) => {
            found.extend(judge_deliveries(case, &findings.properties, &history));
            (None, String::new())
        }
        Err(Stop::Finding(finding)) => {
            found.push(*finding);
            (None, String::new())
        }
        Err(Stop::Broken(reason)) => (Some(Verdict::Error), reason),
        Err(Stop::Unsupported(unsupported)) => (Some(Verdict::Skip), unsupported.to_string()),
    };
    found.extend(monitors::judge(&history));
    let verdict = stopped.unwrap_or(if found.is_empty() { Verdict::Pass } else { Verdict::Fail });
    let broke = verdict == Verdict::Error;
    let timing_sensitive = broke || found.iter().any(|finding| finding.timing_sensitive);
    let level = found.iter().map(|finding| finding.level).max().unwrap_or(Level::Must);
    // Most runs pass, and their traces are not shown.
    let shown = with_trace || verdict != Verdict::Pass;
    let trace = if shown { transcript::trace(&history, case.version) } else { Trace::default() };
    let reported = |finding| ReportedFinding::new(finding, case, &history, &trace, command);
    let result = RunResult {
        seed: command.seed,
        verdict,
        level,
        reason,
        failures: found.into_iter().map(reported).collect(),
        drawn: findings.drawn,
        branches: findings.branches,
        marks: findings.marks,
        endured: Endured::of(&case.scenario, &history),
        trace,
        history_hash: format!("{:032x}", history.hash()),
        output: Vec::new(),
    };
    (result, timing_sensitive)
}

fn judge_deliveries(
    case: &Case,
    properties: &[(u32, mqttspec_notation::Property)],
    history: &History,
) -> Vec<Finding> {
    if properties.is_empty() {
        return Vec::new();
    }
    let deliveries = Deliveries::of(history);
    let requirements = case.requirements(Level::Must);
    properties
        .iter()
        .flat_map(|(line, property)| {
            delivery_checks::judge(property, *line, &requirements, history, &deliveries)
        })
        .collect()
}
