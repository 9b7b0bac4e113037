//! Reports of the results of a suite, for people and for CI: text for a terminal, files, and one
//! page.
//!
//! This crate makes no verdicts. Each report is a function of a [`SuiteResult`], so the same seed
//! prints the same bytes: no date, no wall-clock time, no absolute path.
//!
//! | function | for |
//! |---|---|
//! | [`terminal::summary`] | the user who ran the suite |
//! | [`html::page`] | browsing results: matrix, filters, sequence diagrams, one target or several |
//! | [`markdown::report`] | a pull request, a job summary; [`markdown::statements`] a compliance page |
//! | [`junit::report`] | the test viewers of CI |
//! | [`json::report`] | programs; [`json::read`] reads it back |
//! | [`write()`] | `--report DIR`: all files at once |
//! | [`compare::Comparison`] | what changed between two runs or two targets |
//! | [`baseline::Baseline`] | known failures: which other cases fail, and which pass again |
//! | [`resilience::rows`] | results of a load under each fault profile, in the reports above |
//! | [`diagram::svg`], [`capture::pcapng`] | one run, as a drawing or for Wireshark |
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
