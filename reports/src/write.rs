//! `--report DIR`: one folder with every report.

use std::path::{Path, PathBuf};

use mqttspec_scenarios::results::SuiteResult;
use thiserror::Error;

use crate::{json, markdown};

/// Why the reports could not be written.
#[derive(Debug, Error)]
pub enum WriteError {
    /// The folder cannot be made.
    #[error("cannot make the folder {}: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The suite cannot be told as JSON.
    #[error("cannot tell the results as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// Writes `report.json` and `report.md` into `folder`, which is made if it is missing, and gives back their paths.
///
/// # Errors
/// [`WriteError`] names the path and what the operating system says.
pub fn write(suite: &SuiteResult, folder: &Path) -> Result<Vec<PathBuf>, WriteError> {
    std::fs::create_dir_all(folder)
        .map_err(|source| WriteError::Folder { path: folder.to_owned(), source })?;
    let mut written = Vec::new();
    for (name, text) in [("report.json", json::report(suite)?), ("report.md", markdown::report(suite))] {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(|source| WriteError::File { path: path.clone(), source })?;
        written.push(path);
    }
    Ok(written)
}
