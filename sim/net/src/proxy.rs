//! Passes Network Connections on to a server, and shows what passes to two taps: to one as it is
//! seen at the end of the server, to the other as it is seen at the end of the client.
//!
//! The bytes pass unchanged, malformed ones too. After malformed bytes of one end, what the other
//! end does is not shown any more: it may be the answer.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use mqttspec_broker::ConnectionId;
use mqttspec_codec::{Misdeed, Packet, Version};
use mqttspec_ports::{Listener, Net};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf, split};

use crate::Clock;
use crate::framed::{Arrived, Ending, Inflow};
use crate::tap::{Observed, Tap};

/// The largest packet that is decoded, in bytes. After a larger one, a connection is not shown any
/// more.
const LARGEST_PACKET: u32 = 16 << 20;

/// The server to which connections are passed on.
#[derive(Debug, Clone)]
pub struct Upstream<N> {
    /// The network of the server.
    pub net: N,
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// The taps at both ends.
#[derive(Debug)]
pub struct Taps<S, C> {
    /// It sees the client's packets arrive, and those of the server go out.
    pub at_server: S,
    /// It sees the server's packets arrive, and those of the client go out.
    pub at_client: C,
}

/// Accepts connections and passes each on, until `listener` fails. Runs in a `LocalSet`.
///
/// # Errors
/// That of the listener.
pub async fn pass<L, N, S, C>(
    listener: L,
    upstream: Upstream<N>,
    clock: Clock,
    taps: Rc<RefCell<Taps<S, C>>>,
) -> std::io::Result<()>
where
    L: Listener,
    L::Stream: AsyncRead + AsyncWrite + 'static,
    N: Net + Clone + 'static,
    S: Tap + 'static,
    C: Tap + 'static,
{
    let mut last = 0;
    loop {
        let (client, peer) = listener.accept().await?;
        last += 1;
        let view = View {
            connection: ConnectionId(last),
            clock,
            taps: Rc::clone(&taps),
            version: Rc::default(),
            shown: Rc::new([Cell::new(true), Cell::new(true)]),
        };
        view.opened(peer);
        let upstream = upstream.clone();
        tokio::task::spawn_local(async move {
            match upstream.net.connect(&upstream.host, upstream.port).await {
                Ok(server) => {
                    let (from_client, to_client) = split(client);
                    let (from_server, to_server) = split(server);
                    let up = view.clone().pump(End::Client, from_client, to_server);
                    let down = view.clone().pump(End::Server, from_server, to_client);
                    tokio::join!(up, down);
                }
                Err(error) => view.ended(End::Server, &Ending::of_error(&error)),
            }
        });
    }
}

/// An end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Server,
    Client,
}

/// One connection, as both taps see it.
struct View<S, C> {
    connection: ConnectionId,
    clock: Clock,
    taps: Rc<RefCell<Taps<S, C>>>,
    /// Known after CONNECT.
    version: Rc<Cell<Option<Version>>>,
    /// Whether the tap at the server and the tap at the client are still shown what passes.
    shown: Rc<[Cell<bool>; 2]>,
}

impl<S, C> Clone for View<S, C> {
    fn clone(&self) -> Self {
        Self {
            connection: self.connection,
            clock: self.clock,
            taps: Rc::clone(&self.taps),
            version: Rc::clone(&self.version),
            shown: Rc::clone(&self.shown),
        }
    }
}

impl<S: Tap, C: Tap> View<S, C> {
    /// Shows something to the tap at one end.
    fn show(&self, at: End, what: Observed<'_>) {
        let mut taps = self.taps.borrow_mut();
        match at {
            End::Server if self.shown[0].get() => taps.at_server.observe(self.clock.now(), what),
            End::Client if self.shown[1].get() => taps.at_client.observe(self.clock.now(), what),
            End::Server | End::Client => {}
        }
    }

    fn hide(&self, at: End) {
        self.shown[usize::from(at == End::Client)].set(false);
    }

    fn opened(&self, peer: SocketAddr) {
        let connection = self.connection;
        self.show(End::Server, Observed::Opened { connection, peer: Some(peer) });
        self.show(End::Client, Observed::Opened { connection, peer: Some(peer) });
    }

    /// One end sent something.
    fn sent(&self, by: End, arrived: &Arrived) {
        let connection = self.connection;
        match arrived {
            Arrived::Packet { packet, bytes } => {
                if let Packet::Connect(connect) = packet {
                    self.version.set(Some(connect.version));
                }
                self.show(by.other(), Observed::Received { connection, packet, bytes });
                self.show(by, Observed::Sent { connection, packet, bytes });
            }
            Arrived::Malformed { error, .. } if error.kind == Misdeed::PacketTooLarge => {
                self.hide(End::Server);
                self.hide(End::Client);
            }
            Arrived::Malformed { error, bytes } => {
                self.show(by.other(), Observed::Malformed { connection, error, bytes });
                self.hide(by);
            }
        }
    }

    /// One end has closed, or the network between.
    fn ended(&self, by: End, ending: &Ending) {
        let connection = self.connection;
        // The ends are always shown, because taps free what they know of a connection then.
        let mut taps = self.taps.borrow_mut();
        let now = self.clock.now();
        let (lost, closed) = (Observed::Lost { connection, ending }, Observed::Closed { connection });
        let (at_server, at_client) = if by == End::Client { (lost, closed) } else { (closed, lost) };
        taps.at_server.observe(now, at_server);
        taps.at_client.observe(now, at_client);
    }

    /// Passes the bytes of one end on to the other.
    async fn pump<R, W>(self, from: End, mut read: ReadHalf<R>, mut write: WriteHalf<W>)
    where
        R: AsyncRead,
        W: AsyncWrite,
    {
        let mut inflow = match from {
            End::Client => Inflow::from_client(),
            End::Server => Inflow::from_server(Version::V5),
        };
        inflow.decoder_mut().set_maximum_packet_size(LARGEST_PACKET);
        let mut bytes = BytesMut::new();
        let ending = loop {
            match read.read_buf(&mut bytes).await {
                Ok(0) => break Ending::Closed { left_over: Bytes::copy_from_slice(inflow.left_over()) },
                Ok(_) => {}
                Err(error) => break Ending::of_error(&error),
            }
            if let Some(version) = self.version.get().filter(|_| from == End::Server) {
                inflow.decoder_mut().set_version(version);
            }
            inflow.bytes_mut().extend_from_slice(&bytes);
            while let Some(arrived) = inflow.next_arrived() {
                self.sent(from, &arrived);
            }
            let written = async {
                write.write_all(&bytes).await?;
                write.flush().await
            };
            if let Err(error) = written.await {
                break Ending::of_error(&error);
            }
            bytes.clear();
        };
        self.ended(from, &ending);
        // The other end closes, or has closed already.
        let _ = write.shutdown().await;
    }
}

impl End {
    fn other(self) -> Self {
        match self {
            End::Server => End::Client,
            End::Client => End::Server,
        }
    }
}
