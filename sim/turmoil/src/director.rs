//! The director: code outside all hosts that lets time pass, speaks for hosts and injects faults.

use crate::net::HostStream;
use crate::simulation::{Power, Simulation};
use mqttspec_ports::{Listener, Net};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf, ReadHalf, WriteHalf,
};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::spawn_local;
use tokio::time::Instant;

/// Bytes that one direction holds between a host and the director, like a socket's buffers.
const CAPACITY_BYTES: usize = 64 * 1024;
/// Bytes asked of a stream at once.
const READ_BYTES: usize = 16 * 1024;

/// The director's handle on the running simulation. Clones are the same simulation.
#[derive(Clone)]
pub struct Turmoil {
    pub(crate) simulation: Rc<Simulation>,
    pub(crate) began: Instant,
}

impl Turmoil {
    /// Simulated time since the start of the run.
    pub fn now(&self) -> Duration {
        self.simulation.now.get()
    }

    /// Lets simulated time pass.
    pub async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    /// Lets simulated time pass until this time since the start of the run. Returns at once if that is
    /// over.
    pub async fn sleep_until(&self, since_start: Duration) {
        tokio::time::sleep_until(self.began + since_start).await;
    }

    /// The network of a host in its present life, for a director that speaks for it.
    ///
    /// # Errors
    /// `NotFound` for an unknown name; `NotConnected` if the host does not run.
    pub fn net(&self, host: &str) -> io::Result<DirectorNet> {
        let index = self.find(host)?;
        let agent = self.simulation.hosts[index].agent.borrow().clone();
        Ok(DirectorNet { agent: agent.ok_or_else(is_down)? })
    }

    /// True while the host's process runs.
    ///
    /// # Errors
    /// `NotFound` for an unknown name.
    pub fn is_up(&self, host: &str) -> io::Result<bool> {
        Ok(self.simulation.hosts[self.find(host)?].power.get() == Power::On)
    }

    /// The error that the host's main task returned in its present or last life.
    ///
    /// # Errors
    /// `NotFound` for an unknown name.
    pub fn failure(&self, host: &str) -> io::Result<Option<String>> {
        let ended = self.simulation.hosts[self.find(host)?].ended.borrow().clone();
        Ok(ended.and_then(Result::err))
    }

    /// The name of the host that has this address.
    pub fn host_at(&self, address: SocketAddr) -> Option<&str> {
        self.simulation.host_at(address.ip()).map(|host| self.simulation.hosts[host].name.as_str())
    }

    fn find(&self, name: &str) -> io::Result<usize> {
        let unknown = || io::Error::new(io::ErrorKind::NotFound, format!("no host is named {name:?}"));
        self.simulation.host_named(name).ok_or_else(unknown)
    }
}

fn is_down() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the host does not run")
}

/// What the director asks of the agent on a host.
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

/// The network of a host, for the director.
///
/// turmoil lets only code on a host use that host's sockets: so an agent on the host dials and
/// listens, and passes the bytes on.
#[derive(Clone)]
pub struct DirectorNet {
    agent: mpsc::UnboundedSender<AgentRequest>,
}

/// A port of a host, for the director.
pub struct DirectorListener {
    address: SocketAddr,
    accepted: RefCell<mpsc::UnboundedReceiver<(Piped, SocketAddr)>>,
}

/// A connection of a host, for the director. Dropping it closes it.
pub struct DirectorStream {
    pipe: DuplexStream,
    state: Rc<PipeState>,
}

/// The director's end of a connection, on its way from the host.
pub(crate) type Piped = DirectorStream;

/// What both ends of a pipe know.
#[derive(Debug, Default)]
struct PipeState {
    /// The connection was reset, or its host has crashed.
    is_reset: Cell<bool>,
    /// The director has dropped its end.
    is_closed: Cell<bool>,
    /// The director resets the connection.
    resets: Cell<bool>,
    /// Bytes that the director has not read.
    unread: Cell<usize>,
    changed: Notify,
}

impl Net for DirectorNet {
    type Stream = DirectorStream;
    type Listener = DirectorListener;

    async fn connect(&self, host: &str, port: u16) -> io::Result<DirectorStream> {
        let (reply, answer) = oneshot::channel();
        let request = AgentRequest::Connect { host: host.to_owned(), port, reply };
        self.agent.send(request).map_err(|_| is_down())?;
        answer.await.map_err(|_| is_down())?
    }

    async fn listen(&self, port: u16) -> io::Result<DirectorListener> {
        let (reply, answer) = oneshot::channel();
        let (accepted, connections) = mpsc::unbounded_channel();
        self.agent.send(AgentRequest::Listen { port, accepted, reply }).map_err(|_| is_down())?;
        let address = answer.await.map_err(|_| is_down())??;
        Ok(DirectorListener { address, accepted: RefCell::new(connections) })
    }

    fn reset(&self, stream: DirectorStream) {
        stream.state.resets.set(true);
    }
}

impl Listener for DirectorListener {
    type Stream = DirectorStream;

    async fn accept(&self) -> io::Result<(DirectorStream, SocketAddr)> {
        poll_fn(|cx| self.accepted.borrow_mut().poll_recv(cx)).await.ok_or_else(is_down)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
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

/// The director's end of a connection of the host that calls this; the host passes the bytes on.
pub(crate) fn director_end(stream: HostStream) -> DirectorStream {
    let (near, far) = tokio::io::duplex(CAPACITY_BYTES);
    let state = Rc::new(PipeState::default());
    spawn_local(pass_on(stream, far, state.clone()));
    DirectorStream { pipe: near, state }
}

/// Notifies the director of a reset when a connection goes without having ended, as in a crash.
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

/// Passes bytes on between a connection and the director until one of the two is gone.
async fn pass_on(stream: HostStream, far: DuplexStream, state: Rc<PipeState>) {
    let (connection, side) = stream.connection();
    let (from_peer, mut to_peer) = tokio::io::split(stream);
    let (mut from_director, to_director) = tokio::io::split(far);
    // After the halves of the pipe, so that it is dropped before them: the director must not take a
    // reset for an end.
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
            // The director is gone. What it did not read turns its close into a reset.
            return Ok(());
        }
    }
    // An error says that the director is gone.
    let _ = to_director.shutdown().await;
    Ok(())
}

impl fmt::Debug for Turmoil {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Turmoil(seed {}, {} hosts)", self.simulation.seed, self.simulation.hosts.len())
    }
}

impl fmt::Debug for DirectorNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DirectorNet")
    }
}

impl fmt::Debug for DirectorListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DirectorListener({})", self.address)
    }
}

impl fmt::Debug for DirectorStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirectorStream").field("state", &self.state).finish_non_exhaustive()
    }
}
