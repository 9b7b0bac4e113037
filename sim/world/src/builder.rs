//! Describes a world, and runs it from start to end.

use crate::disk::Drive;
use crate::error::{Failure, RunError};
use crate::history::{Event, Keep, Observer, Statistics, Trace};
use crate::host_context::{HostContext, HostResult};
use crate::limits::Limits;
use crate::link::{Latency, Link};
use crate::network::{Network, Patience};
use crate::seed::Seed;
use crate::simulation::{Factory, Host, HostWaker, OfHosts, Ready, Scheduler, Simulation, Start, run_on};
use crate::swarm::Swarm;
use crate::watchdog::Watched;
use crate::world::World;
use mqttspec_faults::Probability;
use mqttspec_runtime::Virtual;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::task::Waker;
use std::time::Duration;
use tokio::task::LocalSet;

thread_local! {
    static RUNNING: Cell<bool> = const { Cell::new(false) };
}

struct Declared {
    name: String,
    factory: Factory,
    starts_up: bool,
}

/// Describes a world before it runs.
pub struct Builder {
    seed: u64,
    hosts: Vec<Declared>,
    link: Link,
    patience: Patience,
    limits: Limits,
    keep: Keep,
    observer: Option<Observer>,
    sector_bytes: Option<u64>,
    options: Arc<str>,
    without_tokio: bool,
}

impl World {
    /// Starts the description of a world. The seed is the only source of randomness: the same seed
    /// repeats a run bit for bit.
    pub fn builder(seed: u64) -> Builder {
        Builder::new(seed)
    }
}

impl Builder {
    pub(crate) fn new(seed: u64) -> Builder {
        Builder {
            seed,
            hosts: Vec::new(),
            link: Link::new(Latency::Fixed(Duration::from_millis(1))),
            patience: Patience { request: Duration::from_secs(127), data: Duration::from_secs(924) },
            limits: Limits {
                simulated: Duration::from_secs(7 * 24 * 3600),
                events: 50_000_000,
                polls_per_instant: 100_000,
                real_poll: Duration::from_secs(300),
                real_run: Duration::MAX,
                name: Arc::from(""),
            },
            keep: Keep::All,
            observer: None,
            sector_bytes: Some(512),
            options: Arc::from(""),
            without_tokio: false,
        }
    }

    /// Declares a host that is up from the start. The closure creates its main task at each start.
    /// When that task returns, the host's process ends, including its other tasks.
    pub fn host<F, Fut>(self, name: &str, main: F) -> Builder
    where
        F: FnMut(HostContext) -> Fut + 'static,
        Fut: Future + 'static,
        Fut::Output: HostResult,
    {
        self.declare(name, main, true)
    }

    /// Declares a host that is down until the director starts it.
    pub fn host_down<F, Fut>(self, name: &str, main: F) -> Builder
    where
        F: FnMut(HostContext) -> Fut + 'static,
        Fut: Future + 'static,
        Fut::Output: HostResult,
    {
        self.declare(name, main, false)
    }

    fn declare<F, Fut>(mut self, name: &str, mut main: F, starts_up: bool) -> Builder
    where
        F: FnMut(HostContext) -> Fut + 'static,
        Fut: Future + 'static,
        Fut::Output: HostResult,
    {
        let factory: Factory = Box::new(move |Start { simulation, host, incarnation, stop }| {
            let main = main(HostContext { simulation, host, incarnation, stop });
            Box::pin(async move { main.await.into_result() })
        });
        self.hosts.push(Declared { name: name.to_owned(), factory, starts_up });
        self
    }

    /// Sets the initial latency of every link. The default is 1 ms.
    pub fn latency(mut self, latency: impl Into<Latency>) -> Builder {
        self.link.set_latency(latency.into());
        self
    }

    /// Sets the initial loss of every link. The default is none.
    pub fn loss(mut self, loss: Probability) -> Builder {
        self.link.loss = loss;
        self
    }

    /// Sets how long an unanswered connection request and unacknowledged data are retried before
    /// the connection times out. The defaults are those of Linux: 127 s and 924 s.
    pub fn patience(mut self, request: Duration, data: Duration) -> Builder {
        self.patience = Patience { request, data };
        self
    }

    /// Sets the simulated time after which a run fails as endless. The default is 7 days.
    pub fn time_limit(mut self, limit: Duration) -> Builder {
        self.limits.simulated = limit;
        self
    }

