//! The exchanges that the peer began: each lasts from a PUBLISH with QoS above 0 to its last
//! acknowledgement.
//!
//! MQTT 5.0 §2.2.1, §4.3, §4.4; 3.1.1 §2.3.1, §4.3, §4.4. Several monitors must know
//! whether a PUBLISH is a new message, a retransmission, or a second use of a Packet Identifier.

use core::mem;
use std::collections::BTreeMap;

use mqttspec_codec::{Packet, PacketIdentifier, PubRel, Publish, QoS, Role, Version};
use xxhash_rust::xxh3::xxh3_64;

use super::observation::{Observation, Seen, SessionKept};
use crate::history::ConnectionKey;
use crate::per_connection::PerConnection;

/// The progress of an exchange, as the observer knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// PUBLISH arrived; no acknowledgement was sent.
    Published,
    /// A successful PUBREC was sent.
    Recorded,
    /// PUBREL arrived; no PUBCOMP was sent.
    Released,
    /// The last acknowledgement was sent. It has arrived, is in transit, or was lost with the
    /// connection.
    Complete,
    /// A PUBREC that refuses the message was sent, as for `Complete`.
    Refused,
    /// The observer sent an acknowledgement that does not fit; the peer's reaction is not judged.
    Unclear,
}

#[derive(Clone, Copy, Debug)]
struct Exchange {
    qos: QoS,
    stage: Stage,
    /// Whether the stage was reached on this connection. Otherwise the observer's last
    /// acknowledgement may not have reached the peer.
    here: bool,
    /// The message of the last PUBLISH; `None` if there was none.
    content: Option<Content>,
}

/// Hashes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Content {
    /// `None` in a PUBLISH that has only a Topic Alias.
    topic: Option<u64>,
    payload: u64,
}

/// The judgement on a packet of the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// Nothing is wrong.
    Right,
    /// A new packet uses a Packet Identifier whose exchange is not complete.
    IdentifierInUse,
    /// DUP is 1, but there is no earlier PUBLISH that it could repeat.
    NothingToRepeat,
    /// DUP is 0 in a PUBLISH with the Packet Identifier and the message of an exchange that is not
    /// complete. It is sent again, or it is an equal message whose identifier is in use.
    AgainOrNew(Again),
    /// The packet is sent again although the connection did not break (5.0).
    RepeatedWhileConnected,
    /// PUBLISH is sent again after its PUBREL.
    PublishAfterPubRel,
    /// PUBREL before the PUBREC of its exchange.
    PubRelWithoutPubRec,
    /// PUBREL for no exchange with QoS 2.
    PubRelWithoutPublish,
    /// A packet of an earlier Session is sent again in a new one.
    OfAnEndedSession,
}

/// When a PUBLISH was sent again, if it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// After a reconnect, before its PUBREL.
    AfterReconnect,
    /// After its PUBREL.
    AfterPubRel,
}

/// The peer's exchanges on one connection.
#[derive(Clone, Debug, Default)]
struct Table {
    exchanges: BTreeMap<PacketIdentifier, Exchange>,
    /// Those of the earlier Session, if nothing of it may be sent again.
    ended: BTreeMap<PacketIdentifier, Exchange>,
    /// Whether the client asked for a new Session.
    is_clean: bool,
    /// SUBSCRIBE and UNSUBSCRIBE packets of a client that are not answered yet.
    requests: Vec<PacketIdentifier>,
    /// Whether the Session is known to have begun before this connection.
    resumed: bool,
    /// Whether the earlier exchanges of the Session are only partly known.
    is_uncertain: bool,
}

/// The peers' exchanges on all connections.
#[derive(Default)]
pub(super) struct Exchanges {
    tables: PerConnection<Table>,
    /// For each connection, the last one that goes on with its Session.
    successors: PerConnection<ConnectionKey>,
}

