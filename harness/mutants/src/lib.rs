//! Faulty peers that prove the checks.
//!
//! A [`Mutant`] is middleware between a reference peer and its stream. It sees every packet in both
//! directions and forwards, changes, drops, delays or adds packets; it can also suppress or delay a
//! close. The reference peer itself stays correct and has no code for it. [`MutantNet`] puts a
//! mutant on every connection of a peer.
//!
//! Each mutant does what a real broker or client has done wrong, or what a scenario must be
//! able to detect. For every scenario there must be a mutant that makes it fail, and for every
//! mutant a scenario that detects it. `scenarios/PROVED.md` lists both.
//!
//! [`Mutant::variants`] are the opposite: peers that differ from the reference and break nothing.
//! Every scenario must accept them.
#![forbid(unsafe_code)]

mod both_roles;
mod catalogue;
mod client;
mod edit;
mod effect;
mod handlers;
mod mutant;
mod net;
mod server;
mod state;
mod variants;
mod websocket;

pub use self::mutant::{AlsoBlamed, Mutant};
pub use self::net::MutantNet;
pub use self::websocket::MutantWebSocketNet;
