//! A failure told in parts that every report lays out in its own way.

use mqttspec_judge::results::CaseResult;
use mqttspec_judge::verdict::{Failure, FoundBy};
use mqttspec_spec::Requirement;
use mqttspec_spec::{Catalogue, Clause, Standard};

/// How many failures of one case are told in full: a target that does one thing wrong all the time breaks a monitor with every packet.
const IN_FULL: usize = 3;

/// The failures of a case that are told in full, and how many are not.
pub(crate) fn told(case: &CaseResult) -> (&[Failure], usize) {
    let told = &case.failures[..case.failures.len().min(IN_FULL)];
    (told, case.failures.len() - told.len())
}

/// The clause, where it stands and what it asks for: one line a requirement.
pub(crate) fn requirements(failure: &Failure) -> Vec<String> {
    failure
        .requirements
        .iter()
        .map(|requirement| {
            let mut line = format!("{} (MQTT {}", requirement.clause, requirement.version);
            if !requirement.section.is_empty() {
                line.push_str(&format!(", section {}", requirement.section));
            }
            line.push(')');
            if !requirement.summary.is_empty() {
                line.push_str(": ");
                line.push_str(&requirement.summary);
            }
            line
        })
        .collect()
}

/// Where each requirement stands in the HTML edition of the standard; empty for what the catalogue does not know.
pub(crate) fn links(failure: &Failure) -> Vec<String> {
    let link = |requirement: &Requirement| {
        let standard: Standard = requirement.version.parse().ok()?;
        Catalogue::get(standard, &requirement.clause).map(Clause::link)
    };
    failure.requirements.iter().map(|requirement| link(requirement).unwrap_or_default()).collect()
}

/// Which check spoke, and about which line of the scenario.
pub(crate) fn place(failure: &Failure) -> String {
    let by = match &failure.found_by {
        FoundBy::Expectation => "the scenario".to_owned(),
        FoundBy::LeftOver => "a packet that no line expects".to_owned(),
        FoundBy::Monitor(name) => format!("the monitor `{name}`"),
        FoundBy::Property(words) => format!("the property `{words}`"),
        FoundBy::Sometimes(mark) => format!("the mark `{mark}`, which no seed reached"),
    };
    if failure.line == 0 { by } else { format!("{by}, {}:{}", failure.file, failure.line) }
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
