//! Deliveries with a guarantee from end to end: what was promised, how far it has come, when to try again, when to give up.
//!
//! MQTT's own acknowledgements end at the Server. A delivery is done when the receiving application's client says so;
//! until then it is published again as a new message, a few times, and expires in the end. The wire form is in
//! [`envelope`](crate::envelope).

use std::collections::BTreeMap;
use std::time::Duration;

use mqttspec_codec::QoS;

use crate::command::{Handle, Publication};
use crate::envelope::Envelope;

/// How far a delivery has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeliveryState {
    /// To be published, or on its way to the Server.
    Pending,
    /// The Server has it.
    Sent,
    /// The receiver has it.
    Acknowledged,
    /// Every retry was used up, or the message can never be sent.
    Failed,
    /// The time to live has run out.
    Expired,
}

impl DeliveryState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Sent, Self::Acknowledged, Self::Failed, Self::Expired];
}

/// A delivery that is not over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxEntry {
    /// The Deliver command.
    pub handle: Handle,
    /// Names the delivery on the wire.
    pub id: String,
    /// The message.
    pub publication: Publication,
    /// Its QoS.
    pub qos: QoS,
    /// How far it has come.
    pub state: DeliveryState,
    /// When the application gave it.
    pub created_at: Duration,
    /// When its state last changed.
    pub updated_at: Duration,
    /// How often it was published again.
    pub retries: u32,
    /// Of Topic Name and payload.
    pub checksum: String,
    /// The publication that is under way.
    pub(crate) attempt: Option<Handle>,
    /// When to publish it again, if no acknowledgement comes.
    pub(crate) retry_at: Option<Duration>,
}

impl OutboxEntry {
    pub(crate) fn envelope(&self) -> Envelope {
        Envelope { id: self.id.clone(), checksum: self.checksum.clone() }
    }
}

/// Deliveries in one state.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StateStatistics {
    /// How many there are, or were.
    pub count: u64,
    /// How often they were published again, on average; 0 if there are none.
    pub mean_retries: f64,
}

/// What became of the deliveries since the client was made or restored.
#[derive(Clone, Debug, PartialEq)]
pub struct DeliveryStatistics {
    /// By state.
    pub by_state: BTreeMap<DeliveryState, StateStatistics>,
    /// Acknowledged among those that are over; `None` while none is.
    pub success_rate: Option<f64>,
    /// How many are not over.
    pub pending: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    deliveries: BTreeMap<Handle, OutboxEntry>,
    by_attempt: BTreeMap<Handle, Handle>,
    /// Count and retries of what is over.
    over: BTreeMap<DeliveryState, (u64, u64)>,
    next_sweep: Option<Duration>,
}

impl Outbox {
    pub(crate) fn insert(&mut self, delivery: OutboxEntry, now: Duration, sweep: Duration) {
        if let Some(attempt) = delivery.attempt {
            self.by_attempt.insert(attempt, delivery.handle);
        }
        self.deliveries.insert(delivery.handle, delivery);
        self.next_sweep.get_or_insert(now + sweep);
    }

    /// Deliveries that should be published as soon as that is possible.
    pub(crate) fn to_publish(&self) -> Vec<Handle> {
        let waits = |delivery: &OutboxEntry| {
            delivery.state == DeliveryState::Pending
                && delivery.attempt.is_none()
                && delivery.retry_at.is_none()
        };
        self.deliveries.values().filter(|delivery| waits(delivery)).map(|delivery| delivery.handle).collect()
    }

    pub(crate) fn get(&self, handle: Handle) -> Option<&OutboxEntry> {
        self.deliveries.get(&handle)
    }

    /// A publication of the delivery begins.
    pub(crate) fn attempt(&mut self, handle: Handle, attempt: Handle) {
        if let Some(delivery) = self.deliveries.get_mut(&handle) {
            delivery.attempt = Some(attempt);
            self.by_attempt.insert(attempt, handle);
        }
    }

    /// Whether a publication belongs to a delivery, also to one that is over.
    pub(crate) fn is_attempt(&self, attempt: Handle) -> bool {
        self.by_attempt.contains_key(&attempt)
    }

    /// The publication is over: the Server has the message, or not. Gives the delivery, if it is not over too.
    pub(crate) fn attempt_over(
        &mut self,
        attempt: Handle,
        sent: bool,
        now: Duration,
        retry: Duration,
    ) -> Option<Handle> {
        let handle = self.by_attempt.remove(&attempt)?;
        let delivery = self.deliveries.get_mut(&handle)?;
        delivery.attempt = None;
        delivery.state = if sent { DeliveryState::Sent } else { DeliveryState::Pending };
        delivery.updated_at = now;
        delivery.retry_at = Some(now + retry);
        Some(handle)
    }

