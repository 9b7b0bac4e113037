//! Finding scenario files: on this machine, or among those that are compiled in.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use mqttspec_codec::Version;
use mqttspec_judge::results::FileError;
use mqttspec_runner::suite::{self, Plan, Selection, Source};
use thiserror::Error;

use crate::scenario_file::{self, ScenarioFileError, shown};

/// Why there is nothing to run.
#[derive(Debug, Error)]
pub(crate) enum SourcesError {
    #[error("cannot read the folder of scenarios {}: {source}\n  name the folder with --scenarios DIR, or name a file: mqttspec run FILE", folder.display())]
    Folder { folder: PathBuf, source: io::Error },
    #[error(
        "cannot read the scenarios in the clone that this debug build was made in: {0}\n  build with --release: the program has them inside then; or name a folder with --scenarios DIR"
    )]
    Clone(#[source] io::Error),
    #[error("cannot read {}: {source}", shown(&file.to_string_lossy()))]
    File { file: PathBuf, source: ScenarioFileError },
    #[error("no .mqtt file below {}", folder.display())]
    Empty { folder: PathBuf },
    #[error(
        "no scenario matches {filters}\n  a filter is a file, a part of the path of a scenario, or a clause id; `mqttspec list` lists the scenarios"
    )]
    NoMatch { filters: String },
    #[error(
        "{filters} has no case for MQTT 3.1, only for {others}\n  scenarios are run for 3.1 if that specification states their rules: `mqttspec list --version 3.1` lists them"
    )]
    NotOf3_1 { filters: String, others: String },
    #[error("{filters} has cases for MQTT 3.1 only\n  they are run with --version 3.1")]
    Only3_1 { filters: String },
    #[error("{} is not for MQTT {version}: it has `versions {has}`", file.display())]
    OtherVersion { file: PathBuf, version: String, has: String },
    #[error("{} tests the {has} only", file.display())]
    OtherRole { file: PathBuf, has: String },
    #[error("{} has no row {row}\n  rows: {rows}", file.display())]
    NoSuchRow { file: PathBuf, row: String, rows: String },
}

/// Where the scenarios are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Below a folder.
    Folder(PathBuf),
    /// In the program.
    Embedded,
}

impl Place {
    /// A folder with scenario files; `None` if it has none or does not exist.
    pub(crate) fn folder_with_files(folder: &Path) -> Option<Self> {
        let has_files = suite::files_below(folder).is_ok_and(|files| !files.is_empty());
        has_files.then(|| Place::Folder(folder.to_owned()))
    }
}

/// The cases of one file that a selection chooses. The file is a path, or else the name of a
/// scenario.
pub(crate) fn plan_of_file(place: &Place, file: &Path, selection: &Selection) -> Result<Plan, SourcesError> {
    let unreadable = |source| SourcesError::File { file: file.to_owned(), source };
    let read = |path: &Path| scenario_file::read(path).map_err(unreadable);
    let name = file.to_string_lossy().replace('\\', "/");
    let (file, text, of_suite) = match place {
        Place::Folder(folder) => {
            let path = if file.exists() { file.to_owned() } else { folder.join(file) };
            let below = name_below(&path, folder);
            let of_suite = below.is_some();
            let name = below.unwrap_or_else(|| path.to_string_lossy().replace('\\', "/"));
            (name, read(&path)?, of_suite)
        }
        Place::Embedded => match embedded()?.into_iter().find(|source| source.file == name) {
            Some(source) if !file.exists() => (name, source.text, true),
            _ => (name, read(file)?, false),
        },
    };
    let source = [Source { file, text }];
    let mut plan = suite::plan(&source, selection);
    if plan.cases.is_empty() && selection.version.is_none() {
        // Who names a file of 3.1 wants its cases.
        plan = suite::plan(&source, &Selection { version: Some(Version::V3_1), ..selection.clone() });
    }
    plan.cases.iter_mut().for_each(|case| case.of_suite = of_suite);
    Ok(plan)
}

/// The path of a file below the folder of scenarios; `None` if it is not there. Seeds derive from
/// it, so it must not depend on the working directory.
fn name_below(path: &Path, folder: &Path) -> Option<String> {
    let (path, folder) = (path.canonicalize().ok()?, folder.canonicalize().ok()?);
    Some(path.strip_prefix(folder).ok()?.to_string_lossy().replace('\\', "/"))
}

