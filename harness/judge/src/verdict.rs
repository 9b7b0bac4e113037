//! The outcome of a run or of a case.

use serde::{Deserialize, Serialize};

/// The outcome of a run or of a case. The order is from best to worst, so that the worst of several
/// is their maximum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Everything that the scenario, the monitors and the delivery checks require was seen.
    Pass,
    /// The scenario needs something that the target lacks; `reason` names the need.
    Skip,
    /// A line that shows no clause failed: the set-up could not be established, so the claims after
    /// it were not judged. `reason` says what was missing.
    NotJudged,
    /// The target violated the standard.
    Fail,
    /// The harness or the target broke. This says nothing about conformance and never counts as a
    /// pass.
    Error,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Verdict::Pass => "pass",
            Verdict::Skip => "skip",
            Verdict::NotJudged => "not judged",
            Verdict::Fail => "fail",
            Verdict::Error => "error",
        })
    }
}
