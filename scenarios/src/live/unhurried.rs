//! Whether this process, and with it whoever waits here, got its time: a machine that is busy with something else makes everything late.

use core::cell::Cell;
use core::time::Duration;
use std::rc::Rc;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// How often the clock is looked at.
const BEAT: Duration = Duration::from_millis(20);

/// A beat that comes later than this shows that somebody was kept waiting.
const LATE: Duration = Duration::from_millis(100);

/// Watches until it is dropped.
pub(crate) struct Unhurried {
    latest: Rc<Cell<Duration>>,
    beating: JoinHandle<()>,
}

impl Unhurried {
    /// Begins to watch.
    pub(crate) fn watch() -> Self {
        let latest = Rc::new(Cell::new(Duration::ZERO));
        let noted = latest.clone();
        let beating = tokio::task::spawn_local(async move {
            loop {
                let begun = Instant::now();
                sleep(BEAT).await;
                noted.set(noted.get().max(begun.elapsed().saturating_sub(BEAT)));
            }
        });
        Self { latest, beating }
    }

    /// Whether every beat came in time so far.
    pub(crate) fn is_calm(&self) -> bool {
        self.latest.get() <= LATE
    }
}

impl Drop for Unhurried {
    fn drop(&mut self) {
        self.beating.abort();
    }
}
