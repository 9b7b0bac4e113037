//! `mqttspec run` before a live broker: what the arguments say about it, and what is told while it runs.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use mqttspec_judge::results::SuiteResult;
use mqttspec_judge::verdict::Verdict;
use mqttspec_net::transport::{ClientTls, TlsError};
use mqttspec_runner::live::target_file::{TargetFile, TargetFileError};
use mqttspec_runner::live::{Credentials, JOBS, LiveError, LiveOptions, Progress, Took, run_live};
use mqttspec_runner::suite::{KeepTrace, Plan};
use thiserror::Error;

use crate::Trouble;
use crate::arguments::RunArguments;
use crate::progress::style;

/// Why a live broker cannot be judged.
#[derive(Debug, Error)]
pub(crate) enum LiveTrouble {
    #[error(transparent)]
    Live(#[from] LiveError),
    #[error(transparent)]
    TargetFile(#[from] TargetFileError),
    #[error("cannot read {}: {source}", file.display())]
    File { file: PathBuf, source: io::Error },
    #[error("{}: {source}", file.display())]
    Authorities { file: PathBuf, source: TlsError },
}

/// What the arguments say about a live broker; `None` if they name none.
pub(crate) fn options(arguments: &RunArguments) -> Result<Option<LiveOptions>, LiveTrouble> {
    let live = &arguments.live;
    if live.target.is_none() && live.start.is_none() && live.target_file.is_none() {
        return Ok(None);
    }
    let mut target_file = live.target_file.as_deref().map(TargetFile::read).transpose()?.unwrap_or_default();
    if let Some(start) = &live.start {
        target_file.start = Some(start.clone());
    }
    let tls = live.ca.as_ref().map(|file| {
        let trouble = |source| LiveTrouble::Authorities { file: file.clone(), source };
        ClientTls::trusting(&read(file)?).map_err(trouble)
    });
    let credentials = live.user.as_ref().map(|user| {
        let password = live.password_file.as_deref().map(read).transpose()?.map(first_line);
        Ok::<_, LiveTrouble>(Credentials { user_name: user.clone(), password })
    });
    Ok(Some(LiveOptions {
        target: live.target.clone(),
        tls: tls.transpose()?,
        credentials: credentials.transpose()?,
        seed: arguments.seed,
        seeds: arguments.seeds,
        jobs: arguments.jobs.map(usize::from).or(target_file.jobs).unwrap_or(JOBS),
        // The page draws every run.
        keep: if arguments.report.is_some() { KeepTrace::All } else { KeepTrace::Failing },
        patient: live.patient,
        named: live.as_typed(),
        quick: live.quick,
        target_file,
    }))
}

pub(crate) fn run(plan: &Plan, options: &LiveOptions) -> Result<SuiteResult, Trouble> {
    let bar = ProgressBar::new(0).with_style(style());
    let mut bad = 0;
    let suite = run_live(plan, options, &mut |progress| match progress {
        Progress::Doing(what) => bar.set_message(what.to_owned()),
        Progress::Met { name, url, capabilities, tolerance, notes, cases } => {
            bar.set_length(cases as u64);
            let mut text = format!("{name} at {url}\n");
            for (name, value) in capabilities {
                text.push_str(&format!("  {name} {value}\n"));
            }
            let late = tolerance.as_millis();
            text.push_str(&format!("  what is timed may come {late} ms later than a scenario says\n"));
            notes.iter().for_each(|note| text.push_str(&format!("  note: {note}\n")));
            // What cannot be told does not stop the run.
            bar.suspend(|| drop(anstream::stderr().write_all(text.as_bytes())));
        }
        Progress::Done { case, .. } => {
            // Where no bar is drawn, a long run still says what goes wrong as it does.
            if bar.is_hidden() && matches!(case.verdict, Verdict::Fail | Verdict::Error) {
                let said = format!("{} {} {}", case.verdict, case.name(), case.reason);
                let _ = writeln!(anstream::stderr(), "{}", said.trim_end());
            }
            bad += u32::from(matches!(case.verdict, Verdict::Fail | Verdict::Error));
            bar.set_message(format!("{bad} failed  {}", case.file));
            bar.inc(1);
        }
        Progress::Over { brisk, by_the_clock } => {
            let seconds = |took: Took| took.took.as_secs_f64();
            let text = format!(
                "played {} cases in {:.1} s; {} wait for a second or longer or for a clock of the server, the others were done after {:.1} s\n",
                brisk.cases + by_the_clock.cases,
                seconds(brisk).max(seconds(by_the_clock)),
                by_the_clock.cases,
                seconds(brisk),
            );
            bar.suspend(|| drop(anstream::stderr().write_all(text.as_bytes())));
        }
    });
    bar.finish_and_clear();
    Ok(suite.map_err(LiveTrouble::from)?)
}

fn read(file: &Path) -> Result<Vec<u8>, LiveTrouble> {
    std::fs::read(file).map_err(|source| LiveTrouble::File { file: file.to_owned(), source })
}

fn first_line(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(bytes.len());
    bytes.truncate(end);
    bytes
}
