//! What a host receives at each start: its network, disk, seed, clock and name.

use crate::disk::WorldDisk;
use crate::history::EventKind;
use crate::seed::Seed;
use crate::simulation::{Simulation, Stop};
use crate::stream::WorldNet;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// The types that a host's main task may return.
pub trait HostResult {
    /// Converts an error to its message.
    fn into_result(self) -> Result<(), String>;
}

impl HostResult for () {
    fn into_result(self) -> Result<(), String> {
        Ok(())
    }
}

impl<E: fmt::Display> HostResult for Result<(), E> {
    fn into_result(self) -> Result<(), String> {
        self.map_err(|error| error.to_string())
    }
}

/// The context that a host receives at each start: its network, disk, seed, clock and name.
#[derive(Clone)]
pub struct HostContext {
    pub(crate) simulation: Rc<Simulation>,
    pub(crate) host: u16,
    pub(crate) incarnation: u32,
    pub(crate) stop: Rc<Stop>,
}

impl HostContext {
    /// The host's name.
    pub fn name(&self) -> &str {
        &self.simulation.hosts[usize::from(self.host)].name
    }

    /// How often this host has been started, including this start: 1 at the first.
    pub fn incarnation(&self) -> u32 {
        self.incarnation
    }

    /// The host's network.
    pub fn net(&self) -> WorldNet {
        WorldNet::new(&self.simulation, self.host, self.incarnation)
    }

    /// The host's disk. Synced data survives a crash of the host.
    pub fn disk(&self) -> WorldDisk {
        self.simulation.hosts[usize::from(self.host)].drive.disk()
    }

    /// The seed of this host at this start. It differs between hosts and starts, and is the same in
    /// each repetition of the run.
    pub fn seed(&self) -> Seed {
        self.simulation.seed.child("hosts").child(self.name()).nth(u64::from(self.incarnation))
    }

    /// Simulated time since the start of the run.
    pub fn now(&self) -> Duration {
        self.simulation.now()
    }

    /// Records a note in the history of the run.
    pub fn note(&self, text: impl Into<Arc<str>>) {
        self.simulation.record(Some(self.host), EventKind::Note { text: text.into() });
    }

    /// Returns once this host was asked to shut down. A main task that ignores it keeps running.
    pub async fn shutdown_requested(&self) {
        while !self.stop.requested.get() {
            self.stop.changed.notified().await;
        }
    }
}

impl fmt::Debug for HostContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostContext({} #{})", self.name(), self.incarnation)
    }
}
