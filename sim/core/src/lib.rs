//! Code that the broker core and the client core share: options that are set by name and text,
//! choices that the standard leaves to a peer, SCRAM-SHA-256, and change records for a store.
//!
//! It is a separate crate so that the cores, their drivers and the command line use one definition,
//! and neither core depends on the other.
#![forbid(unsafe_code)]

mod change;
mod latitude;
mod options;
pub mod scram;

pub use change::Change;
pub use latitude::Latitude;
pub use options::{OptionDescription, OptionError, OptionValue};

#[doc(hidden)]
pub mod macros {
    //! What the macros expand to.
    pub use crate::options::{assign, describe, either, unknown};
}
