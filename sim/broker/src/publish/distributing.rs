//! Gives a message to the Shared Subscriptions that it matches, in parts (§4.8.2).
//!
//! One PUBLISH of a few bytes can match any number of Shared Subscriptions, and each gets its own
//! copy. If there are as many as one search finds, they are served in parts, in the order of their filters,
//! and other work is done between the parts. The Server owns the message from the start: what is
//! left to do is recorded, so it goes on after a restart.
//!
//! U5-110 The order of messages is promised for Non-shared Subscriptions only, so a later message
//! may overtake a message that is given in parts.

use std::sync::Arc;
use std::time::Duration;

use mqttspec_codec::{QoS, TopicFilter, Utf8String};

use crate::broker::Broker;
use crate::message::Message;
use crate::parts::Distribution;
use crate::timers::Timer;
use crate::topic::GroupKey;

/// The number of messages of which a part is done before other work is done.
const PARTS_IN_A_TURN: u32 = 4;
/// The number of messages of one Client that may be given in parts at a time.
pub(super) const MOST_OF_A_CLIENT: u32 = 16;

impl Broker {
    pub(super) fn begin_distribution(&mut self, now: Duration, message: &Arc<Message>) {
        let message = if message.qos == QoS::AtMostOnce {
            // It may outlive the packet's buffer.
            Arc::new(message.detached(&self.memory))
        } else {
            self.records.put_distribution(message);
            Arc::clone(message)
        };
        let until = self.subscriptions.next_group();
        self.add_distribution(now, Distribution { message, after: None, until });
    }

    /// Continues after a restart. Every Shared Subscription that there is may get the message.
    pub(crate) fn restore_distribution(
        &mut self,
        now: Duration,
        message: Arc<Message>,
        after: Option<TopicFilter>,
    ) {
        self.add_distribution(now, Distribution { message, after, until: GroupKey::MAX });
    }

    fn add_distribution(&mut self, now: Duration, distribution: Distribution) {
        *self.distributing.entry(distribution.message.publisher.clone()).or_default() += 1;
        if self.distributions.is_empty() {
            self.timers.set(Timer::Distributions, self.sizes.soon(now));
        }
        self.distributions.push_back(distribution);
    }

    /// Whether as many messages of the Client are being given in parts as a Client may have.
    pub(super) fn distributes_enough_of(&self, client_id: &Utf8String) -> bool {
        self.distributing.get(client_id).is_some_and(|count| *count >= MOST_OF_A_CLIENT)
    }

    /// The timer has fired.
    pub(crate) fn run_distributions(&mut self, now: Duration) {
        let (mut steps, mut bytes) =
            (PARTS_IN_A_TURN * self.sizes.distribution, self.sizes.distribution_bytes);
        while steps > 0
            && bytes > 0
            && let Some(mut distribution) = self.distributions.pop_front()
        {
            if self.distribute(now, &mut distribution, &mut steps, &mut bytes) {
                self.end_distribution(&distribution);
            } else {
                self.distributions.push_back(distribution);
            }
        }
        if !self.distributions.is_empty() {
            self.timers.set(Timer::Distributions, self.sizes.soon(now));
        }
    }

    /// Serves the next Shared Subscriptions. Returns whether all are served.
    fn distribute(
        &mut self,
        now: Duration,
        distribution: &mut Distribution,
        steps: &mut u32,
        bytes: &mut u64,
    ) -> bool {
        let mut part = self.sizes.distribution.min(*steps);
        while part > 0 && *bytes > 0 {
            part -= 1;
            *steps -= 1;
            self.effort += 1;
            let Distribution { message, after, until } = &mut *distribution;
            if message.has_expired(now) {
                return true;
            }
            let Some((filter, group)) = self.subscriptions.next_shared(after.as_ref()) else { return true };
            let is_match = group < *until && filter.matches(&message.topic);
            *after = Some(filter);
            let before = self.effort;
            if is_match && self.share(now, group, message) {
                *bytes = bytes.saturating_sub(message.weight());
            }
            let looked_at = u32::try_from(self.effort - before).unwrap_or(u32::MAX);
            (part, *steps) = (part.saturating_sub(looked_at), steps.saturating_sub(looked_at));
        }
        if distribution.message.qos > QoS::AtMostOnce {
            self.records.move_distribution(&distribution.message, distribution.after.as_ref());
        }
        false
    }

    fn end_distribution(&mut self, distribution: &Distribution) {
        let message = &distribution.message;
        if message.qos > QoS::AtMostOnce {
            self.records.delete_distribution(message);
        }
        if let Some(count) = self.distributing.get_mut(&message.publisher) {
            *count -= 1;
            if *count == 0 {
                self.distributing.remove(&message.publisher);
            }
        }
    }
}
