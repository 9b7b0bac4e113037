//! Timers.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use crate::ahead::{self, Ahead};
use crate::virtual_runtime::{Virtual, current};

/// A timer that ends at a deadline.
pub struct Sleep {
    deadline: Instant,
    timer: Timer,
}

enum Timer {
    Tokio(Pin<Box<tokio::time::Sleep>>),
    Virtual {
        runtime: Rc<Virtual>,
        /// The deadline in milliseconds of the runtime.
        ends: u64,
        /// Where the runtime keeps it, once it was polled.
        place: Option<u32>,
    },
    Ahead(ahead::Timer),
}

/// The longest wait: a deadline further away is as good as none.
const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// A timer that ends after a duration.
#[must_use]
pub fn sleep(duration: Duration) -> Sleep {
    match current() {
        Some(runtime) => {
            let deadline = runtime.now().checked_add(duration).unwrap_or_else(|| runtime.now() + FAR);
            Sleep::of_virtual(runtime, deadline)
        }
        None => match ahead::current() {
            Some(clock) => {
                let deadline = clock.now().checked_add(duration).unwrap_or_else(|| clock.now() + FAR);
                Sleep::ahead(clock, deadline)
            }
            None => Sleep::of_tokio(tokio::time::sleep(duration)),
        },
    }
}

/// A timer that ends at that time.
#[must_use]
pub fn sleep_until(deadline: Instant) -> Sleep {
    match current() {
        Some(runtime) => Sleep::of_virtual(runtime, deadline),
        None => match ahead::current() {
            Some(clock) => Sleep::ahead(clock, deadline),
            None => Sleep::of_tokio(tokio::time::sleep_until(deadline)),
        },
    }
}

impl Sleep {
    fn of_virtual(runtime: Rc<Virtual>, deadline: Instant) -> Sleep {
        let ends = runtime.tick_of(deadline);
        Sleep { deadline, timer: Timer::Virtual { runtime, ends, place: None } }
    }

    fn of_tokio(sleep: tokio::time::Sleep) -> Sleep {
        Sleep { deadline: sleep.deadline(), timer: Timer::Tokio(Box::pin(sleep)) }
    }

    fn ahead(clock: Rc<Ahead>, deadline: Instant) -> Sleep {
        Sleep { deadline, timer: Timer::Ahead(ahead::Timer::new(clock, deadline)) }
    }

    /// The time at which it ends.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Moves the deadline. A timer that has ended can be used again.
    pub fn reset(&mut self, deadline: Instant) {
        self.deadline = deadline;
        match &mut self.timer {
            Timer::Tokio(sleep) => sleep.as_mut().reset(deadline),
            Timer::Virtual { runtime, ends, place } => {
                *ends = runtime.tick_of(deadline);
                if let Some(place) = place {
                    runtime.move_timer(*place, *ends);
                }
            }
            Timer::Ahead(timer) => timer.moved(),
        }
    }

    /// Ready at the deadline.
    pub fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.timer {
            Timer::Tokio(sleep) => sleep.as_mut().poll(context),
            Timer::Virtual { runtime, ends, place } => {
                if runtime.has_come(*ends) {
                    return Poll::Ready(());
                }
                *place = Some(runtime.set_timer(*place, *ends, context.waker()));
                Poll::Pending
            }
            Timer::Ahead(timer) => timer.poll(self.deadline, context),
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.poll_deadline(context)
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Timer::Virtual { runtime, place: Some(place), .. } = &self.timer {
            runtime.free_timer(*place);
        }
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}
