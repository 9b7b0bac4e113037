//! The simulation as a backend of faults, and what it cannot model.

use crate::director::Turmoil;
use crate::simulation::{HostRequest, Power};
use mqttspec_faults::{Fault, FaultError, Inject, LinkState, Unsupported, Way};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A disk loss comes at one of this many operations.
const OPERATIONS: u64 = 8;

const ONE_WAY_PARTITION: &str =
    "turmoil drops what is sent into a one-way partition and does not send it again";
const ONE_WAY_LATENCY: &str = "a link of turmoil has one latency for both directions";
const LOSS: &str = "turmoil does not send a lost segment again, so the connection would stop for good";
const BANDWIDTH: &str = "a link of turmoil has no bandwidth";

/// Whether a simulation of turmoil can model the fault.
///
/// # Errors
/// [`Unsupported`], with the reason.
pub fn supports(fault: &Fault) -> Result<(), Unsupported> {
    let reason = match fault {
        Fault::Partition { on: Way::To(_) | Way::OneWay { .. } } => ONE_WAY_PARTITION,
        Fault::Latency { on, .. } | Fault::AddedLatency { on, .. }
            if matches!(on, Way::To(_) | Way::OneWay { .. }) =>
        {
            ONE_WAY_LATENCY
        }
        Fault::Loss { .. } => LOSS,
        Fault::Bandwidth { .. } => BANDWIDTH,
        Fault::Partition { .. }
        | Fault::Latency { .. }
        | Fault::AddedLatency { .. }
        | Fault::Reset { .. }
        | Fault::HalfOpen { .. }
        | Fault::StalledReader { .. }
        | Fault::Crash { .. }
        | Fault::DiskLoss { .. }
        | Fault::FullDisk { .. } => return Ok(()),
        _ => return Err(Unsupported::kind(fault)),
    };
    Err(Unsupported { fault: fault.clone(), reason })
}

impl Turmoil {
    fn known(&self, host: &str) -> Result<usize, FaultError> {
        self.simulation.host_named(host).ok_or_else(|| FaultError::UnknownHost(host.to_owned()))
    }

    fn running(&self, host: &str) -> Result<usize, FaultError> {
        let index = self.known(host)?;
        if self.simulation.hosts[index].power.get() == Power::On {
            Ok(index)
        } else {
            Err(FaultError::Down(host.to_owned()))
        }
    }

    /// Has something done between two steps.
    async fn request(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<(), FaultError>>) -> HostRequest,
    ) -> Result<(), FaultError> {
        let (done, answer) = oneshot::channel();
        self.simulation.requests.borrow_mut().push_back(request(done));
        answer.await.unwrap_or_else(|_| Err(FaultError::Failed("the run is over".to_owned())))
    }

    /// The connections over these links.
    fn each_connection(
        &self,
        on: &Way,
        change: impl Fn(&crate::connection::Connection),
    ) -> Result<(), FaultError> {
        let links = self.links(on)?;
        let simulation = &self.simulation;
        simulation.connections.each(
            |key| match simulation.hosts_of(key) {
                (Some(client), Some(server)) => {
                    links.contains(&(client, server)) || links.contains(&(server, client))
                }
                _ => false,
            },
            change,
        );
        Ok(())
    }
}

impl Inject for Turmoil {
    /// Places of hosts in the order of declaration.
    type Link = (usize, usize);

    fn supports(&self, fault: &Fault) -> Result<(), Unsupported> {
        supports(fault)
    }

    fn links(&self, on: &Way) -> Result<Vec<(usize, usize)>, FaultError> {
        let count = self.simulation.hosts.len();
        let all = (0..count).flat_map(|from| (0..count).map(move |to| (from, to)));
        let all = all.filter(|(from, to)| from != to);
        Ok(match on {
            Way::Everywhere => all.collect(),
            Way::Around(host) => {
                let host = self.known(host)?;
                all.filter(|(from, to)| *from == host || *to == host).collect()
            }
            Way::To(host) => {
                let host = self.known(host)?;
                all.filter(|(_, to)| *to == host).collect()
            }
            Way::OneWay { from, to } => {
                let link = (self.known(from)?, self.known(to)?);
                if link.0 == link.1 {
                    return Err(FaultError::NoLink { from: from.clone(), to: to.clone() });
                }
                vec![link]
            }
        })
    }

    fn set(&self, (from, to): &(usize, usize), state: &LinkState) {
        self.simulation.set_faults(*from, *to, state);
    }

    fn reset(&self, on: &Way) -> Result<(), FaultError> {
        self.each_connection(on, |connection| connection.is_reset.set(true))
    }

    fn half_open(&self, on: &Way) -> Result<(), FaultError> {
        self.each_connection(on, |connection| connection.is_silent.set(true))
    }

    fn stall_reading(&self, host: &str) -> Result<(), FaultError> {
        self.simulation.hosts[self.running(host)?].set_stalled(true);
        Ok(())
    }

    fn resume_reading(&self, host: &str) -> Result<(), FaultError> {
        self.simulation.hosts[self.running(host)?].set_stalled(false);
        Ok(())
    }

    fn fill_disk(&self, host: &str) -> Result<(), FaultError> {
        self.simulation.hosts[self.known(host)?].drive.fill(true);
        Ok(())
    }

    fn free_disk(&self, host: &str) -> Result<(), FaultError> {
        self.simulation.hosts[self.known(host)?].drive.fill(false);
        Ok(())
    }

    async fn crash(&self, host: &str) -> Result<(), FaultError> {
        let index = self.known(host)?;
        self.request(|done| HostRequest::Crash(index, done)).await
    }

    fn crash_at_write(
        &self,
        host: &str,
        within: Duration,
    ) -> Result<impl Future<Output = Result<(), FaultError>> + 'static, FaultError> {
        let slot = self.simulation.hosts[self.running(host)?].clone();
        let drawn = xxh3_64_with_seed(&slot.drive.operations().to_le_bytes(), self.simulation.seed);
        slot.drive.fail_power_at(1 + drawn % OPERATIONS);
        let down = slot.went_down.clone().notified_owned();
        let (turmoil, host) = (self.clone(), host.to_owned());
        Ok(async move {
            if timeout(within, down).await.is_err() {
                turmoil.crash(&host).await?;
            }
            // Still planned if the host ended in another way.
            if slot.drive.forget_power_failure() { Err(FaultError::Down(host)) } else { Ok(()) }
        })
    }

    async fn start(&self, host: &str) -> Result<(), FaultError> {
        let index = self.known(host)?;
        self.request(|done| HostRequest::Start(index, done)).await
    }
}
