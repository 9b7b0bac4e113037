//! PUBLISH from a Client and the handshakes that follow it (§3.3.4, §4.3): the Server as receiver.

use std::time::Duration;

use mqttspec_codec::{
    DisconnectReason, MessageExpiryInterval, Packet, PacketIdentifier, PayloadFormatIndicator, PubAck,
    PubAckReason, PubComp, PubRec, PubRel, PubRelReason, Publish, QoS, TopicAlias, TopicName, Version,
};

use crate::authentication::Permissions;
use crate::broker::Broker;
use crate::connection_id::ConnectionId;
use crate::fault::Fault;
use crate::memory::{IDENTIFIER_BYTES, MESSAGE_BYTES, has_memory, has_plenty};
use crate::message::{Expiry, Message};
use crate::options::{DollarTopics, UnauthorizedPublish};
use crate::published::STATISTICS;
use crate::session::SessionKey;

/// Payloads below this size, in bytes, are copied if the message may have to wait.
const SMALL: usize = 4096;

/// Whether the Server accepts a message whose PUBLISH is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Judgement {
    Take,
    /// The acknowledgement has the reason; the Network Connection stays open.
    Refuse(PubAckReason, &'static str),
}

/// What happened to the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// The number of copies that were given to Sessions.
    Taken(usize),
    Refused(PubAckReason, &'static str),
}

impl Broker {
    pub(crate) fn handle_publish(
        &mut self,
        now: Duration,
        id: ConnectionId,
        key: SessionKey,
        publish: &Publish,
    ) -> Result<(), Fault> {
        self.published.received += 1;
        self.check_capabilities(id, publish)?;
        // The alias is mapped even if the message is refused (U5-083).
        let topic = self.resolve_topic(id, publish)?;
        let identifier = publish.delivery.packet_identifier();
        let exactly_once = publish.delivery.qos() == QoS::ExactlyOnce;
        if let Some(identifier) = identifier {
            self.check_receive_maximum(id, identifier)?;
            let received =
                self.sessions.get(&key).is_some_and(|session| session.received.contains(&identifier));
            if exactly_once && received {
                // [MQTT-4.3.3-10] 3.1.1/[MQTT-4.3.3-2] the same identifier before PUBREL is a
                // repetition, whatever DUP is: acknowledged, not delivered
                self.note_unacknowledged(id, identifier);
                self.send(id, Packet::PubRec(PubRec::success(identifier)));
                return Ok(());
            }
        }
        // [MQTT-4.3.2-5] [MQTT-4.3.3-9] [MQTT-4.3.3-12] otherwise it is a new message, even with
        // DUP 1
        let outcome = match self.judge(id, &topic, publish)? {
            Judgement::Take => Outcome::Taken(self.take_message(now, key, topic, publish)),
            Judgement::Refuse(reason, detail) => Outcome::Refused(reason, detail),
        };
        // [MQTT-4.5.0-1] The message is in the Session State of its receivers, so the
        // acknowledgement can transfer ownership. [MQTT-4.3.3-13] It is sent even if copies have
        // expired.
        match identifier {
            None => {}
            Some(identifier) if exactly_once => self.acknowledge_qos_2(id, key, identifier, outcome),
            Some(identifier) => self.acknowledge_qos_1(id, identifier, outcome),
        }
        Ok(())
    }

    /// Refuses what CONNACK announced as not available.
    fn check_capabilities(&self, id: ConnectionId, publish: &Publish) -> Result<(), Fault> {
        let speaks_5 = || self.connections.get(&id).is_some_and(|connection| connection.version.is_5());
        if publish.delivery.qos() > self.options.maximum_qos {
            // §3.2.2.3.4; a Client before 5.0 could not know, but is closed too
            let fault = Fault::new(DisconnectReason::QoSNotSupported, "the QoS is above the Maximum QoS");
            return Err(if speaks_5() { fault.breaking(&["MQTT-3.2.2-11"]) } else { fault });
        }
        if publish.retain && !self.options.retain_available && speaks_5() {
            // §3.2.2.3.5; before 5.0 the message is published and not retained
            return Err(Fault::new(
                DisconnectReason::RetainNotSupported,
                "RETAIN 1 although Retain Available is 0",
            )
            .breaking(&["MQTT-3.2.2-14"]));
        }
        Ok(())
    }

