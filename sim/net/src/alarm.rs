//! The timer of a driver's loop.

use std::task::{Context, Poll};

use mqttspec_runtime::{Instant, Sleep};

/// A timer whose deadline changes with almost every input: one that is kept costs less than a new
/// one for each wait.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    sleep: Option<Sleep>,
}

impl Alarm {
    /// Ready at the deadline; never if there is none.
    pub(crate) fn poll(&mut self, deadline: Option<Instant>, context: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = deadline else {
            // A timer that is not needed must not wake the loop.
            self.sleep = None;
            return Poll::Pending;
        };
        let sleep = self.sleep.get_or_insert_with(|| mqttspec_runtime::sleep_until(deadline));
        if sleep.deadline() != deadline {
            sleep.reset(deadline);
        }
        sleep.poll_deadline(context)
    }
}
