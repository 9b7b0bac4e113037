//! The tree by area: one line per folder of scenarios, and below it the cases that did not pass.

use std::collections::BTreeMap;

use anstyle::Style;
use mqttspec_judge::results::{CaseResult, SuiteResult, Tally};
use mqttspec_judge::verdict::Verdict;

use super::{BAD, GOOD, HEAD, ODD, QUIET, count, cut, line, whole_words};
use crate::{Outcome, outcome};

pub(super) fn tree(suite: &SuiteResult, width: u16) -> String {
    let width = usize::from(width.max(40));
    let mut out = String::new();
    let mut folders: BTreeMap<&str, Vec<&CaseResult>> = BTreeMap::new();
    for case in &suite.cases {
        folders.entry(case.folder()).or_default().push(case);
    }
    let names = folders.keys().map(|name| name.chars().count()).max().unwrap_or(0).clamp(8, width / 2);
    for (folder, cases) in &folders {
        let mut tally = Tally::default();
        cases.iter().for_each(|case| tally.add(case.verdict));
        let (sign, style) = match () {
            () if tally.failed + tally.errors > 0 => ('✗', BAD),
            () if tally.passed == 0 => ('↷', ODD),
            () => ('✓', GOOD),
        };
        let name = cut(if folder.is_empty() { "." } else { folder }, names);
        let room = width.saturating_sub(names + 4);
        let counts = cut(&counts(tally), room);
        line(&mut out, &format!("{style}{sign}{style:#} {HEAD}{name:<names$}{HEAD:#}  {counts}"));
        for case in cases.iter().filter(|case| matches!(case.verdict, Verdict::Fail | Verdict::Error)) {
            bad(&mut out, case, width);
        }
        by_reason(&mut out, cases, (Verdict::NotJudged, '○', ODD), width);
        by_reason(&mut out, cases, (Verdict::Skip, '↷', QUIET), width);
    }
    out
}

fn counts(tally: Tally) -> String {
    let parts = [
        (tally.passed, "passed"),
        (tally.failed, "failed"),
        (tally.skipped, "skipped"),
        (tally.not_judged, "not judged"),
        (tally.errors, if tally.errors == 1 { "error" } else { "errors" }),
    ];
    let parts = parts.iter().filter(|(number, _)| *number > 0);
    parts.map(|(number, word)| format!("{number} {word}")).collect::<Vec<_>>().join(", ")
}

fn bad(out: &mut String, case: &CaseResult, width: usize) {
    let outcome = Outcome::of(case);
    let style = if matches!(outcome, Outcome::Failed | Outcome::Error) { BAD } else { ODD };
    let sign = match outcome {
        Outcome::Error => '!',
        Outcome::Nearly => '≈',
        Outcome::Contested => '?',
        _ => '✗',
    };
    let name = case.name();
    let name = name.strip_prefix(case.folder()).unwrap_or(&name).trim_start_matches('/');
    let word = format!("{outcome}{}", outcome::weaker(case.level));
    let room = width.saturating_sub(word.chars().count() + 7);
    line(out, &format!("    {style}{sign}{style:#} {} {style}{word}{style:#}", cut(name, room)));
}

/// The cases with this verdict, one line per reason. Reasons that name a line of a file come after
/// the name of the file.
fn by_reason(
    out: &mut String,
    cases: &[&CaseResult],
    (verdict, sign, style): (Verdict, char, Style),
    width: usize,
) {
    let mut reasons: BTreeMap<&str, Vec<&CaseResult>> = BTreeMap::new();
    for case in cases.iter().filter(|case| case.verdict == verdict) {
        reasons.entry(&case.reason).or_default().push(case);
    }
    for (reason, cases) in reasons {
        let file =
            cases.first().map(|case| &case.file).filter(|file| cases.iter().all(|case| case.file == **file));
        let number = count(cases.len(), "case");
        let text = match file.filter(|_| verdict == Verdict::NotJudged) {
            Some(file) => {
                let name = file.rsplit('/').next().unwrap_or(file);
                format!("{number} of {name}: {reason}")
            }
            None => format!("{number}: {reason}"),
        };
        let first = format!("    {sign} ");
        let options = whole_words(width).initial_indent(&first).subsequent_indent("      ");
        for part in textwrap::wrap(&text, options) {
            line(out, &format!("{style}{part}{style:#}"));
        }
    }
}
