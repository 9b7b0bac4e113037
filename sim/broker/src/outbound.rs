//! The messages for one Client: which ones wait, which are in flight, and in which order
//! (§4.3, §4.4, §4.6, §4.9).
//!
//! This is bookkeeping only; `publish/outbound.rs` acts on it. The send quota is computed, not
//! stored: it is the limit minus the number of exchanges in flight, so it cannot leak.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use mqttspec_codec::PacketIdentifier;

use crate::memory::{COPY_BYTES, Charge, Memory};
use crate::message::Delivery;
use crate::packet_identifiers::PacketIdentifiers;

/// The position of a delivery in the order of its Session: increasing, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Order(pub(crate) u64);

#[derive(Debug)]
pub(crate) struct Outbound {
    /// QoS 1 and 2 messages that have not been sent.
    waiting: VecDeque<(Order, Delivery)>,
    /// QoS 0 messages kept for a Client that is not connected. They need no quota, so they have a
    /// queue of their own.
    pub(crate) waiting_qos_0: VecDeque<Delivery>,
    /// No message in `waiting` expires before this.
    first_expiry: Option<Duration>,
    /// The size of both queues, in bytes.
    waiting_bytes: u64,
    /// The size of the messages in flight, in bytes.
    in_flight_bytes: u64,
    /// The copies of both, without the messages.
    charge: Charge,
    in_flight: BTreeMap<Order, InFlight>,
    by_identifier: BTreeMap<PacketIdentifier, Order>,
    /// Sent on an earlier Network Connection and not yet again on this one.
    to_resend: VecDeque<Order>,
    identifiers: PacketIdentifiers,
    next_order: u64,
}

/// A QoS 1 or 2 exchange that has started.
#[derive(Debug)]
pub(crate) struct InFlight {
    pub(crate) identifier: PacketIdentifier,
    pub(crate) stage: Stage,
}

#[derive(Debug)]
pub(crate) enum Stage {
    /// PUBLISH was sent; PUBACK or PUBREC is expected.
    Publish(Delivery),
    /// PUBREC was received and PUBREL sent; PUBCOMP is expected. The Client owns the message.
    PubRel,
}

/// The earlier of an instant and the expiry of the message.
fn earlier(first: Option<Duration>, delivery: &Delivery) -> Option<Duration> {
    match delivery.message.expiry {
        None => first,
        Some(expiry) => Some(first.map_or(expiry.at(), |first| first.min(expiry.at()))),
    }
}

/// What a copy takes of the memory of the broker, besides its message, in bytes.
fn cost_of(delivery: &Delivery) -> u64 {
    COPY_BYTES + delivery.identifier_bytes()
}

impl Stage {
    fn cost(&self) -> u64 {
        match self {
            Self::Publish(delivery) => cost_of(delivery),
            Self::PubRel => COPY_BYTES,
        }
    }
}

impl Outbound {
    pub(crate) fn new(memory: &Memory) -> Self {
        Self {
            waiting: VecDeque::new(),
            waiting_qos_0: VecDeque::new(),
            first_expiry: None,
            waiting_bytes: 0,
            in_flight_bytes: 0,
            charge: memory.charge(0),
            in_flight: BTreeMap::new(),
            by_identifier: BTreeMap::new(),
            to_resend: VecDeque::new(),
            identifiers: PacketIdentifiers::default(),
            next_order: 0,
        }
    }

    pub(crate) fn next_order(&mut self) -> Order {
        self.next_order += 1;
        Order(self.next_order)
    }

    /// Appends a QoS 1 or 2 message to the queue.
    pub(crate) fn wait(&mut self, delivery: Delivery) -> Order {
        let order = self.next_order();
        self.push_waiting(order, delivery);
        order
    }

    fn push_waiting(&mut self, order: Order, delivery: Delivery) {
        self.waiting_bytes += delivery.weight();
        self.charge.add(cost_of(&delivery));
        self.first_expiry = earlier(self.first_expiry, &delivery);
        self.waiting.push_back((order, delivery));
    }

    pub(crate) fn wait_qos_0(&mut self, delivery: Delivery) {
        self.waiting_bytes += delivery.weight();
        self.charge.add(cost_of(&delivery));
        self.waiting_qos_0.push_back(delivery);
    }

