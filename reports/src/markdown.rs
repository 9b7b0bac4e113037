//! `report.md`: for a pull request, a job summary, or a page that says how far a broker obeys the standard.
//!
//! The order is the reader's: the verdict, what failed and how to see it again, then how much of the standard was exercised, last
//! every clause with the scenarios that show it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use mqttspec_scenarios::results::{CaseResult, SuiteResult, Tally};
use mqttspec_scenarios::verdict::{Failure, Verdict};

use crate::{ClauseStanding, Coverage, failure, seconds};

/// The whole report.
#[must_use]
pub fn report(suite: &SuiteResult) -> String {
    let coverage = Coverage::of(suite);
    let mut out = String::new();
    out.push_str("# MQTT conformance report\n\n");
    heading(&mut out, suite);
    unreadable(&mut out, suite);
    failures(&mut out, suite);
    skipped(&mut out, suite);
    branches(&mut out, suite);
    for coverage in &coverage {
        modules(&mut out, coverage);
    }
    for coverage in &coverage {
        every_clause(&mut out, coverage);
    }
    out
}

fn heading(out: &mut String, suite: &SuiteResult) {
    let tally = suite.tally();
    let runs: u64 = suite.cases.iter().map(|case| u64::from(case.runs)).sum();
    let word = match suite.exit_code(false) {
        0 => "Everything that was checked holds.",
        1 => "Something does not hold: see *Failures*.",
        _ if suite.errors.is_empty() => "Nothing was run.",
        _ => "Files could not be read: see *Unreadable scenario files*.",
    };
    let _ = writeln!(
        out,
        "**{word}** {} passed, {} failed, {} skipped, {} errors.\n\n\
         Target: {}. Seed {}; {} cases (a scenario for one version of the standard), {runs} runs.\n\n\
         `pass` = everything asked for was seen · `fail` = the target broke a clause · `skip` = the target says it lacks \
         something the scenario needs · `error` = the harness or the target broke, which says nothing about conformance.\n",
        tally.passed,
        tally.failed,
        tally.skipped,
        tally.errors,
        suite.target,
        suite.seed,
        suite.cases.len()
    );
    out.push_str("| area | version | passed | failed | skipped | errors |\n|---|---|--:|--:|--:|--:|\n");
    let mut areas: BTreeMap<(&str, &str), Tally> = BTreeMap::new();
    for case in &suite.cases {
        areas.entry((case.folder(), &case.version)).or_default().add(case.verdict);
    }
    for ((folder, version), tally) in areas {
        let _ = writeln!(
            out,
            "| {} | {version} | {} | {} | {} | {} |",
            if folder.is_empty() { "." } else { folder },
            tally.passed,
            tally.failed,
            tally.skipped,
            tally.errors
        );
    }
    out.push('\n');
}

fn unreadable(out: &mut String, suite: &SuiteResult) {
    if suite.errors.is_empty() {
        return;
    }
    out.push_str("## Unreadable scenario files\n\n");
    for error in &suite.errors {
        let _ = writeln!(out, "### {}\n", error.file);
        fenced(out, "text", error.message.lines());
    }
}

fn failures(out: &mut String, suite: &SuiteResult) {
    let bad: Vec<&CaseResult> =
        suite.cases.iter().filter(|case| matches!(case.verdict, Verdict::Fail | Verdict::Error)).collect();
    if bad.is_empty() {
        return;
    }
    out.push_str("## Failures\n\n");
    for case in bad {
        let _ = writeln!(out, "### {}\n", case.name());
        let _ = writeln!(out, "*{}* — {} (level {})\n", text(&case.title), case.verdict, case.level);
        let seeds = failure::seeds(case);
        if !seeds.is_empty() {
            let _ = writeln!(out, "Under {seeds}.\n");
        }
        if !case.reason.is_empty() {
            fenced(out, "text", case.reason.lines());
        }
        for failure in &case.failures {
            one_failure(out, failure);
        }
    }
}

fn one_failure(out: &mut String, failure: &Failure) {
    for requirement in failure::requirements(failure) {
        let _ = writeln!(out, "- **requirement**: {}", text(&requirement));
    }
    let _ = writeln!(out, "- **found by**: {}", text(&failure::place(failure)));
    if !failure.source.is_empty() {
        let _ = writeln!(out, "- **line**: {}", code(&failure.source));
    }
    let _ = writeln!(out, "- **expected**: {}", code(&failure.expected));
    let _ = writeln!(out, "- **actual**: {}", code(&failure.actual));
    if !failure.actual_hex.is_empty() {
        let _ = writeln!(out, "- **bytes**: {}", code(&failure.actual_hex));
    }
    let _ = writeln!(out, "- **again**: {}\n", code(&failure.command));
    if !failure.transcript.is_empty() {
        let lines: Vec<String> = failure
            .transcript
            .iter()
            .map(|line| format!("{:>12}  {}", seconds(line.at_ns, 6), line.text))
            .collect();
        fenced(out, "text", lines.iter().map(String::as_str));
    }
}

