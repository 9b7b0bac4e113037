//! Detects a task that never yields, which no code on its own thread can do, and a run that takes
//! too long.
//!
//! One thread checks all worlds of the process periodically. It has no effect on any run: it aborts
//! the process with a message if one poll of a host takes too long. A run that takes too long is
//! marked, and fails the next time that its scheduler checks the limits.

use crate::history::{Events, line};
use crate::simulation::Limits;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Maximum time between two checks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Events in the message.
const LAST_EVENTS: usize = 10;
/// No host is being polled.
const NOBODY: u32 = u32::MAX;

/// The state of a world that the watchdog reads.
#[derive(Debug)]
pub(crate) struct Pulse {
    seed: u64,
    options: Arc<str>,
    hosts: Vec<Arc<str>>,
    /// The real time that one poll may take.
    limit: Duration,
    /// The real time that the run may take.
    run_limit: Duration,
    is_overdue: AtomicBool,
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
            run_limit: limits.real_run,
            is_overdue: AtomicBool::new(false),
            clock,
            events,
            polled: AtomicU32::new(NOBODY),
            polls: AtomicU64::new(0),
        }
    }

    /// Whether the run has taken more real time than it may.
    pub(crate) fn is_overdue(&self) -> bool {
        self.is_overdue.load(Ordering::Relaxed)
    }

    pub(crate) fn poll_begins(&self, host: u16) {
        self.polls.store(self.polls.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        self.polled.store(u32::from(host), Ordering::Relaxed);
    }

    pub(crate) fn poll_ends(&self) {
        self.polled.store(NOBODY, Ordering::Relaxed);
    }

    fn is_polled(&self) -> bool {
        self.polled.load(Ordering::Relaxed) != NOBODY
    }

    /// The message about a stuck run.
    fn describe(&self) -> String {
        let host = self.hosts.get(self.polled.load(Ordering::Relaxed) as usize);
        let at = Duration::from_nanos(self.clock.load(Ordering::Relaxed));
        let options = if self.options.is_empty() { "" } else { &format!(" with {}", self.options) };
        let mut text = format!(
            "{:?} has been running for {:?} without yielding, at {at:?} of simulated time: it spins or blocks.\n\
             seed {}{options}; the last events:\n",
            host.map_or("director", |name| name),
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

/// Registers a world with the watchdog until this is dropped.
#[derive(Debug)]
pub(crate) struct Watched(Arc<Pulse>);

impl Watched {
    pub(crate) fn begin(pulse: Arc<Pulse>) -> Watched {
        static STARTED: AtomicBool = AtomicBool::new(false);
        locked(&WATCHED).push(Seen {
            pulse: pulse.clone(),
            polls: 0,
            stuck_for: Duration::ZERO,
            running_for: Duration::ZERO,
        });
        if !STARTED.swap(true, Ordering::Relaxed) {
            start();
        }
        SOMEONE.notify_one();
        Watched(pulse)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        locked(&WATCHED).retain(|seen| !Arc::ptr_eq(&seen.pulse, &self.0));
    }
}

struct Seen {
    pulse: Arc<Pulse>,
    polls: u64,
    stuck_for: Duration,
    running_for: Duration,
}

static WATCHED: Mutex<Vec<Seen>> = Mutex::new(Vec::new());
static SOMEONE: Condvar = Condvar::new();

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
            watched = SOMEONE.wait(watched).unwrap_or_else(PoisonError::into_inner);
        }
        let shortest_limit = watched.iter().map(|seen| seen.pulse.limit.min(seen.pulse.run_limit)).min();
        let shortest = shortest_limit.map_or(LOOK_EVERY, |limit| limit / 5);
        drop(watched);
        let pause = shortest.clamp(Duration::from_millis(10), LOOK_EVERY);
        std::thread::sleep(pause);
        locked(&WATCHED).iter_mut().for_each(|seen| look(seen, pause));
    }
}

/// Adds up pauses instead of reading the clock, so that a suspended process does not count as
/// stuck.
fn look(seen: &mut Seen, pause: Duration) {
    seen.running_for += pause;
    if seen.running_for >= seen.pulse.run_limit {
        seen.pulse.is_overdue.store(true, Ordering::Relaxed);
    }
    let polls = seen.pulse.polls.load(Ordering::Relaxed);
    if !seen.pulse.is_polled() || polls != seen.polls {
        seen.polls = polls;
        seen.stuck_for = Duration::ZERO;
        return;
    }
    seen.stuck_for += pause;
    if seen.stuck_for >= seen.pulse.limit {
        let _nobody_reads = std::io::stderr().write_all(seen.pulse.describe().as_bytes());
        std::process::abort();
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
