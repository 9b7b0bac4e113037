//! `mqttspec run` and `mqttspec compare` as a user sees them: the real program, its exit codes and
//! its output.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test that cannot continue fails; misbehaving peers are threads; a skipped test prints a message"
)]

mod clock;
mod differences;
mod files;
mod power;
mod process;
mod targets;
