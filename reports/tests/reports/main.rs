//! The reports: their texts, in other programs, and transcripts of runs.

mod common;

mod programs;
mod suite;
mod transcripts;
