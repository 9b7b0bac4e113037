//! The exchanges that the peer began: its PUBLISH packets with QoS above 0, from the PUBLISH to the last acknowledgement.
//!
//! MQTT 5.0 §2.2.1, §4.3, §4.4; 3.1.1 §2.3.1, §4.3, §4.4. One table for two monitors: what a PUBLISH *is* (a new message, a
//! retransmission, a Packet Identifier taken twice) depends on the same knowledge.

use std::collections::BTreeMap;

use mqttspec_codec::{Packet, PacketIdentifier, QoS, Role, Version};

use super::conversation::{Glance, Seen, SessionKept};
use super::outlives;
use crate::history::ConnectionKey;

/// How far an exchange is, as the observer knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// PUBLISH came; no acknowledgement was sent.
    Published,
    /// PUBREC of success was sent.
    Recorded,
    /// PUBREL came; no PUBCOMP was sent.
    Released,
    /// The last acknowledgement was sent. The peer has it, or it is on its way, or it was lost with the connection.
    Complete,
    /// The observer sent something that does not belong here; what the peer makes of it is not judged.
    Unclear,
}

#[derive(Clone, Copy, Debug)]
struct Exchange {
    qos: QoS,
    stage: Stage,
    /// Whether the stage was reached on this connection. Otherwise the peer may not know of the observer's last acknowledgement.
    here: bool,
}

/// What a PUBLISH or a PUBREL of the peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// As it should be.
    Right,
    /// A new PUBLISH takes an identifier whose exchange is not complete.
    IdentifierInUse,
    /// DUP is 1, but nothing was sent before that it could repeat.
    NothingToRepeat,
    /// A retransmission after a reconnect has DUP 0.
    RepeatedWithoutDup,
    /// It is sent again though the connection did not break (5.0).
    RepeatedWhileConnected,
    /// PUBLISH is sent again after its PUBREL.
    PublishAfterPubRel,
    /// PUBREL for what had no PUBREC.
    PubRelWithoutPubRec,
}

/// The peer's exchanges on one connection.
#[derive(Clone, Debug, Default)]
struct Table {
    exchanges: BTreeMap<PacketIdentifier, Exchange>,
    /// SUBSCRIBE and UNSUBSCRIBE of a client that are not answered yet.
    requests: Vec<PacketIdentifier>,
    /// Whether the Session began before this connection, as far as is known.
    resumed: bool,
    /// Whether what the Session held before is only partly known.
    vague: bool,
}

/// The peers' exchanges on every connection.
#[derive(Default)]
pub(super) struct Exchanges {
    tables: BTreeMap<ConnectionKey, Table>,
}

impl Exchanges {
    /// Follows one glance. For a PUBLISH with QoS above 0, a SUBSCRIBE, an UNSUBSCRIBE or a PUBREL of the peer it says what it is.
    pub(super) fn follow(&mut self, glance: &Glance<'_>) -> Judgement {
        match glance.seen {
            Seen::Connect { goes_on_with, .. } => {
                let mut table =
                    goes_on_with.and_then(|from| self.tables.get(&from).cloned()).unwrap_or_default();
                table.requests.clear();
                table.exchanges.values_mut().for_each(|exchange| exchange.here = false);
                // Until CONNACK says otherwise the Session may have gone on.
                table.resumed = goes_on_with.is_some();
                self.tables.insert(glance.connection, table);
                Judgement::Right
            }
            Seen::ConnAck { session, .. } => {
                let table = self.tables.entry(glance.connection).or_default();
                match session {
                    SessionKept::Yes => table.resumed = true,
                    SessionKept::No => {
                        table.exchanges.retain(|_, exchange| exchange.here);
                        table.resumed = false;
                    }
                    SessionKept::Unknown => (table.resumed, table.vague) = (true, true),
                }
                Judgement::Right
            }
            Seen::FromPeer(packet) => self.judge_packet(glance, packet),
            Seen::ToPeer(packet) => {
                if let Some(table) = self.tables.get_mut(&glance.connection) {
                    table.take_answer(packet);
                }
                Judgement::Right
            }
            Seen::Malformed(_) => Judgement::Right,
        }
    }

    /// Drops what is known of the host's connections before this one.
    pub(super) fn forget_before(&mut self, kept: ConnectionKey) {
        self.tables.retain(|connection, _| outlives(connection, kept));
    }

    fn judge_packet(&mut self, glance: &Glance<'_>, packet: &Packet) -> Judgement {
        let Some(table) = self.tables.get_mut(&glance.connection) else { return Judgement::Right };
        match packet {
            Packet::Publish(publish) => {
                let Some(id) = publish.delivery.packet_identifier() else { return Judgement::Right };
                table.publish(glance.version, id, publish.delivery.qos(), publish.delivery.dup())
            }
            Packet::PubRel(release) => table.release(glance.version, release.id),
            Packet::Subscribe(subscribe) if glance.peer == Role::Client => table.request(subscribe.id),
            Packet::Unsubscribe(unsubscribe) if glance.peer == Role::Client => table.request(unsubscribe.id),
            _ => Judgement::Right,
        }
    }
}

