//! What the clients of a run saw, and the first difference between two runs of one scenario.
//!
//! Times, Packet Identifiers, pings, texts and properties that each server chooses are left out.
//! Answers are compared by kind, because a server may answer two requests in any order.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use mqttspec_codec::{Packet, Publish, TopicAlias};
use mqttspec_judge::history::{ConnectionKey, Ending, Event, History, HostIndex, What};

/// Of one kind of thing, what happened, with its time.
type Sequence = Vec<(Duration, String)>;

/// What the clients of a run saw.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The answers of the server on each Network Connection, by their kind, in order.
    answers: BTreeMap<(ConnectionKey, &'static str), Sequence>,
    /// How each message was delivered to each host, by topic and payload.
    deliveries: BTreeMap<(HostIndex, String, Bytes), Sequence>,
}

/// The first thing that differs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FirstDifference {
    /// The kind of packet, or `message`.
    pub(super) what: String,
    /// What each of the two runs has.
    pub(super) seen: [String; 2],
}

impl Seen {
    /// What the clients of this history saw.
    pub(super) fn of(history: &History) -> Self {
        let mut seen = Self::default();
        let mut aliases = BTreeMap::new();
        for Event { at, connection, what, .. } in history.events() {
            let Some(key) = *connection else { continue };
            match what {
                What::Received { packet: Packet::Publish(publish), .. } => {
                    let topic = topic_of(publish, key, &mut aliases);
                    seen.deliver(*at, key.host, topic, publish);
                }
                What::Received { packet, .. } => {
                    if let Some((kind, text)) = answer(packet) {
                        seen.answers.entry((key, kind)).or_default().push((*at, text));
                    }
                }
                What::ReceivedMalformed { error, .. } => {
                    let text = error.to_string();
                    seen.answers.entry((key, "malformed packet")).or_default().push((*at, text));
                }
                What::Closed(Ending::ByPeer | Ending::Reset) => {
                    let closed = "closed by the server".to_owned();
                    seen.answers.entry((key, "connection")).or_default().push((*at, closed));
                }
                What::Closed(Ending::Refused) => {
                    let refused = "not accepted".to_owned();
                    seen.answers.entry((key, "connection")).or_default().push((*at, refused));
                }
                _ => {}
            }
        }
        seen
    }

    fn deliver(&mut self, at: Duration, host: HostIndex, topic: String, publish: &Publish) {
        let sequence = self.deliveries.entry((host, topic, publish.payload.clone())).or_default();
        // What is sent again after a lost connection depends on times.
        if !publish.delivery.dup() || sequence.is_empty() {
            let (qos, retain) = (publish.delivery.qos() as u8, u8::from(publish.retain));
            sequence.push((at, format!("QoS {qos}, RETAIN {retain}")));
        }
    }

    /// The difference that comes first in time. What follows from it may differ too.
    pub(super) fn first_difference(&self, other: &Self) -> Option<FirstDifference> {
        let answers = differences(&self.answers, &other.answers, "nothing")
            .map(|(at, (_, kind), seen)| (at, FirstDifference { what: (*kind).to_owned(), seen }));
        let deliveries = differences(&self.deliveries, &other.deliveries, "not delivered")
            .map(|(at, _, seen)| (at, FirstDifference { what: "message".to_owned(), seen }));
        answers.chain(deliveries).min().map(|(_, difference)| difference)
    }
}

/// The first difference of each sequence, with its time and key. `missing` is the word for what
/// only the other one has.
fn differences<'m, K: Ord>(
    one: &'m BTreeMap<K, Sequence>,
    other: &'m BTreeMap<K, Sequence>,
    missing: &'static str,
) -> impl Iterator<Item = (Duration, &'m K, [String; 2])> {
    let keys: BTreeSet<&K> = one.keys().chain(other.keys()).collect();
    keys.into_iter().filter_map(move |key| {
        let sequences = [one, other].map(|side| side.get(key).map_or(&[][..], Vec::as_slice));
        let longest = sequences[0].len().max(sequences[1].len());
        (0..longest).find_map(|index| {
            let items = sequences.map(|sequence| sequence.get(index));
            let texts = items.map(|item| item.map_or(missing, |(_, text)| text));
            let at = items.iter().flatten().map(|(at, _)| *at).min()?;
            (texts[0] != texts[1]).then(|| (at, key, texts.map(str::to_owned)))
        })
    })
}

/// The Topic Name of a PUBLISH, also if it has only an alias.
fn topic_of(
    publish: &Publish,
    key: ConnectionKey,
    aliases: &mut BTreeMap<(ConnectionKey, u16), String>,
) -> String {
    let alias = publish.properties.get::<TopicAlias>().map(|alias| alias.0.get());
    match (&publish.topic, alias) {
        (Some(topic), Some(alias)) => {
            aliases.insert((key, alias), topic.to_string());
            topic.to_string()
        }
        (Some(topic), None) => topic.to_string(),
        (None, alias) => alias.and_then(|alias| aliases.get(&(key, alias)).cloned()).unwrap_or_default(),
    }
}

/// The kind of an answer, and what of it may be compared. `None` for packets whose number depends on
/// times.
fn answer(packet: &Packet) -> Option<(&'static str, String)> {
    let code = |value: u8| format!("0x{value:02X}");
    let codes = |values: Vec<u8>| values.into_iter().map(code).collect::<Vec<_>>().join(" ");
    Some(match packet {
        Packet::ConnAck(connack) => {
            let present = u8::from(connack.session_present);
            ("CONNACK", format!("{}, Session Present {present}", code(connack.reason.into())))
        }
        Packet::SubAck(suback) => ("SUBACK", codes(suback.reasons.iter().map(|it| (*it).into()).collect())),
        Packet::UnsubAck(unsuback) => {
            ("UNSUBACK", codes(unsuback.reasons.iter().map(|it| (*it).into()).collect()))
        }
        Packet::PubAck(puback) => ("PUBACK", code(puback.reason.into())),
        Packet::PubRec(pubrec) => ("PUBREC", code(pubrec.reason.into())),
        Packet::PubComp(pubcomp) => ("PUBCOMP", code(pubcomp.reason.into())),
        Packet::Disconnect(disconnect) => ("DISCONNECT", code(disconnect.reason.into())),
        Packet::Auth(auth) => ("AUTH", code(auth.reason.into())),
        _ => return None,
    })
}
