//! Decides where all cases of a session run, and what the report says about that.

use core::time::Duration;
use std::collections::BTreeMap;

use mqttspec_codec::{Role, Version};

use super::LiveOptions;
use super::acceleration::acceleration_note;
use super::capabilities::KEEP_ALIVE_0;
use super::case_run::RunContext;
use super::placing::{Placed, Placing};
use super::schedule::{Limits, Times};
use crate::suite::Plan;
use mqttspec_judge::Case;

/// A scenario with a longer wait is skipped without `--patient`.
const LONGEST_WAIT: Duration = Duration::from_secs(6);

/// The longest time for which `nothing` is expected without `--patient`.
const SILENCE: Duration = Duration::from_millis(400);

/// Where all cases run.
pub(crate) struct Assigned {
    pub(crate) placed: Vec<Placed>,
    /// The accelerated cases as they run in real time.
    pub(crate) in_real_time: BTreeMap<usize, Placed>,
    /// What a report says about that.
    pub(crate) notes: Vec<String>,
}

/// Decides where the cases of a plan run that test servers.
pub(crate) fn assign(plan: &Plan, options: &LiveOptions, context: &RunContext) -> Assigned {
    let placing = Placing {
        capabilities: &context.capabilities,
        target_file: &context.target_file,
        starts: context.starts,
        starts_quickly: context.starts_quickly,
        limits: Limits {
            times: Times::Live,
            wait: (!options.patient).then_some(LONGEST_WAIT),
            silence: if options.patient { Duration::MAX } else { SILENCE },
            travel: context.timeouts.travel,
        },
        has_credentials: context.credentials.is_some(),
        quick: options.quick,
    };
    let servers: Vec<&Case> = plan.cases.iter().filter(|case| case.tests == Role::Server).collect();
    let mut placed: Vec<Placed> = servers.iter().map(|case| placing.place(case)).collect();
    let (mut in_real_time, mut notes) = (BTreeMap::new(), Vec::new());
    if let Some(acceleration) = context.acceleration.as_ref().filter(|_| !options.quick) {
        for (index, case) in servers.iter().enumerate() {
            if let Some(accelerated) = placing.place_accelerated(case, &placed[index], acceleration.speed) {
                in_real_time.insert(index, std::mem::replace(&mut placed[index], accelerated));
            }
        }
        notes.push(acceleration_note(in_real_time.len(), acceleration.speed));
    }
    let clients = plan.cases.len() - servers.len();
    if clients > 0 {
        notes.push(format!("{clients} cases test clients: not run against a live server"));
    }
    if context.capabilities.get(KEEP_ALIVE_0) == Some("0") {
        notes.push(
            "the target refuses Keep Alive 0, which disables it (section 3.1.2.10): scenarios that do \
             not set Keep Alive run with 10 minutes"
                .to_owned(),
        );
    }
    for version in Version::ALL {
        let of_version = servers.iter().filter(|case| case.version == version).count();
        if of_version > 0 && !context.capabilities.versions.contains(&version) {
            notes.push(format!("the target does not support MQTT {version}: {of_version} cases skipped"));
        }
    }
    Assigned { placed, in_real_time, notes }
}
