//! One run of one case under one seed, in the simulated world.

use mqttspec_judge::Case;
use mqttspec_judge::results::RunResult;
use mqttspec_mutants::Mutant;

use crate::judging::judged;
use crate::simulated::perform;

/// Options of a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunOptions {
    /// Whether a run that passes has its trace. A run that fails always has it.
    pub trace: bool,
    /// A mutant in place of the reference peer under test. The run then tests the scenario.
    pub mutant: Option<&'static Mutant>,
}

/// Runs a case once. The same case and seed give the same result, bit for bit.
#[must_use]
pub fn run(case: &Case, seed: u64) -> RunResult {
    run_with(case, seed, RunOptions { trace: true, mutant: None })
}

/// Runs a case once, with options.
#[must_use]
pub fn run_with(case: &Case, seed: u64, options: RunOptions) -> RunResult {
    judged(case, &case.repeat_command(seed), perform(case, seed, options.mutant), options.trace).0
}
