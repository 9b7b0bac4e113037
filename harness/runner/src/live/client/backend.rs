//! The backend of clients under test: the executor acts as the server on real sockets, or the
//! reference broker serves in this process. Every connection goes through the fault relay of its
//! host.

use core::time::Duration;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use mqttspec_faults::Injector;
use mqttspec_judge::Case;
use mqttspec_judge::model::Tolerance;
use mqttspec_net::relay::{Faults, Relays};
use mqttspec_net::{RealDisk, TcpNet};
use mqttspec_notation::DiskFault;
use mqttspec_ports::Net as _;
use mqttspec_world::Seed;
use tokio::sync::mpsc;

use super::fast_clock::RunTime;
use super::peer::{Stopped, Stops};
use super::pool::Pool;
use super::ports::Ports;
use super::power::{Broker, Processes};
use super::process::AdapterError;
use crate::backend::{
    Backend, BackendError, Demands, Dialled, FaultInjector, Incoming, Pending, Timeouts, Unsupported,
};
use crate::executor::{Executed, Setup, execute, run_seed};
use crate::hosts::{Hosts, SERVER};
use crate::intake::Intake;
use crate::judging::Performed;
use crate::peers::applications;
use crate::peers::broker::BrokerPeer;
use crate::peers::client::Applications;
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
    /// By how much the clock of the clients was ahead of real time at the end.
    pub(super) put_forward: Duration,
    /// How exact its times are.
    pub(super) tolerance: Tolerance,
}

/// Executes a case with its clients in adapters.
pub(super) async fn perform(case: &Case, seed: u64, environment: Environment) -> Run {
    let time = RunTime::starting(environment.pool.clock.as_ref());
    // Its tasks end with it.
    time.run(perform_in(&time, case, seed, environment)).await
}

async fn perform_in(time: &RunTime, case: &Case, seed: u64, environment: Environment) -> Run {
    let Environment { pool, timeouts, intake, limit } = environment;
    let hosts = Rc::new(Hosts::of(&case.scenario, case.tests));
    let clock = time.clone();
    let recorder = Rc::new(Recorder::new(hosts.infos(), move || clock.now()).counting(intake.clone()));
    let (stops, output) = (Rc::new(Stops::default()), Rc::new(RefCell::new(Vec::new())));
    let (failed, mut failures) = mpsc::unbounded_channel();
    let prepared = async {
        let applications = applications(case, &hosts, &recorder, None, &[], &|_| true)?;
        let seed = run_seed(case, seed);
        let state = tempfile::Builder::new().prefix("mqttspec-state-").tempdir();
        let state = state.map_err(|error| error.to_string())?;
        let ports = Ports::new(intake.clone());
        let broker = match BrokerPeer::of(case, &hosts, &recorder, None, &[])? {
            Some(peer) => {
                let disk = RealDisk::new(state.path().join(SERVER)).map_err(|error| error.to_string())?;
                Some(Broker::new(peer, ports.clone(), disk, seed.child(SERVER), time.clone(), failed))
            }
            None => None,
        };
        let processes = Processes::new(pool, state, broker, stops.clone(), output.clone());
        let (mut faults, mut of_host) = (BTreeMap::new(), BTreeMap::new());
        for client in &hosts.clients {
            let of_client = Faults::new(seed.child(&client.name).to_u64());
            let port = ports.open(&client.name, &of_client).await.map_err(|error| error.to_string())?;
            faults.insert(client.name.clone(), of_client);
            of_host.insert(client.name.clone(), port);
            if let Some(application) = applications.get(&client.name) {
                let added = processes.add(&client.name, case.version, port, application.clone());
                added.map_err(|error| error.to_string())?;
            }
        }
        let faults = Injector::new(Relays::new(SERVER, faults, processes));
        let backend = ClientBackend { time: time.clone(), seed, timeouts, limit, faults, ports, of_host };
        Ok::<_, String>((applications, Rc::new(backend)))
    };
    let executed = match prepared.await {
        Err(reason) => Executed::broken(reason),
        Ok((applications, backend)) => {
            let applications = Rc::new(applications);
            let setup = Setup {
                case,
                hosts: hosts.clone(),
                recorder: recorder.clone(),
                applications: applications.clone(),
            };
            let processes = backend.faults.backend().power();
            let run = async {
                if let Some(broker) = &processes.broker {
                    broker.start();
                }
                for client in &hosts.clients {
                    processes.run(&client.name, !client.connects_when_told).await;
                }
                if processes.broker.is_some() {
                    connected(&hosts, &applications, time, timeouts).await;
                }
                execute(setup, backend.clone()).await
            };
            let executed = tokio::select! {
                biased;
                () = stops.stopped() => Executed::broken("the client under test stopped"),
                Some(error) = failures.recv() => {
                    Executed::broken(format!("the reference broker ended: {error}"))
                }
                executed = run => executed,
            };
            processes.end().await;
            executed
        }
    };
    let performed = Performed { history: recorder.take_history(), executed };
    let output = output.take();
    let (put_forward, tolerance) = (time.put_forward(), timeouts.tolerance());
    Run { performed, stopped: stops.take(), output, put_forward, tolerance }
}

/// Waits until the clients that connect without a command have done so: most libraries take no
/// other command before. If one does not connect, the first step with it fails.
async fn connected(hosts: &Hosts, applications: &Applications, time: &RunTime, timeouts: Timeouts) {
    let by_themselves = hosts.clients.iter().filter(|client| !client.connects_when_told);
    let waiting: Vec<_> = by_themselves.filter_map(|client| applications.get(&client.name)).collect();
    let until = time.now() + timeouts.patience;
    while waiting.iter().any(|application| !application.connected.get()) && time.now() < until {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

struct ClientBackend {
    time: RunTime,
    seed: Seed,
    timeouts: Timeouts,
    limit: Duration,
    faults: Injector<Relays<Processes>>,
    ports: Rc<Ports>,
    /// The port of each client's host.
    of_host: BTreeMap<String, u16>,
}

impl Backend for ClientBackend {
    fn timeouts(&self) -> Timeouts {
        self.timeouts
    }

    fn limit(&self) -> Option<Duration> {
        Some(self.limit)
    }

    fn now(&self) -> Duration {
        self.time.now()
    }

    fn sleep_until(&self, since_start: Duration) -> Pending<'_, ()> {
        Box::pin(self.time.sleep_until(since_start))
    }

    fn seed(&self) -> Seed {
        self.seed.child("scenario")
    }

    fn dial<'b>(&'b self, host: &'b str, offering: Option<&'b [String]>) -> Pending<'b, io::Result<Dialled>> {
        Box::pin(async move {
            let port = self.of_host.get(host).ok_or(io::ErrorKind::NotFound)?;
            let stream = TcpNet::loopback().connect("127.0.0.1", *port).await?;
            Dialled::open(stream, offering).await
        })
    }

    fn listen(&self) -> Pending<'_, Result<Box<dyn Incoming>, BackendError>> {
        let ports: Box<dyn Incoming> = Box::new(self.ports.listen());
        Box::pin(async { Ok(ports) })
    }

    fn faults(&self) -> &dyn FaultInjector {
        &self.faults
    }

    fn supports(&self, demands: &Demands) -> Result<(), Unsupported> {
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

impl From<AdapterError> for Stopped {
    fn from(error: AdapterError) -> Self {
        Self::Broken(error)
    }
}
