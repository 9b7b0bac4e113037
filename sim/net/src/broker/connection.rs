//! The task of one Network Connection at the broker: it moves bytes and decides nothing.
//!
//! It reads only while the core keeps up with what it read and the peer keeps up with what it is
//! sent, so that a peer that floods, or asks and never reads the answers, waits in its own TCP
//! window and costs a bounded number of bytes.

use std::cell::{Cell, RefCell, RefMut};
use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use mqttspec_broker::ConnectionId;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::Sleep;

use super::Input;
use super::inbox::Inbox;
use crate::framed::{Ending, Inflow, poll_read};

/// Packets of one connection that may wait for the core.
const BACKLOG_PACKETS: usize = 64;

/// Bytes of packets of one connection that may wait for the core, the last of them apart.
const BACKLOG_BYTES: usize = 1 << 20;

/// An outflow that was larger than this and is sent is given back, so that an idle connection holds
/// no buffer.
const OUTFLOW_KEPT_BYTES: usize = 4 * 1024;

/// How long a peer gets to close its side after the broker closed. A socket that is dropped with
/// unread bytes sends a reset, which overtakes what the broker sent last: the Reason Code of its
/// CONNACK or DISCONNECT.
pub(super) const LINGER: Duration = Duration::from_secs(2);

/// What the loop and the task of a connection share.
#[derive(Debug)]
pub(super) struct Link {
    /// Given by the core when the loop comes to it.
    pub(super) id: Cell<Option<ConnectionId>>,
    outflow: RefCell<BytesMut>,
    end: Cell<End>,
    /// Packets read that the core has not seen, and their bytes.
    backlog: Cell<(usize, usize)>,
    /// Bytes in `outflow` above which the connection is not read.
    pub(super) outflow_high: usize,
    /// The largest packet to take once there was one, in bytes; `None` from then on.
    largest_packet: Cell<Option<u32>>,
    /// Whether the core was told that the peer does not keep up.
    pub(super) congested: Cell<bool>,
    task: RefCell<Option<Waker>>,
}

/// What the loop wants of a connection.
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
    pub(super) fn new(outflow_high: usize, largest_packet: u32) -> Rc<Link> {
        Rc::new(Link {
            id: Cell::new(None),
            outflow: RefCell::new(BytesMut::new()),
            end: Cell::new(End::Open),
            backlog: Cell::new((0, 0)),
            outflow_high,
            largest_packet: Cell::new(Some(largest_packet)),
            congested: Cell::new(false),
            task: RefCell::new(None),
        })
    }

    /// What is to be sent. Whoever appends to it calls [`wake`](Link::wake) then.
    pub(super) fn outflow(&self) -> RefMut<'_, BytesMut> {
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

    /// The core has seen one more packet, of so many bytes.
    pub(super) fn taken(&self, size: usize) {
        let was_full = self.is_full();
        let (packets, bytes) = self.backlog.get();
        self.backlog.set((packets.saturating_sub(1), bytes.saturating_sub(size)));
        if was_full && !self.is_full() {
            self.wake();
        }
    }

    fn is_full(&self) -> bool {
        let (packets, bytes) = self.backlog.get();
        packets >= BACKLOG_PACKETS || bytes >= BACKLOG_BYTES
    }

    /// Lets the task look at what has changed.
    pub(super) fn wake(&self) {
        if let Some(task) = self.task.borrow_mut().take() {
            task.wake();
        }
    }

    fn may_read(&self) -> bool {
        self.end.get() == End::Open && !self.is_full() && self.outflow.borrow().len() < self.outflow_high
    }
}

/// Runs a connection until it is at its end.
pub(super) async fn run<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    mut inflow: Inflow,
    link: Rc<Link>,
    inbox: &Inbox<Input>,
) {
    let mut last_chance: Option<Pin<Box<Sleep>>> = None;
    let ended = poll_fn(|context| {
        let transfer = poll_transfer(&mut stream, &mut inflow, &link, inbox, context);
        if transfer.is_ready() || link.end.get() != End::Close {
            return transfer;
        }
        // A peer that does not read must not hold what the broker has closed.
        let last_chance = last_chance.get_or_insert_with(|| Box::pin(tokio::time::sleep(LINGER)));
        last_chance.as_mut().poll(context).map(|()| None)
    })
    .await;
    match ended {
        Some(ending) => inbox.push(Input::Lost { link, ending }),
        None if link.end.get() == End::Close => linger(stream).await,
        None => {}
    }
}

/// Moves bytes both ways. Ready with the ending when the peer ended it, with `None` when the loop
/// did.
fn poll_transfer<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    inflow: &mut Inflow,
    link: &Rc<Link>,
    inbox: &Inbox<Input>,
    context: &mut Context<'_>,
) -> Poll<Option<Ending>> {
    *link.task.borrow_mut() = Some(context.waker().clone());
    if link.end.get() == End::Abandon {
        return Poll::Ready(None);
    }
    if let Poll::Ready(result) = poll_write_all(stream, link, inbox, context) {
        match result {
            Err(error) => return Poll::Ready(Some(Ending::of_error(&error))),
            Ok(()) if link.end.get() == End::Close => return Poll::Ready(None),
            Ok(()) => {}
        }
    }
    while link.may_read() {
        let before = inflow.left_over().len();
        if let Some(arrived) = inflow.next_arrived() {
            let size = before - inflow.left_over().len();
            // The first packet is CONNECT, or the core closes the connection.
            if let Some(largest) = link.largest_packet.take() {
                inflow.decoder_mut().set_maximum_packet_size(largest);
            }
            let (packets, bytes) = link.backlog.get();
            link.backlog.set((packets + 1, bytes + size));
            inbox.push(Input::Arrived { link: Rc::clone(link), arrived, size });
            continue;
        }
        match ready!(poll_read(stream, inflow, context)) {
            Ok(0) => {
                let left_over = inflow.bytes_mut().split().freeze();
                return Poll::Ready(Some(Ending::Closed { left_over }));
            }
            Ok(_) => {}
            Err(error) => return Poll::Ready(Some(Ending::of_error(&error))),
        }
    }
    Poll::Pending
}

/// Writes what is to be sent, as much as the stream takes.
fn poll_write_all<S: AsyncWrite + Unpin>(
    stream: &mut S,
    link: &Rc<Link>,
    inbox: &Inbox<Input>,
    context: &mut Context<'_>,
) -> Poll<std::io::Result<()>> {
    let mut outflow = link.outflow.borrow_mut();
    while !outflow.is_empty() {
        let written = ready!(Pin::new(&mut *stream).poll_write(context, &outflow))?;
        if written == 0 {
            return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into()));
        }
        outflow.advance(written);
    }
    if outflow.capacity() > OUTFLOW_KEPT_BYTES {
        *outflow = BytesMut::new();
    }
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
    let _ = tokio::time::timeout(LINGER, drained).await;
}
