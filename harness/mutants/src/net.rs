//! The middleware: a network whose streams pass through a mutant.
//!
//! A peer's driver gets a [`MutantNet`] in place of its network. Each connection is then two
//! streams with a task between them: one stream to the network, one to the peer. The task decodes
//! what arrives on either, calls the mutant's handler and applies the effects.
//!
//! *Outgoing* and *send* mean towards the network; *incoming* and *deliver* mean towards the peer.

use core::future::pending;
use core::time::Duration;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use mqttspec_codec::{Packet, Role, Version};
use mqttspec_net::framed::{Arrived, Framed, Received};
use mqttspec_ports::{Listener, Net};
use mqttspec_runtime::Instant;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::mpsc;

use crate::edit::encoded;
use crate::effect::Effect;
use crate::mutant::Mutant;
use crate::state::{Connection, State};

/// The capacity of the stream between the peer and the middleware, in bytes.
const BUFFER: usize = 64 * 1024;

/// The time between the two parts of a packet: longer than segments are merged.
const BETWEEN_PARTS: Duration = Duration::from_millis(1);

/// A network whose streams pass through a mutant. Create a new one at each start of the peer,
/// because a mutant keeps state.
#[derive(Clone)]
pub struct MutantNet<N> {
    net: N,
    shared: Rc<Shared>,
}

/// Opens a Network Connection after a delay, and sends these bytes.
type Dial = Rc<dyn Fn(Duration, Vec<u8>)>;

/// What the connections of one peer share.
struct Shared {
    mutant: &'static Mutant,
    state: RefCell<State>,
    /// Passes effects to the task of each Network Connection, by number.
    tasks: RefCell<BTreeMap<u32, mpsc::UnboundedSender<Effect>>>,
    /// Dials as the peer did last.
    dial: RefCell<Option<Dial>>,
}

impl<N: Net> MutantNet<N> {
    /// Puts a mutant on every connection of a network.
    #[must_use]
    pub fn new(net: N, mutant: &'static Mutant) -> Self {
        let shared =
            Shared { mutant, state: RefCell::default(), tasks: RefCell::default(), dial: RefCell::default() };
        Self { net, shared: Rc::new(shared) }
    }
}

impl<N: Net> Net for MutantNet<N> {
    type Stream = DuplexStream;
    type Listener = MutantListener<N::Listener>;

    async fn connect(&self, host: &str, port: u16) -> io::Result<DuplexStream> {
        let (net, to) = (self.net.clone(), host.to_owned());
        let dial = move |delay: Duration, bytes: Vec<u8>| {
            mqttspec_runtime::spawn_local(dial(net.clone(), to.clone(), port, delay, bytes));
        };
        *self.shared.dial.borrow_mut() = Some(Rc::new(dial));
        let stream = self.net.connect(host, port).await?;
        Ok(spawn(stream, &self.shared))
    }

    async fn listen(&self, port: u16) -> io::Result<Self::Listener> {
        Ok(MutantListener { listener: self.net.listen(port).await?, shared: self.shared.clone() })
    }

    /// A reset of the peer becomes a close: mutants do not model it.
    fn reset(&self, stream: DuplexStream) {
        drop(stream);
    }
}

pub struct MutantListener<L> {
    listener: L,
    shared: Rc<Shared>,
}

