//! `mqttspec report`: several `report.json` beside each other in one page.

use std::io::Write;
use std::path::{Path, PathBuf};

use mqttspec_reports::{SuiteResult, json, write_matrix};
use thiserror::Error;

use crate::arguments::ReportArguments;
use crate::{HOLDS, Trouble};

/// Why a report cannot be read back.
#[derive(Debug, Error)]
pub(crate) enum ReportError {
    #[error("cannot read {}: {source}\n  `mqttspec run --report DIR` writes DIR/report.json", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("{}: {source}", path.display())]
    Format { path: PathBuf, source: json::ReadError },
}

pub(crate) fn run(arguments: &ReportArguments) -> Result<u8, Trouble> {
    let suites: Vec<SuiteResult> =
        arguments.reports.iter().map(|path| read(path)).collect::<Result<_, _>>()?;
    for path in write_matrix(&suites, &arguments.out)? {
        writeln!(anstream::stderr(), "wrote {}", path.display())?;
    }
    Ok(HOLDS)
}

/// A `report.json`, or the one in a folder that `--report` wrote.
pub(crate) fn read(path: &Path) -> Result<SuiteResult, ReportError> {
    let path = if path.is_dir() { path.join("report.json") } else { path.to_owned() };
    let text =
        std::fs::read_to_string(&path).map_err(|source| ReportError::File { path: path.clone(), source })?;
    json::read(&text).map_err(|source| ReportError::Format { path, source })
}
