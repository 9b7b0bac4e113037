//! A peer's end of a WebSocket, with the faults of a mutant (§6).

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use mqttspec_codec::Role;
use mqttspec_net::framed::{Arrived, Inflow};
use mqttspec_net::transport::{FrameForm, SUBPROTOCOL, TestEnd, answer, mqtt_if_offered, offer};
use mqttspec_ports::{Listener, Net};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::mutant::{Mutant, WebSocketFault};

/// A subprotocol that is not that of the standard. Servers used it before MQTT 3.1.1.
const OTHER: &str = "mqttv3.1";

/// The path of the WebSocket.
const PATH: &str = "/mqtt";

/// Bytes that are read at once, and taken for a frame.
const FRAME: usize = 64 * 1024;

/// A network on which a peer speaks MQTT over WebSocket, with the faults of a mutant.
#[derive(Clone)]
pub struct MutantWebSocketNet<N> {
    net: N,
    fault: Option<WebSocketFault>,
}

impl<N: Net> MutantWebSocketNet<N> {
    /// Puts a WebSocket on every connection of a network.
    #[must_use]
    pub fn new(net: N, mutant: &'static Mutant) -> Self {
        Self { net, fault: mutant.websocket_fault }
    }
}

impl<N: Net> Net for MutantWebSocketNet<N> {
    type Stream = MutantWebSocketStream<N::Stream>;
    type Listener = MutantWebSocketListener<N::Listener>;

    async fn connect(&self, host: &str, port: u16) -> io::Result<Self::Stream> {
        let stream = self.net.connect(host, port).await?;
        let name = if self.fault == Some(WebSocketFault::OtherSubprotocol) { OTHER } else { SUBPROTOCOL };
        let (end, _) = offer(stream, host, PATH, &[name.to_owned()]).await?;
        Ok(MutantWebSocketStream::new(end, Role::Client, self.fault))
    }

    async fn listen(&self, port: u16) -> io::Result<Self::Listener> {
        Ok(MutantWebSocketListener { listener: self.net.listen(port).await?, fault: self.fault })
    }

    /// A reset of the peer becomes a close: mutants do not model it.
    fn reset(&self, stream: Self::Stream) {
        drop(stream);
    }
}

pub struct MutantWebSocketListener<L> {
    listener: L,
    fault: Option<WebSocketFault>,
}

impl<L: Listener<Stream: AsyncRead + AsyncWrite + Unpin + 'static>> Listener for MutantWebSocketListener<L> {
    type Stream = MutantWebSocketStream<L::Stream>;

    /// The next connection accepted must wait for the handshake of this one.
    async fn accept(&self) -> io::Result<(Self::Stream, SocketAddr)> {
        let select = if self.fault == Some(WebSocketFault::OtherSubprotocol) {
            |_: &[String]| Some(OTHER)
        } else {
            mqtt_if_offered
        };
        loop {
            let (stream, address) = self.listener.accept().await?;
            if let Ok((end, _)) = answer(stream, select).await {
                return Ok((MutantWebSocketStream::new(end, Role::Server, self.fault), address));
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

pub struct MutantWebSocketStream<S> {
    end: TestEnd<S>,
    fault: Option<WebSocketFault>,
    role: Role,
    /// The rest of a packet of which a part was read.
    rest: Bytes,
}

impl<S> MutantWebSocketStream<S> {
    fn new(end: TestEnd<S>, role: Role, fault: Option<WebSocketFault>) -> Self {
        let end = match fault {
            Some(WebSocketFault::AcceptsText) => end.accepting_text(),
            _ => end,
        };
        if fault == Some(WebSocketFault::SendsText) {
            end.form().set(FrameForm::Text);
        }
        Self { end, fault, role, rest: Bytes::new() }
    }

    /// The first packet in the bytes of a frame, if the frame has all of it.
    fn first_packet(&self, frame: &[u8]) -> Option<Bytes> {
        let mut inflow = match self.role {
            Role::Server => Inflow::from_client(),
            Role::Client => Inflow::from_server(mqttspec_codec::Version::V5),
        };
        inflow.bytes_mut().extend_from_slice(frame);
        match inflow.next_arrived()? {
            Arrived::Packet { bytes, .. } | Arrived::Malformed { bytes, .. } => Some(bytes),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for MutantWebSocketStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.fault != Some(WebSocketFault::TakesAFrameForAPacket) {
            return Pin::new(&mut this.end).poll_read(context, out);
        }
        while this.rest.is_empty() {
            let mut scratch = BytesMut::zeroed(FRAME);
            let mut frame = ReadBuf::new(&mut scratch);
            ready!(Pin::new(&mut this.end).poll_read(context, &mut frame))?;
            if frame.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.rest = this.first_packet(frame.filled()).unwrap_or_default();
        }
        let length = this.rest.len().min(out.remaining());
        out.put_slice(&this.rest.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for MutantWebSocketStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.end).poll_write(context, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.end).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.end).poll_shutdown(context)
    }
}
