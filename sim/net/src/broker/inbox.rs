//! The queue of inputs from the connections to the loop that owns the core, in order.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// A queue with many senders and one receiver, all on one thread.
#[derive(Debug)]
pub(super) struct Inbox<T> {
    state: Rc<RefCell<State<T>>>,
}

#[derive(Debug)]
struct State<T> {
    queue: VecDeque<T>,
    receiver: Option<Waker>,
}

impl<T> Clone for Inbox<T> {
    fn clone(&self) -> Inbox<T> {
        Inbox { state: Rc::clone(&self.state) }
    }
}

impl<T> Inbox<T> {
    pub(super) fn new() -> Inbox<T> {
        Inbox { state: Rc::new(RefCell::new(State { queue: VecDeque::new(), receiver: None })) }
    }

    pub(super) fn push(&self, item: T) {
        let mut state = self.state.borrow_mut();
        state.queue.push_back(item);
        if let Some(receiver) = state.receiver.take() {
            receiver.wake();
        }
    }

    pub(super) fn pop(&self) -> Option<T> {
        self.state.borrow_mut().queue.pop_front()
    }

    /// Resolves when there is something to pop.
    pub(super) async fn filled(&self) {
        poll_fn(|context| self.poll_filled(context)).await;
    }

    /// Ready when there is something to pop.
    pub(super) fn poll_filled(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.borrow_mut();
        if state.queue.is_empty() {
            keep(&mut state.receiver, context.waker());
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    }
}

/// Keeps a waker. The one that is kept already may be the same: it is not counted again then.
pub(super) fn keep(kept: &mut Option<Waker>, waker: &Waker) {
    match kept {
        Some(kept) => kept.clone_from(waker),
        None => *kept = Some(waker.clone()),
    }
}
