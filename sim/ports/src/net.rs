//! The network as a host sees it.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncWrite};

/// The network interface of a host.
pub trait Net: Clone + 'static {
    /// A byte stream to a peer. Dropping it closes it as `close(2)` does;
    /// [`AsyncWrite::poll_shutdown`] closes the sending half only.
    type Stream: AsyncRead + AsyncWrite + Unpin + 'static;
    /// A port that peers can connect to.
    type Listener: Listener<Stream = Self::Stream> + 'static;

    /// Opens a connection to a port of a host, which is given by name or by IP address.
    ///
    /// # Errors
    /// `NotFound` for an unknown name, `ConnectionRefused` if no socket listens there, `TimedOut`
    /// if no answer arrives.
    fn connect(&self, host: &str, port: u16) -> impl Future<Output = io::Result<Self::Stream>>;

    /// Listens at a port on all addresses of this host. Port 0 picks a free one.
    ///
    /// # Errors
    /// `AddrInUse` if the port is taken.
    fn listen(&self, port: u16) -> impl Future<Output = io::Result<Self::Listener>>;

    /// Resets a connection (TCP RST) instead of closing it: the peer sees an error, not the end of
    /// the stream, and unsent bytes are discarded.
    fn reset(&self, stream: Self::Stream);

    /// Whether this network does what an option of a client says about its transport, such as
    /// `tls` or `ca_file`. A plain network does nothing of that. The driver of a client sends
    /// nothing if the answer is no.
    fn honours(&self, _option: &str, _value: &str) -> bool {
        false
    }
}

/// A port that peers can connect to. Dropping it refuses connections that are not accepted yet.
pub trait Listener {
    /// The stream of an accepted connection.
    type Stream;

    /// The next connection, and the address of the peer that opened it.
    ///
    /// # Errors
    /// Errors of the host's network. On a simulated host, `accept` fails only after a crash.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, SocketAddr)>>;

    /// The address at which peers can connect.
    ///
    /// # Errors
    /// Errors of the host's network.
    fn local_addr(&self) -> io::Result<SocketAddr>;
}
