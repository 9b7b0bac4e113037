//! Body of the fuzz target `client`: what holds for any application against any Server on any network.
//!
//! The bytes are a schedule of commands, packets, faults and time. Nothing that comes in may bring the client to panic, to
//! send what no client may send, to end a command twice, to hang on a deadline, or to write records that it cannot read.

mod schedule;
mod watch;

pub use schedule::run;
