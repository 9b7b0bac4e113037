//! Hosts: a name, a main task that is created at each start, the tasks that it spawns, and the
//! context that it receives.

use crate::disk::{Drive, WorldDisk};
use crate::history::EventKind;
use crate::seed::Seed;
use crate::simulation::Simulation;
use crate::stream::WorldNet;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::LocalSet;

pub(crate) type MainTask = Pin<Box<dyn Future<Output = Result<(), String>>>>;
pub(crate) type Factory = Box<dyn FnMut(HostContext) -> MainTask>;

/// The types that a host's main task may return.
pub trait HostResult {
    /// Converts an error to its message.
    fn into_result(self) -> Result<(), String>;
}

impl HostResult for () {
    fn into_result(self) -> Result<(), String> {
        Ok(())
    }
}

impl<E: fmt::Display> HostResult for Result<(), E> {
    fn into_result(self) -> Result<(), String> {
        self.map_err(|error| error.to_string())
    }
}

/// The context that a host receives at each start: its network, disk, seed, clock and name.
#[derive(Clone)]
pub struct HostContext {
    pub(crate) simulation: Rc<Simulation>,
    pub(crate) host: u16,
    pub(crate) incarnation: u32,
    pub(crate) stop: Rc<Stop>,
}

impl HostContext {
    /// The host's name.
    pub fn name(&self) -> &str {
        &self.simulation.hosts[usize::from(self.host)].name
    }

    /// How often this host has been started, including this start: 1 at the first.
    pub fn incarnation(&self) -> u32 {
        self.incarnation
    }

    /// The host's network.
    pub fn net(&self) -> WorldNet {
        WorldNet::new(&self.simulation, self.host, self.incarnation)
    }

    /// The host's disk. Synced data survives a crash of the host.
    pub fn disk(&self) -> WorldDisk {
        self.simulation.hosts[usize::from(self.host)].drive.disk()
    }

    /// The seed of this host at this start. It differs between hosts and starts, and is the same in
    /// each repetition of the run.
    pub fn seed(&self) -> Seed {
        self.simulation.seed.child("hosts").child(self.name()).nth(u64::from(self.incarnation))
    }

    /// Simulated time since the start of the run.
    pub fn now(&self) -> Duration {
        self.simulation.now()
    }

    /// Records a note in the history of the run.
    pub fn note(&self, text: impl Into<Arc<str>>) {
        self.simulation.record(Some(self.host), EventKind::Note { text: text.into() });
    }

    /// Returns once this host was asked to shut down. A main task that ignores it keeps running.
    pub async fn shutdown_requested(&self) {
        while !self.stop.requested.get() {
            self.stop.changed.notified().await;
        }
    }
}

impl fmt::Debug for HostContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostContext({} #{})", self.name(), self.incarnation)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Stop {
    pub(crate) requested: Cell<bool>,
    pub(crate) changed: Notify,
}

/// A host, running or not.
pub(crate) struct Host {
    pub(crate) name: Arc<str>,
    pub(crate) factory: RefCell<Factory>,
    /// The tasks of the process; `None` while it does not run.
    pub(crate) tasks: RefCell<Option<LocalSet>>,
    pub(crate) drive: Arc<Drive>,
    /// The main task's return value, until the scheduler processes it.
    pub(crate) ended: Rc<RefCell<Option<Result<(), String>>>>,
    pub(crate) stop: RefCell<Rc<Stop>>,
    /// Notified when the process ends, in whatever way.
    pub(crate) went_down: Arc<Notify>,
    pub(crate) incarnation: Cell<u32>,
    pub(crate) waker: Waker,
    pub(crate) woken: Arc<HostWaker>,
    /// The current instant, and the number of polls at it.
    pub(crate) polls_now: Cell<(Duration, u64)>,
    pub(crate) polls: Cell<u64>,
}

impl Host {
    pub(crate) fn is_up(&self) -> bool {
        // The tasks are borrowed while they run.
        self.tasks.try_borrow().map_or(true, |tasks| tasks.is_some())
    }
}

/// The hosts to poll at this instant.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    waiting: Mutex<Vec<u16>>,
    /// Wakes the scheduler; not needed while it processes the list anyway.
    scheduler: Mutex<Option<Waker>>,
    scheduler_looks: AtomicBool,
}

impl Ready {
    /// Moves all entries to the end of `to`.
    pub(crate) fn take(&self, to: &mut Vec<u16>) {
        to.append(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    pub(crate) fn scheduler_looks(&self, looks: bool) {
        self.scheduler_looks.store(looks, Ordering::Relaxed);
    }

    pub(crate) fn set_scheduler(&self, waker: &Waker) {
        let mut scheduler = self.scheduler.lock().unwrap_or_else(PoisonError::into_inner);
        if !scheduler.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *scheduler = Some(waker.clone());
        }
    }

    pub(crate) fn wake_scheduler(&self) {
        if !self.scheduler_looks.load(Ordering::Relaxed)
            && let Some(scheduler) = &*self.scheduler.lock().unwrap_or_else(PoisonError::into_inner)
        {
            scheduler.wake_by_ref();
        }
    }
}

/// Adds one host to the list of hosts to poll.
#[derive(Debug)]
pub(crate) struct HostWaker {
    host: u16,
    ready: Arc<Ready>,
    listed: AtomicBool,
}

impl HostWaker {
    pub(crate) fn new(host: u16, ready: Arc<Ready>) -> HostWaker {
        HostWaker { host, ready, listed: AtomicBool::new(false) }
    }

    /// Lets the next wake-up add the host to the list again.
    pub(crate) fn unlist(&self) {
        self.listed.store(false, Ordering::Relaxed);
    }
}

impl Wake for HostWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.listed.swap(true, Ordering::Relaxed) {
            self.ready.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(self.host);
            self.ready.wake_scheduler();
        }
    }
}
