//! Messages on their way to the Server at QoS 1 and QoS 2: the sender's half of §4.3.2 and §4.3.3, what is sent again
//! when a Session is resumed (§4.4), and the send quota (§4.9).
//!
//! The exchanges outlive the Network Connection; quota and the marks of what must be sent again belong to one connection.

use std::collections::BTreeMap;
use std::time::Duration;

use mqttspec_codec::{PacketIdentifier, PacketType, PubAckReason, QoS};

use super::Identifiers;
use crate::command::{Handle, Publication};
use crate::error::Violation;
use crate::queue::Waiting;

/// One message between its first PUBLISH and its last acknowledgement.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    pub(crate) handle: Handle,
    pub(crate) publication: Publication,
    pub(crate) qos: QoS,
    pub(crate) phase: Phase,
    pub(crate) accepted_at: Duration,
    /// Whether its PUBLISH took from the send quota of this Network Connection.
    counted: bool,
}

/// How far the exchange has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// PUBLISH was sent.
    Published,
    /// PUBREC came; PUBREL was sent or is owed. The number orders the PUBRECs.
    Released(u64),
    /// The message cannot be sent again within the limits of the new connection. The identifier stays in use, since
    /// the Server may hold it for a QoS 2 message and would take a new message for a duplicate.
    Abandoned,
}

/// What became of an acknowledgement.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The exchange is over and the identifier free.
    Done(Exchange),
    /// PUBREL must follow.
    Release,
    /// No exchange has this identifier.
    Unknown,
}

/// What a resumed Session sends next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resend {
    PubRel(PacketIdentifier),
    Publish(PacketIdentifier),
}

#[derive(Debug)]
pub(crate) struct Outbound {
    exchanges: BTreeMap<PacketIdentifier, Exchange>,
    releases: u64,
    quota: u16,
    /// PUBREL packets owed on this connection, by the order of their PUBRECs.
    resend_releases: BTreeMap<u64, PacketIdentifier>,
    /// PUBLISH packets owed on this connection, by the order in which they were first sent.
    resend_publishes: BTreeMap<Handle, PacketIdentifier>,
}

impl Outbound {
    pub(crate) fn new() -> Self {
        Self {
            exchanges: BTreeMap::new(),
            releases: 0,
            quota: 0,
            resend_releases: BTreeMap::new(),
            resend_publishes: BTreeMap::new(),
        }
    }

    /// A new Network Connection. With `resume`, everything unacknowledged is owed again.
    pub(crate) fn connected(&mut self, quota: u16, resume: bool) {
        // [MQTT-4.9.0-1] §4.9: quota does not outlive the Network Connection.
        self.quota = quota;
        self.resend_releases.clear();
        self.resend_publishes.clear();
        for (&identifier, exchange) in &mut self.exchanges {
            exchange.counted = false;
            if !resume {
                continue;
            }
            match exchange.phase {
                // [MQTT-4.3.3-6] [MQTT-4.4.0-1] after PUBREC it is PUBREL that is sent again
                Phase::Released(order) => {
                    self.resend_releases.insert(order, identifier);
                }
                // [MQTT-4.6.0-1] handles grow in the order of the first sending
                Phase::Published => {
                    self.resend_publishes.insert(exchange.handle, identifier);
                }
                Phase::Abandoned => {}
            }
        }
    }

    /// What must be sent again now; `None` when nothing is left or the quota is used up.
    ///
    /// PUBREL goes first and without regard to the quota.
    pub(crate) fn next_resend(&mut self) -> Option<Resend> {
        // [MQTT-4.6.0-4] [MQTT-3.3.4-8]
        if let Some((_, identifier)) = self.resend_releases.pop_first() {
            return Some(Resend::PubRel(identifier));
        }
        if self.quota == 0 {
            return None;
        }
        let (_, identifier) = self.resend_publishes.pop_first()?;
        self.take_quota(identifier);
        Some(Resend::Publish(identifier))
    }

    /// Whether a new QoS 1 or QoS 2 PUBLISH may go: quota is left and nothing older waits to be sent again.
    pub(crate) fn may_begin(&self) -> bool {
        // [MQTT-4.9.0-2] [MQTT-3.3.4-7]
        self.quota > 0 && self.resend_publishes.is_empty() && self.resend_releases.is_empty()
    }

    /// The first PUBLISH of a message is sent under this identifier.
    pub(crate) fn begin(&mut self, identifier: PacketIdentifier, handle: Handle, waited: Waiting) {
        self.restore(identifier, handle, waited, Phase::Published);
        self.take_quota(identifier);
    }

    /// An exchange as the store had it.
    pub(crate) fn restore(
        &mut self,
        identifier: PacketIdentifier,
        handle: Handle,
        Waiting { publication, qos, accepted_at }: Waiting,
        phase: Phase,
    ) {
        if let Phase::Released(order) = phase {
            self.releases = self.releases.max(order + 1);
        }
        self.exchanges
            .insert(identifier, Exchange { handle, publication, qos, phase, accepted_at, counted: false });
    }

