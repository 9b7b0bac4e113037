//! The parts of a failure that several reports show, each with its own layout.

use mqttspec_judge::cut::split_hex;
use mqttspec_judge::finding::ReportedFinding;
use mqttspec_judge::results::CaseResult;
use mqttspec_spec::{Clause, Requirement};

/// The number of failures of one case that are shown in full. A target can violate a monitor's rule
/// with every packet.
const IN_FULL: usize = 3;

/// The failures of a case that are shown in full, and the number of the others.
pub(crate) fn in_full(case: &CaseResult) -> (&[ReportedFinding], usize) {
    let in_full = &case.failures[..case.failures.len().min(IN_FULL)];
    (in_full, case.failures.len() - in_full.len())
}

/// Each failure, with the command that repeats it unless the next failure has the same command.
pub(crate) fn with_commands(
    failures: &[ReportedFinding],
) -> impl Iterator<Item = (&ReportedFinding, Option<&str>)> {
    let command = |index: usize| failures.get(index).map(|failure| failure.command.as_str());
    let shown = move |index| command(index).filter(|_| command(index) != command(index + 1));
    failures.iter().enumerate().map(move |(index, failure)| (failure, shown(index)))
}

/// The address of each requirement in the HTML edition of the standard; empty if the catalogue does
/// not have it.
pub(crate) fn links(failure: &ReportedFinding) -> Vec<String> {
    let link = |requirement: &Requirement| requirement.in_catalogue().map(Clause::link).unwrap_or_default();
    failure.finding.requirements.iter().map(link).collect()
}

/// The check that detected the failure, and the line of the scenario.
pub(crate) fn place(failure: &ReportedFinding) -> String {
    let ReportedFinding { finding, file, .. } = failure;
    match finding.line {
        0 => finding.check.to_string(),
        line => format!("{}, {file}:{line}", finding.check),
    }
}

/// By how much the clock of the server was put forward, if it was.
pub(crate) fn put_forward(case: &CaseResult) -> Option<String> {
    case.put_forward_ms.map(|by| format!("{:?}", core::time::Duration::from_millis(by)))
}

/// A summary of the seeds that failed; empty for a single run.
pub(crate) fn seeds(case: &CaseResult) -> String {
    const SHOWN: usize = 5;
    if case.runs <= 1 || case.failed_seeds.is_empty() {
        return String::new();
    }
    let shown: Vec<String> = case.failed_seeds.iter().take(SHOWN).map(u64::to_string).collect();
    let more = if case.failed_seeds.len() > SHOWN { ", …" } else { "" };
    format!("{} of {} seeds: {}{more}", case.failed_seeds.len(), case.runs, shown.join(", "))
}

/// The last output lines of a server that was started for this case alone.
pub(crate) fn printed(case: &CaseResult) -> &[String] {
    /// The page shows more lines.
    const LINES: usize = 12;
    let all = case.shown.as_ref().map_or(&[][..], |run| run.output.as_slice());
    &all[all.len().saturating_sub(LINES)..]
}

/// Bytes as hex pairs. Many bytes are cut, with their count.
pub(crate) fn bytes(hex: &str) -> String {
    const SHOWN: usize = 96;
    let (pairs, count) = split_hex(hex);
    match (pairs.get(..SHOWN * 3), count) {
        (Some(shown), Some(count)) => format!("{shown}{count}"),
        (Some(shown), None) => format!("{}… ({} bytes)", shown, pairs.len().div_ceil(3)),
        (None, _) => hex.to_owned(),
    }
}
