//! The liar's place on the wire: between a reference peer's driver and its network, so that what the peer says and hears passes through a defect.

use core::future::pending;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use mqttspec_codec::{Packet, Role, Version};
use mqttspec_net::framed::{Arrived, Framed, Received};
use mqttspec_ports::{Listener, Net};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, duplex};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::{Deed, Defect, Scene, Wire};

/// What may wait between the peer and the liar, in bytes.
const BUFFER: usize = 64 * 1024;

/// A network on which a peer's packets pass through its defect.
#[derive(Clone)]
pub struct LyingNet<N> {
    net: N,
    liar: Rc<Liar>,
}

/// The liar of one life of a peer.
struct Liar {
    defect: &'static Defect,
    scene: RefCell<Scene>,
    /// The ways to the Network Connections, by number.
    wires: RefCell<BTreeMap<u32, mpsc::UnboundedSender<Deed>>>,
}

impl<N: Net> LyingNet<N> {
    /// A network whose connections pass through this mutant.
    #[must_use]
    pub fn new(net: N, defect: &'static Defect) -> Self {
        let liar = Liar { defect, scene: RefCell::default(), wires: RefCell::default() };
        Self { net, liar: Rc::new(liar) }
    }
}

impl<N: Net> Net for LyingNet<N> {
    type Stream = DuplexStream;
    type Listener = LyingListener<N::Listener>;

    async fn connect(&self, host: &str, port: u16) -> io::Result<DuplexStream> {
        let wire = self.net.connect(host, port).await?;
        Ok(bend(wire, &self.liar))
    }

    async fn listen(&self, port: u16) -> io::Result<Self::Listener> {
        Ok(LyingListener { listener: self.net.listen(port).await?, liar: self.liar.clone() })
    }

    fn reset(&self, stream: DuplexStream) {
        drop(stream);
    }
}

pub struct LyingListener<L> {
    listener: L,
    liar: Rc<Liar>,
}

impl<L: Listener<Stream: AsyncRead + AsyncWrite + Unpin + 'static>> Listener for LyingListener<L> {
    type Stream = DuplexStream;

    async fn accept(&self) -> io::Result<(DuplexStream, SocketAddr)> {
        let (wire, address) = self.listener.accept().await?;
        Ok((bend(wire, &self.liar), address))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Puts the liar on a wire; the peer's end of it.
fn bend<S: AsyncRead + AsyncWrite + Unpin + 'static>(wire: S, liar: &Rc<Liar>) -> DuplexStream {
    let (end, peer) = duplex(BUFFER);
    let number = u32::try_from(liar.wires.borrow().len() + 1).unwrap_or(u32::MAX);
    let (orders, ordered) = mpsc::unbounded_channel();
    liar.wires.borrow_mut().insert(number, orders);
    let (wire, peer) = match liar.defect.side {
        Role::Server => (Framed::accepted(wire), Framed::dialled(peer, Version::V5)),
        Role::Client => (Framed::dialled(wire, Version::V5), Framed::accepted(peer)),
    };
    let between = Between {
        liar: liar.clone(),
        state: Wire::new(number),
        version: Version::V5,
        wire: Some(wire),
        peer: Some(peer),
        later: Vec::new(),
    };
    tokio::task::spawn_local(between.run(ordered));
    end
}

/// A Network Connection with a liar in it.
struct Between<S> {
    liar: Rc<Liar>,
    state: Wire,
    version: Version,
    wire: Option<Framed<S>>,
    peer: Option<Framed<DuplexStream>>,
    /// What is to be done later.
    later: Vec<(Instant, Deed)>,
}

