//! Differences between two suites: two runs of one target, or two targets.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use mqttspec_judge::results::{CaseResult, SuiteResult};

use crate::{Coverage, Outcome};

/// How a case changed, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// It passed in the first suite and does not pass in the second.
    Worse,
    /// It fails in both, in different ways.
    Otherwise,
    /// It did not pass in the first suite and passes in the second.
    Better,
    /// It is skipped or not judged in one of the two.
    Skipped,
    /// Only the second suite has it.
    New,
    /// Only the first suite has it.
    Gone,
}

/// A case with different results in the two suites.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The kind of change.
    pub change: Change,
    /// The case: `wills/retained.mqtt 5.0 [row]`.
    pub case: String,
    /// The scenario's title.
    pub title: String,
    /// Its outcome in the first suite.
    pub before: Option<Outcome>,
    /// Its outcome in the second.
    pub after: Option<Outcome>,
    /// For a failure, what happened instead; otherwise the reason why it was skipped, was not
    /// judged or broke.
    pub seen: String,
}

/// The comparison of two suites.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// The targets' names.
    pub targets: [String; 2],
    /// The cases that changed, the worst first.
    pub changed: Vec<Changed>,
    /// The number of cases that are the same in both.
    pub same: usize,
    /// The number of shown clauses by version: (version, before, after).
    pub shown: Vec<(String, usize, usize)>,
}

impl Comparison {
    /// Compares `after` with `before`.
    #[must_use]
    pub fn of(before: &SuiteResult, after: &SuiteResult) -> Self {
        let mut cases: BTreeMap<_, [Option<&CaseResult>; 2]> = BTreeMap::new();
        for (side, suite) in [before, after].into_iter().enumerate() {
            for case in &suite.cases {
                let key = (&case.file, &case.version, &case.row, &case.tests);
                cases.entry(key).or_default()[side] = Some(case);
            }
        }
        let mut changed: Vec<Changed> =
            cases.values().filter_map(|[before, after]| changed(*before, *after)).collect();
        let same = cases.len() - changed.len();
        changed.sort_by_key(|changed| changed.change);
        let mut shown: BTreeMap<String, (usize, usize)> = BTreeMap::new();
        for coverage in Coverage::of(before) {
            shown.entry(coverage.version).or_default().0 = coverage.all.shown;
        }
        for coverage in Coverage::of(after) {
            shown.entry(coverage.version).or_default().1 = coverage.all.shown;
        }
        Self {
            targets: [before.target.to_string(), after.target.to_string()],
            changed,
            same,
            shown: shown.into_iter().map(|(version, (before, after))| (version, before, after)).collect(),
        }
    }

    /// Whether a case fails in the second suite and passed, was skipped, was not judged or did not
    /// exist in the first.
    #[must_use]
    pub fn is_worse(&self) -> bool {
        self.changed.iter().any(|changed| {
            let bad = changed.after.is_some_and(|after| after >= Outcome::Nearly);
            bad && matches!(changed.change, Change::Worse | Change::New | Change::Skipped)
        })
    }

    /// The comparison for a terminal, with ANSI styles. The caller strips them if the output is not
    /// a terminal.
    #[must_use]
    pub fn text(&self) -> String {
        let (head, quiet) = (Style::new().bold(), Style::new().dimmed());
        let mut out = String::new();
        let [before, after] = &self.targets;
        let _ = writeln!(out, "{quiet}from{quiet:#}  {before}\n{quiet}to{quiet:#}    {after}");
        let mut last = None;
        for changed in &self.changed {
            if last != Some(changed.change) {
                last = Some(changed.change);
                let count = self.changed.iter().filter(|other| other.change == changed.change).count();
                let style = changed.change.style();
                let _ = writeln!(out, "\n{style}{} ({count}){style:#}", changed.change.heading());
            }
            let word = |outcome: Option<Outcome>| outcome.map_or_else(|| "–".to_owned(), |it| it.to_string());
            let _ = writeln!(out, "  {head}{}{head:#}  {}", changed.case, changed.title);
            let _ = write!(out, "    {} → {}", word(changed.before), word(changed.after));
            match changed.seen.lines().next() {
                Some(seen) if !seen.is_empty() => {
                    let _ = writeln!(out, "  {quiet}{seen}{quiet:#}");
                }
                _ => out.push('\n'),
            }
        }
        out.push('\n');
        for (version, before, after) in &self.shown {
            let _ = writeln!(out, "clauses of MQTT {version} shown: {before} → {after}");
        }
        let _ = writeln!(out, "{} changed, {} the same", self.changed.len(), self.same);
        out
    }
}

impl Change {
    const fn heading(self) -> &'static str {
        match self {
            Self::Worse => "Holds no more",
            Self::Otherwise => "Fails in another way",
            Self::Better => "Holds now",
            Self::Skipped => "Skipped or not judged in one of the two",
            Self::New => "Only in the second",
            Self::Gone => "Only in the first",
        }
    }

    const fn style(self) -> Style {
        match self {
            Self::Worse => AnsiColor::Red.on_default().bold(),
            Self::Better => AnsiColor::Green.on_default().bold(),
            Self::Otherwise => AnsiColor::Yellow.on_default().bold(),
            Self::Skipped | Self::New | Self::Gone => Style::new().bold(),
        }
    }
}

fn changed(before: Option<&CaseResult>, after: Option<&CaseResult>) -> Option<Changed> {
    let case = after.or(before)?;
    let outcomes = [before.map(Outcome::of), after.map(Outcome::of)];
    let change = match outcomes {
        [None, _] => Change::New,
        [_, None] => Change::Gone,
        [Some(Outcome::Skipped), Some(Outcome::Skipped)] => return None,
        [Some(Outcome::NotJudged), Some(Outcome::NotJudged)] => return None,
        [Some(Outcome::Skipped | Outcome::NotJudged), _]
        | [_, Some(Outcome::Skipped | Outcome::NotJudged)] => Change::Skipped,
        [Some(one), Some(other)] if one == other => {
            if before.map(essence) == after.map(essence) {
                return None;
            }
            Change::Otherwise
        }
        [Some(Outcome::Passed), _] => Change::Worse,
        [_, Some(Outcome::Passed)] => Change::Better,
        _ => Change::Otherwise,
    };
    Some(Changed {
        change,
        case: case.name(),
        title: case.title.clone(),
        before: outcomes[0],
        after: outcomes[1],
        seen: case
            .failures
            .last()
            .map_or_else(|| case.reason.clone(), |failure| format!("saw {}", failure.finding.actual)),
    })
}

/// The parts of a failure that do not vary from run to run, as Packet Identifiers and times do.
fn essence(case: &CaseResult) -> Vec<(u32, &str, Vec<&str>)> {
    case.failures
        .iter()
        .map(|failure| {
            let clauses =
                failure.finding.requirements.iter().map(|requirement| requirement.clause.as_str()).collect();
            (failure.finding.line, failure.source.as_str(), clauses)
        })
        .collect()
}
