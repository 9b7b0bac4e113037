//! The world as a backend of faults.

use crate::error::WorldError;
use crate::history::HostId;
use crate::link::{LinkChange, Selection};
use crate::world::World;
use mqttspec_faults::{Fault, FaultError, Inject, LinkState, Unsupported, Way};
use mqttspec_runtime::timeout;
use std::time::Duration;

impl From<WorldError> for FaultError {
    fn from(error: WorldError) -> FaultError {
        match error {
            WorldError::UnknownHost(host) => FaultError::UnknownHost(host),
            WorldError::SameHost(host) => FaultError::NoLink { from: host.clone(), to: host },
            WorldError::Down(host) => FaultError::Down(host),
            WorldError::AlreadyUp(host) => FaultError::AlreadyUp(host),
            WorldError::UnknownConnection(_) | WorldError::Over => FaultError::Failed(error.to_string()),
        }
    }
}

/// A disk loss comes at one of this many operations.
const OPERATIONS: u64 = 8;

impl World {
    fn selection(&self, on: &Way) -> Result<Selection, WorldError> {
        Ok(match on {
            Way::Everywhere => Selection::Everywhere,
            Way::Around(host) => Selection::Around(self.find(host)?),
            Way::To(host) => Selection::To(self.find(host)?),
            Way::OneWay { from, to } => {
                let (from, to) = self.pair(from, to)?;
                Selection::OneWay(from, to)
            }
        })
    }
}

/// The world models every fault. What [`Links`](crate::Links) and [`DiskFaults`](crate::DiskFaults)
/// set is apart: a fault is on top of it while it is active.
impl Inject for World {
    type Link = (HostId, HostId);

    fn supports(&self, _: &Fault) -> Result<(), Unsupported> {
        Ok(())
    }

    fn links(&self, on: &Way) -> Result<Vec<(HostId, HostId)>, FaultError> {
        let pairs = self.simulation.network.borrow().links.pairs(self.selection(on)?);
        Ok(pairs.into_iter().map(|(from, to)| (HostId(from), HostId(to))).collect())
    }

    fn set(&self, (from, to): &(HostId, HostId), state: &LinkState) {
        self.links(Selection::OneWay(from.0, to.0)).change(&LinkChange::Faults(state.clone()));
    }

    fn reset(&self, on: &Way) -> Result<(), FaultError> {
        self.links(self.selection(on)?).reset();
        Ok(())
    }

    fn half_open(&self, on: &Way) -> Result<(), FaultError> {
        self.links(self.selection(on)?).blackhole();
        Ok(())
    }

    fn stall_reading(&self, host: &str) -> Result<(), FaultError> {
        Ok(World::stall_reading(self, host)?)
    }

    fn resume_reading(&self, host: &str) -> Result<(), FaultError> {
        Ok(World::resume_reading(self, host)?)
    }

    fn fill_disk(&self, host: &str) -> Result<(), FaultError> {
        self.disk(host)?.capacity(Some(0));
        Ok(())
    }

    fn free_disk(&self, host: &str) -> Result<(), FaultError> {
        self.disk(host)?.capacity(None);
        Ok(())
    }

    async fn crash(&self, host: &str) -> Result<(), FaultError> {
        Ok(World::crash(self, host)?)
    }

    fn crash_at_write(
        &self,
        host: &str,
        within: Duration,
    ) -> Result<impl Future<Output = Result<(), FaultError>> + 'static, FaultError> {
        let index = self.running(host)?;
        let disk = self.disk(host)?;
        let nth = 1 + self.seed("disk loss").nth(disk.operations()).draw().below(OPERATIONS);
        disk.power_fails_at(Some(nth));
        let down = self.simulation.hosts[usize::from(index)].went_down.clone().notified_owned();
        let (world, host) = (self.clone(), host.to_owned());
        Ok(async move {
            if timeout(within, down).await.is_err() {
                World::crash(&world, &host)?;
            }
            // Still set if the host ended in another way.
            if disk.forget_power_failure() { Err(FaultError::Down(host)) } else { Ok(()) }
        })
    }

    async fn start(&self, host: &str) -> Result<(), FaultError> {
        Ok(World::start(self, host)?)
    }
}
