//! The mutants of the Client, one file per area.

mod applications;
mod authentication;
mod connections;
mod contents;
mod deliveries;
mod handshakes;
mod limits;
mod sessions;
mod topic_aliases;
mod transport;

use mqttspec_codec::Role;

use crate::mutant::Mutant;

const fn mutant(name: &'static str, does: &'static str) -> Mutant {
    Mutant::of(Role::Client, name, does)
}

/// The mutants of the Client, by area.
pub(super) static MUTANTS: &[&[Mutant]] = &[
    handshakes::MUTANTS,
    deliveries::MUTANTS,
    limits::MUTANTS,
    topic_aliases::MUTANTS,
    transport::MUTANTS,
    sessions::MUTANTS,
    connections::MUTANTS,
    contents::MUTANTS,
    applications::MUTANTS,
    authentication::MUTANTS,
];
