//! The tasks of one host of a virtual runtime.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use super::{Virtual, with_set};

/// The number of tasks that are polled before the set itself must be polled again, as in tokio.
const TASKS_PER_POLL: usize = 61;

pub(super) type Boxed = Pin<Box<dyn Future<Output = ()>>>;

/// The tasks of one host. Dropping it drops them, the oldest first.
pub struct TaskSet {
    shared: Rc<Shared>,
}

/// What the set shares with the wakers of its tasks, which find it by its number.
pub(super) struct Shared {
    runtime: Rc<Virtual>,
    number: u32,
    tasks: RefCell<Tasks>,
    /// The places of the tasks to poll, in the order in which they were woken.
    queue: RefCell<VecDeque<u32>>,
    /// Whether its tasks are being polled.
    is_polled: Cell<bool>,
    /// Wakes the host.
    host: Waker,
}

#[derive(Default)]
struct Tasks {
    places: Vec<Option<Entry>>,
    free: Vec<u32>,
    spawned: u64,
}

struct Entry {
    /// `None` while it is polled, and once it was aborted.
    running: Option<Running>,
    state: Arc<TaskWaker>,
    /// Its place among all tasks in the order in which they were spawned.
    order: u64,
}

/// A future with its waker. They are moved together for a poll, which counts no references.
struct Running {
    future: Boxed,
    waker: Waker,
    state: Arc<TaskWaker>,
}

/// Whether a task waits, is in the queue, or is polled.
const IDLE: u8 = 0;
const QUEUED: u8 = 1;
const POLLED: u8 = 2;
/// It was woken while it was polled.
const POLLED_AND_WOKEN: u8 = 3;
const DONE: u8 = 4;

struct TaskWaker {
    /// The run of the virtual runtime.
    run: u64,
    set: u32,
    place: u32,
    state: AtomicU8,
}

impl TaskWaker {
    fn state(&self) -> u8 {
        self.state.load(Ordering::Relaxed)
    }

    fn set_state(&self, state: u8) {
        self.state.store(state, Ordering::Relaxed);
    }
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        match self.state() {
            IDLE => with_set(self.run, self.set, |set| {
                self.set_state(QUEUED);
                set.queue(self.place);
            }),
            POLLED => self.set_state(POLLED_AND_WOKEN),
            _ => {}
        }
    }
}

/// Ends a spawned task.
pub(super) struct Handle(Arc<TaskWaker>);

impl Handle {
    pub(super) fn abort(&self) {
        let task = &self.0;
        let mut aborted = None;
        if task.state() != DONE {
            with_set(task.run, task.set, |set| aborted = set.abort(task));
        }
        drop(aborted);
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({})", self.0.place)
    }
}

impl TaskSet {
    /// An empty set. `host` is woken when a task of the set is to be polled.
    #[must_use]
    pub fn new(runtime: &Rc<Virtual>, host: Waker) -> TaskSet {
        let shared = runtime.add_set(|number| Shared {
            runtime: Rc::clone(runtime),
            number,
            tasks: RefCell::default(),
            queue: RefCell::default(),
            is_polled: Cell::new(false),
            host,
        });
        TaskSet { shared }
    }

    /// Adds a task.
    pub fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        self.shared.spawn(Box::pin(future));
    }

    /// Polls the tasks that were woken. A panic of a task is a panic of this.
    pub fn poll(&self) {
        let _polling = Polling::begin(&self.shared);
        self.shared.tick();
    }

    /// Polls a future in which tasks can be spawned, and then the tasks that were woken.
    pub fn poll_with<F: Future>(&self, future: Pin<&mut F>, context: &mut Context<'_>) -> Poll<F::Output> {
        let _polling = Polling::begin(&self.shared);
        let polled = future.poll(context);
        if polled.is_pending() {
            self.shared.tick();
        }
        polled
    }
}

impl Drop for TaskSet {
    fn drop(&mut self) {
        let shared = &self.shared;
        let mut entries: Vec<Entry> = shared.tasks.borrow_mut().places.drain(..).flatten().collect();
        entries.sort_unstable_by_key(|entry| entry.order);
        shared.runtime.remove_set(shared.number);
        for entry in entries {
            entry.state.set_state(DONE);
            drop(entry);
        }
    }
}

impl fmt::Debug for TaskSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskSet({})", self.shared.number)
    }
}

impl Shared {
    fn queue(&self, place: u32) {
        self.queue.borrow_mut().push_back(place);
        if !self.is_polled.get() {
            self.host.wake_by_ref();
        }
    }

    pub(super) fn spawn(&self, future: Boxed) -> Handle {
        let mut tasks = self.tasks.borrow_mut();
        let place = tasks.free.pop().unwrap_or_else(|| {
            tasks.places.push(None);
            u32::try_from(tasks.places.len() - 1).unwrap_or(u32::MAX)
        });
        let state = AtomicU8::new(QUEUED);
        let state = Arc::new(TaskWaker { run: self.runtime.run(), set: self.number, place, state });
        tasks.spawned += 1;
        let (waker, order) = (Waker::from(Arc::clone(&state)), tasks.spawned);
        let running = Some(Running { future, waker, state: Arc::clone(&state) });
        let entry = Entry { running, state: Arc::clone(&state), order };
        tasks.places[place as usize] = Some(entry);
        drop(tasks);
        self.queue(place);
        Handle(state)
    }

    fn tick(&self) {
        for _ in 0..TASKS_PER_POLL {
            let Some(place) = self.queue.borrow_mut().pop_front() else { return };
            self.poll_task(place);
        }
        self.host.wake_by_ref();
    }

    fn poll_task(&self, place: u32) {
        let mut tasks = self.tasks.borrow_mut();
        let Some(entry) = &mut tasks.places[place as usize] else { return };
        // It may have been aborted since it was woken.
        let Some(mut running) = entry.running.take() else { return };
        drop(tasks);
        running.state.set_state(POLLED);
        let polled = running.future.as_mut().poll(&mut Context::from_waker(&running.waker));
        if polled.is_ready() {
            running.state.set_state(DONE);
            drop(running);
            let mut tasks = self.tasks.borrow_mut();
            tasks.places[place as usize] = None;
            tasks.free.push(place);
            return;
        }
        let state_after = running.state.state();
        if state_after == DONE {
            // It was aborted while it was polled.
            return;
        }
        if state_after == POLLED_AND_WOKEN {
            running.state.set_state(QUEUED);
            self.queue.borrow_mut().push_back(place);
        } else {
            running.state.set_state(IDLE);
        }
        if let Some(entry) = &mut self.tasks.borrow_mut().places[place as usize] {
            entry.running = Some(running);
        }
    }

    /// Takes the future of a task, which is never polled again. Its place is not used again,
    /// because the queue may have it.
    fn abort(&self, task: &TaskWaker) -> Option<Running> {
        task.set_state(DONE);
        self.tasks.borrow_mut().places.get_mut(task.place as usize)?.as_mut()?.running.take()
    }
}

/// Marks a set as being polled, and as the one in which tasks are spawned.
struct Polling<'s> {
    set: &'s Shared,
    before: Option<u32>,
}

impl<'s> Polling<'s> {
    fn begin(set: &'s Shared) -> Polling<'s> {
        set.is_polled.set(true);
        Polling { set, before: set.runtime.set_current(Some(set.number)) }
    }
}

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        self.set.is_polled.set(false);
        self.set.runtime.set_current(self.before);
    }
}
