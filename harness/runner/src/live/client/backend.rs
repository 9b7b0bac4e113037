//! The backend of a client under test: the harness acts as the server on real sockets, one port for
//! each client's host, and every connection goes through the fault relay of its host.

use core::time::Duration;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use mqttspec_faults::{FaultError, Injector};
use mqttspec_judge::Case;
use mqttspec_net::TcpNet;
use mqttspec_net::relay::{Faults, Power, RelayListener, RelayNet, Relays};
use mqttspec_notation::DiskFault;
use mqttspec_ports::{Listener as _, Net as _};
use mqttspec_world::Seed;
use tempfile::TempDir;
use tokio::sync::{Mutex, mpsc};
use tokio::time::Instant;

use super::peer::{Place, RunningPeer, Stopped, Stops};
use super::pool::Pool;
use super::process::AdapterError;
use crate::backend::{
    Accepted, Backend, BackendError, Demands, Dialled, FaultInjector, Incoming, Pending, Timeouts,
    Unsupported,
};
use crate::executor::{Executed, Setup, execute, run_seed};
use crate::hosts::{Hosts, PlayedBy, SERVER};
use crate::intake::{Counted, EVENT, Intake};
use crate::judging::Performed;
use crate::peers::applications;
use crate::peers::client::Application;
use crate::recorder::Recorder;

/// What a run needs besides its case.
pub(super) struct Environment {
    pub(super) pool: Rc<Pool>,
    pub(super) timeouts: Timeouts,
    /// Counts what the clients send.
    pub(super) intake: Rc<Intake>,
    /// A run that takes longer counts as endless.
    pub(super) limit: Duration,
}

/// A finished run.
pub(super) struct Run {
    pub(super) performed: Performed,
    /// Why the case could not go on, if so.
    pub(super) stopped: Option<Stopped>,
    /// The last lines of the adapters' standard error, if one broke.
    pub(super) output: Vec<String>,
}

/// Executes a case with its clients in adapters.
pub(super) async fn perform(case: &Case, seed: u64, environment: Environment) -> Run {
    let Environment { pool, timeouts, intake, limit } = environment;
    let hosts = Rc::new(Hosts::of(&case.scenario, case.tests));
    let began = Instant::now();
    let recorder = Rc::new(Recorder::new(hosts.infos(), move || began.elapsed()).counting(intake.clone()));
    let (stops, output) = (Rc::new(Stops::default()), Rc::new(RefCell::new(Vec::new())));
    let prepared = async {
        let applications = applications(case, &hosts, &recorder, None, &[])?;
        let seed = run_seed(case, seed);
        let state = tempfile::Builder::new().prefix("mqttspec-state-").tempdir();
        let power = ClientPower {
            pool,
            state: state.map_err(|error| error.to_string())?,
            clients: RefCell::default(),
            stops: stops.clone(),
            output: output.clone(),
        };
        let (mut faults, mut listeners) = (BTreeMap::new(), Vec::new());
        for client in &hosts.clients {
            let of_host = Faults::new(seed.child(&client.name).to_u64());
            faults.insert(client.name.clone(), of_host.clone());
            if client.played_by == PlayedBy::Executor {
                continue;
            }
            let listening = RelayNet::new(TcpNet::loopback(), of_host.clone()).listen(0).await;
            let listener = listening.map_err(|error| error.to_string())?;
            let port = listener.local_addr().map_err(|error| error.to_string())?.port();
            let state_dir = power.state.path().join(&client.name);
            std::fs::create_dir_all(&state_dir).map_err(|error| error.to_string())?;
            let state_dir = state_dir.to_string_lossy().into_owned();
            let place = Place { version: case.version, port, state_dir };
            if let Some(application) = applications.get(&client.name) {
                power.add(&client.name, place, application.clone());
            }
            listeners.push((client.name.clone(), listener, of_host));
        }
        let faults = Injector::new(Relays::new(SERVER, faults, power));
        Ok::<_, String>((
            applications,
            Rc::new(ClientBackend {
                began,
                seed,
                timeouts,
                limit,
                intake,
                faults,
                listeners: RefCell::new(listeners),
            }),
        ))
    };
    let executed = match prepared.await {
        Err(reason) => Executed::broken(reason),
        Ok((applications, backend)) => {
            for client in &hosts.clients {
                backend.faults.backend().power().run(&client.name, !client.connects_when_told).await;
            }
            let setup =
                Setup { case, hosts, recorder: recorder.clone(), applications: Rc::new(applications) };
            let executed = tokio::select! {
                biased;
                () = stops.stopped() => Executed::broken("the client under test stopped"),
                executed = execute(setup, backend.clone()) => executed,
            };
            backend.faults.backend().power().end().await;
            executed
        }
    };
    let performed = Performed { history: recorder.take_history(), executed };
    let output = output.take();
    Run { performed, stopped: stops.take(), output }
}

