//! What a live peer may send. The standards give no limit, and a harness that keeps everything that
//! it receives needs one: a broken peer may send for ever. The history of a simulated run has a
//! limit too: a scenario may repeat large packets.
//!
//! Every byte counts, and every event of a history counts as [`EVENT`] bytes, because a packet of
//! two bytes takes much more memory than that. The runs of a session share a budget. A run that
//! takes more is stopped: it is an error of the run, and blames no clause.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use mqttspec_judge::results::CaseResult;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

/// The largest packet that the harness takes from a live peer. It is refused by its fixed header,
/// before memory is taken for it. It is not announced: a scenario sends the CONNECT that it says.
pub(crate) const MAXIMUM_PACKET_SIZE: u32 = 8 << 20;

/// How much an event of a history counts.
pub(crate) const EVENT: usize = 512;

/// What a simulated run may record: its events, and the bytes of their packets.
pub(crate) const SIMULATED_RUN: usize = 512 << 20;

/// What one run may take.
const RUN: usize = 32 << 20;

/// What the runs of a session may take at a time.
const SESSION: usize = 96 << 20;

/// What a run may take if the others have taken everything.
const SHARE: usize = 1 << 20;

/// Why a run was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Excess {
    /// One run took everything that it may take.
    #[error("the peer sent more than the harness takes in one run ({} MiB)", RUN >> 20)]
    Run,
    /// A simulated run recorded everything that it may record.
    #[error("the history of the run is larger than {} MiB", SIMULATED_RUN >> 20)]
    History,
    /// All runs together did.
    #[error("the peer sent more than the harness takes in all runs of a moment ({} MiB)", SESSION >> 20)]
    Session,
    /// A packet is too large.
    #[error("the peer sent a packet that is larger than the harness takes ({} MiB)", MAXIMUM_PACKET_SIZE >> 20)]
    Packet,
}

/// How much text the traces of a live session may have, in bytes. After that, each has only
/// [`SHORT_TRACE`].
const TRACES: usize = 64 << 20;
const SHORT_TRACE: usize = 16 << 10;

/// The text of the traces that a session keeps.
#[derive(Debug, Default)]
pub(crate) struct KeptTraces(usize);

impl KeptTraces {
    /// Keeps the trace of a case, or its end.
    pub(crate) fn keep(&mut self, case: &mut CaseResult) {
        let Some(run) = &mut case.shown else { return };
        if self.0 + run.trace.size() > TRACES {
            run.trace.keep_last(SHORT_TRACE);
        }
        self.0 += run.trace.size();
    }
}

/// What all runs of a session have taken and not given back.
pub(crate) type Budget = Rc<Cell<usize>>;

/// What one run has taken.
#[derive(Debug)]
pub(crate) struct Intake {
    budget: Budget,
    taken: Cell<usize>,
    excess: RefCell<Option<Excess>>,
    noted: Notify,
}

impl Intake {
    pub(crate) fn new(budget: &Budget) -> Self {
        Self { budget: budget.clone(), taken: Cell::new(0), excess: RefCell::new(None), noted: Notify::new() }
    }

    /// Counts what arrived.
    pub(crate) fn take(&self, bytes: usize) {
        self.taken.set(self.taken.get() + bytes);
        self.budget.set(self.budget.get() + bytes);
        if self.taken.get() > RUN {
            self.stop(Excess::Run);
        } else if self.budget.get() > SESSION && self.taken.get() > SHARE {
            self.stop(Excess::Session);
        }
    }

    /// Stops the run.
    pub(crate) fn stop(&self, excess: Excess) {
        self.excess.borrow_mut().get_or_insert(excess);
        self.noted.notify_one();
    }

    pub(crate) fn excess(&self) -> Option<Excess> {
        *self.excess.borrow()
    }

    /// Waits until the run must stop.
    pub(crate) async fn exceeded(&self) -> Excess {
        loop {
            if let Some(excess) = self.excess() {
                return excess;
            }
            self.noted.notified().await;
        }
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        self.budget.set(self.budget.get().saturating_sub(self.taken.get()));
    }
}

/// A stream whose incoming bytes count. After an excess nothing more is read.
#[derive(Debug)]
pub(crate) struct Counted<S> {
    pub(crate) stream: S,
    intake: Rc<Intake>,
}

impl<S> Counted<S> {
    pub(crate) fn new(stream: S, intake: Rc<Intake>) -> Self {
        Self { stream, intake }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.intake.excess().is_some() {
            // The run ends. It must not look as if the peer had closed the connection.
            return Poll::Pending;
        }
        let before = out.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, out))?;
        self.intake.take(out.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_ends_gives_back_what_it_took() {
        let budget = Budget::default();
        let one = Intake::new(&budget);
        one.take(RUN);
        assert_eq!(one.excess(), None);
        one.take(1);
        assert_eq!(one.excess(), Some(Excess::Run));
        drop(one);
        assert_eq!(budget.get(), 0);
    }

    #[test]
    fn a_run_that_took_little_goes_on_when_others_took_everything() {
        let budget = Budget::default();
        let others: Vec<Intake> = (0..SESSION / RUN).map(|_| Intake::new(&budget)).collect();
        others.iter().for_each(|other| other.take(RUN));
        let small = Intake::new(&budget);
        small.take(SHARE);
        assert_eq!(small.excess(), None);
        small.take(1);
        assert_eq!(small.excess(), Some(Excess::Session));
    }
}
