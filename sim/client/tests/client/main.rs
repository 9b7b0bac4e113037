//! The client core by direct calls: each test is one situation of the protocol.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod authenticating;
mod bench;
mod connecting;
mod delivering;
mod faults;
mod keep_alive;
mod model;
mod publishing;
mod receiving;
mod reconnecting;
mod requesting;
mod sessions;
mod states;
mod subscribing;
