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
use mqttspec_ports::Net;
use mqttspec_world::{Builder, HostContext};

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
const SECTOR: u64 = 512;

/// The reference broker's options for a case.
pub(crate) fn options(case: &Case) -> Result<mqttspec_broker::Options, String> {
    let mut options = mqttspec_broker::Options::default();
    for option in case.scenario.broker.iter().filter(|option| option.versions.applies_to(case.version)) {
        if option.name == STORE {
            continue;
        }
        options.set(&option.name, &option.value).map_err(|error| error.to_string())?;
    }
    Ok(options)
}

/// Declares the host: with the reference broker on it, or with nobody where the director plays the server.
pub(crate) fn host(
    builder: Builder,
    case: &Case,
    hosts: &Hosts,
    recorder: &Rc<Recorder>,
    options: mqttspec_broker::Options,
    mutant: Option<&'static Mutant>,
) -> Builder {
    if hosts.plays_server {
        return builder.host(SERVER, |_| std::future::pending::<()>());
    }
    let durable = is_durable(case);
    let builder = builder.torn_writes(tears_writes(case).then_some(SECTOR));
    let recorder = recorder.clone();
    let (version, watches) = (case.version, case.tests == Role::Client);
    builder.host(SERVER, move |context| {
        let (options, recorder) = (options.clone(), recorder.clone());
        async move {
            let net = context.net();
            let tap = Witness { recorder, version, watches, keys: BTreeMap::new() };
            match mutant.filter(|mutant| mutant.role == Role::Server) {
                Some(mutant) => start(&MutantNet::new(net, mutant), &context, options, durable, tap).await,
                None => start(&net, &context, options, durable, tap).await,
            }
        }
    })
}

async fn start<N: Net>(
    net: &N,
    context: &HostContext,
    options: mqttspec_broker::Options,
    durable: bool,
    tap: Witness,
) -> Result<(), String> {
    let seed = context.seed().child("broker").to_u64();
    let clock = Clock::showing(context.now());
    let served = if durable {
        let store = DiskStore::open(context.disk()).map_err(|error| error.to_string())?;
        serve(net, PORT, options, seed, clock, store, tap).await
    } else {
        serve(net, PORT, options, seed, clock, NoStore, tap).await
    };
    served.map_err(|error| error.to_string())
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
