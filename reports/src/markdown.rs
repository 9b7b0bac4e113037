//! `report.md`, for a comment on a pull request or a job summary, and `statements.md`, which says
//! for every clause whether it was shown and by which scenarios.
//!
//! The report has the verdict, the failures and the commands that repeat them, the table by area,
//! and the clauses that were not shown. A comment is limited to 65,536 characters, so failures are
//! shown in full while there is room; the others are listed by name.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use mqttspec_judge::finding::ReportedFinding;
use mqttspec_judge::results::{CaseResult, SuiteResult};
use mqttspec_judge::verdict::Verdict;

use crate::{Areas, ClauseStanding, Coverage, Outcome, failure, outcome, resilience, seconds};

/// The size limit of a report in bytes. It leaves room for text around it in a comment.
const ROOM: usize = 65_000;
/// The part of it that is reserved for the names of failures that are not shown in full.
const ROOM_FOR_NAMES: usize = 7_000;
/// The greatest number of lines in a list.
const LISTED: usize = 60;

/// The whole report.
#[must_use]
pub fn report(suite: &SuiteResult) -> String {
    let mut out = String::new();
    heading(&mut out, suite);
    unreadable(&mut out, suite);
    let mut below = String::new();
    areas(&mut below, suite);
    endured(&mut below, suite);
    by_reason(&mut below, suite, Verdict::NotJudged, "Not judged");
    by_reason(&mut below, suite, Verdict::Skip, "Skipped");
    branches(&mut below, suite);
    for coverage in &Coverage::of(suite) {
        not_exercised(&mut below, coverage);
    }
    let room = ROOM.saturating_sub(out.len() + below.len());
    failures(&mut out, suite, room);
    out.push_str(&below);
    out
}

/// Every clause of the versions that were run, with its standing and the scenarios that show it.
#[must_use]
pub fn statements(suite: &SuiteResult) -> String {
    let mut out = format!("# Every statement of the standard, for {}\n\n", text(&suite.target.to_string()));
    for coverage in &Coverage::of(suite) {
        every_clause(&mut out, coverage);
    }
    out
}

fn heading(out: &mut String, suite: &SuiteResult) {
    let tally = suite.tally();
    let runs: u64 = suite.cases.iter().map(|case| u64::from(case.runs)).sum();
    let sign = match suite.exit_code() {
        0 => "✅",
        1 => "❌",
        _ => "⚠️",
    };
    let _ = writeln!(
        out,
        "# {sign} MQTT conformance: {} passed, {} failed, {} skipped, {}{} {}\n\n\
         **{}** Target: {}. Seed {}; {} cases (a scenario for one version of the standard), {runs} runs{}.\n",
        tally.passed,
        tally.failed,
        tally.skipped,
        if tally.not_judged > 0 { format!("{} not judged, ", tally.not_judged) } else { String::new() },
        tally.errors,
        if tally.errors == 1 { "error" } else { "errors" },
        outcome::sentence(suite),
        text(&suite.target.to_string()),
        suite.seed,
        suite.cases.len(),
        if suite.strict { "; `--strict`" } else { "" }
    );
    for note in &suite.notes {
        let _ = writeln!(out, "> {}\n", text(note));
    }
}

fn unreadable(out: &mut String, suite: &SuiteResult) {
    if suite.errors.is_empty() {
        return;
    }
    out.push_str("## Unreadable scenario files\n\n");
    for error in &suite.errors {
        let _ = writeln!(out, "### {}\n", text(&error.file));
        fenced(out, "text", error.message.lines());
    }
}

fn failures(out: &mut String, suite: &SuiteResult, room: usize) {
    let bad: Vec<&CaseResult> =
        suite.cases.iter().filter(|case| outcome::is_shown_in_full(suite, case)).collect();
    if bad.is_empty() {
        return;
    }
    let _ = writeln!(out, "## What does not hold ({})\n", bad.len());
    let end = out.len() + room.saturating_sub(ROOM_FOR_NAMES);
    let mut shown = 0;
    for case in &bad {
        let text = one_case(case);
        if out.len() + text.len() > end {
            break;
        }
        out.push_str(&text);
        shown += 1;
    }
    let rest = &bad[shown..];
    if rest.is_empty() {
        return;
    }
    out.push_str("There is no room for the others here; `report.html` tells all of them.\n\n");
    for case in rest.iter().take(LISTED) {
        let _ = writeln!(out, "- {}: {}", text(&case.name()), Outcome::of(case));
    }
    if rest.len() > LISTED {
        let _ = writeln!(out, "- … and {} more", rest.len() - LISTED);
    }
    out.push('\n');
}

