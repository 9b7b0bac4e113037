//! The packets of QoS 1 and QoS 2 exchanges come in order, and DUP marks retransmissions and
//! nothing else.
//!
//! MQTT 5.0 §3.3.1.1, §4.3, §4.4; 3.1.1 the same sections.

use std::collections::{BTreeMap, BTreeSet};

use mqttspec_codec::{Packet, PacketIdentifier, QoS};

use super::equal_messages;
use super::exchanges::{Again, Judgement};
use super::observation::{Observation, Seen, SessionKept};
use super::{Clauses, Monitor, Watcher};
use crate::finding::Finding;
use crate::history::ConnectionKey;
use crate::per_connection::PerConnection;

const ANSWERS: Clauses = Clauses::both(&["MQTT-2.2.1-5"], &["MQTT-2.3.1-6"]);
const ANSWER_OF_THE_QOS: Clauses = Clauses::both(&["MQTT-3.3.4-1"], &["MQTT-3.3.4-1"]);
const FIRST_OF_QOS_1: Clauses = Clauses {
    server_5: &["MQTT-3.3.1-3"],
    client_5: &["MQTT-4.3.2-2"],
    server_3_1_1: &["MQTT-3.3.1-3"],
    client_3_1_1: &["MQTT-4.3.2-1"],
};
const FIRST_OF_QOS_2: Clauses =
    Clauses { client_5: &["MQTT-4.3.3-2"], client_3_1_1: &["MQTT-4.3.3-1"], ..FIRST_OF_QOS_1 };
const REPEATED: Clauses = Clauses::both(&["MQTT-3.3.1-1"], &["MQTT-3.3.1-1"]);
/// 3.1.1 lets a sender repeat at any time.
const WHILE_CONNECTED: Clauses = Clauses::both(&["MQTT-4.4.0-1"], &[]);
/// 3.1.1 forbids it after Clean Session only.
const OF_AN_ENDED_SESSION: Clauses = Clauses::both(&["MQTT-4.4.0-1"], &["MQTT-3.1.2-6"]);
const AFTER_PUBREL: Clauses = Clauses::both(&["MQTT-4.3.3-6"], &["MQTT-4.3.3-1"]);
/// What forbids a PUBLISH after its PUBREL as well as another message with its Packet Identifier.
const AFTER_PUBREL_OR_IN_USE: Clauses = Clauses::both(&[], &["MQTT-4.3.3-1"]);
/// Before PUBREC, PUBLISH is unacknowledged.
const WITHOUT_PUBREC: Clauses = Clauses::both(&["MQTT-4.3.3-3"], &["MQTT-4.3.3-1"]);
/// PUBREL has the Packet Identifier of its PUBLISH.
const WITHOUT_PUBLISH: Clauses = Clauses::both(&["MQTT-4.3.3-4"], &["MQTT-4.3.3-1"]);

pub(super) const MONITOR: Monitor = Monitor {
    name: "QoS hand-shakes",
    rules: &[
        ANSWERS,
        ANSWER_OF_THE_QOS,
        FIRST_OF_QOS_1,
        FIRST_OF_QOS_2,
        REPEATED,
        WHILE_CONNECTED,
        OF_AN_ENDED_SESSION,
        AFTER_PUBREL,
        AFTER_PUBREL_OR_IN_USE,
        WITHOUT_PUBREC,
        WITHOUT_PUBLISH,
    ],
    watcher: || Box::<Handshakes>::default(),
};

#[derive(Default)]
struct Handshakes {
    /// The acknowledgements that the peer may send, for each connection.
    allowed: PerConnection<Acknowledgements>,
}

/// The acknowledgements that the peer may send on a connection.
#[derive(Default)]
struct Acknowledgements {
    /// For packets sent on this connection.
    here: Allowed,
    /// For packets sent on the Session's earlier connections.
    before: Allowed,
    /// The earlier packets of the Session are not known.
    is_uncertain: bool,
}

/// The number of acknowledgements of each kind that the observer's packets allow.
#[derive(Clone, Debug, Default)]
struct Allowed {
    /// Each identifier with the QoS of each PUBLISH that had it.
    published: BTreeSet<(PacketIdentifier, QoS)>,
    puback: BTreeMap<PacketIdentifier, u32>,
    pubrec: BTreeMap<PacketIdentifier, u32>,
    pubcomp: BTreeMap<PacketIdentifier, u32>,
}

