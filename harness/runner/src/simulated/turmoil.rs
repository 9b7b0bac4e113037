//! A stock `turmoil::Sim` as a backend.

use core::time::Duration;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mqttspec_faults::Injector;
use mqttspec_judge::history::nanoseconds;
use mqttspec_ports::{Listener as _, Net as _};
use mqttspec_turmoil::{DirectorListener, HostContext, HostNet, Turmoil, TurmoilDisk};
use mqttspec_world::{Progress, Seed, Watched};

use super::{FIRST_CONNECTIONS, Prepared, Server, disks_can, prober};
use crate::backend::{
    Accepted, Backend, BackendError, Demands, Dialled, FaultInjector, Incoming, Pending, Timeouts,
    Unsupported,
};
use crate::executor::{Executed, execute};
use crate::hosted::{HostedPeer, Lives, Remembering};
use crate::hosts::{PORT, SERVER};
use crate::live::capabilities::Capabilities;
use crate::peers::PeerHost;
use crate::peers::broker::SECTOR;
use crate::run_clock::RunClock;

/// The simulated time of a step.
const TICK: Duration = Duration::from_millis(1);

/// A scenario that waits longer is skipped.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// The simulated time after which a run counts as endless: what a scenario waits for, and deadlines
/// of lines that are not met.
const LONGEST: Duration = Duration::from_secs(2 * 3600);

/// Executes a case in a simulation of turmoil.
pub(super) fn execute_in_turmoil(prepared: Prepared<'_>) -> Executed {
    let Prepared { setup, clock, server, timeouts, seed, latency, tears_writes, real_poll, .. } = prepared;
    let seeds = Seed::new(seed);
    let mut builder = Turmoil::builder(seed)
        .tick(TICK)
        .latency_between(latency.clone())
        .time_limit(LONGEST)
        .torn_writes(tears_writes.then_some(SECTOR));
    let _watched;
    builder = match server {
        Server::Reference(broker) => {
            builder.host(SERVER, move |context| broker.clone().run(peer_host(&context, &seeds)))
        }
        Server::Played => builder.host(SERVER, |_| std::future::pending::<Result<(), String>>()),
        Server::Hosted(lives) => {
            let steps = Steps::new(&setup.case.name(), seed, real_poll);
            _watched = Watched::begin(steps.clone());
            builder
                .on_step(move |now| steps.next(now))
                .host(SERVER, move |context| lives.start_in_turmoil(peer_host(&context, &seeds)))
        }
    };
    for client in &setup.hosts.clients {
        builder = match setup.applications.get(&client.name) {
            Some(application) => {
                let (application, connects) = (application.clone(), !client.connects_when_told);
                builder.host(&client.name, move |context| {
                    application.clone().run(peer_host(&context, &seeds), connects)
                })
            }
            None => builder.host(&client.name, |_| std::future::pending::<Result<(), String>>()),
        };
    }
    let outcome = builder.run(|turmoil| {
        let of_simulation = turmoil.clone();
        clock.start(move || of_simulation.now());
        let faults = Injector::new(turmoil.clone());
        // A packet is seen at the end of the tick in which it arrives, and so is what answers it.
        let (travel, late) = (*latency.end() + TICK, timeouts.late + TICK * 4);
        let timeouts = Timeouts { travel, late, ..timeouts };
        execute(setup, Rc::new(TurmoilBackend { turmoil, faults, seeds, timeouts, tears_writes }))
    });
    outcome.unwrap_or_else(|error| Executed::broken(error.to_string()))
}

/// The host of the prober.
const PROBER: &str = "prober";

/// Asks a hosted broker what it can do.
pub(super) fn probe_in_turmoil(broker: &HostedPeer, real_poll: Duration) -> Result<Capabilities, String> {
    let clock = RunClock::default();
    let lives = Lives::of_probe(broker, &clock);
    let _remembering = Remembering::begin(&clock);
    let (of_host, seeds) = (lives.clone(), Seed::new(0));
    let steps = Steps::new(FIRST_CONNECTIONS, 0, real_poll);
    let _watched = Watched::begin(steps.clone());
    let outcome = Turmoil::builder(0)
        .tick(TICK)
        .on_step(move |now| steps.next(now))
        .host(SERVER, move |context| of_host.start_in_turmoil(peer_host(&context, &seeds)))
        .host(PROBER, |_| std::future::pending::<Result<(), String>>())
        .run(|turmoil| async move {
            let of_simulation = turmoil.clone();
            clock.start(move || of_simulation.now());
            let net = turmoil.net(PROBER).map_err(|error| error.to_string())?;
            prober(net).probe().await.map_err(|contact| contact.to_string())
        });
    lives.probed(outcome.unwrap_or_else(|error| Err(error.to_string())))
}

