//! A relay for live targets, which injects the faults of the simulated world into real connections.
//!
//! [`RelayNet`] is a [`Net`] whose connections pass through a relay within the process, with the
//! faults that are set in its [`Faults`]. [`forward`] relays the connections that foreign clients
//! open to a port. As in the world, no byte of a connection is lost or reordered, because TCP
//! delivers all bytes in order.

mod faults;
mod pipe;
mod pump;
mod queue;
mod relays;

use std::io;

use mqttspec_ports::{Listener, Net};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};

pub use self::faults::{Cut, Direction, Faults, Point};
pub use self::pipe::RelayStream;
pub use self::relays::{Power, Relays};

/// A network whose outgoing connections have faults.
#[derive(Debug, Clone)]
pub struct RelayNet<N> {
    net: N,
    faults: Faults,
}

impl<N: Net> RelayNet<N> {
    /// Dials through `net` with these faults.
    pub fn new(net: N, faults: Faults) -> RelayNet<N> {
        RelayNet { net, faults }
    }

    /// The faults of its connections.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }
}

impl<N: Net> Net for RelayNet<N> {
    type Stream = RelayStream;
    type Listener = RelayListener<N>;

    async fn connect(&self, host: &str, port: u16) -> io::Result<RelayStream> {
        self.faults.admit().await?;
        let server = self.net.connect(host, port).await?;
        let (near, far) = pipe::pipe();
        let (net, faults) = (self.net.clone(), self.faults.clone());
        let opened = faults.generation();
        tokio::task::spawn_local(async move {
            connect_through(far, RelayStream::reset, server, &|server| net.reset(server), &faults, opened)
                .await;
        });
        Ok(near)
    }

    async fn listen(&self, port: u16) -> io::Result<RelayListener<N>> {
        Ok(RelayListener {
            listener: self.net.listen(port).await?,
            net: self.net.clone(),
            faults: self.faults.clone(),
        })
    }

    fn reset(&self, stream: RelayStream) {
        stream.reset();
    }
}

/// A port whose connections have faults. The end that dials is the client.
#[derive(Debug)]
pub struct RelayListener<N: Net> {
    listener: N::Listener,
    net: N,
    faults: Faults,
}

impl<N: Net> Listener for RelayListener<N> {
    type Stream = RelayStream;

    async fn accept(&self) -> io::Result<(RelayStream, std::net::SocketAddr)> {
        let (client, peer) = loop {
            let (client, peer) = self.listener.accept().await?;
            if !self.faults.refuses() {
                break (client, peer);
            }
            self.net.reset(client);
        };
        let (near, far) = pipe::pipe();
        let (net, faults) = (self.net.clone(), self.faults.clone());
        let opened = faults.generation();
        tokio::task::spawn_local(async move {
            connect_through(client, |client| net.reset(client), far, &RelayStream::reset, &faults, opened)
                .await;
        });
        Ok((near, peer))
    }

    fn local_addr(&self) -> io::Result<std::net::SocketAddr> {
        self.listener.local_addr()
    }
}

/// Relays every connection that is opened to `listener` to a port of a host, until the listener
/// fails.
///
/// # Errors
/// Errors of the listener.
pub async fn forward<N: Net>(
    net: &N,
    listener: N::Listener,
    host: &str,
    port: u16,
    faults: &Faults,
) -> io::Result<()> {
    loop {
        let (client, _) = listener.accept().await?;
        let (net, faults, host) = (net.clone(), faults.clone(), host.to_owned());
        let opened = faults.generation();
        tokio::task::spawn_local(async move {
            let server = match faults.admit().await {
                Ok(()) => net.connect(&host, port).await,
                Err(error) => Err(error),
            };
            match server {
                Ok(server) => {
                    let reset = |stream| net.reset(stream);
                    connect_through(client, reset, server, &reset, &faults, opened).await;
                }
                // The relay has accepted the connection already, so it resets it instead of a
                // refusal.
                Err(_) => net.reset(client),
            }
        });
    }
}

/// `opened` is the generation of the faults when the connection was opened: a cut may come before
/// this task runs.
async fn connect_through<A, B>(
    mut client: A,
    reset_client: impl FnOnce(A),
    mut server: B,
    reset_server: &impl Fn(B),
    faults: &Faults,
    opened: u64,
) where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    match pump::relay(&mut client, &mut server, faults, opened).await {
        // A relay does not return with a blackhole: it keeps both streams.
        None | Some(Cut::Close | Cut::Blackhole) => {}
        Some(Cut::Reset) => {
            reset_client(client);
            reset_server(server);
        }
        Some(Cut::HalfOpen) => {
            reset_client(client);
            let mut vanished = [0; 1024];
            while matches!(server.read(&mut vanished).await, Ok(count) if count > 0) {}
        }
    }
}
