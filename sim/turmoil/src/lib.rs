#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod builder;
mod connection;
mod director;
mod disk;
mod host;
mod inject;
mod net;
mod pipe;
mod relaying;
mod simulation;
mod wakers;

pub use builder::{Builder, RunError};
pub use director::{DirectorListener, DirectorNet, Turmoil};
pub use disk::{TurmoilDisk, TurmoilFile};
pub use host::HostContext;
pub use inject::supports;
pub use net::{HostListener, HostNet, HostStream};
pub use pipe::DirectorStream;
