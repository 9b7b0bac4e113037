//! SUBSCRIBE and UNSUBSCRIBE (§3.8 to §3.11), and restoring subscriptions when the Server has lost
//! the Session.

use std::time::Duration;

use mqttspec_codec::{
    NonEmpty, Packet, PacketIdentifier, PacketType, QoS, SubAck, SubAckReason, Subscribe, Subscription,
    SubscriptionIdentifier, TopicFilter, TopicName, UnsubAck, UnsubAckReason, Unsubscribe,
};

use super::{Client, Link};
use crate::command::{Handle, SubscribeRequest, UnsubscribeRequest};
use crate::error::{Awaited, Error, Unsupported, Violation};
use crate::event::Event;
use crate::operations::Request;
use crate::store;

impl Client {
    pub(super) fn subscribe(&mut self, now: Duration, handle: Handle, request: SubscribeRequest) {
        if let Err(invalid) = request.check(self.version()) {
            return self.fail(handle, Error::Invalid(invalid));
        }
        self.operations.insert(handle, Request::Subscribe(request));
        self.flush_operations(now);
    }

    pub(super) fn unsubscribe(&mut self, now: Duration, handle: Handle, request: UnsubscribeRequest) {
        if let Err(invalid) = request.check(self.version()) {
            return self.fail(handle, Error::Invalid(invalid));
        }
        self.operations.insert(handle, Request::Unsubscribe(request));
        self.flush_operations(now);
    }

    /// Sends what may have waited for a Packet Identifier: an exchange has ended.
    pub(super) fn use_free_identifiers(&mut self, now: Duration) {
        self.flush_operations(now);
        self.pump(now);
    }

    /// Sends the waiting requests, in the order of the commands.
    pub(super) fn flush_operations(&mut self, now: Duration) {
        if !matches!(self.link, Link::Up(_)) {
            return;
        }
        while let Some((handle, request)) = self.operations.pop_waiting() {
            // [MQTT-2.2.1-3]
            let Some(id) = self.session.identifiers.allocate() else {
                return self.operations.insert(handle, request);
            };
            match self.packet(id, &request) {
                Ok(packet) => {
                    self.remember_identifier(&request);
                    self.operations.sent(id, handle, request, now + self.options.timeout);
                    self.send(now, packet);
                }
                Err(lacking) => {
                    self.session.identifiers.release(id);
                    self.request_failed(now, handle, &request, Error::NotSupported(lacking));
                }
            }
        }
    }

    pub(super) fn receive_suback(&mut self, now: Duration, suback: SubAck) -> Result<(), Violation> {
        let request = self.operations.request(suback.id).and_then(Request::subscribe);
        let Some(SubscribeRequest { subscriptions, properties }) = request.cloned() else {
            return self.unknown_answer(suback.id, PacketType::SubAck);
        };
        // §3.9.3: one Reason Code for each Topic Filter
        if subscriptions.len() != suback.reasons.len() {
            return Err(Violation::ReasonCodeCount(PacketType::SubAck));
        }
        let Some((handle, request, awaited)) = self.operations.answered(suback.id) else { return Ok(()) };
        self.session.identifiers.release(suback.id);
        let answered: Vec<(Subscription, SubAckReason)> =
            subscriptions.into_iter().zip(suback.reasons.iter().copied()).collect();
        for (subscription, reason) in &answered {
            if reason.is_failure() {
                // An earlier subscription to the same filter may still exist; one of a lost Session
                // does not.
                if matches!(request, Request::Restore(_)) {
                    self.forget_subscription(&subscription.filter);
                }
                continue;
            }
            if let Some(value) = store::subscription_value(subscription, &properties) {
                self.put(store::subscription_key(&subscription.filter), value);
            }
            self.subscriptions.insert(subscription.clone(), properties.clone());
        }
        let event = match request {
            Request::Restore(_) => Event::SubscriptionsRestored { subscriptions: answered },
            Request::Own(_) => {
                self.own_answered(now, &answered);
                return Ok(());
            }
            _ if !awaited => return Ok(()),
            _ => Event::Subscribed { handle, reasons: suback.reasons.into(), properties: suback.properties },
        };
        self.events.push_back(event);
        Ok(())
    }

