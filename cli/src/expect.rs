//! `run --expect`: an exit code that depends on a list of known failures.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use mqttspec_reports::SuiteResult;
use mqttspec_reports::baseline::{Baseline, BaselineError};
use thiserror::Error;

use crate::arguments::RunArguments;
use crate::{CommandError, FAILED, NOT_RUN, PASSED};

/// Why the list of known failures cannot be used.
#[derive(Debug, Error)]
pub(crate) enum ExpectError {
    #[error("cannot read {}: {source}\n  --write-expect creates the file", path.display())]
    Missing { path: PathBuf, source: std::io::Error },
    #[error("{}: {source}", path.display())]
    Format { path: PathBuf, source: BaselineError },
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: std::io::Error },
}

/// Reads the known failures. This happens before the run, so that a mistake in the file is reported
/// at once.
pub(crate) fn known(arguments: &RunArguments) -> Result<Option<Baseline>, ExpectError> {
    let Some(path) = &arguments.expect else { return Ok(None) };
    match std::fs::read_to_string(path) {
        Ok(text) => Baseline::read(&text)
            .map(Some)
            .map_err(|source| ExpectError::Format { path: path.clone(), source }),
        Err(error) if error.kind() == ErrorKind::NotFound && arguments.write_expect => {
            Ok(Some(Baseline::default()))
        }
        Err(source) => Err(ExpectError::Missing { path: path.clone(), source }),
    }
}

/// The exit code of a run, by the list of known failures if there is one.
pub(crate) fn judge(
    known: Option<&Baseline>,
    suite: &SuiteResult,
    arguments: &RunArguments,
) -> Result<u8, CommandError> {
    let code = suite.exit_code();
    let (Some(known), Some(path)) = (known, &arguments.expect) else { return Ok(code) };
    let mut out = anstream::stdout();
    write!(out, "\n{}", known.compare(suite).text())?;
    if arguments.write_expect {
        let rewritten = known.rewritten(suite);
        write_to(path, &rewritten)?;
        writeln!(anstream::stderr(), "wrote {} ({} known failures)", path.display(), rewritten.len())?;
        return Ok(if code == NOT_RUN { code } else { PASSED });
    }
    let as_known = known.compare(suite).is_empty();
    Ok(match code {
        NOT_RUN => code,
        _ if as_known => PASSED,
        _ => FAILED,
    })
}

fn write_to(path: &Path, baseline: &Baseline) -> Result<(), ExpectError> {
    std::fs::write(path, baseline.text())
        .map_err(|source| ExpectError::Write { path: path.to_owned(), source })
}
