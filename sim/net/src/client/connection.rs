//! The client's end of a Network Connection: a framed stream with an outflow.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use mqttspec_codec::Version;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::framed::{Ending, Framed, Received};

/// How long the driver waits until the Server has read the last bytes and closed its side. A socket
/// that is dropped with unread bytes sends a reset, which may overtake the last bytes.
const LINGER: Duration = Duration::from_secs(2);

pub(super) struct Connection<S> {
    framed: Framed<S>,
    outflow: BytesMut,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(super) fn new(stream: S, version: Version, maximum_packet_size: Option<u32>) -> Connection<S> {
        let mut framed = Framed::dialled(stream, version);
        if let Some(maximum) = maximum_packet_size {
            framed.inflow_mut().decoder_mut().set_maximum_packet_size(maximum);
        }
        Connection { framed, outflow: BytesMut::new() }
    }

    /// The bytes to send.
    pub(super) fn outflow(&mut self) -> &mut BytesMut {
        &mut self.outflow
    }

    pub(super) fn unsent(&self) -> usize {
        self.outflow.len()
    }

    /// Writes what it can and gives what the peer sends next.
    pub(super) fn poll_transfer(&mut self, context: &mut Context<'_>) -> Poll<Received> {
        if let Poll::Ready(Err(error)) = self.poll_write(context) {
            return Poll::Ready(Received::Ended(Ending::of_error(&error)));
        }
        self.framed.poll_receive(context)
    }

    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        while !self.outflow.is_empty() {
            let written = ready!(Pin::new(self.framed.stream_mut()).poll_write(context, &self.outflow))?;
            if written == 0 {
                return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into()));
            }
            self.outflow.advance(written);
        }
        Pin::new(self.framed.stream_mut()).poll_flush(context)
    }

    /// Sends what is left and closes.
    pub(super) async fn close(mut self) {
        let closing = async {
            poll_fn(|context| self.poll_write(context)).await?;
            let stream = self.framed.stream_mut();
            stream.shutdown().await?;
            let mut thrown_away = [0; 1024];
            while stream.read(&mut thrown_away).await? > 0 {}
            std::io::Result::Ok(())
        };
        // Whether the Server closed, failed or took too long: it is over.
        let _ = mqttspec_runtime::timeout(LINGER, closing).await;
    }
}