    pub(super) fn receive_unsuback(&mut self, unsuback: UnsubAck) -> Result<(), Violation> {
        let Some(Request::Unsubscribe(request)) = self.operations.request(unsuback.id) else {
            return self.unknown_answer(unsuback.id, PacketType::UnsubAck);
        };
        let filters = request.filters.clone();
        if self.version().is_5() && filters.len() != unsuback.reasons.len() {
            return Err(Violation::ReasonCodeCount(PacketType::UnsubAck));
        }
        let Some((handle, _, awaited)) = self.operations.answered(unsuback.id) else { return Ok(()) };
        self.session.identifiers.release(unsuback.id);
        for (at, filter) in filters.iter().enumerate() {
            // Before 5.0 there are no Reason Codes: UNSUBACK means success.
            let reason = unsuback.reasons.get(at).copied().unwrap_or(UnsubAckReason::Success);
            if !reason.is_failure() {
                self.forget_subscription(filter);
            }
        }
        if awaited {
            let UnsubAck { reasons, properties, .. } = unsuback;
            self.events.push_back(Event::Unsubscribed { handle, reasons, properties });
        }
        Ok(())
    }

    /// The Server has lost the Session: requests again the subscriptions that it had granted.
    pub(super) fn restore_subscriptions(&mut self) {
        if !self.options.resubscribe {
            return self.forget_subscriptions();
        }
        for (properties, subscriptions) in self.subscriptions.groups() {
            // Small enough for any practical Maximum Packet Size, and one round trip for most
            // clients.
            for chunk in subscriptions.chunks(RESTORED_AT_ONCE) {
                let handle = self.new_handle();
                let request =
                    SubscribeRequest { subscriptions: chunk.to_vec(), properties: properties.clone() };
                self.operations.insert(handle, Request::Restore(request));
            }
        }
    }

    pub(super) fn forget_subscriptions(&mut self) {
        for filter in self.subscriptions.drain() {
            self.delete(store::subscription_key(&filter));
        }
    }

    /// Fails commands whose answer is overdue. Their Packet Identifiers stay in use until the
    /// answer or the end of the connection.
    pub(super) fn expire_operations(&mut self, now: Duration) {
        while let Some((handle, request)) = self.operations.next_overdue(now) {
            let awaited = if request.subscribe().is_some() { Awaited::SubAck } else { Awaited::UnsubAck };
            self.request_failed(now, handle, &request, Error::TimedOut(awaited));
        }
    }

    /// Whether the Server has granted a Topic Filter that the client itself needs. If not, requests
    /// it.
    pub(super) fn ensure_subscribed(&mut self, now: Duration, filter: &TopicFilter) -> bool {
        if self.subscriptions.contains(filter) {
            return true;
        }
        if self.subscriptions.ask(filter) {
            let subscription = Subscription::new(filter.clone(), QoS::AtLeastOnce);
            let request =
                SubscribeRequest { subscriptions: vec![subscription], properties: Default::default() };
            let handle = self.new_handle();
            self.operations.insert(handle, Request::Own(request));
            self.flush_operations(now);
        }
        false
    }

    /// Fails all waiting requests, since none will be sent.
    pub(super) fn cancel_operations(&mut self, now: Duration, error: &Error) {
        for (handle, request) in self.operations.cancel() {
            self.request_failed(now, handle, &request, error.clone());
        }
    }

    fn request_failed(&mut self, now: Duration, handle: Handle, request: &Request, error: Error) {
        match request {
            Request::Subscribe(_) | Request::Unsubscribe(_) => self.fail(handle, error),
            Request::Restore(_) => {}
            Request::Own(request) => {
                for subscription in &request.subscriptions {
                    self.own_failed(now, &subscription.filter, &error);
                }
            }
        }
    }

