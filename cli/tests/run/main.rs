//! `mqttspec run` and `mqttspec compare` as their users meet them: the real program, its exit codes and what it says.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test that cannot go on fails; peers that play tricks are threads; a test that is left out says so"
)]

mod differences;
mod power;
mod process;
mod targets;
