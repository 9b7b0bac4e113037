//! `mqttspec trace`: the transcript of one simulated run, and its findings.

use std::io::Write;
use std::path::{Path, PathBuf};

use anstyle::Style;
use mqttspec_codec::Role;
use mqttspec_codec::Version;
use mqttspec_judge::Case;
use mqttspec_judge::results::RunResult;
use mqttspec_judge::verdict::Verdict;
use mqttspec_reports::diagram::{self, Diagram, Observer};
use mqttspec_reports::{capture, seconds, terminal};
use mqttspec_runner::run::{RunOptions, run_with};
use mqttspec_runner::suite::{self, KeepTrace, Plan, Selection, SuiteOptions};
use thiserror::Error;

use crate::arguments::{RoleName, TraceArguments};
use crate::sources::SourcesError;
use crate::{CommandError, FAILED, NOT_RUN, PASSED, sources};

/// The width of text that is written into a file or a pipe.
const FILE_WIDTH: u16 = 100;

/// Why a run cannot be written into a file.
#[derive(Debug, Error)]
pub(crate) enum TraceError {
    #[error(transparent)]
    Capture(#[from] capture::CaptureError),
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: std::io::Error },
}

pub(crate) fn run(arguments: &TraceArguments) -> Result<u8, CommandError> {
    let file = Path::new(&arguments.file);
    let plan = sources::plan_of_file(&arguments.folder.place(), file, &Selection::default())?;
    if let Some(error) = plan.errors.first() {
        writeln!(anstream::stderr(), "{}", error.message)?;
        return Ok(NOT_RUN);
    }
    let case = selected(&plan, arguments)?;
    let quiet = Style::new().dimmed();
    let mut out = anstream::stdout().lock();
    let options =
        RunOptions { trace: true, latitude: arguments.latitude.unwrap_or_default(), ..RunOptions::default() };
    let result = run_with(case, arguments.seed, options);
    writeln!(out, "{quiet}# {}: {}{quiet:#}", case.name(), case.scenario.title)?;
    writeln!(out, "{quiet}# seed {}, history {}{quiet:#}", result.seed, result.history_hash)?;
    for (what, drawn) in &result.drawn {
        writeln!(out, "{quiet}# drawn from the seed: {what} = {drawn}{quiet:#}")?;
    }
    for line in result.trace.transcript() {
        writeln!(out, "{quiet}{:>12}{quiet:#}  {}", seconds(line.at_ns, 6), line.text)?;
    }
    writeln!(out)?;
    files(case, &result, arguments)?;
    if result.verdict == Verdict::Pass || result.verdict == Verdict::Skip {
        let why = if result.reason.is_empty() { String::new() } else { format!(": {}", result.reason) };
        writeln!(out, "{}{why}", result.verdict)?;
        return Ok(PASSED);
    }
    let width = terminal_size::terminal_size().map_or(FILE_WIDTH, |(width, _)| width.0);
    // The same run once more, as a case of a suite, which the summary of a failure needs.
    let (seed, latitude, keep) = (arguments.seed, arguments.latitude.unwrap_or_default(), KeepTrace::None);
    let options = SuiteOptions { seed, latitude, keep, ..SuiteOptions::default() };
    let mut case_result = suite::run_case_under(case, [arguments.seed], &options);
    for failure in &mut case_result.failures {
        failure.command.push_str(&arguments.folder.as_arguments());
    }
    write!(out, "{}", terminal::bad_case(&case_result, width))?;
    Ok(FAILED)
}

/// Writes the files of `--pcap` and `--svg`.
fn files(case: &Case, result: &RunResult, arguments: &TraceArguments) -> Result<(), CommandError> {
    let title = format!("{}: {} (seed {})", case.name(), case.scenario.title, result.seed);
    let observer = Observer::of(&case.tests.to_string());
    if let Some(path) = &arguments.pcap {
        let bytes = capture::pcapng(&result.trace, observer, &title).map_err(TraceError::from)?;
        write_to(path, &bytes)?;
    }
    if let Some(path) = &arguments.svg {
        let diagram = Diagram::of(&result.trace, observer, &result.failures);
        write_to(path, diagram::svg(&diagram, &title).as_bytes())?;
    }
    Ok(())
}

fn write_to(path: &Path, bytes: &[u8]) -> Result<(), CommandError> {
    std::fs::write(path, bytes).map_err(|source| TraceError::Write { path: path.to_owned(), source })?;
    writeln!(anstream::stderr(), "wrote {}", path.display())?;
    Ok(())
}

/// The selected case: by default the first case of the newest version.
fn selected<'p>(plan: &'p Plan, arguments: &TraceArguments) -> Result<&'p Case, SourcesError> {
    let file = PathBuf::from(&arguments.file);
    let newest = plan.cases.iter().map(|case| case.version).max();
    let version = arguments.version.map(Version::from).or(newest);
    let of_version: Vec<&Case> = plan.cases.iter().filter(|case| Some(case.version) == version).collect();
    if of_version.is_empty() {
        let has: Vec<String> = plan
            .cases
            .first()
            .map_or_else(Vec::new, |case| case.scenario.versions.iter().map(Version::to_string).collect());
        let version = version.map_or_else(String::new, |version| version.to_string());
        return Err(SourcesError::OtherVersion { file, version, has: has.join(" ") });
    }
    let role = arguments.tests.map(|name| match name {
        RoleName::Server => Role::Server,
        RoleName::Client => Role::Client,
    });
    let of_role = |case: &&Case| role.is_none_or(|role| role == case.tests);
    if !of_version.iter().copied().any(|case| of_role(&case)) {
        let has = of_version.first().map_or_else(String::new, |case| case.tests.to_string());
        return Err(SourcesError::OtherRole { file, has });
    }
    let of_row = |case: &&Case| arguments.row.is_none() || case.row_name() == arguments.row.as_deref();
    let rows = || {
        let names: Vec<&str> = of_version.iter().filter_map(|case| case.row_name()).collect();
        if names.is_empty() { "none: it has no table".to_owned() } else { names.join(" ") }
    };
    of_version.iter().copied().filter(of_role).find(of_row).ok_or_else(|| SourcesError::NoSuchRow {
        file,
        row: arguments.row.clone().unwrap_or_default(),
        rows: rows(),
    })
}
