//! Judges a finished run by the findings of the executor, the monitors, the history model and the
//! delivery checks.

use std::cell::OnceCell;
use std::collections::BTreeSet;

use mqttspec_judge::claims::Claims;
use mqttspec_judge::command::RepeatCommand;
use mqttspec_judge::deliveries::Deliveries;
use mqttspec_judge::finding::{Finding, ReportedFinding};
use mqttspec_judge::history::History;
use mqttspec_judge::model::{self, Tolerance};
use mqttspec_judge::resilience::LoadSummary;
use mqttspec_judge::results::RunResult;
use mqttspec_judge::trace::Trace;
use mqttspec_judge::verdict::Verdict;
use mqttspec_judge::{Case, cut, delivery_checks, monitors, transcript};
use mqttspec_notation::Guarantee;
use mqttspec_spec::Level;

use crate::executor::{Executed, Property};
use crate::found::{SetUp, Stop, Timed};

/// The most findings of a run in a report. A peer that repeats a violation gives a finding
/// each time.
const MOST_FINDINGS: usize = 30;

/// A finished run.
pub(crate) struct Performed {
    pub(crate) history: History,
    pub(crate) executed: Executed,
}

/// The result of a run, and what time has to do with it. With `with_trace`, a run
/// that passes has its trace too.
pub(crate) fn judged(
    case: &Case,
    command: &RepeatCommand,
    executed: Executed,
    history: &History,
    with_trace: bool,
    model: Option<Tolerance>,
) -> (RunResult, Timed) {
    let Executed { findings, end } = executed;
    let claims = Claims::of(case);
    let read = OnceCell::new();
    if let Some((length, deliveries)) = findings.deliveries
        && length == history.events().len()
    {
        let _ = read.set(deliveries);
    }
    let deliveries = || read.get_or_init(|| Deliveries::of(history));
    let (mut found, mut passed) = (findings.found, findings.passed);
    // The reason why the claims of the run are not judged, if there is one.
    let mut set_up: Vec<SetUp> = Vec::new();
    let mut broke: Option<(Verdict, String)> = None;
    match end {
        Ok(()) => {
            let end = End { quiet: findings.unquiet.is_none(), is_cut_off: findings.is_cut_off };
            set_up.extend(findings.unquiet);
            let of_deliveries =
                judge_deliveries(&findings.properties, &claims, history, &deliveries, end, &mut passed);
            for finding in of_deliveries {
                match Stop::from(finding) {
                    Stop::SetUp(unmet) => set_up.push(unmet),
                    Stop::Finding(finding) => found.push(*finding),
                    Stop::Broken(_) | Stop::Unsupported(_) => {}
                }
            }
        }
        Err(Stop::Finding(finding)) => found.push(*finding),
        Err(Stop::SetUp(unmet)) => set_up.push(unmet),
        Err(Stop::Broken(reason)) => broke = Some((Verdict::Error, reason)),
        Err(Stop::Unsupported(unsupported)) => broke = Some((Verdict::Skip, unsupported.to_string())),
    }
    let over = findings.over.unwrap_or(u64::MAX);
    found.extend(monitors::judge(history).into_iter().filter(|finding| finding.at_ns < over));
    if let Some(tolerance) = model {
        let of_model = match findings.over {
            // What is missing after the peer has ended is not judged.
            Some(over) => model::judge(&history.before(over), tolerance),
            None => model::judge(history, tolerance),
        };
        let new: Vec<Finding> = of_model.into_iter().filter(|finding| is_new(finding, &found)).collect();
        found.extend(new);
    }
    let verdict = match &broke {
        Some((verdict, _)) => *verdict,
        None if !found.is_empty() => Verdict::Fail,
        None if !set_up.is_empty() => Verdict::NotJudged,
        None => Verdict::Pass,
    };
    let by_time = set_up.iter().any(|unmet| unmet.timing_sensitive);
    let sensitive =
        verdict == Verdict::Error || by_time || found.iter().any(|finding| finding.timing_sensitive);
    let left_out = found.len().saturating_sub(MOST_FINDINGS);
    let reason = broke
        .map(|(_, reason)| reason)
        .or_else(|| set_up.into_iter().next().map(|unmet| unmet.reason))
        .or_else(|| (left_out > 0).then(|| format!("{left_out} further findings are left out")))
        .unwrap_or_default();
    let reason = cut::text(reason, cut::VALUE);
    let mut clauses_shown = claims.shown(&passed, findings.stopped);
    for broken in found.iter().flat_map(|finding| &finding.requirements) {
        clauses_shown.remove(&broken.clause);
    }
    if matches!(verdict, Verdict::Error | Verdict::Skip) {
        clauses_shown.clear();
    }
    if left_out > 0 {
        found = firsts_of_each(found);
    }
    found.truncate(MOST_FINDINGS);
    let level = found.iter().map(|finding| finding.level).max().unwrap_or(Level::Must);
    // Most runs pass, and their traces are not shown.
    let shown = with_trace || verdict != Verdict::Pass;
    let trace = if shown { transcript::trace(history, case.version) } else { Trace::default() };
    let reported = |finding| ReportedFinding::new(finding, case, history, &trace, command);
    let result = RunResult {
        seed: command.seed,
        verdict,
        level,
        reason,
        failures: found.into_iter().map(reported).collect(),
        clauses_shown: clauses_shown.into_iter().collect(),
        drawn: findings.drawn,
        branches: findings.branches,
        marks: findings.marks,
        endured: LoadSummary::of(&case.scenario, history, deliveries),
        trace,
        history_hash: format!("{:032x}", history.hash()),
        output: Vec::new(),
    };
    (result, Timed { sensitive, deviations: findings.deviations, ..Timed::default() })
}