impl Table {
    fn publish(&mut self, version: Version, id: PacketIdentifier, qos: QoS, dup: bool) -> Judgement {
        let known = self.exchanges.get(&id).copied();
        let judgement = if !dup && self.requests.contains(&id) {
            Judgement::IdentifierInUse
        } else {
            match known {
                None if dup && !self.resumed => Judgement::NothingToRepeat,
                None => Judgement::Right,
                Some(exchange) if exchange.here => repeated_here(version, exchange.stage, dup),
                Some(_) if self.vague => Judgement::Right,
                Some(exchange) => repeated_after_reconnect(exchange.stage, dup),
            }
        };
        // A repetition of what is further on already changes nothing; everything else is the state from now on.
        let further = known.is_some_and(|exchange| {
            dup && exchange.here && !matches!(exchange.stage, Stage::Complete | Stage::Unclear)
        });
        if !further {
            self.exchanges.insert(id, Exchange { qos, stage: Stage::Published, here: true });
        }
        judgement
    }

    fn release(&mut self, version: Version, id: PacketIdentifier) -> Judgement {
        let known = self.exchanges.get(&id).copied();
        let judgement = match known {
            None if self.vague => Judgement::Right,
            None => Judgement::PubRelWithoutPubRec,
            Some(Exchange { stage: Stage::Unclear | Stage::Recorded, .. }) => Judgement::Right,
            Some(Exchange { stage: Stage::Published, .. } | Exchange { qos: QoS::AtLeastOnce, .. }) => {
                Judgement::PubRelWithoutPubRec
            }
            // It is owed again after a reconnect, or in 3.1.1 at any time.
            Some(Exchange { stage: Stage::Released | Stage::Complete, here: true, .. }) if version.is_5() => {
                Judgement::RepeatedWhileConnected
            }
            Some(_) => Judgement::Right,
        };
        self.exchanges.insert(id, Exchange { qos: QoS::ExactlyOnce, stage: Stage::Released, here: true });
        judgement
    }

    fn request(&mut self, id: PacketIdentifier) -> Judgement {
        let in_flight = self.exchanges.get(&id).is_some_and(|exchange| {
            let open = !matches!(exchange.stage, Stage::Complete | Stage::Unclear);
            open && (exchange.here || !self.vague)
        });
        let judgement = if in_flight || self.requests.contains(&id) {
            Judgement::IdentifierInUse
        } else {
            Judgement::Right
        };
        self.requests.push(id);
        judgement
    }

    fn take_answer(&mut self, packet: &Packet) {
        match packet {
            Packet::PubAck(ack) => self.acknowledge(ack.id, QoS::AtLeastOnce, Stage::Complete),
            Packet::PubRec(ack) => {
                let stage = if ack.reason.is_failure() { Stage::Complete } else { Stage::Recorded };
                self.acknowledge(ack.id, QoS::ExactlyOnce, stage);
            }
            Packet::PubComp(ack) => self.acknowledge(ack.id, QoS::ExactlyOnce, Stage::Complete),
            Packet::SubAck(ack) => self.answered(ack.id),
            Packet::UnsubAck(ack) => self.answered(ack.id),
            _ => {}
        }
    }

    fn acknowledge(&mut self, id: PacketIdentifier, qos: QoS, stage: Stage) {
        let fits = match self.exchanges.get(&id) {
            None => false,
            Some(exchange) if exchange.qos != qos => false,
            Some(exchange) => matches!(
                (exchange.stage, stage, qos),
                (Stage::Published, Stage::Complete, QoS::AtLeastOnce)
                    | (Stage::Published | Stage::Recorded | Stage::Complete, Stage::Recorded, _)
                    | (Stage::Published | Stage::Recorded, Stage::Complete, QoS::ExactlyOnce)
                    | (Stage::Released, Stage::Complete, QoS::ExactlyOnce)
            ),
        };
        let stage = if fits { stage } else { Stage::Unclear };
        self.exchanges.insert(id, Exchange { qos, stage, here: true });
    }

    fn answered(&mut self, id: PacketIdentifier) {
        self.requests.retain(|waiting| *waiting != id);
    }
}

/// An identifier comes again in a PUBLISH on the connection on which its exchange got as far as `stage`.
fn repeated_here(version: Version, stage: Stage, dup: bool) -> Judgement {
    match (stage, dup) {
        (Stage::Unclear, _) | (Stage::Complete, false) => Judgement::Right,
        // 3.1.1 lets a sender repeat at any time, so it may have done so before the acknowledgement arrived.
        (Stage::Complete | Stage::Published | Stage::Recorded, true) if !version.is_5() => Judgement::Right,
        (Stage::Released, true) => Judgement::PublishAfterPubRel,
        (Stage::Complete | Stage::Published | Stage::Recorded, true) => Judgement::RepeatedWhileConnected,
        (Stage::Published | Stage::Recorded | Stage::Released, false) => Judgement::IdentifierInUse,
    }
}

/// An identifier comes again in the first PUBLISH that has it since a reconnect. `stage` is from before.
fn repeated_after_reconnect(stage: Stage, dup: bool) -> Judgement {
    match (stage, dup) {
        (Stage::Unclear | Stage::Complete, _) | (Stage::Published | Stage::Recorded, true) => {
            Judgement::Right
        }
        (Stage::Published, false) => Judgement::RepeatedWithoutDup,
        (Stage::Recorded | Stage::Released, false) => Judgement::IdentifierInUse,
        (Stage::Released, true) => Judgement::PublishAfterPubRel,
    }
}
