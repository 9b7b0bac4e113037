//! The resilience table: the results of a steady load under faults, computed from the histories of
//! the runs.

use std::collections::BTreeMap;

use mqttspec_judge::resilience::{LoadSummary, Messages};
use mqttspec_judge::results::{CaseResult, SuiteResult};

use crate::{Outcome, seconds};

/// The heading of the table.
pub(crate) const HEADING: &str = "Under a steady load, by fault";
/// The names of the columns.
pub(crate) const COLUMNS: [&str; 14] = [
    "faults",
    "version",
    "verdict",
    "runs",
    "faults last",
    "longest gap",
    "sent",
    "delivered",
    "duplicated",
    "refused",
    "lost",
    "errors by kind",
    "reconnects",
    "at the end",
];
/// The explanation of the figures.
pub(crate) const LEGEND: &str = "\
    Messages, errors and reconnects are sums of all runs of a case. faults last: from the beginning of the first to the end of the last. \
    longest gap: the longest time in which the subscriber got nothing. \
    refused: not delivered, and the publishing application was told so; lost: not delivered, and nobody was told. The standard lets \
    messages of QoS 0 be lost and those of QoS 1 be duplicated; a delivery guarantee that is broken is a failure of the case.";

/// The row of one case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The outcome of the case.
    pub outcome: Outcome,
    /// The cells, in the order of the columns.
    pub cells: [String; 14],
}

/// The rows of a suite, in the order of its cases; empty if no scenario puts load on clients under
/// faults.
#[must_use]
pub fn rows(suite: &SuiteResult) -> Vec<Row> {
    suite.cases.iter().filter_map(|case| Some(row(case, case.endured.as_ref()?))).collect()
}

fn row(case: &CaseResult, endured: &LoadSummary) -> Row {
    let all = endured.messages();
    let outcome = Outcome::of(case);
    let faults = if endured.faults_ns == 0 { "a moment".to_owned() } else { seconds(endured.faults_ns, 1) };
    let cells = [
        endured.profiles.join(", "),
        case.version.clone(),
        outcome.to_string(),
        endured.runs.to_string(),
        faults,
        seconds(endured.gap_ns, 1),
        all.sent.to_string(),
        all.delivered.to_string(),
        by_qos(endured, |messages| messages.duplicated),
        by_qos(endured, |messages| messages.refused),
        by_qos(endured, |messages| messages.lost),
        counted(&endured.errors),
        endured.reconnects.to_string(),
        counted(&endured.at_the_end),
    ];
    Row { outcome, cells }
}

/// Counts of messages by the QoS of their publication: `29 of QoS 0`.
fn by_qos(endured: &LoadSummary, which: fn(&Messages) -> u32) -> String {
    let counts = endured.by_qos.iter().enumerate().map(|(qos, messages)| (qos, which(messages)));
    let parts: Vec<String> =
        counts.filter(|(_, count)| *count > 0).map(|(qos, count)| format!("{count} of QoS {qos}")).collect();
    if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
}

/// Counts with their names: `12 network, 3 timeout`.
fn counted(counts: &BTreeMap<String, u32>) -> String {
    let parts: Vec<String> = counts.iter().map(|(word, count)| format!("{count} {word}")).collect();
    if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
}
