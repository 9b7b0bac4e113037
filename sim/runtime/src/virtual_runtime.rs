//! The virtual runtime: the time, the timers and the task sets of one simulation.

mod set;

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

pub use set::TaskSet;
use set::{Boxed, Handle, Shared};

thread_local! {
    /// The runtime that this thread has entered.
    static CURRENT: RefCell<Option<Rc<Virtual>>> = const { RefCell::new(None) };
}

/// Numbers the runtimes, so that a waker of one cannot wake a task of another.
static RUNS: AtomicU64 = AtomicU64::new(0);

/// The runtime that this thread has entered.
pub(crate) fn current() -> Option<Rc<Virtual>> {
    CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
}

/// The time of the runtime that this thread has entered.
pub(crate) fn current_time() -> Option<Instant> {
    CURRENT.try_with(|current| Some(current.borrow().as_ref()?.now())).ok().flatten()
}

/// Calls a function with a task set, if the thread has entered its runtime and it still exists.
fn with_set(run: u64, set: u32, call: impl FnOnce(&Shared)) {
    // A waker may be used while the thread ends.
    let _ = CURRENT.try_with(|current| {
        if let Some(runtime) = current.borrow().as_ref().filter(|runtime| runtime.run == run)
            && let Some(Some(set)) = runtime.sets.borrow().get(set as usize)
        {
            call(set);
        }
    });
}

/// A spawned task.
#[derive(Debug)]
pub(crate) struct Spawned(Handle);

impl Spawned {
    pub(crate) fn abort(&self) {
        self.0.abort();
    }
}

/// A runtime whose time passes when its owner says so.
pub struct Virtual {
    run: u64,
    began: Instant,
    /// Milliseconds since the start.
    now: Cell<u64>,
    /// The same time.
    instant: Cell<Instant>,
    timers: RefCell<Timers>,
    /// Tasks that have yielded.
    deferred: RefCell<Vec<Waker>>,
    /// By number. Numbers are not used again.
    sets: RefCell<Vec<Option<Rc<Shared>>>>,
    /// The set whose tasks are being polled.
    current_set: Cell<Option<u32>>,
}

/// The thread has entered a runtime, until this is dropped.
#[must_use]
#[derive(Debug)]
pub struct Entered {
    before: Option<Rc<Virtual>>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let entered = CURRENT.with(|current| current.replace(self.before.take()));
        drop(entered);
    }
}

#[derive(Default)]
struct Timers {
    places: Vec<Timer>,
    free: Vec<u32>,
    /// The milliseconds at which timers are looked at. A timer whose deadline was moved to a later
    /// time keeps its entry, and gets another one when that is due.
    heap: BinaryHeap<Reverse<(u64, u64, u32)>>,
    entries: u64,
}

struct Timer {
    /// The millisecond at which it ends; `None` if it is not set.
    ends: Option<u64>,
    /// The millisecond of its valid entry in the heap.
    listed: Option<u64>,
    waker: Waker,
}

impl Timers {
    fn list(&mut self, place: u32, at: u64) {
        self.entries += 1;
        self.places[place as usize].listed = Some(at);
        self.heap.push(Reverse((at, self.entries, place)));
    }

    /// The millisecond of the next timer.
    fn next(&mut self) -> Option<u64> {
        loop {
            let &Reverse((at, _, place)) = self.heap.peek()?;
            let timer = &mut self.places[place as usize];
            if timer.listed == Some(at) {
                if timer.ends == Some(at) {
                    return Some(at);
                }
                timer.listed = None;
            }
            let ends = timer.ends.filter(|_| timer.listed.is_none());
            self.heap.pop();
            if let Some(ends) = ends {
                self.list(place, ends);
            }
        }
    }

    fn set(&mut self, place: Option<u32>, ends: u64, waker: &Waker) -> u32 {
        let place = match place.or_else(|| self.free.pop()) {
            Some(place) => place,
            None => {
                self.places.push(Timer { ends: None, listed: None, waker: waker.clone() });
                u32::try_from(self.places.len() - 1).unwrap_or(u32::MAX)
            }
        };
        let timer = &mut self.places[place as usize];
        timer.ends = Some(ends);
        timer.waker.clone_from(waker);
        if timer.listed.is_none_or(|listed| listed > ends) {
            self.list(place, ends);
        }
        place
    }
}

impl Virtual {
    /// A runtime at time zero.
    #[must_use]
    pub fn new() -> Rc<Virtual> {
        // Only the difference to other instants of this runtime is ever looked at.
        let began = Instant::now();
        Rc::new(Virtual {
            run: RUNS.fetch_add(1, Ordering::Relaxed),
            began,
            now: Cell::new(0),
            instant: Cell::new(began),
            timers: RefCell::default(),
            deferred: RefCell::default(),
            sets: RefCell::default(),
            current_set: Cell::new(None),
        })
    }