    /// The Topic Name, from the packet or from a Topic Alias (§3.3.2.3.4).
    fn resolve_topic(&mut self, id: ConnectionId, publish: &Publish) -> Result<TopicName, Fault> {
        let alias = publish.properties.get().map(|TopicAlias(alias)| alias);
        let Some(connection) = self.connections.get_mut(&id) else {
            return Err(Fault::protocol("no Network Connection"));
        };
        // [MQTT-3.3.2-12] every alias from 1 to the maximum is accepted
        if alias.is_some_and(|alias| alias.get() > connection.alias_maximum) {
            return Err(Fault::new(
                DisconnectReason::TopicAliasInvalid,
                "the Topic Alias is above the Topic Alias Maximum",
            ));
        }
        match (&publish.topic, alias) {
            (Some(topic), None) => Ok(topic.clone()),
            (Some(topic), Some(alias)) => {
                let before = connection.aliases_from_client.insert(alias, topic.detached());
                connection.charge.sub(before.map_or(0, |topic| topic.as_bytes().len() as u64));
                connection.charge.add(topic.as_bytes().len() as u64);
                let held = connection.charge.bytes();
                if has_memory(&self.memory, self.options.memory_maximum, held) {
                    Ok(topic.clone())
                } else {
                    let detail = "the Server has no memory for the Topic Aliases of the Client";
                    Err(Fault::new(DisconnectReason::QuotaExceeded, detail))
                }
            }
            (None, Some(alias)) => {
                // [MQTT-3.3.2-7] only mappings of this Network Connection
                let topic = connection.aliases_from_client.get(&alias).cloned();
                topic.ok_or(Fault::protocol("the Topic Alias has no mapping"))
            }
            (None, None) => Err(Fault::protocol("neither Topic Name nor Topic Alias").breaking(&[])),
        }
    }

    /// §3.3.4, §4.9: QoS 1 messages are acknowledged before the next packet is processed, so only
    /// QoS 2 exchanges stay open.
    fn check_receive_maximum(&self, id: ConnectionId, identifier: PacketIdentifier) -> Result<(), Fault> {
        let Some(connection) = self.connections.get(&id) else { return Ok(()) };
        let open = &connection.unacknowledged;
        if connection.version.is_5()
            && !open.contains(&identifier)
            && open.len() >= usize::from(self.options.receive_maximum.get())
        {
            return Err(Fault::new(
                DisconnectReason::ReceiveMaximumExceeded,
                "more unacknowledged PUBLISH packets than Receive Maximum",
            ));
        }
        Ok(())
    }

