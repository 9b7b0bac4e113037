//! `report.json`: the [`SuiteResult`] as it stands, with `format` for readers to check.

use mqttspec_scenarios::results::{FORMAT, SuiteResult};
use thiserror::Error;

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

/// The suite as JSON with a line feed at its end. Traces of cases that passed are left out: a seed repeats them.
///
/// # Errors
/// None that the types of a [`SuiteResult`] can cause; the serializer's own otherwise.
pub fn report(suite: &SuiteResult) -> Result<String, serde_json::Error> {
    let mut text = serde_json::to_string_pretty(suite)?;
    text.push('\n');
    Ok(text)
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
