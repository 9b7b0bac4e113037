//! Passes bytes on between a connection of a host and the director.

use crate::net::HostStream;
use crate::pipe::{DirectorStream, PipeState};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf};
use tokio::task::spawn_local;

/// Bytes that one direction holds between a host and the director, like a socket's buffers.
const CAPACITY_BYTES: usize = 64 * 1024;
/// Bytes asked of a stream at once.
const READ_BYTES: usize = 16 * 1024;

/// The director's end of a connection of the host that calls this; the host passes the bytes on.
pub(crate) fn director_end(stream: HostStream) -> DirectorStream {
    let (near, far) = tokio::io::duplex(CAPACITY_BYTES);
    let state = Rc::new(PipeState::default());
    spawn_local(pass_on(stream, far, state.clone()));
    DirectorStream { pipe: near, state }
}

/// Notifies the director of a reset when a connection is dropped before it has ended, as in a
/// crash.
struct ResetUnlessEnded<'s>(&'s PipeState);

impl ResetUnlessEnded<'_> {
    fn has_ended(self) {
        std::mem::forget(self);
    }
}

impl Drop for ResetUnlessEnded<'_> {
    fn drop(&mut self) {
        self.0.is_reset.set(true);
    }
}

/// Passes bytes on between a connection and the director until one of the two has ended.
async fn pass_on(stream: HostStream, far: DuplexStream, state: Rc<PipeState>) {
    let (connection, side) = stream.connection();
    let (from_peer, mut to_peer) = tokio::io::split(stream);
    let (mut from_director, to_director) = tokio::io::split(far);
    // Declared after the halves of the pipe, so that it is dropped before them. Otherwise the
    // director would see an end in place of a reset.
    let unless_ended = ResetUnlessEnded(&state);
    let outward = async {
        tokio::io::copy(&mut from_director, &mut to_peer).await?;
        // The director has closed, or shut its sending half down.
        if state.is_closed.get() { Ok(()) } else { to_peer.shutdown().await }
    };
    let inward = receive(from_peer, to_director, &state);
    let (mut outward, mut inward) = (pin!(outward), pin!(inward));
    let (mut is_sending, mut is_receiving) = (true, true);
    loop {
        let closed = async {
            while !(state.is_closed.get() && (!is_sending || state.resets.get())) {
                state.changed.notified().await;
            }
        };
        tokio::select! {
            biased;
            sent = outward.as_mut(), if is_sending => {
                is_sending = false;
                if sent.is_err() {
                    // What arrived before can still be read.
                    state.is_reset.set(true);
                    if !is_receiving {
                        return;
                    }
                }
            }
            received = inward.as_mut(), if is_receiving => {
                is_receiving = false;
                if received.is_err() || state.is_reset.get() {
                    return;
                }
            }
            () = closed => break,
        }
    }
    unless_ended.has_ended();
    if state.resets.get() || state.unread.get() > 0 {
        connection.reset_by(side).set(true);
    }
}

/// Passes on what arrives at the host.
///
/// # Errors
/// When the connection is reset.
async fn receive(
    mut from_peer: ReadHalf<HostStream>,
    mut to_director: WriteHalf<DuplexStream>,
    state: &PipeState,
) -> io::Result<()> {
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let count = from_peer.read(&mut buffer).await?;
        if count == 0 {
            break;
        }
        state.unread.set(state.unread.get() + count);
        if to_director.write_all(&buffer[..count]).await.is_err() {
            // The director has dropped the connection. Bytes that it did not read make this a
            // reset.
            return Ok(());
        }
    }
    // An error means that the director has dropped the connection.
    let _ = to_director.shutdown().await;
    Ok(())
}
