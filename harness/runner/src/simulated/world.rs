//! The simulated world as a backend.

use core::time::Duration;
use std::io;
use std::rc::Rc;

use mqttspec_faults::Injector;
use mqttspec_ports::{Listener as _, Net as _};
use mqttspec_world::{HostContext, Keep, Seed, World, WorldDisk, WorldError, WorldListener, WorldNet};

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

/// The simulated time after which a run counts as endless.
const LONGEST: Duration = Duration::from_secs(20 * 365 * 24 * 3600);

/// The real time after which a run counts as endless.
const LONGEST_REAL: Duration = Duration::from_secs(300);

/// Executes a case in a world of its own.
pub(super) fn execute_in_world(prepared: Prepared<'_>) -> Executed {
    let Prepared { setup, clock, server, clients, timeouts, seed, latency, tears_writes, real_poll } =
        prepared;
    let mut builder = World::builder(seed)
        .latency(latency.clone())
        .keep(Keep::Nothing)
        .time_limit(LONGEST)
        .real_time_limit(LONGEST_REAL)
        .torn_writes(tears_writes.then_some(SECTOR));
    let is_reference = clients.is_none() && !matches!(server, Server::Hosted(_));
    if is_reference {
        builder = builder.without_tokio();
    }
    let mut hosted = clients.clone();
    builder = match server {
        Server::Reference(broker) => {
            builder.host(SERVER, move |context| broker.clone().run(peer_host(&context)))
        }
        Server::Played => builder.host(SERVER, |_| std::future::pending::<()>()),
        Server::Hosted(lives) => {
            hosted = Some(lives.clone());
            builder.host(SERVER, move |context| lives.start_in_world(&context))
        }
    };
    if hosted.is_some() {
        builder = builder.watchdog(real_poll).name(&setup.case.name());
    }
    for client in &setup.hosts.clients {
        builder = match setup.applications.get(&client.name) {
            Some(application) => {
                let (application, connects) = (application.clone(), !client.connects_when_told);
                match clients.clone().filter(|lives| lives.has_client(&client.name)) {
                    Some(lives) => {
                        let name = client.name.clone();
                        builder.host(&client.name, move |context| {
                            lives.start_client(&context, &name, application.clone(), connects)
                        })
                    }
                    None => builder.host(&client.name, move |context| {
                        application.clone().run(peer_host(&context), connects)
                    }),
                }
            }
            None => builder.host(&client.name, |_| std::future::pending::<()>()),
        };
    }
    let outcome = builder.run(|world: World| {
        let of_world = world.clone();
        clock.start(move || of_world.now());
        let faults = Injector::new(world.clone());
        let timeouts = Timeouts { travel: *latency.end(), ..timeouts };
        execute(setup, Rc::new(SimulatedBackend { world, faults, timeouts, tears_writes }))
    });
    match (outcome, hosted) {
        (Ok(outcome), _) => outcome.output,
        (Err(failure), Some(lives)) => lives.failed_in_world(failure.error),
        (Err(failure), None) => Executed::broken(failure.error.to_string()),
    }
}

/// The host of the prober.
const PROBER: &str = "prober";

/// Asks a hosted broker what it can do.
pub(super) fn probe_in_world(broker: &HostedPeer, real_poll: Duration) -> Result<Capabilities, String> {
    let clock = RunClock::default();
    let lives = Lives::of_probe(broker, &clock);
    let _remembering = Remembering::begin(&clock);
    let of_host = lives.clone();
    let outcome = World::builder(0)
        .keep(Keep::Nothing)
        .watchdog(real_poll)
        .real_time_limit(LONGEST_REAL)
        .name(FIRST_CONNECTIONS)
        .host(SERVER, move |context| of_host.start_in_world(&context))
        .host(PROBER, |_| std::future::pending::<()>())
        .run(|world: World| async move {
            let of_world = world.clone();
            clock.start(move || of_world.now());
            let net = world.net(PROBER).map_err(|error| error.to_string())?;
            prober(net).probe().await.map_err(|contact| contact.to_string())
        });
    lives.probed(match outcome {
        Ok(outcome) => outcome.output,
        Err(failure) => {
            lives.failed_in_world(failure.error.clone());
            Err(failure.error.to_string())
        }
    })
}

fn peer_host(context: &HostContext) -> PeerHost<WorldNet, WorldDisk> {
    PeerHost { net: context.net(), disk: context.disk(), seed: context.seed(), now: context.now() }
}

struct SimulatedBackend {
    world: World,
    faults: Injector<World>,
    timeouts: Timeouts,
    /// Whether disks keep a part of unsynced writes when the power fails.
    tears_writes: bool,
}

impl From<WorldError> for BackendError {
    fn from(error: WorldError) -> Self {
        BackendError(error.to_string())
    }
}

impl Backend for SimulatedBackend {
    fn timeouts(&self) -> Timeouts {
        self.timeouts
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

    fn dial<'b>(&'b self, host: &'b str, offering: Option<&'b [String]>) -> Pending<'b, io::Result<Dialled>> {
        Box::pin(async move {
            let stream = self.world.net(host).map_err(io::Error::other)?.connect(SERVER, PORT).await?;
            Dialled::open(stream, offering).await
        })
    }

    fn listen(&self) -> Pending<'_, Result<Box<dyn Incoming>, BackendError>> {
        Box::pin(async {
            let net = self.world.net(SERVER)?;
            let listener = net.listen(PORT).await.map_err(|error| BackendError(error.to_string()))?;
            Ok(Box::new(Port { world: self.world.clone(), listener }) as Box<dyn Incoming>)
        })
    }

    fn faults(&self) -> &dyn FaultInjector {
        &self.faults
    }

    fn supports(&self, demands: &Demands) -> Result<(), Unsupported> {
        // The world models every fault.
        disks_can(demands, self.tears_writes)
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
