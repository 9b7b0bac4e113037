//! The type of a mutant: its name, the clauses that it breaks, and a handler for each kind of
//! input.

use bytes::Bytes;
use mqttspec_codec::{Packet, Role};
use mqttspec_judge::finding::{Check, Finding};
use mqttspec_spec::{Catalogue, Clause, Standard};

use crate::effect::Effect;
use crate::state::State;

/// A way to make a reference peer faulty.
#[derive(Clone, Copy, Debug)]
pub struct Mutant {
    /// The name in tables: `dup-forgotten`.
    pub name: &'static str,
    /// What the peer does wrong, without a subject: "resends with DUP 0".
    pub does: &'static str,
    /// The role of the peer.
    pub role: Role,
    breaks_5: &'static [&'static str],
    breaks_3_1_1: &'static [&'static str],
    also_blamed: &'static [AlsoBlamed],
    gets_wrong: &'static [&'static str],
    accepts_violations: bool,
    breaks_documented_behaviour: bool,
    pub(crate) websocket_fault: Option<WebSocketFault>,
    pub(crate) on_outgoing: PacketHandler,
    pub(crate) on_incoming: PacketHandler,
    pub(crate) on_malformed: fn(&mut State, Bytes) -> Vec<Effect>,
    pub(crate) on_network_end: fn(&mut State) -> Vec<Effect>,
    pub(crate) on_peer_close: fn(&mut State) -> Vec<Effect>,
}

/// What a peer does wrong below its packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WebSocketFault {
    /// Sends its packets in frames of text.
    SendsText,
    /// Takes packets from frames of text.
    AcceptsText,
    /// Takes the first packet of each frame, if the frame has the whole packet.
    TakesAFrameForAPacket,
    /// Offers or selects a subprotocol that is not `mqtt`.
    OtherSubprotocol,
}

/// Clauses of a standard that a failure may cite although the mutant obeys them, with the reason.
pub type AlsoBlamed = (Standard, &'static [&'static str], &'static str);

/// Turns a packet into effects.
pub(crate) type PacketHandler = fn(&mut State, Packet) -> Vec<Effect>;

impl Mutant {
    /// The unchanged peer: forwards everything.
    #[must_use]
    pub const fn unchanged(role: Role) -> Self {
        Self {
            name: "unchanged",
            does: "nothing wrong",
            role,
            breaks_5: &[],
            breaks_3_1_1: &[],
            also_blamed: &[],
            gets_wrong: &[],
            accepts_violations: false,
            breaks_documented_behaviour: false,
            websocket_fault: None,
            on_outgoing: |_, packet| vec![Effect::Send(packet)],
            on_incoming: |_, packet| vec![Effect::Deliver(packet)],
            on_malformed: |_, bytes| vec![Effect::DeliverBytes(bytes)],
            on_network_end: |_| vec![Effect::DeliverEnd],
            on_peer_close: |_| vec![Effect::Close],
        }
    }

