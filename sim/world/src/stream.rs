//! The network of a simulated host: turmoil's sockets behind the [`Net`] trait.
//!
//! Each call says first whose socket it is, so that a stream may also be used from outside its host, by the director.

use crate::connection::{Gone, Handle};
use crate::net::{Listener, Net};
use crate::network::Request;
use crate::simulation::Simulation;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turmoil_net::shim::tokio::net::{TcpListener, TcpStream};

/// The network of one host during one of its lives.
#[derive(Clone)]
pub struct WorldNet {
    simulation: Rc<Simulation>,
    host: u16,
    incarnation: u32,
}

impl WorldNet {
    pub(crate) fn new(simulation: Rc<Simulation>, host: u16, incarnation: u32) -> WorldNet {
        WorldNet { simulation, host, incarnation }
    }

    fn owner(&self) -> Owner {
        Owner { simulation: self.simulation.clone(), host: self.host, incarnation: self.incarnation }
    }
}

impl fmt::Debug for WorldNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WorldNet({})", self.simulation.hosts[usize::from(self.host)].name)
    }
}

impl Net for WorldNet {
    type Stream = WorldStream;
    type Listener = WorldListener;

    async fn connect(&self, host: &str, port: u16) -> io::Result<WorldStream> {
        let owner = self.owner();
        owner.alive()?;
        let address = SocketAddr::new(owner.simulation.resolve(host)?, port);
        // Connections of a host to itself never reach the network.
        let is_local = address.ip().is_loopback() || address.ip() == IpAddr::V4(owner.own_address());
        Connecting {
            attempt: Some(Box::pin(TcpStream::connect(address))),
            owner,
            request: (!is_local).then(Request::default),
            begun: false,
        }
        .await
    }

    async fn listen(&self, port: u16) -> io::Result<WorldListener> {
        let owner = self.owner();
        owner.alive()?;
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
        let mut binding = Box::pin(TcpListener::bind(address));
        let listener = poll_fn(|cx| owner.inside(|| binding.as_mut().poll(cx))).await?;
        Ok(WorldListener { listener: Some(listener), owner })
    }

    fn reset(&self, stream: WorldStream) {
        stream.reset();
    }
}

/// Whose socket it is.
#[derive(Clone)]
struct Owner {
    simulation: Rc<Simulation>,
    host: u16,
    incarnation: u32,
}

impl Owner {
    fn inside<R>(&self, call: impl FnOnce() -> R) -> R {
        self.simulation.inside(self.host, call)
    }

    /// A socket does not outlive the run, nor the life of its host.
    fn alive(&self) -> io::Result<()> {
        if self.is_alive() {
            Ok(())
        } else {
            Err(io::Error::new(io::ErrorKind::NotConnected, "the host that had this socket is gone"))
        }
    }

    fn is_alive(&self) -> bool {
        self.simulation.is_open()
            && self.simulation.hosts[usize::from(self.host)].incarnation.get() == self.incarnation
    }

    fn own_address(&self) -> Ipv4Addr {
        crate::network::address_of(self.host)
    }
}

/// A connection that is being opened; dropping it withdraws the request.
struct Connecting<F: Future<Output = io::Result<TcpStream>>> {
    attempt: Option<Pin<Box<F>>>,
    owner: Owner,
    /// None for a connection of a host to itself.
    request: Option<Request>,
    begun: bool,
}

impl<F: Future<Output = io::Result<TcpStream>>> Future for Connecting<F> {
    type Output = io::Result<WorldStream>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<WorldStream>> {
        let this = &mut *self;
        this.owner.alive()?;
        let Some(attempt) = &mut this.attempt else { return Poll::Pending };
        if !this.begun
            && let Some(request) = &this.request
        {
            this.owner.simulation.network.borrow_mut().machines[usize::from(this.owner.host)]
                .requests
                .push_back(request.clone());
        }
        this.begun = true;
        let outcome = this.owner.inside(|| attempt.as_mut().poll(cx));
        let Poll::Ready(outcome) = outcome else { return Poll::Pending };
        this.owner.inside(|| this.attempt = None);
        let handle = this.request.take().and_then(|request| request.take());
        let stream = match outcome {
            Ok(stream) => WorldStream::new(stream, this.owner.clone()),
            Err(error) => Err(explain(handle.as_ref(), error)),
        };
        Poll::Ready(stream)
    }
}