impl Exchanges {
    /// Follows one observation. Judges each PUBLISH with QoS above 0, SUBSCRIBE, UNSUBSCRIBE and
    /// PUBREL of the peer.
    pub(super) fn follow(&mut self, observation: &Observation<'_>) -> Judgement {
        match observation.seen {
            Seen::Connect { packet, before, resumes } => {
                if let Some(from) = before {
                    self.successors.insert(from, observation.connection);
                }
                let known = before.and_then(|from| self.tables.get(from));
                let mut exchanges = known.map(|table| table.exchanges.clone()).unwrap_or_default();
                exchanges.values_mut().for_each(|exchange| exchange.here = false);
                let mut table = Table {
                    exchanges,
                    // Until CONNACK says otherwise, the Session may have been resumed.
                    resumed: resumes.is_some(),
                    is_clean: packet.clean_start,
                    is_uncertain: known.is_some_and(|table| table.is_uncertain),
                    ..Table::default()
                };
                if packet.clean_start {
                    table.discard(observation.version);
                }
                self.tables.insert(observation.connection, table);
                Judgement::Right
            }
            Seen::ConnAck { session, .. } => {
                let table = self.tables.get_or_default(observation.connection);
                match session {
                    SessionKept::Yes => table.resumed = true,
                    SessionKept::No => table.discard(observation.version),
                    SessionKept::Unknown | SessionKept::LeftToTheClient => {
                        (table.resumed, table.is_uncertain) = (true, true);
                    }
                }
                Judgement::Right
            }
            Seen::FromPeer(packet) => self.judge_packet(observation, packet),
            Seen::ToPeer(packet) => {
                if let Some(table) = self.tables.get_mut(observation.connection) {
                    table.acknowledge_packet(packet);
                }
                let successor = self.successors.get(observation.connection).copied();
                if let Some(table) = successor.and_then(|successor| self.tables.get_mut(successor)) {
                    table.acknowledged_before(packet);
                }
                Judgement::Right
            }
            Seen::Malformed(_) | Seen::TextFrame => Judgement::Right,
        }
    }

    /// Drops the state of the host's earlier connections.
    pub(super) fn forget_before(&mut self, kept: ConnectionKey) {
        self.tables.forget_before(kept);
        self.successors.forget_before(kept);
    }

    fn judge_packet(&mut self, observation: &Observation<'_>, packet: &Packet) -> Judgement {
        let Some(table) = self.tables.get_mut(observation.connection) else { return Judgement::Right };
        match packet {
            Packet::Publish(publish) => {
                let Some(id) = publish.delivery.packet_identifier() else { return Judgement::Right };
                table.publish(observation.version, id, publish)
            }
            Packet::PubRel(release) => table.release(observation.version, release),
            Packet::Subscribe(subscribe) if observation.peer == Role::Client => table.request(subscribe.id),
            Packet::Unsubscribe(unsubscribe) if observation.peer == Role::Client => {
                table.request(unsubscribe.id)
            }
            _ => Judgement::Right,
        }
    }
}

impl Table {
    /// The Session begins with this connection.
    fn discard(&mut self, version: Version) {
        let (here, before) =
            mem::take(&mut self.exchanges).into_iter().partition(|(_, exchange)| exchange.here);
        (self.exchanges, self.resumed, self.is_uncertain) = (here, false, false);
        // 3.1.1 §4.4 asks a Client to send its packets again whether or not the Server has the
        // Session.
        if version.is_5() || self.is_clean {
            self.ended.extend(before);
        }
    }

    fn publish(&mut self, version: Version, id: PacketIdentifier, publish: &Publish) -> Judgement {
        let (qos, dup, content) = (publish.delivery.qos(), publish.delivery.dup(), Content::of(publish));
        let known = self.exchanges.get(&id).copied();
        // A peer may send a message again with another QoS, which is wrong in another way.
        let is_same = |exchange: &Exchange| exchange.content.is_some_and(|known| known.may_be(content));
        let judgement = if !dup && self.requests.contains(&id) {
            Judgement::IdentifierInUse
        } else {
            match known {
                None if dup && self.has_ended(id, |ended| ended.content == Some(content)) => {
                    Judgement::OfAnEndedSession
                }
                None if dup && !self.resumed => Judgement::NothingToRepeat,
                None => Judgement::Right,
                Some(exchange) if exchange.here => {
                    repeated_here(version, exchange.stage, dup, is_same(&exchange))
                }
                Some(_) if self.is_uncertain => Judgement::Right,
                Some(exchange) => repeated_after_reconnect(exchange.stage, dup, is_same(&exchange)),
            }
        };
        // If the exchange has passed the stage PUBLISH, a repeated PUBLISH does not change it. Nor
        // does a PUBLISH after an acknowledgement that did not fit, because it may have been sent
        // before. Any other PUBLISH sets the state.
        let further = known.is_some_and(|exchange| {
            exchange.here
                && match exchange.stage {
                    Stage::Unclear => true,
                    Stage::Complete | Stage::Refused => false,
                    Stage::Published | Stage::Recorded | Stage::Released => dup,
                }
        });
        if !further {
            let content = Some(content);
            self.exchanges.insert(id, Exchange { qos, stage: Stage::Published, here: true, content });
        }
        judgement
    }

