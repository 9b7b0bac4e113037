//! What brokers do wrong.

mod connections;
mod deliveries;
mod hand_shakes;
mod retained;
mod sessions;
mod subscriptions;
mod wills;

use super::Defect;
use mqttspec_codec::Role;

const fn server(name: &'static str, does: &'static str) -> Defect {
    Defect::of(Role::Server, name, does)
}

/// Every defect of a broker, by area.
pub(super) static DEFECTS: &[&[Defect]] = &[
    hand_shakes::DEFECTS,
    deliveries::DEFECTS,
    connections::DEFECTS,
    sessions::DEFECTS,
    subscriptions::DEFECTS,
    retained::DEFECTS,
    wills::DEFECTS,
];
