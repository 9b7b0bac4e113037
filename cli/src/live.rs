//! `mqttspec run` on a live broker: its arguments, and the progress of the run.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use mqttspec_judge::results::SuiteResult;
use mqttspec_judge::verdict::Verdict;
use mqttspec_net::transport::{ClientTls, TlsError};
use mqttspec_runner::live::target_file::{TargetFile, TargetFileError};
use mqttspec_runner::live::{Credentials, Elapsed, JOBS, LiveError, LiveOptions, Progress, run_live};
use mqttspec_runner::suite::{KeepTrace, Plan};
use thiserror::Error;

use crate::CommandError;
use crate::arguments::{LiveArguments, RunArguments};
use crate::progress::style;

/// Why a live broker cannot be judged.
#[derive(Debug, Error)]
pub(crate) enum LiveCommandError {
    #[error(transparent)]
    Live(#[from] LiveError),
    #[error(transparent)]
    TargetFile(#[from] TargetFileError),
    #[error("cannot read {}: {source}", file.display())]
    File { file: PathBuf, source: io::Error },
    #[error("{}: {source}", file.display())]
    Certificates { file: PathBuf, source: TlsError },
}

/// The options of a live run; `None` if the arguments name no live broker.
pub(crate) fn options(arguments: &RunArguments) -> Result<Option<LiveOptions>, LiveCommandError> {
    let Some(options) = target(&arguments.live)? else { return Ok(None) };
    Ok(Some(LiveOptions {
        seed: arguments.seed,
        seeds: arguments.seeds,
        jobs: arguments.jobs.map_or(options.jobs, usize::from),
        // The HTML report draws every run.
        keep: if arguments.report.is_some() { KeepTrace::All } else { KeepTrace::Failing },
        time_limit: arguments.time_limit(),
        ..options
    }))
}

/// The live broker that arguments name, if they do.
pub(crate) fn target(live: &LiveArguments) -> Result<Option<LiveOptions>, LiveCommandError> {
    if live.target.is_none() && live.start.is_none() && live.target_file.is_none() {
        return Ok(None);
    }
    let mut target_file = live.target_file.as_deref().map(TargetFile::read).transpose()?.unwrap_or_default();
    if let Some(start) = &live.start {
        target_file.start = Some(start.clone());
    }
    let tls = live.ca.as_ref().map(|file| {
        let certificate = live.client_certificate.as_deref().map(read).transpose()?;
        let key = live.client_key.as_deref().map(read).transpose()?;
        let tls = ClientTls::new(Some(&read(file)?), certificate.as_deref().zip(key.as_deref()));
        tls.map_err(|source| match (&source, &live.client_certificate, &live.client_key) {
            (TlsError::Pem { what: "the key", .. }, _, Some(key)) => (key.clone(), source),
            (TlsError::Pem { what: "the certificate", .. }, Some(file), _)
            | (TlsError::NoCertificate("the certificate") | TlsError::Unusable(_), Some(file), _) => {
                (file.clone(), source)
            }
            _ => (file.clone(), source),
        })
        .map_err(|(file, source)| LiveCommandError::Certificates { file, source })
    });
    let credentials = live.user.as_ref().map(|user| {
        let password = live.password_file.as_deref().map(read).transpose()?.map(first_line);
        Ok::<_, LiveCommandError>(Credentials { user_name: user.clone(), password })
    });
    Ok(Some(LiveOptions {
        target: live.target.clone(),
        tls: tls.transpose()?,
        credentials: credentials.transpose()?,
        jobs: target_file.jobs.unwrap_or(JOBS),
        patient: live.patient,
        target_arguments: live.as_arguments(),
        quick: live.quick,
        clock_speed: live.clock_speed,
        target_file,
        ..LiveOptions::default()
    }))
}

/// What is known of a broker after the first contact, for people.
pub(crate) fn description(progress: &Progress<'_>) -> Option<String> {
    let Progress::Connected { name, url, capabilities, tolerance, notes, .. } = progress else { return None };
    let mut text = format!("{name} at {url}\n");
    for (name, value) in *capabilities {
        text.push_str(&format!("  {name} {value}\n"));
    }
    let late = tolerance.as_millis();
    text.push_str(&format!("  tolerance: {late} ms later than a scenario says\n"));
    notes.iter().for_each(|note| text.push_str(&format!("  note: {note}\n")));
    Some(text)
}

pub(crate) fn run(plan: &Plan, options: &LiveOptions) -> Result<SuiteResult, CommandError> {
    let bar = ProgressBar::new(0).with_style(style());
    let mut bad = 0;
    let suite = run_live(plan, options, &mut |progress| match progress {
        Progress::Status(text) => bar.set_message(text.to_owned()),
        Progress::Connected { cases, .. } => {
            bar.set_length(cases as u64);
            let text = description(&progress).unwrap_or_default();
            // An error of the terminal does not stop the run.
            bar.suspend(|| drop(anstream::stderr().write_all(text.as_bytes())));
        }
        Progress::CaseDone { case, .. } => {
            // Without a progress bar, failures are printed at once: the run may take long.
            if bar.is_hidden() && matches!(case.verdict, Verdict::Fail | Verdict::Error) {
                let line = format!("{} {} {}", case.verdict, case.name(), case.reason);
                let _ = writeln!(anstream::stderr(), "{}", line.trim_end());
            }
            bad += u32::from(matches!(case.verdict, Verdict::Fail | Verdict::Error));
            bar.set_message(format!("{bad} failed  {}", case.file));
            bar.inc(1);
        }
        Progress::Finished { fast, slow } => {
            let seconds = |elapsed: Elapsed| elapsed.duration.as_secs_f64();
            let text = format!(
                "ran {} cases in {:.1} s: {} fast cases in {:.1} s, {} that wait for a second or longer, or for a timer of the server\n",
                fast.cases + slow.cases,
                seconds(fast).max(seconds(slow)),
                fast.cases,
                seconds(fast),
                slow.cases,
            );
            bar.suspend(|| drop(anstream::stderr().write_all(text.as_bytes())));
        }
    });
    bar.finish_and_clear();
    Ok(suite.map_err(LiveCommandError::from)?)
}

fn read(file: &Path) -> Result<Vec<u8>, LiveCommandError> {
    std::fs::read(file).map_err(|source| LiveCommandError::File { file: file.to_owned(), source })
}

fn first_line(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(bytes.len());
    bytes.truncate(end);
    bytes
}
