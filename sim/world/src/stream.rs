//! The [`Net`] trait implemented by the network of a simulated host.
//!
//! A handle contains only numbers and finds its world by the thread on which it is used. It is
//! therefore `Send`, and a handle that outlives the run is harmless.

use crate::connection::EndKey;
use crate::history::ConnectionId;
use crate::machine::address_of;
use crate::network::Network;
use crate::simulation::{Simulation, running};
use mqttspec_ports::{Listener, Net};
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The network of one host, from one start until the host stops. It works only on the thread of its
/// world.
#[derive(Clone)]
pub struct WorldNet {
    owner: Owner,
}

impl WorldNet {
    pub(crate) fn new(simulation: &Simulation, host: u16, incarnation: u32) -> WorldNet {
        WorldNet { owner: Owner { run: simulation.run, host, incarnation } }
    }
}

impl fmt::Debug for WorldNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WorldNet({})", address_of(self.owner.host))
    }
}

impl Net for WorldNet {
    type Stream = WorldStream;
    type Listener = WorldListener;

    async fn connect(&self, host: &str, port: u16) -> io::Result<WorldStream> {
        let owner = self.owner;
        let end = owner.change(|network, simulation| {
            let target = SocketAddr::new(simulation.resolve(host)?, port);
            network.connect(simulation.now(), owner.host, target)
        })?;
        Connecting { owner, end: Some(end) }.await
    }

    async fn listen(&self, port: u16) -> io::Result<WorldListener> {
        let owner = self.owner;
        let (port, number) = owner.change(|network, _| network.listen(owner.host, port))?;
        Ok(WorldListener { owner, port, number })
    }

    fn reset(&self, stream: WorldStream) {
        stream.reset();
    }
}

/// The run, host and start that a socket belongs to.
#[derive(Clone, Copy, Debug)]
struct Owner {
    run: u64,
    host: u16,
    incarnation: u32,
}

impl Owner {
    /// Calls a closure with the network of the world. Fails if the run is over or the host has
    /// stopped since the socket was created.
    fn with<R>(self, call: impl FnOnce(&mut Network, &Rc<Simulation>) -> io::Result<R>) -> io::Result<R> {
        let gone = || io::Error::new(io::ErrorKind::NotConnected, "the host that had this socket is gone");
        let simulation = running(self.run).ok_or_else(gone)?;
        let incarnation = simulation.hosts.get(usize::from(self.host)).map(|host| host.incarnation.get());
        if incarnation != Some(self.incarnation) {
            return Err(gone());
        }
        call(&mut simulation.network.borrow_mut(), &simulation)
    }

    fn poll_with<R>(
        self,
        call: impl FnOnce(&mut Network, Duration) -> Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        let called = self.with(|network, simulation| {
            let outcome = call(network, simulation.now());
            if outcome.is_ready() {
                simulation.ready.wake_scheduler();
            }
            Ok(outcome)
        });
        called.unwrap_or_else(|error| Poll::Ready(Err(error)))
    }

    /// Like [`with`](Owner::with), for what changes the network. A task of `tokio::spawn` is polled
    /// outside of its host: nothing else may wake the scheduler then.
    fn change<R>(self, call: impl FnOnce(&mut Network, &Rc<Simulation>) -> io::Result<R>) -> io::Result<R> {
        self.with(|network, simulation| {
            let outcome = call(network, simulation);
            simulation.ready.wake_scheduler();
            outcome
        })
    }

    /// For drop implementations: does nothing if the run is over or the host has stopped.
    fn try_with(self, call: impl FnOnce(&mut Network, Duration)) {
        let _too_late = self.change(|network, simulation| {
            call(network, simulation.now());
            Ok(())
        });
    }
}

/// A connection that is being opened; dropping it withdraws the request.
struct Connecting {
    owner: Owner,
    end: Option<EndKey>,
}

impl Future for Connecting {
    type Output = io::Result<WorldStream>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<WorldStream>> {
        let Some(end) = self.end else { return Poll::Pending };
        let owner = self.owner;
        match owner.poll_with(|network, _| network.poll_connect(end, cx.waker())) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) => {
                self.end = None;
                Poll::Ready(WorldStream::new(end, owner))
            }
        }
    }
}

impl Drop for Connecting {
    fn drop(&mut self) {
        if let Some(end) = self.end.take() {
            self.owner.try_with(|network, now| network.withdraw(now, end));
        }
    }
}

/// A connection of a simulated host.
pub struct WorldStream {
    owner: Owner,
    end: EndKey,
    local: SocketAddr,
    peer: SocketAddr,
    connection: Option<ConnectionId>,
}

impl WorldStream {
    fn new(end: EndKey, owner: Owner) -> io::Result<WorldStream> {
        owner.with(|network, _| {
            let (local, peer) = network.addresses(end).ok_or(io::ErrorKind::NotConnected)?;
            let described = network.connections.get(end.key).filter(|connection| !connection.local);
            let connection = described.map(|connection| connection.id);
            Ok(WorldStream { owner, end, local, peer, connection })
        })
    }

    /// The address of this end.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The address of the other end.
    pub fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    /// The connection's number in the history; `None` for a connection of a host to itself.
    pub fn connection(&self) -> Option<ConnectionId> {
        self.connection
    }

    /// Aborts the connection with a reset, which arrives at the peer after the link's latency
    /// unless it is lost.
    pub fn reset(self) {
        let end = self.end;
        self.owner.try_with(|network, now| network.abort(now, end));
    }
}

impl AsyncRead for WorldStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let end = self.end;
        self.owner.poll_with(|network, _| network.poll_read(end, cx.waker(), buffer))
    }
}

impl AsyncWrite for WorldStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let end = self.end;
        self.owner.poll_with(|network, _| network.poll_write(end, cx.waker(), bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let end = self.end;
        self.owner.poll_with(|network, _| Poll::Ready(network.shutdown(end)))
    }
}

impl Drop for WorldStream {
    fn drop(&mut self) {
        let end = self.end;
        self.owner.try_with(|network, now| network.close(now, end));
    }
}

impl fmt::Debug for WorldStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WorldStream({} -> {})", self.local, self.peer)
    }
}

/// A listening port of a simulated host.
pub struct WorldListener {
    owner: Owner,
    port: u16,
    number: u64,
}

impl Listener for WorldListener {
    type Stream = WorldStream;

    async fn accept(&self) -> io::Result<(WorldStream, SocketAddr)> {
        let Owner { host, .. } = self.owner;
        let end = poll_fn(|cx| {
            self.owner.poll_with(|network, _| network.poll_accept(host, self.port, self.number, cx.waker()))
        });
        let stream = WorldStream::new(end.await?, self.owner)?;
        let peer = stream.peer_addr();
        Ok((stream, peer))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.owner.with(|_, _| Ok(SocketAddr::new(IpAddr::V4(address_of(self.owner.host)), self.port)))
    }
}

impl Drop for WorldListener {
    fn drop(&mut self) {
        let (port, number, host) = (self.port, self.number, self.owner.host);
        self.owner.try_with(|network, now| network.stop_listening(now, host, port, number));
    }
}

impl fmt::Debug for WorldListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WorldListener({}:{})", address_of(self.owner.host), self.port)
    }
}
