//! The shared state of a running world, and the scheduler that polls its hosts.
//!
//! All hosts run in one paused tokio runtime, which jumps to the next timer when no task is ready,
//! so idle time is free. The scheduler is one future. At each instant it polls the woken hosts and
//! executes due network actions, in an order drawn from the seed, until nothing is left to do at
//! that instant.

mod host;

use crate::error::RunError;
use crate::history::{EventKind, Statistics, Trace, nanoseconds};
use crate::limits::Limits;
use crate::machine::address_of;
use crate::network::Network;
use crate::seed::{Draw, Seed};
use crate::watchdog::Pulse;
use mqttspec_runtime::{Instant, Virtual};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;
use tokio::time::Sleep;

pub(crate) use host::{Factory, Host, HostWaker, Ready, Start, Stop, Tasks};

/// The director's index in the list of hosts to poll.
pub(crate) const DIRECTOR: u16 = u16::MAX;

thread_local! {
    /// The world of this thread, for its socket handles.
    static RUNNING: RefCell<Option<Rc<Simulation>>> = const { RefCell::new(None) };
}

/// Numbers the runs, so that a handle of one run cannot access another. It is part of no result.
static RUNS: AtomicU64 = AtomicU64::new(0);

/// The world of this thread, if it belongs to that run and has not ended.
pub(crate) fn running(run: u64) -> Option<Rc<Simulation>> {
    RUNNING.try_with(|running| running.borrow().as_ref().filter(|world| world.run == run).cloned()).ok()?
}

pub(crate) struct Simulation {
    pub(crate) run: u64,
    pub(crate) hosts: Vec<Host>,
    by_name: BTreeMap<Arc<str>, u16>,
    pub(crate) network: RefCell<Network>,
    pub(crate) seed: Seed,
    pub(crate) seed_number: u64,
    pub(crate) limits: Limits,
    pub(crate) options: Arc<str>,
    pub(crate) pulse: Arc<Pulse>,
    pub(crate) ready: Arc<Ready>,
    pub(crate) failure: RefCell<Option<RunError>>,
    /// Faults that a host applied to itself: its tasks cannot be dropped while they run.
    pub(crate) later: RefCell<Vec<Later>>,
    /// Without it, tokio runs the hosts.
    pub(crate) runtime: Option<Rc<Virtual>>,
    pub(crate) began: Instant,
    /// Nanoseconds since the start; shared with the disks and the watchdog.
    clock: Arc<AtomicU64>,
    /// The same time.
    now: Cell<Duration>,
    order: RefCell<Draw>,
    polls: Cell<u64>,
}

/// What the hosts and the simulation share.
pub(crate) struct OfHosts {
    pub(crate) ready: Arc<Ready>,
    /// Nanoseconds since the start.
    pub(crate) clock: Arc<AtomicU64>,
    pub(crate) runtime: Option<Rc<Virtual>>,
}

/// A fault that is postponed until no host is being polled.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Later {
    Crash(u16),
    Kill(u16),
}

impl Simulation {
    pub(crate) fn new(
        hosts: Vec<Host>,
        network: Network,
        seed_number: u64,
        options: Arc<str>,
        limits: Limits,
        of_hosts: OfHosts,
    ) -> Simulation {
        let OfHosts { ready, clock, runtime } = of_hosts;
        let seed = Seed::new(seed_number);
        let names = hosts.iter().map(|host| host.name.clone()).collect();
        let events = network.history.events();
        let pulse = Pulse::new(seed_number, options.clone(), names, &limits, clock.clone(), events);
        let by_name = (0..).zip(&hosts).map(|(index, host)| (host.name.clone(), index)).collect();
        Simulation {
            run: RUNS.fetch_add(1, Ordering::Relaxed),
            by_name,
            hosts,
            network: RefCell::new(network),
            seed,
            seed_number,
            limits,
            options,
            pulse: Arc::new(pulse),
            ready,
            failure: RefCell::new(None),
            later: RefCell::new(Vec::new()),
            runtime,
            began: mqttspec_runtime::now(),
            clock,
            now: Cell::default(),
            order: RefCell::new(seed.child("host order").draw()),
            polls: Cell::new(0),
        }
    }