struct ClientBackend {
    began: Instant,
    seed: Seed,
    timeouts: Timeouts,
    limit: Duration,
    intake: Rc<Intake>,
    faults: Injector<Relays<ClientPower>>,
    /// The ports of the clients' hosts, until the executor listens on them.
    listeners: RefCell<Vec<(String, RelayListener<TcpNet>, Faults)>>,
}

impl Backend for ClientBackend {
    fn timeouts(&self) -> Timeouts {
        self.timeouts
    }

    fn limit(&self) -> Option<Duration> {
        Some(self.limit)
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn sleep_until(&self, since_start: Duration) -> Pending<'_, ()> {
        Box::pin(tokio::time::sleep_until(self.began + since_start))
    }

    fn seed(&self) -> Seed {
        self.seed.child("scenario")
    }

    fn dial<'b>(
        &'b self,
        _host: &'b str,
        _offering: Option<&'b [String]>,
    ) -> Pending<'b, io::Result<Dialled>> {
        Box::pin(async { Err(io::ErrorKind::Unsupported.into()) })
    }

    fn listen(&self) -> Pending<'_, Result<Box<dyn Incoming>, BackendError>> {
        let listeners = self.listeners.take();
        let (sender, accepted) = mpsc::unbounded_channel();
        for (host, listener, faults) in listeners {
            let (sender, host) = (sender.clone(), std::sync::Arc::<str>::from(host));
            let intake = self.intake.clone();
            tokio::task::spawn_local(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let (sender, host, faults) = (sender.clone(), host.clone(), faults.clone());
                    let stream = Counted::new(stream, intake.clone());
                    // A client may open connections without end.
                    intake.take(EVENT);
                    tokio::task::spawn_local(async move {
                        // A partitioned link opens no connection.
                        if faults.admit().await.is_ok() {
                            let accepted = Accepted { stream: Box::new(stream), host: Some(host) };
                            // The run may be over.
                            let _ = sender.send(accepted);
                        }
                    });
                }
            });
        }
        Box::pin(async { Ok(Box::new(Ports { accepted: Mutex::new(accepted) }) as Box<dyn Incoming>) })
    }

    fn faults(&self) -> &dyn FaultInjector {
        &self.faults
    }

    fn supports(&self, demands: &Demands) -> Result<(), Unsupported> {
        if !demands.plays_server {
            let what = "a broker between clients under test".to_owned();
            return Err(Unsupported { what, reason: "the harness plays the server here" });
        }
        if demands.over_websocket {
            let what = "MQTT over WebSocket".to_owned();
            return Err(Unsupported { what, reason: "the harness gives adapters an address for TCP" });
        }
        let unsound = demands.disks.iter().find(|(_, words)| words.as_slice() != [DiskFault::Sound]);
        if let Some((host, _)) = unsound {
            let what = format!("a fault of the disk of {host}");
            return Err(Unsupported { what, reason: "the disks of live hosts cannot be reached" });
        }
        demands.faults.iter().try_for_each(|fault| Ok(self.faults().supports(fault)?))
    }
}

/// The ports of all hosts as one.
struct Ports {
    accepted: Mutex<mpsc::UnboundedReceiver<Accepted>>,
}

impl Incoming for Ports {
    fn accept(&self) -> Pending<'_, io::Result<Accepted>> {
        Box::pin(async { self.accepted.lock().await.recv().await.ok_or(io::ErrorKind::NotConnected.into()) })
    }
}

/// The processes of the adapters, by host.
struct ClientPower {
    pool: Rc<Pool>,
    state: TempDir,
    clients: RefCell<BTreeMap<String, Client>>,
    stops: Rc<Stops>,
    output: Rc<RefCell<Vec<String>>>,
}

struct Client {
    place: Place,
    application: Rc<Application>,
    running: Option<RunningPeer>,
}

impl ClientPower {
    fn add(&self, host: &str, place: Place, application: Rc<Application>) {
        self.clients.borrow_mut().insert(host.to_owned(), Client { place, application, running: None });
    }

    async fn run(&self, host: &str, connects: bool) {
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
    async fn end(&self) {
        let clients = self.clients.take();
        for running in clients.into_values().filter_map(|client| client.running) {
            if let Some(process) = running.end().await {
                self.pool.give_back(process);
            }
        }
    }
}

impl Power for ClientPower {
    fn reaches(&self, host: &str) -> Result<(), &'static str> {
        if host == SERVER {
            return Err("the harness plays the server");
        }
        if self.pool.keeps_sessions() {
            return Ok(());
        }
        Err("the library keeps its Session in memory only, or the adapter does not say that it keeps it")
    }

    /// Does not wait: the relay must be cut before it passes the packets that the kernel sends for
    /// a killed process.
    async fn crash(&self, host: &str) -> Result<(), FaultError> {
        let running = self.clients.borrow_mut().get_mut(host).and_then(|client| client.running.take());
        if let Some(running) = running {
            running.crash();
        }
        Ok(())
    }

    async fn start(&self, host: &str) -> Result<(), FaultError> {
        self.run(host, false).await;
        Ok(())
    }
}

impl From<AdapterError> for Stopped {
    fn from(error: AdapterError) -> Self {
        Self::Broken(error)
    }
}
