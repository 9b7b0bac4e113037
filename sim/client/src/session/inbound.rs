//! QoS 1 and QoS 2 messages from the Server: the receiver's part of §4.3.2 and §4.3.3.
//!
//! The Packet Identifiers here are the Server's. They are independent of those that the client
//! assigns: the same number may be in use in both directions (§2.2.1).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use mqttspec_codec::{PacketIdentifier, PubAckReason, QoS};

use crate::command::Delivered;
use crate::error::Violation;

/// What to do with a PUBLISH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// Pass the message to the application. It is acknowledged when the application or the client
    /// decides.
    New(Delivered),
    /// The application has it already; send the answer again.
    Duplicate,
    /// The application has it already, and has not acknowledged it.
    Held,
}

/// An acknowledgement that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) identifier: PacketIdentifier,
    pub(crate) qos: QoS,
    pub(crate) reason: PubAckReason,
}

/// A message that the application has and that is not acknowledged.
#[derive(Debug)]
struct Held {
    delivered: Delivered,
    identifier: PacketIdentifier,
    verdict: Option<PubAckReason>,
}

#[derive(Debug)]
pub(crate) struct Inbound {
    /// QoS 2: PUBREC was sent or is due, and PUBREL not received. This is Session State.
    incomplete: BTreeSet<PacketIdentifier>,
    /// QoS 2: passed to the application on this or an earlier connection, and not acknowledged by
    /// it.
    undecided: BTreeMap<PacketIdentifier, Delivered>,
    /// QoS 1 and QoS 2 messages of this connection that wait for the application, in the order of
    /// arrival.
    held_once: VecDeque<Held>,
    held_exactly: VecDeque<Held>,
    /// QoS 2 messages of this connection without PUBCOMP.
    open: BTreeSet<PacketIdentifier>,
    receive_maximum: usize,
    deliveries: u64,
}

impl Inbound {
    pub(crate) fn new() -> Self {
        Self {
            incomplete: BTreeSet::new(),
            undecided: BTreeMap::new(),
            held_once: VecDeque::new(),
            held_exactly: VecDeque::new(),
            open: BTreeSet::new(),
            receive_maximum: usize::from(u16::MAX),
            deliveries: 0,
        }
    }

    /// There is a new Network Connection: only its own messages count against its Receive Maximum
    /// (§4.9).
    pub(crate) fn connected(&mut self, receive_maximum: u16) {
        self.receive_maximum = usize::from(receive_maximum);
        self.held_once.clear();
        self.held_exactly.clear();
        self.open.clear();
    }

    /// The Session has ended.
    pub(crate) fn clear(&mut self) -> BTreeSet<PacketIdentifier> {
        self.undecided.clear();
        self.held_once.clear();
        self.held_exactly.clear();
        self.open.clear();
        std::mem::take(&mut self.incomplete)
    }

    /// A QoS 2 message whose PUBREC was promised before a restart.
    pub(crate) fn restore(&mut self, identifier: PacketIdentifier) {
        self.incomplete.insert(identifier);
    }

    /// A PUBLISH at QoS 1.
    ///
    /// # Errors
    /// If the Server sent more than Receive Maximum.
    pub(crate) fn at_least_once(&mut self, identifier: PacketIdentifier) -> Result<Arrival, Violation> {
        // [MQTT-4.3.2-5] every one is a new message, whatever its DUP
        let delivered = self.next_delivery();
        self.held_once.push_back(Held { delivered, identifier, verdict: None });
        self.check_receive_maximum()?;
        Ok(Arrival::New(delivered))
    }

    /// A PUBLISH at QoS 2.
    ///
    /// # Errors
    /// If the Server sent more than Receive Maximum.
    pub(crate) fn exactly_once(&mut self, identifier: PacketIdentifier) -> Result<Arrival, Violation> {
        let first_of_connection = self.open.insert(identifier);
        self.check_receive_maximum()?;
        // [MQTT-4.3.3-10] the identifier decides, not DUP; also on another connection
        if self.incomplete.contains(&identifier) {
            return Ok(Arrival::Duplicate);
        }
        if let Some(&delivered) = self.undecided.get(&identifier) {
            if first_of_connection {
                self.held_exactly.push_back(Held { delivered, identifier, verdict: None });
            }
            return Ok(Arrival::Held);
        }
        let delivered = self.next_delivery();
        self.undecided.insert(identifier, delivered);
        self.held_exactly.push_back(Held { delivered, identifier, verdict: None });
        Ok(Arrival::New(delivered))
    }

    /// Records that a message is accepted or refused. `None` if it does not wait for an
    /// acknowledgement.
    ///
    /// Returns the identifier of a QoS 2 message that must be remembered from now on.
    pub(crate) fn decide(
        &mut self,
        delivered: Delivered,
        reason: PubAckReason,
    ) -> Option<Option<PacketIdentifier>> {
        let undecided =
            self.undecided.iter().find(|&(_, &other)| other == delivered).map(|(&identifier, _)| identifier);
        let queue = if undecided.is_some() { &mut self.held_exactly } else { &mut self.held_once };
        let held = queue.iter_mut().find(|held| held.delivered == delivered && held.verdict.is_none());
        match (undecided, held) {
            (None, None) => None,
            (None, Some(held)) => {
                held.verdict = Some(reason);
                Some(None)
            }
            (Some(identifier), held) => {
                if let Some(held) = held {
                    held.verdict = Some(reason);
                }
                self.undecided.remove(&identifier);
                // [MQTT-4.3.3-9] a refused identifier means a new message when it is used again
                if reason.is_failure() {
                    return Some(None);
                }
                self.incomplete.insert(identifier);
                Some(Some(identifier))
            }
        }
    }