    /// The time of the current instant; the runtime's clock does not advance during an instant.
    pub(crate) fn now(&self) -> Duration {
        self.now.get()
    }

    fn set_now(&self, now: Duration) {
        self.now.set(now);
        self.clock.store(nanoseconds(now), Ordering::Relaxed);
    }

    /// The time of the runtime.
    fn elapsed(&self) -> Duration {
        self.runtime.as_ref().map_or_else(|| self.began.elapsed(), |runtime| runtime.elapsed())
    }

    /// Makes this world the one that the handles of this thread find.
    pub(crate) fn install(self: &Rc<Self>) {
        RUNNING.with(|running| *running.borrow_mut() = Some(self.clone()));
    }

    /// Starts these hosts.
    pub(crate) fn begin(self: &Rc<Self>, up: &[u16]) {
        if !self.options.is_empty() {
            self.record(None, EventKind::Note { text: format!("options: {}", self.options).into() });
        }
        up.iter().for_each(|host| self.start(*host));
    }

    pub(crate) fn is_open(&self) -> bool {
        RUNNING.with(|running| running.borrow().as_ref().is_some_and(|world| world.run == self.run))
    }

    pub(crate) fn record(&self, host: Option<u16>, kind: EventKind) {
        self.network.borrow_mut().record(self.now(), host, None, kind);
    }

    pub(crate) fn resolve(&self, host: &str) -> io::Result<IpAddr> {
        if let Some(host) = self.host_named(host) {
            return Ok(IpAddr::V4(address_of(host)));
        }
        if host == "localhost" {
            return Ok(IpAddr::V4(Ipv4Addr::LOCALHOST));
        }
        let unknown = || io::Error::new(io::ErrorKind::NotFound, format!("no host is named {host:?}"));
        host.parse().map_err(|_| unknown())
    }

    pub(crate) fn start(self: &Rc<Self>, host: u16) {
        let slot = &self.hosts[usize::from(host)];
        slot.incarnation.set(slot.incarnation.get() + 1);
        let incarnation = slot.incarnation.get();
        {
            let mut network = self.network.borrow_mut();
            let machine = &mut network.machines[usize::from(host)];
            machine.on = true;
            machine.incarnation = incarnation;
        }
        self.record(Some(host), EventKind::HostStarted);
        let stop = Rc::default();
        *slot.stop.borrow_mut() = Rc::clone(&stop);
        let start = Start { simulation: self.clone(), host, incarnation, stop };
        let ended = slot.ended.clone();
        *ended.borrow_mut() = None;
        let tasks = Tasks::new(self.runtime.as_ref(), &slot.waker);
        let main = catch_unwind(AssertUnwindSafe(|| (slot.factory.borrow_mut())(start)));
        match main {
            Ok(mut main) => {
                let simulation = self.clone();
                tasks.spawn(poll_fn(move |cx| {
                    let polled = catch_unwind(AssertUnwindSafe(|| main.as_mut().poll(cx)));
                    let Ok(polled) = polled.map_err(|panic| simulation.host_panicked(host, &*panic)) else {
                        return Poll::Pending;
                    };
                    polled.map(|result| *ended.borrow_mut() = Some(result))
                }));
            }
            Err(panic) => self.host_panicked(host, &*panic),
        }
        *slot.tasks.borrow_mut() = Some(tasks);
        slot.waker.wake_by_ref();
    }

