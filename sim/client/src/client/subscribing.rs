//! SUBSCRIBE and UNSUBSCRIBE (§3.8 to §3.11), and subscribing again when the Server has lost the Session.

use std::time::Duration;

use mqttspec_codec::{
    NonEmpty, Packet, PacketIdentifier, PacketType, SubAck, SubAckReason, Subscribe, Subscription,
    SubscriptionIdentifier, TopicFilter, UnsubAck, UnsubAckReason, Unsubscribe,
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

    /// Sends what waits, in the order of the commands.
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
                    if !matches!(request, Request::Restore(_)) {
                        self.fail(handle, Error::NotSupported(lacking));
                    }
                }
            }
        }
    }

    pub(super) fn receive_suback(&mut self, suback: SubAck) -> Result<(), Violation> {
        let Some(Request::Subscribe(request) | Request::Restore(request)) =
            self.operations.request(suback.id)
        else {
            return self.unknown_answer(suback.id, PacketType::SubAck);
        };
        // 3.9.3: one Reason Code for each Topic Filter
        if request.subscriptions.len() != suback.reasons.len() {
            return Err(Violation::ReasonCodeCount(PacketType::SubAck));
        }
        let Some((handle, request, awaited)) = self.operations.answered(suback.id) else { return Ok(()) };
        self.session.identifiers.release(suback.id);
        let restores = matches!(request, Request::Restore(_));
        let (Request::Subscribe(SubscribeRequest { subscriptions, properties })
        | Request::Restore(SubscribeRequest { subscriptions, properties })) = &request
        else {
            return Ok(());
        };
        let answered: Vec<(Subscription, SubAckReason)> =
            subscriptions.iter().cloned().zip(suback.reasons.iter().copied()).collect();
        for (subscription, reason) in &answered {
            if reason.is_failure() {
                // A subscription of before, which was to be replaced, may live on; one of a lost Session does not.
                if restores {
                    self.forget_subscription(&subscription.filter);
                }
                continue;
            }
            if let Some(value) = store::subscription_value(subscription, properties) {
                self.put(store::subscription_key(&subscription.filter), value);
            }
            self.subscriptions.insert(subscription.clone(), properties.clone());
        }
        match request {
            Request::Restore(_) => {
                self.events.push_back(Event::SubscriptionsRestored { subscriptions: answered });
            }
            _ if awaited => self.events.push_back(Event::Subscribed {
                handle,
                reasons: suback.reasons.into(),
                properties: suback.properties,
            }),
            _ => {}
        }
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
            // Before 5.0 there are no Reason Codes: UNSUBACK is a yes.
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

    /// The Server has lost the Session: asks again for what it had granted.
    pub(super) fn restore_subscriptions(&mut self) {
        if !self.options.resubscribe {
            return self.forget_subscriptions();
        }
        for (properties, subscriptions) in self.subscriptions.groups() {
            // Small enough for any Maximum Packet Size that is meant to be used, and one round trip for most clients.
            for chunk in subscriptions.chunks(RESTORED_AT_ONCE) {
                let handle = Handle(self.next_handle);
                self.next_handle += 1;
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

    /// Commands whose answer is overdue fail; their Packet Identifiers stay in use until the answer or the end comes.
    pub(super) fn expire_operations(&mut self, now: Duration) {
        while let Some((handle, request)) = self.operations.next_overdue(now) {
            let awaited = match request {
                Request::Restore(_) => continue,
                Request::Subscribe(_) => Awaited::SubAck,
                Request::Unsubscribe(_) => Awaited::UnsubAck,
            };
            self.fail(handle, Error::TimedOut(awaited));
        }
    }

    fn packet(&self, id: PacketIdentifier, request: &Request) -> Result<Packet, Unsupported> {
        let packet: Option<Packet> = match request {
            Request::Subscribe(request) | Request::Restore(request) => {
                self.check_supported(request)?;
                NonEmpty::try_from(request.subscriptions.clone()).ok().map(|subscriptions| {
                    Subscribe { id, properties: request.properties.clone(), subscriptions }.into()
                })
            }
            Request::Unsubscribe(request) => NonEmpty::try_from(request.filters.clone())
                .ok()
                .map(|filters| Unsubscribe { id, properties: request.properties.clone(), filters }.into()),
        };
        // Options may have changed since the command was checked.
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

    /// PUBLISH packets may carry the Subscription Identifier before SUBACK comes (§3.8.4).
    fn remember_identifier(&mut self, request: &Request) {
        let (Request::Subscribe(request) | Request::Restore(request)) = request else { return };
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

    /// An answer to nothing is let pass; one to another kind of packet is not.
    fn unknown_answer(&mut self, id: PacketIdentifier, packet: PacketType) -> Result<(), Violation> {
        if self.operations.request(id).is_some() {
            return Err(Violation::AcknowledgementMisplaced(packet));
        }
        self.counters.acknowledgements_unknown += 1;
        Ok(())
    }
}

/// How many subscriptions of a lost Session go into one SUBSCRIBE.
const RESTORED_AT_ONCE: usize = 100;
