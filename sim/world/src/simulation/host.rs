//! Hosts: a name, a main task that is created at each start, and the tasks that it spawns.

use super::{DIRECTOR, Simulation};
use crate::disk::Drive;
use mqttspec_runtime::{TaskSet, Virtual};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Wake, Waker};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::LocalSet;

pub(crate) type MainTask = Pin<Box<dyn Future<Output = Result<(), String>>>>;
pub(crate) type Factory = Box<dyn FnMut(Start) -> MainTask>;

/// One start of a host.
pub(crate) struct Start {
    pub(crate) simulation: Rc<Simulation>,
    pub(crate) host: u16,
    pub(crate) incarnation: u32,
    pub(crate) stop: Rc<Stop>,
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
    pub(crate) tasks: RefCell<Option<Tasks>>,
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

/// The tasks of a process, on the runtime of its world.
pub(crate) enum Tasks {
    Tokio(LocalSet),
    Virtual(TaskSet),
}

impl Tasks {
    pub(crate) fn new(runtime: Option<&Rc<Virtual>>, host: &Waker) -> Tasks {
        match runtime {
            Some(runtime) => Tasks::Virtual(TaskSet::new(runtime, host.clone())),
            None => Tasks::Tokio(new_local_set()),
        }
    }

    pub(crate) fn spawn(&self, main: impl Future<Output = ()> + 'static) {
        match self {
            Tasks::Tokio(tasks) => drop(tasks.spawn_local(main)),
            Tasks::Virtual(tasks) => tasks.spawn(main),
        }
    }

    /// Polls the tasks that were woken.
    pub(crate) fn poll(&mut self, waker: &Waker) {
        match self {
            Tasks::Tokio(tasks) => {
                let _ = Pin::new(tasks).poll(&mut Context::from_waker(waker));
            }
            Tasks::Virtual(tasks) => tasks.poll(),
        }
    }
}

#[cfg(tokio_unstable)]
fn new_local_set() -> LocalSet {
    let mut tasks = LocalSet::new();
    // Otherwise the panic of a task that is never joined would go unnoticed.
    tasks.unhandled_panic(tokio::runtime::UnhandledPanic::ShutdownRuntime);
    tasks
}

#[cfg(not(tokio_unstable))]
fn new_local_set() -> LocalSet {
    LocalSet::new()
}

impl Host {
    pub(crate) fn is_up(&self) -> bool {
        // The tasks are borrowed while they run.
        self.tasks.try_borrow().map_or(true, |tasks| tasks.is_some())
    }
}

/// The bit of the director among those of hosts.
const DIRECTOR_BIT: u16 = 63;

/// The hosts to poll at this instant.
#[derive(Debug)]
pub(crate) struct Ready {
    /// The director, and the hosts with the first numbers: a bit for each, without a lock.
    bits: AtomicU64,
    /// The hosts with greater numbers.
    others: Mutex<Vec<u16>>,
    /// Whether `others` is empty, to be read without the lock.
    no_others: AtomicBool,
    /// Wakes the scheduler; not needed while it processes the list anyway.
    scheduler: Mutex<Option<Waker>>,
    scheduler_looks: AtomicBool,
}

impl Default for Ready {
    fn default() -> Ready {
        Ready {
            bits: AtomicU64::new(0),
            others: Mutex::default(),
            no_others: AtomicBool::new(true),
            scheduler: Mutex::default(),
            scheduler_looks: AtomicBool::default(),
        }
    }
}

impl Ready {
    /// Moves all entries to the end of `to`, in no particular order.
    pub(crate) fn take(&self, to: &mut Vec<u16>) {
        let mut bits = self.bits.swap(0, Ordering::Acquire);
        while bits != 0 {
            let bit = u16::try_from(bits.trailing_zeros()).unwrap_or(DIRECTOR_BIT);
            to.push(if bit == DIRECTOR_BIT { DIRECTOR } else { bit });
            bits &= bits - 1;
        }
        if !self.no_others.load(Ordering::Acquire) {
            let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
            to.append(&mut others);
            self.no_others.store(true, Ordering::Release);
        }
    }

    fn add(&self, host: u16) {
        let bit = match host {
            DIRECTOR => DIRECTOR_BIT,
            0..DIRECTOR_BIT => host,
            _ => {
                let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
                others.push(host);
                self.no_others.store(false, Ordering::Release);
                return;
            }
        };
        self.bits.fetch_or(1 << bit, Ordering::Release);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bits.load(Ordering::Acquire) == 0 && self.no_others.load(Ordering::Acquire)
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
            self.ready.add(self.host);
            self.ready.wake_scheduler();
        }
    }
}
