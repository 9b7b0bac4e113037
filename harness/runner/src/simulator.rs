//! Which simulation a run executes on.

use mqttspec_judge::Case;
use mqttspec_judge::command::RepeatCommand;

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
