//! SCRAM-SHA-256 (RFC 5802, RFC 7677), without channel binding: text in, text out.
//!
//! It is built from keyed hashes because every SASL library takes its nonces from the operating
//! system, which a core must not do.

mod client;
mod server;
mod verifier;

pub use client::{ClientExchange, Reply};
pub use server::{Failure, ServerExchange};
pub use verifier::{Hash, Verifier, keyed, remember_salted_passwords};

/// The Authentication Method of CONNECT and AUTH.
pub const METHOD: &str = "SCRAM-SHA-256";

/// The minimum of RFC 7677.
pub const ITERATIONS_MIN: u32 = 4096;
