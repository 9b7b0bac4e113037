//! SUBSCRIBE and UNSUBSCRIBE (§3.8 to §3.11).

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use mqttspec_codec::{
    self as codec, DisconnectReason, NonEmpty, Packet, Properties, QoS, RetainHandling, SubAck, SubAckReason,
    Subscribe, SubscriptionIdentifier, TopicFilter, UnsubAck, UnsubAckReason, Unsubscribe, Version,
};

use crate::broker::Broker;
use crate::connection_id::ConnectionId;
use crate::fault::Fault;
use crate::memory::{self, has_memory};
use crate::session::{SessionKey, Subscription};
use crate::topic::Granted;

/// All Topic Filters of a packet may together have this number of levels for each filter that a
/// packet may have. Few filters may have `maximum_filter_levels` each.
const LEVELS_OF_A_FILTER: usize = 10;

impl Broker {
    pub(crate) fn handle_subscribe(
        &mut self,
        now: Duration,
        id: ConnectionId,
        key: SessionKey,
        subscribe: &Subscribe,
    ) -> Result<(), Fault> {
        let Some(version) = self.connections.get(&id).map(|connection| connection.version) else {
            return Ok(());
        };
        let identifier = subscribe.properties.get::<SubscriptionIdentifier>();
        if version.is_5() {
            self.check_announced(subscribe, identifier)?;
        }
        let identifier = identifier.and_then(|identifier| NonZeroU32::new(identifier.get()));

        // [MQTT-3.8.4-5] 3.1.1/[MQTT-3.8.4-4] as if each had a SUBSCRIBE of its own
        let mut reasons = Vec::with_capacity(subscribe.subscriptions.len());
        let mut made: Vec<(TopicFilter, _)> = Vec::new();
        let mut places: BTreeMap<&TopicFilter, usize> = BTreeMap::new();
        let mut detail = "";
        let maximum = self.maximum_filters();
        let mut levels = 0;
        for (number, wanted) in subscribe.subscriptions.iter().enumerate() {
            levels += memory::levels(&wanted.filter);
            if number >= maximum || levels > self.maximum_levels() {
                let reason = SubAckReason::QuotaExceeded;
                reasons.push(if version.is_5() { reason } else { SubAckReason::UnspecifiedError });
                detail = "the SUBSCRIBE has more Topic Filters, or levels of them, than the Server takes in one packet";
                continue;
            }
            match self.subscribe(id, key, version, wanted, identifier) {
                Ok(made_one) => {
                    reasons.push(granted_reason(made_one.granted.qos));
                    // A filter that is repeated replaces a Subscription that has not got its retained
                    // messages yet.
                    if let Some(place) = places.get(&wanted.filter) {
                        made[*place].1 = made_one.scan;
                    } else if made_one.send_retained {
                        places.insert(&wanted.filter, made.len());
                        made.push((wanted.filter.clone(), made_one.scan));
                    }
                }
                Err((reason, why)) => {
                    // 3.1.1/[MQTT-3.9.3-2] the only code for failure that 3.1.1 has
                    reasons.push(if version.is_5() { reason } else { SubAckReason::UnspecifiedError });
                    detail = why;
                }
            }
        }
        self.effort += levels as u64;
        // [MQTT-3.8.4-1] [MQTT-3.8.4-2] [MQTT-2.2.1-6] [MQTT-3.8.4-6] [MQTT-3.9.3-1] in the order
        // of the filters; before the first message for them
        if let Ok(reasons) = NonEmpty::try_from(reasons) {
            let properties = self.explanation(id, detail);
            self.send(id, Packet::SubAck(SubAck { id: subscribe.id, properties, reasons }));
        }
        for (filter, scan) in &made {
            self.begin_scan(key, filter, *scan);
        }
        self.start_scans(now, key);
        Ok(())
    }

