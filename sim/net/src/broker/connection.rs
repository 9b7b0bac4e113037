//! The task of one Network Connection at the broker: it moves bytes and decides nothing.
//!
//! Back-pressure: the task stops reading while too many packets wait for the core, or too many
//! bytes wait to be sent to the peer. So a peer that sends too fast, or does not read, is blocked
//! by TCP flow control, and its buffers are bounded.
//!
//! Fairness: the task moves a limited number of bytes before the tasks of other connections run
//! (`share.rs`).

use std::cell::{Cell, RefCell, RefMut};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::BytesMut;
use mqttspec_broker::ConnectionId;
use mqttspec_codec::{Connect, Packet};
use mqttspec_runtime::{Instant, Sleep};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::Input;
use super::inbox::{Inbox, keep};
use super::outflow::{Charge, Memory, Outflow};
use super::passwords::Checking;
use super::share::{Share, Shares};
use crate::framed::{Arrived, Ending, Inflow, poll_read};

/// Packets of one connection that may wait for the core.
const BACKLOG_PACKETS: usize = 64;

/// Bytes of packets of one connection that may wait for the core, without the last packet.
const BACKLOG_BYTES: usize = 1 << 20;

/// The lowest rate at which a packet may arrive after `packet_timeout`.
const SLOWEST_BYTES_PER_SECOND: u64 = 16 * 1024;

/// How long a peer gets to close its side after the broker closed. A socket that is dropped with
/// unread bytes sends a reset, which overtakes what the broker sent last: the Reason Code of its
/// CONNACK or DISCONNECT.
pub(super) const LINGER: Duration = Duration::from_secs(2);

/// What the loop and the task of a connection share.
#[derive(Debug)]
pub(super) struct Link {
    /// Set when the loop has passed the new connection to the core.
    pub(super) id: Cell<Option<ConnectionId>>,
    outflow: RefCell<Outflow>,
    /// Bytes of packets that are not complete, or that the core has not seen.
    held: Charge,
    /// Bytes of the packet that is not complete.
    unfinished: Cell<usize>,
    /// The bytes that it may move before others run.
    share: Share,
    /// No CONNECT was accepted yet.
    is_stranger: Cell<bool>,
    end: Cell<End>,
    /// Packets read that the core has not seen, and their bytes.
    backlog: Cell<(usize, usize)>,
    /// Bytes in `outflow` above which the connection is not read.
    pub(super) outflow_high: usize,
    /// The largest packet to accept after the first one, in bytes. `None` once it is set in the
    /// decoder.
    largest_packet: Cell<Option<u32>>,
    /// Whether the core was notified that the peer does not read fast enough.
    pub(super) congested: Cell<bool>,
    task: RefCell<Option<Waker>>,
}

/// The state of a connection that the loop has requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Go on.
    Open,
    /// Close after what is to be sent.
    Close,
    /// Drop it.
    Abandon,
}

impl Link {
    pub(super) fn new(
        outflow_high: usize,
        largest_packet: u32,
        memory: &Memory,
        shares: &Shares,
    ) -> Rc<Link> {
        Rc::new(Link {
            held: memory.charge(0),
            share: shares.share(),
            unfinished: Cell::new(0),
            is_stranger: Cell::new(true),
            id: Cell::new(None),
            outflow: RefCell::new(Outflow::new(memory)),
            end: Cell::new(End::Open),
            backlog: Cell::new((0, 0)),
            outflow_high,
            largest_packet: Cell::new(Some(largest_packet)),
            congested: Cell::new(false),
            task: RefCell::new(None),
        })
    }

