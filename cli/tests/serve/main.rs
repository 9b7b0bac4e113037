//! `mqttspec serve` as its users meet it: the real program, real sockets, real signals.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod check;
mod errors;
mod limits;
mod process;
mod stops;
mod transports;
mod users;