    /// A SUBSCRIBE for what CONNACK announced as not available ends the Network Connection
    /// (§3.2.2.3.11 to §3.2.2.3.13).
    fn check_announced(
        &self,
        subscribe: &Subscribe,
        identifier: Option<SubscriptionIdentifier>,
    ) -> Result<(), Fault> {
        let options = &self.options;
        if identifier.is_some() && !options.subscription_identifier_available {
            let reason = DisconnectReason::SubscriptionIdentifiersNotSupported;
            return Err(Fault::new(reason, "Subscription Identifier Available is 0").breaking(&[]));
        }
        for wanted in &subscribe.subscriptions {
            if wanted.filter.is_shared() && !options.shared_subscription_available {
                let reason = DisconnectReason::SharedSubscriptionsNotSupported;
                return Err(Fault::new(reason, "Shared Subscription Available is 0").breaking(&[]));
            }
            if wanted.filter.has_wildcard() && !options.wildcard_subscription_available {
                let reason = DisconnectReason::WildcardSubscriptionsNotSupported;
                return Err(Fault::new(reason, "Wildcard Subscription Available is 0").breaking(&[]));
            }
            if wanted.no_local && wanted.filter.is_shared() {
                // [MQTT-3.8.3-4]
                return Err(Fault::protocol("No Local on a Shared Subscription").breaking(&["MQTT-3.8.3-4"]));
            }
        }
        Ok(())
    }

    /// Makes the Subscription for one Topic Filter of a SUBSCRIBE.
    fn subscribe(
        &mut self,
        id: ConnectionId,
        key: SessionKey,
        version: Version,
        wanted: &codec::Subscription,
        identifier: Option<NonZeroU32>,
    ) -> Result<Made, (SubAckReason, &'static str)> {
        // Before 5.0 a filter that begins with $share/ is like any other.
        let shared = version.is_5() && wanted.filter.is_shared();
        let matched_part = if shared { wanted.filter.without_share() } else { wanted.filter.as_str() };
        if !self.options.wildcard_subscription_available && wanted.filter.has_wildcard() {
            // 3.1.1/[MQTT-3.8.3-2]
            return Err((
                SubAckReason::WildcardSubscriptionsNotSupported,
                "the Server does not support wildcards",
            ));
        }
        let maximum = usize::from(self.options.maximum_filter_levels);
        if maximum > 0 && memory::levels(&wanted.filter) > maximum {
            return Err((SubAckReason::TopicFilterInvalid, "the Topic Filter has too many levels"));
        }
        let allowed = self
            .connections
            .get(&id)
            .is_some_and(|connection| connection.permissions.may_subscribe(matched_part));
        if !allowed {
            return Err((
                SubAckReason::NotAuthorized,
                "the user may not subscribe to all topics that the Topic Filter matches",
            ));
        }
        let has_memory = |held| has_memory(&self.memory, self.options.memory_maximum, held);
        let Some(session) = self.sessions.get_mut(&key) else {
            return Err((SubAckReason::UnspecifiedError, "there is no Session"));
        };
        let existing = session.subscriptions.get(&wanted.filter).copied();
        let maximum = self.options.maximum_subscriptions as usize;
        if existing.is_none() && maximum > 0 && session.subscriptions.len() >= maximum {
            return Err((SubAckReason::QuotaExceeded, "the Session has the maximum number of Subscriptions"));
        }
        let maximum = self.options.maximum_shared_subscriptions as usize;
        if existing.is_none() && shared && maximum > 0 && session.shared_count >= maximum {
            let detail = "the Session has the maximum number of Shared Subscriptions";
            return Err((SubAckReason::QuotaExceeded, detail));
        }
        if existing.is_none() && !has_memory(session.charge.bytes()) {
            return Err((SubAckReason::QuotaExceeded, "the Server has no memory for more Subscriptions"));
        }
        if existing.is_none() {
            session.charge.add(memory::of_subscription(&wanted.filter));
        }
        session.shared_count += usize::from(shared);
        session.shared_count -= usize::from(existing.is_some_and(|existing| existing.shared));
        self.next_scan += 1;

        // [MQTT-3.8.4-7] [MQTT-3.2.2-10] every requested QoS is accepted; the granted one is within
        // the Server's Maximum QoS
        let maximum = self.options.maximum_qos.min(self.options.granted_qos_maximum);
        let granted = Granted::new(wanted, wanted.qos.min(maximum), identifier);
        let subscription = Subscription { granted, shared, scan: self.next_scan };
        // [MQTT-3.8.4-3] replaced in place, so no message is lost [MQTT-3.8.4-4]
        session.subscriptions.insert(wanted.filter.detached(), subscription);
        self.records.put_subscription(key, session.recorded, &wanted.filter, &subscription);
        let made = existing.is_none().then_some(subscription.scan);
        self.routings.note_subscribed(key, &wanted.filter, made);
        if let Some(before) = existing.filter(|before| before.shared != shared) {
            self.forget_subscription(key, &wanted.filter, before.shared);
        }
        if shared {
            self.subscriptions.insert_shared(&wanted.filter.detached(), key, granted);
        } else {
            self.subscriptions.insert(wanted.filter.as_bytes(), key, granted);
        }
        let send_retained = match wanted.retain_handling {
            // §4.8.2: none for a Shared Subscription, for its first member or a later one
            _ if shared => false,
            // [MQTT-3.3.1-9] 3.1.1/[MQTT-3.3.1-6] [MQTT-3.8.4-4]
            RetainHandling::SendAtSubscribe => true,
            // [MQTT-3.3.1-10]
            RetainHandling::SendIfNew => existing.is_none(),
            // [MQTT-3.3.1-11]
            RetainHandling::DoNotSend => false,
        };
        Ok(Made { granted, send_retained, scan: subscription.scan })
    }

