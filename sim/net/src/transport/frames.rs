//! One end of a WebSocket connection after its handshake (RFC 6455): the payload of binary frames as
//! a byte stream.
//!
//! A library that puts messages together holds what a peer sends until the message is complete, and
//! queues an answer to every Ping. Here, the payload of a frame is handed over as it arrives, and
//! one Pong at most waits: so a connection holds a few KiB, whatever the peer does.

use std::cell::Cell;
use std::io::{self, Cursor};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BufMut as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

/// Bytes that are read at once.
const READ_BYTES: usize = 8 * 1024;
/// Bytes of one frame that is sent; packets need not be aligned with frames.
const FRAME_BYTES: usize = 64 * 1024;
/// The largest payload of a control frame (RFC 6455 section 5.5).
const CONTROL_BYTES: u64 = 125;

/// How the bytes of a write are put into frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FrameForm {
    /// In binary frames, as large as possible.
    #[default]
    Binary,
    /// In one text frame, whatever the bytes are.
    Text,
    /// In binary frames of this number of bytes. The last one may have fewer.
    Pieces(usize),
}

/// Why a read failed: a frame of text arrived. The reads after it are those of the frames after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a WebSocket frame of text")]
pub struct TextFrame;

/// The ends of a connection differ in this: a client masks what it sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Client {
        /// The key of every frame that is sent.
        mask: [u8; 4],
    },
    Server,
}

#[derive(Debug)]
pub(super) struct Frames<S> {
    stream: S,
    side: Side,
    /// The form of the next write.
    form: Rc<Cell<FrameForm>>,
    /// Received bytes that were not processed yet.
    input: BytesMut,
    /// The rest of the frame that is being read.
    frame: Frame,
    /// A message of several frames has begun.
    in_message: bool,
    /// Text is read like binary data.
    accepts_text: bool,
    /// The message is text, and its bytes are dropped.
    is_text: bool,
    /// The payload of the last Ping that is not answered.
    pong: Option<BytesMut>,
    /// The frame that is being sent.
    output: BytesMut,
    /// A Close frame was put into `output`.
    is_closing: bool,
    /// The peer has sent a Close frame or closed.
    is_at_end: bool,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    left: u64,
    mask: [u8; 4],
    /// Bytes of the payload that were unmasked.
    done: usize,
}

impl<S> Frames<S> {
    /// `input` are bytes that came after the handshake. Each write has the current `form`.
    pub(super) fn new(stream: S, side: Side, input: BytesMut, form: Rc<Cell<FrameForm>>) -> Frames<S> {
        Frames {
            stream,
            side,
            form,
            input,
            frame: Frame { left: 0, mask: [0; 4], done: 0 },
            in_message: false,
            accepts_text: false,
            is_text: false,
            pong: None,
            output: BytesMut::new(),
            is_closing: false,
            is_at_end: false,
        }
    }

    /// Reads frames of text as if they were binary.
    pub(super) fn accept_text(&mut self) {
        self.accepts_text = true;
    }

    pub(super) fn into_inner(self) -> S {
        self.stream
    }

    /// Reads a header, or a control frame with its payload, from `input`. False if it is not
    /// complete.
    fn next_frame(&mut self) -> io::Result<bool> {
        let mut cursor = Cursor::new(&self.input[..]);
        let parsed = FrameHeader::parse(&mut cursor).map_err(io::Error::other)?;
        let Some((header, length)) = parsed else { return Ok(false) };
        let header_bytes = usize::try_from(cursor.position()).map_err(io::Error::other)?;
        let mask = match (self.side, header.mask) {
            (_, Some(mask)) => mask,
            (Side::Client { .. }, None) => [0; 4],
            (Side::Server, None) => return Err(invalid("a WebSocket frame without mask")),
        };
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(invalid("a WebSocket frame with a reserved bit"));
        }
        match header.opcode {
            OpCode::Data(data) => {
                let begins_text = match data {
                    Data::Binary if !self.in_message => false,
                    Data::Text if !self.in_message => !self.accepts_text,
                    Data::Continue if self.in_message => false,
                    _ => return Err(invalid("a WebSocket frame out of order")),
                };
                self.is_text = begins_text || self.is_text && data == Data::Continue;
                self.in_message = !header.is_final;
                self.input.advance(header_bytes);
                self.frame = Frame { left: length, mask, done: 0 };
                if begins_text {
                    // [MQTT-6.0.0-1] 3.1.1/[MQTT-6.0.0-1]
                    return Err(io::Error::new(io::ErrorKind::InvalidData, TextFrame));
                }
            }
            OpCode::Control(control) => {
                if length > CONTROL_BYTES || !header.is_final {
                    return Err(invalid("a WebSocket control frame that is too long"));
                }
                let end = header_bytes + usize::try_from(length).map_err(io::Error::other)?;
                if self.input.len() < end {
                    return Ok(false);
                }
                self.input.advance(header_bytes);
                let mut payload = self.input.split_to(end - header_bytes);
                let mut frame = Frame { left: length, mask, done: 0 };
                frame.unmask(&mut payload);
                match control {
                    // RFC 6455 section 5.5.3: only the last Ping needs an answer.
                    Control::Ping => self.pong = Some(payload),
                    Control::Close => {
                        self.is_at_end = true;
                        self.close();
                    }
                    _ => {}
                }
            }
        }
        Ok(true)
    }

    /// Appends a frame.
    fn put_frame(&mut self, opcode: OpCode, payload: &[u8]) {
        let mask = match self.side {
            Side::Client { mask } => Some(mask),
            Side::Server => None,
        };
        let header = FrameHeader { opcode, is_final: true, mask, ..FrameHeader::default() };
        let mut bytes = Vec::with_capacity(header.len(payload.len() as u64));
        // Writing to memory does not fail.
        let _ = header.format(payload.len() as u64, &mut bytes);
        self.output.reserve(bytes.len() + payload.len());
        self.output.put_slice(&bytes);
        let start = self.output.len();
        self.output.put_slice(payload);
        if let Some(mask) = mask {
            Frame { left: payload.len() as u64, mask, done: 0 }.unmask(&mut self.output[start..]);
        }
    }

    /// Appends a Close frame.
    fn close(&mut self) {
        if !self.is_closing {
            self.is_closing = true;
            self.put_frame(OpCode::Control(Control::Close), &[]);
        }
    }
}

