//! Known failures: a file that says which cases fail, and why that is so for now. A run that differs from it, for the worse or for the
//! better, is a difference that somebody has to look at.
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

/// Why a text is no baseline.
#[derive(Debug, Error)]
pub enum BaselineError {
    /// It is not TOML, or has other tables and keys.
    #[error("not a list of known failures: {0}")]
    NotAList(#[from] toml::de::Error),
    /// A case stands there twice.
    #[error("{case} stands there twice: remove one of the two")]
    Twice {
        /// The case.
        case: String,
    },
    /// A verdict that is no failure.
    #[error("{case} has the verdict `{verdict}`: only `fail` and `error` can be known")]
    NoFailure {
        /// The case.
        case: String,
        /// What stands there.
        verdict: Verdict,
    },
}

/// The known failures of one target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Baseline {
    /// By the case's name.
    known: BTreeMap<String, Known>,
}

/// One known failure, as it stands in the file.
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

/// How a run differs from what is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Cases that fail or broke and are not listed.
    pub unlisted: Vec<(String, Verdict)>,
    /// Listed cases that pass now, with the reason that was given for their failure.
    pub repaired: Vec<(String, String)>,
    /// Listed cases with another verdict: (case, listed, now). A failure that became an error, or the other way round.
    pub otherwise: Vec<(String, Verdict, Verdict)>,
    /// Listed cases that are skipped or not judged now; told, and no difference.
    pub skipped: Vec<(String, Verdict)>,
    /// How many listed cases fail as listed.
    pub as_listed: usize,
    /// How many listed cases were not run.
    pub not_run: usize,
}

impl Difference {
    /// Whether somebody has to look.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.unlisted.is_empty() && self.repaired.is_empty() && self.otherwise.is_empty()
    }

    /// The difference in lines: `+` fails and is not listed, `-` is listed and does not fail, `~` is listed with another verdict.
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
    /// [`BaselineError`] says where and what is wrong.
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

    /// How the run differs. Failures that do not decide the exit code (SHOULD unless the suite is strict, contested readings) need no
    /// entry.
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

    /// The baseline that fits the run: what counts against it, with the reasons that were given; entries of cases that were not run or
    /// were skipped or not judged stay as they are.
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

    /// How many failures are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether no failure is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// The file's text, with a head that says what it is.
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