    fn own_answered(&mut self, now: Duration, answered: &[(Subscription, SubAckReason)]) {
        for (Subscription { filter, .. }, reason) in answered {
            if reason.is_failure() {
                self.own_failed(now, filter, &Error::SubscribeRefused(*reason));
            } else {
                self.subscriptions.answered(filter);
            }
        }
        self.advance_requests(now);
        self.advance_deliveries(now);
    }

    /// Whether a message on this topic comes from the client's own subscription alone.
    pub(super) fn is_for_client_only(&self, topic: &TopicName, own: &TopicFilter) -> bool {
        self.subscriptions.contains(own) && self.matching_subscriptions(topic).all(|filter| filter == own)
    }

    /// A subscription of the client's own was refused: fails the commands that wait for it.
    fn own_failed(&mut self, now: Duration, filter: &TopicFilter, error: &Error) {
        self.subscriptions.answered(filter);
        // If there was no answer, the deliveries wait for another attempt.
        let is_final = matches!(error, Error::SubscribeRefused(_) | Error::NotSupported(_));
        if is_final && self.acknowledgement_filter().as_ref() == Some(filter) {
            self.fail_pending_deliveries(now, error);
        }
        self.fail_waiting_requests(filter, error);
    }

    fn packet(&self, id: PacketIdentifier, request: &Request) -> Result<Packet, Unsupported> {
        let packet: Option<Packet> = match request {
            Request::Subscribe(request) | Request::Restore(request) | Request::Own(request) => {
                self.check_supported(request)?;
                NonEmpty::try_from(request.subscriptions.clone()).ok().map(|subscriptions| {
                    Subscribe { id, properties: request.properties.clone(), subscriptions }.into()
                })
            }
            Request::Unsubscribe(request) => NonEmpty::try_from(request.filters.clone())
                .ok()
                .map(|filters| Unsubscribe { id, properties: request.properties.clone(), filters }.into()),
        };
        // The options may have changed since the command was checked.
        let packet =
            packet.and_then(|packet| packet.fitted_to(self.version())).ok_or(Unsupported::PacketSize(0))?;
        if self.fits(&packet) {
            return Ok(packet);
        }
        Err(Unsupported::PacketSize(packet.encoded_len(self.version()).unwrap_or(usize::MAX)))
    }

    /// §3.2.2.3.11 to §3.2.2.3.13
    fn check_supported(&self, request: &SubscribeRequest) -> Result<(), Unsupported> {
        let Link::Up(connection) = &self.link else { return Ok(()) };
        let limits = &connection.limits;
        let filters = || request.subscriptions.iter().map(|subscription| &subscription.filter);
        if !limits.wildcard_subscriptions && filters().any(TopicFilter::has_wildcard) {
            return Err(Unsupported::WildcardSubscriptions);
        }
        if !limits.shared_subscriptions && filters().any(TopicFilter::is_shared) {
            return Err(Unsupported::SharedSubscriptions);
        }
        if !limits.subscription_identifiers && request.properties.contains::<SubscriptionIdentifier>() {
            return Err(Unsupported::SubscriptionIdentifiers);
        }
        Ok(())
    }

    /// PUBLISH packets may have the Subscription Identifier before SUBACK is received (§3.8.4).
    fn remember_identifier(&mut self, request: &Request) {
        let Some(request) = request.subscribe() else { return };
        if let Some(identifier) = request.properties.get::<SubscriptionIdentifier>()
            && self.session.subscription_identifiers.insert(identifier)
        {
            self.put_session();
        }
    }

    fn forget_subscription(&mut self, filter: &TopicFilter) {
        if self.subscriptions.remove(filter) {
            self.delete(store::subscription_key(filter));
        }
    }

    /// Ignores an answer with an unknown identifier. One of the wrong type is a violation.
    fn unknown_answer(&mut self, id: PacketIdentifier, packet: PacketType) -> Result<(), Violation> {
        if self.operations.request(id).is_some() {
            return Err(Violation::AcknowledgementMisplaced(packet));
        }
        self.statistics.acknowledgements_unknown += 1;
        Ok(())
    }
}

/// The number of subscriptions of a lost Session in one SUBSCRIBE.
const RESTORED_AT_ONCE: usize = 100;
