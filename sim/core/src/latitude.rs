//! Choices that the standard leaves to a peer.

/// An option with several values that are all conformant, so that a harness can draw one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latitude {
    /// The name of the option.
    pub option: &'static str,
    /// Its values. The first one is the default.
    pub values: &'static [&'static str],
    /// Where the standard leaves the choice: sections of 5.0.
    pub section: &'static str,
}