    /// The next acknowledgement that can be sent without overtaking one of its kind.
    pub(crate) fn next_due(&mut self) -> Option<Due> {
        // [MQTT-4.6.0-2] [MQTT-4.6.0-3]
        for (queue, qos) in
            [(&mut self.held_once, QoS::AtLeastOnce), (&mut self.held_exactly, QoS::ExactlyOnce)]
        {
            let Some(reason) = queue.front().and_then(|held| held.verdict) else { continue };
            let Some(Held { identifier, .. }) = queue.pop_front() else { continue };
            if reason.is_failure() {
                self.open.remove(&identifier);
            }
            return Some(Due { identifier, qos, reason });
        }
        None
    }

    /// Processes PUBREL. Returns false if no message has this identifier.
    pub(crate) fn pubrel(&mut self, identifier: PacketIdentifier) -> bool {
        self.open.remove(&identifier);
        // [MQTT-4.3.3-12] from here on the identifier means a new message
        self.incomplete.remove(&identifier)
    }

    fn next_delivery(&mut self) -> Delivered {
        self.deliveries += 1;
        Delivered(self.deliveries)
    }

    fn check_receive_maximum(&self) -> Result<(), Violation> {
        // [MQTT-3.3.4-9] seen from the receiver: a message counts until its acknowledgement
        // was sent
        if self.held_once.len() + self.open.len() > self.receive_maximum {
            return Err(Violation::ReceiveMaximumExceeded);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(value: u16) -> PacketIdentifier {
        PacketIdentifier::new(value).unwrap()
    }

    fn new_delivery(arrival: Arrival) -> Delivered {
        match arrival {
            Arrival::New(delivered) => delivered,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_qos_2_identifier_is_remembered_over_a_reconnect_until_pubrel() {
        let mut inbound = Inbound::new();
        inbound.connected(10);
        let delivered = new_delivery(inbound.exactly_once(id(7)).unwrap());
        assert_eq!(inbound.decide(delivered, PubAckReason::Success), Some(Some(id(7))));
        inbound.connected(10);
        assert_eq!(inbound.exactly_once(id(7)), Ok(Arrival::Duplicate));
        assert!(inbound.pubrel(id(7)));
        assert!(!inbound.pubrel(id(7)));
        assert!(matches!(inbound.exactly_once(id(7)), Ok(Arrival::New(_))));
    }

    #[test]
    fn acknowledgements_wait_for_older_ones_of_their_kind() {
        let mut inbound = Inbound::new();
        inbound.connected(10);
        let first = new_delivery(inbound.at_least_once(id(1)).unwrap());
        let second = new_delivery(inbound.at_least_once(id(2)).unwrap());
        let other = new_delivery(inbound.exactly_once(id(3)).unwrap());
        inbound.decide(second, PubAckReason::Success);
        assert_eq!(inbound.next_due(), None);
        inbound.decide(other, PubAckReason::Success);
        assert_eq!(inbound.next_due().map(|due| due.identifier), Some(id(3)));
        inbound.decide(first, PubAckReason::Success);
        assert_eq!(inbound.next_due().map(|due| due.identifier), Some(id(1)));
        assert_eq!(inbound.next_due().map(|due| due.identifier), Some(id(2)));
    }

    #[test]
    fn receive_maximum_counts_this_connection_only() {
        let mut inbound = Inbound::new();
        for _ in 0..3 {
            inbound.connected(2);
            for value in 1..=2 {
                if let Arrival::New(delivered) = inbound.exactly_once(id(value)).unwrap() {
                    inbound.decide(delivered, PubAckReason::Success);
                }
            }
            assert_eq!(inbound.exactly_once(id(3)), Err(Violation::ReceiveMaximumExceeded));
        }
    }

    #[test]
    fn a_message_acknowledged_while_offline_is_not_delivered_again() {
        let mut inbound = Inbound::new();
        inbound.connected(10);
        let delivered = new_delivery(inbound.exactly_once(id(7)).unwrap());
        inbound.connected(10);
        assert_eq!(inbound.decide(delivered, PubAckReason::Success), Some(Some(id(7))));
        assert_eq!(inbound.next_due(), None, "the new connection has not seen the PUBLISH");
        assert_eq!(inbound.exactly_once(id(7)), Ok(Arrival::Duplicate));
    }

    #[test]
    fn a_message_that_waits_for_the_application_is_not_delivered_again() {
        let mut inbound = Inbound::new();
        inbound.connected(10);
        let delivered = new_delivery(inbound.exactly_once(id(7)).unwrap());
        inbound.connected(10);
        assert_eq!(inbound.exactly_once(id(7)), Ok(Arrival::Held));
        inbound.decide(delivered, PubAckReason::Success);
        assert_eq!(inbound.next_due().map(|due| due.identifier), Some(id(7)));
    }

    #[test]
    fn a_refused_qos_2_identifier_stands_for_a_new_message() {
        let mut inbound = Inbound::new();
        inbound.connected(1);
        let delivered = new_delivery(inbound.exactly_once(id(7)).unwrap());
        assert_eq!(inbound.decide(delivered, PubAckReason::QuotaExceeded), Some(None));
        assert!(inbound.next_due().is_some());
        assert!(matches!(inbound.exactly_once(id(7)), Ok(Arrival::New(_))));
    }
}
