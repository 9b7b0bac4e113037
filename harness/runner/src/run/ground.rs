//! Where a run happens: in the simulated world, or before a live server. The director asks this for time, connections and faults,
//! and does not know which of the two it has.

use core::ops::RangeInclusive;
use core::time::Duration;
use std::rc::Rc;

use mqttspec_codec::Version;
use mqttspec_ports::Net as _;
use mqttspec_world::{Probability, World, WorldError};

use super::cast::{PORT, SERVER};
use super::connection::{Connection, from_server};
use super::found::Stop;
use super::stage::Stage;
use crate::live::site::{Lanes, Site};
use mqttspec_judge::history::ConnectionKey;

/// The latency of every link of the world where the scenario says nothing.
pub(crate) const LATENCY: Duration = Duration::from_millis(2);

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// What is expected may take so long where the scenario says nothing.
    pub(crate) patience: Duration,
    /// How much sooner than the scenario says something may come: what the clocks of both ends may differ by.
    pub(crate) early: Duration,
    /// How much later than the scenario says something may come.
    pub(crate) late: Duration,
    /// A run goes on for so long after its last step, so that what was sent by then arrives.
    pub(crate) settling: Duration,
    /// A client under test is watched for so long where nothing must come of it: no PINGREQ can be sent behind the input of a client.
    pub(crate) silence: Duration,
    /// Nothing but PINGREQ and PINGRESP may pass for so long before everything counts as quiet.
    pub(crate) quiet: Duration,
    /// By how much named courses of faults are shorter than they are called.
    pub(crate) shorter: u32,
    /// How long what is sent may be under way where no fault delays it.
    pub(crate) travel: Duration,
    /// How long after its SUBACK a Subscription may not be in force yet.
    pub(crate) subscribing: Duration,
}

