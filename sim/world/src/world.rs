//! The handle by which a director lets time pass and faults happen.

use crate::builder::Builder;
use crate::disk::DiskFaults;
use crate::error::WorldError;
use crate::history::{ConnectionId, EventKind, HostId, Statistics};
use crate::link::Selection;
use crate::links::Links;
use crate::seed::Seed;
use crate::simulation::Simulation;
use crate::stream::WorldNet;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

/// The director's handle on the running world. Clones are the same world.
#[derive(Clone)]
pub struct World {
    pub(crate) simulation: Rc<Simulation>,
}

impl World {
    /// Begins the description of a world. The seed is the whole input of chance: it repeats a run bit for bit.
    pub fn builder(seed: u64) -> Builder {
        Builder::new(seed)
    }

    /// Simulated time since the start of the run.
    pub fn now(&self) -> Duration {
        self.simulation.now()
    }

    /// Lets simulated time pass.
    pub async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    /// Lets simulated time pass until so long after the start of the run; returns at once if that is over.
    pub async fn sleep_until(&self, since_start: Duration) {
        tokio::time::sleep_until(self.simulation.began + since_start).await;
    }

    /// The run's seed, for what a director wants to draw; each name is a stream of its own.
    pub fn seed(&self, purpose: &str) -> Seed {
        self.simulation.seed.child("director").child(purpose)
    }

    /// The names of the hosts, in the order of declaration.
    pub fn hosts(&self) -> Vec<Arc<str>> {
        self.simulation.hosts.iter().map(|host| host.name.clone()).collect()
    }

    /// The host's number, as events name it.
    ///
    /// # Errors
    /// [`WorldError::UnknownHost`].
    pub fn host(&self, name: &str) -> Result<HostId, WorldError> {
        self.find(name).map(HostId)
    }

    /// The network of a host in its present life, for a director that wants to speak for it.
    ///
    /// # Errors
    /// [`WorldError::UnknownHost`]; [`WorldError::Down`] if it does not run.
    pub fn net(&self, host: &str) -> Result<WorldNet, WorldError> {
        let index = self.running(host)?;
        let incarnation = self.simulation.hosts[usize::from(index)].incarnation.get();
        Ok(WorldNet::new(&self.simulation, index, incarnation))
    }

    /// True while the host's process runs.
    ///
    /// # Errors
    /// [`WorldError::UnknownHost`].
    pub fn is_up(&self, host: &str) -> Result<bool, WorldError> {
        Ok(self.simulation.hosts[usize::from(self.find(host)?)].is_up())
    }

    /// How often the host has been started.
    ///
    /// # Errors
    /// [`WorldError::UnknownHost`].
    pub fn incarnation(&self, host: &str) -> Result<u32, WorldError> {
        Ok(self.simulation.hosts[usize::from(self.find(host)?)].incarnation.get())
    }

    /// Starts a host that is down, after a crash or for the first time.
    ///
    /// # Errors
    /// [`WorldError::UnknownHost`]; [`WorldError::AlreadyUp`].
    pub fn start(&self, host: &str) -> Result<(), WorldError> {
        let index = self.find(host)?;
        if self.simulation.hosts[usize::from(index)].is_up() {
            return Err(WorldError::AlreadyUp(host.to_owned()));
        }
        self.simulation.start(index);
        Ok(())
    }

    /// Power failure: from now on nothing leaves the host, what its disk had not synced is gone, and its peers learn of it as
    /// real peers would, by a time-out, or by a reset when they next speak to the machine after its start.
    ///
    /// # Errors
    /// [`WorldError::UnknownHost`]; [`WorldError::Down`].
    pub fn crash(&self, host: &str) -> Result<(), WorldError> {
        let index = self.running(host)?;
        self.simulation.crash(index);
        Ok(())
    }

    /// Ends the host's process by force. Its machine lives on: it closes the sockets (peers see an end, or a reset if the
    /// process left bytes unread), refuses connections, and keeps what was written to the disk.
    ///
    /// # Errors
    /// [`WorldError::UnknownHost`]; [`WorldError::Down`].
    pub fn kill(&self, host: &str) -> Result<(), WorldError> {
        let index = self.running(host)?;
        self.simulation.kill(index);
        Ok(())
    }

    /// Asks the host to shut down: [`HostContext::shutdown_requested`] returns. What follows is up to its main task.
    ///
    /// # Errors
    /// [`WorldError::UnknownHost`]; [`WorldError::Down`].
    pub fn shutdown(&self, host: &str) -> Result<(), WorldError> {
        let index = self.running(host)?;
        self.simulation.record(Some(index), EventKind::ShutdownRequested);
        let stop = self.simulation.hosts[usize::from(index)].stop.borrow().clone();
        stop.requested.set(true);
        stop.changed.notify_waiters();
        Ok(())
    }

    /// The host's process stops reading from its connections: bytes stay in its buffers, and once those are full its peers
    /// have to wait.
    ///
    /// # Errors
    /// [`WorldError::UnknownHost`]; [`WorldError::Down`].
    pub fn stall_reading(&self, host: &str) -> Result<(), WorldError> {
        self.set_stalled(host, true)
    }

