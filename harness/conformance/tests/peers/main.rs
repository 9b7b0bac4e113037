//! What the test program of another crate prints. This program is one itself if `PEER` names a peer;
//! otherwise it runs itself and compares the output.

mod expected;
#[path = "../../../peers/mini/src/lib.rs"]
#[allow(missing_docs, unreachable_pub, clippy::unwrap_used, reason = "the page of another crate")]
mod mini;
mod programs;
mod reference;
mod reference_client;
mod small_core;

use std::process::ExitCode;

fn main() -> ExitCode {
    match std::env::var("PEER") {
        Ok(peer) => programs::run(&peer),
        Err(_) => expected::run(),
    }
}
