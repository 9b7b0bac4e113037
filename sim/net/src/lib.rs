//! Drivers that run a broker or client core over any byte stream.
#![forbid(unsafe_code)]

mod clock;
pub mod framed;
pub mod store;

pub use clock::Clock;
