//! Drivers that run a broker or client core over any byte stream.
#![forbid(unsafe_code)]

pub mod store;