    /// The bytes to send. A caller that appends to them must call [`wake`](Link::wake) afterwards.
    pub(super) fn outflow(&self) -> RefMut<'_, Outflow> {
        self.outflow.borrow_mut()
    }

    /// Closes the connection when all is sent.
    pub(super) fn close(&self) {
        self.end.set(End::Close);
        self.wake();
    }

    /// Ends the connection without sending what is left.
    pub(super) fn abandon(&self) {
        self.end.set(End::Abandon);
        self.wake();
    }

    /// The core has received one more packet, of this size in bytes.
    pub(super) fn taken(&self, size: usize) {
        let was_full = self.is_full();
        let (packets, bytes) = self.backlog.get();
        self.backlog.set((packets.saturating_sub(1), bytes.saturating_sub(size)));
        self.held.sub(size);
        if was_full && !self.is_full() {
            self.wake();
        }
    }

    /// Updates the number of held bytes after bytes were read or discarded. A packet that becomes
    /// complete moves from `unfinished` to `backlog`, and the sum stays the same.
    fn count(&self, unfinished: usize) {
        let (_, bytes) = self.backlog.get();
        self.unfinished.set(unfinished);
        self.held.set(bytes + unfinished);
    }

    /// Discards the received part of a packet, because nothing more is read.
    fn forget(&self, inflow: &mut Inflow) {
        *inflow.bytes_mut() = BytesMut::new();
        self.count(0);
    }

    /// Bytes that are held for this peer.
    pub(super) fn held_bytes(&self) -> usize {
        self.held.bytes() + self.outflow.borrow().len()
    }

    /// Bytes of the packet that is not complete.
    pub(super) fn unfinished_bytes(&self) -> usize {
        self.unfinished.get()
    }

    pub(super) fn is_stranger(&self) -> bool {
        self.is_stranger.get()
    }

    /// Its CONNECT was accepted. Returns whether none was accepted before.
    pub(super) fn no_stranger(&self) -> bool {
        self.is_stranger.replace(false)
    }

    fn is_full(&self) -> bool {
        let (packets, bytes) = self.backlog.get();
        packets >= BACKLOG_PACKETS || bytes >= BACKLOG_BYTES
    }

    /// Wakes the task after a change.
    pub(super) fn wake(&self) {
        if let Some(task) = self.task.borrow_mut().take() {
            task.wake();
        }
    }

    fn may_read(&self) -> bool {
        self.end.get() == End::Open && !self.is_full() && self.outflow.borrow().len() < self.outflow_high
    }
}

/// What the task of a connection needs besides its stream.
pub(super) struct Task<'a> {
    pub(super) inflow: Inflow,
    pub(super) link: Rc<Link>,
    pub(super) inbox: &'a Inbox<Input>,
    /// How long a packet may take; 0 for no limit.
    pub(super) packet_timeout: Duration,
    /// Begins the check of the password of a CONNECT, if it has one to be checked here.
    pub(super) check: &'a dyn Fn(&Connect) -> Option<Checking>,
}

/// Runs a connection until it has ended.
pub(super) async fn run<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, task: Task<'_>) {
    let Task { mut inflow, link, inbox, packet_timeout, check } = task;
    let mut last_chance: Option<Sleep> = None;
    let mut patience = Patience { limit: packet_timeout, since: None, timer: None };
    let mut checking: Option<(Checking, Arrived, usize)> = None;
    let ended = poll_fn(|context| {
        if let Some((check, ..)) = &mut checking
            && let Poll::Ready(checked) = check.as_mut().poll(context)
            && let Some((_, arrived, size)) = checking.take()
        {
            let checked = Some(Box::new(checked));
            inbox.push(Input::Arrived { link: Rc::clone(&link), arrived, size, checked });
        }
        let bytes = link.share.bytes();
        let (to_write, to_read) = (bytes, bytes);
        let mut io =
            Transfer { stream: &mut stream, inflow: &mut inflow, link: &link, inbox, to_write, to_read };
        let transfer = io.poll(check, &mut checking, &mut patience, context);
        let has_more = io.to_write == 0 || io.to_read == 0;
        link.share.set_busy(has_more);
        if transfer.is_ready() {
            return transfer;
        }
        if has_more {
            context.waker().wake_by_ref();
        }
        if link.end.get() != End::Close {
            if patience.is_over(link.unfinished.get(), context) {
                let detail = "a packet took too long to arrive";
                inbox.push(Input::Exceeded { link: Rc::clone(&link), detail });
            }
            return transfer;
        }
        link.forget(&mut inflow);
        // A peer that does not read must not hold what the broker has closed.
        let last_chance = last_chance.get_or_insert_with(|| mqttspec_runtime::sleep(LINGER));
        last_chance.poll_deadline(context).map(|()| None)
    })
    .await;
    link.forget(&mut inflow);
    match ended {
        Some(ending) => inbox.push(Input::Lost { link, ending }),
        None if link.end.get() == End::Close => linger(stream).await,
        None => {}
    }
}

/// The time that a packet takes to arrive.
struct Patience {
    limit: Duration,
    /// When its first bytes were there.
    since: Option<Instant>,
    timer: Option<Sleep>,
}

impl Patience {
    /// Whether a packet that has arrived in part takes too long. The timer is set once and
    /// not with each packet: when it fires, it may be another packet.
    fn is_over(&mut self, unfinished: usize, context: &mut Context<'_>) -> bool {
        if unfinished == 0 || self.limit.is_zero() {
            self.since = None;
            return false;
        }
        let since = *self.since.get_or_insert_with(mqttspec_runtime::now);
        let more = Duration::from_secs(unfinished as u64 / SLOWEST_BYTES_PER_SECOND);
        let deadline = since + self.limit + more;
        let timer = self.timer.get_or_insert_with(|| mqttspec_runtime::sleep_until(deadline));
        while timer.poll_deadline(context).is_ready() {
            if mqttspec_runtime::now() >= deadline {
                self.since = None;
                return true;
            }
            timer.reset(deadline);
        }
        false
    }
}

