//! The description of a simulation, and its run from start to end.

use crate::director::Turmoil;
use crate::host::{Factory, HostContext, software};
use crate::simulation::{Host, Simulation};
use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, SystemTime};
use thiserror::Error;
use tokio::runtime::Runtime;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep};

/// The clocks of turmoil's runtimes have this resolution.
const RESOLUTION: Duration = Duration::from_millis(1);
/// Segments and waiting connections that a socket of turmoil holds. It panics when more connections
/// wait, so this is the backlog of the simulated world and of tokio on a real machine.
const CAPACITY: usize = 1024;
/// The unit in which an unsynced write survives a crash.
const SECTOR_BYTES: u64 = 512;

/// Why a run did not reach the end of its director.
#[derive(Debug, Error)]
pub enum RunError {
    /// Two hosts have the same name, or a name is empty.
    #[error("{0:?} cannot be the name of one more host")]
    HostName(String),
    /// The tick or the latency is not a whole number of milliseconds of at least 1.
    #[error("{what} of {duration:?} is not a whole number of milliseconds")]
    Resolution {
        /// The tick or the latency.
        what: &'static str,
        /// Its length.
        duration: Duration,
    },
    /// The director had not ended when the limit on simulated time was reached.
    #[error("the director did not end within {limit:?} of simulated time")]
    TimeLimit {
        /// The limit.
        limit: Duration,
    },
    /// A host panicked, or turmoil did.
    #[error("a host panicked at {at:?}: {message}")]
    Panicked {
        /// The message of the panic.
        message: String,
        /// Simulated time.
        at: Duration,
    },
    /// A step of turmoil failed.
    #[error("turmoil failed at {at:?}: {message}")]
    Step {
        /// The error.
        message: String,
        /// Simulated time.
        at: Duration,
    },
    /// The director's runtime could not be made.
    #[error("no runtime: {0}")]
    Runtime(#[source] io::Error),
}

/// Describes a simulation before it runs.
pub struct Builder {
    seed: u64,
    tick: Duration,
    latency: RangeInclusive<Duration>,
    time_limit: Duration,
    torn_writes: Option<u64>,
    hosts: Vec<(String, Factory)>,
    on_step: Box<dyn FnMut(Duration)>,
}

impl Turmoil {
    /// Begins the description of a simulation. The seed is turmoil's; it repeats a run.
    pub fn builder(seed: u64) -> Builder {
        Builder {
            seed,
            tick: RESOLUTION,
            latency: RESOLUTION..=RESOLUTION,
            time_limit: Duration::from_secs(7 * 24 * 3600),
            torn_writes: Some(SECTOR_BYTES),
            hosts: Vec::new(),
            on_step: Box::new(|_| {}),
        }
    }
}

impl Builder {
    /// Declares a host that is up from the start. The closure makes its main task at each start.
    /// When that task returns, the host's process has ended, and its other tasks with it.
    #[must_use]
    pub fn host<F, Fut, E>(mut self, name: &str, main: F) -> Builder
    where
        F: FnMut(HostContext) -> Fut + 'static,
        Fut: Future<Output = Result<(), E>> + 'static,
        E: fmt::Display,
    {
        let main = RefCell::new(main);
        let factory: Factory = Box::new(move |context| {
            let main = (main.borrow_mut())(context);
            Box::pin(async move { main.await.map_err(|error| error.to_string()) })
        });
        self.hosts.push((name.to_owned(), factory));
        self
    }

    /// How much simulated time each step takes, in whole milliseconds. The default is 1 ms.
    ///
    /// The director acts at the ends of ticks only. A longer tick is faster and makes its times
    /// coarser.
    #[must_use]
    pub fn tick(mut self, tick: Duration) -> Builder {
        self.tick = tick;
        self
    }

    /// The latency of every link, in whole milliseconds. The default is 1 ms.
    #[must_use]
    pub fn latency(self, latency: Duration) -> Builder {
        self.latency_between(latency..=latency)
    }

    /// The latency of every link, drawn for each segment from a range of whole milliseconds.
    /// turmoil's distribution is exponential: a fifth of the range on average.
    #[must_use]
    pub fn latency_between(mut self, latency: RangeInclusive<Duration>) -> Builder {
        self.latency = latency;
        self
    }

    /// The simulated time after which a run fails as endless. The default is 7 days.
    #[must_use]
    pub fn time_limit(mut self, limit: Duration) -> Builder {
        self.time_limit = limit;
        self
    }

    /// The sector size in bytes: after a crash, a prefix of whole sectors of an unsynced write may
    /// be on the disk. With `None`, the write is kept completely or lost completely. The default is
    /// 512.
    #[must_use]
    pub fn torn_writes(mut self, sector_bytes: Option<u64>) -> Builder {
        self.torn_writes = sector_bytes.filter(|&bytes| bytes > 0);
        self
    }

    /// Calls a closure with the simulated time before each step.
    #[must_use]
    pub fn on_step(mut self, observer: impl FnMut(Duration) + 'static) -> Builder {
        self.on_step = Box::new(observer);
        self
    }

