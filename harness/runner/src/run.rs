//! One run of one case under one seed, in the simulated world.

use mqttspec_judge::Case;
use mqttspec_judge::command::RepeatCommand;
use mqttspec_judge::results::RunResult;
use mqttspec_mutants::Mutant;

use crate::judging::judged;
use crate::latitude::Latitude;
use crate::simulated::perform;

/// What is wanted of a run besides its verdict.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// The trace of a run that passes; one that does not has its trace anyway.
    pub trace: bool,
    /// A mutant of the reference peer under test: the run then tests the scenario.
    pub mutant: Option<&'static Mutant>,
    /// How the peer under test uses the choices that the standard leaves to it.
    pub latitude: Latitude,
}

/// Runs a case once. The same case and seed give the same result, bit for bit.
#[must_use]
pub fn run(case: &Case, seed: u64) -> RunResult {
    run_for(case, seed, Wanted { trace: true, ..Wanted::default() })
}

/// Runs a case once, for what is wanted.
#[must_use]
pub fn run_for(case: &Case, seed: u64, wanted: Wanted) -> RunResult {
    let latitude = Some(wanted.latitude).filter(|latitude| *latitude != Latitude::Reference);
    let latitude = latitude.map(|latitude| latitude.to_string());
    let command = RepeatCommand { latitude, ..case.repeat_command(seed) };
    judged(case, &command, perform(case, seed, wanted), wanted.trace).0
}
