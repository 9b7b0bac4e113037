//! Packets that the peer must have answered while the connection stood.
//!
//! MQTT 5.0 §3.8.4, §3.10.4, §3.12.4, §4.3; 3.1.1 the same. For both roles: the observer asks, and
//! the peer answers.

use core::time::Duration;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use mqttspec_codec::{Packet, PacketIdentifier, PubAckReason, PubRelReason, QoS, Version};

use super::calm::Calm;
use super::facts::Facts;
use super::{Rule, Tolerance};
use crate::finding::Finding;
use crate::history::{ConnectionKey, History, What};
use crate::per_connection::PerConnection;

const PUBACK: Rule = Rule::new(&["MQTT-4.3.2-4"], &["MQTT-4.3.2-2"]);
const PUBREC: Rule = Rule::new(&["MQTT-4.3.3-8"], &["MQTT-4.3.3-2"]);
const PUBREL: Rule = Rule::new(&["MQTT-4.3.3-4"], &["MQTT-4.3.3-1"]);
const PUBCOMP: Rule = Rule::new(&["MQTT-4.3.3-11"], &["MQTT-4.3.3-2"]);
const SUBACK: Rule = Rule::new(&["MQTT-3.8.4-1"], &["MQTT-3.8.4-1"]);
const UNSUBACK: Rule = Rule::new(&["MQTT-3.10.4-4"], &["MQTT-3.10.4-4"]);
const PINGRESP: Rule = Rule::new(&["MQTT-3.12.4-1"], &["MQTT-3.12.4-1"]);
const FOUND: Rule = Rule::new(&["MQTT-4.3.3-11", "U5-117"], &[]);
const FREE: Rule = Rule::new(&["MQTT-4.3.3-9"], &[]);
const REPEATED: Rule = Rule::new(&["MQTT-4.3.3-10"], &[]);

/// How long the connection must stand after a packet.
const PATIENCE: Duration = Duration::from_secs(4);

/// An answer and its Packet Identifier.
type Answer = (Kind, Option<PacketIdentifier>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    PubAck,
    PubRec,
    PubRel,
    PubComp,
    SubAck,
    UnsubAck,
    PingResp,
}

impl Kind {
    /// Its name, and the rule that demands it.
    fn rule(self) -> (&'static str, Rule) {
        match self {
            Self::PubAck => ("PUBACK", PUBACK),
            Self::PubRec => ("PUBREC", PUBREC),
            Self::PubRel => ("PUBREL", PUBREL),
            Self::PubComp => ("PUBCOMP", PUBCOMP),
            Self::SubAck => ("SUBACK", SUBACK),
            Self::UnsubAck => ("UNSUBACK", UNSUBACK),
            Self::PingResp => ("PINGRESP", PINGRESP),
        }
    }
}

/// The events that ask for the same answer: the first one, and those that ask for another.
struct Waiting {
    first: usize,
    more: VecDeque<usize>,
}

/// What is known of a connection.
#[derive(Default)]
struct Connection {
    version: Option<Version>,
    began: Duration,
    /// When the connection ended, or the observer or the peer said that it ends.
    ended: Option<Duration>,
    /// When the last packet of the peer arrived.
    heard: Duration,
    accepted: bool,
    raw: bool,
    /// The packets that wait for each answer, oldest first.
    waiting: BTreeMap<Answer, Waiting>,
    /// QoS 2 messages of the peer, and those of the observer for which the peer has sent PUBREC.
    received: BTreeSet<PacketIdentifier>,
    recorded: BTreeSet<PacketIdentifier>,
    /// Identifiers whose last message the peer refused, and new messages with such an identifier.
    refused: BTreeSet<PacketIdentifier>,
    fresh: BTreeSet<PacketIdentifier>,
    /// QoS 2 messages that the observer has not released.
    unreleased: BTreeSet<PacketIdentifier>,
}

pub(super) fn judge(history: &History, calm: &Calm<'_>, tolerance: Tolerance) -> Vec<Finding> {
    let mut connections: PerConnection<Connection> = PerConnection::default();
    let mut findings = Vec::new();
    for (index, event) in history.events().iter().enumerate() {
        let Some(key) = event.connection.filter(|key| key.number > 0) else { continue };
        let connection = connections.get_or_default(key);
        match &event.what {
            What::Opened(version) => (connection.version, connection.began) = (Some(*version), event.at),
            What::Closed(_) => drop(connection.ended.get_or_insert(event.at)),
            What::SentRaw { .. } => connection.raw = true,
            What::Sent { packet, .. } => connection.sent(index, event.at, packet),
            What::Received { packet, .. } => {
                connection.heard = event.at;
                let wrong = connection.received(event.at, packet).filter(|_| !connection.raw);
                let version = connection.version.unwrap_or(Version::V3_1_1);
                findings.extend(wrong.and_then(|(rule, expected, actual)| {
                    let actual = format!("{}: {actual}", history.info(key.host).name);
                    rule.broken(history, version, index, expected, actual)
                }));
            }
            What::ReceivedMalformed { .. } => connection.raw = true,
            _ => {}
        }
    }
    let end = history.events().last().map_or(Duration::ZERO, |event| event.at);
    for (key, connection) in
        connections.iter().filter(|(_, connection)| connection.accepted && !connection.raw)
    {
        let host = &history.info(key.host).name;
        let version = connection.version.unwrap_or(Version::V3_1_1);
        for ((kind, _), Waiting { first: event, .. }) in &connection.waiting {
            let at = history.events()[*event].at;
            let until = at + PATIENCE + tolerance.answer;
            // After a fault, the connection may be half-open until the peer is heard again.
            let alive = connection.heard > at || calm.lasts(host, connection.began, until);
            let stood = connection.ended.unwrap_or(end) > until && calm.lasts(host, at, until);
            if !alive || !stood {
                continue;
            }
            let (name, rule) = kind.rule();
            let actual = format!("on the connection of {host} it never came");
            findings.extend(rule.broken(history, version, *event, &format!("a {name}"), actual));
        }
    }
    findings
}