    /// The clauses that the peer breaks.
    #[must_use]
    pub fn clauses(&self, standard: Standard) -> Vec<&'static str> {
        match standard {
            Standard::V5 => self.breaks_5.to_vec(),
            Standard::V3_1_1 => self.breaks_3_1_1.to_vec(),
            Standard::V3_1 => in_3_1(self.breaks_3_1_1),
        }
    }

    /// Whether the peer accepts what it must refuse. It then breaks every clause that its role has
    /// to enforce.
    #[must_use]
    pub fn accepts_violations(&self) -> bool {
        self.accepts_violations
    }

    /// Whether the peer breaks no clause of the standard but the documented behaviour of the
    /// reference peer.
    #[must_use]
    pub fn breaks_documented_behaviour(&self) -> bool {
        self.breaks_documented_behaviour
    }

    /// Whether the mutant breaks anything in this version of the standard.
    #[must_use]
    pub fn applies_to(&self, standard: Standard) -> bool {
        self.accepts_violations || self.breaks_documented_behaviour || !self.clauses(standard).is_empty()
    }

    /// Whether the peer breaks this clause. The catalogue's `checked_by` names the role that has to
    /// enforce it.
    #[must_use]
    pub fn breaks_clause(&self, standard: Standard, id: &str) -> bool {
        let enforced = || {
            let clause = Catalogue::get(standard, id);
            clause.and_then(|clause| clause.checked_by).is_some_and(|checks| checks.includes(self.role))
        };
        self.clauses(standard).contains(&id) || self.accepts_violations && enforced()
    }

    /// Whether the peer can break this clause: it always does, or what it gets wrong can.
    fn can_break(&self, standard: Standard, id: &str) -> bool {
        // Who does not close also accepts what it has to refuse.
        let broken = |clause: &Clause| {
            clause.is_about(self.gets_wrong)
                || self.gets_wrong.contains(&"closed")
                    && clause.checked_by.is_some_and(|checks| checks.includes(self.role))
        };
        self.breaks_clause(standard, id) || Catalogue::get(standard, id).is_some_and(broken)
    }

    /// Whether a finding reports what the mutant does wrong: it cites a clause that the mutant
    /// can break.
    #[must_use]
    pub fn is_reported_by(&self, standard: Standard, finding: &Finding) -> bool {
        let cites =
            finding.requirements.iter().any(|requirement| self.can_break(standard, &requirement.clause));
        cites || self.breaks_documented_behaviour && matches!(finding.check, Check::Expectation)
    }

    /// Whether a failure may cite the clause: the mutant can break it, has a reason why it may be
    /// cited nevertheless, or breaks no clause.
    #[must_use]
    pub fn may_be_blamed_for(&self, standard: Standard, id: &str) -> bool {
        let argued = |(of, clauses, _): &AlsoBlamed| match (standard, of) {
            (Standard::V3_1, Standard::V3_1_1) => in_3_1(clauses).contains(&id),
            _ => *of == standard && clauses.contains(&id),
        };
        self.can_break(standard, id)
            || self.breaks_documented_behaviour
            || self.also_blamed.iter().any(argued)
    }

    /// The clauses that a failure may cite although the mutant obeys them.
    #[must_use]
    pub fn arguments(&self) -> &'static [AlsoBlamed] {
        self.also_blamed
    }

    pub(crate) const fn of(role: Role, name: &'static str, does: &'static str) -> Self {
        Self { name, does, ..Self::unchanged(role) }
    }

    /// Sets the clauses that it breaks, in 5.0 and in 3.1.1. A list is empty if the version allows
    /// the behaviour or has no such feature.
    pub(crate) const fn breaks(
        mut self,
        v5: &'static [&'static str],
        v3_1_1: &'static [&'static str],
    ) -> Self {
        self.breaks_5 = v5;
        self.breaks_3_1_1 = v3_1_1;
        self
    }

    /// Sets the clauses that a failure may cite although the mutant obeys them.
    pub(crate) const fn also_blamed(mut self, also: &'static [AlsoBlamed]) -> Self {
        self.also_blamed = also;
        self
    }

    /// Sets what the peer gets wrong whenever it happens to matter, in the words of
    /// [`Clause::about`]. A lost PUBLISH breaks each clause by which that PUBLISH is owed.
    pub(crate) const fn gets_wrong(mut self, what: &'static [&'static str]) -> Self {
        self.gets_wrong = what;
        self
    }

    /// It accepts what it must refuse: see [`Mutant::accepts_violations`].
    pub(crate) const fn that_accepts_violations(mut self) -> Self {
        self.accepts_violations = true;
        self
    }

    /// It breaks no clause: see [`Mutant::breaks_documented_behaviour`].
    pub(crate) const fn breaks_only_documented_behaviour(mut self) -> Self {
        self.breaks_documented_behaviour = true;
        self
    }

    /// It does this wrong on a WebSocket.
    pub(crate) const fn over_websocket(mut self, fault: WebSocketFault) -> Self {
        self.websocket_fault = Some(fault);
        self
    }

    /// Handles a packet from the peer.
    pub(crate) const fn on_outgoing(mut self, handler: PacketHandler) -> Self {
        self.on_outgoing = handler;
        self
    }

    /// Handles a packet from the network.
    pub(crate) const fn on_incoming(mut self, handler: PacketHandler) -> Self {
        self.on_incoming = handler;
        self
    }

    /// Handles bytes from the network that are not a packet.
    pub(crate) const fn on_malformed(mut self, handler: fn(&mut State, Bytes) -> Vec<Effect>) -> Self {
        self.on_malformed = handler;
        self
    }

    /// Handles the end of the Network Connection.
    pub(crate) const fn on_network_end(mut self, handler: fn(&mut State) -> Vec<Effect>) -> Self {
        self.on_network_end = handler;
        self
    }

    /// Handles the peer closing its end.
    pub(crate) const fn on_peer_close(mut self, handler: fn(&mut State) -> Vec<Effect>) -> Self {
        self.on_peer_close = handler;
        self
    }
}

/// The clauses of 3.1 that state the same as clauses of 3.1.1, or a part of one.
fn in_3_1(clauses: &[&str]) -> Vec<&'static str> {
    let states = |clause: &&Clause| {
        let mut rules = clause.counterparts.iter().chain(&clause.part_of);
        rules.any(|id| clauses.contains(id))
    };
    Catalogue::iter(Standard::V3_1).filter(states).map(|clause| clause.id).collect()
}
