//! Scenario files, the clause catalogue, the notation, the runner, the monitors and the verdicts.
#![forbid(unsafe_code)]

pub mod clauses;
pub mod defects;
pub mod deliveries;
pub mod fields;
pub mod history;
pub mod live;
pub mod monitors;
pub mod notation;
pub mod properties;
pub mod resilience;
pub mod results;
pub mod run;
pub mod suite;
pub mod verdict;
pub mod watch;
