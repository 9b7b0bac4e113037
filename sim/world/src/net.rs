//! The network as a host sees it: what a driver of a broker or a client needs, and no more.
//!
//! A driver that is written against [`Net`] runs unchanged in the simulated world, in a stock `turmoil::Sim` and on real
//! sockets.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncWrite};

/// A host's way to the network.
pub trait Net: Clone + 'static {
    /// A byte stream to a peer. Dropping it closes it as `close(2)` does; [`AsyncWrite::poll_shutdown`] closes the
    /// sending half and leaves the other open.
    type Stream: AsyncRead + AsyncWrite + Unpin + 'static;
    /// A port that peers can connect to.
    type Listener: Listener<Stream = Self::Stream> + 'static;

    /// Opens a connection to a port of a host, by the host's name or by its address in figures.
    ///
    /// # Errors
    /// `NotFound` for an unknown name, `ConnectionRefused` if nobody listens there, `TimedOut` if nobody answers.
    fn connect(&self, host: &str, port: u16) -> impl Future<Output = io::Result<Self::Stream>>;

    /// Listens at a port on all addresses of this host; port 0 picks a free one.
    ///
    /// # Errors
    /// `AddrInUse` if the port is taken.
    fn listen(&self, port: u16) -> impl Future<Output = io::Result<Self::Listener>>;

    /// Ends a connection by a reset (TCP RST) instead of a close: the peer learns of an error, not of an end, and
    /// unsent bytes are thrown away.
    fn reset(&self, stream: Self::Stream);
}

/// A port that peers can connect to. Dropping it refuses connections that nobody accepted yet.
pub trait Listener {
    /// What it accepts.
    type Stream;

    /// The next connection, and the address of the peer that opened it.
    ///
    /// # Errors
    /// What the host's network says; a simulated host's accept fails only after the host's crash.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, SocketAddr)>>;

    /// The address at which peers can connect.
    ///
    /// # Errors
    /// What the host's network says.
    fn local_addr(&self) -> io::Result<SocketAddr>;
}
