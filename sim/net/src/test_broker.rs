//! A broker for the tests of other projects. One line starts it, and dropping it stops it. Faults
//! of its network and restarts can be injected.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc as blocking;
use std::thread::JoinHandle;
use std::time::Duration;

use mqttspec_broker::{Options, RestoreError};
use mqttspec_ports::{Listener as _, Net};
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use crate::broker::{Entrance, ServeError, Server};
use crate::clock::Clock;
use crate::relay::{Faults, RelayNet};
use crate::store::MemoryStore;
use crate::tcp::TcpNet;
#[cfg(feature = "websocket")]
use crate::transport::WebSocketNet;
#[cfg(feature = "tls")]
use crate::transport::{ServerTls, TlsNet};

/// How long a broker that stops waits for its clients.
const GOOD_BYE: Duration = Duration::from_millis(100);

/// Why a test broker does not start.
#[derive(Debug, thiserror::Error)]
pub enum TestBrokerError {
    /// No thread, no runtime or no port for it.
    #[error("the test broker cannot start: {0}")]
    Start(#[from] io::Error),
    /// The kept Sessions cannot be restored: a defect of the broker.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// Its thread has ended, because it panicked.
    #[error("the test broker has ended")]
    Ended,
}

/// The reference broker on a free port of this machine, on its own thread. Dropping it stops it.
///
/// ```
/// let broker = mqttspec_net::TestBroker::start()?;
/// let client = std::net::TcpStream::connect(broker.address())?;
/// # drop(client);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct TestBroker {
    address: SocketAddr,
    scheme: &'static str,
    orders: mpsc::UnboundedSender<Order>,
    thread: Option<JoinHandle<()>>,
}

impl TestBroker {
    /// Starts a broker with its default options.
    ///
    /// # Errors
    /// When the machine has no thread or no port for it.
    pub fn start() -> Result<TestBroker, TestBrokerError> {
        TestBroker::with(Options::default()).start()
    }

    /// A broker with options of your own.
    #[must_use]
    pub fn with(options: Options) -> TestBrokerBuilder {
        TestBrokerBuilder { options, seed: 1, transport: Transport::Tcp }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The port at which it listens on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Where it listens, as a URL: `mqtt://127.0.0.1:…`, `mqtts://localhost:…` or
    /// `ws://127.0.0.1:…/mqtt`.
    #[must_use]
    pub fn url(&self) -> String {
        let port = self.port();
        match self.scheme {
            "mqtts" => format!("mqtts://localhost:{port}"),
            "ws" => format!("ws://127.0.0.1:{port}/mqtt"),
            scheme => format!("{scheme}://127.0.0.1:{port}"),
        }
    }

    /// Changes the faults of the network between the broker and all its clients. They last until
    /// they are healed.
    ///
    /// # Errors
    /// When the broker has ended.
    pub fn network(&self, change: impl FnOnce(&Faults) + Send + 'static) -> Result<(), TestBrokerError> {
        self.order(|done| Order::Network(Box::new(change), done))
    }

    /// Kills the broker and starts it again at the same port with the Sessions and retained
    /// messages that it had: its clients see a close and find their Sessions present.
    ///
    /// # Errors
    /// When the broker has ended, or cannot start again.
    pub fn restart(&self) -> Result<(), TestBrokerError> {
        self.order(Order::Restart)?
    }

    /// How many Network Connections it has.
    ///
    /// # Errors
    /// When the broker has ended.
    pub fn connections(&self) -> Result<usize, TestBrokerError> {
        self.order(Order::Connections)
    }

    fn order<R>(&self, order: impl FnOnce(blocking::Sender<R>) -> Order) -> Result<R, TestBrokerError> {
        let (reply, answer) = blocking::channel();
        self.orders.send(order(reply)).map_err(|_| TestBrokerError::Ended)?;
        answer.recv().map_err(|_| TestBrokerError::Ended)
    }
}

impl Drop for TestBroker {
    fn drop(&mut self) {
        // Either may be gone already, if the thread panicked.
        let _ = self.orders.send(Order::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A test broker that is about to start.
#[derive(Debug, Clone)]
pub struct TestBrokerBuilder {
    options: Options,
    seed: u64,
    transport: Transport,
}

#[derive(Debug, Clone)]
enum Transport {
    Tcp,
    #[cfg(feature = "tls")]
    Tls(ServerTls),
    #[cfg(feature = "websocket")]
    WebSocket,
}

impl TestBrokerBuilder {
    /// The seed from which the broker's random choices are drawn.
    #[must_use]
    pub fn seed(self, seed: u64) -> TestBrokerBuilder {
        TestBrokerBuilder { seed, ..self }
    }

    /// Listens for TLS; the certificate should be for `localhost`.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(self, tls: ServerTls) -> TestBrokerBuilder {
        TestBrokerBuilder { transport: Transport::Tls(tls), ..self }
    }

    /// Listens for WebSocket.
    #[cfg(feature = "websocket")]
    #[must_use]
    pub fn websocket(self) -> TestBrokerBuilder {
        TestBrokerBuilder { transport: Transport::WebSocket, ..self }
    }

    /// Starts it; once this returns it accepts connections.
    ///
    /// # Errors
    /// When the machine has no thread or no port for it.
    #[expect(
        clippy::disallowed_methods,
        reason = "a test broker is real: it has a thread and sockets of its own"
    )]
    pub fn start(self) -> Result<TestBroker, TestBrokerError> {
        let scheme = match &self.transport {
            Transport::Tcp => "mqtt",
            #[cfg(feature = "tls")]
            Transport::Tls(_) => "mqtts",
            #[cfg(feature = "websocket")]
            Transport::WebSocket => "ws",
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (orders, received) = mpsc::unbounded_channel();
        let (ready, started) = blocking::channel();
        let thread = std::thread::Builder::new().name("test broker".to_owned()).spawn(move || {
            LocalSet::new().block_on(&runtime, async {
                let net = RelayNet::new(TcpNet::loopback(), Faults::new(self.seed));
                let host = Host { options: self.options, seed: self.seed, faults: net.faults().clone() };
                match self.transport {
                    Transport::Tcp => host.run(net, received, ready).await,
                    #[cfg(feature = "tls")]
                    Transport::Tls(tls) => host.run(TlsNet::listening(net, tls), received, ready).await,
                    #[cfg(feature = "websocket")]
                    Transport::WebSocket => host.run(WebSocketNet::new(net, "/mqtt"), received, ready).await,
                }
            });
        })?;
        let address = started.recv().map_err(|_| TestBrokerError::Ended)??;
        Ok(TestBroker { address, scheme, orders, thread: Some(thread) })
    }
}

enum Order {
    Network(Box<dyn FnOnce(&Faults) + Send>, blocking::Sender<()>),
    Restart(blocking::Sender<Result<(), TestBrokerError>>),
    Connections(blocking::Sender<usize>),
    Stop,
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Order::Network(..) => "Network",
            Order::Restart(_) => "Restart",
            Order::Connections(_) => "Connections",
            Order::Stop => "Stop",
        })
    }
}

