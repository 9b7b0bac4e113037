//! The live backend: a fault relay for each host, the reference clients, and control of the server.

use core::ops::RangeInclusive;
use core::time::Duration;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use mqttspec_codec::Version;
use mqttspec_net::relay::{Cut, Faults, Lane};
use mqttspec_ports::Net as _;
use mqttspec_world::{Probability, Seed};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::launcher::Instance;
use super::names::Names;
use super::wire::{Endpoint, HostNet};
use crate::backend::{Backend, BackendError, Incoming, Links, Pending, Stream, Timeouts, Way};
use crate::executor::{Executed, Setup, execute, run_seed};
use crate::hosts::{Hosts, PORT, SERVER};
use crate::judging::{Performed, judged};
use crate::peers::applications;
use crate::peers::client::Application;
use crate::recorder::Recorder;
use mqttspec_judge::Case;
use mqttspec_judge::command::RepeatCommand;
use mqttspec_judge::results::RunResult;

/// Runs a case once on a live server. Also returns whether a failure may be caused by timing.
/// The case must already have its live times.
pub(crate) async fn run(
    case: &Case,
    command: &RepeatCommand,
    environment: Environment,
    with_trace: bool,
) -> (RunResult, bool) {
    judged(case, command, perform(case, command.seed, environment).await, with_trace)
}

async fn perform(case: &Case, seed: u64, environment: Environment) -> Performed {
    let hosts = Rc::new(Hosts::of(&case.scenario, case.tests));
    let began = Instant::now();
    let recorder = Rc::new(Recorder::new(hosts.lanes(), move || began.elapsed()));
    let executed = match applications(case, &hosts, &recorder, None, &[]) {
        Err(reason) => Executed::broken(reason),
        Ok(applications) => {
            let names = hosts.clients.iter().map(|client| client.name.clone());
            let seed = run_seed(case, seed);
            let backend = LiveBackend::new(environment, began, seed, case.version, names);
            for client in &hosts.clients {
                if let Some(application) = applications.get(&client.name) {
                    backend.run_client(&client.name, application.clone(), !client.connects_when_told);
                }
            }
            let setup = Setup { case, hosts, recorder: recorder.clone(), applications: &applications };
            execute(setup, Rc::new(backend)).await
        }
    };
    Performed { history: recorder.take_history(), executed }
}

/// The backend of one run.
struct LiveBackend {
    began: Instant,
    seed: Seed,
    endpoint: Endpoint,
    names: Rc<Names>,
    version: Version,
    timeouts: Timeouts,
    limit: Duration,
    faults: BTreeMap<String, Faults>,
    clients: Clients,
    instance: Option<Rc<Instance>>,
}

/// What a live run needs besides its case.
pub(crate) struct Environment {
    pub(crate) endpoint: Endpoint,
    pub(crate) names: Rc<Names>,
    pub(crate) timeouts: Timeouts,
    /// The server's process, if the harness can crash and start it.
    pub(crate) instance: Option<Rc<Instance>>,
    /// A run that takes longer counts as endless.
    pub(crate) limit: Duration,
}

impl LiveBackend {
    fn new(
        environment: Environment,
        began: Instant,
        seed: Seed,
        version: Version,
        hosts: impl Iterator<Item = String>,
    ) -> Self {
        let Environment { endpoint, names, timeouts, instance, limit } = environment;
        let faults = hosts
            .map(|host| {
                let faults = Faults::new(seed.child(&host).to_u64());
                (host, faults)
            })
            .collect();
        let clients = Clients::default();
        Self { began, seed, endpoint, names, version, timeouts, limit, faults, clients, instance }
    }

    /// Runs a client on a host.
    fn run_client(&self, host: &str, application: Rc<Application>, connects: bool) {
        let client = Client { application, connects, lives: 0, running: None };
        self.clients.by_host.borrow_mut().insert(host.to_owned(), client);
        self.clients.start(host, self);
    }

    /// The network of a client's host.
    fn net(&self, host: &str) -> HostNet {
        let faults = self.faults.get(host).cloned().unwrap_or_else(|| Faults::new(0));
        HostNet::new(&self.endpoint, &faults, &self.names, self.version)
    }

    /// The relay directions that a fault affects. Every connection is between a client's host and
    /// the server.
    fn lanes(&self, way: Way<'_>) -> Lanes {
        let of = |host: &str, lanes: &[Lane]| match self.faults.get(host) {
            Some(faults) => lanes.iter().map(|lane| (faults.clone(), *lane)).collect(),
            None => self.of_all(lanes),
        };
        Lanes(match way {
            Way::Everywhere => self.of_all(&Lane::BOTH),
            Way::Around(host) => of(host, &Lane::BOTH),
            Way::To(SERVER) => self.of_all(&[Lane::ToServer]),
            Way::To(host) => of(host, &[Lane::ToClient]),
            Way::FromTo(SERVER, host) => of(host, &[Lane::ToClient]),
            Way::FromTo(host, _) => of(host, &[Lane::ToServer]),
            Way::Between(SERVER, host) | Way::Between(host, _) => of(host, &Lane::BOTH),
        })
    }