    /// The host's process reads again.
    ///
    /// # Errors
    /// [`WorldError::UnknownHost`]; [`WorldError::Down`].
    pub fn resume_reading(&self, host: &str) -> Result<(), WorldError> {
        self.set_stalled(host, false)
    }

    /// The disk of a host, to let it fail.
    ///
    /// # Errors
    /// [`WorldError::UnknownHost`].
    pub fn disk(&self, host: &str) -> Result<DiskFaults, WorldError> {
        let index = self.find(host)?;
        let simulation = Rc::downgrade(&self.simulation);
        let record = move |fault: String| {
            if let Some(simulation) = simulation.upgrade() {
                simulation.record(Some(index), EventKind::DiskFault { fault: fault.into() });
            }
        };
        Ok(DiskFaults {
            drive: self.simulation.hosts[usize::from(index)].drive.clone(),
            record: Rc::new(record),
        })
    }

    /// Both directions between two hosts.
    ///
    /// # Errors
    /// [`WorldError::UnknownHost`]; [`WorldError::SameHost`].
    pub fn between(&self, a: &str, b: &str) -> Result<Links, WorldError> {
        let (a, b) = self.pair(a, b)?;
        Ok(self.links(Selection::Between(a, b)))
    }

    /// The direction from one host to another.
    ///
    /// # Errors
    /// [`WorldError::UnknownHost`]; [`WorldError::SameHost`].
    pub fn one_way(&self, from: &str, to: &str) -> Result<Links, WorldError> {
        let (from, to) = self.pair(from, to)?;
        Ok(self.links(Selection::OneWay(from, to)))
    }

    /// All links of a host, in both directions.
    ///
    /// # Errors
    /// [`WorldError::UnknownHost`].
    pub fn around(&self, host: &str) -> Result<Links, WorldError> {
        Ok(self.links(Selection::Around(self.find(host)?)))
    }

    /// All directions that lead away from a host.
    ///
    /// # Errors
    /// [`WorldError::UnknownHost`].
    pub fn from(&self, host: &str) -> Result<Links, WorldError> {
        Ok(self.links(Selection::From(self.find(host)?)))
    }

    /// All directions that lead to a host.
    ///
    /// # Errors
    /// [`WorldError::UnknownHost`].
    pub fn to(&self, host: &str) -> Result<Links, WorldError> {
        Ok(self.links(Selection::To(self.find(host)?)))
    }

    /// Every link of the world.
    pub fn everywhere(&self) -> Links {
        self.links(Selection::Everywhere)
    }

    /// The connections that are open, oldest first, with the host that asked for each and the host that was asked.
    pub fn connections(&self) -> Vec<(ConnectionId, HostId, HostId)> {
        let mut network = self.simulation.network.borrow_mut();
        let keys = network.select(Selection::Everywhere);
        keys.into_iter().filter_map(|key| network.describe(key)).collect()
    }

    /// Resets one connection: both ends learn of it at once.
    ///
    /// # Errors
    /// [`WorldError::UnknownConnection`].
    pub fn reset_connection(&self, connection: ConnectionId) -> Result<(), WorldError> {
        let mut network = self.simulation.network.borrow_mut();
        let key =
            network.connections.with_id(connection).ok_or(WorldError::UnknownConnection(connection.get()))?;
        network.reset_connections(self.now(), &[key]);
        Ok(())
    }

    /// Puts something on record in the history of the run.
    pub fn note(&self, text: impl Into<Arc<str>>) {
        self.simulation.record(None, EventKind::Note { text: text.into() });
    }

    /// The hash over the history so far.
    pub fn hash(&self) -> u128 {
        self.simulation.network.borrow().history.hash()
    }

    /// What the run took so far.
    pub fn statistics(&self) -> Statistics {
        self.simulation.statistics()
    }

    fn set_stalled(&self, host: &str, stalled: bool) -> Result<(), WorldError> {
        let index = self.running(host)?;
        self.simulation.record(Some(index), EventKind::ReadingStalled { stalled });
        let mut network = self.simulation.network.borrow_mut();
        let machine = &mut network.machines[usize::from(index)];
        machine.stalled = stalled;
        let readers = std::mem::take(&mut machine.stalled_readers);
        drop(network);
        readers.into_iter().for_each(Waker::wake);
        Ok(())
    }

    pub(crate) fn links(&self, selection: Selection) -> Links {
        Links::new(self.simulation.clone(), selection)
    }

    pub(crate) fn find(&self, name: &str) -> Result<u16, WorldError> {
        if !self.simulation.is_open() {
            return Err(WorldError::Over);
        }
        self.simulation.host_named(name).ok_or_else(|| WorldError::UnknownHost(name.to_owned()))
    }

    pub(crate) fn running(&self, name: &str) -> Result<u16, WorldError> {
        let index = self.find(name)?;
        if self.simulation.hosts[usize::from(index)].is_up() {
            Ok(index)
        } else {
            Err(WorldError::Down(name.to_owned()))
        }
    }

    pub(crate) fn pair(&self, a: &str, b: &str) -> Result<(u16, u16), WorldError> {
        let pair = (self.find(a)?, self.find(b)?);
        if pair.0 == pair.1 { Err(WorldError::SameHost(a.to_owned())) } else { Ok(pair) }
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "World(seed {}, {} hosts)", self.simulation.seed_number, self.simulation.hosts.len())
    }
}
