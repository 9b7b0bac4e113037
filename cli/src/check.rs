//! `mqttspec check`: checks scenario files and explains every mistake.

use std::io::Write;

use anstyle::{AnsiColor, Style};
use mqttspec_notation as notation;

use crate::arguments::CheckArguments;
use crate::sources::SourcesError;
use crate::{CommandError, NOT_RUN, PASSED, scenario_file};

pub(crate) fn run(arguments: &CheckArguments) -> Result<u8, CommandError> {
    let good: Style = AnsiColor::Green.on_default();
    let mut out = anstream::stdout().lock();
    let mut code = PASSED;
    for file in &arguments.files {
        let text = match scenario_file::read(file) {
            Ok(text) => text,
            Err(source) => {
                // It does not hide the others.
                code = NOT_RUN;
                let error = SourcesError::File { file: file.clone(), source };
                writeln!(anstream::stderr(), "error: {error}")?;
                continue;
            }
        };
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
