//! `mqttspec`: the MQTT specification as a program that you can run.
//!
//! This crate contains only the command line, the progress display and the exit codes.
//! `mqttspec-runner` runs scenarios, `mqttspec-judge` judges them, and `mqttspec-reports` renders
//! the results.
#![forbid(unsafe_code)]

mod adapter;
mod against;
mod arguments;
mod check;
mod client;
mod compare;
mod expect;
mod explore;
mod list;
mod live;
mod observe;
mod progress;
mod report;
mod run;
mod scenario_file;
mod serve;
mod sources;
mod trace;
mod watch;

use std::io::{self, Write};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use clap::Parser;

use crate::arguments::{Arguments, Command};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// An error of the command itself, before or after the run: the exit code is 2.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error(transparent)]
    Sources(#[from] sources::SourcesError),
    #[error(transparent)]
    Live(#[from] live::LiveCommandError),
    #[error(transparent)]
    Client(#[from] client::ClientCommandError),
    #[error("cannot run the reference client: {0}")]
    Reference(io::Error),
    #[error(transparent)]
    Report(#[from] mqttspec_reports::WriteError),
    #[error(transparent)]
    Serve(#[from] serve::ServeCommandError),
    #[error(transparent)]
    Observe(#[from] observe::ObserveError),
    #[error(transparent)]
    Reports(#[from] report::ReportError),
    #[error(transparent)]
    Expect(#[from] expect::ExpectError),
    #[error(transparent)]
    Explore(#[from] explore::ExploreError),
    #[error(transparent)]
    Trace(#[from] trace::TraceError),
    #[error("cannot write to the terminal: {0}")]
    Output(#[from] io::Error),
}

/// Everything passed.
const PASSED: u8 = 0;
/// A check failed, a run broke off, or a reference peer did not allow the set-up of a scenario.
const FAILED: u8 = 1;
/// A file could not be read, a name is unknown, or there was nothing to run.
const NOT_RUN: u8 = 2;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.command {
        Command::Run(arguments) => run::run(&arguments),
        Command::List(arguments) => list::run(&arguments),
        Command::Trace(arguments) => trace::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Adapter(arguments) => adapter::run(&arguments),
        Command::Observe(arguments) => observe::run(&arguments),
        Command::Compare(arguments) => compare::run(&arguments),
        Command::Explore(arguments) if !arguments.against.is_empty() => against::run(&arguments),
        Command::Explore(arguments) => explore::run(&arguments),
        Command::Shrink(arguments) => explore::shrink_file(&arguments),
        Command::Merge(arguments) => explore::merge_folders(&arguments),
        Command::Report(arguments) => report::run(&arguments),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        // `mqttspec list | head` is not an error.
        Err(CommandError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::from(PASSED)
        }
        Err(error) => {
            let bad: Style = AnsiColor::Red.on_default().bold();
            // If this fails too, nothing more can be done.
            let _ = writeln!(anstream::stderr(), "{bad}error{bad:#}: {error}");
            ExitCode::from(NOT_RUN)
        }
    }
}
