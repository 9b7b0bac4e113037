//! The network of a host, for code that runs on it: turmoil's sockets, and the faults of
//! connections and readers, which turmoil does not have.

use crate::connection::{Connection, Key, Side};
use crate::simulation::{Host, Power, Simulation};
use mqttspec_ports::{Listener, Net};
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::sleep;
use turmoil::net::{TcpListener, TcpStream};

/// A connection request is sent again after 1 s, 2 s, 4 s …, and given up after this time, as on
/// Linux.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(127);

/// The network of a host. It works only in code that runs on that host.
#[derive(Clone)]
pub struct HostNet {
    simulation: Weak<Simulation>,
    host: Rc<Host>,
}

/// A connection of a host.
pub struct HostStream {
    simulation: Weak<Simulation>,
    host: Rc<Host>,
    key: Key,
    side: Side,
    connection: Rc<Connection>,
    /// None only while it is dropped.
    stream: Option<TcpStream>,
}

/// A port at which a host listens.
pub struct HostListener {
    net: HostNet,
    listener: TcpListener,
}

fn over() -> io::Error {
    io::Error::other("the run is over")
}

impl HostNet {
    pub(crate) fn new(simulation: Weak<Simulation>, host: Rc<Host>) -> HostNet {
        HostNet { simulation, host }
    }

    fn resolve(&self, host: &str) -> io::Result<IpAddr> {
        let simulation = self.simulation.upgrade().ok_or_else(over)?;
        if let Some(index) = simulation.host_named(host) {
            return Ok(simulation.hosts[index].address.get());
        }
        if host == "localhost" {
            return Ok(IpAddr::V4(Ipv4Addr::LOCALHOST));
        }
        let unknown = || io::Error::new(io::ErrorKind::NotFound, format!("no host is named {host:?}"));
        host.parse().map_err(|_| unknown())
    }

    fn is_off(&self, address: IpAddr) -> io::Result<bool> {
        let simulation = self.simulation.upgrade().ok_or_else(over)?;
        let host = simulation.host_at(address);
        Ok(host.is_some_and(|host| simulation.hosts[host].power.get() == Power::Off))
    }

    fn stream(&self, key: Key, side: Side, stream: TcpStream) -> io::Result<HostStream> {
        let simulation = self.simulation.upgrade().ok_or_else(over)?;
        Ok(HostStream {
            simulation: self.simulation.clone(),
            host: self.host.clone(),
            key,
            side,
            connection: simulation.connections.open(key),
            stream: Some(stream),
        })
    }
}

impl Net for HostNet {
    type Stream = HostStream;
    type Listener = HostListener;

    async fn connect(&self, host: &str, port: u16) -> io::Result<HostStream> {
        let to = self.resolve(host)?;
        let (mut waited, mut next) = (Duration::ZERO, FIRST_RETRY);
        loop {
            if !self.is_off(to)? {
                match TcpStream::connect((to, port)).await {
                    Ok(stream) => {
                        let key = (stream.local_addr()?, stream.peer_addr()?);
                        return self.stream(key, Side::Client, stream);
                    }
                    // turmoil drops the request to a host that crashes, and returns "refused".
                    Err(error) if !self.is_off(to)? => return Err(error),
                    Err(_) => {}
                }
            }
            let wait = next.min(PATIENCE.saturating_sub(waited));
            if wait.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            sleep(wait).await;
            (waited, next) = (waited + wait, next * 2);
        }
    }

    async fn listen(&self, port: u16) -> io::Result<HostListener> {
        let listener = TcpListener::bind((IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)).await?;
        Ok(HostListener { net: self.clone(), listener })
    }

    /// The peer sees the reset when turmoil's FIN arrives, after the bytes that were written
    /// before.
    fn reset(&self, stream: HostStream) {
        stream.reset();
    }
}

impl Listener for HostListener {
    type Stream = HostStream;

    async fn accept(&self) -> io::Result<(HostStream, SocketAddr)> {
        let (stream, peer) = self.listener.accept().await?;
        let stream = self.net.stream((peer, stream.local_addr()?), Side::Server, stream)?;
        Ok((stream, peer))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(SocketAddr::new(self.net.host.address.get(), self.listener.local_addr()?.port()))
    }
}

impl HostStream {
    pub(crate) fn reset(self) {
        self.connection.reset_by(self.side).set(true);
    }

    /// For the half that owns the stream no more.
    pub(crate) fn connection(&self) -> (Rc<Connection>, Side) {
        (self.connection.clone(), self.side)
    }

    /// Notes that something is sent.
    fn speaks(&self) {
        let peer = match self.side {
            Side::Client => self.key.1,
            Side::Server => self.key.0,
        };
        let power = self.simulation.upgrade().and_then(|simulation| {
            simulation.host_at(peer.ip()).map(|host| simulation.hosts[host].power.get())
        });
        if power == Some(Power::Off) {
            self.connection.spoke_in_vain.set(true);
        }
    }

    fn inner(&mut self) -> io::Result<&mut TcpStream> {
        self.stream.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl AsyncRead for HostStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.host.stalled.get() {
            self.host.stall_changed.register(cx);
            return Poll::Pending;
        }
        let connection = self.connection.clone();
        if connection.is_silent.get() && !connection.is_reset.get() {
            connection.changed.register(cx);
            return Poll::Pending;
        }
        let reset = || Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        let before = out.filled().len();
        match Pin::new(self.inner()?).poll_read(cx, out) {
            Poll::Pending if connection.is_reset.get() => reset(),
            Poll::Pending => {
                connection.changed.register(cx);
                Poll::Pending
            }
            Poll::Ready(Ok(())) if out.filled().len() == before && out.remaining() > 0 => {
                let by_peer = connection.reset_by(self.side.other()).get();
                if by_peer || connection.is_reset.get() { reset() } else { Poll::Ready(Ok(())) }
            }
            ready => ready,
        }
    }
}

impl AsyncWrite for HostStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.connection.is_reset.get() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if self.connection.is_silent.get() {
            return Poll::Ready(Ok(bytes.len()));
        }
        self.speaks();
        self.connection.changed.register(cx);
        Pin::new(self.inner()?).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.inner()?).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.connection.is_reset.get() || self.connection.is_silent.get() {
            return Poll::Ready(Ok(()));
        }
        self.speaks();
        match Pin::new(self.inner()?).poll_shutdown(cx) {
            // turmoil's error for a second shutdown, which has no effect.
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            shut => shut,
        }
    }
}

impl Drop for HostStream {
    fn drop(&mut self) {
        let Some(simulation) = self.simulation.upgrade() else { return };
        simulation.connections.close(self.key, &self.connection);
        if self.connection.is_silent.get()
            && let Some(stream) = self.stream.take()
        {
            simulation.silent_streams.borrow_mut().push(stream);
        }
    }
}

impl fmt::Debug for HostNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostNet({})", self.host.name)
    }
}

impl fmt::Debug for HostStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostStream({} -> {})", self.key.0, self.key.1)
    }
}

impl fmt::Debug for HostListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostListener({})", self.net.host.name)
    }
}
