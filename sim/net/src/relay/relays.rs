//! The relays between some clients and a server as a backend of faults.

use std::collections::{BTreeMap, BTreeSet};
use std::future::{Future, Ready};
use std::time::Duration;

use mqttspec_faults::{Fault, FaultError, Inject, LinkState, Probability, Unsupported, Way};

use super::faults::{Cut, Direction, Faults};

/// Crashes and starts the processes on the hosts.
pub trait Power {
    /// Whether this host can be crashed and started.
    ///
    /// # Errors
    /// The reason why not, as a phrase that can follow a colon.
    fn reaches(&self, host: &str) -> Result<(), &'static str>;

    /// Ends the host's process without notice to its peers.
    ///
    /// # Errors
    /// [`FaultError::Down`]; [`FaultError::Failed`].
    fn crash(&self, host: &str) -> impl Future<Output = Result<(), FaultError>>;

    /// Starts the host's process.
    ///
    /// # Errors
    /// [`FaultError::AlreadyUp`]; [`FaultError::Failed`].
    fn start(&self, host: &str) -> impl Future<Output = Result<(), FaultError>>;
}

/// A relay for each client's host. Every link is between a client's host and the server.
#[derive(Debug)]
pub struct Relays<P> {
    server: String,
    clients: BTreeMap<String, Faults>,
    power: P,
}

impl<P: Power> Relays<P> {
    /// The connections of each client go through the relay with these faults.
    pub fn new(server: &str, clients: impl IntoIterator<Item = (String, Faults)>, power: P) -> Relays<P> {
        Relays { server: server.to_owned(), clients: clients.into_iter().collect(), power }
    }

    /// The relay of a client's host.
    pub fn relay(&self, host: &str) -> Option<&Faults> {
        self.clients.get(host)
    }

    /// The power of the hosts.
    pub fn power(&self) -> &P {
        &self.power
    }

    fn client(&self, host: &str) -> Result<&Faults, FaultError> {
        self.relay(host).ok_or_else(|| FaultError::UnknownHost(host.to_owned()))
    }

    fn known(&self, host: &str) -> Result<(), FaultError> {
        if host == self.server { Ok(()) } else { self.client(host).map(drop) }
    }

    /// The relays of the links that are meant, each once.
    fn relays_on(&self, on: &Way) -> Result<Vec<&Faults>, FaultError> {
        let hosts: BTreeSet<String> = self.links(on)?.into_iter().map(|(host, _)| host).collect();
        Ok(hosts.iter().filter_map(|host| self.relay(host)).collect())
    }

    fn each_to(&self, host: &str, change: impl Fn(&Faults, Direction)) -> Result<(), FaultError> {
        for (host, direction) in self.links(&Way::To(host.to_owned()))? {
            change(self.client(&host)?, direction);
        }
        Ok(())
    }
}

const DISK_LOSS: &str = "a killed process loses nothing that it wrote, because its machine goes on";
const FULL_DISK: &str = "the disk of a live host cannot be filled from here";

fn full_disk(host: &str) -> FaultError {
    Unsupported { fault: Fault::FullDisk { host: host.to_owned() }, reason: FULL_DISK }.into()
}

impl<P: Power> Inject for Relays<P> {
    /// The client's host, and the direction.
    type Link = (String, Direction);

    fn supports(&self, fault: &Fault) -> Result<(), Unsupported> {
        let reason = match fault {
            Fault::DiskLoss { .. } => Err(DISK_LOSS),
            Fault::FullDisk { .. } => Err(FULL_DISK),
            Fault::Crash { host } => self.power.reaches(host),
            Fault::Partition { .. }
            | Fault::Latency { .. }
            | Fault::AddedLatency { .. }
            | Fault::Loss { .. }
            | Fault::Bandwidth { .. }
            | Fault::Reset { .. }
            | Fault::HalfOpen { .. }
            | Fault::StalledReader { .. } => Ok(()),
            _ => return Err(Unsupported::kind(fault)),
        };
        reason.map_err(|reason| Unsupported { fault: fault.clone(), reason })
    }

    fn links(&self, on: &Way) -> Result<Vec<(String, Direction)>, FaultError> {
        let of_all = |directions: &[Direction]| {
            self.clients
                .keys()
                .flat_map(|host| directions.iter().map(|direction| (host.clone(), *direction)))
                .collect()
        };
        let of = |host: &String, directions: &[Direction]| {
            self.client(host).map(|_| directions.iter().map(|direction| (host.clone(), *direction)).collect())
        };
        match on {
            Way::Everywhere => Ok(of_all(&Direction::BOTH)),
            Way::Around(host) if *host == self.server => Ok(of_all(&Direction::BOTH)),
            Way::Around(host) => of(host, &Direction::BOTH),
            Way::To(host) if *host == self.server => Ok(of_all(&[Direction::ToServer])),
            Way::To(host) => of(host, &[Direction::ToClient]),
            Way::OneWay { from, to } => {
                self.known(from)?;
                self.known(to)?;
                match (*from == self.server, *to == self.server) {
                    (false, true) => of(from, &[Direction::ToServer]),
                    (true, false) => of(to, &[Direction::ToClient]),
                    _ => Err(FaultError::NoLink { from: from.clone(), to: to.clone() }),
                }
            }
        }
    }

    fn set(&self, (host, direction): &(String, Direction), state: &LinkState) {
        let Some(faults) = self.relay(host) else { return };
        let none = Duration::ZERO..=Duration::ZERO;
        let latency = state.latency.as_ref().unwrap_or(&none);
        let (least, most) = (*latency.start() + state.added_latency, *latency.end() + state.added_latency);
        faults.latency(*direction, least..=most);
        faults.loss(*direction, state.loss.unwrap_or(Probability::NEVER).as_fraction());
        faults.bandwidth(*direction, state.bytes_per_second);
        if state.partitioned {
            faults.partition(*direction);
        } else {
            faults.heal(*direction);
        }
    }

    fn reset(&self, on: &Way) -> Result<(), FaultError> {
        self.relays_on(on)?.into_iter().for_each(|faults| faults.cut(Cut::Reset));
        Ok(())
    }

    fn half_open(&self, on: &Way) -> Result<(), FaultError> {
        self.relays_on(on)?.into_iter().for_each(|faults| faults.cut(Cut::Blackhole));
        Ok(())
    }

    fn stall_reading(&self, host: &str) -> Result<(), FaultError> {
        self.each_to(host, Faults::stall)
    }

    fn resume_reading(&self, host: &str) -> Result<(), FaultError> {
        self.each_to(host, Faults::resume)
    }

    fn fill_disk(&self, host: &str) -> Result<(), FaultError> {
        Err(full_disk(host))
    }

    fn free_disk(&self, host: &str) -> Result<(), FaultError> {
        Err(full_disk(host))
    }

    async fn crash(&self, host: &str) -> Result<(), FaultError> {
        self.known(host)?;
        self.power.crash(host).await?;
        if let Some(faults) = self.relay(host) {
            // A machine without power sends no end and no reset.
            faults.cut(Cut::HalfOpen);
        }
        // The next process reads.
        self.each_to(host, Faults::resume)
    }

    fn crash_at_write(
        &self,
        host: &str,
        within: Duration,
    ) -> Result<impl Future<Output = Result<(), FaultError>> + 'static, FaultError> {
        let fault = Fault::DiskLoss { host: host.to_owned(), within };
        Err::<Ready<Result<(), FaultError>>, _>(Unsupported { fault, reason: DISK_LOSS }.into())
    }

    async fn start(&self, host: &str) -> Result<(), FaultError> {
        self.known(host)?;
        self.power.start(host).await
    }
}