    /// Runs the simulation until its director returns.
    ///
    /// # Errors
    /// [`RunError`]. A panic of the director is propagated.
    pub fn run<D, F>(mut self, director: D) -> Result<F::Output, RunError>
    where
        D: FnOnce(Turmoil) -> F,
        F: Future,
    {
        self.check()?;
        let (tick, time_limit) = (self.tick, self.time_limit);
        let mut on_step = std::mem::replace(&mut self.on_step, Box::new(|_| {}));
        let runtime = director_runtime(self.seed).map_err(RunError::Runtime)?;
        let simulation = guarded(Duration::ZERO, || self.into_simulation())?;
        // Hosts must be dropped before the director's runtime, however this function returns.
        let _torn_down = TearDown(simulation.clone());

        // As turmoil does with the clocks of hosts: timers fire at whole milliseconds from here on.
        let began = runtime.block_on(async {
            sleep(RESOLUTION).await;
            Instant::now()
        });
        let local = LocalSet::new();
        let turmoil = Turmoil { simulation: simulation.clone(), began };
        let directing = local.run_until(async move { director(turmoil).await });
        let mut directing = pin!(directing);
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        loop {
            if let Some(output) = turn(&runtime, directing.as_mut(), &woken, &simulation) {
                return Ok(output);
            }
            let now = simulation.now.get();
            // Between steps and outside of all runtimes: turmoil makes new ones for such hosts.
            if guarded(now, || simulation.serve_requests())? {
                continue;
            }
            if now >= time_limit {
                return Err(RunError::TimeLimit { limit: time_limit });
            }
            on_step(now);
            let step = guarded(now, || simulation.sim.borrow_mut().as_mut().map(turmoil::Sim::step))?;
            if let Some(Err(error)) = step {
                return Err(RunError::Step { message: error.to_string(), at: now });
            }
            guarded(now, || simulation.bury())?;
            runtime.block_on(async { sleep(tick).await });
            simulation.now.set(now + tick);
        }
    }

    fn check(&self) -> Result<(), RunError> {
        let mut names = BTreeSet::new();
        for (name, _) in &self.hosts {
            if name.is_empty() || !names.insert(name) {
                return Err(RunError::HostName(name.clone()));
            }
        }
        let (least, most) = (*self.latency.start(), *self.latency.end());
        for (what, duration) in [("a tick", self.tick), ("a latency", least), ("a latency", most)] {
            if duration.is_zero() || duration.subsec_nanos() % 1_000_000 != 0 {
                return Err(RunError::Resolution { what, duration });
            }
        }
        Ok(())
    }

    fn into_simulation(self) -> Rc<Simulation> {
        let mut builder = turmoil::Builder::new();
        builder
            .rng_seed(self.seed)
            // Not the time of the machine.
            .epoch(SystemTime::UNIX_EPOCH)
            .tick_duration(self.tick)
            .min_message_latency(*self.latency.start())
            .max_message_latency(*self.latency.end())
            .tcp_capacity(CAPACITY)
            .enable_random_order();
        if let Some(bytes) = self.torn_writes {
            builder.fs().block_size(bytes);
        }
        let mut sim = builder.build();
        let hosts: Vec<Rc<Host>> =
            self.hosts.iter().map(|(name, _)| Rc::new(Host::new(name.clone()))).collect();
        let simulation = Rc::new(Simulation::new(hosts, self.latency, self.seed));
        for ((name, factory), host) in self.hosts.into_iter().zip(&simulation.hosts) {
            sim.host(name.as_str(), software(Rc::downgrade(&simulation), host.clone(), factory));
            host.address.set(sim.lookup(name.as_str()));
        }
        *simulation.sim.borrow_mut() = Some(sim);
        simulation
    }
}

/// Polls the director, and what it spawned, until nothing is left to do at this instant or
/// something has to be done to a host. Time does not pass.
fn turn<F: Future>(
    runtime: &Runtime,
    mut director: Pin<&mut F>,
    woken: &Arc<Woken>,
    simulation: &Simulation,
) -> Option<F::Output> {
    let waker = Waker::from(woken.clone());
    runtime.block_on(poll_fn(|cx| {
        if !woken.0.swap(false, Ordering::Relaxed) {
            return Poll::Ready(None);
        }
        if let Poll::Ready(output) = director.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Poll::Ready(Some(output));
        }
        if !simulation.requests.borrow().is_empty() {
            return Poll::Ready(None);
        }
        // Once more, after the runtime has renewed the budget of this poll.
        cx.waker().wake_by_ref();
        Poll::Pending
    }))
}

/// Whether the director has something to do.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct TearDown(Rc<Simulation>);

impl Drop for TearDown {
    fn drop(&mut self) {
        self.0.tear_down();
    }
}

fn guarded<R>(at: Duration, work: impl FnOnce() -> R) -> Result<R, RunError> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| RunError::Panicked { message: text(&*panic), at })
}

fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

fn director_runtime(seed: u64) -> io::Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(true);
    #[cfg(tokio_unstable)]
    builder.rng_seed(tokio::runtime::RngSeed::from_bytes(&seed.to_le_bytes()));
    #[cfg(not(tokio_unstable))]
    let _ = seed;
    builder.build()
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<&str> = self.hosts.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Builder").field("seed", &self.seed).field("hosts", &hosts).finish_non_exhaustive()
    }
}
