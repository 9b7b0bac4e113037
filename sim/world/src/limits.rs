//! The limits of a run.

use std::sync::Arc;
use std::time::Duration;

/// The limits above which a run counts as endless.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) simulated: Duration,
    pub(crate) events: u64,
    pub(crate) polls_per_instant: u64,
    /// The real time that one poll may take.
    pub(crate) real_poll: Duration,
    /// The real time that the run may take.
    pub(crate) real_run: Duration,
    /// The name of the run in the message of the watchdog.
    pub(crate) name: Arc<str>,
}
