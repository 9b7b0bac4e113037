//! A clock that shows tokio's time and can be put forward.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;

thread_local! {
    /// The clock of what this thread polls now.
    static CURRENT: RefCell<Option<Rc<Ahead>>> = const { RefCell::new(None) };
}

/// The clock of what this thread polls now.
pub(crate) fn current() -> Option<Rc<Ahead>> {
    CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
}

/// A clock that runs at the pace of tokio's and can be put forward, for code that also waits for
/// something outside of this process: a server whose clock is put forward at the same time.
#[derive(Default)]
pub struct Ahead {
    by: Cell<Duration>,
    /// The timers that are awaited, by their deadlines.
    timers: RefCell<BTreeMap<(Instant, u64), Waker>>,
    /// The number of timers so far.
    count: Cell<u64>,
}

impl Ahead {
    /// A clock that shows tokio's time.
    #[must_use]
    pub fn new() -> Rc<Ahead> {
        Rc::default()
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Instant {
        Instant::now() + self.by.get()
    }

    /// By how much it was put forward.
    #[must_use]
    pub fn by(&self) -> Duration {
        self.by.get()
    }

    /// Puts it forward.
    pub fn advance(&self, by: Duration) {
        self.by.set(self.by.get() + by);
        // All of them: those that have not ended yet end earlier in tokio's time now.
        let wakers = std::mem::take(&mut *self.timers.borrow_mut());
        wakers.into_values().for_each(Waker::wake);
    }

    /// When the next timer ends.
    #[must_use]
    pub fn next_timer(&self) -> Option<Instant> {
        // One that has ended stays until its owner polls it.
        let timers = self.timers.borrow();
        timers.range((self.now(), u64::MAX)..).next().map(|((deadline, _), _)| *deadline)
    }

    /// Runs a future for which, and for whose tasks, the functions of this crate use this clock.
    /// Its tasks must be polled by it: those of a `LocalSet` are by its `run_until`.
    pub async fn run<F: Future>(self: &Rc<Self>, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|context| {
            let before = CURRENT.with(|current| current.replace(Some(Rc::clone(self))));
            let _entered = Entered { before };
            future.as_mut().poll(context)
        })
        .await
    }
}

impl fmt::Debug for Ahead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ahead").field("by", &self.by.get()).finish_non_exhaustive()
    }
}

/// The thread polls with a clock, until this is dropped.
struct Entered {
    before: Option<Rc<Ahead>>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let clock = CURRENT.with(|current| current.replace(self.before.take()));
        drop(clock);
    }
}

/// A timer of such a clock.
pub(crate) struct Timer {
    clock: Rc<Ahead>,
    number: u64,
    /// The deadline under which the clock has it.
    listed: Option<Instant>,
    of_tokio: Pin<Box<tokio::time::Sleep>>,
}

impl Timer {
    pub(crate) fn new(clock: Rc<Ahead>, deadline: Instant) -> Timer {
        let number = clock.count.get();
        clock.count.set(number + 1);
        let of_tokio = Box::pin(tokio::time::sleep_until(deadline));
        Timer { clock, number, listed: None, of_tokio }
    }

    pub(crate) fn poll(&mut self, deadline: Instant, context: &mut Context<'_>) -> Poll<()> {
        self.unlist();
        if self.clock.now() >= deadline {
            return Poll::Ready(());
        }
        let (now, left) = (Instant::now(), deadline.saturating_duration_since(self.clock.now()));
        self.of_tokio.as_mut().reset(now + left);
        if self.of_tokio.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        self.clock.timers.borrow_mut().insert((deadline, self.number), context.waker().clone());
        self.listed = Some(deadline);
        Poll::Pending
    }

    /// The deadline was moved.
    pub(crate) fn moved(&mut self) {
        let waker = self.unlist();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn unlist(&mut self) -> Option<Waker> {
        let listed = self.listed.take()?;
        self.clock.timers.borrow_mut().remove(&(listed, self.number))
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        drop(self.unlist());
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::{LocalSet, spawn_local, yield_now};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn timers_of_tasks_follow_the_clock() {
        let (clock, began) = (Ahead::new(), Instant::now());
        let run = async {
            let start = crate::now();
            let sleeping = spawn_local(async move {
                crate::sleep(3600 * SECOND).await;
                crate::now() - start
            });
            yield_now().await;
            assert_eq!(clock.next_timer(), Some(start + 3600 * SECOND));
            clock.advance(3599 * SECOND);
            yield_now().await;
            assert!(!sleeping.is_finished());
            // The last second passes by itself.
            assert_eq!(sleeping.await.unwrap(), 3600 * SECOND);
        };
        clock.run(LocalSet::new().run_until(run)).await;
        assert_eq!(began.elapsed(), SECOND);
        assert_eq!((clock.by(), clock.next_timer()), (3599 * SECOND, None));
        assert_eq!(crate::now(), Instant::now(), "no other code sees this clock");
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_that_was_moved_ends_at_its_new_deadline() {
        let clock = Ahead::new();
        let run = async {
            let start = crate::now();
            let mut timer = crate::sleep(60 * SECOND);
            assert!(poll_fn(|context| Poll::Ready(timer.poll_deadline(context))).await.is_pending());
            timer.reset(start + 10 * SECOND);
            assert_eq!(clock.next_timer(), None, "it is listed when it is polled");
            clock.advance(10 * SECOND);
            timer.await;
            assert_eq!(crate::now(), start + 10 * SECOND);
        };
        clock.run(run).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_that_nothing_awaits_any_more_is_not_the_next() {
        let clock = Ahead::new();
        let run = async {
            let waiting = crate::timeout(5 * SECOND, std::future::ready(()));
            assert_eq!((waiting.await, clock.next_timer()), (Ok(()), None));
            let mut ended = crate::sleep(SECOND);
            assert!(poll_fn(|context| Poll::Ready(ended.poll_deadline(context))).await.is_pending());
            clock.advance(2 * SECOND);
            assert_eq!(clock.next_timer(), None);
        };
        clock.run(run).await;
    }
}
