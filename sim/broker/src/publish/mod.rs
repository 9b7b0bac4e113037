//! Application Messages (§3.3, §4.3): from Clients ([`inbound`]), to Subscriptions ([`routing`]),
//! to Clients ([`outbound`]).

mod inbound;
mod outbound;
mod routing;

pub(crate) use routing::copy_for;