impl<F: Future<Output = io::Result<TcpStream>>> Drop for Connecting<F> {
    fn drop(&mut self) {
        let Some(attempt) = self.attempt.take() else { return };
        if !self.owner.simulation.is_open() {
            // Its socket is gone with the run.
            std::mem::forget(attempt);
            return;
        }
        self.owner.inside(|| drop(attempt));
        if let Some(handle) = self.request.take().and_then(|request| request.take()) {
            self.owner.simulation.network.borrow_mut().withdraw(handle.key);
        }
    }
}

/// A connection of a simulated host.
pub struct WorldStream {
    stream: Option<TcpStream>,
    owner: Owner,
    local: SocketAddr,
    peer: SocketAddr,
    handle: Option<Handle>,
}

impl WorldStream {
    fn new(stream: TcpStream, owner: Owner) -> io::Result<WorldStream> {
        let addresses = owner.inside(|| Ok((stream.local_addr()?, stream.peer_addr()?)));
        let (local, peer) = match addresses {
            Ok(addresses) => addresses,
            Err(error) => {
                owner.inside(|| drop(stream));
                return Err(error);
            }
        };
        let handle = owner.simulation.network.borrow_mut().find(local, peer);
        Ok(WorldStream { stream: Some(stream), owner, local, peer, handle })
    }

    /// The address of this end.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The address of the other end.
    pub fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    /// The connection's number in the history; none for a connection of a host to itself.
    pub fn connection(&self) -> Option<crate::ConnectionId> {
        self.handle.as_ref().map(|handle| handle.key.id)
    }

    /// Ends the connection by a reset: the peer learns of it after the link's latency, unless it gets lost on the way.
    pub fn reset(self) {
        if let Some(handle) = &self.handle
            && self.owner.is_alive()
        {
            self.owner.simulation.abort(handle.key, handle.side);
        }
    }

    fn with<R>(
        &mut self,
        call: impl FnOnce(Pin<&mut TcpStream>) -> Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        self.owner.alive()?;
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        let outcome = self.owner.inside(|| call(Pin::new(stream)));
        outcome.map_err(|error| explain(self.handle.as_ref(), error))
    }
}

impl AsyncRead for WorldStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.owner.simulation.waits_for_reading(self.owner.host, cx.waker()) {
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let outcome = self.with(|stream| stream.poll_read(cx, buf));
        let read = buf.filled().len() - before;
        if read > 0
            && let Some(handle) = &self.handle
        {
            self.owner.simulation.bytes_read(handle.key, handle.side, read);
        }
        outcome
    }
}

impl AsyncWrite for WorldStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.with(|stream| stream.poll_write(cx, buf))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_shutdown(cx))
    }
}

impl Drop for WorldStream {
    fn drop(&mut self) {
        let Some(stream) = self.stream.take() else { return };
        if self.owner.simulation.is_open() {
            self.owner.inside(|| drop(stream));
        } else {
            // Its socket is gone with the run; closing it would ask a network that is no more.
            std::mem::forget(stream);
        }
    }
}

impl fmt::Debug for WorldStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WorldStream({} -> {})", self.local, self.peer)
    }
}

/// A port of a simulated host.
pub struct WorldListener {
    listener: Option<TcpListener>,
    owner: Owner,
}

impl Listener for WorldListener {
    type Stream = WorldStream;

    async fn accept(&self) -> io::Result<(WorldStream, SocketAddr)> {
        let (stream, peer) = poll_fn(|cx| {
            self.owner.alive()?;
            let Some(listener) = &self.listener else {
                return Poll::Ready(Err(io::Error::from(io::ErrorKind::NotConnected)));
            };
            self.owner.inside(|| listener.poll_accept(cx))
        })
        .await?;
        Ok((WorldStream::new(stream, self.owner.clone())?, peer))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.owner.alive()?;
        let listener = self.listener.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        let port = self.owner.inside(|| listener.local_addr())?.port();
        Ok(SocketAddr::new(IpAddr::V4(self.owner.own_address()), port))
    }
}

impl Drop for WorldListener {
    fn drop(&mut self) {
        let Some(listener) = self.listener.take() else { return };
        if self.owner.simulation.is_open() {
            self.owner.inside(|| drop(listener));
        } else {
            std::mem::forget(listener);
        }
    }
}

impl fmt::Debug for WorldListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WorldListener({})", self.owner.own_address())
    }
}

/// The world can break a socket by a reset only; an end that gave up waiting is told so all the same.
fn explain(handle: Option<&Handle>, error: io::Error) -> io::Error {
    let broken = matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused);
    match handle.and_then(Handle::gone) {
        Some(Gone::TimedOut) if broken => io::ErrorKind::TimedOut.into(),
        _ => error,
    }
}
