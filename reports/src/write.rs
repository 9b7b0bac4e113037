//! `--report DIR`: one folder with every report.

use std::path::{Path, PathBuf};

use mqttspec_judge::results::SuiteResult;
use thiserror::Error;

use crate::{html, json, junit, markdown};

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
    /// The suite cannot be told as JUnit XML.
    #[error("cannot tell the results as JUnit XML: {0}")]
    Junit(#[from] quick_junit::SerializeError),
    /// The page cannot be made.
    #[error(transparent)]
    Page(#[from] html::PageError),
}

/// Writes `report.json`, `junit.xml`, `report.md`, `statements.md` and `report.html` into `folder`, which is made if it is missing, and
/// gives back their paths.
///
/// # Errors
/// [`WriteError`] names the path and what the operating system says.
pub fn write(suite: &SuiteResult, folder: &Path) -> Result<Vec<PathBuf>, WriteError> {
    let files = [
        ("report.json", json::report(suite)?),
        ("junit.xml", junit::report(suite)?),
        ("report.md", markdown::report(suite)),
        ("statements.md", markdown::statements(suite)),
        ("report.html", html::page(std::slice::from_ref(suite))?),
    ];
    write_files(folder, &files)
}

/// Writes `report.html` with several targets beside each other into `folder`, which is made if it is missing, and gives back its path.
///
/// # Errors
/// [`WriteError`] names the path and what the operating system says.
pub fn write_matrix(suites: &[SuiteResult], folder: &Path) -> Result<Vec<PathBuf>, WriteError> {
    write_files(folder, &[("report.html", html::page(suites)?)])
}

fn write_files(folder: &Path, files: &[(&str, String)]) -> Result<Vec<PathBuf>, WriteError> {
    std::fs::create_dir_all(folder)
        .map_err(|source| WriteError::Folder { path: folder.to_owned(), source })?;
    let mut written = Vec::new();
    for (name, text) in files {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(|source| WriteError::File { path: path.clone(), source })?;
        written.push(path);
    }
    Ok(written)
}