    /// Power failure; postponed while the host itself is being polled.
    pub(crate) fn crash(&self, host: u16) {
        let slot = &self.hosts[usize::from(host)];
        let Ok(tasks) = slot.tasks.try_borrow_mut().map(|mut tasks| tasks.take()) else {
            self.later.borrow_mut().push(Later::Crash(host));
            return;
        };
        let now = self.now();
        self.network.borrow_mut().power_off(now, host);
        self.record(Some(host), EventKind::HostCrashed);
        slot.drive.lose_power();
        self.drop_tasks(host, tasks);
        self.ready.wake_scheduler();
    }

    /// Ends the process only: its machine closes the sockets.
    pub(crate) fn kill(&self, host: u16) {
        let slot = &self.hosts[usize::from(host)];
        let Ok(tasks) = slot.tasks.try_borrow_mut().map(|mut tasks| tasks.take()) else {
            self.later.borrow_mut().push(Later::Kill(host));
            return;
        };
        self.record(Some(host), EventKind::HostKilled);
        self.drop_tasks(host, tasks);
        self.network.borrow_mut().close_all(self.now(), host);
        self.ready.wake_scheduler();
    }

    fn drop_tasks(&self, host: u16, tasks: Option<Tasks>) {
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(tasks)));
        if let Err(panic) = dropped {
            self.fail(self.panicked(host, &*panic));
        }
        self.hosts[usize::from(host)].went_down.notify_waiters();
    }

    pub(crate) fn fail(&self, error: RunError) {
        self.failure.borrow_mut().get_or_insert(error);
        self.ready.wake_scheduler();
    }

    /// A panic of a host is the failure of the run. But what a process does after its machine lost
    /// power, in the rest of that poll, did not happen.
    fn host_panicked(&self, host: u16, panic: &(dyn std::any::Any + Send)) {
        if !self.hosts[usize::from(host)].drive.power_failed() {
            self.fail(self.panicked(host, panic));
        }
    }

    fn panicked(&self, host: u16, panic: &(dyn std::any::Any + Send)) -> RunError {
        let message = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".to_owned());
        RunError::HostPanicked { host: self.name(host), message, at: self.now() }
    }

    fn name(&self, host: u16) -> String {
        self.hosts.get(usize::from(host)).map_or("director", |host| &host.name).to_owned()
    }

    /// Drops all hosts of the world, and detaches it from its handles.
    pub(crate) fn tear_down(&self) {
        for slot in &self.hosts {
            let tasks = slot.tasks.borrow_mut().take();
            let _ = catch_unwind(AssertUnwindSafe(|| drop(tasks)));
            *slot.factory.borrow_mut() = Box::new(|_| Box::pin(async { Ok(()) }));
        }
        let running = RUNNING.with(|running| running.borrow_mut().take());
        drop(running);
    }

    pub(crate) fn host_named(&self, name: &str) -> Option<u16> {
        self.by_name.get(name).copied()
    }

    pub(crate) fn statistics(&self) -> Statistics {
        let network = self.network.borrow();
        Statistics {
            simulated: self.now(),
            events: network.history.recorded(),
            segments: network.segments,
            polls: self.polls.get(),
            sweeps: network.sweeps,
        }
    }

    pub(crate) fn trace(&self) -> Trace {
        let statistics = self.statistics();
        let mut network = self.network.borrow_mut();
        Trace {
            seed: self.seed_number,
            options: self.options.clone(),
            hosts: self.hosts.iter().map(|host| host.name.clone()).collect(),
            events: network.history.take_events(),
            hash: network.history.hash(),
            statistics,
        }
    }

    fn poll_host(&self, host: u16) {
        let slot = &self.hosts[usize::from(host)];
        slot.woken.unlist();
        if !self.count_poll(host, &slot.polls_now) {
            return;
        }
        slot.polls.set(slot.polls.get() + 1);
        self.pulse.poll_begins(host);
        let outcome = match slot.tasks.borrow_mut().as_mut() {
            None => Ok(()),
            Some(tasks) => catch_unwind(AssertUnwindSafe(|| tasks.poll(&slot.waker))),
        };
        self.pulse.poll_ends();
        if let Err(panic) = outcome {
            self.host_panicked(host, &*panic);
        }
        if slot.drive.power_failed() {
            self.crash(host);
            return;
        }
        let ended = slot.ended.borrow_mut().take();
        if let Some(result) = ended {
            let error = result.err().map(Arc::from);
            self.record(Some(host), EventKind::HostEnded { error });
            let tasks = slot.tasks.borrow_mut().take();
            self.drop_tasks(host, tasks);
            self.network.borrow_mut().close_all(self.now(), host);
        }
        for verb in self.later.take() {
            match verb {
                Later::Crash(host) => self.crash(host),
                Later::Kill(host) => self.kill(host),
            }
        }
    }

    /// Counts a poll. Returns false if it exceeds the limit.
    fn count_poll(&self, host: u16, counter: &Cell<(Duration, u64)>) -> bool {
        self.polls.set(self.polls.get() + 1);
        let now = self.now();
        let (instant, count) = counter.get();
        let count = if instant == now { count + 1 } else { 1 };
        counter.set((now, count));
        let within = count <= self.limits.polls_per_instant;
        if !within {
            self.fail(RunError::Spinning { host: self.name(host), polls: count - 1, at: now });
        }
        within
    }

    fn busiest(&self) -> String {
        self.hosts.iter().max_by_key(|host| host.polls.get()).map_or_else(String::new, |h| h.name.to_string())
    }
}

