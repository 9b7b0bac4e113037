//! QoS 1 and QoS 2 messages to the Server: the sender's part of §4.3.2 and §4.3.3, re-sending when
//! a Session is resumed (§4.4), and the send quota (§4.9).
//!
//! The exchanges outlive the Network Connection. The quota and the lists of packets to re-send
//! belong to one connection.

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
    /// Whether its PUBLISH counts against the send quota of this Network Connection.
    counted: bool,
}

/// The state of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// PUBLISH was sent.
    Published,
    /// PUBREC was received; PUBREL was sent or is due. The number is the order of the PUBRECs.
    Released(u64),
    /// The message cannot be re-sent within the limits of the new connection. The identifier stays
    /// in use: the Server may still have it for a QoS 2 message, and would treat a new message as a
    /// duplicate.
    Abandoned,
}

/// The effect of an acknowledgement.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The exchange has ended, and the identifier is free.
    Done(Exchange),
    /// PUBREL must follow.
    Release,
    /// No exchange has this identifier.
    Unknown,
}

/// The next packet that a resumed Session re-sends.
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
    /// PUBREL packets to re-send on this connection, by the order of their PUBRECs.
    resend_releases: BTreeMap<u64, PacketIdentifier>,
    /// PUBLISH packets to re-send on this connection, by the order in which they were first sent.
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

    /// There is a new Network Connection. With `resume`, everything unacknowledged must be re-sent.
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
                // [MQTT-4.3.3-6] [MQTT-4.4.0-1] after PUBREC it is PUBREL that is re-sent
                Phase::Released(order) => {
                    self.resend_releases.insert(order, identifier);
                }
                // [MQTT-4.6.0-1] handles increase in the order in which messages are first sent
                Phase::Published => {
                    self.resend_publishes.insert(exchange.handle, identifier);
                }
                Phase::Abandoned => {}
            }
        }
    }

    /// The next packet to re-send; `None` if there is none or the quota is used up.
    ///
    /// PUBREL packets are first and need no quota.
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

    /// Whether a new QoS 1 or QoS 2 PUBLISH may be sent: there is quota, and nothing older must be
    /// re-sent.
    pub(crate) fn may_begin(&self) -> bool {
        // [MQTT-4.9.0-2] [MQTT-3.3.4-7]
        self.quota > 0 && self.resend_publishes.is_empty() && self.resend_releases.is_empty()
    }

    /// The first PUBLISH of a message is sent with this identifier.
    pub(crate) fn begin(&mut self, identifier: PacketIdentifier, handle: Handle, waited: Waiting) {
        self.restore(identifier, handle, waited, Phase::Published);
        self.take_quota(identifier);
    }

    /// Restores an exchange from the store.
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
    /// If the exchange is not of QoS 1.
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
            // [MQTT-4.3.2-3] [MQTT-4.4.0-2] it ends the exchange, whatever its Reason Code
            Some(_) => Ok(self.finish(identifier, identifiers)),
        }
    }

    /// # Errors
    /// If the exchange is not of QoS 2.
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

    /// The message will not be re-sent, but its identifier stays in use until the Session ends.
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

    /// Whether there is an exchange for this publication.
    pub(crate) fn has(&self, handle: Handle) -> bool {
        self.exchanges.values().any(|exchange| exchange.handle == handle)
    }

    /// The number of exchanges.
    pub(crate) fn len(&self) -> usize {
        self.exchanges.len()
    }

    /// The Session has ended: removes and returns the exchanges, in the order in which they were
    /// first sent.
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
        // §4.9 increases the quota with every PUBCOMP. An exchange whose PUBREL was re-sent has not
        // used quota of this connection; increasing it would allow more than Receive Maximum in
        // flight.
        if exchange.counted {
            self.quota += 1;
        }
        identifiers.release(identifier);
        Outcome::Done(exchange)
    }
}