/// The plan of the selected cases. A filter that is the path of a file selects this file. The
/// others select from the scenarios, which are not read if there are none. Filters that match
/// nothing are an error, unless a file that cannot be read may be the reason.
pub(crate) fn plan(place: &Place, selection: &Selection) -> Result<Plan, SourcesError> {
    let (files, filters): (Vec<_>, Vec<_>) =
        selection.filters.iter().cloned().partition(|filter| is_named(Path::new(filter)));
    let mut plan = Plan::default();
    for file in &files {
        let every = Selection { filters: Vec::new(), ..selection.clone() };
        let of_file = plan_of_file(place, Path::new(file), &every)?;
        plan.cases.extend(of_file.cases);
        plan.errors.extend(of_file.errors);
    }
    if files.is_empty() || !filters.is_empty() {
        let others = Selection { filters, ..selection.clone() };
        let more = match place {
            Place::Folder(folder) => plan_of_folder(folder, &others)?,
            Place::Embedded => suite::plan(&embedded()?, &others),
        };
        let known: BTreeSet<String> = plan.files().map(str::to_owned).collect();
        plan.cases.extend(more.cases.into_iter().filter(|case| !known.contains(&case.file)));
        plan.errors.extend(more.errors.into_iter().filter(|error| !known.contains(&error.file)));
    }
    if plan.cases.is_empty() && plan.errors.is_empty() {
        if let Some(error) = of_other_versions(place, selection)? {
            return Err(error);
        }
        let mut filters = selection.filters.join(" ");
        if let Some(version) = selection.version {
            filters.push_str(&format!(" (for MQTT {version})"));
        }
        return Err(SourcesError::NoMatch { filters: filters.trim().to_owned() });
    }
    Ok(plan)
}

/// Why nothing is selected, if that has to do with MQTT 3.1.
fn of_other_versions(place: &Place, selection: &Selection) -> Result<Option<SourcesError>, SourcesError> {
    let wanted = selection.version.unwrap_or(Version::V5);
    if selection.filters.is_empty() || !matches!(selection.version, None | Some(Version::V3_1)) {
        return Ok(None);
    }
    let mut others = Vec::new();
    for version in Version::ALL.into_iter().filter(|version| *version != wanted) {
        let other = Selection { version: Some(version), ..selection.clone() };
        let plan = match place {
            Place::Folder(folder) => plan_of_folder(folder, &other)?,
            Place::Embedded => suite::plan(&embedded()?, &other),
        };
        if !plan.cases.is_empty() {
            others.push(version.to_string());
        }
    }
    let filters = selection.filters.join(" ");
    Ok(match (selection.version, others.as_slice()) {
        (_, []) => None,
        (Some(_), _) => Some(SourcesError::NotOf3_1 { filters, others: others.join(" and ") }),
        (None, _) => Some(SourcesError::Only3_1 { filters }),
    })
}

/// Whether a filter is the path of something that is read, or refused, as a file.
fn is_named(path: &Path) -> bool {
    path.exists() && !path.is_dir()
}

fn embedded() -> Result<Vec<Source>, SourcesError> {
    let files = mqttspec_embedded::scenarios().map_err(SourcesError::Clone)?;
    Ok(files.into_iter().map(|(file, text)| Source { file, text }).collect())
}

/// The plan of the cases that a selection chooses from the folder. A file that cannot be read does
/// not stop the others from being run.
fn plan_of_folder(folder: &Path, selection: &Selection) -> Result<Plan, SourcesError> {
    let files = suite::files_below(folder)
        .map_err(|source| SourcesError::Folder { folder: folder.to_owned(), source })?;
    if files.is_empty() {
        return Err(SourcesError::Empty { folder: folder.to_owned() });
    }
    let mut sources = Vec::new();
    let mut errors = Vec::new();
    for file in files {
        match scenario_file::read(&folder.join(&file)) {
            Ok(text) => sources.push(Source { file, text }),
            Err(error)
                if selection.filters.is_empty()
                    || selection.filters.iter().any(|part| file.contains(part)) =>
            {
                let path = folder.join(&file);
                let message = format!(
                    "cannot read {}: {error}\na scenario is a text file in UTF-8 that you may read; rename it if it is none",
                    shown(&path.to_string_lossy())
                );
                errors.push(FileError { file: shown(&file), message });
            }
            Err(_) => {}
        }
    }
    let mut plan = suite::plan(&sources, selection);
    plan.errors.extend(errors);
    Ok(plan)
}
