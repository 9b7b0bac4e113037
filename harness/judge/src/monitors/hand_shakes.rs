//! The hand-shakes of QoS 1 and QoS 2 go in their order, and DUP tells a retransmission and nothing else.
//!
//! MQTT 5.0 §3.3.1.1, §4.3, §4.4; 3.1.1 the same sections.

use std::collections::BTreeMap;

use mqttspec_codec::{Packet, PacketIdentifier, QoS};

use super::conversation::{Glance, Seen, SessionKept};
use super::exchanges::{Exchanges, Judgement};
use super::{Clauses, Monitor, Watcher, outlives};
use crate::finding::Finding;
use crate::history::ConnectionKey;

const ANSWERS: Clauses = Clauses::both(&["MQTT-2.2.1-5"], &["MQTT-2.3.1-6"]);
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
const AFTER_PUBREL: Clauses = Clauses::both(&["MQTT-4.3.3-6"], &["MQTT-4.3.3-1"]);
const WITHOUT_PUBREC: Clauses = Clauses::both(&["MQTT-4.3.3-4"], &["MQTT-4.3.3-1"]);

pub(super) const MONITOR: Monitor = Monitor {
    name: "QoS hand-shakes",
    rules: &[
        ANSWERS,
        FIRST_OF_QOS_1,
        FIRST_OF_QOS_2,
        REPEATED,
        WHILE_CONNECTED,
        AFTER_PUBREL,
        WITHOUT_PUBREC,
    ],
    watcher: || Box::<HandShakes>::default(),
};

#[derive(Default)]
struct HandShakes {
    exchanges: Exchanges,
    /// What the peer has to acknowledge, for each connection.
    owed: BTreeMap<ConnectionKey, Debts>,
}

/// What the peer may acknowledge on a connection.
#[derive(Default)]
struct Debts {
    /// For what was sent on this connection.
    here: Owed,
    /// For what was sent on the Session's connections before.
    before: Owed,
    /// What went before on the Session is not known.
    vague: bool,
}

/// How many acknowledgements of each kind the observer's packets allow.
#[derive(Clone, Debug, Default)]
struct Owed {
    puback: BTreeMap<PacketIdentifier, u32>,
    pubrec: BTreeMap<PacketIdentifier, u32>,
    pubcomp: BTreeMap<PacketIdentifier, u32>,
}

impl Watcher for HandShakes {
    fn see(&mut self, glance: &Glance<'_>) -> Vec<Finding> {
        let repeated = self.exchanges.follow(glance);
        match glance.seen {
            Seen::Connect { goes_on_with, .. } => {
                let before =
                    goes_on_with.and_then(|from| self.owed.get(&from)).map(Debts::all).unwrap_or_default();
                self.owed.insert(glance.connection, Debts { before, ..Debts::default() });
            }
            Seen::ConnAck { session, .. } => {
                let debts = self.owed.entry(glance.connection).or_default();
                match session {
                    SessionKept::Yes => {}
                    SessionKept::Unknown => debts.vague = true,
                    // Nothing of a Session that is gone can be acknowledged.
                    SessionKept::No => debts.before = Owed::default(),
                }
            }
            Seen::ToPeer(packet) => self.owed.entry(glance.connection).or_default().here.sent(packet),
            Seen::FromPeer(packet) => {
                let debts = self.owed.entry(glance.connection).or_default();
                return judge_repetition(glance, packet, repeated)
                    .into_iter()
                    .chain(debts.came(glance, packet))
                    .collect();
            }
            Seen::Malformed(_) => {}
        }
        Vec::new()
    }

    fn forget_before(&mut self, kept: ConnectionKey) {
        self.exchanges.forget_before(kept);
        self.owed.retain(|connection, _| outlives(connection, kept));
    }
}

