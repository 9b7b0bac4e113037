//! Deliveries with an end-to-end guarantee: their states, retries and expiry.
//!
//! The acknowledgements of MQTT are those of the Server. A delivery is complete when the receiving
//! client acknowledges it. Until then it is published again as a new message, up to a limit, until
//! it expires. The format is in [`envelope`](crate::envelope). Of the deliveries that have ended, the
//! counts and a history are kept.

use std::collections::BTreeMap;
use std::time::Duration;

use mqttspec_codec::{QoS, TopicName};

use crate::command::{Handle, Publication};
use crate::envelope::{Details, Envelope};

/// The state of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeliveryState {
    /// To be published, or being published.
    Pending,
    /// The Server has received it.
    Sent,
    /// The receiver has acknowledged it.
    Acknowledged,
    /// All retries have failed, or the message cannot be sent.
    Failed,
    /// The time to live has passed.
    Expired,
}

impl DeliveryState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Sent, Self::Acknowledged, Self::Failed, Self::Expired];
}

/// A delivery that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxEntry {
    /// The Deliver command.
    pub handle: Handle,
    /// Identifies the delivery in the message.
    pub id: String,
    /// The message.
    pub publication: Publication,
    /// The QoS.
    pub qos: QoS,
    /// The state.
    pub state: DeliveryState,
    /// When the command was received.
    pub created_at: Duration,
    /// When its state last changed.
    pub updated_at: Duration,
    /// When it expires.
    pub expires_at: Duration,
    /// The number of times that it was published again.
    pub retries: u32,
    /// How many times it may be published again.
    pub retries_max: u32,
    /// The checksum of Topic Name and payload.
    pub checksum: String,
    /// The publication in progress.
    pub(crate) attempt: Option<Handle>,
    /// When to publish it again, if no acknowledgement comes.
    pub(crate) retry_at: Option<Duration>,
}

impl OutboxEntry {
    /// The envelope of the next publication, with the topic of its acknowledgement.
    pub(crate) fn envelope(&self, acknowledgements: &str) -> Envelope {
        Envelope {
            id: self.id.clone(),
            checksum: self.checksum.clone(),
            details: Some(Details {
                created_at: self.created_at,
                retries: self.retries,
                acknowledgement: format!("{acknowledgements}{}", self.id),
            }),
        }
    }
}

/// A delivery that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedDelivery {
    /// The Deliver command.
    pub handle: Handle,
    /// The id in the message.
    pub id: String,
    /// The topic of the message.
    pub topic: TopicName,
    /// How it ended: acknowledged, failed or expired.
    pub state: DeliveryState,
    /// When the command was received.
    pub created_at: Duration,
    /// When it ended.
    pub ended_at: Duration,
    /// The number of times that it was published again.
    pub retries: u32,
    /// The Client Identifier of the receiver that acknowledged or refused it, if it said so.
    pub by: Option<String>,
}

/// Deliveries in one state.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StateStatistics {
    /// The number of deliveries.
    pub count: u64,
    /// The average number of retries; 0 if there are no deliveries.
    pub mean_retries: f64,
}

/// Statistics of all deliveries of this client, including those before a restart with the same
/// store.
#[derive(Clone, Debug, PartialEq)]
pub struct DeliveryStatistics {
    /// The number of deliveries.
    pub total: u64,
    /// By state.
    pub by_state: BTreeMap<DeliveryState, StateStatistics>,
    /// The share of acknowledged ones among those that have ended; `None` if none has.
    pub success_rate: Option<f64>,
    /// The number of deliveries that have not ended.
    pub pending: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    deliveries: BTreeMap<Handle, OutboxEntry>,
    by_attempt: BTreeMap<Handle, Handle>,
    /// Count and total retries of the deliveries that have ended.
    over: BTreeMap<DeliveryState, (u64, u64)>,
    /// The deliveries that ended last, by number.
    history: BTreeMap<u64, EndedDelivery>,
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

    /// Deliveries that can be published now.
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

