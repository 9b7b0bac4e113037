//! `report.json`: the [`SuiteResult`] as it stands, with `format` for readers to check. `report.schema.json` beside this crate's
//! manifest describes it.
//!
//! Each case stands on a line of its own, so that line-based tools show which cases differ between two reports.

use mqttspec_judge::results::{FORMAT, SuiteResult};
use serde::Serialize;
use thiserror::Error;

/// The JSON Schema (draft 2020-12) of `report.json`.
pub const SCHEMA: &str = include_str!("../report.schema.json");

/// Why a text is not a report of this format.
#[derive(Debug, Error)]
pub enum ReadError {
    /// It is not the JSON of a report.
    #[error("not a report of mqttspec: {0}")]
    NotAReport(#[from] serde_json::Error),
    /// It was written by a version of mqttspec with another format.
    #[error("the report has format {found}, this program reads format {FORMAT}: run the suite again")]
    OtherFormat {
        /// The format that the report names.
        found: u32,
    },
}

/// The suite as JSON with a line feed at its end.
///
/// # Errors
/// None that the types of a [`SuiteResult`] can cause; the serializer's own otherwise.
pub fn report(suite: &SuiteResult) -> Result<String, serde_json::Error> {
    // A field that is added to the type has to be written here, or this does not compile.
    let SuiteResult { format, target, seed, seeds, strict, cases, errors, notes } = suite;
    let mut out = String::from("{\n");
    field(&mut out, "format", format)?;
    field(&mut out, "target", target)?;
    field(&mut out, "seed", seed)?;
    field(&mut out, "seeds", seeds)?;
    field(&mut out, "strict", strict)?;
    // Computed, for readers that gate on it; not read back.
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
/// [`ReadError`] says what is wrong with the text.
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
