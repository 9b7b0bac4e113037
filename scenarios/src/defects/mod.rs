//! Defects for testing the tests: what a liar between a reference peer and its wire makes of the packets that pass.
//!
//! The reference peers stay the cleanest reading of the standard that there is. A defect is one that brokers and clients have really had, or one
//! that a scenario must be able to see; for every scenario there must be one that makes it fail, and for every defect a scenario that finds it.
//! The liar hears what comes from the wire before the peer does, and says what the peer says, its own way; it can also make a close late or never.

mod client;
mod deeds;
mod rules;
mod scene;
mod server;

pub(crate) use self::deeds::Deed;
pub(crate) use self::scene::{Scene, Wire};

use bytes::Bytes;
use mqttspec_codec::Packet;

use crate::run::Side;

/// What a peer does wrong.
#[derive(Clone, Copy, Debug)]
pub struct Defect {
    /// A name for tables: `dup-forgotten`.
    pub name: &'static str,
    /// What the peer does wrong, without a subject: "sends again with DUP 0".
    pub does: &'static str,
    /// Which peer has it.
    pub side: Side,
    pub(crate) says: Rule,
    pub(crate) hears: Rule,
    pub(crate) hears_malformed: fn(&mut Scene, Bytes) -> Vec<Deed>,
    pub(crate) loses: fn(&mut Scene) -> Vec<Deed>,
    pub(crate) closes: fn(&mut Scene) -> Vec<Deed>,
}

/// What the liar makes of a packet.
pub(crate) type Rule = fn(&mut Scene, Packet) -> Vec<Deed>;

impl Defect {
    /// A peer without a defect behind a liar that passes everything on: what holds of it holds of the liar's place on the wire.
    #[must_use]
    pub const fn none(side: Side) -> Self {
        Self {
            name: "none",
            does: "nothing wrong",
            side,
            says: |_, packet| vec![Deed::Say(packet)],
            hears: |_, packet| vec![Deed::Tell(packet)],
            hears_malformed: |_, bytes| vec![Deed::TellBytes(bytes)],
            loses: |_| vec![Deed::TellEnd],
            closes: |_| vec![Deed::Close],
        }
    }

    /// Every defect, the server's first.
    pub fn all() -> impl Iterator<Item = &'static Defect> {
        server::DEFECTS.iter().copied().flatten().chain(client::DEFECTS)
    }

    /// The defect of this name on this side.
    #[must_use]
    pub fn named(name: &str, side: Side) -> Option<&'static Defect> {
        Self::all().find(|defect| defect.name == name && defect.side == side)
    }

    const fn of(side: Side, name: &'static str, does: &'static str) -> Self {
        Self { name, does, ..Self::none(side) }
    }

    /// What becomes of a packet that the peer sends.
    const fn says(mut self, rule: Rule) -> Self {
        self.says = rule;
        self
    }

    /// What becomes of a packet that comes for the peer.
    const fn hears(mut self, rule: Rule) -> Self {
        self.hears = rule;
        self
    }

    /// What becomes of bytes that are no packet.
    const fn hears_malformed(mut self, rule: fn(&mut Scene, Bytes) -> Vec<Deed>) -> Self {
        self.hears_malformed = rule;
        self
    }

    /// What becomes of the news that the wire is gone.
    const fn loses(mut self, rule: fn(&mut Scene) -> Vec<Deed>) -> Self {
        self.loses = rule;
        self
    }

    /// What becomes of the peer's wish to close.
    const fn closes(mut self, rule: fn(&mut Scene) -> Vec<Deed>) -> Self {
        self.closes = rule;
        self
    }
}
