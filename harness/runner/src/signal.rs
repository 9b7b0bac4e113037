//! A signal from the events of a run to the one task that waits for them. It is on one thread, so
//! that a signal for which no task waits costs next to nothing.

use core::cell::{Cell, RefCell};
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

/// Wakes one waiting task, or lets the next one that waits go on at once.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    /// Given while no task was waiting.
    is_given: Cell<bool>,
    waiting: RefCell<Option<Waker>>,
}

impl Signal {
    pub(crate) fn give(&self) {
        match self.waiting.take() {
            Some(task) => task.wake(),
            None => self.is_given.set(true),
        }
    }

    /// Resolves when the signal was given since the last call. One task may wait at a time.
    pub(crate) fn given(&self) -> Given<'_> {
        Given { signal: self, waits: false }
    }
}

/// Waits for a [`Signal`].
#[derive(Debug)]
pub(crate) struct Given<'s> {
    signal: &'s Signal,
    waits: bool,
}

impl Given<'_> {
    /// Whether it was woken.
    fn was_woken(&self) -> bool {
        self.waits && self.signal.waiting.borrow().is_none()
    }
}

impl Future for Given<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.was_woken() || (!self.waits && self.signal.is_given.take()) {
            self.waits = false;
            return Poll::Ready(());
        }
        self.waits = true;
        *self.signal.waiting.borrow_mut() = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Given<'_> {
    fn drop(&mut self) {
        if self.was_woken() {
            // The task has not seen the signal yet.
            self.signal.give();
        } else if self.waits {
            self.signal.waiting.take();
        }
    }
}

#[cfg(test)]
mod tests {
    use core::pin::pin;

    use super::*;

    #[test]
    fn a_signal_is_seen_once_whether_or_not_a_task_waits() {
        let signal = Signal::default();
        let poll = |given: Pin<&mut Given<'_>>| given.poll(&mut Context::from_waker(Waker::noop()));
        signal.give();
        signal.give();
        assert_eq!(poll(pin!(signal.given())), Poll::Ready(()));
        let mut waiting = pin!(signal.given());
        assert_eq!(poll(waiting.as_mut()), Poll::Pending);
        signal.give();
        assert_eq!(poll(waiting), Poll::Ready(()));
        assert_eq!(poll(pin!(signal.given())), Poll::Pending);
    }

    #[test]
    fn a_signal_is_not_lost_with_the_wait_that_was_woken() {
        let signal = Signal::default();
        let poll = |given: Pin<&mut Given<'_>>| given.poll(&mut Context::from_waker(Waker::noop()));
        {
            let mut waiting = pin!(signal.given());
            assert_eq!(poll(waiting.as_mut()), Poll::Pending);
            signal.give();
        }
        assert_eq!(poll(pin!(signal.given())), Poll::Ready(()));
        {
            let mut waiting = pin!(signal.given());
            assert_eq!(poll(waiting.as_mut()), Poll::Pending);
        }
        assert_eq!(poll(pin!(signal.given())), Poll::Pending);
    }
}
