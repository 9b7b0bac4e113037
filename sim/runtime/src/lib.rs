//! Tasks and timers for drivers, on one thread.
//!
//! A driver needs four things besides its streams: the time, timers, tasks beside its own, and a
//! way to let those run. The functions of this crate do each of them with tokio, or with the
//! [`Virtual`] runtime if the thread has entered one. The virtual runtime is for simulations of
//! hosts that use nothing else of tokio: it has no wheel of timers, no lock and no thread, and its
//! time passes when its owner says so.
//!
//! Both poll tasks in the same order, so a simulation on one has the history of the other:
//!
//! - a task that is woken is polled after all that were woken before;
//! - [`yield_now`] returns after everything else at this instant had a turn;
//! - a timer ends at the first whole millisecond that is not before its deadline. (The order of
//!   timers that end together may differ.)
//!
//! On real connections, an [`Ahead`] clock lets the time of a run be put forward together with that
//! of a server outside of this process.
#![forbid(unsafe_code)]

mod ahead;
mod sleep;
mod virtual_runtime;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

pub use tokio::time::Instant;

pub use ahead::Ahead;
pub use sleep::{Sleep, sleep, sleep_until};
pub use virtual_runtime::{Entered, TaskSet, Virtual};

/// The time.
#[must_use]
pub fn now() -> Instant {
    virtual_runtime::current_time().unwrap_or_else(|| match ahead::current() {
        Some(clock) => clock.now(),
        None => Instant::now(),
    })
}

/// A handle of a task. Dropping it does not end the task.
#[derive(Debug)]
pub struct Task(Spawned);

#[derive(Debug)]
enum Spawned {
    Tokio(tokio::task::AbortHandle),
    Virtual(virtual_runtime::Spawned),
}

impl Task {
    /// Ends the task: it is not polled again, and its future is dropped.
    pub fn abort(&self) {
        match &self.0 {
            Spawned::Tokio(task) => task.abort(),
            Spawned::Virtual(task) => task.abort(),
        }
    }
}

/// Runs a future as a task of the same host.
///
/// # Panics
/// Outside of a [`TaskSet`] or a `LocalSet` of tokio.
pub fn spawn_local(future: impl Future<Output = ()> + 'static) -> Task {
    Task(match virtual_runtime::current() {
        Some(runtime) => Spawned::Virtual(runtime.spawn(Box::pin(future))),
        None => Spawned::Tokio(tokio::task::spawn_local(future).abort_handle()),
    })
}

/// Lets all other tasks run.
pub async fn yield_now() {
    let Some(runtime) = virtual_runtime::current() else { return tokio::task::yield_now().await };
    let mut yielded = false;
    poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        runtime.defer(context.waker());
        Poll::Pending
    })
    .await;
}

/// The time of a [`timeout`] is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

/// Waits for a future, but not longer than this.
///
/// # Errors
/// [`Elapsed`]; the future is dropped then.
pub async fn timeout<F: Future>(duration: Duration, future: F) -> Result<F::Output, Elapsed> {
    let (mut future, mut sleep) = (pin!(future), sleep(duration));
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Ok(output)),
        Poll::Pending => sleep.poll_deadline(context).map(|()| Err(Elapsed)),
    })
    .await
}
