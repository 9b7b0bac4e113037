//! Options of a run.

use mqttspec_mutants::Mutant;

use crate::latitude::Latitude;
use crate::simulator::Simulator;

/// Options of a run.
#[derive(Clone, Copy, Debug)]
pub struct RunOptions {
    /// Whether a run that passes has its trace. A run that fails always has it.
    pub trace: bool,
    /// A mutant in place of the reference peer under test. The run then tests the scenario.
    pub mutant: Option<&'static Mutant>,
    /// How the peer under test uses the choices that the standard leaves to it.
    pub latitude: Latitude,
    /// Whether the history model judges the run too, as it does by default. Without it, its cost can
    /// be measured.
    pub model: bool,
    /// What the run executes on.
    pub simulator: Simulator,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            trace: false,
            mutant: None,
            latitude: Latitude::default(),
            model: true,
            simulator: Simulator::default(),
        }
    }
}
