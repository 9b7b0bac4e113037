//! `mqttspec list`: the scenarios, and a line for each case.

use std::io::Write;

use anstyle::{AnsiColor, Style};
use mqttspec_runner::suite::Selection;

use crate::arguments::ListArguments;
use crate::{CommandError, NOT_RUN, PASSED, sources};

pub(crate) fn run(arguments: &ListArguments) -> Result<u8, CommandError> {
    let (head, quiet, bad) = (Style::new().bold(), Style::new().dimmed(), AnsiColor::Red.on_default().bold());
    let selected = &arguments.selection;
    let selection = Selection {
        filters: selected.filters.clone(),
        version: selected.version.map(Into::into),
        ..Selection::default()
    };
    let plan = sources::plan(&selected.folder.place(), &selection)?;
    let mut out = anstream::stdout().lock();
    let mut file = "";
    for case in &plan.cases {
        if case.file != file {
            file = &case.file;
            writeln!(out, "{head}{file}{head:#}  {}", case.scenario.title)?;
        }
        let row = case.row_name().map_or_else(String::new, |row| format!(" [{row}]"));
        writeln!(
            out,
            "  {quiet}MQTT {}, {}{row}: {}{quiet:#}",
            case.version_text(),
            case.tests,
            case.clauses().join(" ")
        )?;
    }
    for error in &plan.errors {
        writeln!(out, "\n{bad}cannot be read{bad:#}  {}\n{}", error.file, error.message)?;
    }
    Ok(if plan.errors.is_empty() { PASSED } else { NOT_RUN })
}
