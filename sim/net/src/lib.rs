//! Drivers that run a broker or client core over any byte stream.
//!
//! The cores do no I/O; these drivers do it. [`broker::Server`] and [`client::client`] are short
//! loops between a core, a [store](store::Store) and a network. They are written against
//! [`Net`](mqttspec_ports::Net), so the same code runs in the simulated world, on [TCP](TcpNet),
//! and over [TLS and WebSocket](transport).
//!
//! [`framed::Framed`] reads and writes packets on a stream, for tests that play a peer. [`relay`]
//! injects faults into live connections. [`TestBroker`] starts a broker for a test.
//!
//! A broker on this machine, with its Sessions in a file:
//!
//! ```no_run
//! use mqttspec_net::{Clock, TcpNet, broker::serve, store::RedbStore};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let store = RedbStore::open_file("sessions.redb".as_ref())?;
//! let options = mqttspec_broker::Options::default();
//! // Within a `tokio::task::LocalSet`: the driver's tasks stay on one thread.
//! // 1 is the seed; () is a tap that observes nothing.
//! serve(&TcpNet::loopback(), 1883, options, 1, Clock::of_this_machine(), store, ()).await?;
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod alarm;
pub mod broker;
pub mod client;
mod clock;
pub mod framed;
pub mod proxy;
mod real_disk;
pub mod relay;
pub mod store;
pub mod tap;
mod tcp;
mod test_broker;
pub mod transport;

pub use clock::Clock;
pub use real_disk::{RealDisk, RealFile};
pub use tcp::{TcpNet, TcpNetListener};
pub use test_broker::{TestBroker, TestBrokerBuilder, TestBrokerError};