    pub(crate) fn handle_unsubscribe(
        &mut self,
        id: ConnectionId,
        key: SessionKey,
        unsubscribe: &Unsubscribe,
    ) -> Result<(), Fault> {
        let maximum = self.maximum_filters();
        let levels: usize = unsubscribe.filters.iter().map(memory::levels).sum();
        if unsubscribe.filters.len() > maximum || levels > self.maximum_levels() {
            let detail = "the UNSUBSCRIBE has more Topic Filters, or levels of them, than the Server takes in one packet";
            return Err(Fault::new(DisconnectReason::QuotaExceeded, detail));
        }
        self.effort += levels as u64;
        // [MQTT-3.10.4-6] 3.1.1/[MQTT-3.10.4-6] as if each had an UNSUBSCRIBE of its own
        let mut reasons = Vec::with_capacity(unsubscribe.filters.len());
        for filter in &unsubscribe.filters {
            let Some(session) = self.sessions.get_mut(&key) else { return Ok(()) };
            // [MQTT-3.10.4-1] character by character, no wildcard expansion
            if let Some(subscription) = session.subscriptions.remove(filter) {
                session.charge.sub(memory::of_subscription(filter));
                session.shared_count -= usize::from(subscription.shared);
                // [MQTT-3.10.4-2] no new messages; [MQTT-3.10.4-3] messages that wait or are in
                // flight stay in the Session
                self.records.delete_subscription(key, session.recorded, filter);
                self.routings.note_unsubscribed(key, filter);
                self.forget_subscription(key, filter, subscription.shared);
                reasons.push(UnsubAckReason::Success);
            } else {
                reasons.push(UnsubAckReason::NoSubscriptionExisted);
            }
        }
        // 3.1.1: UNSUBACK has no payload
        let speaks_5 = self.connections.get(&id).is_some_and(|connection| connection.version.is_5());
        let reasons = if speaks_5 { reasons } else { Vec::new() };
        // [MQTT-3.10.4-4] [MQTT-3.10.4-5] [MQTT-2.2.1-6] [MQTT-3.11.3-1] [MQTT-3.11.3-2]
        self.send(
            id,
            Packet::UnsubAck(UnsubAck { id: unsubscribe.id, properties: Properties::new(), reasons }),
        );
        Ok(())
    }

    /// The largest number of levels of all Topic Filters of a packet.
    fn maximum_levels(&self) -> usize {
        let of_one = usize::from(self.options.maximum_filter_levels);
        self.maximum_filters().saturating_mul(LEVELS_OF_A_FILTER).max(of_one)
    }

    fn maximum_filters(&self) -> usize {
        match self.options.maximum_filters_per_packet {
            0 => usize::MAX,
            maximum => maximum as usize,
        }
    }

    fn forget_subscription(&mut self, key: SessionKey, filter: &TopicFilter, shared: bool) {
        if shared {
            self.subscriptions.remove_shared(filter, key);
        } else {
            self.subscriptions.remove(filter.as_bytes(), key);
        }
    }
}

/// A Subscription that was made.
struct Made {
    granted: Granted,
    /// Whether retained messages must be sent.
    send_retained: bool,
    scan: u64,
}

/// [MQTT-3.9.3-2]
fn granted_reason(qos: QoS) -> SubAckReason {
    match qos {
        QoS::AtMostOnce => SubAckReason::GrantedQoS0,
        QoS::AtLeastOnce => SubAckReason::GrantedQoS1,
        QoS::ExactlyOnce => SubAckReason::GrantedQoS2,
    }
}
