//! Known failures: a file that lists the cases that fail, each with a reason. A run that differs
//! from the list, for better or for worse, needs attention.
//!
//! ```toml
//! [[known]]
//! case = "wills/not-published-on-disconnect.mqtt 5.0"
//! verdict = "fail"
//! reason = "our issue 17: the Will of a Session that was taken over"
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;

use mqttspec_judge::results::SuiteResult;
use mqttspec_judge::verdict::Verdict;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why a text is not a list of known failures.
#[derive(Debug, Error)]
pub enum BaselineError {
    /// It is not TOML, or has other tables and keys.
    #[error("not a list of known failures: {0}")]
    NotAList(#[from] toml::de::Error),
    /// A case is listed twice.
    #[error("{case} is listed twice: remove one of the two entries")]
    Twice {
        /// The case.
        case: String,
    },
    /// A listed verdict is not a failure.
    #[error("{case} has the verdict `{verdict}`: only `fail` and `error` can be known")]
    NoFailure {
        /// The case.
        case: String,
        /// The listed verdict.
        verdict: Verdict,
    },
}

/// The known failures of one target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Baseline {
    /// By the case's name.
    known: BTreeMap<String, Known>,
}

/// One known failure, as in the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    case: String,
    verdict: Verdict,
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    known: Vec<Known>,
}

/// The differences between a run and the list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Cases that failed or broke and are not listed.
    pub unlisted: Vec<(String, Verdict)>,
    /// Listed cases that passed, with the listed reason for their failure.
    pub repaired: Vec<(String, String)>,
    /// Listed cases with another verdict: (case, listed, now). A failure became an error, or the
    /// reverse.
    pub otherwise: Vec<(String, Verdict, Verdict)>,
    /// Listed cases that were skipped or not judged. They are reported, but do not count as a
    /// difference.
    pub skipped: Vec<(String, Verdict)>,
    /// The number of listed cases that failed as listed.
    pub as_listed: usize,
    /// The number of listed cases that were not run.
    pub not_run: usize,
}

impl Difference {
    /// Whether the run is as expected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.unlisted.is_empty() && self.repaired.is_empty() && self.otherwise.is_empty()
    }

    /// The differences, one per line: `+` failed and is not listed, `-` is listed and passed, `~`
    /// is listed with another verdict.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        for (case, verdict) in &self.unlisted {
            let _ = writeln!(out, "+ {verdict:<5}  {case}  is not listed");
        }
        for (case, reason) in &self.repaired {
            let why = if reason.is_empty() { String::new() } else { format!(" (was known: {reason})") };
            let _ = writeln!(out, "- pass   {case}  is listed and passes now{why}");
        }
        for (case, listed, now) in &self.otherwise {
            let _ = writeln!(out, "~ {now:<5}  {case}  is listed as {listed}");
        }
        for (case, verdict) in &self.skipped {
            let (word, was) = match verdict {
                Verdict::NotJudged => ("none", "not judged"),
                _ => ("skip", "skipped"),
            };
            let _ = writeln!(out, "  {word:<5}  {case}  is listed and was {was}");
        }
        let listed = match self.as_listed {
            1 => "1 known failure".to_owned(),
            other => format!("{other} known failures"),
        };
        let not_run = match self.not_run {
            0 => String::new(),
            other => format!(", {other} listed and not run"),
        };
        let word = if self.is_empty() { "as expected" } else { "not as expected" };
        let _ = writeln!(out, "{word}: {listed}{not_run}");
        out
    }
}

impl Baseline {
    /// Reads the file's text.
    ///
    /// # Errors
    /// [`BaselineError`] says what is wrong, and where.
    pub fn read(text: &str) -> Result<Self, BaselineError> {
        let file: File = toml::from_str(text)?;
        let mut baseline = Self::default();
        for known in file.known {
            if !matches!(known.verdict, Verdict::Fail | Verdict::Error) {
                return Err(BaselineError::NoFailure { case: known.case, verdict: known.verdict });
            }
            if let Some(twice) = baseline.known.insert(known.case.clone(), known) {
                return Err(BaselineError::Twice { case: twice.case });
            }
        }
        Ok(baseline)
    }

    /// Compares a run with the list. Failures that do not decide the exit code (of level SHOULD, or
    /// under a contested reading, unless the suite is strict) need no entry.
    #[must_use]
    pub fn compare(&self, suite: &SuiteResult) -> Difference {
        let mut difference = Difference::default();
        let mut run = 0;
        for case in &suite.cases {
            let Some(known) = self.known.get(&case.name()) else {
                if suite.counts_against(case) {
                    difference.unlisted.push((case.name(), case.verdict));
                }
                continue;
            };
            run += 1;
            match case.verdict {
                Verdict::Pass => difference.repaired.push((case.name(), known.reason.clone())),
                Verdict::Skip | Verdict::NotJudged => difference.skipped.push((case.name(), case.verdict)),
                now if now == known.verdict => difference.as_listed += 1,
                now => difference.otherwise.push((case.name(), known.verdict, now)),
            }
        }
        difference.not_run = self.known.len() - run;
        difference
    }

    /// The list that fits the run. It has the failures that count, and keeps the reasons, and the
    /// entries of cases that were not run, skipped or not judged.
    #[must_use]
    pub fn rewritten(&self, suite: &SuiteResult) -> Self {
        let mut known = self.known.clone();
        for case in &suite.cases {
            let name = case.name();
            let bad = matches!(case.verdict, Verdict::Fail | Verdict::Error);
            if bad && (suite.counts_against(case) || known.contains_key(&name)) {
                let entry = known.entry(name.clone()).or_insert_with(|| Known {
                    case: name,
                    verdict: case.verdict,
                    reason: String::new(),
                });
                entry.verdict = case.verdict;
            } else if case.verdict == Verdict::Pass {
                known.remove(&name);
            }
        }
        Self { known }
    }

    /// The number of known failures.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether the list is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// The text of the file, with a comment that explains it.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::from(
            "# Failures that are known. `mqttspec run --expect FILE` exits with 1 if another case fails, or if one of these passes;\n\
             # with `--write-expect` it rewrites this file and keeps the reasons, which are for people to fill in.\n",
        );
        for known in self.known.values() {
            let string = |text: &str| toml::Value::String(text.to_owned()).to_string();
            let _ = writeln!(out, "\n[[known]]\ncase = {}", string(&known.case));
            let _ = writeln!(out, "verdict = \"{}\"\nreason = {}", known.verdict, string(&known.reason));
        }
        out
    }
}

#[cfg(test)]
mod tests;
