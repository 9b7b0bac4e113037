//! Application Messages (§3.3, §4.3): from Clients ([`inbound`]), to Subscriptions ([`routing`]),
//! to Clients ([`outbound`]); retained messages ([`retaining`], [`scanning`]); many Subscriptions
//! ([`serving`]), many Shared Subscriptions ([`distributing`]).

mod distributing;
mod inbound;
mod outbound;
mod retaining;
mod routing;
mod scanning;
mod serving;

pub(crate) use routing::copy_for;