    /// Sets the number of events after which a run fails as endless. The default is 50 million.
    pub fn event_limit(mut self, limit: u64) -> Builder {
        self.limits.events = limit;
        self
    }

    /// Sets how often a host may be polled at one instant before it counts as spinning. The default
    /// is 100,000.
    pub fn poll_limit(mut self, limit: u64) -> Builder {
        self.limits.polls_per_instant = limit;
        self
    }

    /// Sets how long the run may poll no host and not the director, or be in one such poll, in real
    /// time, before it counts as stuck. The default is 5 minutes.
    ///
    /// A task that never yields cannot be stopped. The process prints a message with the host, the
    /// simulated time, the seed and the last events to standard error, and aborts.
    /// [`poll_limit`](Builder::poll_limit) finds a task that spins but yields.
    pub fn watchdog(mut self, limit: Duration) -> Builder {
        self.limits.real_poll = limit;
        self
    }

    /// Sets the real time after which a run fails as endless. By default there is no limit. Whether
    /// a run reaches it depends on the machine, so it should be far above what a run needs.
    pub fn real_time_limit(mut self, limit: Duration) -> Builder {
        self.limits.real_run = limit;
        self
    }

    /// Sets the name of the run in the message of the [`watchdog`](Builder::watchdog).
    pub fn name(mut self, name: &str) -> Builder {
        self.limits.name = Arc::from(name);
        self
    }

    /// Records the options of this run that were drawn from its seed: the history begins with them,
    /// and a failure names them.
    pub fn swarm(mut self, swarm: &Swarm) -> Builder {
        self.options = swarm.to_string().into();
        self
    }

    /// Sets what a crash does to a write that was not synced. With a sector size in bytes, a prefix
    /// of whole sectors may survive; with `None`, the write is lost completely. The default is 512.
    pub fn torn_writes(mut self, sector_bytes: Option<u64>) -> Builder {
        self.sector_bytes = sector_bytes.filter(|&bytes| bytes > 0);
        self
    }

    /// Sets how much of the history the trace keeps. The default is all of it.
    pub fn keep(mut self, keep: Keep) -> Builder {
        self.keep = keep;
        self
    }

    /// Runs the hosts without tokio, which takes less time. Hosts and director then use the tasks
    /// and timers of `mqttspec_runtime`; those of tokio panic. The history is the same, unless two
    /// timers of one host end together: their order may differ.
    pub fn without_tokio(mut self) -> Builder {
        self.without_tokio = true;
        self
    }

    /// Calls a closure with every event as it happens.
    pub fn observe(mut self, observer: impl FnMut(&Event) + 'static) -> Builder {
        self.observer = Some(Box::new(observer));
        self
    }

    /// Runs the world until its director returns.
    ///
    /// # Errors
    /// A [`RunError`] with the history up to the failure. A panic of the director is propagated.
    pub fn run<D, F>(self, director: D) -> Result<Outcome<F::Output>, Failure>
    where
        D: FnOnce(World) -> F,
        F: Future,
    {
        let seed = self.seed;
        let Some(_running) = Running::begin() else { return Err(early(seed, RunError::Nested)) };
        if self.without_tokio { self.run_virtually(director) } else { self.run_on_tokio(director) }
    }

    fn run_on_tokio<D, F>(self, director: D) -> Result<Outcome<F::Output>, Failure>
    where
        D: FnOnce(World) -> F,
        F: Future,
    {
        let seed = self.seed;
        let runtime = match runtime(&Seed::new(seed)) {
            Ok(runtime) => runtime,
            Err(error) => return Err(early(seed, RunError::Runtime(error.to_string()))),
        };
        let entered = runtime.enter();
        let (simulation, up) = self.into_simulation(None)?;
        drop(entered);
        // Hosts must be dropped before the runtime, however this function returns.
        let _installed = Installed::new(&simulation);
        let ended = runtime.block_on(async {
            simulation.begin(&up);
            let world = World { simulation: simulation.clone() };
            let local = LocalSet::new();
            let director = local.run_until(async { director(world).await });
            Scheduler::new(simulation.clone(), director).await
        });
        outcome(&simulation, ended)
    }

