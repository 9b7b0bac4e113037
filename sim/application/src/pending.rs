//! A command that was given and has not ended.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use crate::error::Error;

/// The end of a command. The command was given already: dropping this does not cancel it.
///
/// Await it, on any runtime, or call [`wait`](Pending::wait).
#[must_use = "an error of the command is lost"]
pub struct Pending<T> {
    state: State<T>,
}

enum State<T> {
    Failed(Option<Error>),
    Waiting(Box<dyn Ended<T>>),
}

/// Where the end of a command comes from.
trait Ended<T>: Send {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<T, Error>>;
    fn wait(self: Box<Self>) -> Result<T, Error>;
}

struct Mapped<E, F> {
    ended: oneshot::Receiver<Result<E, Error>>,
    map: Option<F>,
}

impl<E: Send, T, F: FnOnce(E) -> Result<T, Error> + Send> Ended<T> for Mapped<E, F> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<T, Error>> {
        Pin::new(&mut self.ended).poll(context).map(|ended| {
            let map = self.map.take().ok_or(Error::Stopped)?;
            ended.map_err(|_| Error::Stopped)?.and_then(map)
        })
    }

    fn wait(self: Box<Self>) -> Result<T, Error> {
        let ended = self.ended.blocking_recv().map_err(|_| Error::Stopped)??;
        self.map.map_or(Err(Error::Stopped), |map| map(ended))
    }
}

struct Then<T, F> {
    first: Box<dyn Ended<T>>,
    then: Option<F>,
}

impl<T, U, F: FnOnce(T) -> Result<U, Error> + Send> Ended<U> for Then<T, F> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<U, Error>> {
        self.first.poll(context).map(|ended| {
            let then = self.then.take().ok_or(Error::Stopped)?;
            ended.and_then(then)
        })
    }

    fn wait(self: Box<Self>) -> Result<U, Error> {
        let ended = self.first.wait()?;
        self.then.map_or(Err(Error::Stopped), |then| then(ended))
    }
}

impl<T> Pending<T> {
    pub(crate) fn failed(error: Error) -> Pending<T> {
        Pending { state: State::Failed(Some(error)) }
    }

    pub(crate) fn new<E: Send + 'static>(
        ended: oneshot::Receiver<Result<E, Error>>,
        map: impl FnOnce(E) -> Result<T, Error> + Send + 'static,
    ) -> Pending<T> {
        Pending { state: State::Waiting(Box::new(Mapped { ended, map: Some(map) })) }
    }

    /// What follows when the command has ended.
    pub(crate) fn and_then<U: 'static>(
        self,
        then: impl FnOnce(T) -> Result<U, Error> + Send + 'static,
    ) -> Pending<U>
    where
        T: 'static,
    {
        let state = match self.state {
            State::Failed(error) => State::Failed(error),
            State::Waiting(first) => State::Waiting(Box::new(Then { first, then: Some(then) })),
        };
        Pending { state }
    }

    /// Does not wait for the end of the command. Its error is not reported to its caller, but
    /// [`events`](crate::Client::events) has it.
    pub fn detach(self) {
        drop(self);
    }

    /// Blocks this thread until the command has ended.
    ///
    /// # Errors
    /// If the command failed.
    ///
    /// # Panics
    /// Within an asynchronous runtime: await it there.
    pub fn wait(self) -> Result<T, Error> {
        match self.state {
            State::Failed(error) => Err(error.unwrap_or(Error::Stopped)),
            State::Waiting(ended) => ended.wait(),
        }
    }
}

impl<T> Future for Pending<T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.state {
            State::Failed(error) => Poll::Ready(Err(error.take().unwrap_or(Error::Stopped))),
            State::Waiting(ended) => ended.poll(context),
        }
    }
}

impl<T> fmt::Debug for Pending<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.state {
            State::Failed(_) => "Pending(failed)",
            State::Waiting(_) => "Pending",
        })
    }
}