    /// # Errors
    /// If the exchange is none of QoS 1.
    pub(crate) fn puback(
        &mut self,
        identifier: PacketIdentifier,
        identifiers: &mut Identifiers,
    ) -> Result<Outcome, Violation> {
        match self.exchanges.get(&identifier) {
            None => Ok(Outcome::Unknown),
            Some(exchange) if exchange.qos != QoS::AtLeastOnce => {
                Err(Violation::AcknowledgementMisplaced(PacketType::PubAck))
            }
            // [MQTT-4.3.2-3] [MQTT-4.4.0-2] whatever its Reason Code, it ends the exchange
            Some(_) => Ok(self.finish(identifier, identifiers)),
        }
    }

    /// # Errors
    /// If the exchange is none of QoS 2.
    pub(crate) fn pubrec(
        &mut self,
        identifier: PacketIdentifier,
        reason: PubAckReason,
        identifiers: &mut Identifiers,
    ) -> Result<Outcome, Violation> {
        let releases = &mut self.releases;
        let Some(exchange) = self.exchanges.get_mut(&identifier) else { return Ok(Outcome::Unknown) };
        if exchange.qos != QoS::ExactlyOnce {
            return Err(Violation::AcknowledgementMisplaced(PacketType::PubRec));
        }
        // [MQTT-4.4.0-2]
        if reason.is_failure() {
            return Ok(self.finish(identifier, identifiers));
        }
        // [MQTT-4.3.3-4]
        if exchange.phase == Phase::Published {
            exchange.phase = Phase::Released(*releases);
            *releases += 1;
            self.resend_publishes.remove(&exchange.handle);
        }
        Ok(Outcome::Release)
    }

    /// # Errors
    /// If there was no PUBREC before.
    pub(crate) fn pubcomp(
        &mut self,
        identifier: PacketIdentifier,
        identifiers: &mut Identifiers,
    ) -> Result<Outcome, Violation> {
        match self.exchanges.get(&identifier).map(|exchange| exchange.phase) {
            None => Ok(Outcome::Unknown),
            Some(Phase::Released(_)) => Ok(self.finish(identifier, identifiers)),
            Some(Phase::Published | Phase::Abandoned) => {
                Err(Violation::AcknowledgementMisplaced(PacketType::PubComp))
            }
        }
    }

    /// The message will never be sent again, but its identifier stays in use until the Session ends.
    pub(crate) fn abandon(&mut self, identifier: PacketIdentifier) -> Option<&Exchange> {
        let exchange = self.exchanges.get_mut(&identifier)?;
        exchange.phase = Phase::Abandoned;
        if std::mem::take(&mut exchange.counted) {
            self.quota += 1;
        }
        Some(exchange)
    }

    pub(crate) fn get(&self, identifier: PacketIdentifier) -> Option<&Exchange> {
        self.exchanges.get(&identifier)
    }

    /// Whether an exchange carries this publication.
    pub(crate) fn has(&self, handle: Handle) -> bool {
        self.exchanges.values().any(|exchange| exchange.handle == handle)
    }

    /// How many exchanges are not over.
    pub(crate) fn len(&self) -> usize {
        self.exchanges.len()
    }

    /// The Session is over: gives the exchanges in the order in which they were first sent.
    pub(crate) fn drain(&mut self, identifiers: &mut Identifiers) -> Vec<Exchange> {
        self.resend_releases.clear();
        self.resend_publishes.clear();
        let mut drained: Vec<Exchange> = Vec::with_capacity(self.exchanges.len());
        for (identifier, exchange) in std::mem::take(&mut self.exchanges) {
            identifiers.release(identifier);
            drained.push(exchange);
        }
        drained.sort_by_key(|exchange| exchange.handle);
        drained
    }

    fn take_quota(&mut self, identifier: PacketIdentifier) {
        debug_assert!(self.quota > 0, "a PUBLISH beyond the send quota");
        self.quota -= 1;
        if let Some(exchange) = self.exchanges.get_mut(&identifier) {
            exchange.counted = true;
        }
    }

    fn finish(&mut self, identifier: PacketIdentifier, identifiers: &mut Identifiers) -> Outcome {
        let Some(exchange) = self.exchanges.remove(&identifier) else { return Outcome::Unknown };
        self.resend_publishes.remove(&exchange.handle);
        if let Phase::Released(order) = exchange.phase {
            self.resend_releases.remove(&order);
        }
        // §4.9 lets the quota grow with every PUBCOMP. The one for a PUBREL that was sent again took nothing from
        // this connection's quota; giving for it would let more than Receive Maximum be in flight.
        if exchange.counted {
            self.quota += 1;
        }
        identifiers.release(identifier);
        Outcome::Done(exchange)
    }
}
