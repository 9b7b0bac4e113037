//! What the broker core and the client core share: options that are set by name and text, the
//! choices that they give, and change records for a store.
//!
//! Both cores have options and produce change records. These are in a crate of their own so that
//! the cores, their drivers and the command line use one definition, and so that neither core
//! depends on the other.
#![forbid(unsafe_code)]

mod change;
mod latitude;
mod options;

pub use change::Change;
pub use latitude::Latitude;
pub use options::{OptionDescription, OptionError, OptionValue};

#[doc(hidden)]
pub mod macros {
    //! What the macros expand to.
    pub use crate::options::{assign, describe, either, unknown};
}