    fn of_all(&self, lanes: &[Lane]) -> Vec<(Faults, Lane)> {
        let each = |faults: &Faults| lanes.iter().map(|lane| (faults.clone(), *lane)).collect::<Vec<_>>();
        self.faults.values().flat_map(each).collect()
    }

    fn instance(&self) -> Result<&Rc<Instance>, BackendError> {
        let unknown = || BackendError("no command is known that crashes and starts this server".to_owned());
        self.instance.as_ref().ok_or_else(unknown)
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
        self.began.elapsed()
    }

    fn sleep_until(&self, since_start: Duration) -> Pending<'_, ()> {
        Box::pin(tokio::time::sleep_until(self.began + since_start))
    }

    fn seed(&self) -> Seed {
        self.seed.child("scenario")
    }

    fn dial<'b>(&'b self, host: &'b str) -> Pending<'b, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let stream = self.net(host).connect(SERVER, PORT).await?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }

    fn listen(&self) -> Pending<'_, Result<Box<dyn Incoming>, BackendError>> {
        let reason = "the harness cannot act as the server on a live target".to_owned();
        Box::pin(async { Err(BackendError(reason)) })
    }

    fn links(&self, way: Way<'_>) -> Result<Box<dyn Links>, BackendError> {
        Ok(Box::new(self.lanes(way)))
    }

    fn stall(&self, host: &str) -> Result<(), BackendError> {
        self.lanes(Way::To(host)).each(Faults::stall);
        Ok(())
    }

    fn resume(&self, host: &str) -> Result<(), BackendError> {
        self.lanes(Way::To(host)).each(Faults::resume);
        Ok(())
    }

    fn crash<'b>(&'b self, host: &'b str) -> Pending<'b, Result<(), BackendError>> {
        Box::pin(async move {
            if host != SERVER {
                self.clients.crash(host);
                if let Some(faults) = self.faults.get(host) {
                    faults.cut(Cut::HalfOpen);
                }
                return Ok(());
            }
            self.instance()?.crash().await.map_err(|error| BackendError(error.to_string()))
        })
    }

    fn start<'b>(&'b self, host: &'b str) -> Pending<'b, Result<(), BackendError>> {
        Box::pin(async move {
            if host != SERVER {
                self.clients.start(host, self);
                return Ok(());
            }
            self.instance()?.start().await.map_err(|error| BackendError(error.to_string()))
        })
    }

    fn disk_capacity(&self, _host: &str, _bytes: Option<u64>) -> Result<(), BackendError> {
        Err(BackendError("the disk of a live server cannot be limited".to_owned()))
    }
}

/// Relays, each with one direction.
struct Lanes(Vec<(Faults, Lane)>);

impl Lanes {
    fn each(&self, change: impl Fn(&Faults, Lane)) {
        self.0.iter().for_each(|(faults, lane)| change(faults, *lane));
    }
}

impl Links for Lanes {
    fn partition(&self) {
        self.each(Faults::partition);
    }

    fn join(&self) {
        self.each(Faults::heal);
    }

    fn latency(&self, latency: RangeInclusive<Duration>) {
        self.each(|faults, lane| faults.latency(lane, latency.clone()));
    }

    fn usual_latency_and(&self, more: Duration) {
        self.latency(more..=more);
    }

    fn loss(&self, probability: Probability) {
        self.each(|faults, lane| faults.loss(lane, probability.as_fraction()));
    }

    fn bandwidth(&self, bytes_per_second: Option<u64>) {
        self.each(|faults, lane| faults.bandwidth(lane, bytes_per_second));
    }

    fn reset(&self) {
        self.each(|faults, _| faults.cut(Cut::Reset));
    }

    fn blackhole(&self) {
        self.each(|faults, _| faults.cut(Cut::HalfOpen));
    }
}

/// The reference clients of a run, by host.
#[derive(Default)]
struct Clients {
    by_host: RefCell<BTreeMap<String, Client>>,
}

struct Client {
    application: Rc<Application>,
    /// Whether it connects without a command.
    connects: bool,
    lives: u64,
    running: Option<JoinHandle<()>>,
}

impl Clients {
    fn start(&self, host: &str, backend: &LiveBackend) {
        let mut clients = self.by_host.borrow_mut();
        let Some(client) = clients.get_mut(host) else { return };
        client.lives += 1;
        let seed = backend.seed.child(host).nth(client.lives).to_u64();
        let life = client.application.clone().run_live(backend.net(host), seed, client.connects);
        client.running = Some(tokio::task::spawn_local(async move {
            // A client that fails stops reporting to its application, and the checks find that.
            let _ = life.await;
        }));
    }

    fn crash(&self, host: &str) {
        if let Some(client) = self.by_host.borrow_mut().get_mut(host)
            && let Some(running) = client.running.take()
        {
            running.abort();
        }
    }
}
