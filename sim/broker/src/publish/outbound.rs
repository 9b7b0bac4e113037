//! PUBLISH to a Client and the handshakes that follow it (§3.3.4, §4.3, §4.4, §4.9): the Server as
//! sender.

use std::time::Duration;

use mqttspec_codec::{
    self as codec, DisconnectReason, Packet, PacketIdentifier, Properties, PubAck, PubAckReason, PubComp,
    PubRec, PubRel, PubRelReason, Publish, QoS, SubscriptionIdentifier,
};

use crate::broker::Broker;
use crate::connection::Connection;
use crate::connection_id::ConnectionId;
use crate::event::{Drop, Event};
use crate::fault::Fault;
use crate::memory::{Memory, has_memory};
use crate::message::Delivery;
use crate::options::{Options, QueuePolicy};
use crate::outbound::Stage;
use crate::output::{Output, fits};
use crate::session::{Session, SessionKey};
use crate::timers::Timer;

/// A message of a few bytes counts as this many more.
const PACKET_BYTES: u64 = 256;

impl Broker {
    /// Gives a Session its copy of a message. It is sent at once, when the send quota allows it, or
    /// when the Client reconnects.
    pub(crate) fn deliver(&mut self, now: Duration, key: SessionKey, delivery: Delivery) {
        if delivery.qos == QoS::AtMostOnce {
            self.deliver_qos_0(now, key, delivery);
            return;
        }
        if !self.make_room(now, key, &delivery) {
            return;
        }
        let Some(session) = self.sessions.get_mut(&key) else { return };
        let recorded = session.recorded;
        let order = session.outbound.wait(delivery);
        if let Some(delivery) = session.outbound.last_waiting() {
            self.records.add_delivery(key, recorded, order, delivery);
        }
        self.pump(now, key);
    }

    /// [MQTT-4.3.1-1] sent once, or never
    fn deliver_qos_0(&mut self, now: Duration, key: SessionKey, delivery: Delivery) {
        let Some(session) = self.sessions.get_mut(&key) else { return };
        let connection = session.connection.and_then(|id| Some((id, self.connections.get_mut(&id)?)));
        match connection {
            // Those that have waited are sent first.
            Some((id, connection)) if !connection.congested && !session.outbound.has_waiting_qos_0() => {
                send_publish(
                    now,
                    &mut self.output,
                    id,
                    connection,
                    session,
                    &delivery,
                    codec::Delivery::AtMostOnce,
                );
            }
            Some((_, connection)) if connection.congested => {
                dropped(&mut self.output, session, &delivery, Drop::Congested);
            }
            None if !self.options.queue_qos_0 => dropped(&mut self.output, session, &delivery, Drop::Away),
            _ => {
                if self.make_room(now, key, &delivery)
                    && let Some(session) = self.sessions.get_mut(&key)
                {
                    session.outbound.wait_qos_0(delivery);
                }
            }
        }
    }

    /// Makes room for the message by the queue policy. Returns whether there is room.
    fn make_room(&mut self, now: Duration, key: SessionKey, delivery: &Delivery) -> bool {
        let Some(session) = self.sessions.get_mut(&key) else { return false };
        if has_room(session, delivery, &self.options, &self.memory) {
            return true;
        }
        // Expired messages are dropped first.
        for (order, expired) in session.outbound.take_expired(now) {
            self.records.delete_delivery(key, session.recorded, order, Some(&expired.message));
            dropped(&mut self.output, session, &expired, Drop::Expired);
        }
        if self.options.queue_policy == QueuePolicy::DropOldest {
            while !has_room(session, delivery, &self.options, &self.memory) {
                if let Some((order, oldest)) = session.outbound.take_waiting() {
                    self.records.delete_delivery(key, session.recorded, order, Some(&oldest.message));
                    dropped(&mut self.output, session, &oldest, Drop::QueueFull);
                } else if let Some(oldest) = session.outbound.take_waiting_qos_0() {
                    dropped(&mut self.output, session, &oldest, Drop::QueueFull);
                } else {
                    break;
                }
            }
        }
        if has_room(session, delivery, &self.options, &self.memory) {
            return true;
        }
        dropped(&mut self.output, session, delivery, Drop::QueueFull);
        if self.options.queue_policy == QueuePolicy::Disconnect
            && let Some(id) = session.connection
        {
            let fault = Fault::new(DisconnectReason::QuotaExceeded, "too many messages wait for the Client");
            self.output.to_disconnect.push_back((id, fault));
        }
        false
    }

