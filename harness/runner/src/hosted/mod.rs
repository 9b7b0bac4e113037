//! Hosted peers: a broker from outside this project on a host of a simulation, in place of the
//! reference broker.
//!
//! - [`host`]: what a peer gets at each start
//! - [`lives`]: its starts during one run, and what they mean for the verdict
//! - [`case`]: what the runs of one case need of it

mod case;
mod host;
mod lives;
mod panics;

use core::future::Future;
use core::pin::Pin;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use mqttspec_turmoil::{HostNet, TurmoilDisk};
use mqttspec_world::{WorldDisk, WorldNet};

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

/// A broker under test: the closure that makes its main task at each start.
#[derive(Clone)]
pub struct HostedBroker(Kind);

#[derive(Clone)]
enum Kind {
    World(Arc<dyn Fn(WorldHost) -> Main + Send + Sync>),
    Turmoil(Arc<dyn Fn(TurmoilHost) -> Main + Send + Sync>),
}

impl HostedBroker {
    /// A broker for the simulated world.
    pub fn in_world<F, Fut>(main: F) -> Self
    where
        F: Fn(WorldHost) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = PeerResult> + 'static,
    {
        Self(Kind::World(Arc::new(move |host| Box::pin(main(host)))))
    }

    /// A broker for a stock turmoil simulation.
    pub fn in_turmoil<F, Fut>(main: F) -> Self
    where
        F: Fn(TurmoilHost) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = PeerResult> + 'static,
    {
        Self(Kind::Turmoil(Arc::new(move |host| Box::pin(main(host)))))
    }

    pub(crate) fn simulator(&self) -> Simulator {
        match self.0 {
            Kind::World(_) => Simulator::World,
            Kind::Turmoil(_) => Simulator::Turmoil,
        }
    }
}

impl fmt::Debug for HostedBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostedBroker({:?})", self.simulator())
    }
}
