//! One run of one case under one seed, in a simulation.

use mqttspec_judge::Case;
use mqttspec_judge::command::RepeatCommand;
use mqttspec_judge::history::History;
use mqttspec_judge::model::Tolerance;
use mqttspec_judge::results::RunResult;

use crate::judging::judged;
use crate::latitude::Latitude;
use crate::recorder;
pub use crate::run_options::RunOptions;
use crate::simulated::{perform, refusal};
pub use crate::simulator::Simulator;

/// Runs a case once. The same case and seed give the same result, bit for bit.
#[must_use]
pub fn run(case: &Case, seed: u64) -> RunResult {
    run_with(case, seed, RunOptions { trace: true, ..RunOptions::default() })
}

/// Runs a case once, with options.
#[must_use]
pub fn run_with(case: &Case, seed: u64, options: RunOptions) -> RunResult {
    let (result, history) = run_recorded(case, seed, options);
    reuse(history);
    result
}

/// Gives the memory of a history to the next run of this thread.
pub fn reuse(history: History) {
    recorder::reuse(history);
}

/// Runs a case once, and returns its history too.
#[must_use]
pub fn run_recorded(case: &Case, seed: u64, options: RunOptions) -> (RunResult, History) {
    let latitude = Some(options.latitude).filter(|latitude| *latitude != Latitude::Reference);
    let latitude = latitude.map(|latitude| latitude.to_string());
    let command = RepeatCommand { latitude, ..options.simulator.repeat_command(case, seed) };
    let performed = perform(case, seed, options);
    let model = options.model.then(Tolerance::default);
    let (result, _) = judged(case, &command, performed.executed, &performed.history, options.trace, model);
    (result, performed.history)
}

/// Why a case is skipped in a simulation; `None` if it is run. The reason follows the first colon.
#[must_use]
pub fn refusal_of(case: &Case, simulator: Simulator) -> Option<String> {
    refusal(case, simulator).map(|unsupported| unsupported.to_string())
}