    /// [MQTT-4.4.0-1] Re-sends what a resumed Session has in flight: PUBREL if PUBREC was received,
    /// PUBLISH otherwise (in `pump`). Then sends the messages that wait.
    pub(crate) fn resume_delivery(&mut self, now: Duration, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(&key) else { return };
        let Some(id) = session.connection else { return };
        // [MQTT-4.3.3-6] after PUBREC the PUBLISH is never sent again
        for identifier in session.outbound.reconnect() {
            if let Some(connection) = self.connections.get(&id) {
                self.output.send(id, connection, PubRel::success(identifier).into());
            }
        }
        self.pump(now, key);
        self.continue_scans(now, key);
    }

    /// Sends as many messages as the send quota allows: first those that were sent on an earlier
    /// Network Connection, then those that wait, in order [MQTT-4.6.0-5] [MQTT-4.6.0-6]
    /// 3.1.1/[MQTT-4.6.0-6].
    pub(crate) fn pump(&mut self, now: Duration, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(&key) else { return };
        let Some(id) = session.connection else { return };
        if session.outbound.has_waiting_qos_0() {
            return self.pump_qos_0(now, key);
        }
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let recorded = session.recorded;
        // [MQTT-4.9.0-1] never 0, and reset with each Network Connection
        let quota = usize::from(connection.client.receive_maximum.min(self.options.send_maximum).get());
        // [MQTT-3.3.4-9] [MQTT-4.9.0-2] [MQTT-3.3.4-10] [MQTT-4.9.0-3] only PUBLISH waits for the
        // quota
        let mut bytes = 0;
        while !connection.congested && session.outbound.unacknowledged() < quota {
            if bytes >= self.sizes.sent_bytes {
                self.continue_delivery(now, key);
                return;
            }
            if let Some(order) = session.outbound.take_resend() {
                let Some((identifier, delivery)) = session.outbound.publish_in_flight(order) else {
                    continue;
                };
                // [MQTT-3.3.1-1] [MQTT-4.3.3-7] DUP 1, the same identifier, and the
                // message no longer expires
                let attempt = attempt(delivery.qos, identifier, true);
                bytes += PACKET_BYTES + delivery.weight();
                self.effort += 1;
                if !send_publish(now, &mut self.output, id, connection, session, &delivery, attempt) {
                    session.outbound.end(order);
                    self.records.delete_delivery(key, session.recorded, order, Some(&delivery.message));
                }
                continue;
            }
            let Some(delivery) = session.outbound.next_waiting() else { break };
            let (expired, qos) = (delivery.message.has_expired(now), delivery.qos);
            bytes += PACKET_BYTES + delivery.weight();
            self.effort += 1;
            // [MQTT-2.2.1-4] [MQTT-4.3.2-1] [MQTT-4.3.3-1]
            let Some(identifier) = session.outbound.allocate() else { break };
            let Some(delivery) = session.outbound.next_waiting() else { break };
            // [MQTT-4.3.2-2] [MQTT-4.3.3-2] [MQTT-3.3.1-3]
            let attempt = attempt(qos, identifier, false);
            // [MQTT-3.3.2-5]
            if !expired && send_publish(now, &mut self.output, id, connection, session, delivery, attempt) {
                // [MQTT-4.3.2-3] [MQTT-4.3.3-3] unacknowledged from here on
                if let Some((order, delivery)) = session.outbound.begin_waiting(identifier) {
                    self.records.begin_delivery(key, recorded, order, identifier, delivery);
                }
            } else if let Some((order, delivery)) = session.outbound.take_waiting() {
                self.records.delete_delivery(key, recorded, order, Some(&delivery.message));
                if expired {
                    dropped(&mut self.output, session, &delivery, Drop::Expired);
                }
            }
        }
    }

    /// [`pump`](Self::pump), after the QoS 0 messages that have waited: these need no quota.
    #[cold]
    fn pump_qos_0(&mut self, now: Duration, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(&key) else { return };
        let Some(id) = session.connection else { return };
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let mut bytes = 0;
        while !connection.congested && bytes < self.sizes.sent_bytes {
            let Some(delivery) = session.outbound.take_waiting_qos_0() else { return self.pump(now, key) };
            bytes += PACKET_BYTES + delivery.weight();
            self.effort += 1;
            if delivery.message.has_expired(now) {
                dropped(&mut self.output, session, &delivery, Drop::Expired);
            } else {
                let attempt = codec::Delivery::AtMostOnce;
                send_publish(now, &mut self.output, id, connection, session, &delivery, attempt);
            }
        }
        if !connection.congested {
            self.continue_delivery(now, key);
        }
    }

    /// There are more messages to send than should be sent at once: the driver must be able to
    /// report that the Client does not read.
    fn continue_delivery(&mut self, now: Duration, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(&key) else { return };
        if !std::mem::replace(&mut session.is_sending, true) {
            if self.sending.is_empty() {
                self.timers.set(Timer::Deliveries, self.sizes.soon(now));
            }
            self.sending.push_back(key);
        }
    }

