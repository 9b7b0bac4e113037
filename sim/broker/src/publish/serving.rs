//! Gives a message that matches many Subscriptions to their Sessions, in parts (§3.3.4).
//!
//! A PUBLISH of a few bytes can match 100,000 Subscriptions, or need a search through a large part
//! of the tree. Then the search and the deliveries are done in parts, and other work is done
//! between the parts. The Server owns the message from the start: what is left to do is recorded,
//! so it goes on after a restart.
//!
//! [MQTT-4.6.0-5] 3.1.1/[MQTT-4.6.0-6] Later messages of the same Client wait until all have got
//! this one. So [`is_busy`](Broker::is_busy) lets the driver keep the packets of such a Client.
//!
//! The acknowledgement is sent before the search has ended, so its Reason Code is Success, not No
//! matching subscribers.
//!
//! The message is for the Subscriptions that there were when it was published. For Sessions whose
//! Subscriptions change meanwhile, each Subscription is compared with the message when it is given
//! to them.

use std::sync::Arc;
use std::time::Duration;

use mqttspec_codec::{QoS, Utf8String};

use super::distributing::MOST_OF_A_CLIENT;
use crate::broker::Broker;
use crate::connection::Connection;
use crate::connection_id::ConnectionId;
use crate::event::Event;
use crate::message::Message;
use crate::parts::{Routing, RoutingStage};
use crate::session::SessionKey;
use crate::timers::Timer;
use crate::topic::Granted;

/// The effort to give a message to a Session. To look at a node of the tree is one.
const SERVE: usize = 20;
/// This part of the effort counts as one of [`Broker::effort`].
pub(super) const EFFORT: usize = 32;

impl Broker {
    /// Whether a message of the Client of this Network Connection is being given to many Sessions,
    /// in parts. Its next packets wait for the end of that, so a driver should not pass them yet.
    #[inline]
    #[must_use]
    pub fn is_busy(&self, id: ConnectionId) -> bool {
        !self.routings.queue.is_empty() && self.is_publisher_of_routing(id)
    }

    #[cold]
    fn is_publisher_of_routing(&self, id: ConnectionId) -> bool {
        let session = self.connections.get(&id).and_then(Connection::session);
        let session = session.and_then(|key| self.sessions.get(&key));
        session.is_some_and(|session| self.routings.of(&session.client_id) > 0)
    }

    /// Whether as many messages of the Client are being given in parts as a Client may have.
    pub(super) fn serves_enough_of(&self, client_id: &Utf8String) -> bool {
        self.routings.of(client_id) >= MOST_OF_A_CLIENT
    }

    pub(crate) fn begin_routing(&mut self, now: Duration, message: &Arc<Message>) {
        let message = if message.qos == QoS::AtMostOnce {
            // It may outlive the packet's buffer.
            Arc::new(message.detached(&self.memory))
        } else {
            self.records.put_routing(message);
            Arc::clone(message)
        };
        self.add_routing(now, message, None);
    }

    /// Continues after a restart if `after` is there.
    pub(crate) fn add_routing(&mut self, now: Duration, message: Arc<Message>, after: Option<SessionKey>) {
        if self.routings.queue.is_empty() {
            self.timers.set(Timer::Routings, self.sizes.soon(now));
        }
        let until = self.next_scan;
        self.routings.push(Routing { message, until, after, copies: 0 });
    }

    /// The timer has fired.
    pub(crate) fn run_routings(&mut self, now: Duration) {
        let part = self.sizes.search;
        let mut left = part;
        while left > 0 && !self.routings.queue.is_empty() {
            match self.routings.stage {
                RoutingStage::Idle => {
                    self.routings.matches.begin(self.sizes.shared);
                    self.subscriptions.set_searched(true);
                    self.routings.stage = RoutingStage::Searching;
                }
                RoutingStage::Searching => self.search_on(&mut left),
                RoutingStage::Serving(at) => self.serve_on(now, at, &mut left),
            }
        }
        self.effort += ((part - left) / EFFORT + 1) as u64;
        if let Some(Routing { message, after, .. }) = self.routings.queue.front()
            && matches!(self.routings.stage, RoutingStage::Serving(_))
            && message.qos > QoS::AtMostOnce
        {
            self.records.move_routing(message, *after);
        }
        if !self.routings.queue.is_empty() {
            self.timers.set(Timer::Routings, self.sizes.soon(now));
        }
    }

