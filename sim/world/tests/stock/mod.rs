//! A stock `turmoil::Sim` behind the [`Net`] trait: how a driver that is written against the trait runs there.

use mqttspec_ports::{Listener, Net};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use turmoil::net::{TcpListener, TcpStream};

/// The network of whichever host of the `Sim` is being polled.
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

    /// turmoil has no reset of one's own: a close has to do.
    fn reset(&self, stream: TcpStream) {
        drop(stream);
    }
}

/// A port of a stock host.
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
