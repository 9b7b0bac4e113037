//! Probes the shared server from time to time, so that few scenarios are suspects if it stops
//! serving.

use core::cell::Cell;
use core::time::Duration;
use std::rc::Rc;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::case_run::RunContext;

/// The interval between neutral probes.
const INTERVAL: Duration = Duration::from_millis(500);

/// Probes the shared server from time to time, until it is dropped.
pub(crate) struct ServiceWatch {
    last_served: Rc<Cell<Instant>>,
    watching: JoinHandle<()>,
}

impl ServiceWatch {
    pub(crate) fn start(context: Rc<RunContext>) -> Self {
        let last_served = Rc::new(Cell::new(Instant::now()));
        let watched = last_served.clone();
        let watching = tokio::task::spawn_local(async move {
            loop {
                sleep(INTERVAL).await;
                let started = Instant::now();
                if context.lacks_once(&context.prober).await.is_none() {
                    watched.set(started);
                }
            }
        });
        Self { last_served, watching }
    }

    /// When the last probe began that found no fault.
    pub(crate) fn last_served(&self) -> Instant {
        self.last_served.get()
    }

    /// The server was restarted.
    pub(crate) fn served(&self) {
        self.last_served.set(Instant::now());
    }
}

impl Drop for ServiceWatch {
    fn drop(&mut self) {
        self.watching.abort();
    }
}
