//! `mqttspec serve` as a user sees it: the real program, real sockets, real signals.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot continue fails, and prints figures"
)]

mod check;
mod errors;
#[cfg(target_os = "linux")]
mod hostile;
mod limits;
mod observe;
mod process;
mod statistics;
mod stops;
mod transports;
mod users;
