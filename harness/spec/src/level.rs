//! How strongly the standard words a requirement.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How strongly the standard asks for something (RFC 2119's words). The order is from weakest to strongest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Allowed: shown in reports, and never a failure that counts.
    May,
    /// Recommended: a failure decides the exit code only if the user asks for that.
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
