//! The ports on which the server of the clients under test listens: one for each client's host. So
//! a connection shows from which host it comes, and goes through the fault relay of that host.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use mqttspec_net::TcpNet;
use mqttspec_net::relay::{Faults, RelayListener, RelayNet, RelayStream};
use mqttspec_ports::{Listener, Net};
use tokio::sync::{Mutex, mpsc, watch};

use crate::backend::{Accepted, Incoming, Pending};
use crate::intake::{Counted, EVENT, Intake};

/// The ports of all hosts.
pub(super) struct Ports {
    /// Where connections go. Until a server listens for the first time, they wait in the backlog.
    /// After that, they are closed if no server listens.
    server: watch::Sender<Option<mpsc::UnboundedSender<Arrival>>>,
    intake: Rc<Intake>,
}

/// A connection from a client's host.
struct Arrival {
    host: Arc<str>,
    peer: SocketAddr,
    stream: Counted<RelayStream>,
}

impl Ports {
    pub(super) fn new(intake: Rc<Intake>) -> Rc<Self> {
        Rc::new(Self { server: watch::Sender::default(), intake })
    }

    /// Opens the port of a host; returns its number.
    pub(super) async fn open(&self, host: &str, faults: &Faults) -> io::Result<u16> {
        let listener = RelayNet::new(TcpNet::loopback(), faults.clone()).listen(0).await?;
        let port = listener.local_addr()?.port();
        let (server, intake) = (self.server.subscribe(), self.intake.clone());
        tokio::task::spawn_local(accept(host.into(), listener, faults.clone(), server, intake));
        Ok(port)
    }

    /// A server listens on all ports. It is the only one from now on.
    pub(super) fn listen(&self) -> AllPorts {
        let (sender, arrivals) = mpsc::unbounded_channel();
        self.server.send_replace(Some(sender));
        AllPorts(Mutex::new(arrivals))
    }
}

async fn accept(
    host: Arc<str>,
    listener: RelayListener<TcpNet>,
    faults: Faults,
    mut server: watch::Receiver<Option<mpsc::UnboundedSender<Arrival>>>,
    intake: Rc<Intake>,
) {
    if server.wait_for(Option::is_some).await.is_err() {
        return;
    }
    while let Ok((stream, peer)) = listener.accept().await {
        let (host, faults, server) = (host.clone(), faults.clone(), server.clone());
        let stream = Counted::new(stream, intake.clone());
        // A client may open connections without end.
        intake.take(EVENT);
        tokio::task::spawn_local(async move {
            // A partitioned link opens no connection.
            if faults.admit().await.is_ok()
                && let Some(server) = &*server.borrow()
            {
                // The server may have crashed, or the run is over.
                let _ = server.send(Arrival { host, peer, stream });
            }
        });
    }
}

/// What a server accepts on all ports.
pub(super) struct AllPorts(Mutex<mpsc::UnboundedReceiver<Arrival>>);

impl AllPorts {
    async fn next(&self) -> io::Result<Arrival> {
        self.0.lock().await.recv().await.ok_or(io::ErrorKind::NotConnected.into())
    }
}

impl Incoming for AllPorts {
    fn accept(&self) -> Pending<'_, io::Result<Accepted>> {
        Box::pin(async {
            let Arrival { host, stream, .. } = self.next().await?;
            Ok(Accepted { stream: Box::new(stream), host: Some(host) })
        })
    }
}

impl Listener for AllPorts {
    type Stream = Counted<RelayStream>;

    async fn accept(&self) -> io::Result<(Self::Stream, SocketAddr)> {
        let Arrival { peer, stream, .. } = self.next().await?;
        Ok((stream, peer))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// The network of the reference broker's host.
#[derive(Clone)]
pub(super) struct ServerNet(pub(super) Rc<Ports>);

impl Net for ServerNet {
    type Stream = Counted<RelayStream>;
    type Listener = AllPorts;

    async fn connect(&self, _host: &str, _port: u16) -> io::Result<Self::Stream> {
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn listen(&self, _port: u16) -> io::Result<AllPorts> {
        Ok(self.0.listen())
    }

    fn reset(&self, stream: Self::Stream) {
        stream.stream.reset();
    }
}
