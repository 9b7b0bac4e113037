//! Judges runs: the history of a run, the monitors and delivery checks that read it, and the
//! results from which reports are made.
//!
//! **Monitors and delivery checks read only the history, and need neither sockets nor a clock.**
//! The executor checks expectations during the run. The findings of all of them decide the verdict.
#![forbid(unsafe_code)]

mod active_faults;
pub mod case;
pub mod claims;
pub mod command;
pub mod cut;
pub mod deliveries;
pub mod delivery_checks;
pub mod finding;
pub mod history;
pub mod model;
pub mod monitors;
mod per_connection;
pub mod resilience;
pub mod results;
pub mod trace;
pub mod transcript;
pub mod verdict;

pub use case::Case;
