//! The runner: plans cases, and executes scenarios in the simulated world or on a live target.
#![forbid(unsafe_code)]

mod backend;
pub mod live;
pub mod run;
mod simulated;
pub mod suite;
