//! The live backend: a fault relay for each host, the reference clients, and control of the server.

use core::time::Duration;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use mqttspec_codec::Version;
use mqttspec_faults::{FaultError, Injector};
use mqttspec_net::relay::{Faults, Power, Relays};
use mqttspec_notation::DiskFault;
use mqttspec_ports::Net as _;
use mqttspec_world::Seed;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::fast_time::{FastTime, Wait};
use super::launcher::Instance;
use super::names::Names;
use super::wire::{Endpoint, HostNet};
use crate::backend::{
    Backend, BackendError, Demands, Dialled, FaultInjector, Incoming, Pending, Timeouts, Unsupported,
};
use crate::executor::{Executed, Setup, execute, run_seed};
use crate::found::Timed;
use crate::hosts::{Hosts, PORT, SERVER};
use crate::intake::Intake;
use crate::judging::{Performed, judged};
use crate::peers::applications;
use crate::peers::client::Application;
use crate::recorder::Recorder;
use mqttspec_judge::Case;
use mqttspec_judge::command::RepeatCommand;
use mqttspec_judge::history::History;
use mqttspec_judge::results::RunResult;

/// A run on a live server that was judged.
pub(crate) struct Finished {
    pub(crate) result: RunResult,
    pub(crate) timed: Timed,
    pub(crate) history: History,
}

impl Finished {
    /// A run that did not begin.
    pub(crate) fn broken(result: RunResult, timed: Timed) -> Self {
        Self { result, timed, history: History::default() }
    }
}

/// Runs a case once on a live server. The case must already have its live times.
pub(crate) async fn run(
    case: &Case,
    command: &RepeatCommand,
    environment: Environment,
    with_trace: bool,
) -> Finished {
    let model = environment.model.then(|| environment.timeouts.tolerance());
    let time = environment.time.clone();
    let Performed { history, executed } = perform(case, command.seed, environment).await;
    let (result, timed) = judged(case, command, executed, &history, with_trace, model);
    let put_forward = time.map_or(Duration::ZERO, |time| time.put_forward());
    Finished { result, timed: Timed { put_forward, ..timed }, history }
}

async fn perform(case: &Case, seed: u64, environment: Environment) -> Performed {
    let hosts = Rc::new(Hosts::of(&case.scenario, case.tests));
    let time = RunTime::starting(environment.time.clone());
    let now = time.clone();
    let recorder =
        Rc::new(Recorder::new(hosts.infos(), move || now.now()).counting(environment.intake.clone()));
    let executed = match applications(case, &hosts, &recorder, None, &[], &|_| true) {
        Err(reason) => Executed::broken(reason),
        Ok(applications) => {
            let names = hosts.clients.iter().map(|client| client.name.clone());
            let seed = run_seed(case, seed);
            let backend = LiveBackend::new(environment, time, recorder.clone(), seed, case.version, names);
            for client in &hosts.clients {
                if let Some(application) = applications.get(&client.name) {
                    backend.run_client(&client.name, application.clone(), !client.connects_when_told);
                }
            }
            let setup =
                Setup { case, hosts, recorder: recorder.clone(), applications: Rc::new(applications) };
            execute(setup, Rc::new(backend)).await
        }
    };
    Performed { history: recorder.take_history(), executed }
}

/// The backend of one run.
struct LiveBackend {
    time: RunTime,
    recorder: Rc<Recorder>,
    seed: Seed,
    timeouts: Timeouts,
    limit: Duration,
    faults: Injector<Relays<LivePower>>,
    /// Whether the server is reached over WebSocket.
    has_websocket: bool,
}

/// The time of one run.
#[derive(Clone)]
struct RunTime {
    began: Instant,
    /// The time of the server, if its clock is put forward.
    fast: Option<Rc<FastTime>>,
    /// What the clock of the server showed at the start of the run.
    fast_began: Duration,
}

impl RunTime {
    fn starting(fast: Option<Rc<FastTime>>) -> Self {
        let fast_began = fast.as_ref().map_or(Duration::ZERO, |fast| fast.now());
        Self { began: Instant::now(), fast, fast_began }
    }

    fn now(&self) -> Duration {
        match &self.fast {
            Some(fast) => fast.now().saturating_sub(self.fast_began),
            None => self.began.elapsed(),
        }
    }

    async fn wait_until(&self, since_start: Duration, wait: Wait, recorder: &Recorder) {
        let recorded = || recorder.with_history(|history| history.events().len());
        match &self.fast {
            Some(fast) => fast.wait_until(self.fast_began + since_start, wait, recorded).await,
            None => tokio::time::sleep_until(self.began + since_start).await,
        }
    }
}

/// What a live run needs besides its case.
pub(crate) struct Environment {
    pub(crate) endpoint: Endpoint,
    pub(crate) names: Rc<Names>,
    pub(crate) timeouts: Timeouts,
    /// The server's process, if the harness can crash and start it.
    pub(crate) instance: Option<Rc<Instance>>,
    /// Counts what the server sends.
    pub(crate) intake: Rc<Intake>,
    /// A run that takes longer counts as endless.
    pub(crate) limit: Duration,
    /// The time of the server, if its clock is put forward.
    pub(crate) time: Option<Rc<FastTime>>,
    /// Whether the history model judges the run too.
    pub(crate) model: bool,
}

