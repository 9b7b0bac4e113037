//! The mutants of the Server, one file per area.

mod authentication;
mod connections;
mod deliveries;
mod handshakes;
mod keep_alive;
mod limits;
mod properties;
mod retained;
mod sessions;
mod shared_subscriptions;
mod subscriptions;
mod topic_aliases;
mod transport;
mod wills;

use mqttspec_codec::Role;

use crate::mutant::Mutant;

const fn mutant(name: &'static str, does: &'static str) -> Mutant {
    Mutant::of(Role::Server, name, does)
}

/// The mutants of the Server, by area.
pub(super) static MUTANTS: &[&[Mutant]] = &[
    handshakes::MUTANTS,
    deliveries::MUTANTS,
    limits::MUTANTS,
    topic_aliases::MUTANTS,
    transport::MUTANTS,
    properties::MUTANTS,
    connections::MUTANTS,
    authentication::MUTANTS,
    sessions::MUTANTS,
    keep_alive::MUTANTS,
    subscriptions::MUTANTS,
    shared_subscriptions::MUTANTS,
    retained::MUTANTS,
    wills::MUTANTS,
];
