//! Requirement levels.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A requirement level of RFC 2119. The order is from weakest to strongest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Optional: shown in reports, and never affects the exit code.
    May,
    /// Recommended: a failure affects the exit code only with `--strict`.
    Should,
    /// Required.
    #[default]
    Must,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Level::May => "MAY",
            Level::Should => "SHOULD",
            Level::Must => "MUST",
        })
    }
}