/// Whether a finding of the history model says more than what other checks found.
fn is_new(of_model: &Finding, found: &[Finding]) -> bool {
    found.iter().all(|other| {
        let is_cited = of_model.requirements.iter().any(|one| other.requirements.contains(one));
        !is_cited && (other.event.is_none() || other.event != of_model.event)
    })
}

/// The same findings; the first of each check and its clauses come before repetitions.
fn firsts_of_each(found: Vec<Finding>) -> Vec<Finding> {
    let mut known = BTreeSet::new();
    let is_new = |finding: &Finding| {
        let clauses = finding.requirements.iter().map(|broken| broken.clause.clone());
        known.insert((finding.check.clone(), clauses.collect::<Vec<_>>()))
    };
    let (mut firsts, repetitions): (Vec<_>, Vec<_>) = found.into_iter().partition(is_new);
    firsts.extend(repetitions);
    firsts
}

/// How a run came to its end.
#[derive(Clone, Copy)]
struct End {
    /// Every message was delivered, and every command is done.
    quiet: bool,
    /// Messages were still in transit.
    is_cut_off: bool,
}

/// The findings of the delivery checks. Those that hold are added to what `passed`.
fn judge_deliveries<'d>(
    properties: &[Property],
    claims: &Claims,
    history: &History,
    deliveries: &dyn Fn() -> &'d Deliveries,
    end: End,
    passed: &mut BTreeSet<usize>,
) -> Vec<Finding> {
    if properties.is_empty() {
        return Vec::new();
    }
    let deliveries = deliveries();
    let mut findings = Vec::new();
    for Property { asks, line, span } in properties {
        let mut asks = asks.clone();
        if end.is_cut_off {
            // A message that is not delivered yet is not lost.
            asks.guarantees.retain_mut(Guarantee::without_loss);
        }
        let of_check = delivery_checks::judge(&asks, *line, &claims.at(*span), history, deliveries);
        let could_be_made = delivery_checks::could_be_made(&asks, history, end.quiet);
        if of_check.is_empty() && could_be_made && !end.is_cut_off {
            passed.insert(span.start);
        }
        findings.extend(of_check);
    }
    findings
}
