//! The processes on the hosts of a run with clients under test: the adapters, and the reference
//! broker if the executor does not act as the server.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use mqttspec_codec::Version;
use mqttspec_faults::FaultError;
use mqttspec_net::RealDisk;
use mqttspec_net::relay::Power;
use mqttspec_world::Seed;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, LocalSet};

use super::fast_clock::RunTime;
use super::peer::{Place, RunningPeer, Stopped, Stops};
use super::pool::Pool;
use super::ports::{Ports, ServerNet};
use crate::hosts::SERVER;
use crate::peers::PeerHost;
use crate::peers::broker::BrokerPeer;
use crate::peers::client::Application;

/// The processes of the adapters, by host, and the broker.
pub(super) struct Processes {
    pool: Rc<Pool>,
    state: TempDir,
    clients: RefCell<BTreeMap<String, Client>>,
    pub(super) broker: Option<Broker>,
    stops: Rc<Stops>,
    output: Rc<RefCell<Vec<String>>>,
}

struct Client {
    place: Place,
    application: Rc<Application>,
    running: Option<RunningPeer>,
}

impl Processes {
    /// No process runs yet. The clients keep their Sessions in folders of `state`.
    pub(super) fn new(
        pool: Rc<Pool>,
        state: TempDir,
        broker: Option<Broker>,
        stops: Rc<Stops>,
        output: Rc<RefCell<Vec<String>>>,
    ) -> Self {
        Self { pool, state, clients: RefCell::default(), broker, stops, output }
    }

    /// Adds the client of a host, which connects to this port.
    pub(super) fn add(
        &self,
        host: &str,
        version: Version,
        port: u16,
        application: Rc<Application>,
    ) -> io::Result<()> {
        let state_dir = self.state.path().join(host);
        std::fs::create_dir_all(&state_dir)?;
        let place = Place { version, port, state_dir: state_dir.to_string_lossy().into_owned() };
        self.clients.borrow_mut().insert(host.to_owned(), Client { place, application, running: None });
        Ok(())
    }

    /// Runs the client of a host. `connects` says whether it connects without a command.
    pub(super) async fn run(&self, host: &str, connects: bool) {
        let of_host =
            self.clients.borrow().get(host).map(|client| (client.place.clone(), client.application.clone()));
        let Some((place, application)) = of_host else { return };
        let process = match self.pool.take().await {
            Ok(process) => process,
            Err((error, output)) => {
                self.output.borrow_mut().extend(output);
                return self.stops.stop(Stopped::Broken(error));
            }
        };
        let (stops, output) = (self.stops.clone(), self.output.clone());
        let running = RunningPeer::start(process, &place, application, connects, stops, output).await;
        if let Some(client) = self.clients.borrow_mut().get_mut(host) {
            client.running = running;
        }
    }

    /// Ends all clients. Their processes can drive others.
    pub(super) async fn end(&self) {
        let clients = self.clients.take();
        for running in clients.into_values().filter_map(|client| client.running) {
            if let Some(process) = running.end().await {
                self.pool.give_back(process);
            }
        }
    }

    fn broker(&self) -> Result<&Broker, FaultError> {
        self.broker.as_ref().ok_or_else(|| FaultError::Failed(PLAYED.to_owned()))
    }
}

const PLAYED: &str = "the harness plays the server";

impl Power for Processes {
    fn reaches(&self, host: &str) -> Result<(), &'static str> {
        if host == SERVER {
            return if self.broker.is_some() { Ok(()) } else { Err(PLAYED) };
        }
        if self.pool.keeps_sessions() {
            return Ok(());
        }
        Err("the library keeps its Session in memory only, or the adapter does not say that it keeps it")
    }

    /// Does not wait: the relay must be cut before it passes the packets that the kernel sends for
    /// a killed process.
    async fn crash(&self, host: &str) -> Result<(), FaultError> {
        if host == SERVER {
            self.broker()?.crash();
            return Ok(());
        }
        let running = self.clients.borrow_mut().get_mut(host).and_then(|client| client.running.take());
        if let Some(running) = running {
            running.crash();
        }
        Ok(())
    }

    async fn start(&self, host: &str) -> Result<(), FaultError> {
        if host == SERVER {
            self.broker()?.start();
            return Ok(());
        }
        self.run(host, false).await;
        Ok(())
    }
}

/// The reference broker, in this process.
pub(super) struct Broker {
    peer: BrokerPeer,
    ports: Rc<Ports>,
    /// Keeps its store over a crash.
    disk: RealDisk,
    seed: Seed,
    time: RunTime,
    /// Why it ended by itself.
    failed: mpsc::UnboundedSender<String>,
    starts: Cell<u64>,
    running: RefCell<Option<JoinHandle<()>>>,
}

impl Broker {
    /// A broker that does not run yet. `time` is that of the run.
    pub(super) fn new(
        peer: BrokerPeer,
        ports: Rc<Ports>,
        disk: RealDisk,
        seed: Seed,
        time: RunTime,
        failed: mpsc::UnboundedSender<String>,
    ) -> Self {
        Self { peer, ports, disk, seed, time, failed, starts: Cell::new(0), running: RefCell::default() }
    }

    pub(super) fn start(&self) {
        self.starts.set(self.starts.get() + 1);
        let host = PeerHost {
            net: ServerNet(self.ports.clone()),
            disk: self.disk.clone(),
            seed: self.seed.nth(self.starts.get()),
            now: self.time.now(),
        };
        let (served, failed) = (self.peer.clone().run(host), self.failed.clone());
        let task = tokio::task::spawn_local(async move {
            // Its tasks end with this set.
            if let Err(error) = LocalSet::new().run_until(served).await {
                // The run may be over.
                let _ = failed.send(error);
            }
        });
        *self.running.borrow_mut() = Some(task);
    }

    fn crash(&self) {
        if let Some(task) = self.running.take() {
            task.abort();
        }
    }
}