    /// Lets the functions of this crate use this runtime on this thread.
    pub fn enter(self: &Rc<Self>) -> Entered {
        Entered { before: CURRENT.with(|current| current.replace(Some(Rc::clone(self)))) }
    }

    /// Runs a future in which tasks can be spawned. Its tasks are polled after it.
    pub async fn run_until<F: Future>(self: &Rc<Self>, future: F) -> F::Output {
        let (mut future, mut tasks) = (pin!(future), None);
        poll_fn(|context| {
            let tasks = tasks.get_or_insert_with(|| TaskSet::new(self, context.waker().clone()));
            tasks.poll_with(future.as_mut(), context)
        })
        .await
    }

    /// Time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        Duration::from_millis(self.now.get())
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.instant.get()
    }

    /// The time at which the next timer ends.
    #[must_use]
    pub fn next_timer(&self) -> Option<Duration> {
        self.timers.borrow_mut().next().map(Duration::from_millis)
    }

    /// Sets the time to the first whole millisecond that is not before `time`, and wakes the tasks
    /// whose timers have ended.
    pub fn advance_to(&self, time: Duration) {
        self.now.set(self.now.get().max(whole_milliseconds(time)));
        self.instant.set(self.began + self.elapsed());
        loop {
            let mut timers = self.timers.borrow_mut();
            let Some(at) = timers.next().filter(|at| *at <= self.now.get()) else { return };
            let Some(Reverse((_, _, place))) = timers.heap.pop() else { return };
            let timer = &mut timers.places[place as usize];
            (timer.ends, timer.listed) = (None, None);
            let waker = timer.waker.clone();
            drop(timers);
            debug_assert!(at <= self.now.get(), "the timer has ended");
            waker.wake();
        }
    }

    /// Wakes the tasks that have yielded. Returns whether there were any.
    pub fn wake_yielded(&self) -> bool {
        let mut any = false;
        loop {
            let waker = self.deferred.borrow_mut().pop();
            let Some(waker) = waker else { return any };
            any = true;
            waker.wake();
        }
    }

    pub(crate) fn run(&self) -> u64 {
        self.run
    }

    pub(crate) fn defer(&self, waker: &Waker) {
        let mut deferred = self.deferred.borrow_mut();
        if deferred.last().is_none_or(|last| !last.will_wake(waker)) {
            deferred.push(waker.clone());
        }
    }

    pub(crate) fn spawn(&self, future: Boxed) -> Spawned {
        let set = self.current_set.get().and_then(|set| self.sets.borrow().get(set as usize)?.clone());
        Spawned(set.expect("a task is spawned by another task").spawn(future))
    }

    fn add_set(&self, set: impl FnOnce(u32) -> Shared) -> Rc<Shared> {
        let mut sets = self.sets.borrow_mut();
        let set = Rc::new(set(u32::try_from(sets.len()).unwrap_or(u32::MAX)));
        sets.push(Some(Rc::clone(&set)));
        set
    }

    fn remove_set(&self, number: u32) {
        let removed = self.sets.borrow_mut().get_mut(number as usize).and_then(Option::take);
        drop(removed);
    }

    /// Sets the set in which tasks are spawned. Returns the one before.
    fn set_current(&self, set: Option<u32>) -> Option<u32> {
        self.current_set.replace(set)
    }

    /// Whether that millisecond has come.
    pub(crate) fn has_come(&self, millisecond: u64) -> bool {
        millisecond <= self.now.get()
    }

    /// Sets a timer to a millisecond. Returns its place.
    pub(crate) fn set_timer(&self, place: Option<u32>, ends: u64, waker: &Waker) -> u32 {
        self.timers.borrow_mut().set(place, ends, waker)
    }

    /// Moves a timer that is set to another millisecond.
    pub(crate) fn move_timer(&self, place: u32, ends: u64) {
        let mut timers = self.timers.borrow_mut();
        let timer = &mut timers.places[place as usize];
        if timer.ends.is_none() {
            return;
        }
        if ends <= self.now.get() {
            timer.ends = None;
            let waker = timer.waker.clone();
            drop(timers);
            waker.wake();
            return;
        }
        timer.ends = Some(ends);
        if timer.listed.is_none_or(|listed| listed > ends) {
            timers.list(place, ends);
        }
    }

    pub(crate) fn free_timer(&self, place: u32) {
        let mut timers = self.timers.borrow_mut();
        timers.places[place as usize].ends = None;
        timers.free.push(place);
    }

    /// The first whole millisecond that is not before that time.
    pub(crate) fn tick_of(&self, deadline: Instant) -> u64 {
        whole_milliseconds(deadline.saturating_duration_since(self.began))
    }
}

impl fmt::Debug for Virtual {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Virtual").field("elapsed", &self.elapsed()).finish_non_exhaustive()
    }
}

/// Milliseconds, rounded up.
fn whole_milliseconds(duration: Duration) -> u64 {
    duration
        .as_secs()
        .saturating_mul(1_000)
        .saturating_add(u64::from(duration.subsec_nanos().div_ceil(1_000_000)))
}