fn skipped(out: &mut String, suite: &SuiteResult) {
    let skipped: Vec<&CaseResult> = suite.cases.iter().filter(|case| case.verdict == Verdict::Skip).collect();
    if skipped.is_empty() {
        return;
    }
    out.push_str("## Skipped\n\n| case | why |\n|---|---|\n");
    for case in skipped {
        let _ = writeln!(out, "| {} | {} |", text(&case.name()), text(&case.reason));
    }
    out.push('\n');
}

/// Which of several allowed behaviours the target showed.
fn branches(out: &mut String, suite: &SuiteResult) {
    let taking: Vec<&CaseResult> = suite.cases.iter().filter(|case| !case.branches.is_empty()).collect();
    if taking.is_empty() {
        return;
    }
    out.push_str(
        "## Choices that the standard leaves open\n\n| case | line | what the target did | level | runs |\n|---|--:|---|---|--:|\n",
    );
    for case in taking {
        for (branch, runs) in &case.branches {
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} | {runs} |",
                text(&case.name()),
                branch.line,
                text(&branch.name),
                branch.level
            );
        }
    }
    out.push('\n');
}

fn modules(out: &mut String, coverage: &Coverage) {
    let _ = writeln!(out, "## MQTT {}: how much of the standard was exercised\n", coverage.version);
    let _ = writeln!(
        out,
        "{} of {} numbered statements shown, {} failed, {} cannot be seen on the wire, {} not exercised.\n",
        coverage.all.shown,
        coverage.all.total,
        coverage.all.failed,
        coverage.all.unobservable,
        coverage.all.not_shown
    );
    out.push_str("| module | statements | shown | failed | not on the wire | not exercised |\n|---|--:|--:|--:|--:|--:|\n");
    for module in &coverage.modules {
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} |",
            module.module, module.total, module.shown, module.failed, module.unobservable, module.not_shown
        );
    }
    out.push('\n');
}

fn every_clause(out: &mut String, coverage: &Coverage) {
    let _ = writeln!(
        out,
        "<details><summary>MQTT {}: every statement</summary>\n\n| statement | section | standing | what it asks for | scenarios |\n|---|---|---|---|---|",
        coverage.version
    );
    for row in &coverage.rows {
        let standing = match &row.standing {
            ClauseStanding::Shown => "shown".to_owned(),
            ClauseStanding::Failed => "**failed**".to_owned(),
            ClauseStanding::Skipped => "skipped".to_owned(),
            ClauseStanding::NotShown => "not exercised".to_owned(),
            ClauseStanding::Unobservable(why) => format!("not on the wire: {why}"),
        };
        let _ = writeln!(
            out,
            "| [{}]({}) | {} | {} | {} | {} |",
            row.clause,
            row.link,
            row.section,
            text(&standing),
            text(row.summary),
            text(&row.files.join(", "))
        );
    }
    out.push_str("\n</details>\n\n");
}

/// Plain text with what Markdown would take for markup escaped.
fn text(plain: &str) -> String {
    let mut out = String::with_capacity(plain.len());
    for character in plain.chars() {
        if matches!(character, '*' | '_' | '`' | '<' | '>' | '[' | ']' | '|' | '\\') {
            out.push('\\');
        }
        out.push(if character == '\n' { ' ' } else { character });
    }
    out
}

/// A code span whose fence is longer than any run of backticks inside.
fn code(plain: &str) -> String {
    let longest = plain.split(|character| character != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    let pad = if longest > 0 { " " } else { "" };
    format!("{fence}{pad}{}{pad}{fence}", plain.replace('\n', " ⏎ "))
}

fn fenced<'a>(out: &mut String, language: &str, lines: impl Iterator<Item = &'a str> + Clone) {
    let longest = lines
        .clone()
        .flat_map(|line| line.split(|character| character != '`').map(str::len))
        .max()
        .unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    let _ = writeln!(out, "{fence}{language}");
    for line in lines {
        let _ = writeln!(out, "{line}");
    }
    let _ = writeln!(out, "{fence}\n");
}
