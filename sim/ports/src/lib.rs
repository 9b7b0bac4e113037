//! The traits that connect a broker or a client to the outside.
//!
//! A driver that is written against [`Net`] and [`Disk`] runs unchanged in the simulated world
//! (`mqttspec-world`), in a stock `turmoil::Sim` (`mqttspec-turmoil`) and on the real machine
//! (`mqttspec-net`). This crate has the traits and no implementation.
#![forbid(unsafe_code)]

mod disk;
mod net;

pub use disk::{Disk, File};
pub use net::{Listener, Net};