impl<L: Listener<Stream: AsyncRead + AsyncWrite + Unpin + 'static>> Listener for MutantListener<L> {
    type Stream = DuplexStream;

    async fn accept(&self) -> io::Result<(DuplexStream, SocketAddr)> {
        let (stream, address) = self.listener.accept().await?;
        Ok((spawn(stream, &self.shared), address))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Starts the task between a network stream and the peer. Returns the peer's stream.
fn spawn<S: AsyncRead + AsyncWrite + Unpin + 'static>(network: S, shared: &Rc<Shared>) -> DuplexStream {
    let (peers_end, our_end) = duplex(BUFFER);
    let number = u32::try_from(shared.tasks.borrow().len() + 1).unwrap_or(u32::MAX);
    let (sender, effects) = mpsc::unbounded_channel();
    shared.tasks.borrow_mut().insert(number, sender);
    let (network, peer) = match shared.mutant.role {
        Role::Server => (Framed::accepted(network), Framed::dialled(our_end, Version::V5)),
        Role::Client => (Framed::dialled(network, Version::V5), Framed::accepted(our_end)),
    };
    let middleware = Middleware {
        shared: shared.clone(),
        connection: Connection::new(number),
        version: Version::V5,
        network: Some(network),
        peer: Some(peer),
        delayed: Vec::new(),
    };
    mqttspec_runtime::spawn_local(middleware.run(effects));
    peers_end
}

/// The task of one Network Connection.
struct Middleware<S> {
    shared: Rc<Shared>,
    connection: Connection,
    version: Version,
    network: Option<Framed<S>>,
    peer: Option<Framed<DuplexStream>>,
    delayed: Vec<(Instant, Effect)>,
}