    /// Deliveries with the publication that is under way.
    pub(crate) fn attempts(&self) -> Vec<(Handle, Handle)> {
        self.deliveries.values().filter_map(|entry| Some((entry.handle, entry.attempt?))).collect()
    }

    /// The publication will never be made.
    pub(crate) fn forget_attempt(&mut self, attempt: Handle) {
        self.by_attempt.remove(&attempt);
    }

    /// The publication that was under way is not any more, and nobody knows how it ended.
    pub(crate) fn attempt_lost(&mut self, handle: Handle) {
        if let Some(entry) = self.deliveries.get_mut(&handle)
            && let Some(attempt) = entry.attempt.take()
        {
            self.by_attempt.remove(&attempt);
        }
    }

    /// The receiver has it.
    pub(crate) fn acknowledged(&mut self, id: &str) -> Option<OutboxEntry> {
        let handle = self.deliveries.values().find(|delivery| delivery.id == id)?.handle;
        self.over(handle, DeliveryState::Acknowledged)
    }

    /// The delivery is over.
    pub(crate) fn over(&mut self, handle: Handle, state: DeliveryState) -> Option<OutboxEntry> {
        let delivery = self.deliveries.remove(&handle)?;
        let (count, retries) = self.over.entry(state).or_default();
        *count += 1;
        *retries += u64::from(delivery.retries);
        if self.deliveries.is_empty() {
            self.next_sweep = None;
        }
        Some(delivery)
    }

    /// A delivery whose acknowledgement is overdue.
    pub(crate) fn next_overdue(&self, now: Duration) -> Option<Handle> {
        let overdue = |delivery: &&OutboxEntry| delivery.retry_at.is_some_and(|at| at <= now);
        self.deliveries.values().find(overdue).map(|delivery| delivery.handle)
    }

    /// Counts a retry of an overdue delivery. `false` if it had as many as it may have.
    pub(crate) fn retry(&mut self, handle: Handle, retries_max: u32, now: Duration) -> bool {
        let Some(delivery) = self.deliveries.get_mut(&handle) else { return false };
        if delivery.retries >= retries_max {
            return false;
        }
        delivery.retries += 1;
        delivery.retry_at = None;
        delivery.state = DeliveryState::Pending;
        delivery.updated_at = now;
        true
    }

    /// Deliveries whose time to live has run out, if a sweep is due.
    pub(crate) fn sweep(&mut self, now: Duration, sweep: Duration, time_to_live: Duration) -> Vec<Handle> {
        if self.next_sweep.is_none_or(|at| at > now) {
            return Vec::new();
        }
        self.next_sweep = (!self.deliveries.is_empty()).then_some(now + sweep);
        let expired = |delivery: &&OutboxEntry| delivery.created_at + time_to_live <= now;
        self.deliveries.values().filter(expired).map(|delivery| delivery.handle).collect()
    }

    pub(crate) fn deadline(&self) -> Option<Duration> {
        let retries = self.deliveries.values().filter_map(|delivery| delivery.retry_at).min();
        [retries, self.next_sweep].into_iter().flatten().min()
    }

    pub(crate) fn deliveries(&self) -> impl Iterator<Item = &OutboxEntry> {
        self.deliveries.values()
    }

    pub(crate) fn statistics(&self) -> DeliveryStatistics {
        let mut totals = self.over.clone();
        for delivery in self.deliveries.values() {
            let (count, retries) = totals.entry(delivery.state).or_default();
            *count += 1;
            *retries += u64::from(delivery.retries);
        }
        let by_state = DeliveryState::ALL
            .into_iter()
            .map(|state| {
                let (count, retries) = totals.get(&state).copied().unwrap_or_default();
                let mean_retries = if count == 0 { 0.0 } else { retries as f64 / count as f64 };
                (state, StateStatistics { count, mean_retries })
            })
            .collect();
        let over: u64 = self.over.values().map(|(count, _)| count).sum();
        let acknowledged = self.over.get(&DeliveryState::Acknowledged).map_or(0, |(count, _)| *count);
        DeliveryStatistics {
            by_state,
            success_rate: (over > 0).then(|| acknowledged as f64 / over as f64),
            pending: self.deliveries.len(),
        }
    }
}