/// One case, as a collapsed section.
fn one_case(case: &CaseResult) -> String {
    let mut out = String::new();
    let outcome = Outcome::of(case);
    let _ = writeln!(
        out,
        "<details><summary><b>{outcome}{}</b> {}: {}</summary>\n",
        outcome::weaker(case.level),
        html(&case.name()),
        html(&case.title)
    );
    let seeds = failure::seeds(case);
    if !seeds.is_empty() {
        let _ = writeln!(out, "Under {seeds}.\n");
    }
    if let Some(reading) = &case.reading {
        let _ = writeln!(out, "Contested; the reading applied: {}\n", text(reading));
    }
    if let Some(by) = failure::put_forward(case) {
        let _ = writeln!(out, "The clock of the server was put forward by {by}.\n");
    }
    if case.verdict == Verdict::Fail && !case.reason.is_empty() {
        out.push_str("The rest of the scenario was not judged:\n\n");
    }
    if !case.reason.is_empty() {
        fenced(&mut out, "text", case.reason.lines());
    }
    let (in_full, more) = failure::in_full(case);
    for (failure, command) in failure::with_commands(in_full) {
        one_failure(&mut out, failure, command);
    }
    if more > 0 {
        let _ = writeln!(out, "{more} more of the same run: see `report.html`.\n");
    }
    let printed = failure::printed(case);
    if !printed.is_empty() {
        out.push_str("Its server printed:\n\n");
        fenced(&mut out, "text", printed.iter().map(String::as_str));
    }
    out.push_str("</details>\n\n");
    out
}

fn one_failure(out: &mut String, failure: &ReportedFinding, command: Option<&str>) {
    for (requirement, link) in failure.finding.requirements.iter().zip(failure::links(failure)) {
        let section = if link.is_empty() { String::new() } else { format!(" ([section]({link}))") };
        let _ = writeln!(out, "- **requirement**: {}{section}", text(&requirement.to_string()));
    }
    let _ = writeln!(out, "- **found by**: {}", text(&failure::place(failure)));
    if !failure.source.is_empty() {
        let _ = writeln!(out, "- **line**: {}", code(&failure.source));
    }
    let _ = writeln!(out, "- **expected**: {}", code(&failure.finding.expected));
    let _ = writeln!(out, "- **actual**: {}", code(&failure.finding.actual));
    if !failure.actual_hex.is_empty() {
        let _ = writeln!(out, "- **bytes**: {}", code(&failure::bytes(&failure.actual_hex)));
    }
    if let Some(nearly) = &failure.finding.nearly {
        let _ = writeln!(out, "- **nearly**: {}", text(nearly));
    }
    if let Some(command) = command {
        let _ = writeln!(out, "- **again**: {}", code(command));
    }
    out.push('\n');
    if !failure.transcript.is_empty() {
        let lines: Vec<String> = failure
            .transcript
            .iter()
            .map(|line| format!("{:>12}  {}", seconds(line.at_ns, 6), line.text))
            .collect();
        fenced(out, "text", lines.iter().map(String::as_str));
    }
}

/// The cases with this verdict, one line per reason.
fn by_reason(out: &mut String, suite: &SuiteResult, verdict: Verdict, heading: &str) {
    let mut reasons: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for case in suite.cases.iter().filter(|case| case.verdict == verdict) {
        reasons.entry(&case.reason).or_default().push(case.name());
    }
    if reasons.is_empty() {
        return;
    }
    let _ = writeln!(out, "## {heading}\n");
    for (reason, cases) in reasons {
        let _ = writeln!(out, "- {} ({}): {}", text(reason), cases.len(), text(&listed(&cases)));
    }
    out.push('\n');
}

/// The first few names, and the number of the others.
fn listed(names: &[String]) -> String {
    const NAMED: usize = 4;
    let more = names.len().saturating_sub(NAMED);
    let first = names.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    if more == 0 { first } else { format!("{first}, … and {more} more") }
}

/// The behaviours that the target chose where the standard allows several: each branch, and the
/// cases that took it.
fn branches(out: &mut String, suite: &SuiteResult) {
    let mut taken: BTreeMap<(&str, &str, u32), (String, Vec<String>)> = BTreeMap::new();
    for case in &suite.cases {
        for (branch, runs) in &case.branches {
            let entry = taken.entry((&case.file, &branch.name, branch.line)).or_default();
            entry.0 = branch.level.to_string();
            let row = case.row.as_ref().map_or_else(String::new, |row| format!(" {row}"));
            let times =
                if case.runs > 1 { format!(" ({runs} of {} runs)", case.runs) } else { String::new() };
            entry.1.push(format!("{}{row}{times}", case.version));
        }
    }
    if taken.is_empty() {
        return;
    }
    let _ = writeln!(
        out,
        "<details><summary>Choices that the standard leaves open ({})</summary>\n\n\
         | scenario | line | what the target did | level | in |\n|---|--:|---|---|---|",
        taken.len()
    );
    for ((file, name, line), (level, cases)) in taken.iter().take(LISTED) {
        let cases = text(&listed(cases));
        let _ = writeln!(out, "| {} | {line} | {} | {level} | {cases} |", text(file), text(name));
    }
    if taken.len() > LISTED {
        let _ = writeln!(out, "| … and {} more | | | | |", taken.len() - LISTED);
    }
    out.push_str("\n</details>\n\n");
}

