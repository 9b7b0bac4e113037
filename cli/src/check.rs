//! `mqttspec check`: checks scenario files and explains every mistake.

use std::io::Write;

use anstyle::{AnsiColor, Style};
use mqttspec_notation as notation;

use crate::arguments::CheckArguments;
use crate::sources::SourcesError;
use crate::{CommandError, NOT_RUN, PASSED};

pub(crate) fn run(arguments: &CheckArguments) -> Result<u8, CommandError> {
    let good: Style = AnsiColor::Green.on_default();
    let mut out = anstream::stdout().lock();
    let mut code = PASSED;
    for file in &arguments.files {
        let text = std::fs::read_to_string(file)
            .map_err(|source| SourcesError::File { file: file.clone(), source })?;
        match notation::read(&file.to_string_lossy(), &text, &notation::CatalogueClauses) {
            Ok((scenario, warnings)) => {
                write!(out, "{}", warnings.rich())?;
                writeln!(out, "{good}ok{good:#}  {}  {}", file.display(), scenario.title)?;
            }
            Err(diagnostics) => {
                code = NOT_RUN;
                write!(out, "{}", diagnostics.rich())?;
            }
        }
    }
    Ok(code)
}
