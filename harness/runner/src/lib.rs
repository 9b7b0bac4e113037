//! The runner: plans cases, and executes scenarios in a simulation or on a live target.
#![forbid(unsafe_code)]

mod backend;
mod executor;
mod facts;
mod found;
pub mod hosted;
pub mod hosted_target;
mod hosts;
mod intake;
mod judging;
pub mod latitude;
pub mod live;
mod peers;
mod recorder;
pub mod run;
mod run_clock;
mod run_options;
mod signal;
mod simulated;
mod simulator;
pub mod suite;