    /// A publication of the delivery has started.
    pub(crate) fn attempt(&mut self, handle: Handle, attempt: Handle) {
        if let Some(delivery) = self.deliveries.get_mut(&handle) {
            delivery.attempt = Some(attempt);
            self.by_attempt.insert(attempt, handle);
        }
    }

    /// Whether a publication belongs to a delivery, including one that has ended.
    pub(crate) fn is_attempt(&self, attempt: Handle) -> bool {
        self.by_attempt.contains_key(&attempt)
    }

    /// The publication has ended; `sent` is whether the Server has received the message. Returns
    /// the delivery, if it has not ended.
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

    /// Deliveries and their publications in progress.
    pub(crate) fn attempts(&self) -> Vec<(Handle, Handle)> {
        self.deliveries.values().filter_map(|entry| Some((entry.handle, entry.attempt?))).collect()
    }

    /// The publication will not be sent.
    pub(crate) fn forget_attempt(&mut self, attempt: Handle) {
        self.by_attempt.remove(&attempt);
    }

    /// The publication in progress was lost, with unknown result.
    pub(crate) fn attempt_lost(&mut self, handle: Handle) {
        if let Some(entry) = self.deliveries.get_mut(&handle)
            && let Some(attempt) = entry.attempt.take()
        {
            self.by_attempt.remove(&attempt);
        }
    }

    /// The delivery with this id, if it has not ended.
    pub(crate) fn find(&self, id: &str) -> Option<Handle> {
        Some(self.deliveries.values().find(|delivery| delivery.id == id)?.handle)
    }

    /// Ends a delivery.
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

    /// Counts of the deliveries that have ended: for each state the number and all retries.
    pub(crate) fn totals(&self) -> &BTreeMap<DeliveryState, (u64, u64)> {
        &self.over
    }

    pub(crate) fn restore_totals(&mut self, totals: BTreeMap<DeliveryState, (u64, u64)>) {
        self.over = totals;
    }

    /// Adds a delivery to the history, which has at most `limit` entries. Returns its number and
    /// those that are forgotten.
    pub(crate) fn remember(&mut self, ended: EndedDelivery, limit: usize) -> (u64, Vec<u64>) {
        let number = self.history.last_key_value().map_or(0, |(last, _)| last + 1);
        self.history.insert(number, ended);
        let surplus = self.history.len().saturating_sub(limit);
        let forgotten: Vec<u64> = self.history.keys().take(surplus).copied().collect();
        for number in &forgotten {
            self.history.remove(number);
        }
        (number, forgotten)
    }

    pub(crate) fn restore_ended(&mut self, number: u64, ended: EndedDelivery) {
        self.history.insert(number, ended);
    }

    /// The deliveries that ended last, the oldest first.
    pub(crate) fn history(&self) -> impl Iterator<Item = &EndedDelivery> {
        self.history.values()
    }

    /// Counts a retry of an overdue delivery. Returns false if it has no retries left.
    pub(crate) fn retry(&mut self, handle: Handle, now: Duration) -> bool {
        let Some(delivery) = self.deliveries.get_mut(&handle) else { return false };
        if delivery.retries >= delivery.retries_max {
            return false;
        }
        delivery.retries += 1;
        delivery.retry_at = None;
        delivery.state = DeliveryState::Pending;
        delivery.updated_at = now;
        true
    }

    /// Deliveries whose time to live has passed, if a sweep is due.
    pub(crate) fn sweep(&mut self, now: Duration, sweep: Duration) -> Vec<Handle> {
        if self.next_sweep.is_none_or(|at| at > now) {
            return Vec::new();
        }
        self.next_sweep = (!self.deliveries.is_empty()).then_some(now + sweep);
        let expired = |delivery: &&OutboxEntry| delivery.expires_at <= now;
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
            total: totals.values().map(|(count, _)| count).sum(),
            by_state,
            success_rate: (over > 0).then(|| acknowledged as f64 / over as f64),
            pending: self.deliveries.len(),
        }
    }
}
