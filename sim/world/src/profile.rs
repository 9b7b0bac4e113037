//! Fault profiles by name: what a network does to people often enough to have a name, with its usual measure. The names are
//! those of scenario files.

use crate::error::WorldError;
use crate::seed::Probability;
use crate::world::World;
use std::fmt;
use std::time::Duration;

/// A fault between a client and a server that begins, lasts and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Profile {
    /// `complete-outage`: nothing gets through in either direction. Usually 5 s.
    Outage {
        /// From begin to end.
        lasts: Duration,
    },
    /// `intermittent-link`: the link carries and does not carry, in turns, the latter first. Usually 1 s and 1 s, for 10 s.
    Intermittent {
        /// How long it carries at a time.
        on: Duration,
        /// How long it does not.
        off: Duration,
        /// From begin to end.
        lasts: Duration,
    },
    /// `high-latency`: each direction takes longer by so much. Usually 500 ms, for 8 s.
    HighLatency {
        /// How much longer.
        added: Duration,
        /// From begin to end.
        lasts: Duration,
    },
    /// `packet-loss`: each segment is lost with that probability, in both directions. Usually 30 %, for 6 s.
    PacketLoss {
        /// For each segment.
        probability: Probability,
        /// From begin to end.
        lasts: Duration,
    },
    /// `one-way-partition`: nothing gets from the server to the client. Usually 5 s.
    OneWayPartition {
        /// From begin to end.
        lasts: Duration,
    },
    /// `reset`: the connections between the two are reset.
    Reset,
    /// `half-open`: the connections between the two carry nothing any more, and neither end is told.
    HalfOpen,
    /// `slow-reader`: the client does not read. Usually 10 s.
    SlowReader {
        /// From begin to end.
        lasts: Duration,
    },
    /// `broker-crash`: the power of the server fails, and comes back. Usually 2 s.
    ServerCrash {
        /// How long the server is down.
        down: Duration,
    },
    /// `client-crash`: the power of the client fails, and comes back. Usually 2 s.
    ClientCrash {
        /// How long the client is down.
        down: Duration,
    },
    /// `disk-loss`: the power of the server fails while it writes to its disk (one of its next eight operations, or after
    /// 5 s without so many), and comes back. Usually 2 s.
    TornWrites {
        /// How long the server is down.
        down: Duration,
    },
}

/// How long torn writes wait for the server to write.
const WRITES_WITHIN: Duration = Duration::from_secs(5);

impl Profile {
    /// Every profile, in its usual measure.
    pub const USUAL: [Profile; 11] = [
        Profile::Outage { lasts: Duration::from_secs(5) },
        Profile::Intermittent {
            on: Duration::from_secs(1),
            off: Duration::from_secs(1),
            lasts: Duration::from_secs(10),
        },
        Profile::HighLatency { added: Duration::from_millis(500), lasts: Duration::from_secs(8) },
        Profile::PacketLoss { probability: Probability::THIRTY_PERCENT, lasts: Duration::from_secs(6) },
        Profile::OneWayPartition { lasts: Duration::from_secs(5) },
        Profile::Reset,
        Profile::HalfOpen,
        Profile::SlowReader { lasts: Duration::from_secs(10) },
        Profile::ServerCrash { down: Duration::from_secs(2) },
        Profile::ClientCrash { down: Duration::from_secs(2) },
        Profile::TornWrites { down: Duration::from_secs(2) },
    ];

    /// The profile of that name in its usual measure; none if there is none.
    pub fn named(name: &str) -> Option<Profile> {
        Profile::USUAL.into_iter().find(|profile| profile.name() == name)
    }