    /// The timer has fired.
    pub(crate) fn run_deliveries(&mut self, now: Duration) {
        for _ in 0..self.sizes.receivers {
            let Some(key) = self.sending.pop_front() else { return };
            if let Some(session) = self.sessions.get_mut(&key) {
                session.is_sending = false;
                self.pump(now, key);
            }
        }
        if !self.sending.is_empty() {
            self.timers.set(Timer::Deliveries, self.sizes.soon(now));
        }
    }

    /// PUBACK ends a QoS 1 exchange. An unknown identifier may belong to a Session that has ended.
    pub(crate) fn handle_puback(
        &mut self,
        now: Duration,
        key: SessionKey,
        puback: &PubAck,
    ) -> Result<(), Fault> {
        match self.open_qos(key, puback.id) {
            Some(QoS::AtLeastOnce) => self.end_exchange(now, key, puback.id, puback.reason),
            Some(_) => return Err(Fault::protocol("PUBACK for a QoS 2 PUBLISH")),
            None => {}
        }
        Ok(())
    }

    /// PUBREC: the Client has received the message, or refuses it.
    pub(crate) fn handle_pubrec(
        &mut self,
        now: Duration,
        id: ConnectionId,
        key: SessionKey,
        pubrec: &PubRec,
    ) -> Result<(), Fault> {
        match self.open_qos(key, pubrec.id) {
            Some(QoS::AtLeastOnce) => Err(Fault::protocol("PUBREC for a QoS 1 PUBLISH")),
            Some(_) if pubrec.reason.is_failure() => {
                self.end_exchange(now, key, pubrec.id, pubrec.reason);
                Ok(())
            }
            Some(_) => {
                self.release(key, pubrec.id);
                // [MQTT-4.3.3-4] [MQTT-2.2.1-5] for a repeated PUBREC too
                self.send(id, PubRel::success(pubrec.id));
                Ok(())
            }
            // A refusal has ended the exchange on the Client's side: it expects no PUBREL.
            None if pubrec.reason.is_failure() => Ok(()),
            None => {
                // §3.6.2.1: not an error during recovery. The Client expects PUBREL.
                let properties =
                    self.explanation(id, "no QoS 2 message with this Packet Identifier is in flight");
                let reason = self.not_found_for(id);
                self.send(id, PubRel { id: pubrec.id, reason, properties });
                Ok(())
            }
        }
    }

    /// PUBCOMP ends a QoS 2 exchange.
    pub(crate) fn handle_pubcomp(
        &mut self,
        now: Duration,
        key: SessionKey,
        pubcomp: &PubComp,
    ) -> Result<(), Fault> {
        let Some(session) = self.sessions.get_mut(&key) else { return Ok(()) };
        let Some((order, in_flight)) = session.outbound.find(pubcomp.id) else { return Ok(()) };
        match in_flight.stage {
            Stage::PubRel => {
                // [MQTT-4.3.3-5] and the identifier is free
                session.outbound.end(order);
                self.records.delete_delivery(key, session.recorded, order, None);
                let scans = !session.scans.is_empty();
                self.pump(now, key);
                if scans {
                    self.continue_scans(now, key);
                }
                Ok(())
            }
            Stage::Publish(_) => Err(Fault::protocol("PUBCOMP before PUBREC")),
        }
    }

    /// The QoS of the open exchange with this identifier.
    fn open_qos(&self, key: SessionKey, identifier: PacketIdentifier) -> Option<QoS> {
        let (_, in_flight) = self.sessions.get(&key)?.outbound.find(identifier)?;
        Some(match &in_flight.stage {
            Stage::Publish(delivery) => delivery.qos,
            Stage::PubRel => QoS::ExactlyOnce,
        })
    }

    /// PUBACK, or a PUBREC that refuses: ends the exchange and frees its identifier.
    fn end_exchange(
        &mut self,
        now: Duration,
        key: SessionKey,
        identifier: PacketIdentifier,
        reason: PubAckReason,
    ) {
        let Some(session) = self.sessions.get_mut(&key) else { return };
        let Some((order, _)) = session.outbound.find(identifier) else { return };
        let Some(in_flight) = session.outbound.end(order) else { return };
        let message = match &in_flight.stage {
            Stage::Publish(delivery) => {
                if reason.is_failure() {
                    // [MQTT-4.4.0-2] [MQTT-4.8.2-6] dropped, and not sent to another member of a
                    // Shared Subscription
                    dropped(&mut self.output, session, delivery, Drop::Refused);
                }
                Some(&*delivery.message)
            }
            Stage::PubRel => None,
        };
        self.records.delete_delivery(key, session.recorded, order, message);
        let scans = !session.scans.is_empty();
        self.pump(now, key);
        if scans {
            self.continue_scans(now, key);
        }
    }

