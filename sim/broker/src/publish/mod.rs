//! Application Messages (§3.3, §4.3): in from Clients ([`inbound`]), on to Subscriptions ([`routing`]), out
//! to Clients ([`outbound`]).

mod inbound;
mod outbound;
mod routing;

pub(crate) use routing::copy_for;
