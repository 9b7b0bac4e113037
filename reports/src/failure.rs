//! A failure told in parts that every report lays out in its own way.

use mqttspec_judge::finding::ReportedFinding;
use mqttspec_judge::results::CaseResult;
use mqttspec_spec::{Clause, Requirement};

/// How many failures of one case are told in full: a target that does one thing wrong all the time breaks a monitor with every packet.
const IN_FULL: usize = 3;

/// The failures of a case that are told in full, and how many are not.
pub(crate) fn told(case: &CaseResult) -> (&[ReportedFinding], usize) {
    let told = &case.failures[..case.failures.len().min(IN_FULL)];
    (told, case.failures.len() - told.len())
}

/// The failures, each with the command that repeats it where the next one has another command.
pub(crate) fn with_commands(
    failures: &[ReportedFinding],
) -> impl Iterator<Item = (&ReportedFinding, Option<&str>)> {
    let command = |index: usize| failures.get(index).map(|failure| failure.command.as_str());
    let shown = move |index| command(index).filter(|_| command(index) != command(index + 1));
    failures.iter().enumerate().map(move |(index, failure)| (failure, shown(index)))
}

/// Where each requirement stands in the HTML edition of the standard; empty for what the catalogue does not know.
pub(crate) fn links(failure: &ReportedFinding) -> Vec<String> {
    let link = |requirement: &Requirement| requirement.in_catalogue().map(Clause::link).unwrap_or_default();
    failure.finding.requirements.iter().map(link).collect()
}

/// The check that made the finding, and the line of the scenario that it is about.
pub(crate) fn place(failure: &ReportedFinding) -> String {
    let ReportedFinding { finding, file, .. } = failure;
    match finding.line {
        0 => finding.check.to_string(),
        line => format!("{}, {file}:{line}", finding.check),
    }
}

/// Which of the case's seeds failed, in a few words.
pub(crate) fn seeds(case: &CaseResult) -> String {
    const SHOWN: usize = 5;
    if case.runs <= 1 || case.failed_seeds.is_empty() {
        return String::new();
    }
    let shown: Vec<String> = case.failed_seeds.iter().take(SHOWN).map(u64::to_string).collect();
    let more = if case.failed_seeds.len() > SHOWN { ", …" } else { "" };
    format!("{} of {} seeds: {}{more}", case.failed_seeds.len(), case.runs, shown.join(", "))
}

/// The last lines that a server printed which was started for the case alone.
pub(crate) fn printed(case: &CaseResult) -> &[String] {
    /// More is on the page.
    const LINES: usize = 12;
    let all = case.shown.as_ref().map_or(&[][..], |run| run.output.as_slice());
    &all[all.len().saturating_sub(LINES)..]
}

/// Bytes as hex pairs; of very many the first, and how many there are.
pub(crate) fn bytes(hex: &str) -> String {
    const SHOWN: usize = 96;
    match hex.get(..SHOWN * 3) {
        Some(shown) => format!("{}… ({} bytes)", shown, hex.len().div_ceil(3)),
        None => hex.to_owned(),
    }
}
