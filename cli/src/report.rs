//! `mqttspec report`: combines several `report.json` into one page.

use std::io::Write;
use std::path::{Path, PathBuf};

use mqttspec_reports::{SuiteResult, json, write_matrix};
use thiserror::Error;

use crate::arguments::ReportArguments;
use crate::{CommandError, PASSED};

/// Why a report cannot be read.
#[derive(Debug, Error)]
pub(crate) enum ReportError {
    #[error("cannot read {}: {source}\n  `mqttspec run --report DIR` writes DIR/report.json", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("{}: {source}", path.display())]
    Format { path: PathBuf, source: json::ReadError },
}

pub(crate) fn run(arguments: &ReportArguments) -> Result<u8, CommandError> {
    let suites: Vec<SuiteResult> =
        arguments.reports.iter().map(|path| read(path)).collect::<Result<_, _>>()?;
    for path in write_matrix(&suites, &arguments.out)? {
        writeln!(anstream::stderr(), "wrote {}", path.display())?;
    }
    Ok(PASSED)
}

/// Reads a `report.json`. If the path is a folder, reads the `report.json` in it.
pub(crate) fn read(path: &Path) -> Result<SuiteResult, ReportError> {
    let path = if path.is_dir() { path.join("report.json") } else { path.to_owned() };
    let text =
        std::fs::read_to_string(&path).map_err(|source| ReportError::File { path: path.clone(), source })?;
    json::read(&text).map_err(|source| ReportError::Format { path, source })
}
