//! Verdicts for people and for CI: what a suite gave back, as text for a terminal, as Markdown and as JSON.
//!
//! This room decides nothing. Each report is a function of a [`SuiteResult`], so the same seed prints the same bytes:
//! no date, no duration of the wall clock, no absolute path.
//!
//! | function | for whom |
//! |---|---|
//! | [`terminal::summary`] | the person who just ran the suite |
//! | [`markdown::report`] | a pull request, a job summary, a compliance report |
//! | [`json::report`] | programs; [`json::read`] reads it back |
//! | [`write()`] | `--report DIR`: all files at once |
#![forbid(unsafe_code)]

mod coverage;
mod failure;
pub mod json;
pub mod markdown;
pub mod terminal;
mod time;
mod write;

pub use coverage::{ClauseRow, ClauseStanding, Coverage, ModuleRow};
pub use mqttspec_scenarios::results::SuiteResult;
pub use time::seconds;
pub use write::{WriteError, write};
