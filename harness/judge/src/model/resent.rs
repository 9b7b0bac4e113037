//! What the peer must send again when a Session is resumed.
//!
//! MQTT 5.0 §4.4, 3.1.1 §4.4. For both roles. Only connections of one host are judged, if the new
//! one stands for some time without a fault.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use mqttspec_codec::{
    Connect, MessageExpiryInterval, Packet, PacketIdentifier, QoS, ReceiveMaximum, Role, Version,
};

use super::calm::Calm;
use super::{Rule, Tolerance};
use crate::finding::Finding;
use crate::history::{ConnectionKey, Event, History, What};

const AGAIN: Rule = Rule::new(&["MQTT-4.4.0-1"], &["MQTT-4.4.0-1"]);

/// How long the new connection must stand.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection and its exchanges, as the observer knows them.
#[derive(Default)]
struct Connection<'h> {
    version: Option<Version>,
    connect: Option<&'h Connect>,
    /// The event of the successful CONNACK, and its Session Present.
    accepted: Option<(usize, bool)>,
    /// When the connection ended, or one end said that it ends.
    ended: Option<Duration>,
    began: Duration,
    raw: bool,
    limited: bool,
    /// Messages that arrived and that the observer has not acknowledged.
    unacknowledged: BTreeSet<PacketIdentifier>,
    /// QoS 2 messages for which the observer has sent PUBREC, and had PUBREL.
    released: BTreeSet<PacketIdentifier>,
    /// QoS 2 messages for which the observer has sent PUBREC, and had no PUBREL.
    recorded: BTreeSet<PacketIdentifier>,
    /// The identifiers of all acknowledgements of the observer.
    acknowledged: BTreeSet<PacketIdentifier>,
    /// Those of acknowledgements for nothing that had arrived. They may acknowledge what arrives
    /// later, because the peer may have sent it before.
    unfounded: BTreeSet<PacketIdentifier>,
    /// What arrived: the identifiers of PUBLISH and of PUBREL.
    arrived: [BTreeSet<PacketIdentifier>; 2],
}

pub(super) fn judge(history: &History, calm: &Calm<'_>, tolerance: Tolerance) -> Vec<Finding> {
    let mut findings = Vec::new();
    let resumes = |event: &Event| match &event.what {
        What::Sent { packet: Packet::ConnAck(ack), .. }
        | What::Received { packet: Packet::ConnAck(ack), .. } => ack.session_present,
        _ => false,
    };
    if !history.events().iter().any(resumes) {
        return findings;
    }
    let end = history.events().last().map_or(Duration::ZERO, |event| event.at);
    let connections = read(history);
    for (key, new) in &connections {
        let (Some((event, true)), Some(connect)) = (new.accepted, new.connect) else { continue };
        let before = ConnectionKey { number: key.number.wrapping_sub(1), ..*key };
        let Some(old) = connections.get(&before).filter(|old| old.accepted.is_some()) else { continue };
        let info = history.info(key.host);
        let same = |other: &Connection<'_>| other.connect.is_some_and(|of| of.client_id == connect.client_id);
        let alone = connections.iter().all(|(other, of)| other.host == key.host || !same(of));
        let at = history.events()[event].at;
        let until = at + PATIENCE + tolerance.again;
        let stands = new.ended.unwrap_or(end) > until && end > until;
        // A peer that has crashed may have lost its Session.
        let quiet = calm.lasts(&info.name, at, until) && !calm.loses_state(&info.name, info.observer, until);
        let version = new.version.unwrap_or(Version::V3_1_1);
        let judged =
            alone && stands && quiet && same(old) && !connect.clean_start && version != Version::V3_1;
        let clear = !new.raw && !old.raw && !new.limited;
        if !judged || !clear || connect.client_id.as_str().is_empty() {
            continue;
        }
        let [published, released] = &new.arrived;
        let missing = |ids: &BTreeSet<PacketIdentifier>, others: [&BTreeSet<PacketIdentifier>; 2]| {
            let is_missing = |id: &&PacketIdentifier| {
                others.iter().all(|had| !had.contains(id)) && !old.unfounded.contains(id)
            };
            ids.difference(&new.acknowledged).find(is_missing).copied()
        };
        let publish = missing(&old.unacknowledged, [published, published]);
        let pubrel = missing(&old.released, [released, released]);
        let either = missing(&old.recorded, [published, released]);
        for (name, id) in [("PUBLISH", publish), ("PUBREL", pubrel), ("PUBLISH or PUBREL", either)] {
            let Some(id) = id else { continue };
            let actual = format!("on the connection of {} {name} {id} never came again", info.name);
            let expected = "what is unacknowledged again, in a Session that is resumed";
            findings.extend(AGAIN.broken(history, version, event, expected, actual));
        }
    }
    findings
}

