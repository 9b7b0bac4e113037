//! `--report DIR`: writes all reports into one folder.

use std::path::{Path, PathBuf};

use mqttspec_judge::results::SuiteResult;
use thiserror::Error;

use crate::{html, json, junit, markdown};

/// Why the reports could not be written.
#[derive(Debug, Error)]
pub enum WriteError {
    /// The folder cannot be created.
    #[error("cannot create the folder {}: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The suite cannot be serialized as JSON.
    #[error("cannot serialize the results as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The suite cannot be serialized as JUnit XML.
    #[error("cannot serialize the results as JUnit XML: {0}")]
    Junit(#[from] quick_junit::SerializeError),
    /// The page cannot be made.
    #[error(transparent)]
    Page(#[from] html::PageError),
}

/// Writes `report.json`, `junit.xml`, `report.md`, `statements.md` and `report.html` into `folder`,
/// and returns their paths. Creates the folder if it is missing.
///
/// # Errors
/// [`WriteError`], with the path and the error of the operating system.
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

/// Writes `report.html` for several targets into `folder`, and returns its path. Creates the folder
/// if it is missing.
///
/// # Errors
/// [`WriteError`], with the path and the error of the operating system.
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
