//! Drivers that run a broker or client core over any byte stream.
#![forbid(unsafe_code)]

mod clock;
pub mod framed;
pub mod store;
mod tcp;

pub use clock::Clock;
pub use tcp::{TcpNet, TcpNetListener};
