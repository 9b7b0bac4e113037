//! What surrounds one run before a live server: a relay with faults for each host, the reference clients, and the power of the server.

use core::ops::RangeInclusive;
use core::time::Duration;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use mqttspec_codec::Version;
use mqttspec_net::relay::{Cut, Faults, Lane};
use mqttspec_world::Seed;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::launcher::Instance;
use super::names::Names;
use super::wire::{HostNet, Reach};
use crate::run::applications::Application;
use crate::run::cast::SERVER;
use crate::run::ground::{Pace, Way};

/// One run's surroundings.
pub(crate) struct Site {
    began: Instant,
    seed: Seed,
    reach: Reach,
    names: Rc<Names>,
    version: Version,
    pace: Pace,
    faults: BTreeMap<String, Faults>,
    clients: Clients,
    power: Option<Rc<Instance>>,
}

/// What a run before a live server is given.
pub(crate) struct Surroundings {
    pub(crate) reach: Reach,
    pub(crate) names: Rc<Names>,
    pub(crate) pace: Pace,
    /// How the server is crashed and started, if it can be.
    pub(crate) power: Option<Rc<Instance>>,
    /// A run that takes longer never ends.
    pub(crate) limit: Duration,
}

impl Site {
    pub(crate) fn new(
        surroundings: Surroundings,
        began: Instant,
        seed: Seed,
        version: Version,
        hosts: impl Iterator<Item = String>,
    ) -> Self {
        let Surroundings { reach, names, pace, power, .. } = surroundings;
        let faults = hosts
            .map(|host| {
                let faults = Faults::new(seed.child(&host).to_u64());
                (host, faults)
            })
            .collect();
        Self { began, seed, reach, names, version, pace, faults, clients: Clients::default(), power }
    }

    pub(crate) fn pace(&self) -> Pace {
        self.pace
    }

    pub(crate) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    pub(crate) async fn sleep_until(&self, since_start: Duration) {
        tokio::time::sleep_until(self.began + since_start).await;
    }

    pub(crate) fn seed(&self, purpose: &str) -> Seed {
        self.seed.child(purpose)
    }

    /// The network of a client's host.
    pub(crate) fn net(&self, host: &str) -> HostNet {
        let faults = self.faults.get(host).cloned().unwrap_or_else(|| Faults::new(0));
        HostNet::new(&self.reach, &faults, &self.names, self.version)
    }

    pub(crate) fn clients(&self) -> &Clients {
        &self.clients
    }

    /// The directions of relays that a fault is on: each connection is between a client's host and the server.
    pub(crate) fn lanes(&self, way: Way<'_>) -> Lanes {
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

    /// Ends a client's host, or the server, without a word.
    pub(crate) async fn crash(&self, host: &str) -> Result<(), String> {
        if host != SERVER {
            self.clients.crash(host);
            if let Some(faults) = self.faults.get(host) {
                faults.cut(Cut::HalfOpen);
            }
            return Ok(());
        }
        self.power()?.crash().await.map_err(|error| error.to_string())
    }

    /// Starts what was crashed.
    pub(crate) async fn start(self: &Rc<Self>, host: &str) -> Result<(), String> {
        if host != SERVER {
            self.clients.start(host, self);
            return Ok(());
        }
        self.power()?.start().await.map_err(|error| error.to_string())
    }

    fn power(&self) -> Result<&Rc<Instance>, String> {
        self.power.as_ref().ok_or_else(|| "nothing says how this server is crashed and started".to_owned())
    }
}

/// Directions of relays.
pub(crate) struct Lanes(Vec<(Faults, Lane)>);

impl Lanes {
    fn each(&self, change: impl Fn(&Faults, Lane)) {
        self.0.iter().for_each(|(faults, lane)| change(faults, *lane));
    }

    pub(crate) fn partition(&self) {
        self.each(Faults::partition);
    }

    pub(crate) fn join(&self) {
        self.each(Faults::heal);
    }

    pub(crate) fn latency(&self, range: &RangeInclusive<Duration>) {
        self.each(|faults, lane| faults.latency(lane, range.clone()));
    }

    pub(crate) fn loss(&self, fraction: f64) {
        self.each(|faults, lane| faults.loss(lane, fraction));
    }

    pub(crate) fn bandwidth(&self, bytes_per_second: Option<u64>) {
        self.each(|faults, lane| faults.bandwidth(lane, bytes_per_second));
    }

    pub(crate) fn stall(&self) {
        self.each(Faults::stall);
    }

    pub(crate) fn resume(&self) {
        self.each(Faults::resume);
    }

    pub(crate) fn reset(&self) {
        self.each(|faults, _| faults.cut(Cut::Reset));
    }

    pub(crate) fn half_open(&self) {
        self.each(|faults, _| faults.cut(Cut::HalfOpen));
    }
}

/// The reference clients that run on the hosts of a run.
#[derive(Default)]
pub(crate) struct Clients {
    by_host: RefCell<BTreeMap<String, Client>>,
}

struct Client {
    application: Rc<Application>,
    /// Whether it connects without being told.
    connects: bool,
    lives: u64,
    running: Option<JoinHandle<()>>,
}

impl Clients {
    /// Runs a client on a host.
    pub(crate) fn run(&self, host: &str, application: Rc<Application>, connects: bool, site: &Rc<Site>) {
        let client = Client { application, connects, lives: 0, running: None };
        self.by_host.borrow_mut().insert(host.to_owned(), client);
        self.start(host, site);
    }

    fn start(&self, host: &str, site: &Rc<Site>) {
        let mut clients = self.by_host.borrow_mut();
        let Some(client) = clients.get_mut(host) else { return };
        client.lives += 1;
        let seed = site.seed(host).nth(client.lives).to_u64();
        let life = client.application.clone().run_live(site.net(host), seed, client.connects);
        client.running = Some(tokio::task::spawn_local(async move {
            // What a client could not do shows in what it did not tell its application.
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