/// The steps of a simulation with a hosted peer, for the watchdog.
struct Steps {
    name: String,
    seed: u64,
    limit: Duration,
    /// Steps until now.
    count: AtomicU64,
    /// Nanoseconds of simulated time.
    clock: AtomicU64,
}

impl Steps {
    fn new(name: &str, seed: u64, limit: Duration) -> Arc<Self> {
        let (count, clock) = (AtomicU64::new(0), AtomicU64::new(0));
        Arc::new(Self { name: name.to_owned(), seed, limit, count, clock })
    }

    fn next(&self, now: Duration) {
        self.clock.store(nanoseconds(now), Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Relaxed);
    }
}

impl Progress for Steps {
    fn beats(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    fn limit(&self) -> Duration {
        self.limit
    }

    fn describe(&self) -> String {
        let at = Duration::from_nanos(self.clock.load(Ordering::Relaxed));
        let Self { name, seed, limit, .. } = self;
        format!(
            "{name}: \"{SERVER}\" has been running for {limit:?} without letting time pass, at {at:?} \
             of simulated time: it spins or blocks.\nseed {seed}\n"
        )
    }
}

/// The seeds of hosts are those of the simulated world.
fn peer_host(context: &HostContext, seeds: &Seed) -> PeerHost<HostNet, TurmoilDisk> {
    let seed = seeds.child("hosts").child(context.name()).nth(u64::from(context.incarnation()));
    PeerHost { net: context.net(), disk: context.disk(), seed, now: context.now() }
}

struct TurmoilBackend {
    turmoil: Turmoil,
    faults: Injector<Turmoil>,
    seeds: Seed,
    timeouts: Timeouts,
    /// Whether disks keep a part of unsynced writes when the power fails.
    tears_writes: bool,
}

impl Backend for TurmoilBackend {
    fn timeouts(&self) -> Timeouts {
        self.timeouts
    }

    fn now(&self) -> Duration {
        self.turmoil.now()
    }

    fn sleep_until(&self, since_start: Duration) -> Pending<'_, ()> {
        Box::pin(self.turmoil.sleep_until(since_start))
    }

    fn seed(&self) -> Seed {
        self.seeds.child("director").child("scenario")
    }

    fn dial<'b>(&'b self, host: &'b str, offering: Option<&'b [String]>) -> Pending<'b, io::Result<Dialled>> {
        Box::pin(async move {
            let stream = self.turmoil.net(host)?.connect(SERVER, PORT).await?;
            Dialled::open(stream, offering).await
        })
    }

    fn listen(&self) -> Pending<'_, Result<Box<dyn Incoming>, BackendError>> {
        Box::pin(async {
            let failed = |error: io::Error| BackendError(error.to_string());
            let net = self.turmoil.net(SERVER).map_err(failed)?;
            let listener = net.listen(PORT).await.map_err(failed)?;
            Ok(Box::new(Port { turmoil: self.turmoil.clone(), listener }) as Box<dyn Incoming>)
        })
    }

    fn faults(&self) -> &dyn FaultInjector {
        &self.faults
    }

    fn supports(&self, demands: &Demands) -> Result<(), Unsupported> {
        supports(demands, self.tears_writes)
    }
}

/// Whether a case can be executed in turmoil.
pub(super) fn supports(demands: &Demands, tears_writes: bool) -> Result<(), Unsupported> {
    if demands.waits > LONGEST_WAIT {
        let what = format!("a wait of {:?}", demands.waits);
        return Err(Unsupported { what, reason: "turmoil steps through time in ticks of 1 ms" });
    }
    disks_can(demands, tears_writes)?;
    demands.faults.iter().try_for_each(|fault| Ok(mqttspec_turmoil::supports(fault)?))
}

/// The port of a played server.
struct Port {
    turmoil: Turmoil,
    listener: DirectorListener,
}

impl Incoming for Port {
    fn accept(&self) -> Pending<'_, io::Result<Accepted>> {
        Box::pin(async {
            let (stream, peer) = self.listener.accept().await?;
            let host = self.turmoil.host_at(peer).map(Into::into);
            Ok(Accepted { stream: Box::new(stream), host })
        })
    }
}
