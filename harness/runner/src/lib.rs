//! The runner: plans cases, and executes scenarios in the simulated world or on a live target.
#![forbid(unsafe_code)]

pub mod live;
pub mod run;
pub mod suite;
