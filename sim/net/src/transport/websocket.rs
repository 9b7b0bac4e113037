//! MQTT over WebSocket: section 6 of both standards.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::{Sink as _, Stream as _};
use mqttspec_ports::{Listener, Net};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::client::ClientRequestBuilder;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode, Uri, header::SEC_WEBSOCKET_PROTOCOL};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{accept_hdr_async_with_config, client_async_with_config};

use super::Lazy;
use super::frames::{Frames, Side};

/// The subprotocol of MQTT: section 6 of both standards.
pub const SUBPROTOCOL: &str = "mqtt";

/// Bytes of one frame that is sent; packets need not be aligned with frames.
const FRAME_BYTES: usize = 64 * 1024;

/// A network on which everything is in WebSocket frames.
#[derive(Debug, Clone)]
pub struct WebSocketNet<N> {
    net: N,
    path: String,
}

impl<N: Net> WebSocketNet<N> {
    /// Dials this path, usually `/mqtt`, and accepts every path when it listens.
    pub fn new(net: N, path: &str) -> WebSocketNet<N> {
        WebSocketNet { net, path: with_slash(path) }
    }

    /// The network below, and the path.
    pub(super) fn parts(&self) -> (&N, &str) {
        (&self.net, &self.path)
    }
}

fn with_slash(path: &str) -> String {
    let slash = if path.starts_with('/') { "" } else { "/" };
    format!("{slash}{path}")
}

impl<N: Net> Net for WebSocketNet<N> {
    type Stream = Lazy<WebSocketStream<N::Stream>>;
    type Listener = WebSocketListener<N::Listener>;

    async fn connect(&self, host: &str, port: u16) -> io::Result<Self::Stream> {
        let host_of_uri = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let uri: Uri = format!("ws://{host_of_uri}:{port}{}", self.path)
            .parse()
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        // [MQTT-6.0.0-3] 3.1.1/[MQTT-6.0.0-3]
        let request = ClientRequestBuilder::new(uri).with_sub_protocol(SUBPROTOCOL);
        let stream = self.net.connect(host, port).await?;
        let (socket, _) =
            client_async_with_config(request, stream, Some(config())).await.map_err(io_error)?;
        Ok(Lazy::open(WebSocketStream { end: End::Client { socket, incoming: Bytes::new() } }))
    }

    async fn listen(&self, port: u16) -> io::Result<Self::Listener> {
        Ok(WebSocketListener { listener: self.net.listen(port).await? })
    }

    fn honours(&self, option: &str, value: &str) -> bool {
        option == "websocket_path" && with_slash(value) == self.path || self.net.honours(option, value)
    }

    fn reset(&self, stream: Self::Stream) {
        if let Some(stream) = stream.into_stream() {
            self.net.reset(match stream.end {
                End::Client { socket, .. } => socket.into_inner(),
                End::Server(frames) => frames.into_inner(),
            });
        }
    }
}

/// A port for WebSocket connections.
#[derive(Debug)]
pub struct WebSocketListener<L> {
    listener: L,
}

impl<L> WebSocketListener<L> {
    /// Accepts WebSocket connections at `listener`.
    pub fn new(listener: L) -> WebSocketListener<L> {
        WebSocketListener { listener }
    }
}