    fn release(&mut self, version: Version, release: &PubRel) -> Judgement {
        let id = release.id;
        let known = self.exchanges.get(&id).copied();
        let judgement = match known {
            None | Some(Exchange { here: false, .. }) if self.is_uncertain => Judgement::Right,
            None if self.has_ended(id, |ended| ended.qos == QoS::ExactlyOnce) => Judgement::OfAnEndedSession,
            None => Judgement::PubRelWithoutPublish,
            Some(Exchange { stage: Stage::Unclear | Stage::Recorded, .. }) => Judgement::Right,
            // [MQTT-4.4.0-2] forbids to send the PUBLISH again; no text forbids this PUBREL.
            Some(Exchange { stage: Stage::Refused, .. }) => Judgement::Right,
            Some(Exchange { qos: QoS::AtLeastOnce, .. }) => Judgement::PubRelWithoutPublish,
            Some(Exchange { stage: Stage::Published, .. }) => Judgement::PubRelWithoutPubRec,
            // PUBREL may be repeated after a reconnect, and in 3.1.1 at any time.
            Some(Exchange { stage: Stage::Released | Stage::Complete, here: true, .. }) if version.is_5() => {
                Judgement::RepeatedWhileConnected
            }
            Some(_) => Judgement::Right,
        };
        // Packets after an acknowledgement without an exchange are not judged either. With a Reason
        // Code of failure, the peer has no message with this identifier.
        let unclear = release.reason.is_failure()
            || known.is_some_and(|exchange| {
                exchange.here && matches!(exchange.stage, Stage::Unclear | Stage::Refused)
            });
        let stage = if unclear { Stage::Unclear } else { Stage::Released };
        self.reached(id, QoS::ExactlyOnce, stage);
        judgement
    }

    /// Whether an exchange like this has ended with its Session.
    fn has_ended(&self, id: PacketIdentifier, is_it: impl Fn(&Exchange) -> bool) -> bool {
        self.ended.get(&id).is_some_and(is_it)
    }

    fn request(&mut self, id: PacketIdentifier) -> Judgement {
        let in_flight = self.exchanges.get(&id).is_some_and(|exchange| {
            let open = !matches!(exchange.stage, Stage::Complete | Stage::Refused | Stage::Unclear);
            open && (exchange.here || !self.is_uncertain)
        });
        let judgement = if in_flight || self.requests.contains(&id) {
            Judgement::IdentifierInUse
        } else {
            Judgement::Right
        };
        self.requests.push(id);
        judgement
    }

    fn acknowledge_packet(&mut self, packet: &Packet) {
        match packet {
            Packet::PubAck(ack) => self.acknowledge(ack.id, QoS::AtLeastOnce, Stage::Complete),
            Packet::PubRec(ack) => {
                let stage = if ack.reason.is_failure() { Stage::Refused } else { Stage::Recorded };
                self.acknowledge(ack.id, QoS::ExactlyOnce, stage);
            }
            Packet::PubComp(ack) => self.acknowledge(ack.id, QoS::ExactlyOnce, Stage::Complete),
            Packet::SubAck(ack) => self.answered(ack.id),
            Packet::UnsubAck(ack) => self.answered(ack.id),
            _ => {}
        }
    }

    /// The observer acknowledges a packet on the earlier connection of the Session, which is still
    /// open. The peer may have it before it resumes the Session on this one.
    fn acknowledged_before(&mut self, packet: &Packet) {
        let id = match packet {
            Packet::PubAck(ack) => ack.id,
            Packet::PubRec(ack) => ack.id,
            Packet::PubComp(ack) => ack.id,
            _ => return,
        };
        if let Some(exchange) = self.exchanges.get_mut(&id).filter(|exchange| !exchange.here) {
            exchange.stage = Stage::Unclear;
        }
    }

