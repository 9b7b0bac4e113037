//! A simulated world of named hosts: one clock, links, faults, disks and a seed.
#![forbid(unsafe_code)]

mod builder;
mod connection;
mod disk;
mod error;
mod faults;
mod history;
mod host;
mod link;
mod links;
mod net;
mod network;
mod profile;
mod real_disk;
mod seed;
mod simulation;
mod stream;
mod world;

pub use builder::{Builder, Outcome};
pub use disk::{Disk, DiskFaults, File, WorldDisk, WorldFile};
pub use error::{Failure, RunError, WorldError};
pub use history::{ConnectionId, Event, EventKind, HostId, Keep, Statistics, Trace};
pub use host::{HostContext, HostResult};
pub use link::{Latency, LinkChange};
pub use links::Links;
pub use net::{Listener, Net};
pub use profile::Profile;
pub use real_disk::{RealDisk, RealFile};
pub use seed::{Draw, Probability, Seed};
pub use stream::{WorldListener, WorldNet, WorldStream};
pub use world::World;

/// turmoil's own sockets of the host that is being polled, for code that wants its streams to be `Send`, as third-party
/// clients do. They know names of hosts as [`Net`] does, and obey the same faults; but a time-out shows as a reset, a stalled
/// reader reads on, and a reader of pieces below 32 KiB never lets a full window open again.
pub mod sockets {
    pub use turmoil_net::shim::tokio::net::{TcpListener, TcpStream};
}
