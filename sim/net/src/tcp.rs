//! The [`Net`] trait implemented by real sockets: a driver runs over TCP as it does in the
//! simulated world.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use mqttspec_ports::{Listener, Net};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// How long a peer may take to answer a connection request; the operating system's own limit is
/// minutes.
const TIME_TO_CONNECT: Duration = Duration::from_secs(30);

/// Connections that may wait to be accepted. The system may allow fewer.
const BACKLOG: u32 = 4096;

/// This machine's TCP.
#[derive(Debug, Clone, Copy)]
pub struct TcpNet {
    listen_at: IpAddr,
}

impl TcpNet {
    /// Listens at 127.0.0.1 only.
    #[must_use]
    pub fn loopback() -> TcpNet {
        TcpNet::listening_at(IpAddr::V4(Ipv4Addr::LOCALHOST))
    }

    /// Listens at this address of the machine; `0.0.0.0` or `::` for all of them.
    #[must_use]
    pub fn listening_at(address: IpAddr) -> TcpNet {
        TcpNet { listen_at: address }
    }
}

impl Net for TcpNet {
    type Stream = TcpStream;
    type Listener = TcpNetListener;

    async fn connect(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        let connecting = async {
            let addresses: Vec<SocketAddr> = tokio::net::lookup_host((host, port))
                .await
                .map_err(|error| io::Error::new(io::ErrorKind::NotFound, error))?
                .collect();
            TcpStream::connect(&addresses[..]).await
        };
        let stream = tokio::time::timeout(TIME_TO_CONNECT, connecting)
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        without_delay(&stream);
        Ok(stream)
    }

    async fn listen(&self, port: u16) -> io::Result<TcpNetListener> {
        let socket = if self.listen_at.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // As `TcpListener::bind` does: a port is free again at once.
        #[cfg(not(windows))]
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::new(self.listen_at, port))?;
        Ok(TcpNetListener { listener: socket.listen(BACKLOG)? })
    }

    fn reset(&self, stream: TcpStream) {
        // Without the option the drop below is an orderly close: the peer sees an end and not an
        // error.
        let _ = stream.set_zero_linger();
    }
}

/// A TCP port of this machine.
#[derive(Debug)]
pub struct TcpNetListener {
    listener: TcpListener,
}

impl Listener for TcpNetListener {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = self.listener.accept().await?;
        without_delay(&stream);
        Ok((stream, peer))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Drivers write whole packets, as many at once as there are; waiting for more to send would only
/// add latency. A socket that refuses the option still works.
fn without_delay(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
}