    /// Moves an exchange from PUBLISH to PUBREL; the message itself is no longer needed.
    fn release(&mut self, key: SessionKey, identifier: PacketIdentifier) {
        let Some(session) = self.sessions.get_mut(&key) else { return };
        let recorded = session.recorded;
        let Some((before, in_flight)) = session.outbound.find(identifier) else { return };
        if matches!(in_flight.stage, Stage::Publish(_))
            && let Some((order, delivery)) = session.outbound.release(before)
        {
            self.records.delete_delivery(key, recorded, before, Some(&delivery.message));
            self.records.put_released(key, recorded, order, identifier);
        }
    }

    fn not_found_for(&self, id: ConnectionId) -> PubRelReason {
        match self.connections.get(&id) {
            Some(connection) if connection.version.is_5() => PubRelReason::PacketIdentifierNotFound,
            _ => PubRelReason::Success,
        }
    }
}

fn attempt(qos: QoS, id: PacketIdentifier, dup: bool) -> codec::Delivery {
    match qos {
        QoS::AtMostOnce => codec::Delivery::AtMostOnce,
        QoS::AtLeastOnce => codec::Delivery::AtLeastOnce { id, dup },
        QoS::ExactlyOnce => codec::Delivery::ExactlyOnce { id, dup },
    }
}

fn has_room(session: &Session, delivery: &Delivery, options: &Options, memory: &Memory) -> bool {
    let count = session.outbound.waiting_count() as u64 + 1;
    let bytes = session.outbound.bytes() + delivery.weight();
    let within = |value: u64, maximum: u64| maximum == 0 || value <= maximum;
    // A message that is sent at once needs no memory.
    let is_idle = session.outbound.load() == 0 && session.connection.is_some();
    within(count, options.queue_maximum.into())
        && within(bytes, options.queue_maximum_bytes)
        && (is_idle || has_memory(memory, options.memory_maximum, bytes))
}

fn dropped(output: &mut Output, session: &Session, delivery: &Delivery, why: Drop) {
    output.message_event(|| Event::MessageDropped {
        client_id: session.client_id.clone(),
        topic: delivery.message.topic.clone(),
        why,
    });
}

/// Sends one PUBLISH. Returns false if it is too large for the Client, or the user may not read it:
/// then it is dropped and counts as delivered [MQTT-3.1.2-25].
fn send_publish(
    now: Duration,
    output: &mut Output,
    id: ConnectionId,
    connection: &mut Connection,
    session: &Session,
    delivery: &Delivery,
    attempt: codec::Delivery,
) -> bool {
    let message = &delivery.message;
    // §5.4.2: it may have been stored under another users file.
    if !session.permissions.may_receive(&message.topic) {
        dropped(output, session, delivery, Drop::NotAuthorized);
        return false;
    }
    let plain = Packet::Publish(Publish {
        topic: Some(message.topic.clone()),
        delivery: attempt,
        retain: delivery.retain,
        properties: if connection.version.is_5() { properties(now, delivery) } else { Properties::new() },
        payload: message.payload.clone(),
    });
    let packet = if connection.aliases_to_client.are_used() { with_alias(connection, plain) } else { plain };
    // [MQTT-3.1.2-24]
    if !fits(connection, &packet) {
        dropped(output, session, delivery, Drop::TooLarge);
        return false;
    }
    output.transmit(id, connection, packet);
    output.messages_sent += 1;
    true
}

fn properties(now: Duration, delivery: &Delivery) -> Properties<Publish> {
    let message = &delivery.message;
    let mut properties = message.properties.clone();
    if let Some(expiry) = message.expiry {
        // [MQTT-3.3.2-6]
        properties.set(expiry.remaining(now));
    }
    // [MQTT-3.3.4-3] [MQTT-3.3.4-4] [MQTT-3.3.4-5]
    properties.extend(
        delivery.identifiers.iter().filter_map(|identifier| SubscriptionIdentifier::new(identifier.get())),
    );
    properties
}

/// The PUBLISH with a Topic Alias (§3.3.2.3.4), if it fits with it: without the topic if the Client
/// knows the alias, otherwise with it. An alias can be longer than its topic.
fn with_alias(connection: &mut Connection, plain: Packet) -> Packet {
    let Packet::Publish(publish) = &plain else { return plain };
    let Some(topic) = publish.topic.clone() else { return plain };
    let known = connection.aliases_to_client.get(&topic);
    let Some(alias) = known.or_else(|| connection.aliases_to_client.next()) else { return plain };
    let topic_beside = if known.is_some() { None } else { Some(topic.clone()) };
    let packet = Packet::Publish(Publish { topic: topic_beside, ..publish.clone() }.with(alias));
    if !fits(connection, &packet) {
        return plain;
    }
    if known.is_none() {
        // Only now is it certain that the Client receives the mapping.
        connection.aliases_to_client.assign(&topic);
    }
    packet
}