impl<L: Listener> Listener for WebSocketListener<L>
where
    L::Stream: AsyncRead + AsyncWrite + Unpin + 'static,
{
    type Stream = Lazy<WebSocketStream<L::Stream>>;

    async fn accept(&self) -> io::Result<(Self::Stream, SocketAddr)> {
        let (stream, peer) = self.listener.accept().await?;
        let handshake = async move {
            let socket = accept_hdr_async_with_config(stream, select_subprotocol, Some(config()));
            // The peer has sent nothing yet that belongs to a frame: it waits for the answer.
            let stream = socket.await.map_err(io_error)?.into_inner();
            Ok(WebSocketStream {
                end: End::Server(Frames::new(stream, Side::Server, BytesMut::new(), Rc::default())),
            })
        };
        Ok((Lazy::after(handshake), peer))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

// [MQTT-6.0.0-4] 3.1.1/[MQTT-6.0.0-4]
#[expect(clippy::result_large_err, reason = "the signature is tungstenite's")]
fn select_subprotocol(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    if offered(request).iter().any(|name| name == SUBPROTOCOL) {
        response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
        return Ok(response);
    }
    let mut refusal = ErrorResponse::new(Some("the subprotocol mqtt was not offered\n".to_owned()));
    *refusal.status_mut() = StatusCode::BAD_REQUEST;
    Err(refusal)
}

/// The subprotocols that a client offers.
pub(super) fn offered(request: &Request) -> Vec<String> {
    let offered = request.headers().get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    let names = offered.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    names.map(|name| name.trim().to_owned()).collect()
}

/// Small buffers, which are allocated for every connection at once.
fn config() -> WebSocketConfig {
    WebSocketConfig::default().read_buffer_size(8 * 1024).write_buffer_size(8 * 1024)
}

/// The payload of binary frames as a byte stream.
#[derive(Debug)]
pub struct WebSocketStream<S> {
    end: End<S>,
}

#[derive(Debug)]
enum End<S> {
    Client {
        socket: tokio_tungstenite::WebSocketStream<S>,
        /// The rest of a frame that was received.
        incoming: Bytes,
    },
    Server(Frames<S>),
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WebSocketStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (socket, incoming) = match &mut self.end {
            End::Client { socket, incoming } => (socket, incoming),
            End::Server(frames) => return frames.poll_read(context, out),
        };
        // [MQTT-6.0.0-2] 3.1.1/[MQTT-6.0.0-2] what a frame holds is a piece of the stream, wherever
        // packets begin.
        while incoming.is_empty() {
            match ready!(Pin::new(&mut *socket).poll_next(context)) {
                None => return Poll::Ready(Ok(())),
                Some(Ok(Message::Binary(bytes))) => *incoming = bytes,
                // [MQTT-6.0.0-1] 3.1.1/[MQTT-6.0.0-1]
                Some(Ok(Message::Text(_))) => {
                    let error = io::Error::new(io::ErrorKind::InvalidData, "a WebSocket frame of text");
                    return Poll::Ready(Err(error));
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_))) => {}
                Some(Err(Error::ConnectionClosed | Error::AlreadyClosed)) => return Poll::Ready(Ok(())),
                Some(Err(error)) => return Poll::Ready(Err(io_error(error))),
            }
        }
        let taken = incoming.len().min(out.remaining());
        out.put_slice(&incoming[..taken]);
        incoming.advance(taken);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WebSocketStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let socket = match &mut self.end {
            End::Client { socket, .. } => socket,
            End::Server(frames) => return frames.poll_write(context, data),
        };
        ready!(Pin::new(&mut *socket).poll_ready(context)).map_err(io_error)?;
        let taken = data.len().min(FRAME_BYTES);
        let frame = Message::Binary(Bytes::copy_from_slice(&data[..taken]));
        Pin::new(socket).start_send(frame).map_err(io_error)?;
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.end {
            End::Client { socket, .. } => Pin::new(socket).poll_flush(context).map_err(io_error),
            End::Server(frames) => frames.poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.end {
            End::Client { socket, .. } => Pin::new(socket).poll_close(context).map_err(io_error),
            End::Server(frames) => frames.poll_shutdown(context),
        }
    }
}

pub(super) fn io_error(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        Error::ConnectionClosed | Error::AlreadyClosed => io::ErrorKind::BrokenPipe.into(),
        // As with TCP alone, an end of the stream without a Close frame is an ordinary end.
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => io::ErrorKind::UnexpectedEof.into(),
        other => io::Error::new(io::ErrorKind::InvalidData, other),
    }
}
