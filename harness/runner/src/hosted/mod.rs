//! Hosted peers: a broker or client from outside this project on a host of a simulation, in place
//! of the reference peer.
//!
//! - [`host`]: what a peer gets at each start; [`app`]: the application of a client
//! - [`lives`]: its starts during one run, and what they mean for the verdict
//! - [`case`]: what the runs of one case need of it

mod app;
mod case;
mod host;
mod lives;
mod panics;

use core::future::Future;
use core::pin::Pin;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use mqttspec_codec::Role;
use mqttspec_turmoil::{HostNet, TurmoilDisk};
pub use mqttspec_world::{WorldDisk, WorldNet};

pub use self::app::{
    App, ClientCommand, ClientEvent, CommandId, Connect, Disconnect, Events, PacketProperties, Publish,
    Subscription, Trouble, Will,
};
pub(crate) use self::case::HostedCase;
pub use self::host::{Host, Unsupported};
pub(crate) use self::lives::Lives;
pub(crate) use self::panics::Remembering;
pub use self::panics::remember_panics;
use crate::simulator::Simulator;

/// What the main task of a peer returns. `Err` with an [`Unsupported`] skips the case; any other
/// error is the failure of the case.
pub type PeerResult = Result<(), Box<dyn Error>>;

/// The main task of a peer.
type Main = Pin<Box<dyn Future<Output = PeerResult>>>;

/// A host in the simulated world.
pub type WorldHost = Host<WorldNet, WorldDisk>;

/// A host of a turmoil simulation. Code on it may use the types of `turmoil::net` as well.
pub type TurmoilHost = Host<HostNet, TurmoilDisk>;

/// A peer under test: the closure that makes its main task at each start.
#[derive(Clone)]
pub struct HostedPeer(Kind);

#[derive(Clone)]
enum Kind {
    World(Arc<dyn Fn(WorldHost) -> Main + Send + Sync>),
    Turmoil(Arc<dyn Fn(TurmoilHost) -> Main + Send + Sync>),
    Client { main: Arc<dyn Fn(WorldHost, App) -> Main + Send + Sync>, reconnects: bool },
}

impl HostedPeer {
    /// A broker for the simulated world.
    pub fn broker_in_world<F, Fut>(main: F) -> Self
    where
        F: Fn(WorldHost) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = PeerResult> + 'static,
    {
        Self(Kind::World(Arc::new(move |host| Box::pin(main(host)))))
    }

    /// A broker for a stock turmoil simulation.
    pub fn broker_in_turmoil<F, Fut>(main: F) -> Self
    where
        F: Fn(TurmoilHost) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = PeerResult> + 'static,
    {
        Self(Kind::Turmoil(Arc::new(move |host| Box::pin(main(host)))))
    }

    /// A client for the simulated world.
    pub fn client_in_world<F, Fut>(main: F) -> Self
    where
        F: Fn(WorldHost, App) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = PeerResult> + 'static,
    {
        let main = Arc::new(move |host, app| -> Main { Box::pin(main(host, app)) });
        Self(Kind::Client { main, reconnects: false })
    }

    /// The client connects again by itself after a loss. Otherwise its application does.
    #[must_use]
    pub fn reconnecting(mut self) -> Self {
        if let Kind::Client { reconnects, .. } = &mut self.0 {
            *reconnects = true;
        }
        self
    }

    /// The role of the peer.
    #[must_use]
    pub fn role(&self) -> Role {
        match self.0 {
            Kind::World(_) | Kind::Turmoil(_) => Role::Server,
            Kind::Client { .. } => Role::Client,
        }
    }

    fn reconnects(&self) -> bool {
        matches!(self.0, Kind::Client { reconnects: true, .. })
    }

    pub(crate) fn simulator(&self) -> Simulator {
        match self.0 {
            Kind::World(_) | Kind::Client { .. } => Simulator::World,
            Kind::Turmoil(_) => Simulator::Turmoil,
        }
    }
}

impl fmt::Debug for HostedPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostedPeer({:?}, {:?})", self.role(), self.simulator())
    }
}
