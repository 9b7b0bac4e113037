//! `mqttspec run` on a client library: its arguments, and the progress of the run.

use std::io::Write;

use indicatif::ProgressBar;
use mqttspec_judge::results::SuiteResult;
use mqttspec_judge::verdict::Verdict;
use mqttspec_runner::live::client::{
    ClientError, ClientOptions, ClientTargetError, ClientTargetFile, JOBS, run_client,
};
use mqttspec_runner::suite::{KeepTrace, Plan};

use crate::CommandError;
use crate::arguments::RunArguments;
use crate::progress::style;

/// Why a client cannot be judged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientCommandError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Target(#[from] ClientTargetError),
}

/// The options of a run with a client under test; `None` if the arguments name none.
pub(crate) fn options(arguments: &RunArguments) -> Result<Option<ClientOptions>, ClientCommandError> {
    let named = &arguments.client;
    let target = match (&named.client, &named.client_target) {
        (Some(command), _) => ClientTargetFile { command: command.clone(), ..ClientTargetFile::default() },
        (None, Some(file)) => ClientTargetFile::read(file)?,
        (None, None) => return Ok(None),
    };
    Ok(Some(ClientOptions {
        command: target.command,
        name: target.name,
        target_file: named.client_target.clone(),
        seed: arguments.seed,
        seeds: arguments.seeds,
        jobs: arguments.jobs.map(usize::from).or(target.jobs).unwrap_or(JOBS),
        // The HTML report draws every run.
        keep: if arguments.report.is_some() { KeepTrace::All } else { KeepTrace::Failing },
        patient: arguments.live.patient,
        time_limit: arguments.time_limit(),
        clock_speed: arguments.live.clock_speed.or(target.clock_speed),
    }))
}

pub(crate) fn run(plan: &Plan, options: &ClientOptions) -> Result<SuiteResult, CommandError> {
    let bar = ProgressBar::new(0).with_style(style());
    let mut bad = 0;
    let suite = run_client(plan, options, &mut |case, _, of| {
        bar.set_length(of as u64);
        let is_bad = matches!(case.verdict, Verdict::Fail | Verdict::Error);
        if bar.is_hidden() && is_bad {
            let line = format!("{} {} {}", case.verdict, case.name(), case.reason);
            let _ = writeln!(anstream::stderr(), "{}", line.trim_end());
        }
        bad += u32::from(is_bad);
        bar.set_message(format!("{bad} failed  {}", case.file));
        bar.inc(1);
    });
    bar.finish_and_clear();
    Ok(suite.map_err(ClientCommandError::from)?)
}
