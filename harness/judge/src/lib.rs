//! Judges runs: the history of a run, the monitors and delivery checks that read it, and the
//! results from which reports are made.
//!
//! **The history is the only input of a verdict, and judging it needs neither sockets nor a
//! clock.**
#![forbid(unsafe_code)]

mod active_faults;
pub mod case;
pub mod claims;
pub mod command;
pub mod deliveries;
pub mod delivery_checks;
pub mod finding;
pub mod history;
pub mod monitors;
pub mod resilience;
pub mod results;
pub mod trace;
pub mod transcript;
pub mod verdict;

pub use case::Case;
