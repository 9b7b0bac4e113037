//! Scenario files, the clause catalogue, the notation, the runner, the monitors and the verdicts.
#![forbid(unsafe_code)]

pub mod clauses;
pub mod fields;
pub mod notation;
pub mod results;
pub mod verdict;
