//! Routing of a published message to Sessions (§3.3.4, §4.5, §4.8.2).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use mqttspec_codec::QoS;

use super::serving::EFFORT;
use crate::broker::Broker;
use crate::event::Event;
use crate::message::{Delivery, Message};
use crate::options::OverlappingSubscriptions;
use crate::session::SessionKey;
use crate::shared::Member;
use crate::topic::{Granted, GroupKey};

impl Broker {
    /// Takes ownership of a message: retains it if RETAIN is 1, and gives a copy to every Session
    /// with a matching Subscription. Returns the number of copies.
    pub(crate) fn accept_message(&mut self, now: Duration, message: Message) -> usize {
        let message = Arc::new(message);
        // [MQTT-3.3.1-8] 3.1.1/[MQTT-3.3.1-12] RETAIN 0 leaves retained messages alone
        if message.retain {
            self.retain(now, &message);
        }
        let Some(copies) = self.route(now, &message) else {
            self.begin_routing(now, &message);
            return 1;
        };
        self.output.message_event(|| Event::MessageAccepted {
            client_id: message.publisher.clone(),
            topic: message.topic.clone(),
            qos: message.qos,
            copies,
        });
        copies
    }

    /// [MQTT-4.5.0-1] [MQTT-3.3.2-3] a copy for every matching Subscription. Returns `None`, and
    /// gives none, if they are to be given in parts.
    pub(crate) fn route(&mut self, now: Duration, message: &Arc<Message>) -> Option<usize> {
        if self.routings.of(&message.publisher) > 0 {
            return None;
        }
        let mut matches = std::mem::take(&mut self.matches);
        let part = self.sizes.search;
        let mut left = part;
        matches.begin(self.sizes.shared);
        let all_found = self.subscriptions.search(message.topic.as_bytes(), &mut matches, &mut left);
        self.effort += ((part - left) / EFFORT + matches.subscriptions.len() + matches.shared.len()) as u64;
        if !all_found || matches.subscriptions.len() > self.sizes.matches {
            self.matches = matches;
            return None;
        }
        // [MQTT-3.8.3-3]
        matches
            .subscriptions
            .retain(|(session, granted)| !(granted.no_local && self.is_client(*session, message)));
        if !self.leaving.is_empty() {
            let sessions = &self.sessions;
            matches.subscriptions.retain(|(session, _)| sessions.contains_key(session));
        }
        if self.reads_are_restricted {
            let sessions = &self.sessions;
            matches.subscriptions.retain(|(session, _)| {
                sessions.get(session).is_some_and(|session| session.permissions.may_receive(&message.topic))
            });
        }
        matches.subscriptions.sort_by_key(|(session, _)| *session);
        let mut copies = 0;
        for of_session in matches.subscriptions.chunk_by(|(left, _), (right, _)| left == right) {
            copies += self.deliver_to_session(now, message, of_session);
        }
        if !matches.shared.is_empty() {
            copies += self.serve_shared(now, message, &matches.shared);
        }
        self.matches = matches;
        Some(copies)
    }

    /// §4.8.2: each Shared Subscription is independent of the others and of the Non-shared ones.
    /// Returns the number of copies.
    pub(super) fn serve_shared(
        &mut self,
        now: Duration,
        message: &Arc<Message>,
        groups: &[GroupKey],
    ) -> usize {
        if groups.len() >= self.sizes.shared {
            self.begin_distribution(now, message);
            return groups.len();
        }
        groups.iter().filter(|group| self.share(now, **group, message)).count()
    }

    /// Whether the message was published by the Client of this Session.
    pub(crate) fn is_client(&self, session: SessionKey, message: &Message) -> bool {
        self.sessions.get(&session).is_some_and(|session| session.client_id == message.publisher)
    }

    /// Delivers to one Session, with all its Subscriptions that match.
    pub(super) fn deliver_to_session(
        &mut self,
        now: Duration,
        message: &Arc<Message>,
        matching: &[(SessionKey, Granted)],
    ) -> usize {
        let [(session, _), ..] = matching else { return 0 };
        match self.options.overlapping_subscriptions {
            // [MQTT-3.3.4-2] [MQTT-3.3.4-4]
            OverlappingSubscriptions::OneCopy => {
                self.deliver(now, *session, copy_for(message, matching.iter().map(|(_, granted)| granted)));
                1
            }
            // [MQTT-3.3.4-5]
            OverlappingSubscriptions::CopyEach => {
                for (session, granted) in matching {
                    self.deliver(now, *session, copy_for(message, [granted]));
                }
                matching.len()
            }
        }
    }