fn read(history: &History) -> BTreeMap<ConnectionKey, Connection<'_>> {
    let mut connections: BTreeMap<ConnectionKey, Connection<'_>> = BTreeMap::new();
    for (index, event) in history.events().iter().enumerate() {
        let Some(key) = event.connection.filter(|key| key.number > 0) else { continue };
        let connection = connections.entry(key).or_default();
        match &event.what {
            What::Opened(version) => (connection.version, connection.began) = (Some(*version), event.at),
            What::Closed(_) => drop(connection.ended.get_or_insert(event.at)),
            What::SentRaw { .. } | What::ReceivedMalformed { .. } => connection.raw = true,
            What::Sent { packet, .. } => {
                connection.follow(index, event.at, packet, history.info(key.host).observer == Role::Client);
                connection.sent(packet);
            }
            What::Received { packet, .. } => {
                connection.follow(index, event.at, packet, history.info(key.host).observer == Role::Server);
                connection.received(packet);
            }
            _ => {}
        }
    }
    connections
}

impl<'h> Connection<'h> {
    fn follow(&mut self, index: usize, at: Duration, packet: &'h Packet, of_client: bool) {
        match packet {
            Packet::Connect(_) if self.connect.is_some() => self.raw = true,
            Packet::Connect(connect) => {
                self.connect = Some(connect);
                self.limited |= of_client && connect.properties.contains::<ReceiveMaximum>();
            }
            Packet::ConnAck(ack) if !ack.reason.is_failure() => {
                self.accepted = Some((index, ack.session_present));
                self.limited |= ack.properties.contains::<ReceiveMaximum>();
            }
            Packet::Disconnect(_) => drop(self.ended.get_or_insert(at)),
            _ => {}
        }
    }

    fn received(&mut self, packet: &Packet) {
        match packet {
            Packet::Publish(publish) => {
                let Some(id) = publish.delivery.packet_identifier() else { return };
                self.arrived[0].insert(id);
                let expires = publish.properties.contains::<MessageExpiryInterval>();
                if !expires && publish.delivery.qos() > QoS::AtMostOnce {
                    self.unacknowledged.insert(id);
                }
            }
            Packet::PubRel(release) => {
                self.arrived[1].insert(release.id);
                // Otherwise it answers a PUBREC for no message.
                if self.arrived[0].contains(&release.id) && !release.reason.is_failure() {
                    self.released.insert(release.id);
                }
                self.recorded.remove(&release.id);
            }
            _ => {}
        }
    }

    fn sent(&mut self, packet: &Packet) {
        let id = match packet {
            Packet::PubAck(ack) => ack.id,
            Packet::PubRec(ack) => {
                if self.unacknowledged.contains(&ack.id) && !ack.reason.is_failure() {
                    self.recorded.insert(ack.id);
                }
                ack.id
            }
            Packet::PubComp(ack) => {
                // It may be for a PUBREL that is on its way.
                if !self.released.remove(&ack.id) {
                    self.unfounded.insert(ack.id);
                }
                self.recorded.remove(&ack.id);
                ack.id
            }
            _ => return,
        };
        let known = [&self.unacknowledged, &self.released, &self.recorded, &self.acknowledged];
        if known.iter().all(|known| !known.contains(&id)) {
            self.unfounded.insert(id);
        }
        self.unacknowledged.remove(&id);
        self.acknowledged.insert(id);
    }
}
