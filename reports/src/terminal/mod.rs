//! The summary of a suite for a terminal: a tree by protocol area, the failures in full, a table by
//! area with the share of the standard that was shown, and a last line with the counts.
//!
//! Everything fits the width that the caller gives, down to 40 columns. Only addresses and commands
//! are never broken, so that they can be copied.

mod areas;
mod failures;
mod resilience;
mod tree;

pub use failures::bad_case;
pub use resilience::resilience;

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use mqttspec_judge::results::SuiteResult;

use crate::{Coverage, Outcome, outcome};

pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(crate) const ODD: Style = AnsiColor::Yellow.on_default();
pub(crate) const HEAD: Style = Style::new().bold();
pub(crate) const QUIET: Style = Style::new().dimmed();

/// The number of groups of like failures that are shown in full, one failure each. The others are
/// in the tree, and in the files of `--report`.
const SHOWN_IN_FULL: usize = 30;

/// The whole summary for a terminal of `width` columns, with ANSI styles. The caller strips them if
/// the output is not a terminal.
#[must_use]
pub fn summary(suite: &SuiteResult, width: u16) -> String {
    whole(suite, width, false)
}

/// The same, with the resilience table below the table by area.
#[must_use]
pub fn summary_with_resilience(suite: &SuiteResult, width: u16) -> String {
    whole(suite, width, true)
}

fn whole(suite: &SuiteResult, width: u16, with_resilience: bool) -> String {
    let mut out = String::new();
    heading(&mut out, suite, width);
    out.push('\n');
    out.push_str(&tree::tree(suite, width));
    for error in &suite.errors {
        line(&mut out, &format!("\n{BAD}cannot be read{BAD:#}  {}", error.file));
        line(&mut out, &indented(&error.message, 2));
    }
    let bad = suite.cases.iter().filter(|case| outcome::is_shown_in_full(suite, case)).collect();
    let groups = failures::alike(bad);
    for (case, alike) in groups.iter().take(SHOWN_IN_FULL) {
        out.push('\n');
        out.push_str(&bad_case(case, width));
        failures::also(&mut out, alike, width);
    }
    let more: usize = groups.iter().skip(SHOWN_IN_FULL).map(|(_, alike)| alike.len() + 1).sum();
    if more > 0 {
        out.push('\n');
        paragraph(
            &mut out,
            &format!("{more} more failures stand in the tree above; `--report DIR` tells all."),
            width,
        );
    }
    if !suite.cases.is_empty() {
        out.push('\n');
        out.push_str(&areas::table(suite, width));
        out.push('\n');
        for coverage in Coverage::of(suite) {
            paragraph(&mut out, &areas::share(&coverage), width);
        }
    }
    if with_resilience {
        out.push('\n');
        out.push_str(&resilience(suite, width));
    }
    out.push('\n');
    last_line(&mut out, suite, width);
    out
}

fn heading(out: &mut String, suite: &SuiteResult, width: u16) {
    let runs: usize = suite.cases.iter().map(|case| case.runs as usize).sum();
    let (cases, runs) = (count(suite.cases.len(), "case"), count(runs, "run"));
    let text = format!("{}, seed {}, {cases}, {runs}", suite.target, suite.seed);
    for part in textwrap::wrap(&text, whole_words(usize::from(width))) {
        line(out, &format!("{HEAD}{part}{HEAD:#}"));
    }
    if let Some(tolerance) = suite.target.tolerance_ms {
        line(out, &format!("{QUIET}tolerance {tolerance} ms{QUIET:#}"));
    }
    for (what, how) in &suite.target.capabilities {
        line(out, &format!("  {QUIET}{what}{QUIET:#} {how}"));
    }
    for note in &suite.notes {
        paragraph(out, &format!("note: {note}"), width);
    }
}

fn last_line(out: &mut String, suite: &SuiteResult, width: u16) {
    let mut counts = [0_usize; 7];
    for case in &suite.cases {
        counts[Outcome::of(case) as usize] += 1;
    }
    let number = |outcome: Outcome| counts[outcome as usize];
    let mut text = format!(
        "{} passed, {} failed, {} skipped, {}{}",
        number(Outcome::Passed),
        number(Outcome::Failed) + number(Outcome::Nearly) + number(Outcome::Contested),
        number(Outcome::Skipped),
        match number(Outcome::NotJudged) {
            0 => String::new(),
            number => format!("{number} not judged, "),
        },
        count(number(Outcome::Error), "error")
    );
    if number(Outcome::Nearly) > 0 {
        let _ = write!(text, "; {} of the failures nearly right", number(Outcome::Nearly));
    }
    if number(Outcome::Contested) > 0 {
        let _ = write!(text, "; {} of the failures under a contested reading", number(Outcome::Contested));
    }
    if !suite.errors.is_empty() {
        let _ = write!(text, "; {} cannot be read", count(suite.errors.len(), "file"));
    }
    let style = if suite.exit_code() == 0 { GOOD } else { BAD };
    for part in
        textwrap::wrap(&format!("{text}. {}", outcome::sentence(suite)), whole_words(usize::from(width)))
    {
        line(out, &format!("{style}{part}{style:#}"));
    }
}

pub(crate) fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

pub(crate) fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

/// Breaks lines between words only: a word with a hyphen is often a name to search for.
pub(crate) fn whole_words(width: usize) -> textwrap::Options<'static> {
    textwrap::Options::new(width).word_splitter(textwrap::WordSplitter::NoHyphenation)
}

/// Appends plain text, wrapped at the width.
pub(crate) fn paragraph(out: &mut String, text: &str, width: u16) {
    for part in textwrap::wrap(text, whole_words(usize::from(width)).subsequent_indent("  ")) {
        line(out, &part);
    }
}

pub(crate) fn indented(text: &str, by: usize) -> String {
    text.lines().map(|text| format!("{:by$}{text}", "")).collect::<Vec<_>>().join("\n")
}

/// Cuts text that does not fit a width.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let cut: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{}…", cut.trim_end())
}