/// The future that runs a world. It ends with the director or with the first failure.
pub(crate) struct Scheduler<F: Future> {
    pub(crate) simulation: Rc<Simulation>,
    pub(crate) director: Pin<Box<F>>,
    director_waker: Waker,
    director_woken: Arc<HostWaker>,
    director_polls: Cell<(Duration, u64)>,
    alarm: Option<Pin<Box<Sleep>>>,
    alarm_at: Duration,
    turn: Vec<u16>,
    /// Whether the hosts know its waker, which stays the same.
    is_known: bool,
}

impl<F: Future> Scheduler<F> {
    pub(crate) fn new(simulation: Rc<Simulation>, director: F) -> Scheduler<F> {
        let woken = Arc::new(HostWaker::new(DIRECTOR, simulation.ready.clone()));
        let director_waker = Waker::from(woken.clone());
        director_waker.wake_by_ref();
        Scheduler {
            simulation,
            director: Box::pin(director),
            director_waker,
            director_woken: woken,
            director_polls: Cell::default(),
            alarm: None,
            alarm_at: Duration::MAX,
            turn: Vec::new(),
            is_known: false,
        }
    }

    fn poll_director(&mut self) -> Poll<F::Output> {
        self.director_woken.unlist();
        if !self.simulation.count_poll(DIRECTOR, &self.director_polls) {
            return Poll::Pending;
        }
        let mut cx = Context::from_waker(&self.director_waker);
        self.simulation.pulse.poll_begins(DIRECTOR);
        let polled = self.director.as_mut().poll(&mut cx);
        self.simulation.pulse.poll_ends();
        polled
    }

    /// Polls each ready host once, in an order drawn from the seed.
    fn poll_ready(&mut self) -> Poll<F::Output> {
        let simulation = self.simulation.clone();
        let mut turn = std::mem::take(&mut self.turn);
        simulation.ready.take(&mut turn);
        if turn.len() > 1 {
            // Sort first: the order of wake-ups is tokio's and must have no effect.
            turn.sort_unstable();
            simulation.order.borrow_mut().shuffle(&mut turn);
        }
        let mut outcome = Poll::Pending;
        for host in turn.drain(..) {
            if host == DIRECTOR {
                outcome = self.poll_director();
                if outcome.is_ready() {
                    break;
                }
            } else {
                simulation.poll_host(host);
            }
        }
        turn.clear();
        self.turn = turn;
        outcome
    }

