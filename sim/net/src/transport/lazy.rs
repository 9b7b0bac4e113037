//! A stream whose handshake is performed by its first reads and writes.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream that begins with a handshake.
pub struct Lazy<S> {
    state: State<S>,
}

enum State<S> {
    Handshake(Pin<Box<dyn Future<Output = io::Result<S>>>>),
    Open(S),
    Failed,
}

impl<S> Lazy<S> {
    pub(super) fn open(stream: S) -> Lazy<S> {
        Lazy { state: State::Open(stream) }
    }

    pub(super) fn after(handshake: impl Future<Output = io::Result<S>> + 'static) -> Lazy<S> {
        Lazy { state: State::Handshake(Box::pin(handshake)) }
    }

    /// The stream, if the handshake is over.
    pub fn into_stream(self) -> Option<S> {
        match self.state {
            State::Open(stream) => Some(stream),
            State::Handshake(_) | State::Failed => None,
        }
    }

    fn poll_open(&mut self, context: &mut Context<'_>) -> Poll<io::Result<&mut S>> {
        if let State::Handshake(handshake) = &mut self.state {
            match ready!(handshake.as_mut().poll(context)) {
                Ok(stream) => self.state = State::Open(stream),
                Err(error) => {
                    self.state = State::Failed;
                    return Poll::Ready(Err(error));
                }
            }
        }
        match &mut self.state {
            State::Open(stream) => Poll::Ready(Ok(stream)),
            State::Handshake(_) | State::Failed => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl<S> fmt::Debug for Lazy<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.state {
            State::Handshake(_) => "Lazy(in its handshake)",
            State::Open(_) => "Lazy(open)",
            State::Failed => "Lazy(failed)",
        })
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Lazy<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = ready!(self.poll_open(context))?;
        Pin::new(stream).poll_read(context, out)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Lazy<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let stream = ready!(self.poll_open(context))?;
        Pin::new(stream).poll_write(context, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.state {
            State::Open(stream) => Pin::new(stream).poll_flush(context),
            // Nothing was written yet.
            State::Handshake(_) | State::Failed => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.state {
            State::Open(stream) => Pin::new(stream).poll_shutdown(context),
            State::Handshake(_) | State::Failed => {
                self.state = State::Failed;
                Poll::Ready(Ok(()))
            }
        }
    }
}
