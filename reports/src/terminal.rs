//! What the person at the terminal sees when a suite has ended: a table by folder, the share of clauses, every failure once
//! more with all that is needed to act on it, and one last line that says it all.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use mqttspec_scenarios::results::{CaseResult, SuiteResult, Tally};
use mqttspec_scenarios::verdict::{Failure, Verdict};

use crate::{Coverage, failure, seconds};

const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const ODD: Style = AnsiColor::Yellow.on_default();
const HEAD: Style = Style::new().bold();
const QUIET: Style = Style::new().dimmed();

/// The whole summary, `width` columns wide at the most where tables are concerned, with ANSI styles that the caller strips where nobody sees them.
#[must_use]
pub fn summary(suite: &SuiteResult, width: u16) -> String {
    let mut out = String::new();
    let runs: usize = suite.cases.iter().map(|case| case.runs as usize).sum();
    let (cases, runs) = (count(suite.cases.len(), "case"), count(runs, "run"));
    line(&mut out, &format!("{HEAD}{}{HEAD:#}, seed {}, {cases}, {runs}", suite.target, suite.seed));
    out.push('\n');
    line(&mut out, &folders(suite, width));
    out.push('\n');
    for coverage in Coverage::of(suite) {
        line(&mut out, &clauses(&coverage));
    }
    for case in suite.cases.iter().filter(|case| case.verdict == Verdict::Skip) {
        line(&mut out, &format!("\n{ODD}skipped{ODD:#}  {}: {}", case.name(), case.reason));
    }
    for error in &suite.errors {
        line(&mut out, &format!("\n{BAD}cannot be read{BAD:#}  {}", error.file));
        line(&mut out, &indented(&error.message, 2));
    }
    for case in suite.cases.iter().filter(|case| matches!(case.verdict, Verdict::Fail | Verdict::Error)) {
        out.push('\n');
        out.push_str(&bad_case(case));
    }
    out.push('\n');
    line(&mut out, &last_line(suite));
    out
}

/// One case that failed or broke, with everything that is known about its failures.
#[must_use]
pub fn bad_case(case: &CaseResult) -> String {
    let mut out = String::new();
    let word = match case.verdict {
        Verdict::Error => "BROKE",
        _ => "FAILED",
    };
    line(&mut out, &format!("{BAD}{word}{BAD:#} {HEAD}{}{HEAD:#}  {}", case.name(), case.title));
    let seeds = failure::seeds(case);
    if !seeds.is_empty() {
        line(&mut out, &format!("  {QUIET}under {seeds}{QUIET:#}"));
    }
    if !case.reason.is_empty() {
        line(&mut out, &indented(&case.reason, 2));
    }
    for failure in &case.failures {
        out.push_str(&one_failure(failure));
    }
    out
}

fn one_failure(failure: &Failure) -> String {
    let mut out = String::new();
    for requirement in failure::requirements(failure) {
        row(&mut out, "requirement", &requirement);
    }
    row(&mut out, "level", &failure.level.to_string());
    row(&mut out, "found by", &failure::place(failure));
    if !failure.source.is_empty() {
        row(&mut out, "line", &failure.source);
    }
    row(&mut out, "expected", &failure.expected);
    row(&mut out, "actual", &failure.actual);
    if !failure.actual_hex.is_empty() {
        row(&mut out, "bytes", &failure.actual_hex);
    }
    if !failure.transcript.is_empty() {
        line(&mut out, &format!("  {QUIET}transcript{QUIET:#}"));
        for transcript_line in &failure.transcript {
            line(
                &mut out,
                &format!(
                    "    {QUIET}{:>12}{QUIET:#}  {}",
                    seconds(transcript_line.at_ns, 6),
                    transcript_line.text
                ),
            );
        }
    }
    row(&mut out, "again", &failure.command);
    out
}

fn folders(suite: &SuiteResult, width: u16) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(width.max(40))
        .set_header(["folder", "passed", "failed", "skipped", "errors"]);
    let by_folder = suite.by_folder();
    for (folder, tally) in &by_folder {
        table.add_row(cells(if folder.is_empty() { "." } else { folder }, *tally));
    }
    if by_folder.len() > 1 {
        table.add_row(cells("all", suite.tally()));
    }
    for column in 1..5 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

fn cells(name: &str, tally: Tally) -> [String; 5] {
    let number = |n: u32| if n == 0 { "–".to_owned() } else { n.to_string() };
    [name.to_owned(), number(tally.passed), number(tally.failed), number(tally.skipped), number(tally.errors)]
}

fn clauses(coverage: &Coverage) -> String {
    let failed = if coverage.all.failed == 0 {
        "none failed".to_owned()
    } else {
        format!("{BAD}{} failed{BAD:#}", coverage.all.failed)
    };
    format!(
        "clauses of MQTT {}: {} of {} shown, {failed}, {} not exercised",
        coverage.version, coverage.all.shown, coverage.all.total, coverage.all.not_shown
    )
}

fn last_line(suite: &SuiteResult) -> String {
    let tally = suite.tally();
    let style = if suite.exit_code(false) == 0 { GOOD } else { BAD };
    let mut text = format!(
        "{style}{} passed, {} failed, {} skipped, {}{style:#}",
        tally.passed,
        tally.failed,
        tally.skipped,
        count(tally.errors as usize, "error")
    );
    if !suite.errors.is_empty() {
        let _ = write!(text, ", {BAD}{} cannot be read{BAD:#}", count(suite.errors.len(), "file"));
    }
    if suite.cases.is_empty() && suite.errors.is_empty() {
        let _ = write!(text, ": {BAD}nothing was run{BAD:#}");
    }
    text
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

fn row(out: &mut String, name: &str, text: &str) {
    let mut lines = text.lines();
    line(out, format!("  {QUIET}{name:<11}{QUIET:#}  {}", lines.next().unwrap_or_default()).trim_end());
    for more in lines {
        line(out, &format!("{:15}{more}", ""));
    }
}

fn indented(text: &str, by: usize) -> String {
    text.lines().map(|text| format!("{:by$}{text}", "")).collect::<Vec<_>>().join("\n")
}
