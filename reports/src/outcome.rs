//! The outcome of a case in reports: a verdict that also distinguishes contested failures and wrong
//! Reason Codes.

use std::fmt;

use mqttspec_judge::results::{CaseResult, SuiteResult};
use mqttspec_judge::verdict::Verdict;
use mqttspec_spec::Level;

/// The outcome of a case in reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// All requirements were met.
    Passed,
    /// The target lacks something that the scenario needs.
    Skipped,
    /// The set-up of the scenario could not be established.
    NotJudged,
    /// It failed under a reading of the standard that is not the only defensible one.
    Contested,
    /// It acted as required, but with another Reason Code.
    Nearly,
    /// It failed.
    Failed,
    /// The harness or the target broke.
    Error,
}

impl Outcome {
    /// The outcome of a case.
    #[must_use]
    pub fn of(case: &CaseResult) -> Self {
        match case.verdict {
            Verdict::Pass => Self::Passed,
            Verdict::Skip => Self::Skipped,
            Verdict::NotJudged => Self::NotJudged,
            Verdict::Error => Self::Error,
            Verdict::Fail if case.reading.is_some() => Self::Contested,
            Verdict::Fail if is_nearly(case) => Self::Nearly,
            Verdict::Fail => Self::Failed,
        }
    }

    /// One word for the CSS classes and the filters of the page.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Passed => "pass",
            Self::Skipped => "skip",
            Self::NotJudged => "not-judged",
            Self::Contested => "contested",
            Self::Nearly => "nearly",
            Self::Failed => "fail",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Passed => "passed",
            Self::Skipped => "skipped",
            Self::NotJudged => "not judged",
            Self::Contested => "contested",
            Self::Nearly => "nearly",
            Self::Failed => "failed",
            Self::Error => "error",
        })
    }
}

fn is_nearly(case: &CaseResult) -> bool {
    !case.failures.is_empty() && case.failures.iter().all(|failure| failure.finding.nearly.is_some())
}

/// Whether a case is shown in full: it failed or broke, or the reference peers did not allow its
/// set-up.
#[must_use]
pub(crate) fn is_shown_in_full(suite: &SuiteResult, case: &CaseResult) -> bool {
    matches!(case.verdict, Verdict::Fail | Verdict::Error) || suite.counts_against(case)
}

/// The level of a failure after a space, if it is weaker than MUST.
#[must_use]
pub(crate) fn weaker(level: Level) -> String {
    if level == Level::Must { String::new() } else { format!(" {level}") }
}

/// A summary of the suite in one sentence.
#[must_use]
pub(crate) fn sentence(suite: &SuiteResult) -> &'static str {
    let weak = suite.cases.iter().any(|case| case.verdict == Verdict::Fail);
    match suite.exit_code() {
        0 if suite.cases.iter().all(|case| case.verdict == Verdict::Skip) => {
            "Everything was skipped: nothing is known."
        }
        0 if suite.cases.iter().all(|case| matches!(case.verdict, Verdict::Skip | Verdict::NotJudged)) => {
            "Nothing could be judged."
        }
        0 if weak => "Every MUST that was checked holds; something recommended or contested does not.",
        0 => "Everything that was checked holds.",
        1 if !suite.cases.iter().any(|case| case.counts_against(suite.strict)) => {
            "The reference peers do not allow the set-up of a scenario: one of them is wrong."
        }
        1 if !suite.cases.iter().any(|case| case.counts_against(false)) => {
            "Every MUST that was checked holds; under --strict, what is recommended or contested has to hold too."
        }
        1 => "Something that was checked does not hold.",
        _ if suite.errors.is_empty() => "Nothing was run.",
        _ => "Scenario files could not be read.",
    }
}