impl Watcher for Handshakes {
    fn see(&mut self, observation: &Observation<'_>, repeated: Judgement) -> Vec<Finding> {
        match observation.seen {
            Seen::Connect { resumes, .. } => {
                let before = resumes
                    .and_then(|from| self.allowed.get(from))
                    .map(Acknowledgements::all)
                    .unwrap_or_default();
                self.allowed.insert(
                    observation.connection,
                    Acknowledgements { before, ..Acknowledgements::default() },
                );
            }
            Seen::ConnAck { session, .. } => {
                let acknowledgements = self.allowed.get_or_default(observation.connection);
                match session {
                    SessionKept::Yes | SessionKept::LeftToTheClient => {}
                    SessionKept::Unknown => acknowledgements.is_uncertain = true,
                    // No packet of a discarded Session can be acknowledged.
                    SessionKept::No => acknowledgements.before = Allowed::default(),
                }
            }
            Seen::ToPeer(packet) => self.allowed.get_or_default(observation.connection).here.sent(packet),
            Seen::FromPeer(packet) => {
                let acknowledgements = self.allowed.get_or_default(observation.connection);
                let repetition = judge_repetition(observation, packet, repeated);
                let answer = acknowledgements.check(observation, packet);
                if repetition.is_some() || answer.is_some() {
                    return repetition.into_iter().chain(answer).collect();
                }
            }
            Seen::Malformed(_) | Seen::TextFrame => {}
        }
        Vec::new()
    }

    fn forget_before(&mut self, kept: ConnectionKey) {
        self.allowed.forget_before(kept);
    }
}

impl Allowed {
    fn sent(&mut self, packet: &Packet) {
        if let Packet::Publish(publish) = packet
            && let Some(id) = publish.delivery.packet_identifier()
        {
            self.published.insert((id, publish.delivery.qos()));
        }
        let allowed = match packet {
            Packet::Publish(publish) => match publish.delivery.qos() {
                QoS::AtMostOnce => None,
                QoS::AtLeastOnce => Some((&mut self.puback, publish.delivery.packet_identifier())),
                QoS::ExactlyOnce => Some((&mut self.pubrec, publish.delivery.packet_identifier())),
            },
            Packet::PubRel(release) => Some((&mut self.pubcomp, Some(release.id))),
            _ => None,
        };
        if let Some((allowed, Some(id))) = allowed {
            *allowed.entry(id).or_default() += 1;
        }
    }

    /// The counts for an acknowledgement, its identifier, and the names of the packet and of the
    /// packet that it answers; `None` for a packet that is not an acknowledgement.
    fn kind(&mut self, packet: &Packet) -> Option<Kind<'_>> {
        match packet {
            Packet::PubAck(ack) => Some((&mut self.puback, ack.id, "PUBACK", "PUBLISH with QoS 1")),
            Packet::PubRec(ack) => Some((&mut self.pubrec, ack.id, "PUBREC", "PUBLISH with QoS 2")),
            Packet::PubComp(ack) => Some((&mut self.pubcomp, ack.id, "PUBCOMP", "PUBREL")),
            _ => None,
        }
    }

    fn take(&mut self, packet: &Packet) -> bool {
        let Some((allowed, id, ..)) = self.kind(packet) else { return false };
        match allowed.get_mut(&id) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) => {
                allowed.remove(&id);
            }
            None => return false,
        }
        true
    }
}

type Kind<'a> = (&'a mut BTreeMap<PacketIdentifier, u32>, PacketIdentifier, &'static str, &'static str);

impl Acknowledgements {
    fn check(&mut self, observation: &Observation<'_>, packet: &Packet) -> Option<Finding> {
        if self.here.take(packet) || self.before.take(packet) || self.is_uncertain {
            return None;
        }
        let (_, id, answer, question) = self.here.kind(packet)?;
        let was_published =
            |qos| [&self.here, &self.before].iter().any(|of| of.published.contains(&(id, qos)));
        let (qos, other) = match packet {
            Packet::PubAck(_) => (QoS::AtLeastOnce, QoS::ExactlyOnce),
            _ => (QoS::ExactlyOnce, QoS::AtLeastOnce),
        };
        let clauses = match (was_published(qos), was_published(other)) {
            // No statement forbids a second acknowledgement, or a PUBCOMP before its PUBREL: it has
            // the Packet Identifier of the PUBLISH.
            (true, _) => return None,
            (false, true) => ANSWER_OF_THE_QOS,
            (false, false) => ANSWERS,
        };
        Some(observation.finding(
            &MONITOR,
            clauses.of(observation),
            format!("{answer} only for a {question} that the {} got", observation.peer),
            format!("a {answer} with Packet Identifier {id}, which answers no {question}"),
        ))
    }