    pub(crate) fn next_waiting(&self) -> Option<&Delivery> {
        self.waiting.front().map(|(_, delivery)| delivery)
    }

    pub(crate) fn last_waiting(&self) -> Option<&Delivery> {
        self.waiting.back().map(|(_, delivery)| delivery)
    }

    pub(crate) fn take_waiting(&mut self) -> Option<(Order, Delivery)> {
        let (order, delivery) = self.waiting.pop_front()?;
        self.waiting_bytes -= delivery.weight();
        self.charge.sub(cost_of(&delivery));
        Some((order, delivery))
    }

    pub(crate) fn has_waiting_qos_0(&self) -> bool {
        !self.waiting_qos_0.is_empty()
    }

    pub(crate) fn take_waiting_qos_0(&mut self) -> Option<Delivery> {
        let delivery = self.waiting_qos_0.pop_front()?;
        self.waiting_bytes -= delivery.weight();
        self.charge.sub(cost_of(&delivery));
        Some(delivery)
    }

    /// Removes the deliveries that `which` selects from the queue.
    pub(crate) fn take_waiting_if(&mut self, which: impl Fn(&Delivery) -> bool) -> Vec<(Order, Delivery)> {
        let waiting = std::mem::take(&mut self.waiting);
        let (taken, kept): (Vec<_>, _) = waiting.into_iter().partition(|(_, delivery)| which(delivery));
        self.waiting = kept.into();
        self.charge.sub(taken.iter().map(|(_, delivery)| cost_of(delivery)).sum());
        self.waiting_bytes -= taken.iter().map(|(_, delivery)| delivery.weight()).sum::<u64>();
        taken
    }

    /// Removes the QoS 1 and 2 messages that have expired while they waited.
    pub(crate) fn take_expired(&mut self, now: Duration) -> Vec<(Order, Delivery)> {
        // Without this, each message to a full queue would search through the queue.
        if self.first_expiry.is_none_or(|at| now < at) {
            return Vec::new();
        }
        let expired = self.take_waiting_if(|waiting| waiting.message.has_expired(now));
        self.first_expiry = self.waiting.iter().fold(None, |first, (_, delivery)| earlier(first, delivery));
        expired
    }

    pub(crate) fn waiting_count(&self) -> usize {
        self.waiting.len() + self.waiting_qos_0.len()
    }

    pub(crate) fn waiting_bytes(&self) -> u64 {
        self.waiting_bytes
    }

