//! Packets that the Server must have answered by the end of the run.
//!
//! Only on connections that still stand at the end, long after the last fault.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use mqttspec_codec::{Packet, PacketIdentifier, QoS};

use super::Rule;
use super::facts::Facts;
use crate::finding::Finding;
use crate::history::{ConnectionKey, What};

const PUBACK: Rule = Rule::new(&["MQTT-4.3.2-4"], &["MQTT-4.3.2-2"]);
const PUBREC: Rule = Rule::new(&["MQTT-4.3.3-8"], &["MQTT-4.3.3-2"]);
const PUBREL: Rule = Rule::new(&["MQTT-4.3.3-4"], &["MQTT-4.3.3-1"]);
const PUBCOMP: Rule = Rule::new(&["MQTT-4.3.3-11"], &["MQTT-4.3.3-2"]);
const SUBACK: Rule = Rule::new(&["MQTT-3.8.4-1"], &["MQTT-3.8.4-1"]);
const UNSUBACK: Rule = Rule::new(&["MQTT-3.10.4-4"], &["MQTT-3.10.4-4"]);
const PINGRESP: Rule = Rule::new(&["MQTT-3.12.4-1"], &["MQTT-3.12.4-1"]);

/// How long before the end of the run a packet must have been sent.
const PATIENCE: Duration = Duration::from_secs(4);

/// The minimum time between the end of the last fault and the end of the run, so that lost segments
/// are retransmitted.
const RECOVERY: Duration = Duration::from_secs(12);

/// An answer: its name and its Packet Identifier.
type Answer = (&'static str, Option<PacketIdentifier>);

pub(super) fn judge(facts: &Facts<'_>) -> Vec<Finding> {
    let events = facts.history.events();
    let Some(end) = events.last().map(|event| event.at) else { return Vec::new() };
    if facts.raw || facts.last_fault.is_some_and(|fault| fault + RECOVERY > end) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for ((key, (name, _)), event) in waiting(facts) {
        let Some(link) = facts.links.get(&key).filter(|link| link.open) else { continue };
        // A Server that crashed leaves connections of which the client knows nothing.
        let stands =
            link.accepted.is_some_and(|(event, _)| facts.last_of_server.is_none_or(|fault| fault < event));
        if !stands {
            continue;
        }
        if events[event].at + PATIENCE > end {
            continue;
        }
        let rule = match name {
            "PUBACK" => PUBACK,
            "PUBREC" => PUBREC,
            "PUBREL" => PUBREL,
            "PUBCOMP" => PUBCOMP,
            "SUBACK" => SUBACK,
            "UNSUBACK" => UNSUBACK,
            _ => PINGRESP,
        };
        let actual = format!("{} never had it", facts.history.info(key.host).name);
        findings.extend(rule.broken(facts.history, link.version, event, &format!("a {name}"), actual));
    }
    findings
}

/// The missing answers, each with the event of the oldest packet that requires it.
fn waiting(facts: &Facts<'_>) -> BTreeMap<(ConnectionKey, Answer), usize> {
    let mut waiting: BTreeMap<(ConnectionKey, Answer), usize> = BTreeMap::new();
    // QoS 2 messages that the Server has sent, and PUBREC packets that it has sent.
    let (mut received, mut recorded) = (BTreeSet::new(), BTreeSet::new());
    for (index, event) in facts.history.events().iter().enumerate() {
        let Some(key) = event.connection else { continue };
        match &event.what {
            What::Sent { packet, .. } => {
                let asks = match packet {
                    // A Client that leaves or breaks the standard gets no more answers.
                    Packet::Disconnect(_) => {
                        waiting.retain(|(of, _), _| *of != key);
                        None
                    }
                    Packet::Publish(publish) => match publish.delivery.qos() {
                        QoS::AtMostOnce => None,
                        QoS::AtLeastOnce => Some(("PUBACK", publish.delivery.packet_identifier())),
                        QoS::ExactlyOnce => Some(("PUBREC", publish.delivery.packet_identifier())),
                    },
                    Packet::PubRec(ack) => {
                        let asks = !ack.reason.is_failure() && received.contains(&(key, ack.id));
                        asks.then_some(("PUBREL", Some(ack.id)))
                    }
                    Packet::PubRel(ack) => {
                        recorded.contains(&(key, ack.id)).then_some(("PUBCOMP", Some(ack.id)))
                    }
                    Packet::Subscribe(subscribe) => Some(("SUBACK", Some(subscribe.id))),
                    Packet::Unsubscribe(unsubscribe) => Some(("UNSUBACK", Some(unsubscribe.id))),
                    Packet::PingReq => Some(("PINGRESP", None)),
                    _ => None,
                };
                if let Some(answer) = asks {
                    waiting.entry((key, answer)).or_insert(index);
                }
            }
            What::Received { packet, .. } => {
                let answer = match packet {
                    Packet::Publish(publish) => {
                        if let (QoS::ExactlyOnce, Some(id)) =
                            (publish.delivery.qos(), publish.delivery.packet_identifier())
                        {
                            received.insert((key, id));
                        }
                        continue;
                    }
                    Packet::PubAck(ack) => ("PUBACK", Some(ack.id)),
                    Packet::PubRec(ack) => {
                        recorded.insert((key, ack.id));
                        ("PUBREC", Some(ack.id))
                    }
                    Packet::PubRel(ack) => ("PUBREL", Some(ack.id)),
                    Packet::PubComp(ack) => ("PUBCOMP", Some(ack.id)),
                    Packet::SubAck(ack) => ("SUBACK", Some(ack.id)),
                    Packet::UnsubAck(ack) => ("UNSUBACK", Some(ack.id)),
                    Packet::PingResp => ("PINGRESP", None),
                    _ => continue,
                };
                waiting.remove(&(key, answer));
            }
            _ => {}
        }
    }
    waiting
}
