//! One run of one case under one seed, in a simulation.

use mqttspec_judge::Case;
use mqttspec_judge::results::RunResult;
use mqttspec_mutants::Mutant;

use crate::judging::judged;
use crate::simulated::{perform, refusal};
pub use crate::simulator::Simulator;

/// What is wanted of a run besides its verdict.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// The trace of a run that passes; one that does not has its trace anyway.
    pub trace: bool,
    /// A mutant of the reference peer under test: the run then tests the scenario.
    pub mutant: Option<&'static Mutant>,
    /// What the run executes on.
    pub simulator: Simulator,
}

/// Runs a case once. The same case and seed give the same result, bit for bit.
#[must_use]
pub fn run(case: &Case, seed: u64) -> RunResult {
    run_for(case, seed, Wanted { trace: true, ..Wanted::default() })
}

/// Runs a case once, for what is wanted.
#[must_use]
pub fn run_for(case: &Case, seed: u64, wanted: Wanted) -> RunResult {
    let Wanted { trace, mutant, simulator } = wanted;
    let performed = perform(case, seed, simulator, mutant);
    judged(case, &simulator.repeat_command(case, seed), performed, trace).0
}

/// Why a case is skipped in a simulation; `None` if it is run. The reason stands after the first `: `.
#[must_use]
pub fn refusal_of(case: &Case, simulator: Simulator) -> Option<String> {
    refusal(case, simulator).map(|unsupported| unsupported.to_string())
}
