//! `mqttspec compare`: the differences between two runs or two targets.

use std::io::Write;

use mqttspec_reports::compare::Comparison;

use crate::arguments::CompareArguments;
use crate::report::read;
use crate::{CommandError, FAILED, PASSED};

pub(crate) fn run(arguments: &CompareArguments) -> Result<u8, CommandError> {
    let comparison = Comparison::of(&read(&arguments.before)?, &read(&arguments.after)?);
    anstream::stdout().write_all(comparison.text().as_bytes())?;
    Ok(if comparison.is_worse() { FAILED } else { PASSED })
}