    fn note_unacknowledged(&mut self, id: ConnectionId, identifier: PacketIdentifier) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.unacknowledged.insert(identifier);
        }
    }

    /// Whether the Server accepts the message. Every check comes before PUBREC, since PUBREL and
    /// PUBCOMP cannot refuse.
    fn judge(&self, id: ConnectionId, topic: &TopicName, publish: &Publish) -> Result<Judgement, Fault> {
        let Some(connection) = self.connections.get(&id) else { return Ok(Judgement::Take) };
        if let Err(detail) = self.may_publish(&connection.permissions, topic) {
            return match self.options.unauthorized_publish {
                // 3.1.1/[MQTT-3.3.5-2] closing is one of the two options; §4.13.2. U31-027: not in 3.1
                UnauthorizedPublish::Disconnect if connection.version != Version::V3_1 => {
                    Err(Fault::new(DisconnectReason::NotAuthorized, detail))
                }
                _ => Ok(Judgement::Refuse(PubAckReason::NotAuthorized, detail)),
            };
        }
        let says_text = publish.properties.get() == Some(PayloadFormatIndicator::Utf8);
        if self.options.check_payload_format && says_text && std::str::from_utf8(&publish.payload).is_err() {
            let detail = "the payload is not UTF-8 although its Payload Format Indicator is 1";
            return match publish.delivery.qos() {
                // QoS 0 has no acknowledgement to refuse it with (U5-070).
                QoS::AtMostOnce => Err(Fault::new(DisconnectReason::PayloadFormatInvalid, detail)),
                _ => Ok(Judgement::Refuse(PubAckReason::PayloadFormatInvalid, detail)),
            };
        }
        let is_busy = || {
            let session = connection.session().and_then(|key| self.sessions.get(&key));
            session.is_some_and(|session| {
                self.distributes_enough_of(&session.client_id) || self.serves_enough_of(&session.client_id)
            })
        };
        let held = || {
            let session = connection.session().and_then(|key| self.sessions.get(&key));
            session.map_or(0, |session| session.charge.bytes())
        };
        let too_many = if publish.retain && !self.has_room_to_retain(topic, &publish.payload) {
            Some("the Server has no room for more retained messages")
        } else if publish.delivery.qos() == QoS::ExactlyOnce
            && !has_plenty(&self.memory, self.options.memory_maximum)
            && !self.has_memory(held())
        {
            Some("the Server has no memory for more QoS 2 messages of the Client")
        } else if (!self.distributions.is_empty() || !self.routings.queue.is_empty()) && is_busy() {
            Some("too many messages of the Client are being given to Subscriptions in parts")
        } else {
            None
        };
        if let Some(detail) = too_many {
            return if connection.version.is_5() && publish.delivery.qos() > QoS::AtMostOnce {
                Ok(Judgement::Refuse(PubAckReason::QuotaExceeded, detail))
            } else {
                // 3.1.1/[MQTT-4.8.0-2] no acknowledgement can refuse it
                Err(Fault::new(DisconnectReason::QuotaExceeded, detail))
            };
        }
        Ok(Judgement::Take)
    }

    /// Whether these permissions allow a PUBLISH to the topic; if not, the reason.
    pub(crate) fn may_publish(
        &self,
        permissions: &Permissions,
        topic: &TopicName,
    ) -> Result<(), &'static str> {
        if topic.as_bytes().starts_with(STATISTICS.as_bytes()) && !self.options.statistics_interval.is_zero()
        {
            return Err("the Server publishes to these topics itself");
        }
        // §4.7.2: Clients should not use topics that begin with $ to exchange messages
        if topic.as_bytes().first() == Some(&b'$') && self.options.dollar_topics == DollarTopics::Refuse {
            return Err("Clients may not publish to $ topics");
        }
        if permissions.may_publish(topic) { Ok(()) } else { Err("the user may not publish to this topic") }
    }

    /// Publishes the message. Returns the number of copies that were given to Sessions.
    fn take_message(&mut self, now: Duration, key: SessionKey, topic: TopicName, publish: &Publish) -> usize {
        // A small message that waits must not keep the large receive buffer alive.
        let waits = publish.delivery.qos() > QoS::AtMostOnce && publish.payload.len() < SMALL;
        let (topic, publish) = if waits { (topic.detached(), &publish.detached()) } else { (topic, publish) };
        let session = self.sessions.get(&key);
        let (publisher, user) =
            session.map(|session| (session.client_id.clone(), session.owner.clone())).unwrap_or_default();
        let interval = publish.properties.get().map(|MessageExpiryInterval(interval)| interval);
        let mut properties = publish.properties.clone();
        if interval.is_some() {
            properties.remove::<MessageExpiryInterval>();
        }
        // The publisher's alias is not forwarded (U5-082).
        if properties.contains::<TopicAlias>() {
            properties.remove::<TopicAlias>();
        }
        let bytes = topic.as_bytes().len() + properties.as_bytes().len() + publish.payload.len();
        let message = Message {
            charge: self.memory.charge(bytes as u64 + MESSAGE_BYTES),
            id: self.next_message_id(),
            publisher,
            user,
            topic,
            qos: publish.delivery.qos(),
            retain: publish.retain && self.options.retain_available,
            // [MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-18]
            // [MQTT-3.3.2-20] unaltered, in their order
            properties,
            expiry: interval.map(|interval| Expiry { interval, since: now }),
            payload: publish.payload.clone(),
        };
        self.accept_message(now, message)
    }

    /// [MQTT-4.3.2-4] 3.1.1/[MQTT-4.3.2-2]
    fn acknowledge_qos_1(&mut self, id: ConnectionId, identifier: PacketIdentifier, outcome: Outcome) {
        if let Some((reason, detail)) = self.acknowledgement(id, outcome) {
            // [MQTT-3.3.4-1] [MQTT-2.2.1-5] [MQTT-3.4.2-1]
            let properties = self.explanation(id, detail);
            self.send(id, Packet::PubAck(PubAck { id: identifier, reason, properties }));
        }
    }

    /// [MQTT-4.3.3-8] 3.1.1/[MQTT-4.3.3-2]
    fn acknowledge_qos_2(
        &mut self,
        id: ConnectionId,
        key: SessionKey,
        identifier: PacketIdentifier,
        outcome: Outcome,
    ) {
        let Some((reason, detail)) = self.acknowledgement(id, outcome) else { return };
        // [MQTT-4.3.3-9] after a refusal the identifier is not remembered
        if !reason.is_failure() {
            if let Some(session) = self.sessions.get_mut(&key) {
                session.received.insert(identifier);
                session.charge.add(IDENTIFIER_BYTES);
                self.records.put_received(key, session.recorded, identifier);
            }
            self.note_unacknowledged(id, identifier);
        }
        // [MQTT-3.3.4-1] [MQTT-2.2.1-5] [MQTT-3.5.2-1]
        let properties = self.explanation(id, detail);
        self.send(id, Packet::PubRec(PubRec { id: identifier, reason, properties }));
    }

    /// The Reason Code and Reason String of PUBACK or PUBREC.
    fn acknowledgement(&self, id: ConnectionId, outcome: Outcome) -> Option<(PubAckReason, &'static str)> {
        let speaks_5 = self.connections.get(&id)?.version.is_5();
        Some(match outcome {
            // 3.1.1/[MQTT-3.3.5-2] a positive acknowledgement, since there is no other
            _ if !speaks_5 => (PubAckReason::Success, ""),
            Outcome::Refused(reason, detail) => (reason, detail),
            Outcome::Taken(0) if self.options.report_no_matching_subscribers => {
                (PubAckReason::NoMatchingSubscribers, "")
            }
            Outcome::Taken(_) => (PubAckReason::Success, ""),
        })
    }

    /// PUBREL: the Client will not send this PUBLISH again.
    pub(crate) fn handle_pubrel(
        &mut self,
        id: ConnectionId,
        key: SessionKey,
        pubrel: &PubRel,
    ) -> Result<(), Fault> {
        let identifier = pubrel.id;
        let Some(session) = self.sessions.get_mut(&key) else { return Ok(()) };
        let known = session.received.remove(&identifier);
        if known {
            session.charge.sub(IDENTIFIER_BYTES);
            self.records.delete_received(key, session.recorded, identifier);
        }
        let Some(connection) = self.connections.get_mut(&id) else { return Ok(()) };
        connection.unacknowledged.remove(&identifier);
        // [MQTT-4.3.3-11] 3.1.1/[MQTT-4.3.3-2] always; §3.7.2.1: an unknown identifier is not an
        // error during recovery
        let (reason, detail) = if known || !connection.version.is_5() {
            (PubRelReason::Success, "")
        } else {
            (PubRelReason::PacketIdentifierNotFound, "no QoS 2 message with this Packet Identifier is open")
        };
        let properties = self.explanation(id, detail);
        self.send(id, Packet::PubComp(PubComp { id: identifier, reason, properties }));
        Ok(())
    }

    /// Whether a message may be retained for this topic.
    fn has_room_to_retain(&self, topic: &TopicName, payload: &[u8]) -> bool {
        let maximum = self.options.maximum_retained as usize;
        let is_free = payload.is_empty() || self.retained.contains(topic);
        is_free || (maximum == 0 || self.retained_of_clients() < maximum) && self.has_memory(u64::MAX)
    }
}
