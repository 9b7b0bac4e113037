//! Detects a run that makes no progress, because a task never yields: no code on its own thread can
//! do that.
//!
//! One thread checks all runs of the process periodically. It has no effect on any run: it aborts
//! the process with a message if a run makes no progress for too long, and does nothing otherwise.

use crate::history::{Events, line, nanoseconds};
use crate::limits::Limits;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Maximum time between two checks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Events in the message.
const LAST_EVENTS: usize = 10;
/// No host is being polled.
const NO_HOST: u32 = u32::MAX;

/// A run as the watchdog reads it, from another thread.
pub trait Progress: Send + Sync {
    /// A number that changes as long as the run makes progress.
    fn beats(&self) -> u64;

    /// The real time without progress after which the process aborts.
    fn limit(&self) -> Duration;

    /// The message about a run that makes no progress.
    fn describe(&self) -> String;

    /// Called from time to time, with the real time since the last call.
    fn passes(&self, _real: Duration) {}
}

/// The state of a world that the watchdog reads.
#[derive(Debug)]
pub(crate) struct Pulse {
    seed: u64,
    options: Arc<str>,
    hosts: Vec<Arc<str>>,
    /// The real time that one poll may take.
    limit: Duration,
    name: Arc<str>,
    /// Nanoseconds of real time that the run may take.
    run_limit: u64,
    /// Nanoseconds of real time that the run has taken.
    taken: AtomicU64,
    /// Nanoseconds of simulated time.
    clock: Arc<AtomicU64>,
    events: Events,
    polled: AtomicU32,
    polls: AtomicU64,
}

impl Pulse {
    pub(crate) fn new(
        seed: u64,
        options: Arc<str>,
        hosts: Vec<Arc<str>>,
        limits: &Limits,
        clock: Arc<AtomicU64>,
        events: Events,
    ) -> Pulse {
        Pulse {
            seed,
            options,
            hosts,
            limit: limits.real_poll,
            name: limits.name.clone(),
            run_limit: nanoseconds(limits.real_run),
            taken: AtomicU64::new(0),
            clock,
            events,
            polled: AtomicU32::new(NO_HOST),
            polls: AtomicU64::new(0),
        }
    }

    /// Whether the run has taken more real time than it may.
    pub(crate) fn is_overdue(&self) -> bool {
        self.taken.load(Ordering::Relaxed) >= self.run_limit
    }

    pub(crate) fn poll_begins(&self, host: u16) {
        self.polls.store(self.polls.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        self.polled.store(u32::from(host), Ordering::Relaxed);
    }

    pub(crate) fn poll_ends(&self) {
        self.polled.store(NO_HOST, Ordering::Relaxed);
    }

    /// What is running. The runtime polls the tasks of `tokio::spawn` outside of all hosts.
    fn running(&self) -> String {
        match self.polled.load(Ordering::Relaxed) {
            NO_HOST => "a task of tokio::spawn or spawn_blocking".to_owned(),
            host => format!("{:?}", self.hosts.get(host as usize).map_or("director", |name| name)),
        }
    }
}

impl Progress for Pulse {
    fn beats(&self) -> u64 {
        self.polls.load(Ordering::Relaxed)
    }

    fn limit(&self) -> Duration {
        self.limit
    }

    fn passes(&self, real: Duration) {
        self.taken.fetch_add(nanoseconds(real), Ordering::Relaxed);
    }

    fn describe(&self) -> String {
        let at = Duration::from_nanos(self.clock.load(Ordering::Relaxed));
        let options = if self.options.is_empty() { "" } else { &format!(" with {}", self.options) };
        let of_run = if self.name.is_empty() { "" } else { &format!("{}: ", self.name) };
        let mut text = format!(
            "{of_run}{} has been running for {:?} without yielding, at {at:?} of simulated time: \
             it spins or blocks.\nseed {}{options}; the last events:\n",
            self.running(),
            self.limit,
            self.seed,
        );
        // The stuck host may hold this lock, though that is unlikely.
        if let Ok(events) = self.events.try_lock() {
            for event in events.iter().skip(events.len().saturating_sub(LAST_EVENTS)) {
                text.push_str(&line(&self.hosts, event));
                text.push('\n');
            }
        }
        text
    }
}

/// Registers a run with the watchdog until this is dropped.
#[must_use]
pub struct Watched(Arc<dyn Progress>);

impl Watched {
    /// Registers a run.
    pub fn begin(run: Arc<dyn Progress>) -> Watched {
        static STARTED: AtomicBool = AtomicBool::new(false);
        locked(&WATCHED).push(Seen { run: run.clone(), beats: 0, stuck_for: Duration::ZERO });
        if !STARTED.swap(true, Ordering::Relaxed) {
            start();
        }
        NOT_EMPTY.notify_one();
        Watched(run)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        locked(&WATCHED).retain(|seen| !Arc::ptr_eq(&seen.run, &self.0));
    }
}

struct Seen {
    run: Arc<dyn Progress>,
    beats: u64,
    stuck_for: Duration,
}

static WATCHED: Mutex<Vec<Seen>> = Mutex::new(Vec::new());
static NOT_EMPTY: Condvar = Condvar::new();

#[expect(clippy::disallowed_methods, reason = "the watchdog takes no part in a simulation")]
fn start() {
    let builder = std::thread::Builder::new().name("world watchdog".to_owned());
    // If no thread can be created there is no watchdog; runs are the same without it.
    let _no_thread = builder.spawn(watch);
}

#[expect(clippy::disallowed_methods, reason = "the watchdog measures real time, not simulated time")]
fn watch() {
    loop {
        let mut watched = locked(&WATCHED);
        while watched.is_empty() {
            watched = NOT_EMPTY.wait(watched).unwrap_or_else(PoisonError::into_inner);
        }
        let shortest = watched.iter().map(|seen| seen.run.limit() / 5).min().unwrap_or(LOOK_EVERY);
        drop(watched);
        let pause = shortest.clamp(Duration::from_millis(10), LOOK_EVERY);
        std::thread::sleep(pause);
        locked(&WATCHED).iter_mut().for_each(|seen| look(seen, pause));
    }
}

/// Adds up pauses instead of reading the clock, so that a suspended process does not count as
/// stuck.
fn look(seen: &mut Seen, pause: Duration) {
    seen.run.passes(pause);
    let beats = seen.run.beats();
    if beats != seen.beats {
        seen.beats = beats;
        seen.stuck_for = Duration::ZERO;
        return;
    }
    seen.stuck_for += pause;
    if seen.stuck_for >= seen.run.limit() {
        // Nothing can be done if standard error is closed.
        let _ = std::io::stderr().write_all(seen.run.describe().as_bytes());
        std::process::abort();
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
