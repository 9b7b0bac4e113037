//! An end of a WebSocket for tests of the peer at the other end. It chooses the frames that it sends
//! and the subprotocols of the handshake, and reports frames of text.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderValue, header::SEC_WEBSOCKET_PROTOCOL};

use super::frames::{FrameForm, Frames, Side};
use super::websocket::{SUBPROTOCOL, io_error, offered};

/// The bytes of the largest answer to a handshake, and the number of its headers.
const ANSWER_BYTES: usize = 16 * 1024;
const ANSWER_HEADERS: usize = 64;

/// The key of the handshake and the mask of each frame. A test sends the same bytes in each run, so
/// they are not random.
const KEY: &str = "bXF0dHNwZWMtcHJvYmUtMQ==";
const MASK: [u8; 4] = [0x4d, 0x51, 0x54, 0x54];

/// One end of an open WebSocket.
///
/// A read fails with [`TextFrame`](super::TextFrame) when a frame of text arrives, and goes on with
/// the frames after it.
#[derive(Debug)]
pub struct TestEnd<S> {
    frames: Frames<S>,
    form: Rc<Cell<FrameForm>>,
}

impl<S> TestEnd<S> {
    fn new(stream: S, side: Side, input: BytesMut) -> TestEnd<S> {
        let form = Rc::new(Cell::new(FrameForm::Binary));
        TestEnd { frames: Frames::new(stream, side, input, form.clone()), form }
    }

    /// Reads frames of text as if they were binary, as a faulty peer does.
    #[must_use]
    pub fn accepting_text(mut self) -> TestEnd<S> {
        self.frames.accept_text();
        self
    }

    /// The form of the writes from now on. Changing the cell changes it.
    #[must_use]
    pub fn form(&self) -> Rc<Cell<FrameForm>> {
        self.form.clone()
    }
}

/// The subprotocol of MQTT, if a client offers it.
#[must_use]
pub fn mqtt_if_offered(offered: &[String]) -> Option<&'static str> {
    offered.iter().any(|name| name == SUBPROTOCOL).then_some(SUBPROTOCOL)
}

/// Opens a WebSocket as a client, at `path` of `host`, and offers the subprotocols. Also returns the
/// subprotocol that the server selected, whatever was offered.
///
/// # Errors
/// The error of the stream, or that the server does not accept the WebSocket.
pub async fn offer<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    host: &str,
    path: &str,
    subprotocols: &[String],
) -> io::Result<(TestEnd<S>, Option<String>)> {
    // [MQTT-6.0.0-3] 3.1.1/[MQTT-6.0.0-3], if the test wants that.
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Protocol: {}\r\n\r\n",
        subprotocols.join(", ")
    );
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut bytes = BytesMut::new();
    loop {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some((length, selected)) = accepted(&bytes)? {
            let rest = bytes.split_off(length);
            return Ok((TestEnd::new(stream, Side::Client { mask: MASK }, rest), selected));
        }
        if bytes.len() > ANSWER_BYTES {
            return Err(refused("an answer to the WebSocket handshake that does not end".to_owned()));
        }
    }
}

/// The length of the answer that accepts a WebSocket, and the selected subprotocol; `None` if it is
/// incomplete.
fn accepted(bytes: &[u8]) -> io::Result<Option<(usize, Option<String>)>> {
    let mut headers = [httparse::EMPTY_HEADER; ANSWER_HEADERS];
    let mut answer = httparse::Response::new(&mut headers);
    let parsed = answer.parse(bytes).map_err(|error| refused(format!("no HTTP answer: {error}")))?;
    let httparse::Status::Complete(length) = parsed else { return Ok(None) };
    let code = answer.code.unwrap_or_default();
    if code != 101 {
        return Err(refused(format!("the WebSocket is refused with the HTTP status {code}")));
    }
    let header = |name: &str| {
        let found = answer.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.map(|header| String::from_utf8_lossy(header.value).trim().to_owned())
    };
    if header("Sec-WebSocket-Accept").is_none_or(|accept| accept != derive_accept_key(KEY.as_bytes())) {
        return Err(refused("a wrong Sec-WebSocket-Accept in the answer to the handshake".to_owned()));
    }
    Ok(Some((length, header("Sec-WebSocket-Protocol"))))
}

fn refused(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionRefused, text)
}

/// Accepts a WebSocket as a server. `select` chooses a subprotocol, one that was offered or not. Also
/// returns all that the client offers.
///
/// # Errors
/// The error of the stream, or that the client's handshake is none.
pub async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    select: fn(&[String]) -> Option<&'static str>,
) -> io::Result<(TestEnd<S>, Vec<String>)> {
    let mut names = Vec::new();
    #[expect(clippy::result_large_err, reason = "the signature is tungstenite's")]
    let callback = |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
        names = offered(request);
        if let Some(name) = select(&names) {
            response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(name));
        }
        Ok(response)
    };
    let socket = accept_hdr_async(stream, callback).await.map_err(io_error)?;
    // The client waits for the answer before it sends a frame.
    Ok((TestEnd::new(socket.into_inner(), Side::Server, BytesMut::new()), names))
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TestEnd<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.frames.poll_read(context, out)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TestEnd<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.frames.poll_write(context, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.frames.poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.frames.poll_shutdown(context)
    }
}
