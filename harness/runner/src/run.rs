//! One run of one case under one seed, in a simulation.

use mqttspec_judge::Case;
use mqttspec_judge::command::RepeatCommand;
use mqttspec_judge::results::RunResult;
use mqttspec_mutants::Mutant;

use crate::judging::judged;
use crate::simulated::{perform, refusal};

/// What simulates the network, the disks and the machines of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Simulator {
    /// The simulated world of this project, which does every fault.
    #[default]
    World,
    /// A stock `turmoil::Sim`. A case whose faults turmoil does not model is skipped.
    Turmoil,
}

impl Simulator {
    /// Why a case is skipped here; `None` if it is run. The reason stands after the first `: `.
    #[must_use]
    pub fn refusal(self, case: &Case) -> Option<String> {
        refusal(case, self).map(|unsupported| unsupported.to_string())
    }

    /// The command that repeats a run in this simulation.
    pub(crate) fn repeat_command(self, case: &Case, seed: u64) -> RepeatCommand {
        let command = case.repeat_command(seed);
        match self {
            Simulator::World => command,
            Simulator::Turmoil => {
                RepeatCommand { role: None, target: Some("--backend turmoil".to_owned()), ..command }
            }
        }
    }
}

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
