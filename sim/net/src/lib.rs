//! Drivers that run a broker or client core over any byte stream.
#![forbid(unsafe_code)]

pub mod broker;
pub mod client;
mod clock;
pub mod framed;
pub mod relay;
pub mod store;
pub mod tap;
mod tcp;
mod test_broker;
pub mod transport;

pub use clock::Clock;
pub use tcp::{TcpNet, TcpNetListener};
pub use test_broker::{TestBroker, TestBrokerBuilder, TestBrokerError};
