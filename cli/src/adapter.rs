//! `mqttspec adapter`: checks an adapter, or is one.

use std::io::Write;

use mqttspec_judge::verdict::Verdict;
use mqttspec_runner::live::client::{ClientOptions, check_adapter, run_reference_adapter};

use crate::arguments::AdapterArguments;
use crate::client::ClientCommandError;
use crate::{CommandError, FAILED, PASSED};

pub(crate) fn run(arguments: &AdapterArguments) -> Result<u8, CommandError> {
    let Some(command) = &arguments.command else {
        return run_reference_adapter().map(|()| PASSED).map_err(CommandError::Reference);
    };
    let (name, checks) =
        check_adapter(&ClientOptions::of_command(command)).map_err(ClientCommandError::from)?;
    let mut output = anstream::stdout();
    writeln!(output, "{name}")?;
    let mut failed = false;
    for check in checks {
        let verdict = match check.verdict {
            Verdict::Pass => "works",
            Verdict::Skip => "unsupported",
            Verdict::NotJudged | Verdict::Fail | Verdict::Error => "does not work",
        };
        failed |= !matches!(check.verdict, Verdict::Pass | Verdict::Skip);
        let reason = if check.reason.is_empty() { String::new() } else { format!(": {}", check.reason) };
        writeln!(output, "  [{}] {}: {verdict}{reason}", check.version, check.title)?;
    }
    Ok(if failed { FAILED } else { PASSED })
}
