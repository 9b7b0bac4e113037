//! The body of the fuzz target `client`: invariants for any application, Server and network.
//!
//! The bytes are a schedule of commands, packets, faults and time. For any input, the client must
//! not panic, send what no client may send, end a command twice, keep a deadline in the past, or
//! write records that it cannot read.

mod schedule;
mod watch;

pub use schedule::run;
