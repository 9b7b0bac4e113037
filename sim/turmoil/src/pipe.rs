//! The pipes between the director and the agents on hosts: the requests to an agent, and the
//! director's end of a connection.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::sync::{Notify, mpsc, oneshot};

/// A request of the director to the agent on a host.
pub(crate) enum AgentRequest {
    Connect {
        host: String,
        port: u16,
        reply: oneshot::Sender<io::Result<Piped>>,
    },
    Listen {
        port: u16,
        accepted: mpsc::UnboundedSender<(Piped, SocketAddr)>,
        reply: oneshot::Sender<io::Result<SocketAddr>>,
    },
}

/// A connection of a host, for the director. Dropping it closes it.
pub struct DirectorStream {
    pub(crate) pipe: DuplexStream,
    pub(crate) state: Rc<PipeState>,
}

/// The director's end of a connection, as the agent sends it to the director.
pub(crate) type Piped = DirectorStream;

/// The state that both ends of a pipe share.
#[derive(Debug, Default)]
pub(crate) struct PipeState {
    /// The connection was reset, or its host has crashed.
    pub(crate) is_reset: Cell<bool>,
    /// The director has dropped its end.
    pub(crate) is_closed: Cell<bool>,
    /// The director resets the connection.
    pub(crate) resets: Cell<bool>,
    /// Bytes that the director has not read.
    pub(crate) unread: Cell<usize>,
    pub(crate) changed: Notify,
}

impl AsyncRead for DirectorStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = out.filled().len();
        let polled = Pin::new(&mut self.pipe).poll_read(cx, out);
        let read = out.filled().len() - before;
        self.state.unread.set(self.state.unread.get().saturating_sub(read));
        let at_end = polled.is_ready() && read == 0 && out.remaining() > 0;
        if at_end && self.state.is_reset.get() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        polled
    }
}

impl AsyncWrite for DirectorStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.state.is_reset.get() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut self.pipe).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_shutdown(cx)
    }
}

impl Drop for DirectorStream {
    fn drop(&mut self) {
        self.state.is_closed.set(true);
        self.state.changed.notify_one();
    }
}

impl fmt::Debug for DirectorStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirectorStream").field("state", &self.state).finish_non_exhaustive()
    }
}