    fn acknowledge(&mut self, id: PacketIdentifier, qos: QoS, stage: Stage) {
        let fits = match self.exchanges.get(&id) {
            None => false,
            Some(exchange) if exchange.qos != qos => false,
            // The peer has sent nothing of it on this connection yet, and may send it again.
            Some(Exchange { here: false, .. }) => false,
            // A second PUBREC: the peer may answer each of the two.
            Some(Exchange { stage: Stage::Recorded, here: true, .. }) if stage == Stage::Recorded => false,
            Some(exchange) => matches!(
                (exchange.stage, stage, qos),
                (Stage::Published, Stage::Complete, QoS::AtLeastOnce)
                    | (
                        Stage::Published | Stage::Recorded | Stage::Complete | Stage::Refused,
                        Stage::Recorded,
                        _
                    )
                    | (Stage::Published | Stage::Recorded, Stage::Refused, QoS::ExactlyOnce)
                    // Before its PUBREL arrived, a PUBCOMP does not fit.
                    | (Stage::Released, Stage::Complete, QoS::ExactlyOnce)
            ),
        };
        let stage = if fits { stage } else { Stage::Unclear };
        self.reached(id, qos, stage);
    }

    fn reached(&mut self, id: PacketIdentifier, qos: QoS, stage: Stage) {
        let exchange = self.exchanges.entry(id).or_insert(Exchange { qos, stage, here: true, content: None });
        (exchange.qos, exchange.stage, exchange.here) = (qos, stage, true);
    }

    fn answered(&mut self, id: PacketIdentifier) {
        self.requests.retain(|waiting| *waiting != id);
    }
}

/// A PUBLISH uses an identifier again, on the connection on which its exchange reached `stage`.
/// `is_same`: it has the message of that exchange.
fn repeated_here(version: Version, stage: Stage, dup: bool, is_same: bool) -> Judgement {
    match (stage, dup) {
        (Stage::Unclear, _) | (Stage::Complete | Stage::Refused, false) => Judgement::Right,
        // 3.1.1 lets a sender repeat at any time, so it may have repeated before the
        // acknowledgement arrived.
        (Stage::Complete | Stage::Refused | Stage::Published | Stage::Recorded, true) if !version.is_5() => {
            Judgement::Right
        }
        (Stage::Released, true) => Judgement::PublishAfterPubRel,
        (Stage::Complete | Stage::Refused | Stage::Published | Stage::Recorded, true) => {
            Judgement::RepeatedWhileConnected
        }
        (Stage::Released, false) if is_same => Judgement::AgainOrNew(Again::AfterPubRel),
        (Stage::Published | Stage::Recorded | Stage::Released, false) => Judgement::IdentifierInUse,
    }
}

/// The same for the first PUBLISH since a reconnect. The exchange reached `stage` before it.
fn repeated_after_reconnect(stage: Stage, dup: bool, is_same: bool) -> Judgement {
    match (stage, dup) {
        (Stage::Unclear | Stage::Complete | Stage::Refused, _)
        | (Stage::Published | Stage::Recorded, true) => Judgement::Right,
        (Stage::Released, true) => Judgement::PublishAfterPubRel,
        (Stage::Released, false) if is_same => Judgement::AgainOrNew(Again::AfterPubRel),
        // If a PUBREC was sent, it was lost with the connection.
        (Stage::Published | Stage::Recorded, false) if is_same => {
            Judgement::AgainOrNew(Again::AfterReconnect)
        }
        (Stage::Published | Stage::Recorded | Stage::Released, false) => Judgement::IdentifierInUse,
    }
}

impl Content {
    fn of(publish: &Publish) -> Self {
        let topic = publish.topic.as_ref().map(|topic| xxh3_64(topic.as_str().as_bytes()));
        Self { topic, payload: xxh3_64(&publish.payload) }
    }

    /// Whether it may be the same message as another one.
    fn may_be(self, other: Self) -> bool {
        let same_topic = match (self.topic, other.topic) {
            (Some(topic), Some(other)) => topic == other,
            _ => true,
        };
        self.payload == other.payload && same_topic
    }
}