impl Owed {
    fn sent(&mut self, packet: &Packet) {
        let owed = match packet {
            Packet::Publish(publish) => match publish.delivery.qos() {
                QoS::AtMostOnce => None,
                QoS::AtLeastOnce => Some((&mut self.puback, publish.delivery.packet_identifier())),
                QoS::ExactlyOnce => Some((&mut self.pubrec, publish.delivery.packet_identifier())),
            },
            Packet::PubRel(release) => Some((&mut self.pubcomp, Some(release.id))),
            _ => None,
        };
        if let Some((owed, Some(id))) = owed {
            *owed.entry(id).or_default() += 1;
        }
    }

    /// The debt that a packet settles, and what the packet and the debt are called; `None` for a packet that is no acknowledgement.
    fn kind(&mut self, packet: &Packet) -> Option<Kind<'_>> {
        match packet {
            Packet::PubAck(ack) => Some((&mut self.puback, ack.id, "PUBACK", "PUBLISH with QoS 1")),
            Packet::PubRec(ack) => Some((&mut self.pubrec, ack.id, "PUBREC", "PUBLISH with QoS 2")),
            Packet::PubComp(ack) => Some((&mut self.pubcomp, ack.id, "PUBCOMP", "PUBREL")),
            _ => None,
        }
    }

    fn settle(&mut self, packet: &Packet) -> bool {
        let Some((owed, id, ..)) = self.kind(packet) else { return false };
        match owed.get_mut(&id) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) => {
                owed.remove(&id);
            }
            None => return false,
        }
        true
    }
}

type Kind<'a> = (&'a mut BTreeMap<PacketIdentifier, u32>, PacketIdentifier, &'static str, &'static str);

impl Debts {
    fn came(&mut self, glance: &Glance<'_>, packet: &Packet) -> Option<Finding> {
        if self.here.settle(packet) || self.before.settle(packet) || self.vague {
            return None;
        }
        let (_, id, answer, question) = self.here.kind(packet)?;
        Some(glance.finding(
            &MONITOR,
            ANSWERS.of(glance),
            format!("one {answer} for each {question} that the {} got", glance.peer),
            format!("a {answer} with Packet Identifier {id}, which answers no {question}"),
        ))
    }

    fn all(&self) -> Owed {
        let mut all = self.before.clone();
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

fn judge_repetition(glance: &Glance<'_>, packet: &Packet, judgement: Judgement) -> Option<Finding> {
    let exactly_once =
        matches!(packet, Packet::Publish(publish) if publish.delivery.qos() == QoS::ExactlyOnce);
    let (clauses, expected, actual) = match judgement {
        Judgement::Right | Judgement::IdentifierInUse => return None,
        Judgement::NothingToRepeat => (
            if exactly_once { FIRST_OF_QOS_2 } else { FIRST_OF_QOS_1 },
            "DUP 0 in a PUBLISH that is sent for the first time",
            "DUP 1 in the first PUBLISH with this Packet Identifier of the Session",
        ),
        Judgement::RepeatedWithoutDup => (
            REPEATED,
            "DUP 1 in a PUBLISH that is sent again after a reconnect",
            "DUP 0 in the PUBLISH with a Packet Identifier that was never acknowledged",
        ),
        Judgement::RepeatedWhileConnected => (
            WHILE_CONNECTED,
            "nothing sent again while the Network Connection stands",
            "a packet sent a second time on one Network Connection",
        ),
        Judgement::PublishAfterPubRel => {
            (AFTER_PUBREL, "no PUBLISH once its PUBREL was sent", "the PUBLISH again after its PUBREL")
        }
        Judgement::PubRelWithoutPubRec => (
            WITHOUT_PUBREC,
            "PUBREL only in answer to a PUBREC",
            "a PUBREL for an exchange of which no PUBREC was sent",
        ),
    };
    Some(glance.finding(
        &MONITOR,
        clauses.of(glance),
        expected,
        format!("{actual}: {} of the {}", packet.packet_type(), glance.peer),
    ))
}