impl Frame {
    /// Unmasks the next bytes of the payload.
    fn unmask(&mut self, bytes: &mut [u8]) {
        for byte in bytes.iter_mut() {
            *byte ^= self.mask[self.done % 4];
            self.done = self.done.wrapping_add(1);
        }
        self.left -= bytes.len() as u64;
    }
}

fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

impl<S: AsyncRead + AsyncWrite + Unpin> Frames<S> {
    /// Sends the frame that was begun, and a Pong if one waits.
    fn poll_output(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            while !self.output.is_empty() {
                let written = ready!(Pin::new(&mut self.stream).poll_write(context, &self.output))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.output.advance(written);
            }
            self.output = BytesMut::new();
            match self.pong.take() {
                Some(payload) if !self.is_closing => {
                    self.put_frame(OpCode::Control(Control::Pong), &payload);
                }
                _ => return Poll::Ready(Ok(())),
            }
        }
    }

    pub(super) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if self.is_at_end || out.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            // [MQTT-6.0.0-2] 3.1.1/[MQTT-6.0.0-2] what a frame holds is a piece of the stream,
            // wherever packets begin.
            if self.frame.left > 0 && !self.input.is_empty() {
                let left = usize::try_from(self.frame.left).unwrap_or(usize::MAX);
                let length = left.min(self.input.len()).min(out.remaining());
                let mut piece = self.input.split_to(length);
                self.frame.unmask(&mut piece);
                if self.is_text {
                    continue;
                }
                out.put_slice(&piece);
                return Poll::Ready(Ok(()));
            }
            if self.frame.left == 0 && !self.input.is_empty() && self.next_frame()? {
                // An answer goes out with what the broker sends next, if not now.
                if let Poll::Ready(Err(error)) = self.poll_output(context) {
                    return Poll::Ready(Err(error));
                }
                continue;
            }
            if self.input.is_empty() {
                self.input = BytesMut::new();
            }
            let mut scratch = [MaybeUninit::uninit(); READ_BYTES];
            let mut read = ReadBuf::uninit(&mut scratch);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut read))?;
            self.input.extend_from_slice(read.filled());
            self.is_at_end = read.filled().is_empty();
        }
    }

    pub(super) fn poll_write(&mut self, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_output(context))?;
        if self.is_closing {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let taken = match self.form.get() {
            FrameForm::Binary => data.len().min(FRAME_BYTES),
            FrameForm::Text | FrameForm::Pieces(_) => data.len(),
        };
        match self.form.get() {
            FrameForm::Binary => self.put_frame(OpCode::Data(Data::Binary), &data[..taken]),
            FrameForm::Text => self.put_frame(OpCode::Data(Data::Text), data),
            FrameForm::Pieces(bytes) => {
                for piece in data.chunks(bytes.max(1)) {
                    self.put_frame(OpCode::Data(Data::Binary), piece);
                }
            }
        }
        if let Poll::Ready(Err(error)) = self.poll_output(context) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(taken))
    }

    pub(super) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_output(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    pub(super) fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.close();
        ready!(self.poll_output(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
