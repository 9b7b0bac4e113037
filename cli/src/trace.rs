//! `mqttspec trace`: the transcript of one run with simulated times, and what was found in it.

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
use mqttspec_runner::run::run as run_once;
use mqttspec_runner::suite::{self, KeepTrace, Plan, Selection, SuiteOptions};
use thiserror::Error;

use crate::arguments::{SideName, TraceArguments};
use crate::sources::SourcesError;
use crate::{FAILED, HOLDS, NOT_RUN, Trouble, sources};

/// Width of text where nobody looks: a file, a pipe.
const WIDTH_OF_A_FILE: u16 = 100;

/// Why a run cannot be written into a file.
#[derive(Debug, Error)]
pub(crate) enum TraceError {
    #[error(transparent)]
    Capture(#[from] capture::CaptureError),
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: std::io::Error },
}

pub(crate) fn run(arguments: &TraceArguments) -> Result<u8, Trouble> {
    let source = sources::one(&arguments.folder.scenarios, Path::new(&arguments.file))?;
    let plan = suite::plan(&[source], &Selection::default());
    if let Some(error) = plan.errors.first() {
        writeln!(anstream::stderr(), "{}", error.message)?;
        return Ok(NOT_RUN);
    }
    let case = chosen(&plan, arguments)?;
    let quiet = Style::new().dimmed();
    let mut out = anstream::stdout().lock();
    let result = run_once(case, arguments.seed);
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
        return Ok(HOLDS);
    }
    let width = terminal_size::terminal_size().map_or(WIDTH_OF_A_FILE, |(width, _)| width.0);
    // The same run once more, told as the suite tells it.
    let options = SuiteOptions { seed: arguments.seed, keep: KeepTrace::None, ..SuiteOptions::default() };
    let mut told = suite::run_case_under(case, [arguments.seed], &options);
    for failure in &mut told.failures {
        failure.command.push_str(&arguments.folder.as_typed());
    }
    write!(out, "{}", terminal::bad_case(&told, width))?;
    Ok(FAILED)
}

/// Writes the files that were asked for.
fn files(case: &Case, result: &RunResult, arguments: &TraceArguments) -> Result<(), Trouble> {
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

fn write_to(path: &Path, bytes: &[u8]) -> Result<(), Trouble> {
    std::fs::write(path, bytes).map_err(|source| TraceError::Write { path: path.to_owned(), source })?;
    writeln!(anstream::stderr(), "wrote {}", path.display())?;
    Ok(())
}

/// The case that was asked for: by default the first of the newest version.
fn chosen<'p>(plan: &'p Plan, arguments: &TraceArguments) -> Result<&'p Case, SourcesError> {
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
    let side = arguments.tests.map(|name| match name {
        SideName::Server => Role::Server,
        SideName::Client => Role::Client,
    });
    let of_side = |case: &&Case| side.is_none_or(|side| side == case.tests);
    if !of_version.iter().copied().any(|case| of_side(&case)) {
        let has = of_version.first().map_or_else(String::new, |case| case.tests.to_string());
        return Err(SourcesError::OtherSide { file, has });
    }
    let of_row = |case: &&Case| arguments.row.is_none() || case.row_name() == arguments.row.as_deref();
    let rows = || {
        let names: Vec<&str> = of_version.iter().filter_map(|case| case.row_name()).collect();
        if names.is_empty() { "none: it has no table".to_owned() } else { names.join(" ") }
    };
    of_version.iter().copied().filter(of_side).find(of_row).ok_or_else(|| SourcesError::NoSuchRow {
        file,
        row: arguments.row.clone().unwrap_or_default(),
        rows: rows(),
    })
}
