//! Finding scenario files on this machine.

use std::io;
use std::path::{Path, PathBuf};

use mqttspec_runner::suite::{self, Plan, Selection, Source};
use thiserror::Error;

/// Why there is nothing to run.
#[derive(Debug, Error)]
pub(crate) enum SourcesError {
    #[error("cannot read the folder of scenarios {}: {source}\n  name the folder with --scenarios DIR", folder.display())]
    Folder { folder: PathBuf, source: io::Error },
    #[error("cannot read {}: {source}", file.display())]
    File { file: PathBuf, source: io::Error },
    #[error("no .mqtt file below {}", folder.display())]
    Empty { folder: PathBuf },
    #[error(
        "no scenario matches {filters}\n  a filter is a part of a file's path or a clause id; `mqttspec list` lists the scenarios"
    )]
    NoMatch { filters: String },
    #[error("{} is not for MQTT {version}: it has `versions {has}`", file.display())]
    OtherVersion { file: PathBuf, version: String, has: String },
    #[error("{} tests the {has} only", file.display())]
    OtherRole { file: PathBuf, has: String },
    #[error("{} has no row {row}\n  rows: {rows}", file.display())]
    NoSuchRow { file: PathBuf, row: String, rows: String },
}

/// Every scenario file below the folder.
pub(crate) fn below(folder: &Path) -> Result<Vec<Source>, SourcesError> {
    let sources = suite::read_folder(folder)
        .map_err(|source| SourcesError::Folder { folder: folder.to_owned(), source })?;
    if sources.is_empty() {
        return Err(SourcesError::Empty { folder: folder.to_owned() });
    }
    Ok(sources)
}

/// One file: as a path, or else by its name below the folder.
pub(crate) fn one(folder: &Path, file: &Path) -> Result<Source, SourcesError> {
    let path = if file.exists() { file.to_owned() } else { folder.join(file) };
    let text = std::fs::read_to_string(&path)
        .map_err(|source| SourcesError::File { file: file.to_owned(), source })?;
    // Seeds derive from the file's name, so it must not depend on the working directory.
    let name = path.strip_prefix(folder).unwrap_or(&path);
    Ok(Source { file: name.to_string_lossy().replace('\\', "/"), text })
}

/// The plan of the selected cases. Filters that match nothing are an error, unless a file that
/// cannot be read may be the reason.
pub(crate) fn plan(sources: &[Source], selection: &Selection) -> Result<Plan, SourcesError> {
    let plan = suite::plan(sources, selection);
    if plan.cases.is_empty() && plan.errors.is_empty() {
        let mut filters = selection.filters.join(" ");
        if let Some(version) = selection.version {
            filters.push_str(&format!(" (for MQTT {version})"));
        }
        return Err(SourcesError::NoMatch { filters: filters.trim().to_owned() });
    }
    Ok(plan)
}
