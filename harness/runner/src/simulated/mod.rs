//! The simulated backend: one run in a world of its own.

use core::ops::RangeInclusive;
use core::time::Duration;
use std::cell::OnceCell;
use std::io;
use std::rc::Rc;

use mqttspec_judge::Case;
use mqttspec_judge::history::History;
use mqttspec_ports::{Listener as _, Net as _};
use mqttspec_world::{Keep, Probability, Seed, World, WorldError, WorldListener};

use crate::backend::{Accepted, Backend, BackendError, Incoming, Links, Pending, Stream, Timeouts, Way};
use crate::executor::{Executed, Setup, execute, run_seed};
use crate::hosts::{Hosts, PORT, SERVER};
use crate::judging::Performed;
use crate::peers::{applications, broker};
use crate::recorder::Recorder;
use crate::run::RunOptions;

/// The default latency of every link.
const LATENCY: Duration = Duration::from_millis(2);

/// The simulated time after which a run counts as endless.
const LONGEST: Duration = Duration::from_secs(20 * 365 * 24 * 3600);

/// Simulated time costs nothing, and all clocks agree. The patience is longer than any likely
/// retransmission on a lossy link.
const TIMEOUTS: Timeouts = Timeouts {
    patience: Duration::from_secs(60),
    early: Duration::ZERO,
    late: Duration::ZERO,
    settling: Duration::from_millis(100),
    silence: Duration::from_secs(5),
    quiet: Duration::from_secs(3),
    shorter: 1,
    travel: LATENCY,
    subscribing: Duration::ZERO,
};

/// Executes a case in a world of its own.
pub(crate) fn perform(case: &Case, seed: u64, options: RunOptions) -> Performed {
    let choices = options.latitude.choices(case, seed);
    let mutant = options.mutant.or(choices.as_ref().map(|choices| choices.variant));
    let drawn_options = choices.as_ref().map_or(&[][..], |choices| &choices.options);
    let hosts = Rc::new(Hosts::of(&case.scenario, case.tests));
    let broken = |reason: String| Performed {
        history: History::new(hosts.lanes()),
        executed: Executed::broken(reason),
    };
    let options = match broker::options(case, drawn_options) {
        Ok(options) => options,
        Err(reason) => return broken(reason),
    };
    let world_cell = Rc::new(OnceCell::<World>::new());
    let clock = world_cell.clone();
    let now = move || clock.get().map_or(Duration::ZERO, World::now);
    let recorder = Rc::new(Recorder::new(hosts.lanes(), now));
    let applications = match applications(case, &hosts, &recorder, mutant, drawn_options) {
        Ok(applications) => applications,
        Err(reason) => return broken(reason),
    };

    let travel = if case.scenario.seeds > 1 { LATENCY * 10 } else { LATENCY };
    let mut builder = World::builder(run_seed(case, seed).to_u64())
        .latency(LATENCY..=travel)
        .keep(Keep::Last(0))
        .time_limit(LONGEST);
    builder = broker::host(builder, case, &hosts, &recorder, options, mutant);
    for client in &hosts.clients {
        builder = match applications.get(&client.name) {
            Some(application) => {
                let (application, connects) = (application.clone(), !client.connects_when_told);
                builder.host(&client.name, move |context| application.clone().run(context, connects))
            }
            None => builder.host(&client.name, |_| std::future::pending::<()>()),
        };
    }

    let setup = Setup { case, hosts, recorder: recorder.clone(), applications: &applications };
    let outcome = builder.run(|world: World| {
        let _ = world_cell.set(world.clone());
        execute(setup, Rc::new(SimulatedBackend { world, travel }))
    });
    let mut executed = match outcome {
        Ok(outcome) => outcome.output,
        Err(failure) => Executed::broken(failure.error.to_string()),
    };
    if let Some(choices) = choices {
        executed.findings.drawn.splice(0..0, choices.described());
    }
    Performed { history: recorder.take_history(), executed }
}

