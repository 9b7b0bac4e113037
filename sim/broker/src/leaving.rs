//! Removes what belongs to a Session that has ended, in parts.
//!
//! A Session may have 100,000 Subscriptions. If it has many of them, messages or Packet
//! Identifiers, they are removed in parts, and other work is done between the parts.
//! The Session itself is gone, so a message that matches one of its Subscriptions meanwhile is not
//! delivered. If its records must be removed too, a record marks it as ended until they are, so
//! that a broker that is restored goes on.

use std::time::Duration;

use mqttspec_codec::{QoS, Utf8String};

use crate::broker::Broker;
use crate::event::{Drop, Event};
use crate::memory;
use crate::message::Delivery;
use crate::outbound::Stage;
use crate::parts::{Leaving, Left};
use crate::session::{Session, SessionKey};
use crate::timers::Timer;

/// The effort of the removal of a record. That of a level of a Topic Filter is one.
const RECORD: usize = 16;
/// The effort to leave a Shared Subscription, or to give a message to another member.
const SHARE: usize = 10;

impl Broker {
    /// Removes what belongs to a Session that is no longer one of the broker's.
    pub(crate) fn leave(&mut self, now: Duration, key: SessionKey, session: Session) {
        let mut leaving = Leaving::new(key, session);
        if leaving.len() <= self.sizes.content {
            let effort = self.remove_some(now, &mut leaving, usize::MAX, 0);
            self.effort += effort as u64;
            return;
        }
        if leaving.recorded {
            self.records.put_ended(key, &leaving.client_id);
        }
        self.add_leaving(now, leaving);
        if self.leaving.len() == 1 {
            self.run_leaving(now);
        }
    }

    pub(crate) fn add_leaving(&mut self, now: Duration, leaving: Leaving) {
        if self.leaving.is_empty() {
            self.timers.set(Timer::Leaving, self.sizes.soon(now));
        }
        self.leaving.push_back(leaving);
    }

    /// The timer has fired, or a Session has ended.
    pub(crate) fn run_leaving(&mut self, now: Duration) {
        let part = self.sizes.removal;
        let mut spent = 0;
        while spent < part
            && let Some(mut leaving) = self.leaving.pop_front()
        {
            let of_record = if leaving.recorded { RECORD } else { 0 };
            spent += self.remove_some(now, &mut leaving, part - spent, of_record);
            if leaving.len() > 0 {
                self.leaving.push_front(leaving);
            } else if leaving.recorded {
                self.records.delete_ended(leaving.session);
            }
        }
        self.effort += spent as u64;
        if self.leaving.is_empty() {
            self.timers.cancel(Timer::Leaving);
        } else {
            self.timers.set(Timer::Leaving, self.sizes.soon(now));
        }
    }

    /// Removes things until the effort is as large as this, with that of each record. Returns the
    /// effort.
    fn remove_some(
        &mut self,
        now: Duration,
        leaving: &mut Leaving,
        enough: usize,
        of_record: usize,
    ) -> usize {
        let (key, recorded) = (leaving.session, leaving.recorded);
        let mut spent = 0;
        while spent < enough {
            if let Some((filter, subscription)) = leaving.subscriptions.next() {
                spent += memory::levels(&filter) + of_record;
                self.records.delete_subscription(key, recorded, &filter);
                if subscription.shared {
                    spent += SHARE;
                    self.subscriptions.remove_shared(&filter, key);
                } else {
                    self.subscriptions.remove(filter.as_bytes(), key);
                }
            } else if let Some(identifier) = leaving.received.pop_first() {
                spent += 1 + of_record;
                self.records.delete_received(key, recorded, identifier);
            } else if let Some((order, left)) = leaving.deliveries.pop_front() {
                spent += 1 + of_record;
                let (delivery, begun) = match left {
                    Left::Waiting(delivery) => (Some(delivery), false),
                    Left::InFlight(Stage::Publish(delivery)) => (Some(delivery), true),
                    Left::InFlight(Stage::PubRel) => (None, true),
                };
                let message = delivery.as_ref().map(|delivery| &*delivery.message);
                self.records.delete_delivery(key, recorded, order, message);
                if let Some(delivery) = delivery {
                    spent += if delivery.shared.is_some() { SHARE } else { 0 };
                    self.reassign(now, &leaving.client_id, &delivery, begun);
                }
            } else {
                break;
            }
        }
        spent
    }

    /// Handles a message whose receiver's Session has ended: another member of a Shared
    /// Subscription gets it, unless it is a QoS 2 message whose delivery had started.
    fn reassign(&mut self, now: Duration, client_id: &Utf8String, delivery: &Delivery, begun: bool) {
        let exactly_once_begun = begun && delivery.qos == QoS::ExactlyOnce;
        // [MQTT-4.8.2-5]
        if exactly_once_begun || !self.share_again(now, delivery) {
            self.output.message_event(|| Event::MessageDropped {
                client_id: client_id.clone(),
                topic: delivery.message.topic.clone(),
                why: Drop::SessionEnded,
            });
        }
    }
}