fn areas(out: &mut String, suite: &SuiteResult) {
    if suite.cases.is_empty() {
        return;
    }
    let areas = Areas::of(suite);
    out.push_str("## By module\n\n| module | passed | failed | skipped | not judged | errors |");
    for version in &areas.versions {
        let _ = write!(out, " {version} shown |");
    }
    let _ = writeln!(out, "\n|---|--:|--:|--:|--:|--:|{}", "--:|".repeat(areas.versions.len()));
    for area in areas.rows.iter().chain([&areas.all]) {
        let tally = area.tally;
        let number = |number: u32| if number == 0 { "–".to_owned() } else { number.to_string() };
        let numbers = [tally.passed, tally.failed, tally.skipped, tally.not_judged, tally.errors];
        let numbers = numbers.map(number).join(" | ");
        let _ = write!(out, "| {} | {numbers} |", area.name);
        for (shown, total) in &area.shown {
            let share = match total {
                0 => String::new(),
                _ => format!("{shown} of {total} ({}%)", shown * 100 / total),
            };
            let _ = write!(out, " {share} |");
        }
        out.push('\n');
    }
    out.push_str("\n`shown`: numbered statements of the standard of which a claim passed and none failed, of all that the module has.\n\n");
}

/// The resilience table.
fn endured(out: &mut String, suite: &SuiteResult) {
    let rows = resilience::rows(suite);
    if rows.is_empty() {
        return;
    }
    let _ = writeln!(
        out,
        "<details><summary>{}</summary>\n\n{}\n\n| {} |\n|---|---|---|--:|--:|--:|--:|--:|---|---|---|---|--:|---|",
        resilience::HEADING,
        resilience::LEGEND,
        resilience::COLUMNS.join(" | ")
    );
    for row in rows {
        let _ = writeln!(out, "| {} |", row.cells.map(|cell| text(&cell)).join(" | "));
    }
    out.push_str("\n</details>\n\n");
}

/// The clauses that were not shown.
fn not_exercised(out: &mut String, coverage: &Coverage) {
    let open: Vec<_> = coverage
        .rows
        .iter()
        .filter(|row| {
            matches!(
                row.standing,
                ClauseStanding::NotShown
                    | ClauseStanding::Skipped
                    | ClauseStanding::Error
                    | ClauseStanding::NotJudged
                    | ClauseStanding::Unobservable(_)
            )
        })
        .collect();
    let _ = writeln!(
        out,
        "<details><summary>MQTT {}: {} of {} {}statements shown; what was not</summary>\n",
        coverage.version,
        coverage.all.shown,
        coverage.all.total,
        coverage.numbered()
    );
    for row in open.iter().take(LISTED) {
        let why = match row.standing {
            ClauseStanding::Unobservable(why) => format!("not to be seen on the wire: {why}"),
            ClauseStanding::Skipped => "every scenario that shows it was skipped".to_owned(),
            ClauseStanding::Error => "every scenario that shows it broke".to_owned(),
            ClauseStanding::NotJudged => "no claim of it was reached".to_owned(),
            _ => "not exercised".to_owned(),
        };
        let _ = writeln!(
            out,
            "- [{}]({}) {} *{}*",
            row.clause.id,
            row.clause.link(),
            text(row.clause.summary),
            text(&why)
        );
    }
    if open.len() > LISTED {
        let _ = writeln!(out, "- … and {} more: see `statements.md`", open.len() - LISTED);
    }
    out.push_str("\n</details>\n\n");
}

fn every_clause(out: &mut String, coverage: &Coverage) {
    let _ = writeln!(
        out,
        "## MQTT {}\n\n| statement | section | standing | what it asks for | scenarios |\n|---|---|---|---|---|",
        coverage.version
    );
    for row in &coverage.rows {
        let standing = match &row.standing {
            ClauseStanding::Shown => "shown".to_owned(),
            ClauseStanding::Failed => "**failed**".to_owned(),
            ClauseStanding::Nearly => "**nearly**".to_owned(),
            ClauseStanding::Contested => "contested".to_owned(),
            ClauseStanding::Error => "error".to_owned(),
            ClauseStanding::NotJudged => "not judged".to_owned(),
            ClauseStanding::Skipped => "skipped".to_owned(),
            ClauseStanding::NotShown => "not exercised".to_owned(),
            ClauseStanding::Unobservable(why) => format!("not on the wire: {why}"),
        };
        let _ = writeln!(
            out,
            "| [{}]({}) | {} | {} | {} | {} |",
            row.clause.id,
            row.clause.link(),
            row.clause.section,
            text(&standing),
            text(row.clause.summary),
            text(&row.files.join(", "))
        );
    }
    out.push('\n');
}

/// Escapes plain text for an HTML element.
fn html(plain: &str) -> String {
    plain.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Escapes plain text for Markdown.
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
