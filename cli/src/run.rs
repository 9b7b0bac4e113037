//! `mqttspec run`: runs the selected scenarios with a progress bar, prints a summary, and writes
//! the reports.

use std::io::Write;

use indicatif::ProgressBar;
use mqttspec_judge::results::{FORMAT, FileError, SuiteResult, Target, TargetKind};
use mqttspec_judge::verdict::Verdict;
use mqttspec_reports::terminal;
use mqttspec_runner::suite::{self, KeepTrace, Plan, Selection, SuiteOptions};

use crate::arguments::RunArguments;
use crate::{CommandError, client, expect, live, progress, sources};

/// The width of tables that are written into a file or a pipe.
const FILE_WIDTH: u16 = 100;

pub(crate) fn run(arguments: &RunArguments) -> Result<u8, CommandError> {
    let selected = &arguments.selection;
    let selection = Selection {
        filters: selected.filters.clone(),
        version: selected.version.map(Into::into),
        row: arguments.row.clone(),
    };
    let plan = sources::plan(&selected.folder.place(), &selection)?;
    let known = expect::known(arguments)?;
    let suite = match (client::options(arguments)?, live::options(arguments)?) {
        (Some(options), _) => client::run(&plan, &options),
        (None, Some(options)) => live::run(&plan, &options),
        (None, None) => Ok(simulated(arguments, &plan)),
    };
    let mut suite = match suite {
        Ok(suite) => suite,
        Err(error) => {
            // Whoever reads the reports learns why there are no results.
            write_reports(&nothing_judged(arguments, &error), arguments)?;
            return Err(error);
        }
    };
    suite.strict = arguments.strict;
    let folder_arguments = selected.folder.as_arguments();
    for failure in suite.cases.iter_mut().flat_map(|case| &mut case.failures) {
        failure.command.push_str(&folder_arguments);
    }
    let width = terminal_size::terminal_size().map_or(FILE_WIDTH, |(width, _)| width.0);
    let summary = if arguments.resilience { terminal::summary_with_resilience } else { terminal::summary };
    anstream::stdout().write_all(summary(&suite, width).as_bytes())?;
    write_reports(&suite, arguments)?;
    expect::judge(known.as_ref(), &suite, arguments)
}

fn write_reports(suite: &SuiteResult, arguments: &RunArguments) -> Result<(), CommandError> {
    if let Some(folder) = &arguments.report {
        for path in mqttspec_reports::write(suite, folder)? {
            writeln!(anstream::stderr(), "wrote {}", path.display())?;
        }
    }
    Ok(())
}

/// The result of a run that could not judge its target.
fn nothing_judged(arguments: &RunArguments, error: &CommandError) -> SuiteResult {
    let named = [
        arguments.live.target.as_ref().map(ToString::to_string),
        arguments.live.start.clone(),
        arguments.client.client.clone(),
        arguments.live.target_file.as_ref().map(|file| file.display().to_string()),
        arguments.client.client_target.as_ref().map(|file| file.display().to_string()),
    ];
    let name = named.into_iter().flatten().next().unwrap_or_default();
    SuiteResult {
        format: FORMAT,
        target: Target { name: name.clone(), kind: TargetKind::Live, ..Target::simulated() },
        seed: arguments.seed,
        seeds: arguments.seeds,
        strict: arguments.strict,
        cases: Vec::new(),
        errors: vec![FileError { file: name, message: error.to_string() }],
        notes: Vec::new(),
    }
}

fn simulated(arguments: &RunArguments, plan: &Plan) -> SuiteResult {
    let options = SuiteOptions {
        seed: arguments.seed,
        seeds: arguments.seeds,
        latitude: arguments.latitude.unwrap_or_default(),
        jobs: arguments.jobs.map_or_else(cpus, usize::from),
        // The HTML report draws every run.
        keep: if arguments.report.is_some() { KeepTrace::All } else { KeepTrace::Failing },
        simulator: arguments.backend.into(),
    };
    let bar = ProgressBar::new(plan.cases.len() as u64).with_style(progress::style());
    let mut bad = 0;
    let suite = suite::run_all(plan, &options, &mut |case, _, _| {
        bad += u32::from(matches!(case.verdict, Verdict::Fail | Verdict::Error));
        bar.set_message(format!("{bad} failed  {}", case.file));
        bar.inc(1);
    });
    bar.finish_and_clear();
    suite
}

fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
