//! `mqttspec`: the MQTT specification as a program that you can run.
//!
//! This room holds arguments, progress and exit codes, and nothing else: scenarios are played and judged by
//! `mqttspec-scenarios`, and told by `mqttspec-reports`.
#![forbid(unsafe_code)]

mod arguments;
mod check;
mod compare;
mod expect;
mod list;
mod live;
mod progress;
mod report;
mod run;
mod serve;
mod sources;
mod trace;

use std::io::{self, Write};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use clap::Parser;

use crate::arguments::{Arguments, Command};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What was wrong before anything could be run: the process ends with exit code 2.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Sources(#[from] sources::SourcesError),
    #[error(transparent)]
    Live(#[from] live::LiveTrouble),
    #[error(transparent)]
    Report(#[from] mqttspec_reports::WriteError),
    #[error(transparent)]
    Serve(#[from] serve::ServeTrouble),
    #[error(transparent)]
    Reports(#[from] report::ReportError),
    #[error(transparent)]
    Expect(#[from] expect::ExpectError),
    #[error(transparent)]
    Trace(#[from] trace::TraceError),
    #[error("cannot write to the terminal: {0}")]
    Output(#[from] io::Error),
}

/// Everything that was checked holds.
const HOLDS: u8 = 0;
/// Something does not hold, or the reference peers do not allow the set-up of a scenario.
const FAILED: u8 = 1;
/// Nothing could be run: an unreadable file, an unknown name, nothing to run.
const NOT_RUN: u8 = 2;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let ended = match arguments.command {
        Command::Run(arguments) => run::run(&arguments),
        Command::List(arguments) => list::run(&arguments),
        Command::Trace(arguments) => trace::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Compare(arguments) => compare::run(&arguments),
        Command::Report(arguments) => report::run(&arguments),
    };
    match ended {
        Ok(code) => ExitCode::from(code),
        // `mqttspec list | head` is no trouble.
        Err(Trouble::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::from(HOLDS),
        Err(trouble) => {
            let bad: Style = AnsiColor::Red.on_default().bold();
            // Nothing is left to do where even this cannot be written.
            let _ = writeln!(anstream::stderr(), "{bad}error{bad:#}: {trouble}");
            ExitCode::from(NOT_RUN)
        }
    }
}
