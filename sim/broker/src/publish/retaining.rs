//! Stores and discards retained messages (§3.3.1.3).

use std::sync::Arc;
use std::time::Duration;

use mqttspec_codec::TopicName;

use crate::broker::Broker;
use crate::event::Event;
use crate::message::Message;
use crate::timers::Timer;

impl Broker {
    /// A message with RETAIN 1 was published.
    pub(crate) fn retain(&mut self, now: Duration, message: &Arc<Message>) {
        // [MQTT-3.3.1-5] 3.1.1/[MQTT-3.3.1-5] 3.1.1/[MQTT-3.3.1-7] the previous message is removed,
        // at QoS 0 too
        self.forget_retained(&message.topic);
        // [MQTT-3.3.1-6] [MQTT-3.3.1-7] 3.1.1/[MQTT-3.3.1-10] 3.1.1/[MQTT-3.3.1-11]
        if message.payload.is_empty() {
            return;
        }
        // A copy of its own: it may outlive the packet's buffer by far.
        let message = Arc::new(message.detached(&self.memory));
        self.records.put_retained(&message);
        self.keep_retained(now, message);
    }

    /// Inserts a retained message and sets the timer for its expiry.
    pub(crate) fn keep_retained(&mut self, now: Duration, message: Arc<Message>) {
        if let Some(expiry) = message.expiry {
            // The first instant at which it has expired. For interval 0 that is not `now`.
            let at = expiry.at().max(now.saturating_add(Duration::from_nanos(1)));
            self.timers.set(Timer::RetainedExpiry(Box::new(message.topic.clone())), at);
        }
        self.retained.insert(message);
    }

    /// §3.3.1.3: a retained message whose Message Expiry Interval has passed is discarded.
    pub(crate) fn expire_retained(&mut self, now: Duration, topic: &TopicName) {
        let expired = self.retained.matching_name(topic).is_some_and(|message| message.has_expired(now));
        if expired {
            self.forget_retained(topic);
            self.output.event(Event::RetainedExpired { topic: topic.clone() });
        }
    }

    pub(crate) fn forget_retained(&mut self, topic: &TopicName) {
        if let Some(message) = self.retained.remove(topic) {
            if message.expiry.is_some() {
                self.timers.cancel(Timer::RetainedExpiry(Box::new(topic.clone())));
            }
            self.records.delete_retained(topic);
        }
    }
}