    /// Sets the timer for the next scheduled action.
    fn set_alarm(&mut self, cx: &mut Context<'_>) {
        let limit = self.simulation.limits.simulated;
        let due = self.simulation.network.borrow().next_due().map_or(limit, |due| due.min(limit));
        if self.simulation.runtime.is_some() {
            self.alarm_at = due;
            return;
        }
        let at = self.simulation.began + due;
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        if self.alarm_at != due {
            self.alarm_at = due;
            alarm.as_mut().reset(at);
        }
        // Registers the waker. If the timer has already expired, poll again at once.
        if alarm.as_mut().poll(cx).is_ready() {
            self.alarm_at = Duration::MAX;
            cx.waker().wake_by_ref();
        }
    }

    fn check_limits(&self, now: Duration) {
        let simulation = &self.simulation;
        let limits = &simulation.limits;
        if now >= limits.simulated {
            simulation.fail(RunError::TimeLimit { limit: limits.simulated });
        }
        if simulation.network.borrow().history.recorded() > limits.events {
            let busiest = simulation.busiest();
            simulation.fail(RunError::EventLimit { limit: limits.events, at: now, busiest });
        }
        if simulation.pulse.is_overdue() {
            let (limit, busiest) = (limits.real_run, simulation.busiest());
            simulation.fail(RunError::RealTimeLimit { limit, at: now, busiest });
        }
    }
}

impl<F: Future> Future for Scheduler<F> {
    type Output = Result<F::Output, RunError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let simulation = this.simulation.clone();
        if !std::mem::replace(&mut this.is_known, true) {
            simulation.ready.set_scheduler(cx.waker());
        }
        simulation.ready.scheduler_looks(true);
        let now = simulation.elapsed();
        simulation.set_now(now);
        simulation.network.borrow_mut().deliver_unhurried(now);
        loop {
            let someone = !simulation.ready.is_empty();
            let something = simulation.network.borrow().next_due().is_some_and(|due| due <= now);
            // The seed decides whether timers or segments of one instant are first.
            let network_first = something && (!someone || simulation.order.borrow_mut().below(2) == 0);
            if network_first {
                simulation.network.borrow_mut().deliver_due(now);
            } else if someone && let Poll::Ready(output) = this.poll_ready() {
                simulation.ready.scheduler_looks(false);
                return Poll::Ready(Ok(output));
            }
            this.check_limits(now);
            if let Some(error) = simulation.failure.take() {
                simulation.ready.scheduler_looks(false);
                return Poll::Ready(Err(error));
            }
            if simulation.ready.is_empty() {
                // After every host has had its turn, so that pieces written at one instant are sent
                // together.
                let mut network = simulation.network.borrow_mut();
                network.sweep(now);
                if network.next_due().is_none_or(|due| due > now) && simulation.ready.is_empty() {
                    break;
                }
            }
        }
        simulation.ready.scheduler_looks(false);
        this.set_alarm(cx);
        Poll::Pending
    }
}

/// Runs a world on its virtual runtime. Time passes when no task has anything to do.
pub(crate) fn run_on<F: Future>(
    runtime: &Virtual,
    mut scheduler: Pin<&mut Scheduler<F>>,
) -> Result<F::Output, RunError> {
    let woken = Arc::new(Woken(AtomicBool::new(true)));
    let waker = Waker::from(woken.clone());
    loop {
        if woken.0.swap(false, Ordering::Relaxed)
            && let Poll::Ready(ended) = scheduler.as_mut().poll(&mut Context::from_waker(&waker))
        {
            return ended;
        }
        if runtime.wake_yielded() || woken.0.load(Ordering::Relaxed) {
            continue;
        }
        let alarm = scheduler.alarm_at;
        runtime.advance_to(runtime.next_timer().map_or(alarm, |timer| timer.min(alarm)));
        if runtime.elapsed() >= alarm {
            woken.0.store(true, Ordering::Relaxed);
        }
    }
}

/// Whether the scheduler is to be polled.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}
