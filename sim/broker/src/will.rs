//! Will Messages (§3.1.2.5, §3.1.3.2): stored with the Session, published when the Network
//! Connection, the Will Delay Interval or the Session ends.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mqttspec_codec::{
    ContentType, CorrelationData, MessageExpiryInterval, PayloadFormatIndicator, Properties, Publish,
    ResponseTopic, UserProperty, Utf8String, Will,
};

use crate::broker::Broker;
use crate::event::{Event, WillEnd};
use crate::memory::of_will;
use crate::message::{Expiry, Message};
use crate::session::SessionKey;
use crate::timers::Timer;

/// To publish a Will Message of this size is one unit of the broker's effort.
const EFFORT_BYTES: u64 = 4096;

/// The effect of the end of a Network Connection on the Will Message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WillFate {
    Discarded,
    Due,
}

impl Broker {
    /// The Network Connection of the Session has closed: discards the Will Message, publishes it,
    /// or starts its Will Delay Interval.
    pub(crate) fn settle_will(&mut self, now: Duration, key: SessionKey, fate: WillFate) {
        let Some(session) = self.sessions.get_mut(&key).filter(|session| session.will.is_some()) else {
            return;
        };
        match fate {
            WillFate::Discarded => self.discard_will(key, WillEnd::Disconnected),
            WillFate::Due => {
                let delay = session.will_delay();
                // With Session Expiry Interval 0 the Session ends now, and with it the delay
                // (§3.1.3.2.2).
                if delay == 0 || session.expiry_interval == 0 {
                    self.publish_will(now, key);
                } else {
                    let due = now.saturating_add(Duration::from_secs(delay.into()));
                    session.will_due = Some(due);
                    self.timers.set(Timer::WillDelay(key), due);
                }
            }
        }
    }

    /// [MQTT-3.1.3-9] The Client has reconnected before the Will Delay Interval has passed.
    pub(crate) fn cancel_will(&mut self, key: SessionKey) {
        if self.sessions.get(&key).is_some_and(|session| session.will.is_some()) {
            self.discard_will(key, WillEnd::Reconnected);
        }
    }

    /// Publishes and removes the Will Message, if there is one and its user may publish it now: it
    /// may have been stored under another users file (§5.4.2).
    pub(crate) fn publish_will(&mut self, now: Duration, key: SessionKey) {
        self.timers.cancel(Timer::WillDelay(key));
        let Some(session) = self.sessions.get_mut(&key) else { return };
        session.will_due = None;
        // [MQTT-3.1.2-10]
        let Some(will) = session.will.take() else { return };
        let bytes = of_will(&will);
        session.charge.sub(bytes);
        self.effort += bytes / EFFORT_BYTES;
        let (client_id, user) = (session.client_id.clone(), session.owner.clone());
        let permissions = Arc::clone(&session.permissions);
        self.records.put_session(key, session);
        if self.may_publish(&permissions, &will.topic).is_err() {
            self.output.event(Event::WillDiscarded { client_id, why: WillEnd::NotAuthorized });
            return;
        }
        self.output.event(Event::WillPublished { client_id: client_id.clone(), topic: will.topic.clone() });
        let message = self.will_message(now, client_id, user, *will);
        self.accept_message(now, message);
    }

    fn discard_will(&mut self, key: SessionKey, why: WillEnd) {
        self.timers.cancel(Timer::WillDelay(key));
        if let Some(session) = self.sessions.get_mut(&key) {
            session.charge.sub(session.will.take().as_deref().map_or(0, of_will));
            session.will_due = None;
            self.output.event(Event::WillDiscarded { client_id: session.client_id.clone(), why });
        }
    }

    fn will_message(
        &mut self,
        now: Duration,
        publisher: Utf8String,
        user: Option<Utf8String>,
        will: Will,
    ) -> Message {
        let interval = will.properties.get().map(|MessageExpiryInterval(interval)| interval);
        let bytes = of_will(&will);
        Message {
            charge: self.memory.charge(bytes),
            id: self.next_message_id(),
            publisher,
            user,
            properties: message_properties(&will.properties),
            // §3.1.3.2.4: the interval starts with the publication
            expiry: interval.map(|interval| Expiry { interval, since: now }),
            topic: will.topic,
            qos: will.qos,
            // [MQTT-3.1.2-14] [MQTT-3.1.2-15]
            retain: will.retain,
            payload: Bytes::from(will.payload),
        }
    }
}

/// The Will Properties that the message has: all but Will Delay Interval (§3.1.3.2).
fn message_properties(will: &Properties<Will>) -> Properties<Publish> {
    let mut properties = Properties::new();
    if let Some(indicator) = will.get::<PayloadFormatIndicator>() {
        properties.set(indicator);
    }
    if let Some(content_type) = will.get::<ContentType>() {
        properties.set(content_type);
    }
    if let Some(response_topic) = will.get::<ResponseTopic>() {
        properties.set(response_topic);
    }
    if let Some(correlation_data) = will.get::<CorrelationData>() {
        properties.set(correlation_data);
    }
    // [MQTT-3.1.3-10] in their original order
    properties.extend(will.get_all::<UserProperty>());
    properties
}
