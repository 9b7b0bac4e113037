//! The host `broker`: the reference broker, or no process where the executor plays the server.

use core::time::Duration;
use std::collections::BTreeMap;
use std::rc::Rc;

use bytes::Bytes;
use mqttspec_broker::ConnectionId;
use mqttspec_codec::{Packet, Role, Version};
use mqttspec_net::Clock;
use mqttspec_net::broker::serve;
use mqttspec_net::store::{DiskStore, NoStore};
use mqttspec_net::tap::{Observed, Tap};
use mqttspec_ports::{Disk, Net};

use super::PeerHost;
use crate::hosts::{Hosts, PORT, SERVER};
use crate::recorder::{Recorder, ending};
use mqttspec_judge::Case;
use mqttspec_judge::history::{ConnectionKey, Ending, What};
use mqttspec_mutants::Mutant;
use mqttspec_mutants::MutantNet;
use mqttspec_notation::{self as notation, DiskFault, FaultKind, HostName, StepKind};

/// The option of the notation that is the harness's own: what the broker's records are kept in.
pub(crate) const STORE: &str = "store";

/// The value of [`STORE`] for records that outlive a crash.
pub(crate) const DURABLE: &str = "durable";

/// The part of a write that a disk keeps or loses as a whole, in bytes.
pub(crate) const SECTOR: u64 = 512;

/// The reference broker's options for a case.
fn options(case: &Case) -> Result<mqttspec_broker::Options, String> {
    let mut options = mqttspec_broker::Options::default();
    for option in case.scenario.broker.iter().filter(|option| option.versions.applies_to(case.version)) {
        if option.name == STORE {
            continue;
        }
        options.set(&option.name, &option.value).map_err(|error| error.to_string())?;
    }
    Ok(options)
}

/// The reference broker of a case, in all its lives.
#[derive(Clone)]
pub(crate) struct BrokerPeer {
    options: mqttspec_broker::Options,
    recorder: Rc<Recorder>,
    version: Version,
    /// Whether the clients are tested.
    watches: bool,
    durable: bool,
    mutant: Option<&'static Mutant>,
}

impl BrokerPeer {
    /// The broker of a case; `None` where the executor plays the server.
    pub(crate) fn of(
        case: &Case,
        hosts: &Hosts,
        recorder: &Rc<Recorder>,
        mutant: Option<&'static Mutant>,
    ) -> Result<Option<Self>, String> {
        let options = options(case)?;
        if hosts.plays_server {
            return Ok(None);
        }
        Ok(Some(Self {
            options,
            recorder: recorder.clone(),
            version: case.version,
            watches: case.tests == Role::Client,
            durable: is_durable(case),
            mutant: mutant.filter(|mutant| mutant.role == Role::Server),
        }))
    }

    /// The main task of the server's host in a simulation.
    pub(crate) async fn run<N: Net, D: Disk>(self, host: PeerHost<N, D>) -> Result<(), String> {
        let PeerHost { net, disk, seed, now } = host;
        match self.mutant {
            Some(mutant) => {
                let net = MutantNet::new(net, mutant);
                self.serve(PeerHost { net, disk, seed, now }).await
            }
            None => self.serve(PeerHost { net, disk, seed, now }).await,
        }
    }

    async fn serve<N: Net, D: Disk>(self, host: PeerHost<N, D>) -> Result<(), String> {
        let Self { options, recorder, version, watches, durable, .. } = self;
        let tap = Witness { recorder, version, watches, keys: BTreeMap::new() };
        let seed = host.seed.child("broker").to_u64();
        let clock = Clock::showing(host.now);
        let served = if durable {
            let store = DiskStore::open(host.disk).map_err(|error| error.to_string())?;
            serve(&host.net, PORT, options, seed, clock, store, tap).await
        } else {
            serve(&host.net, PORT, options, seed, clock, NoStore, tap).await
        };
        served.map_err(|error| error.to_string())
    }
}

/// Whether the broker keeps its records on its disk: where the scenario says so, or crashes it.
fn is_durable(case: &Case) -> bool {
    let said = case.scenario.broker.iter().find(|option| option.name == STORE);
    let mut crashes = false;
    case.scenario.walk(&mut |step| {
        if let StepKind::Fault(fault) = &step.kind {
            let on_server = match &fault.hosts {
                notation::Hosts::All => false,
                notation::Hosts::Named(names) => names.iter().flat_map(HostName::expand).any(|name| name == SERVER),
            };
            let profile = matches!(&fault.kind, FaultKind::Profile(name) if name.contains("crash") || name.contains("disk"));
            crashes |= on_server && (profile || matches!(fault.kind, FaultKind::Crash | FaultKind::Disk(_)));
        }
    });
    said.map_or(crashes, |option| option.value == DURABLE)
}

/// Whether a disk of the scenario keeps a part of an unsynced write.
pub(crate) fn tears_writes(case: &Case) -> bool {
    let mut torn = false;
    case.scenario.walk(&mut |step| {
        if let StepKind::Fault(fault) = &step.kind {
            torn |= match &fault.kind {
                FaultKind::Disk(faults) => faults.contains(&DiskFault::Torn),
                FaultKind::Profile(name) => name == "disk-loss",
                _ => false,
            };
        }
    });
    torn
}

/// Records what the broker sees of reference clients, where it is the clients that are tested.
struct Witness {
    recorder: Rc<Recorder>,
    version: Version,
    /// Whether the clients are tested; otherwise what their end of the wire sees is enough.
    watches: bool,
    keys: BTreeMap<ConnectionId, ConnectionKey>,
}

impl Witness {
    fn record(&self, connection: ConnectionId, what: What) {
        if let Some(key) = self.keys.get(&connection) {
            self.recorder.record(Some(*key), 0, what);
        }
    }
}

impl Tap for Witness {
    fn observe(&mut self, _at: Duration, what: Observed<'_>) {
        if !self.watches {
            return;
        }
        match what {
            Observed::Received { connection, packet, bytes } => {
                // The Client Identifier tells whose connection it is.
                if let Packet::Connect(connect) = packet
                    && !self.keys.contains_key(&connection)
                    && let Some(lane) =
                        self.recorder.with_history(|history| history.lane(connect.client_id.as_str()))
                    && self.recorder.with_history(|history| history.info(lane).observer) == Role::Server
                {
                    self.keys.insert(connection, self.recorder.open(lane, self.version));
                }
                self.record(connection, What::Received { packet: packet.clone(), bytes: bytes.clone() });
            }
            Observed::Malformed { connection, error, bytes } => {
                self.record(connection, What::ReceivedMalformed { error: *error, bytes: bytes.clone() });
            }
            Observed::Sent { connection, packet, bytes } => {
                let bytes = Bytes::copy_from_slice(bytes);
                self.record(connection, What::Sent { packet: packet.clone(), bytes });
            }
            Observed::Lost { connection, ending: lost } => {
                if let Some(key) = self.keys.remove(&connection) {
                    self.recorder.end(key, ending(lost));
                }
            }
            Observed::Closed { connection } => {
                if let Some(key) = self.keys.remove(&connection) {
                    self.recorder.end(key, Ending::ByObserver);
                }
            }
            _ => {}
        }
    }

    fn wants_bytes(&self) -> bool {
        self.watches
    }
}
