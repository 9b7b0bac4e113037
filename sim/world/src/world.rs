//! The handle with which a director lets time pass and injects faults.

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

/// The director's handle on the running world. Clones refer to the same world.
#[derive(Clone)]
pub struct World {
    pub(crate) simulation: Rc<Simulation>,
}

impl World {
    /// Simulated time since the start of the run.
    pub fn now(&self) -> Duration {
        self.simulation.now()
    }

    /// Lets simulated time pass.
    pub async fn sleep(&self, duration: Duration) {
        mqttspec_runtime::sleep(duration).await;
    }

    /// Lets simulated time pass until the given time after the start of the run. Returns at once if
    /// that time has passed.
    pub async fn sleep_until(&self, since_start: Duration) {
        mqttspec_runtime::sleep_until(self.simulation.began + since_start).await;
    }

    /// The run's seed, for random choices of the director; each purpose has its own stream.
    pub fn seed(&self, purpose: &str) -> Seed {
        self.simulation.seed.child("director").child(purpose)
    }

    /// The names of the hosts, in the order of declaration.
    pub fn hosts(&self) -> Vec<Arc<str>> {
        self.simulation.hosts.iter().map(|host| host.name.clone()).collect()
    }

    /// The host's identifier, as used in events.
    ///
    /// # Errors
    /// [`WorldError::UnknownHost`].
    pub fn host(&self, name: &str) -> Result<HostId, WorldError> {
        self.find(name).map(HostId)
    }

    /// The network of a host until the host stops, for a director that acts in place of the host.
    ///
    /// # Errors
    /// [`WorldError::UnknownHost`]; [`WorldError::Down`] if it is not running.
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

    /// Power failure: the host sends nothing more, and unsynced writes to its disk are lost. Its
    /// peers notice as real peers would: by a time-out, or by a reset when they next send to the
    /// restarted machine.
    ///
    /// # Errors
    /// [`WorldError::UnknownHost`]; [`WorldError::Down`].
    pub fn crash(&self, host: &str) -> Result<(), WorldError> {
        let index = self.running(host)?;
        self.simulation.crash(index);
        Ok(())
    }

    /// Kills the host's process. Its machine keeps running: it closes the sockets (peers see an
    /// end, or a reset if the process left bytes unread), refuses connections, and keeps everything
    /// written to the disk.
    ///
    /// # Errors
    /// [`WorldError::UnknownHost`]; [`WorldError::Down`].
    pub fn kill(&self, host: &str) -> Result<(), WorldError> {
        let index = self.running(host)?;
        self.simulation.kill(index);
        Ok(())
    }

    /// Asks the host to shut down: [`HostContext::shutdown_requested`] returns. The rest is up to
    /// the host's main task.
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

    /// Stops the host's process from reading its connections: bytes stay in its buffers, and once
    /// those are full its peers must wait.
    ///
    /// # Errors
    /// [`WorldError::UnknownHost`]; [`WorldError::Down`].
    pub fn stall_reading(&self, host: &str) -> Result<(), WorldError> {
        self.set_stalled(host, true)
    }

    /// Lets the host's process read again.
    ///
    /// # Errors
    /// [`WorldError::UnknownHost`]; [`WorldError::Down`].
    pub fn resume_reading(&self, host: &str) -> Result<(), WorldError> {
        self.set_stalled(host, false)
    }

    /// The disk of a host, to inject faults.
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

    /// The direction from a host to every other host.
    ///
    /// # Errors
    /// [`WorldError::UnknownHost`].
    pub fn from(&self, host: &str) -> Result<Links, WorldError> {
        Ok(self.links(Selection::From(self.find(host)?)))
    }

    /// The direction from every other host to a host.
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

    /// The open connections, oldest first, each with its connecting and its accepting host.
    pub fn connections(&self) -> Vec<(ConnectionId, HostId, HostId)> {
        let mut network = self.simulation.network.borrow_mut();
        let keys = network.select(Selection::Everywhere);
        keys.into_iter().filter_map(|key| network.describe(key)).collect()
    }

    /// Resets one connection: both ends see it at once.
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

    /// Records a note in the history of the run.
    pub fn note(&self, text: impl Into<Arc<str>>) {
        self.simulation.record(None, EventKind::Note { text: text.into() });
    }

    /// The hash of the history so far.
    pub fn hash(&self) -> u128 {
        self.simulation.network.borrow().history.hash()
    }

    /// The counters of the run so far.
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
