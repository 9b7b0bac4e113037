//! Verdicts for people and for CI: what a suite gave back, as text for a terminal, as files, and as one page.
//!
//! This room decides nothing. Each report is a function of a [`SuiteResult`], so the same seed prints the same bytes:
//! no date, no duration of the wall clock, no absolute path.
//!
//! | function | for whom |
//! |---|---|
//! | [`terminal::summary`] | the person who just ran the suite |
//! | [`html::page`] | whoever wants to see what happened: matrix, filters, sequence diagrams, one target or several |
//! | [`markdown::report`] | a pull request, a job summary; [`markdown::statements`] a compliance page |
//! | [`junit::report`] | the test viewers of CI |
//! | [`json::report`] | programs; [`json::read`] reads it back |
//! | [`write()`] | `--report DIR`: all files at once |
//! | [`compare::Comparison`] | what changed between two runs or two targets |
//! | [`baseline::Baseline`] | known failures: what else fails, and what fails no more |
//! | [`resilience::rows`] | what a load went through under each fault profile, in all of the above |
//! | [`diagram::svg`], [`capture::pcapng`] | one run, to look at or to open in Wireshark |
//!
//! `README.md` in this folder describes every format.
#![forbid(unsafe_code)]

mod areas;
pub mod baseline;
pub mod capture;
pub mod compare;
mod coverage;
pub mod diagram;
mod failure;
pub mod html;
pub mod json;
pub mod junit;
pub mod markdown;
mod outcome;
pub mod resilience;
pub mod terminal;
mod time;
mod write;

pub use areas::{AreaRow, Areas};
pub(crate) use coverage::ClauseStanding;
pub use coverage::{AreaCoverage, Coverage};
pub use mqttspec_judge::results::SuiteResult;
pub use outcome::Outcome;
pub use time::seconds;
pub use write::{WriteError, write, write_matrix};