    fn search_on(&mut self, left: &mut usize) {
        let Some(routing) = self.routings.queue.front() else { return };
        let topic = routing.message.topic.as_bytes();
        if self.subscriptions.search(topic, &mut self.routings.matches, left) {
            self.subscriptions.set_searched(false);
            self.routings.matches.subscriptions.sort_by_key(|(session, _)| *session);
            self.routings.stage = RoutingStage::Serving(0);
        }
    }

    /// Gives the first message to the Sessions from this place on.
    fn serve_on(&mut self, now: Duration, mut at: usize, left: &mut usize) {
        let Some(routing) = self.routings.queue.front() else { return };
        let (message, until, mut after) = (Arc::clone(&routing.message), routing.until, routing.after);
        let matches = std::mem::take(&mut self.routings.matches);
        let mut copies = 0;
        while *left > 0
            && let Some((session, _)) = matches.subscriptions.get(at)
        {
            let rest = &matches.subscriptions[at..];
            let count = rest.iter().take_while(|(other, _)| other == session).count();
            at += count;
            // It was served before a restart.
            if after.is_some_and(|after| *session <= after) {
                *left = left.saturating_sub(count);
                continue;
            }
            let mut matching = rest[..count].to_vec();
            let looked_at = self.narrow(&message, until, *session, &mut matching);
            *left = left.saturating_sub(SERVE + looked_at);
            copies += self.deliver_to_session(now, &message, &matching);
            after = Some(*session);
        }
        let is_done = at >= matches.subscriptions.len();
        if is_done {
            copies += self.serve_shared(now, &message, &matches.shared);
            *left = left.saturating_sub(SERVE * matches.shared.len());
        }
        self.routings.matches = matches;
        self.routings.stage = RoutingStage::Serving(at);
        if let Some(routing) = self.routings.queue.front_mut() {
            routing.after = after;
            routing.copies += copies;
        }
        if is_done {
            self.end_routing();
        }
    }

    /// Leaves the Subscriptions of a Session that get the message. Returns the number that was
    /// looked at.
    fn narrow(
        &self,
        message: &Message,
        until: u64,
        key: SessionKey,
        matching: &mut Vec<(SessionKey, Granted)>,
    ) -> usize {
        let session = self.sessions.get(&key);
        let Some(session) = session.filter(|session| session.permissions.may_receive(&message.topic)) else {
            matching.clear();
            return 0;
        };
        let mut looked_at = matching.len();
        if let Some(made) = self.routings.changed.get(&key) {
            looked_at = session.subscriptions.len();
            let still = session.subscriptions.iter().filter(|(filter, subscription)| {
                let is_old = made.get(*filter).is_none_or(|number| *number <= until);
                is_old && !subscription.shared && filter.matches_verbatim(&message.topic)
            });
            *matching = still.map(|(_, subscription)| (key, subscription.granted)).collect();
        }
        // [MQTT-3.8.3-3]
        let is_own = session.client_id == message.publisher;
        matching.retain(|(_, granted)| !(is_own && granted.no_local));
        looked_at
    }

    fn end_routing(&mut self) {
        let Some(Routing { message, copies, .. }) = self.routings.pop() else { return };
        if message.qos > QoS::AtMostOnce {
            self.records.delete_routing(&message);
        }
        self.output.message_event(|| Event::MessageAccepted {
            client_id: message.publisher.clone(),
            topic: message.topic.clone(),
            qos: message.qos,
            copies,
        });
    }
}