/// What the thread of a test broker runs.
struct Host {
    options: Options,
    seed: u64,
    faults: Faults,
}

impl Host {
    async fn run<N: Net>(
        self,
        net: N,
        mut orders: mpsc::UnboundedReceiver<Order>,
        ready: blocking::Sender<Result<SocketAddr, TestBrokerError>>,
    ) {
        let store = MemoryStore::new();
        let (mut running, mut entrance, port) = match self.life(&net, 0, &store).await {
            Ok((server, entrance, port)) => (tokio::task::spawn_local(server.run()), entrance, port),
            Err(error) => {
                let _ = ready.send(Err(error));
                return;
            }
        };
        // Here and below: the caller waits for the reply, unless it panicked.
        let _ = ready.send(Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port))));
        while let Some(order) = orders.recv().await {
            match order {
                Order::Network(change, done) => {
                    change(&self.faults);
                    let _ = done.send(());
                }
                Order::Connections(reply) => {
                    let _ = reply.send(entrance.connections());
                }
                Order::Restart(done) => {
                    running.abort();
                    // The port is free once the tasks of the server have ended.
                    let _ = running.await;
                    tokio::task::yield_now().await;
                    let again = self.life(&net, port, &store).await;
                    let (server, again) = match again {
                        Ok((server, again, _)) => (server, again),
                        Err(error) => {
                            let _ = done.send(Err(error));
                            return;
                        }
                    };
                    entrance = again;
                    running = tokio::task::spawn_local(server.run());
                    let _ = done.send(Ok(()));
                }
                Order::Stop => break,
            }
        }
        entrance.stop();
        // The clients get a DISCONNECT. The end of a test does not wait until they have closed too.
        let _ = tokio::time::timeout(GOOD_BYE, running).await;
    }

    async fn life<N: Net>(
        &self,
        net: &N,
        port: u16,
        store: &MemoryStore,
    ) -> Result<(Server<MemoryStore, ()>, Entrance, u16), TestBrokerError> {
        let listener = net.listen(port).await?;
        let port = listener.local_addr()?.port();
        let clock = Clock::of_this_machine();
        let server = Server::new(self.options.clone(), self.seed, clock, store.clone(), ());
        let (server, entrance) = server.map_err(|error| match error {
            ServeError::Restore(error) => TestBrokerError::Restore(error),
            ServeError::Store(error) => TestBrokerError::Start(io::Error::other(error)),
            ServeError::Listen(error) => TestBrokerError::Start(error),
        })?;
        entrance.listen(listener);
        Ok((server, entrance, port))
    }
}