    /// The name.
    pub fn name(&self) -> &'static str {
        match self {
            Profile::Outage { .. } => "complete-outage",
            Profile::Intermittent { .. } => "intermittent-link",
            Profile::HighLatency { .. } => "high-latency",
            Profile::PacketLoss { .. } => "packet-loss",
            Profile::OneWayPartition { .. } => "one-way-partition",
            Profile::Reset => "reset",
            Profile::HalfOpen => "half-open",
            Profile::SlowReader { .. } => "slow-reader",
            Profile::ServerCrash { .. } => "broker-crash",
            Profile::ClientCrash { .. } => "client-crash",
            Profile::TornWrites { .. } => "disk-loss",
        }
    }

    /// Lets it happen between a client and a server; returns when it is over. What it changed is then as on a link without
    /// faults: a partition is healed, loss is none, the added latency is gone.
    ///
    /// # Errors
    /// [`WorldError::UnknownHost`], [`WorldError::SameHost`]; [`WorldError::Down`] if a host that has to crash or to stall is
    /// down, [`WorldError::AlreadyUp`] if someone else started it meanwhile.
    pub async fn happen(self, world: &World, client: &str, server: &str) -> Result<(), WorldError> {
        let links = world.between(client, server)?;
        match self {
            Profile::Outage { lasts } => {
                links.partition();
                world.sleep(lasts).await;
                links.heal();
            }
            Profile::Intermittent { on, off, lasts } => {
                let end = world.now() + lasts;
                while world.now() < end {
                    links.partition();
                    world.sleep(off.min(end.saturating_sub(world.now()))).await;
                    links.heal();
                    world.sleep(on.min(end.saturating_sub(world.now()))).await;
                }
            }
            Profile::HighLatency { added, lasts } => {
                links.added_latency(added);
                world.sleep(lasts).await;
                links.added_latency(Duration::ZERO);
            }
            Profile::PacketLoss { probability, lasts } => {
                links.loss(probability);
                world.sleep(lasts).await;
                links.loss(Probability::NEVER);
            }
            Profile::OneWayPartition { lasts } => {
                let answers = world.one_way(server, client)?;
                answers.partition();
                world.sleep(lasts).await;
                answers.heal();
            }
            Profile::Reset => links.reset(),
            Profile::HalfOpen => links.blackhole(),
            Profile::SlowReader { lasts } => {
                world.stall_reading(client)?;
                world.sleep(lasts).await;
                world.resume_reading(client)?;
            }
            Profile::ServerCrash { down } => crash(world, server, down).await?,
            Profile::ClientCrash { down } => crash(world, client, down).await?,
            Profile::TornWrites { down } => {
                let disk = world.disk(server)?;
                let nth = 1 + world.seed("torn writes").nth(disk.operations()).draw().below(8);
                disk.power_fails_at(Some(nth));
                let latest = world.now() + WRITES_WITHIN;
                while world.is_up(server)? && world.now() < latest {
                    world.sleep(Duration::from_millis(10)).await;
                }
                if world.is_up(server)? {
                    world.crash(server)?;
                }
                world.sleep(down).await;
                world.start(server)?;
            }
        }
        Ok(())
    }
}

async fn crash(world: &World, host: &str, down: Duration) -> Result<(), WorldError> {
    world.crash(host)?;
    world.sleep(down).await;
    world.start(host)
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Profile::Outage { lasts }
            | Profile::OneWayPartition { lasts }
            | Profile::SlowReader { lasts } => {
                write!(f, " for {lasts:?}")
            }
            Profile::Intermittent { on, off, lasts } => write!(f, " {on:?} on, {off:?} off, for {lasts:?}"),
            Profile::HighLatency { added, lasts } => write!(f, " +{added:?} for {lasts:?}"),
            Profile::PacketLoss { probability, lasts } => {
                write!(f, " {:.0} % for {lasts:?}", probability.as_fraction() * 100.0)
            }
            Profile::ServerCrash { down } | Profile::ClientCrash { down } | Profile::TornWrites { down } => {
                write!(f, ", back after {down:?}")
            }
            Profile::Reset | Profile::HalfOpen => Ok(()),
        }
    }
}
