//! `report.json`: the serialized [`SuiteResult`]. Readers check its `format`. `report.schema.json`
//! in this crate's folder describes it.
//!
//! Each case is on a line of its own, so that line-based tools show which cases differ between two
//! reports.

use mqttspec_judge::results::{FORMAT, SuiteResult};
use serde::Serialize;
use thiserror::Error;

/// The JSON Schema (draft 2020-12) of `report.json`.
pub const SCHEMA: &str = include_str!("../report.schema.json");

/// Why a report cannot be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The text is not the JSON of a report.
    #[error("not a report of mqttspec: {0}")]
    NotAReport(#[from] serde_json::Error),
    /// A version of mqttspec with another format wrote it.
    #[error("the report has format {found}, this program reads format {FORMAT}: run the suite again")]
    OtherFormat {
        /// The format of the report.
        found: u32,
    },
}

/// The suite as JSON, with a line feed at its end.
///
/// # Errors
/// Those of the serializer. No [`SuiteResult`] can cause one.
pub fn report(suite: &SuiteResult) -> Result<String, serde_json::Error> {
    // Without `..`, a new field of the type does not compile until it is written here.
    let SuiteResult { format, target, seed, seeds, strict, cases, errors, notes } = suite;
    let mut out = String::from("{\n");
    field(&mut out, "format", format)?;
    field(&mut out, "target", target)?;
    field(&mut out, "seed", seed)?;
    field(&mut out, "seeds", seeds)?;
    field(&mut out, "strict", strict)?;
    // Computed, for CI jobs that depend on it; not read back.
    field(&mut out, "exit_code", &suite.exit_code())?;
    field(&mut out, "notes", notes)?;
    out.push_str("  \"cases\": ");
    lines(&mut out, cases)?;
    out.push_str(",\n  \"errors\": ");
    lines(&mut out, errors)?;
    out.push_str("\n}\n");
    Ok(out)
}

fn field(out: &mut String, name: &str, value: &impl Serialize) -> Result<(), serde_json::Error> {
    out.push_str(&format!("  \"{name}\": {},\n", serde_json::to_string(value)?));
    Ok(())
}

fn lines(out: &mut String, entries: &[impl Serialize]) -> Result<(), serde_json::Error> {
    out.push('[');
    for (index, entry) in entries.iter().enumerate() {
        out.push_str(if index == 0 { "\n    " } else { ",\n    " });
        out.push_str(&serde_json::to_string(entry)?);
    }
    out.push_str(if entries.is_empty() { "]" } else { "\n  ]" });
    Ok(())
}

/// Reads `report.json` back.
///
/// # Errors
/// [`ReadError`] says why.
pub fn read(text: &str) -> Result<SuiteResult, ReadError> {
    #[derive(serde::Deserialize)]
    struct Head {
        format: u32,
    }
    let head: Head = serde_json::from_str(text)?;
    if head.format != FORMAT {
        return Err(ReadError::OtherFormat { found: head.format });
    }
    Ok(serde_json::from_str(text)?)
}