    /// The size of the messages that wait or are in flight, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.waiting_bytes + self.in_flight_bytes
    }

    /// The number of messages that wait or are in flight.
    pub(crate) fn load(&self) -> usize {
        self.waiting_count() + self.in_flight.len()
    }

    /// Exchanges that count against the Client's Receive Maximum on this Network Connection
    /// [MQTT-3.3.4-9]: those that started on it, and those after PUBREC whose PUBCOMP has not been
    /// received.
    pub(crate) fn unacknowledged(&self) -> usize {
        self.in_flight.len() - self.to_resend.len()
    }

    /// An unused Packet Identifier, if there is one.
    pub(crate) fn allocate(&mut self) -> Option<PacketIdentifier> {
        let in_use = &self.by_identifier;
        self.identifiers.allocate(|identifier| in_use.contains_key(&identifier))
    }

    pub(crate) fn begin(&mut self, order: Order, identifier: PacketIdentifier, stage: Stage) {
        if let Stage::Publish(delivery) = &stage {
            self.in_flight_bytes += delivery.weight();
        }
        self.charge.add(stage.cost());
        self.by_identifier.insert(identifier, order);
        self.in_flight.insert(order, InFlight { identifier, stage });
    }

    /// [`begin`](Self::begin) with the message that has waited longest. The memory that it takes
    /// does not change.
    pub(crate) fn begin_waiting(&mut self, identifier: PacketIdentifier) -> Option<(Order, &Delivery)> {
        let (order, delivery) = self.waiting.pop_front()?;
        let weight = delivery.weight();
        self.waiting_bytes -= weight;
        self.in_flight_bytes += weight;
        self.by_identifier.insert(identifier, order);
        let in_flight = InFlight { identifier, stage: Stage::Publish(delivery) };
        match &self.in_flight.entry(order).or_insert(in_flight).stage {
            Stage::Publish(delivery) => Some((order, delivery)),
            Stage::PubRel => None,
        }
    }

    pub(crate) fn find(&self, identifier: PacketIdentifier) -> Option<(Order, &InFlight)> {
        let order = *self.by_identifier.get(&identifier)?;
        self.in_flight.get(&order).map(|in_flight| (order, in_flight))
    }

    /// An exchange for which neither PUBACK nor PUBREC was received.
    pub(crate) fn publish_in_flight(&self, order: Order) -> Option<(PacketIdentifier, Delivery)> {
        let in_flight = self.in_flight.get(&order)?;
        match &in_flight.stage {
            Stage::Publish(delivery) => Some((in_flight.identifier, delivery.clone())),
            Stage::PubRel => None,
        }
    }

    /// Ends the exchange and frees its Packet Identifier (§2.2.1).
    pub(crate) fn end(&mut self, order: Order) -> Option<InFlight> {
        let in_flight = self.in_flight.remove(&order)?;
        if let Stage::Publish(delivery) = &in_flight.stage {
            self.in_flight_bytes -= delivery.weight();
        }
        self.charge.sub(in_flight.stage.cost());
        self.by_identifier.remove(&in_flight.identifier);
        self.forget_resend(order);
        Some(in_flight)
    }

    /// Moves the exchange from PUBLISH to PUBREL and to the end of the order, so that PUBRELs are
    /// re-sent in the order of the PUBRECs (3.1.1/[MQTT-4.6.0-4] and 3.1.1/[MQTT-4.6.0-6]).
    pub(crate) fn release(&mut self, order: Order) -> Option<(Order, Delivery)> {
        let in_flight = self.end(order)?;
        let Stage::Publish(delivery) = in_flight.stage else { return None };
        let order = self.next_order();
        self.begin(order, in_flight.identifier, Stage::PubRel);
        Some((order, delivery))
    }

    /// The Client has a new Network Connection: every PUBLISH in flight must be sent again, in its
    /// order. Returns the PUBRELs to send again.
    pub(crate) fn reconnect(&mut self) -> Vec<PacketIdentifier> {
        self.to_resend.clear();
        let mut released = Vec::new();
        for (order, in_flight) in &self.in_flight {
            match in_flight.stage {
                Stage::Publish(_) => self.to_resend.push_back(*order),
                Stage::PubRel => released.push(in_flight.identifier),
            }
        }
        released
    }

    pub(crate) fn take_resend(&mut self) -> Option<Order> {
        self.to_resend.pop_front()
    }

    pub(crate) fn in_flight(&self) -> impl Iterator<Item = (Order, &InFlight)> {
        self.in_flight.iter().map(|(order, in_flight)| (*order, in_flight))
    }

    pub(crate) fn take_all_in_flight(&mut self) -> impl Iterator<Item = (Order, InFlight)> + use<> {
        self.by_identifier.clear();
        self.to_resend.clear();
        self.in_flight_bytes = 0;
        self.charge.sub(self.in_flight.values().map(|in_flight| in_flight.stage.cost()).sum());
        std::mem::take(&mut self.in_flight).into_iter()
    }

    pub(crate) fn waiting(&self) -> impl Iterator<Item = (Order, &Delivery)> {
        self.waiting.iter().map(|(order, delivery)| (*order, delivery))
    }

    /// Restores a waiting message from the store. Calls must be in the order of the messages.
    pub(crate) fn restore_waiting(&mut self, order: Order, delivery: Delivery) {
        self.push_waiting(order, delivery);
        self.next_order = self.next_order.max(order.0);
    }

    /// Restores an exchange that had started.
    pub(crate) fn restore_in_flight(&mut self, order: Order, identifier: PacketIdentifier, stage: Stage) {
        self.begin(order, identifier, stage);
        self.identifiers.continue_after(identifier);
        self.next_order = self.next_order.max(order.0);
    }

    fn forget_resend(&mut self, order: Order) {
        if let Ok(at) = self.to_resend.binary_search(&order) {
            self.to_resend.remove(at);
        }
    }
}