/// PUBREC packets that refuse the repetition of a message because its identifier is in use.
pub(super) fn refused_repeats(facts: &Facts<'_>) -> Vec<Finding> {
    let of_version_5 = |(key, event): &(ConnectionKey, usize)| {
        let link = facts.links.get(*key)?;
        let actual = format!("{}: Packet identifier in use", facts.name(*key));
        let expected = "a PUBREC for a repetition, as for the message";
        REPEATED.broken(facts.history, link.version, *event, expected, actual)
    };
    facts.refused_repeats.iter().filter_map(of_version_5).collect()
}

impl Waiting {
    fn at(event: usize) -> Self {
        Self { first: event, more: VecDeque::new() }
    }
}

impl Connection {
    fn sent(&mut self, index: usize, at: Duration, packet: &Packet) {
        let asks = match packet {
            Packet::ConnAck(ack) => {
                self.accepted |= !ack.reason.is_failure();
                None
            }
            // A peer that is left gets and owes no more answers.
            Packet::Disconnect(_) => {
                self.ended.get_or_insert(at);
                None
            }
            Packet::Publish(publish) => {
                match (publish.delivery.qos(), publish.delivery.packet_identifier()) {
                    (QoS::AtLeastOnce, id) => Some((Kind::PubAck, id)),
                    (QoS::ExactlyOnce, Some(id)) => {
                        if self.refused.remove(&id) && !publish.delivery.dup() {
                            self.fresh.insert(id);
                        }
                        // Each repetition has an answer of its own.
                        let again = !self.unreleased.insert(id) && publish.delivery.dup();
                        match self.waiting.entry((Kind::PubRec, Some(id))) {
                            Entry::Occupied(waiting) if again => waiting.into_mut().more.push_back(index),
                            waiting => {
                                waiting.or_insert(Waiting::at(index));
                            }
                        }
                        None
                    }
                    _ => None,
                }
            }
            Packet::PubRec(ack) => {
                let known = self.received.contains(&ack.id);
                let asks = !ack.reason.is_failure() && known;
                asks.then_some((Kind::PubRel, Some(ack.id)))
            }
            Packet::PubRel(ack) => {
                self.unreleased.remove(&ack.id);
                self.recorded.contains(&ack.id).then_some((Kind::PubComp, Some(ack.id)))
            }
            Packet::Subscribe(subscribe) => Some((Kind::SubAck, Some(subscribe.id))),
            Packet::Unsubscribe(unsubscribe) => Some((Kind::UnsubAck, Some(unsubscribe.id))),
            Packet::PingReq => Some((Kind::PingResp, None)),
            _ => None,
        };
        if let Some(answer) = asks {
            self.waiting.entry(answer).or_insert(Waiting::at(index));
        }
    }

    /// Follows a packet of the peer. Returns what is wrong with it.
    fn received(&mut self, at: Duration, packet: &Packet) -> Option<(Rule, &'static str, String)> {
        let mut wrong = None;
        let answer = match packet {
            Packet::ConnAck(ack) => {
                self.accepted |= !ack.reason.is_failure();
                return None;
            }
            Packet::Disconnect(_) => {
                self.ended.get_or_insert(at);
                return None;
            }
            Packet::Publish(publish) => {
                if let (QoS::ExactlyOnce, Some(id)) =
                    (publish.delivery.qos(), publish.delivery.packet_identifier())
                {
                    self.received.insert(id);
                }
                return None;
            }
            Packet::PubAck(ack) => (Kind::PubAck, Some(ack.id)),
            Packet::PubRec(ack) => {
                let in_use = ack.reason == PubAckReason::PacketIdentifierInUse;
                if in_use && self.fresh.contains(&ack.id) {
                    let expected = "a refused message to free its identifier";
                    wrong = Some((FREE, expected, "Packet identifier in use".to_owned()));
                }
                self.fresh.remove(&ack.id);
                if ack.reason.is_failure() {
                    self.unreleased.remove(&ack.id);
                    self.refused.insert(ack.id);
                } else {
                    self.recorded.insert(ack.id);
                }
                (Kind::PubRec, Some(ack.id))
            }
            // [MQTT-4.4.0-2] forbids to send a PUBLISH again that PUBREC refuses; no text forbids this.
            Packet::PubRel(ack) => (Kind::PubRel, Some(ack.id)),
            Packet::PubComp(ack) => {
                if self.recorded.remove(&ack.id) && ack.reason == PubRelReason::PacketIdentifierNotFound {
                    let expected = "success for a message with a PUBREC";
                    wrong = Some((FOUND, expected, "Packet Identifier not found".to_owned()));
                }
                (Kind::PubComp, Some(ack.id))
            }
            Packet::SubAck(ack) => (Kind::SubAck, Some(ack.id)),
            Packet::UnsubAck(ack) => (Kind::UnsubAck, Some(ack.id)),
            Packet::PingResp => (Kind::PingResp, None),
            _ => return None,
        };
        if let Entry::Occupied(mut waiting) = self.waiting.entry(answer) {
            match waiting.get_mut().more.pop_front() {
                Some(next) => waiting.get_mut().first = next,
                None => drop(waiting.remove()),
            }
        }
        wrong
    }
}