    fn run_virtually<D, F>(self, director: D) -> Result<Outcome<F::Output>, Failure>
    where
        D: FnOnce(World) -> F,
        F: Future,
    {
        let runtime = Virtual::new();
        let _entered = runtime.enter();
        let (simulation, up) = self.into_simulation(Some(runtime.clone()))?;
        let _installed = Installed::new(&simulation);
        let ended = {
            simulation.begin(&up);
            let world = World { simulation: simulation.clone() };
            let director = runtime.run_until(async { director(world).await });
            run_on(&runtime, pin!(Scheduler::new(simulation.clone(), director)))
        };
        outcome(&simulation, ended)
    }

    fn into_simulation(self, runtime: Option<Rc<Virtual>>) -> Result<(Rc<Simulation>, Vec<u16>), Failure> {
        let seed = self.seed;
        let count = u16::try_from(self.hosts.len()).ok().filter(|&count| count < u16::MAX - 1);
        let Some(count) = count else { return Err(early(seed, RunError::TooManyHosts(self.hosts.len()))) };
        let mut names = BTreeSet::new();
        let tree = Seed::new(seed);
        let clock = Arc::new(AtomicU64::new(0));
        let ready = Arc::new(Ready::default());
        let mut hosts = Vec::with_capacity(self.hosts.len());
        let mut up = Vec::new();
        for (host, declared) in (0..).zip(self.hosts) {
            let Declared { name, factory, starts_up } = declared;
            let is_address = name.parse::<std::net::IpAddr>().is_ok();
            if name.is_empty() || name == "localhost" || is_address || !names.insert(name.clone()) {
                return Err(early(seed, RunError::HostName(name)));
            }
            let seed = tree.child("disks").child(&name);
            let drive = Arc::new(Drive::new(&seed, self.sector_bytes, clock.clone()));
            let woken = Arc::new(HostWaker::new(host, ready.clone()));
            if starts_up {
                up.push(host);
            }
            hosts.push(Host {
                name: name.into(),
                factory: RefCell::new(factory),
                tasks: RefCell::new(None),
                drive,
                ended: Rc::default(),
                stop: RefCell::default(),
                went_down: Arc::default(),
                incarnation: Cell::new(0),
                waker: Waker::from(woken.clone()),
                woken,
                polls_now: Cell::default(),
                polls: Cell::default(),
            });
        }
        let network = Network::new(count, self.link, self.patience, &tree, self.keep, self.observer);
        let (options, limits) = (self.options, self.limits);
        let of_hosts = OfHosts { ready, clock, runtime };
        let simulation = Simulation::new(hosts, network, seed, options, limits, of_hosts);
        Ok((Rc::new(simulation), up))
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.hosts.iter().map(|host| host.name.as_str()).collect();
        f.debug_struct("Builder").field("seed", &self.seed).field("hosts", &names).finish_non_exhaustive()
    }
}

/// The result of a run.
#[derive(Clone, Debug)]
pub struct Outcome<T> {
    /// The director's return value.
    pub output: T,
    /// The history of the run.
    pub trace: Trace,
}

fn outcome<T>(simulation: &Simulation, ended: Result<T, RunError>) -> Result<Outcome<T>, Failure> {
    let trace = simulation.trace();
    match ended {
        Ok(output) => Ok(Outcome { output, trace }),
        Err(error) => Err(Failure { error, trace: Box::new(trace) }),
    }
}

/// A run that failed before its first event.
fn early(seed: u64, error: RunError) -> Failure {
    let trace = Trace {
        seed,
        options: Arc::from(""),
        hosts: Vec::new(),
        events: Vec::new(),
        hash: 0,
        statistics: Statistics::default(),
    };
    Failure { error, trace: Box::new(trace) }
}

fn runtime(seed: &Seed) -> std::io::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(true);
    #[cfg(tokio_unstable)]
    builder.rng_seed(tokio::runtime::RngSeed::from_bytes(&seed.child("tokio").to_bytes()));
    #[cfg(not(tokio_unstable))]
    let _ = seed;
    builder.build()
}

/// Allows one world per thread: sockets find their world by the thread.
struct Running;

impl Running {
    fn begin() -> Option<Running> {
        RUNNING.with(|running| !running.replace(true)).then_some(Running)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.with(|running| running.set(false));
    }
}

/// The world that the handles of this thread find, and that the watchdog looks at.
struct Installed {
    simulation: Rc<Simulation>,
    _watched: Watched,
}

impl Installed {
    fn new(simulation: &Rc<Simulation>) -> Installed {
        simulation.install();
        Installed { simulation: simulation.clone(), _watched: Watched::begin(simulation.pulse.clone()) }
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        self.simulation.tear_down();
    }
}
