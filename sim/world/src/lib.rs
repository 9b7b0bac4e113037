//! A simulated world of named hosts: one clock, links, faults, disks and a seed.
//!
//! **The seed is the only source of randomness: the same seed gives the same history, byte for
//! byte, in any process.**
//!
//! 1. Write your broker or client against [`Net`](mqttspec_ports::Net) (or over any `AsyncRead +
//!    AsyncWrite`), and spawn with [`tokio::task::spawn_local`]; time is tokio's.
//! 2. Declare hosts with [`World::builder`]; each is a closure that makes its main task at each
//!    start.
//! 3. [`run`](Builder::run) a director: a future that controls the run. It waits, injects faults
//!    and checks results.
//! 4. Compare [`Trace::hash`] to know that a run was repeated; print the [`Trace`] to read what
//!    happened.
//!
//! ```
//! use mqttspec_ports::{Listener, Net};
//! use mqttspec_world::World;
//! use std::time::Duration;
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! let outcome = World::builder(42)
//!     .latency(Duration::from_millis(10))
//!     .host("broker", |host| async move {
//!         let listener = host.net().listen(1883).await?;
//!         let (mut stream, _) = listener.accept().await?;
//!         let byte = stream.read_u8().await?;
//!         stream.write_u8(byte + 1).await
//!     })
//!     .host("client", |_| std::future::pending::<()>())
//!     .run(|world| async move {
//!         let net = world.net("client").expect("it is up");
//!         let mut stream = net.connect("broker", 1883).await?;
//!         world.between("client", "broker").expect("both exist").partition();
//!         stream.write_u8(1).await?;
//!         world.sleep(Duration::from_secs(60)).await;
//!         world.everywhere().heal();
//!         stream.read_u8().await
//!     })?;
//! assert_eq!(outcome.output?, 2);
//! assert!(outcome.trace.statistics.simulated > Duration::from_secs(60));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Hosted code must not spawn with `tokio::spawn` or on threads, nor look at the wall clock, the
//! machine's entropy or the order of a `HashMap`. In this workspace clippy refuses them
//! (`clippy.toml`); copy its lists. Build with `--cfg tokio_unstable`, as the workspace does:
//! without it, the branches of `tokio::select!` are not drawn from the seed, and the panic of a
//! task that is never joined is not found.
//!
//! Streams and networks are `Send` and `Sync`, so third-party clients can use them like real ones,
//! but only on the thread of their world.
//!
//! One world runs at a time on a thread. Worlds on different threads are independent.
#![doc = "\n"]
#![doc = include_str!("../FAULTS.md")]
#![forbid(unsafe_code)]

mod arrival;
mod builder;
mod calls;
mod connection;
mod disk;
mod error;
mod faults;
mod history;
mod host_context;
mod inject;
mod limits;
mod link;
mod links;
mod machine;
mod network;
mod seed;
mod segment;
mod simulation;
mod socket;
mod stream;
mod swarm;
mod transit;
mod watchdog;
mod world;

pub use builder::{Builder, Outcome};
pub use disk::{DiskFaults, WorldDisk, WorldFile};
pub use error::{Failure, RunError, WorldError};
pub use history::{ConnectionId, Event, EventKind, HostId, Keep, Statistics, Trace};
pub use host_context::{HostContext, HostResult};
pub use link::{Latency, LinkChange};
pub use links::Links;
pub use mqttspec_faults::{Probability, Profile};
pub use mqttspec_ports::{Listener, Net};
pub use seed::{Draw, Seed};
pub use stream::{WorldListener, WorldNet, WorldStream};
pub use swarm::Swarm;
pub use watchdog::{Progress, Watched};
pub use world::World;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
