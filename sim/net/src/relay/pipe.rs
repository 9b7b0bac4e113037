//! A connection within the process that can be reset: a relay gives one end of it to a caller that
//! dials through it.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that one direction holds until the reader takes them, like a socket's buffers.
const CAPACITY_BYTES: usize = 64 * 1024;

/// One end of a connection within the process. Dropping it closes it.
#[derive(Debug)]
pub struct RelayStream {
    buffers: Rc<RefCell<[Buffer; 2]>>,
    /// The buffer that this end reads; it writes the other.
    reads: usize,
}

#[derive(Debug, Default)]
struct Buffer {
    bytes: BytesMut,
    /// No more will be written.
    finished: bool,
    /// No more will be read.
    unread: bool,
    reset: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Buffer {
    fn wake(&mut self) {
        [self.reader.take(), self.writer.take()].into_iter().flatten().for_each(Waker::wake);
    }
}

/// Both ends of a new connection.
pub(super) fn pipe() -> (RelayStream, RelayStream) {
    let buffers = Rc::new(RefCell::new([Buffer::default(), Buffer::default()]));
    (RelayStream { buffers: Rc::clone(&buffers), reads: 0 }, RelayStream { buffers, reads: 1 })
}

impl RelayStream {
    /// Ends the connection with a reset: the other end's writes fail, and its reads once it has
    /// read what had arrived, as on a socket.
    pub fn reset(self) {
        for buffer in self.buffers.borrow_mut().iter_mut() {
            buffer.reset = true;
            buffer.wake();
        }
    }
}

impl Drop for RelayStream {
    fn drop(&mut self) {
        let mut buffers = self.buffers.borrow_mut();
        buffers[self.reads].unread = true;
        buffers[1 - self.reads].finished = true;
        buffers.iter_mut().for_each(Buffer::wake);
    }
}

impl AsyncRead for RelayStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let buffer = &mut self.buffers.borrow_mut()[self.reads];
        if buffer.bytes.is_empty() {
            if buffer.reset {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            if buffer.finished {
                return Poll::Ready(Ok(()));
            }
            buffer.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        let taken = buffer.bytes.len().min(out.remaining());
        out.put_slice(&buffer.bytes[..taken]);
        buffer.bytes.advance(taken);
        if let Some(writer) = buffer.writer.take() {
            writer.wake();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for RelayStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let buffer = &mut self.buffers.borrow_mut()[1 - self.reads];
        if buffer.reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if buffer.unread || buffer.finished {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = CAPACITY_BYTES.saturating_sub(buffer.bytes.len());
        if room == 0 && !data.is_empty() {
            buffer.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        let taken = room.min(data.len());
        buffer.bytes.extend_from_slice(&data[..taken]);
        if let Some(reader) = buffer.reader.take() {
            reader.wake();
        }
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let buffer = &mut self.buffers.borrow_mut()[1 - self.reads];
        buffer.finished = true;
        buffer.wake();
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn a_full_pipe_makes_the_writer_wait_for_the_reader() {
        let (mut near, mut far) = pipe();
        let sent: Vec<u8> = (0..300_000_u32).map(|number| number as u8).collect();
        let expected = sent.clone();
        let writing = async {
            near.write_all(&sent).await.unwrap();
            near.shutdown().await.unwrap();
        };
        let mut received = Vec::new();
        let reading = async { far.read_to_end(&mut received).await.unwrap() };
        tokio::join!(writing, reading);
        assert_eq!(received, expected);
    }

    #[tokio::test]
    async fn a_drop_is_an_end_and_a_reset_an_error() {
        let (mut near, mut far) = pipe();
        near.write_all(b"last").await.unwrap();
        drop(near);
        let mut received = Vec::new();
        far.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, b"last");
        assert_eq!(far.write_all(b"x").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);

        let (mut near, mut far) = pipe();
        near.write_all(b"!").await.unwrap();
        near.reset();
        // A server that sends a last packet and closes with unread bytes sends a reset after the
        // packet.
        assert_eq!(far.read_u8().await.unwrap(), b'!');
        assert_eq!(far.read_u8().await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(far.write_all(b"x").await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }
}
