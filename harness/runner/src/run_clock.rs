//! The clock of a run.

use core::cell::OnceCell;
use core::time::Duration;
use std::rc::Rc;

/// The clock of a run, which shows zero until its simulation starts it.
#[derive(Clone, Default)]
pub(crate) struct RunClock(Rc<OnceCell<Box<dyn Fn() -> Duration>>>);

impl RunClock {
    pub(crate) fn start(&self, now: impl Fn() -> Duration + 'static) {
        let _ = self.0.set(Box::new(now));
    }

    pub(crate) fn now(&self) -> Duration {
        self.0.get().map_or(Duration::ZERO, |now| now())
    }
}