impl Pace {
    /// That of the simulated world, where waiting costs nothing and clocks agree. The patience is longer than any retransmission of a lossy link that is likely.
    pub(crate) const SIMULATED: Self = Self {
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
}

/// Which links a fault is on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way<'h> {
    Everywhere,
    /// Both ways between a host and all others.
    Around(&'h str),
    /// All that leads to a host.
    To(&'h str),
    /// One way between two hosts.
    FromTo(&'h str, &'h str),
    /// Both ways between two hosts.
    Between(&'h str, &'h str),
}

/// Where a run happens.
#[derive(Clone)]
pub(crate) enum Ground {
    /// The simulated world.
    World(World),
    /// A live server.
    Site(Rc<Site>),
}

impl From<WorldError> for Stop {
    fn from(error: WorldError) -> Self {
        Stop::broken(error.to_string())
    }
}

impl Ground {
    pub(crate) fn pace(&self) -> Pace {
        match self {
            Ground::World(_) => Pace::SIMULATED,
            Ground::Site(site) => site.pace(),
        }
    }

    /// Time since the start of the run.
    pub(crate) fn now(&self) -> Duration {
        match self {
            Ground::World(world) => world.now(),
            Ground::Site(site) => site.now(),
        }
    }

    pub(crate) async fn sleep(&self, duration: Duration) {
        match self {
            Ground::World(world) => world.sleep(duration).await,
            Ground::Site(_) => tokio::time::sleep(duration).await,
        }
    }

    /// Sleeps until that long after the start of the run.
    pub(crate) async fn sleep_until(&self, since_start: Duration) {
        match self {
            Ground::World(world) => world.sleep_until(since_start).await,
            Ground::Site(site) => site.sleep_until(since_start).await,
        }
    }

    /// The draw with this number, between the two, both included.
    pub(crate) fn draw(&self, number: u64, least: Duration, most: Duration) -> Duration {
        let seed = match self {
            Ground::World(world) => world.seed("scenario"),
            Ground::Site(site) => site.seed("scenario"),
        };
        seed.nth(number).draw().duration(least, most)
    }

    /// Opens a connection of a played client, and begins to play its end.
    pub(crate) async fn dial(
        &self,
        host: &str,
        stage: &Rc<Stage>,
        key: ConnectionKey,
        version: Version,
    ) -> std::io::Result<Connection> {
        match self {
            Ground::World(world) => {
                let net = world.net(host).map_err(std::io::Error::other)?;
                let stream = net.connect(SERVER, PORT).await?;
                Ok(Connection::play(stage.clone(), key, stream, from_server(version)))
            }
            Ground::Site(site) => {
                let stream = site.net(host).connect(SERVER, PORT).await?;
                Ok(Connection::play(stage.clone(), key, stream, from_server(version)))
            }
        }
    }

    pub(crate) fn links(&self, way: Way<'_>) -> Result<Links, WorldError> {
        Ok(match self {
            Ground::World(world) => Links::World(match way {
                Way::Everywhere => world.everywhere(),
                Way::Around(host) => world.around(host)?,
                Way::To(host) => world.to(host)?,
                Way::FromTo(from, to) => world.one_way(from, to)?,
                Way::Between(one, other) => world.between(one, other)?,
            }),
            Ground::Site(site) => Links::Live(site.lanes(way)),
        })
    }

    /// The host no longer reads.
    pub(crate) fn stall(&self, host: &str) -> Result<(), WorldError> {
        match self {
            Ground::World(world) => world.stall_reading(host),
            Ground::Site(site) => {
                site.lanes(Way::To(host)).stall();
                Ok(())
            }
        }
    }

    /// The host reads again.
    pub(crate) fn resume(&self, host: &str) -> Result<(), WorldError> {
        match self {
            Ground::World(world) => world.resume_reading(host),
            Ground::Site(site) => {
                site.lanes(Way::To(host)).resume();
                Ok(())
            }
        }
    }

    /// The host ends without a word.
    pub(crate) async fn crash(&self, host: &str) -> Result<(), Stop> {
        match self {
            Ground::World(world) => Ok(world.crash(host)?),
            Ground::Site(site) => site.crash(host).await.map_err(Stop::broken),
        }
    }

    /// The host starts with what its disk kept.
    pub(crate) async fn start(&self, host: &str) -> Result<(), Stop> {
        match self {
            Ground::World(world) => Ok(world.start(host)?),
            Ground::Site(site) => site.start(host).await.map_err(Stop::broken),
        }
    }

    /// The disk of a host takes no more than so many bytes.
    pub(crate) fn disk_capacity(&self, host: &str, bytes: Option<u64>) -> Result<(), Stop> {
        match self {
            Ground::World(world) => {
                world.disk(host)?.capacity(bytes);
                Ok(())
            }
            Ground::Site(_) => Err(Stop::broken("the disk of a live server cannot be filled from here")),
        }
    }
}

/// Links that a fault is on.
pub(crate) enum Links {
    World(mqttspec_world::Links),
    Live(Lanes),
}

impl Links {
    pub(crate) fn partition(&self) {
        match self {
            Links::World(links) => links.partition(),
            Links::Live(lanes) => lanes.partition(),
        }
    }

    /// Ends a partition.
    pub(crate) fn join(&self) {
        match self {
            Links::World(links) => links.heal(),
            Links::Live(lanes) => lanes.join(),
        }
    }

    /// Packets take so long, on a live server so much longer.
    pub(crate) fn latency(&self, latency: RangeInclusive<Duration>) {
        match self {
            Links::World(links) => links.latency(latency),
            Links::Live(lanes) => lanes.latency(&latency),
        }
    }

    /// Packets take the usual time again, or so much longer.
    pub(crate) fn usual_latency_and(&self, more: Duration) {
        match self {
            Links::World(links) => links.latency(LATENCY + more),
            Links::Live(lanes) => lanes.latency(&(more..=more)),
        }
    }

    pub(crate) fn loss(&self, probability: Probability) {
        match self {
            Links::World(links) => links.loss(probability),
            Links::Live(lanes) => lanes.loss(probability.as_fraction()),
        }
    }

    pub(crate) fn bandwidth(&self, bytes_per_second: Option<u64>) {
        match self {
            Links::World(links) => links.bandwidth(bytes_per_second),
            Links::Live(lanes) => lanes.bandwidth(bytes_per_second),
        }
    }

    /// Resets the connections.
    pub(crate) fn reset(&self) {
        match self {
            Links::World(links) => links.reset(),
            Links::Live(lanes) => lanes.reset(),
        }
    }

    /// The connections pass nothing any more, and neither end is told.
    pub(crate) fn blackhole(&self) {
        match self {
            Links::World(links) => links.blackhole(),
            Links::Live(lanes) => lanes.half_open(),
        }
    }
}
