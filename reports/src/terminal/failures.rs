//! A failed case in full: enough to act on it without the scenario file.

use mqttspec_judge::finding::ReportedFinding;
use mqttspec_judge::results::CaseResult;
use mqttspec_judge::verdict::Verdict;

use super::{BAD, HEAD, ODD, QUIET, cut, indented, line, whole_words};
use crate::{Outcome, failure, seconds};

/// The column of the values.
const VALUES: usize = 15;

/// A case that failed, broke or was not judged, with all details of its failures.
#[must_use]
pub fn bad_case(case: &CaseResult, width: u16) -> String {
    let width = usize::from(width.max(40));
    let mut out = String::new();
    let (word, style) = match Outcome::of(case) {
        Outcome::Error => ("BROKE", BAD),
        Outcome::NotJudged => ("NOT JUDGED", ODD),
        Outcome::Nearly => ("NEARLY", ODD),
        Outcome::Contested => ("CONTESTED", ODD),
        _ => ("FAILED", BAD),
    };
    line(&mut out, &format!("{style}{word}{style:#} {HEAD}{}{HEAD:#}", case.name()));
    let options = whole_words(width).initial_indent("  ").subsequent_indent("  ");
    for part in textwrap::wrap(&case.title, options) {
        line(&mut out, &part);
    }
    let seeds = failure::seeds(case);
    if !seeds.is_empty() {
        let options = whole_words(width).initial_indent("  ").subsequent_indent("  ");
        for part in textwrap::wrap(&format!("under {seeds}"), options) {
            line(&mut out, &format!("{QUIET}{part}{QUIET:#}"));
        }
    }
    match case.verdict {
        _ if case.reason.is_empty() => {}
        Verdict::Fail => row(&mut out, "not judged", &format!("the rest: {}", case.reason), width),
        Verdict::NotJudged => row(&mut out, "set-up", &case.reason, width),
        _ => line(&mut out, &indented(&case.reason, 2)),
    }
    if let Some(reading) = &case.reading {
        row(&mut out, "reading", reading, width);
    }
    if let Some(by) = failure::put_forward(case) {
        row(&mut out, "clock", &format!("of the server, put forward by {by}"), width);
    }
    let (in_full, more) = failure::in_full(case);
    for (index, (failure, command)) in failure::with_commands(in_full).enumerate() {
        if index > 0 {
            out.push('\n');
        }
        one_failure(&mut out, failure, width);
        if let Some(command) = command {
            unbroken(&mut out, "again", command);
        }
    }
    if more > 0 {
        row(
            &mut out,
            "more",
            &format!("{} of the same run; report.html tells all", super::count(more, "failure")),
            width,
        );
    }
    let printed = failure::printed(case);
    if !printed.is_empty() {
        line(&mut out, "  its server printed");
        line(&mut out, &indented(&printed.join("\n"), 4));
    }
    out
}

/// Groups the cases that fail alike: rows and versions of one scenario in which the same lines
/// fail.
pub(super) fn alike(bad: Vec<&CaseResult>) -> Vec<(&CaseResult, Vec<&CaseResult>)> {
    let mut groups: Vec<(&CaseResult, Vec<&CaseResult>)> = Vec::new();
    for case in bad {
        match groups.iter_mut().find(|(first, _)| fails_like(first, case)) {
            Some((_, alike)) => alike.push(case),
            None => groups.push((case, Vec::new())),
        }
    }
    groups
}

fn fails_like(one: &CaseResult, other: &CaseResult) -> bool {
    let lines = |case: &CaseResult| -> Vec<_> {
        case.failures.iter().map(|failure| (failure.finding.line, failure.finding.check.clone())).collect()
    };
    one.file == other.file
        && Outcome::of(one) == Outcome::of(other)
        && !one.failures.is_empty()
        && lines(one) == lines(other)
}

/// The other cases of a group, after the one that is shown.
pub(super) fn also(out: &mut String, alike: &[&CaseResult], width: u16) {
    if alike.is_empty() {
        return;
    }
    let short = |case: &&CaseResult| {
        let name = case.name();
        name.strip_prefix(&case.file).unwrap_or(&name).trim_start().to_owned()
    };
    let names: Vec<String> = alike.iter().map(short).collect();
    let text = format!("the same line fails in {}", names.join(", "));
    row(out, "also", &text, usize::from(width.max(40)));
}

fn one_failure(out: &mut String, failure: &ReportedFinding, width: usize) {
    let mut linked = String::new();
    for (requirement, link) in failure.finding.requirements.iter().zip(failure::links(failure)) {
        row(out, "requirement", &requirement.to_string(), width);
        // Clauses of the same section share one address.
        if !link.is_empty() && link != linked {
            unbroken(out, "", &link);
            linked = link;
        }
    }
    row(out, "level", &failure.finding.level.to_string(), width);
    row(out, "found by", &failure::place(failure), width);
    if !failure.source.is_empty() {
        row(out, "line", &failure.source, width);
    }
    row(out, "expected", &failure.finding.expected, width);
    row(out, "actual", &failure.finding.actual, width);
    if !failure.actual_hex.is_empty() {
        row(out, "bytes", &failure::bytes(&failure.actual_hex), width);
    }
    if let Some(nearly) = &failure.finding.nearly {
        row(out, "nearly", nearly, width);
    }
    if !failure.transcript.is_empty() {
        line(out, &format!("  {QUIET}transcript{QUIET:#}"));
        for entry in &failure.transcript {
            let time = seconds(entry.at_ns, 6);
            let mut time = format!("    {QUIET}{time:>12}{QUIET:#}  ");
            for part in transcript_line(&entry.text, width.saturating_sub(18).max(20)) {
                line(out, &format!("{time}{part}"));
                time = " ".repeat(20);
            }
        }
    }
}

/// Wraps a packet to a few lines. It is not cut to one, because a failure is often about the last
/// fields.
fn transcript_line(text: &str, room: usize) -> Vec<String> {
    const LINES: usize = 4;
    let whole: Vec<String> = textwrap::wrap(text, whole_words(room).subsequent_indent("  "))
        .into_iter()
        .map(|part| part.trim_end().to_owned())
        .collect();
    // Later lines are indented by two more columns, within the same width.
    let mut parts: Vec<String> = whole.iter().take(LINES).map(|part| part.trim_start().to_owned()).collect();
    if let Some(last) = parts.last_mut().filter(|_| whole.len() > LINES) {
        *last = format!("{}…", cut(last, room.saturating_sub(3)));
    }
    parts
}

/// Appends a name and a value, which is wrapped in its own column.
fn row(out: &mut String, name: &str, text: &str, width: usize) {
    let mut name = format!("  {QUIET}{name:<11}{QUIET:#}  ");
    for part in
        text.lines().flat_map(|part| textwrap::wrap(part, whole_words(width.saturating_sub(VALUES).max(20))))
    {
        line(out, format!("{name}{part}").trim_end());
        name = " ".repeat(VALUES);
    }
}

/// Appends a name and a value that is not wrapped, so that it can be copied.
fn unbroken(out: &mut String, name: &str, text: &str) {
    line(out, &format!("  {QUIET}{name:<11}{QUIET:#}  {text}"));
}