/// One turn of a connection.
struct Transfer<'a, S> {
    stream: &'a mut S,
    inflow: &'a mut Inflow,
    link: &'a Rc<Link>,
    inbox: &'a Inbox<Input>,
    /// Bytes that may still be written and read in this turn.
    to_write: usize,
    to_read: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Transfer<'_, S> {
    /// Moves bytes both ways. Ready with the ending when the peer ended it, with `None` when the
    /// loop did.
    fn poll(
        &mut self,
        check: &dyn Fn(&Connect) -> Option<Checking>,
        checking: &mut Option<(Checking, Arrived, usize)>,
        patience: &mut Patience,
        context: &mut Context<'_>,
    ) -> Poll<Option<Ending>> {
        let Transfer { stream, inflow, link, inbox, to_write, to_read } = self;
        keep(&mut link.task.borrow_mut(), context.waker());
        if link.end.get() == End::Abandon {
            return Poll::Ready(None);
        }
        if let Poll::Ready(result) = poll_write_all(*stream, link, inbox, to_write, context) {
            match result {
                Err(error) => return Poll::Ready(Some(Ending::of_error(&error))),
                Ok(()) if link.end.get() == End::Close => return Poll::Ready(None),
                Ok(()) => {}
            }
        }
        while checking.is_none() && link.may_read() {
            let before = inflow.left_over().len();
            if let Some(arrived) = inflow.next_arrived() {
                let size = before - inflow.left_over().len();
                patience.since = None;
                let (packets, bytes) = link.backlog.get();
                link.backlog.set((packets + 1, bytes + size));
                // The first packet is CONNECT, or the core closes the connection.
                if let Some(largest) = link.largest_packet.take() {
                    inflow.decoder_mut().set_maximum_packet_size(largest);
                    if let Arrived::Packet { packet: Packet::Connect(connect), .. } = &arrived
                        && let Some(mut begun) = check(connect)
                    {
                        match begun.as_mut().poll(context) {
                            Poll::Pending => *checking = Some((begun, arrived, size)),
                            Poll::Ready(checked) => {
                                let checked = Some(Box::new(checked));
                                inbox.push(Input::Arrived { link: Rc::clone(link), arrived, size, checked });
                            }
                        }
                        continue;
                    }
                }
                inbox.push(Input::Arrived { link: Rc::clone(link), arrived, size, checked: None });
                continue;
            }
            if *to_read == 0 {
                return Poll::Pending;
            }
            let read = poll_read(*stream, inflow, *to_read, context);
            link.count(inflow.left_over().len());
            if link.held.is_too_much() {
                inbox.push(Input::Done);
            }
            match ready!(read) {
                Ok(0) => {
                    let left_over = inflow.bytes_mut().split().freeze();
                    return Poll::Ready(Some(Ending::Closed { left_over }));
                }
                Ok(read) => *to_read -= read,
                Err(error) => return Poll::Ready(Some(Ending::of_error(&error))),
            }
        }
        link.unfinished.set(inflow.left_over().len());
        // The peer is blocked, so it cannot be late.
        patience.since = None;
        Poll::Pending
    }
}

/// Writes what is to be sent, as much as the stream takes and the share allows.
fn poll_write_all<S: AsyncWrite + Unpin>(
    stream: &mut S,
    link: &Rc<Link>,
    inbox: &Inbox<Input>,
    share: &mut usize,
    context: &mut Context<'_>,
) -> Poll<std::io::Result<()>> {
    let mut outflow = link.outflow.borrow_mut();
    while !outflow.is_empty() {
        if *share == 0 {
            return Poll::Pending;
        }
        let next = outflow.next();
        let next = next.get(..*share).unwrap_or(next);
        let written = ready!(Pin::new(&mut *stream).poll_write(context, next))?;
        if written == 0 {
            return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into()));
        }
        outflow.advance(written);
        *share -= written;
    }
    outflow.shrink();
    if link.congested.get() {
        inbox.push(Input::Drained { link: Rc::clone(link) });
    }
    Pin::new(stream).poll_flush(context)
}

/// Closes the sending half and throws away what the peer still sends, until it closes too.
async fn linger<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    let drained = async {
        stream.shutdown().await?;
        let mut thrown_away = [0; 1024];
        while stream.read(&mut thrown_away).await? > 0 {}
        std::io::Result::Ok(())
    };
    // Whether the peer closed, failed or took too long: it is over.
    let _ = mqttspec_runtime::timeout(LINGER, drained).await;
}