struct SimulatedBackend {
    world: World,
    /// The longest latency of a link without faults.
    travel: Duration,
}

impl From<WorldError> for BackendError {
    fn from(error: WorldError) -> Self {
        BackendError(error.to_string())
    }
}

impl Backend for SimulatedBackend {
    fn timeouts(&self) -> Timeouts {
        Timeouts { travel: self.travel, ..TIMEOUTS }
    }

    fn now(&self) -> Duration {
        self.world.now()
    }

    fn sleep_until(&self, since_start: Duration) -> Pending<'_, ()> {
        Box::pin(self.world.sleep_until(since_start))
    }

    fn seed(&self) -> Seed {
        self.world.seed("scenario")
    }

    fn dial<'b>(&'b self, host: &'b str) -> Pending<'b, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let net = self.world.net(host).map_err(io::Error::other)?;
            Ok(Box::new(net.connect(SERVER, PORT).await?) as Box<dyn Stream>)
        })
    }

    fn listen(&self) -> Pending<'_, Result<Box<dyn Incoming>, BackendError>> {
        Box::pin(async {
            let net = self.world.net(SERVER)?;
            let listener = net.listen(PORT).await.map_err(|error| BackendError(error.to_string()))?;
            Ok(Box::new(Port { world: self.world.clone(), listener }) as Box<dyn Incoming>)
        })
    }

    fn links(&self, way: Way<'_>) -> Result<Box<dyn Links>, BackendError> {
        Ok(Box::new(match way {
            Way::Everywhere => self.world.everywhere(),
            Way::Around(host) => self.world.around(host)?,
            Way::To(host) => self.world.to(host)?,
            Way::FromTo(from, to) => self.world.one_way(from, to)?,
            Way::Between(one, other) => self.world.between(one, other)?,
        }))
    }

    fn stall(&self, host: &str) -> Result<(), BackendError> {
        Ok(self.world.stall_reading(host)?)
    }

    fn resume(&self, host: &str) -> Result<(), BackendError> {
        Ok(self.world.resume_reading(host)?)
    }

    fn crash<'b>(&'b self, host: &'b str) -> Pending<'b, Result<(), BackendError>> {
        Box::pin(async move { Ok(self.world.crash(host)?) })
    }

    fn start<'b>(&'b self, host: &'b str) -> Pending<'b, Result<(), BackendError>> {
        Box::pin(async move { Ok(self.world.start(host)?) })
    }

    fn disk_capacity(&self, host: &str, bytes: Option<u64>) -> Result<(), BackendError> {
        self.world.disk(host)?.capacity(bytes);
        Ok(())
    }
}

/// The port of a played server.
struct Port {
    world: World,
    listener: WorldListener,
}

impl Incoming for Port {
    fn accept(&self) -> Pending<'_, io::Result<Accepted>> {
        Box::pin(async {
            let (stream, _) = self.listener.accept().await?;
            let host = stream.connection().and_then(|id| {
                let (_, from, _) = self.world.connections().into_iter().find(|(other, ..)| *other == id)?;
                self.world.hosts().get(from.index()).cloned()
            });
            Ok(Accepted { stream: Box::new(stream), host })
        })
    }
}

impl Links for mqttspec_world::Links {
    fn partition(&self) {
        self.partition();
    }

    fn join(&self) {
        self.heal();
    }

    fn latency(&self, latency: RangeInclusive<Duration>) {
        self.latency(latency);
    }

    fn usual_latency_and(&self, more: Duration) {
        self.latency(LATENCY + more);
    }

    fn loss(&self, probability: Probability) {
        self.loss(probability);
    }

    fn bandwidth(&self, bytes_per_second: Option<u64>) {
        self.bandwidth(bytes_per_second);
    }

    fn reset(&self) {
        self.reset();
    }

    fn blackhole(&self) {
        self.blackhole();
    }
}
