//! The list of all mutants.

use mqttspec_codec::Role;

use crate::mutant::Mutant;
use crate::{client, server};

impl Mutant {
    /// Every mutant, those of the Server first.
    pub fn all() -> impl Iterator<Item = &'static Mutant> {
        server::MUTANTS.iter().chain(client::MUTANTS).copied().flatten()
    }

    /// The mutant with this name and role.
    #[must_use]
    pub fn named(name: &str, role: Role) -> Option<&'static Mutant> {
        Self::all().find(|mutant| mutant.name == name && mutant.role == role)
    }
}