    fn all(&self) -> Allowed {
        let mut all = self.before.clone();
        all.published.extend(self.here.published.iter().copied());
        for (into, from) in [
            (&mut all.puback, &self.here.puback),
            (&mut all.pubrec, &self.here.pubrec),
            (&mut all.pubcomp, &self.here.pubcomp),
        ] {
            for (id, count) in from {
                *into.entry(*id).or_default() += count;
            }
        }
        all
    }
}

/// What is broken, what was required, and what happened.
type Broken = (Clauses, &'static str, &'static str);

const NO_CLAUSE: Clauses = Clauses::both(&[], &[]);
const AGAIN_OR_NEW: &str = "DUP 1 if it is sent again, or else an unused Packet Identifier";
const SAME_MESSAGE: &str =
    "DUP 0 in a PUBLISH with the Packet Identifier and the message of an open exchange";
const WHILE_CONNECTED_STANDS: Broken = (
    WHILE_CONNECTED,
    "nothing sent again while the Network Connection stands",
    "a packet sent a second time on one Network Connection",
);
const ONCE_RELEASED: Broken =
    (AFTER_PUBREL, "no PUBLISH once its PUBREL was sent", "the PUBLISH again after its PUBREL");

fn judge_repetition(observation: &Observation<'_>, packet: &Packet, judgement: Judgement) -> Option<Finding> {
    let exactly_once =
        matches!(packet, Packet::Publish(publish) if publish.delivery.qos() == QoS::ExactlyOnce);
    let (clauses, expected, actual) = match judgement {
        Judgement::Right | Judgement::IdentifierInUse => return None,
        Judgement::NothingToRepeat => (
            if exactly_once { FIRST_OF_QOS_2 } else { FIRST_OF_QOS_1 },
            "DUP 0 in a PUBLISH that is sent for the first time",
            "DUP 1 in the first PUBLISH with this Packet Identifier of the Session",
        ),
        Judgement::AgainOrNew(again) => match (again, equal_messages::is_the_only_one(observation)) {
            // One of two clauses is broken, and nothing says which.
            (Again::AfterReconnect, false) => (NO_CLAUSE, AGAIN_OR_NEW, SAME_MESSAGE),
            (Again::AfterPubRel, false) => (AFTER_PUBREL_OR_IN_USE, AGAIN_OR_NEW, SAME_MESSAGE),
            (Again::AfterReconnect, true) => (
                REPEATED,
                "DUP 1 in a PUBLISH that is sent again",
                "DUP 0 in the PUBLISH with a Packet Identifier that was never acknowledged",
            ),
            (Again::AfterPubRel, true) => ONCE_RELEASED,
        },
        Judgement::RepeatedWhileConnected => WHILE_CONNECTED_STANDS,
        Judgement::PublishAfterPubRel => ONCE_RELEASED,
        Judgement::PubRelWithoutPubRec => (
            WITHOUT_PUBREC,
            "PUBREL only in answer to a PUBREC",
            "a PUBREL for an exchange of which no PUBREC was sent",
        ),
        Judgement::PubRelWithoutPublish => (
            WITHOUT_PUBLISH,
            "PUBREL with the Packet Identifier of a PUBLISH with QoS 2",
            "a PUBREL with the Packet Identifier of none",
        ),
        Judgement::OfAnEndedSession => (
            OF_AN_ENDED_SESSION,
            "nothing of an earlier Session in a new one",
            "a packet of the Session that has ended, sent again",
        ),
    };
    Some(observation.finding(
        &MONITOR,
        clauses.of(observation),
        expected,
        format!("{actual}: {} of the {}", packet.packet_type(), observation.peer),
    ))
}