    /// Delivers to one member of a Shared Subscription. Returns whether a member can receive the
    /// message.
    pub(super) fn share(&mut self, now: Duration, group: GroupKey, message: &Arc<Message>) -> bool {
        let (sessions, connections) = (&self.sessions, &self.connections);
        let Some(subscription) = self.subscriptions.shared(group) else { return false };
        self.effort += subscription.effort(self.options.shared_choice).saturating_sub(1);
        let chosen = subscription.choose(self.options.shared_choice, &mut self.random, |member| {
            Member::state_of(member, sessions, connections, message)
        });
        let Some((session, granted)) = chosen else { return false };
        let shared = Some(subscription.filter().clone());
        // [MQTT-4.8.2-3] U5-109: with the QoS granted to this member and its own Subscription
        // Identifier
        let delivery = Delivery { shared, ..copy_for(message, [&granted]) };
        self.deliver(now, session, delivery);
        true
    }

    /// Delivers a message of a Shared Subscription to another member, since the first one can no
    /// longer receive it. Returns whether there was one.
    pub(crate) fn share_again(&mut self, now: Duration, delivery: &Delivery) -> bool {
        let Some(filter) = &delivery.shared else { return false };
        let group = self.subscriptions.group(filter);
        group.is_some_and(|group| self.share(now, group, &delivery.message))
    }

    /// Notes in the Shared Subscriptions of a Session whether it has a Network Connection.
    pub(crate) fn note_connection_of_member(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.get(&key).filter(|session| session.shared_count > 0) else {
            return;
        };
        self.effort += session.shared_count as u64;
        for (filter, _) in session.subscriptions.iter().filter(|(_, subscription)| subscription.shared) {
            let group = self.subscriptions.group(filter);
            let Some(subscription) = group.and_then(|group| self.subscriptions.shared(group)) else {
                continue;
            };
            match session.connection {
                Some(_) => subscription.attach(key),
                None => subscription.detach(key),
            }
        }
    }

    /// The Network Connection of a member has closed: messages that were not sent yet go to members
    /// that are connected. Those sent at QoS 1 wait for the Client, since they may have arrived;
    /// those at QoS 2 must wait [MQTT-4.8.2-4].
    pub(crate) fn reassign_waiting_shared(&mut self, now: Duration, key: SessionKey) {
        let (sessions, connections) = (&self.sessions, &self.connections);
        let subscriptions = &mut self.subscriptions;
        let Some(session) = sessions.get(&key) else { return };
        let shared = session.subscriptions.iter().filter(|(_, subscription)| subscription.shared);
        let mut filters: BTreeSet<_> = shared.map(|(filter, _)| filter.clone()).collect();
        filters.retain(|filter| {
            let group = subscriptions.shared_by_filter(filter);
            group.is_some_and(|group| {
                group.connected().any(|member| Member::is_connected(member, sessions, connections))
            })
        });
        if filters.is_empty() {
            return;
        }
        let Some(session) = self.sessions.get_mut(&key) else { return };
        let moved = session.outbound.take_waiting_if(|delivery| {
            delivery.shared.as_ref().is_some_and(|filter| filters.contains(filter))
        });
        let recorded = session.recorded;
        for (order, delivery) in moved {
            self.records.delete_delivery(key, recorded, order, Some(&delivery.message));
            self.share_again(now, &delivery);
        }
    }
}

/// The copy of a message for one receiver, with the options of its matching Subscriptions.
pub(crate) fn copy_for<'a>(
    message: &Arc<Message>,
    matching: impl IntoIterator<Item = &'a Granted>,
) -> Delivery {
    let mut copy = Delivery {
        message: Arc::clone(message),
        qos: QoS::AtMostOnce,
        retain: false,
        identifiers: Vec::new(),
        shared: None,
    };
    for granted in matching {
        // [MQTT-3.8.4-8] [MQTT-3.3.4-2] the highest QoS that was granted, but not above that of the
        // PUBLISH
        copy.qos = copy.qos.max(granted.qos.min(message.qos));
        // [MQTT-3.3.1-12] [MQTT-3.3.1-13] 3.1.1/[MQTT-3.3.1-9]; of several Subscriptions, one with
        // Retain As Published is enough
        copy.retain |= granted.retain_as_published && message.retain;
        // [MQTT-3.3.4-3]
        copy.identifiers.extend(granted.identifier);
    }
    copy
}
