//! The host `broker`. It runs the reference broker, or no process if the executor acts as the
//! server.

use core::time::Duration;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use bytes::Bytes;
use mqttspec_broker::ConnectionId;
use mqttspec_codec::{Packet, Role, Version};
use mqttspec_net::Clock;
use mqttspec_net::broker::serve;
use mqttspec_net::store::{LogStore, NoStore};
use mqttspec_net::tap::{Observed, Tap};
use mqttspec_net::transport::WebSocketNet;
use mqttspec_ports::{Disk, Net};

use super::{PeerHost, Transport};
use crate::backend::WEBSOCKET_PATH;
use crate::facts::Facts;
use crate::hosts::{Hosts, PORT};
use crate::recorder::{Recorder, ending};
use mqttspec_judge::Case;
use mqttspec_judge::history::{ConnectionKey, Ending, What};
use mqttspec_mutants::{Mutant, MutantNet, MutantWebSocketNet};
use mqttspec_notation::{HostOption, LATER_USERS, STORE};

/// The size of the part of a write that a disk keeps or loses as a whole, in bytes.
pub(crate) const SECTOR: u64 = 512;

/// The reference broker's options for a case. `drawn` are options of a broker under test that the
/// scenario does not set.
fn options(case: &Case, drawn: &[(&str, &str)]) -> Result<mqttspec_broker::Options, String> {
    let mut options = mqttspec_broker::Options::default();
    for (name, value) in drawn.iter().filter(|_| case.tests == Role::Server) {
        options.set(name, value).map_err(|error| error.to_string())?;
    }
    for option in of_version(case) {
        if [STORE, LATER_USERS].contains(&option.name.as_str()) {
            continue;
        }
        options.set(&option.name, &option.value).map_err(|error| error.to_string())?;
    }
    Ok(options)
}

/// The options with the users of later starts, if the scenario has them.
fn later_options(
    case: &Case,
    first: &mqttspec_broker::Options,
) -> Result<Option<Box<mqttspec_broker::Options>>, String> {
    let Some(users) = of_version(case).find(|option| option.name == LATER_USERS) else { return Ok(None) };
    let mut options = first.clone();
    options.set("users", &users.value).map_err(|error| error.to_string())?;
    Ok(Some(Box::new(options)))
}

fn of_version(case: &Case) -> impl Iterator<Item = &HostOption> {
    case.scenario.broker.iter().filter(|option| option.versions.applies_to(case.version))
}

/// The reference broker of a case, over all its starts.
#[derive(Clone)]
pub(crate) struct BrokerPeer {
    options: mqttspec_broker::Options,
    /// The options from the second start on, if they are others.
    later: Option<Box<mqttspec_broker::Options>>,
    has_started: Rc<Cell<bool>>,
    recorder: Rc<Recorder>,
    version: Version,
    /// Whether the clients are tested.
    is_recording: bool,
    durable: bool,
    transport: Transport,
}

impl BrokerPeer {
    /// The broker of a case; `None` where the executor acts as the server.
    pub(crate) fn of(
        case: &Case,
        hosts: &Hosts,
        recorder: &Rc<Recorder>,
        mutant: Option<&'static Mutant>,
        drawn: &[(&str, &str)],
    ) -> Result<Option<Self>, String> {
        let options = options(case, drawn)?;
        if hosts.plays_server {
            return Ok(None);
        }
        Ok(Some(Self {
            later: later_options(case, &options)?,
            has_started: Rc::default(),
            options,
            recorder: recorder.clone(),
            version: case.version,
            is_recording: case.tests == Role::Client,
            durable: Facts::of(case).is_durable,
            transport: Transport {
                mutant: mutant.filter(|mutant| mutant.role == Role::Server),
                over_websocket: case.scenario.over_websocket,
            },
        }))
    }

    /// The main task of the server's host in a simulation.
    pub(crate) async fn run<N: Net, D: Disk>(self, host: PeerHost<N, D>) -> Result<(), String> {
        let PeerHost { net, disk, seed, now } = host;
        match (self.transport.mutant, self.transport.over_websocket) {
            (None, false) => self.serve(PeerHost { net, disk, seed, now }).await,
            (Some(mutant), false) => {
                let net = MutantNet::new(net, mutant);
                self.serve(PeerHost { net, disk, seed, now }).await
            }
            (None, true) => {
                let net = WebSocketNet::new(net, WEBSOCKET_PATH);
                self.serve(PeerHost { net, disk, seed, now }).await
            }
            (Some(mutant), true) => {
                let net = MutantNet::new(MutantWebSocketNet::new(net, mutant), mutant);
                self.serve(PeerHost { net, disk, seed, now }).await
            }
        }
    }

    async fn serve<N: Net, D: Disk>(self, host: PeerHost<N, D>) -> Result<(), String> {
        let Self { options, later, has_started, recorder, version, is_recording, durable, .. } = self;
        let options = later.filter(|_| has_started.replace(true)).map_or(options, |later| *later);
        let tap = BrokerTap { recorder, version, is_recording, keys: BTreeMap::new() };
        let seed = host.seed.child("broker").to_u64();
        let clock = Clock::showing(host.now);
        let served = if durable {
            let store = LogStore::open(host.disk).map_err(|error| error.to_string())?;
            serve(&host.net, PORT, options, seed, clock, store, tap).await
        } else {
            serve(&host.net, PORT, options, seed, clock, NoStore, tap).await
        };
        served.map_err(|error| error.to_string())
    }
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
                    && let Some(host) =
                        self.recorder.with_history(|history| history.host(connect.client_id.as_str()))
                    && self.recorder.with_history(|history| history.info(host).observer) == Role::Server
                {
                    self.keys.insert(connection, self.recorder.open(host, self.version));
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