impl LiveBackend {
    fn new(
        environment: Environment,
        time: RunTime,
        recorder: Rc<Recorder>,
        seed: Seed,
        version: Version,
        hosts: impl Iterator<Item = String>,
    ) -> Self {
        let Environment { endpoint, names, timeouts, instance, intake, limit, .. } = environment;
        let faults: BTreeMap<String, Faults> = hosts
            .map(|host| {
                let faults = Faults::new(seed.child(&host).to_u64());
                (host, faults)
            })
            .collect();
        let net = |(host, faults): (&String, &Faults)| {
            (host.clone(), HostNet::new(&endpoint, faults, &names, &intake, version))
        };
        let nets = faults.iter().map(net).collect();
        let has_websocket = endpoint.net.below_websocket().is_some();
        let power = LivePower { seed, nets, clients: RefCell::default(), instance };
        let faults = Injector::new(Relays::new(SERVER, faults, power));
        Self { time, recorder, seed, timeouts, limit, faults, has_websocket }
    }

    /// Runs a client on a host.
    fn run_client(&self, host: &str, application: Rc<Application>, connects: bool) {
        self.faults.backend().power().run_client(host, application, connects);
    }
}

impl Backend for LiveBackend {
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
        Box::pin(self.time.wait_until(since_start, Wait::Time, &self.recorder))
    }

    fn await_until(&self, since_start: Duration) -> Pending<'_, ()> {
        Box::pin(self.time.wait_until(since_start, Wait::Arrival, &self.recorder))
    }

    fn watch_until(&self, since_start: Duration) -> Pending<'_, ()> {
        Box::pin(self.time.wait_until(since_start, Wait::Possible, &self.recorder))
    }

    fn grain(&self) -> Duration {
        self.time.fast.as_ref().map_or(Duration::ZERO, |fast| fast.grain())
    }

    fn seed(&self) -> Seed {
        self.seed.child("scenario")
    }

    fn dial<'b>(&'b self, host: &'b str, offering: Option<&'b [String]>) -> Pending<'b, io::Result<Dialled>> {
        Box::pin(async move {
            let net = self.faults.backend().power().net(host)?;
            match offering {
                Some(names) => net.connect_websocket(names).await,
                None => {
                    let stream = Box::new(net.connect(SERVER, PORT).await?);
                    Ok(Dialled { stream, websocket: None })
                }
            }
        })
    }

    fn listen(&self) -> Pending<'_, Result<Box<dyn Incoming>, BackendError>> {
        let reason = "the harness cannot act as the server on a live target".to_owned();
        Box::pin(async { Err(BackendError(reason)) })
    }

    fn faults(&self) -> &dyn FaultInjector {
        &self.faults
    }

    fn supports(&self, demands: &Demands) -> Result<(), Unsupported> {
        if demands.plays_server {
            let what = "a server that the harness plays".to_owned();
            return Err(Unsupported { what, reason: "the server is a live one" });
        }
        if demands.over_websocket && !self.has_websocket {
            let what = "MQTT over WebSocket".to_owned();
            return Err(Unsupported { what, reason: "the address of the target is not `ws://` or `wss://`" });
        }
        // Killing a process loses no writes, because its machine keeps running. So only the disk
        // fault `sound` is supported.
        let unsound = demands.disks.iter().find(|(_, words)| words.as_slice() != [DiskFault::Sound]);
        if let Some((host, _)) = unsound {
            let what = format!("a fault of the disk of {host}");
            return Err(Unsupported { what, reason: "the disks of live hosts cannot be reached" });
        }
        demands.faults.iter().try_for_each(|fault| Ok(self.faults().supports(fault)?))
    }
}

/// The processes on the hosts: the reference clients, and the server if it was started here or has
/// commands for it.
struct LivePower {
    seed: Seed,
    nets: BTreeMap<String, HostNet>,
    clients: RefCell<BTreeMap<String, Client>>,
    instance: Option<Rc<Instance>>,
}

struct Client {
    application: Rc<Application>,
    /// Whether it connects without a command.
    connects: bool,
    lives: u64,
    running: Option<JoinHandle<()>>,
}

/// Why the server has no power that can fail.
const NO_POWER: &str = "nothing says how this server is crashed and started";

impl LivePower {
    /// The network of a client's host.
    fn net(&self, host: &str) -> io::Result<&HostNet> {
        self.nets.get(host).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn run_client(&self, host: &str, application: Rc<Application>, connects: bool) {
        let client = Client { application, connects, lives: 0, running: None };
        self.clients.borrow_mut().insert(host.to_owned(), client);
        self.start_client(host);
    }

    fn start_client(&self, host: &str) {
        let mut clients = self.clients.borrow_mut();
        let (Some(client), Ok(net)) = (clients.get_mut(host), self.net(host)) else { return };
        client.lives += 1;
        let seed = self.seed.child(host).nth(client.lives).to_u64();
        let life = client.application.clone().run_live(net.clone(), seed, client.connects);
        client.running = Some(tokio::task::spawn_local(async move {
            // A client that fails stops reporting to its application, and the checks find that.
            let _ = life.await;
        }));
    }

    fn server(&self) -> Result<&Instance, FaultError> {
        self.instance.as_deref().ok_or_else(|| FaultError::Failed(NO_POWER.to_owned()))
    }
}

impl Power for LivePower {
    fn reaches(&self, host: &str) -> Result<(), &'static str> {
        if host == SERVER && self.instance.is_none() { Err(NO_POWER) } else { Ok(()) }
    }

    async fn crash(&self, host: &str) -> Result<(), FaultError> {
        if host == SERVER {
            return self.server()?.crash().await.map_err(|error| FaultError::Failed(error.to_string()));
        }
        let running = self.clients.borrow_mut().get_mut(host).and_then(|client| client.running.take());
        if let Some(running) = running {
            running.abort();
        }
        Ok(())
    }

    async fn start(&self, host: &str) -> Result<(), FaultError> {
        if host == SERVER {
            return self.server()?.start().await.map_err(|error| FaultError::Failed(error.to_string()));
        }
        self.start_client(host);
        Ok(())
    }
}
