//! The host `broker`. It runs the reference broker, or no process if the executor plays the server.

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

use crate::facts::{Facts, STORE};
use crate::hosts::{Hosts, PORT, SERVER};
use crate::recorder::{Recorder, ending};
use mqttspec_judge::Case;
use mqttspec_judge::history::{ConnectionKey, Ending, What};
use mqttspec_mutants::Mutant;
use mqttspec_mutants::MutantNet;

/// The size of the part of a write that a disk keeps or loses as a whole, in bytes.
const SECTOR: u64 = 512;

/// The reference broker's options for a case. `drawn` are options of a broker under test that the
/// scenario does not set.
pub(crate) fn options(case: &Case, drawn: &[(&str, &str)]) -> Result<mqttspec_broker::Options, String> {
    let mut options = mqttspec_broker::Options::default();
    for (name, value) in drawn.iter().filter(|_| case.tests == Role::Server) {
        options.set(name, value).map_err(|error| error.to_string())?;
    }
    for option in case.scenario.broker.iter().filter(|option| option.versions.applies_to(case.version)) {
        if option.name == STORE {
            continue;
        }
        options.set(&option.name, &option.value).map_err(|error| error.to_string())?;
    }
    Ok(options)
}

/// Declares the host: with the reference broker, or without a process if the executor plays the
/// server.
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
    let facts = Facts::of(case);
    let durable = facts.is_durable;
    let builder = builder.torn_writes(facts.tears_writes.then_some(SECTOR));
    let recorder = recorder.clone();
    let (version, is_recording) = (case.version, case.tests == Role::Client);
    builder.host(SERVER, move |context| {
        let (options, recorder) = (options.clone(), recorder.clone());
        async move {
            let net = context.net();
            let tap = BrokerTap { recorder, version, is_recording, keys: BTreeMap::new() };
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
    tap: BrokerTap,
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

/// Records the events at the broker's end of the connections, if clients are tested.
struct BrokerTap {
    recorder: Rc<Recorder>,
    version: Version,
    /// Whether clients are tested. Otherwise the events at the clients' end are recorded.
    is_recording: bool,
    keys: BTreeMap<ConnectionId, ConnectionKey>,
}

impl BrokerTap {
    fn record(&self, connection: ConnectionId, what: What) {
        if let Some(key) = self.keys.get(&connection) {
            self.recorder.record(Some(*key), 0, what);
        }
    }
}

impl Tap for BrokerTap {
    fn observe(&mut self, _at: Duration, what: Observed<'_>) {
        if !self.is_recording {
            return;
        }
        match what {
            Observed::Received { connection, packet, bytes } => {
                // The Client Identifier is the name of the client's host.
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
        self.is_recording
    }
}
