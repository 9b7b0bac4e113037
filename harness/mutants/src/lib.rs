//! Defects for testing the tests: what a liar between a reference peer and its wire makes of the packets that pass.
//!
//! The reference peers stay the cleanest reading of the standard that there is. A defect is one that brokers and clients have really had, or one
//! that a scenario must be able to see; for every scenario there must be one that makes it fail, and for every defect a scenario that finds it.
//! The liar hears what comes from the wire before the peer does, and says what the peer says, its own way; it can also make a close late or never.
#![forbid(unsafe_code)]

mod client;
mod deeds;
mod liar;
mod rules;
mod scene;
mod server;

pub use self::liar::LyingNet;

pub(crate) use self::deeds::Deed;
pub(crate) use self::scene::{Scene, Wire};

use bytes::Bytes;
use mqttspec_codec::{Packet, Role};
use mqttspec_judge::finding::{Check, Finding};
use mqttspec_spec::{Catalogue, Standard};

/// What a peer does wrong.
#[derive(Clone, Copy, Debug)]
pub struct Defect {
    /// A name for tables: `dup-forgotten`.
    pub name: &'static str,
    /// What the peer does wrong, without a subject: "sends again with DUP 0".
    pub does: &'static str,
    /// Which peer has it.
    pub side: Role,
    breaks_5: &'static [&'static str],
    breaks_3_1_1: &'static [&'static str],
    tolerates: bool,
    breaks_a_promise: bool,
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
    pub const fn none(side: Role) -> Self {
        Self {
            name: "none",
            does: "nothing wrong",
            side,
            breaks_5: &[],
            breaks_3_1_1: &[],
            tolerates: false,
            breaks_a_promise: false,
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
    pub fn named(name: &str, side: Role) -> Option<&'static Defect> {
        Self::all().find(|defect| defect.name == name && defect.side == side)
    }

    /// The clauses that the peer breaks.
    #[must_use]
    pub fn clauses(&self, standard: Standard) -> &'static [&'static str] {
        match standard {
            Standard::V5 => self.breaks_5,
            Standard::V3_1_1 => self.breaks_3_1_1,
        }
    }

    /// Whether the peer takes what it must refuse, and so breaks its part of every clause that it has to enforce.
    #[must_use]
    pub fn tolerates(&self) -> bool {
        self.tolerates
    }

    /// Whether the peer breaks no clause of the standard but what the reference client promises of itself.
    #[must_use]
    pub fn breaks_a_promise(&self) -> bool {
        self.breaks_a_promise
    }

    /// Whether anything that the peer does wrong is wrong in this version.
    #[must_use]
    pub fn is_one_in(&self, standard: Standard) -> bool {
        self.tolerates || self.breaks_a_promise || !self.clauses(standard).is_empty()
    }

    /// Whether a clause is one that the peer breaks. What a peer must enforce, the catalogue knows as `checked_by`.
    #[must_use]
    pub fn breaks_clause(&self, standard: Standard, id: &str) -> bool {
        let enforced = || {
            let clause = Catalogue::get(standard, id);
            clause.and_then(|clause| clause.checked_by).is_some_and(|checks| checks.includes(self.side))
        };
        self.clauses(standard).contains(&id) || self.tolerates && enforced()
    }

    /// Whether a finding tells what the peer does wrong: it cites a clause that the peer breaks.
    #[must_use]
    pub fn is_told_by(&self, standard: Standard, finding: &Finding) -> bool {
        let cites =
            finding.requirements.iter().any(|requirement| self.breaks_clause(standard, &requirement.clause));
        cites || self.breaks_a_promise && matches!(finding.check, Check::Expectation)
    }

    const fn of(side: Role, name: &'static str, does: &'static str) -> Self {
        Self { name, does, ..Self::none(side) }
    }

    /// The clauses that it breaks, of 5.0 and of 3.1.1; none where the version allows it, or has no such thing.
    const fn breaks(mut self, v5: &'static [&'static str], v3_1_1: &'static [&'static str]) -> Self {
        self.breaks_5 = v5;
        self.breaks_3_1_1 = v3_1_1;
        self
    }

    /// It takes what it must refuse: see [`Defect::tolerates`].
    const fn tolerates_misdeeds(mut self) -> Self {
        self.tolerates = true;
        self
    }

    /// It breaks no clause: see [`Defect::breaks_a_promise`].
    const fn breaks_only_a_promise(mut self) -> Self {
        self.breaks_a_promise = true;
        self
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