enum Heard {
    FromWire(Received),
    FromPeer(Received),
    Deed(Deed),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Between<S> {
    async fn run(mut self, mut ordered: mpsc::UnboundedReceiver<Deed>) {
        while self.wire.is_some() || self.peer.is_some() {
            let heard = self.next(&mut ordered).await;
            let deeds = self.deeds(heard);
            for deed in deeds {
                self.perform(deed).await;
            }
        }
    }

    async fn next(&mut self, ordered: &mut mpsc::UnboundedReceiver<Deed>) -> Heard {
        let first = (0..self.later.len()).min_by_key(|index| self.later[*index].0);
        let due = first.map(|index| self.later[index].0);
        tokio::select! {
            biased;
            Some(deed) = ordered.recv() => return Heard::Deed(deed),
            received = receive(&mut self.wire) => return Heard::FromWire(received),
            received = receive(&mut self.peer) => return Heard::FromPeer(received),
            () = sleep_until(due) => {}
        }
        let (_, deed) = self.later.remove(first.unwrap_or(0));
        Heard::Deed(deed)
    }

    fn deeds(&mut self, heard: Heard) -> Vec<Deed> {
        let defect = self.liar.defect;
        match heard {
            Heard::Deed(deed) => vec![deed],
            Heard::FromWire(Received::Arrived(Arrived::Packet { packet, .. })) => {
                self.meet(&packet);
                self.ask(|scene| (defect.hears)(scene, packet))
            }
            Heard::FromWire(Received::Arrived(Arrived::Malformed { bytes, .. })) => {
                self.ask(|scene| (defect.hears_malformed)(scene, bytes))
            }
            Heard::FromWire(Received::Ended(_)) => {
                self.wire = None;
                self.ask(|scene| {
                    let deeds = (defect.loses)(scene);
                    scene.part();
                    deeds
                })
            }
            Heard::FromPeer(Received::Arrived(Arrived::Packet { packet, .. })) => {
                self.meet(&packet);
                self.ask(|scene| (defect.says)(scene, packet))
            }
            // The answer to a CONNECT that is none may be in any version.
            Heard::FromPeer(Received::Arrived(Arrived::Malformed { bytes, .. })) => {
                vec![Deed::SayBytes(bytes)]
            }
            Heard::FromPeer(Received::Ended(_)) => {
                self.peer = None;
                self.ask(defect.closes)
            }
        }
    }

    /// A CONNECT tells the version of everything behind it.
    fn meet(&mut self, packet: &Packet) {
        let Packet::Connect(connect) = packet else { return };
        self.version = connect.version;
        match self.liar.defect.side {
            Role::Server => set_version(&mut self.peer, connect.version),
            Role::Client => set_version(&mut self.wire, connect.version),
        }
        self.ask(|scene| scene.meet(connect));
    }

    /// Asks the defect, with the scene as it is on this Network Connection.
    fn ask<R>(&mut self, question: impl FnOnce(&mut Scene) -> R) -> R {
        let mut scene = self.liar.scene.borrow_mut();
        std::mem::swap(&mut scene.wire, &mut self.state);
        let answer = question(&mut scene);
        std::mem::swap(&mut scene.wire, &mut self.state);
        answer
    }

    async fn perform(&mut self, deed: Deed) {
        let now = Instant::now();
        match deed {
            Deed::Say(packet) => send(&mut self.wire, &packet, self.version).await,
            Deed::SayBytes(bytes) => send_bytes(&mut self.wire, &bytes).await,
            Deed::SayLater(delay, packet) => self.later.push((now + delay, Deed::Say(packet))),
            Deed::Tell(packet) => send(&mut self.peer, &packet, self.version).await,
            Deed::TellBytes(bytes) => send_bytes(&mut self.peer, &bytes).await,
            Deed::TellLater(delay, packet) => self.later.push((now + delay, Deed::Tell(packet))),
            Deed::TellEnd => self.peer = None,
            Deed::Close => {
                self.wire = None;
                self.ask(Scene::part);
            }
            Deed::CloseLater(delay) => self.later.push((now + delay, Deed::Close)),
            Deed::Elsewhere(number, deed) => {
                let wires = self.liar.wires.borrow();
                if let Some(wire) = wires.get(&number) {
                    // A connection that is over has nobody to do it.
                    let _ = wire.send(*deed);
                }
            }
        }
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

/// Sends what has an encoding, to an end that stands. That it is gone is learnt by reading from it.
async fn send<S: AsyncRead + AsyncWrite + Unpin>(
    end: &mut Option<Framed<S>>,
    packet: &Packet,
    version: Version,
) {
    if let Some(end) = end {
        drop(end.send(packet, version).await);
    }
}

async fn send_bytes<S: AsyncRead + AsyncWrite + Unpin>(end: &mut Option<Framed<S>>, bytes: &[u8]) {
    if let Some(end) = end {
        drop(end.send_bytes(bytes).await);
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => pending().await,
    }
}