enum Input {
    FromNetwork(Received),
    FromPeer(Received),
    /// A delayed effect that is due, or an effect from another connection's task.
    Effect(Effect),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Middleware<S> {
    async fn run(mut self, mut from_others: mpsc::UnboundedReceiver<Effect>) {
        while self.network.is_some() || self.peer.is_some() {
            let input = self.next(&mut from_others).await;
            for effect in self.handle(input) {
                self.apply(effect).await;
            }
        }
    }

    async fn next(&mut self, from_others: &mut mpsc::UnboundedReceiver<Effect>) -> Input {
        let first = (0..self.delayed.len()).min_by_key(|index| self.delayed[*index].0);
        let due = first.map(|index| self.delayed[index].0);
        tokio::select! {
            biased;
            Some(effect) = from_others.recv() => return Input::Effect(effect),
            received = receive(&mut self.network) => return Input::FromNetwork(received),
            received = receive(&mut self.peer) => return Input::FromPeer(received),
            () = sleep_until(due) => {}
        }
        let (_, effect) = self.delayed.remove(first.unwrap_or(0));
        Input::Effect(effect)
    }

    fn handle(&mut self, input: Input) -> Vec<Effect> {
        let mutant = self.shared.mutant;
        match input {
            Input::Effect(effect) => vec![effect],
            Input::FromNetwork(Received::Arrived(Arrived::Packet { packet, .. })) => {
                self.record_connect(&packet);
                self.with_state(|state| (mutant.on_incoming)(state, packet))
            }
            Input::FromNetwork(Received::Arrived(Arrived::Malformed { bytes, .. })) => {
                self.with_state(|state| (mutant.on_malformed)(state, bytes))
            }
            Input::FromNetwork(Received::Ended(_)) => {
                self.network = None;
                self.with_state(|state| {
                    let effects = (mutant.on_network_end)(state);
                    state.record_end();
                    effects
                })
            }
            Input::FromPeer(Received::Arrived(Arrived::Packet { packet, .. })) => {
                self.record_connect(&packet);
                self.with_state(|state| (mutant.on_outgoing)(state, packet))
            }
            // The answer to a malformed CONNECT may be in any version, so it need not decode in
            // this one.
            Input::FromPeer(Received::Arrived(Arrived::Malformed { bytes, .. })) => {
                vec![Effect::SendBytes(bytes)]
            }
            Input::FromPeer(Received::Ended(_)) => {
                self.peer = None;
                self.with_state(mutant.on_peer_close)
            }
        }
    }

    /// Takes the version of all later packets from a CONNECT.
    fn record_connect(&mut self, packet: &Packet) {
        let Packet::Connect(connect) = packet else { return };
        self.version = connect.version;
        match self.shared.mutant.role {
            Role::Server => set_version(&mut self.peer, connect.version),
            Role::Client => set_version(&mut self.network, connect.version),
        }
        self.with_state(|state| state.record_connect(connect));
    }

    /// Calls a function with the shared state, in which this Network Connection is the current one.
    fn with_state<R>(&mut self, function: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.shared.state.borrow_mut();
        std::mem::swap(&mut state.connection, &mut self.connection);
        let result = function(&mut state);
        std::mem::swap(&mut state.connection, &mut self.connection);
        result
    }

    async fn apply(&mut self, effect: Effect) {
        let now = mqttspec_runtime::now();
        match effect {
            Effect::Send(packet) => write(&mut self.network, &packet, self.version).await,
            Effect::SendBytes(bytes) => write_bytes(&mut self.network, &bytes).await,
            Effect::SendInParts(packet) => {
                let bytes = encoded(&packet, self.version).unwrap_or_default();
                let (first, second) = bytes.split_at(bytes.len() / 2);
                write_bytes(&mut self.network, first).await;
                mqttspec_runtime::sleep(BETWEEN_PARTS).await;
                write_bytes(&mut self.network, second).await;
            }
            Effect::SendLater(delay, packet) => self.delayed.push((now + delay, Effect::Send(packet))),
            Effect::Deliver(packet) => write(&mut self.peer, &packet, self.version).await,
            Effect::DeliverBytes(bytes) => write_bytes(&mut self.peer, &bytes).await,
            Effect::DeliverLater(delay, packet) => self.delayed.push((now + delay, Effect::Deliver(packet))),
            Effect::DeliverEnd => self.peer = None,
            Effect::Close => {
                self.network = None;
                self.with_state(State::record_end);
            }
            Effect::CloseLater(delay) => self.delayed.push((now + delay, Effect::Close)),
            Effect::Dial(delay) => {
                let connect = self.connection.connect.clone().map(Packet::Connect);
                let bytes = connect.and_then(|connect| encoded(&connect, self.version));
                let dial = self.shared.dial.borrow().clone();
                if let (Some(bytes), Some(dial)) = (bytes, dial) {
                    dial(delay, bytes);
                }
            }
            Effect::OnConnection(number, effect) => {
                let tasks = self.shared.tasks.borrow();
                if let Some(task) = tasks.get(&number) {
                    // The task of a connection that has ended receives nothing.
                    let _ = task.send(*effect);
                }
            }
        }
    }
}

/// Opens a Network Connection, sends these bytes and reads until the other end closes.
async fn dial<N: Net>(net: N, host: String, port: u16, delay: Duration, bytes: Vec<u8>) {
    mqttspec_runtime::sleep(delay).await;
    let Ok(mut stream) = net.connect(&host, port).await else { return };
    if stream.write_all(&bytes).await.is_ok() {
        let mut ignored = [0; 256];
        while stream.read(&mut ignored).await.is_ok_and(|length| length > 0) {}
    }
}

fn set_version<S: AsyncRead + AsyncWrite + Unpin>(end: &mut Option<Framed<S>>, version: Version) {
    if let Some(end) = end {
        end.inflow_mut().decoder_mut().set_version(version);
    }
}

async fn receive<S: AsyncRead + AsyncWrite + Unpin>(end: &mut Option<Framed<S>>) -> Received {
    match end {
        Some(end) => end.receive().await,
        None => pending().await,
    }
}

/// Writes a packet that has an encoding, if the end is open. Errors are ignored: reading from the
/// same end reports that it is closed.
async fn write<S: AsyncRead + AsyncWrite + Unpin>(
    end: &mut Option<Framed<S>>,
    packet: &Packet,
    version: Version,
) {
    if let Some(end) = end {
        drop(end.send(packet, version).await);
    }
}

async fn write_bytes<S: AsyncRead + AsyncWrite + Unpin>(end: &mut Option<Framed<S>>, bytes: &[u8]) {
    if let Some(end) = end {
        drop(end.send_bytes(bytes).await);
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => mqttspec_runtime::sleep_until(due).await,
        None => pending().await,
    }
}
