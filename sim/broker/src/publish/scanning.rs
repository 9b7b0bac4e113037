//! Sends the retained messages that match a new Subscription (§3.3.1.3), as the Client reads them.
//!
//! A SUBSCRIBE of a few bytes can request every retained message, or need a search through all of
//! them. So a search is done in parts, and other work is done between the parts. The first part is
//! done at once, the others when a timer fires. A search pauses while the Client does not read, or
//! while enough messages wait for it.

use std::sync::Arc;
use std::time::Duration;

use mqttspec_codec::TopicFilter;

use super::copy_for;
use crate::broker::Broker;
use crate::message::{Message, MessageId};
use crate::session::{RetainedScan, SessionKey};
use crate::timers::Timer;
use crate::topic::{Granted, Scan, Step};

/// The number of Sessions of which a part is searched before other work is done.
const PARTS_IN_A_TURN: u32 = 4;

/// The state of the searches of one Session after a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// There is more to do.
    More,
    /// They have ended, or the Client must read first.
    Rest,
}

impl Broker {
    /// Begins the search for a Subscription that was just made. If the filter is twice in one
    /// SUBSCRIBE, the second one has replaced the number of the first.
    pub(crate) fn begin_scan(&mut self, key: SessionKey, filter: &TopicFilter, number: u64) {
        let Some(session) = self.sessions.get_mut(&key).filter(|_| self.retained.len() > 0) else { return };
        let filter = filter.detached();
        let position = Scan::new(filter.as_bytes());
        let until = MessageId(self.next_message);
        session.scans.push_back(RetainedScan { filter, number, position, until });
        // Replaced searches are otherwise removed only when they are processed. Without this, a
        // Client that does not read could accumulate them.
        if session.scans.len() > 2 * session.subscriptions.len() + 16 {
            let subscriptions = &session.subscriptions;
            session.scans.retain(|scan| {
                subscriptions.get(&scan.filter).is_some_and(|subscription| subscription.scan == scan.number)
            });
        }
    }

    /// Does a part of the searches of a Session, and sets a timer for the next part.
    pub(crate) fn start_scans(&mut self, now: Duration, key: SessionKey) {
        let queued = self.sessions.get(&key).is_none_or(|session| session.is_scanning);
        if !queued && self.scan(now, key, &mut self.sizes.scan.clone()) == Outcome::More {
            self.continue_scans(now, key);
        }
    }

    /// The Client of the Session may have read what it was sent.
    pub(crate) fn continue_scans(&mut self, now: Duration, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(&key) else { return };
        if session.scans.is_empty() || session.is_scanning {
            return;
        }
        session.is_scanning = true;
        if self.scanning.is_empty() {
            self.timers.set(Timer::RetainedScans, self.sizes.soon(now));
        }
        self.scanning.push_back(key);
    }

    /// The timer has fired.
    pub(crate) fn run_scans(&mut self, now: Duration) {
        let mut steps = PARTS_IN_A_TURN * self.sizes.scan;
        while steps > 0
            && let Some(key) = self.scanning.pop_front()
        {
            let outcome = self.scan(now, key, &mut steps);
            if let Some(session) = self.sessions.get_mut(&key) {
                session.is_scanning = outcome == Outcome::More;
                if session.is_scanning {
                    self.scanning.push_back(key);
                }
            }
        }
        if !self.scanning.is_empty() {
            self.timers.set(Timer::RetainedScans, self.sizes.soon(now));
        }
    }

    /// A part of the searches of one Session.
    fn scan(&mut self, now: Duration, key: SessionKey, left: &mut u32) -> Outcome {
        let (mut steps, mut bytes) = (self.sizes.scan.min(*left), 0);
        *left -= steps;
        while steps > 0 && bytes < self.sizes.sent_bytes {
            steps -= 1;
            if !self.wants_retained(key) {
                break;
            }
            let Some(session) = self.sessions.get_mut(&key) else { return Outcome::Rest };
            let Some(scan) = session.scans.front_mut() else { break };
            let subscription = session.subscriptions.get(&scan.filter);
            let current = subscription.filter(|subscription| subscription.scan == scan.number);
            let Some(granted) = current.map(|subscription| subscription.granted) else {
                session.scans.pop_front();
                continue;
            };
            match self.retained.step(&mut scan.position) {
                Step::End => drop(session.scans.pop_front()),
                Step::Other => {}
                Step::Match(message) if message.id > scan.until => {}
                Step::Match(message) => {
                    let message = Arc::clone(message);
                    bytes += message.weight();
                    self.send_retained(now, key, &message, &granted);
                }
            }
        }
        // The unused part of the budget is for other Sessions.
        *left += steps;
        let has_more = self.sessions.get(&key).is_some_and(|session| !session.scans.is_empty());
        if has_more && self.wants_retained(key) { Outcome::More } else { Outcome::Rest }
    }

    /// Whether the Client is connected and reads, and not enough messages wait for it.
    fn wants_retained(&self, key: SessionKey) -> bool {
        let Some(session) = self.sessions.get(&key) else { return false };
        let connection = session.connection.and_then(|id| self.connections.get(&id));
        let enough = match self.options.queue_maximum as usize {
            0 => self.sizes.enough_waiting,
            maximum => self.sizes.enough_waiting.min(maximum.div_ceil(2)),
        };
        connection.is_some_and(|connection| !connection.congested)
            && session.outbound.waiting_count() < enough
    }

    /// Sends one retained message, with RETAIN 1 whatever Retain As Published is.
    fn send_retained(&mut self, now: Duration, key: SessionKey, message: &Arc<Message>, granted: &Granted) {
        // [MQTT-3.8.3-3] No Local applies to these too
        if message.has_expired(now) || (granted.no_local && self.is_client(key, message)) {
            return;
        }
        // §5.4.2: it may have been stored under another users file.
        if !message.is_of_server() && !self.permissions_of(message.user.as_ref()).may_publish(&message.topic)
        {
            return;
        }
        // [MQTT-3.8.4-8]; 3.1.1/[MQTT-3.3.1-8]
        let mut copy = copy_for(message, [granted]);
        copy.retain = true;
        self.deliver(now, key, copy);
    }
}
