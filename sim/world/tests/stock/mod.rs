//! The [`Net`] trait implemented by a stock `turmoil::Sim`, so that drivers written against the
//! trait run there.

use mqttspec_ports::{Listener, Net};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use turmoil::net::{TcpListener, TcpStream};

/// The network of the host of the `Sim` that is being polled.
#[derive(Clone, Debug)]
pub(crate) struct StockNet;

impl Net for StockNet {
    type Stream = TcpStream;
    type Listener = StockListener;

    async fn connect(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        TcpStream::connect((host, port)).await
    }

    async fn listen(&self, port: u16) -> io::Result<StockListener> {
        TcpListener::bind((IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)).await.map(StockListener)
    }

    /// turmoil cannot reset a connection: the stream is closed instead.
    fn reset(&self, stream: TcpStream) {
        drop(stream);
    }
}

/// A listening port of a stock host.
pub(crate) struct StockListener(TcpListener);

impl Listener for StockListener {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        self.0.accept().await
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}
