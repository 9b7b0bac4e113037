//! The scenario files of this project, compiled in, so that a program runs them from any folder.
#![forbid(unsafe_code)]

/// Each scenario file: its path below the folder of scenarios, with `/`, and its text. In order of
/// the paths.
pub const SCENARIOS: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/scenarios.rs"));
