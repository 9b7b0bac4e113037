//! What the runs of one case need of a hosted broker.

use core::time::Duration;
use std::rc::Rc;

use mqttspec_judge::Case;

use super::host::Asked;
use super::{HostedBroker, Lives};
use crate::recorder::Recorder;
use crate::run_clock::RunClock;

/// What the runs of one case need of its broker.
pub(crate) struct HostedCase<'t> {
    pub(crate) broker: &'t HostedBroker,
    pub(crate) late: Duration,
    pub(crate) subscribing: Duration,
    /// The options of the scenario that the broker does not have as it is.
    pub(crate) missing: Vec<(String, String)>,
}

impl HostedCase<'_> {
    /// The lives of the broker in one run.
    pub(crate) fn lives(&self, case: &Case, recorder: &Rc<Recorder>, clock: &RunClock) -> Lives {
        let counting = case.scenario.broker.iter().filter(|option| option.versions.applies_to(case.version));
        let options = counting.map(|option| (option.name.clone(), option.value.clone())).collect();
        let needs_disk = case
            .scenario
            .needs
            .iter()
            .any(|need| need.name == "durable-store" && need.versions.applies_to(case.version));
        Lives {
            broker: self.broker.clone(),
            asked: Rc::new(Asked::about(options)),
            missing: self.missing.clone().into(),
            needs_disk,
            clock: clock.clone(),
            recorder: recorder.clone(),
            ends: Rc::default(),
        }
    }
}
