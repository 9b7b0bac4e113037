//! What the clients of a run sent and received, read once for all rules.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use mqttspec_codec::{
    Packet, PacketIdentifier, Publish, QoS, Role, SessionExpiryInterval, SubscriptionIdentifier, TopicAlias,
    TopicFilter, TopicName, Version,
};
use mqttspec_notation::{FaultKind, SERVER};

use crate::history::{ConnectionKey, Event, History, What};

/// A Network Connection with its CONNECT.
pub(super) struct Link<'h> {
    pub(super) client_id: &'h str,
    pub(super) version: Version,
    pub(super) clean: bool,
    /// The event of the successful CONNACK, and its Session Present.
    pub(super) accepted: Option<(usize, bool)>,
    /// The Session Expiry Interval in force, in seconds. In 3.1.1 Clean Session decides.
    pub(super) expiry: u32,
    /// When CONNECT was sent.
    pub(super) began: Duration,
    /// When the last packet of the Server arrived.
    pub(super) heard: Duration,
    pub(super) open: bool,
    /// Whether the Client limits the size of packets.
    pub(super) limited: bool,
    /// Messages that the Client has not acknowledged to their end.
    pub(super) unacknowledged: BTreeSet<PacketIdentifier>,
    aliases: [BTreeMap<u16, &'h TopicName>; 2],
}

/// A Topic Filter of a SUBSCRIBE.
pub(super) struct Request<'h> {
    pub(super) link: ConnectionKey,
    pub(super) client_id: &'h str,
    pub(super) filter: &'h TopicFilter,
    pub(super) no_local: bool,
    pub(super) retain_as_published: bool,
    pub(super) identifier: Option<u32>,
    pub(super) sent: usize,
    /// The event of the SUBACK, and the granted QoS; `None` if it was refused.
    pub(super) granted: Option<(usize, Option<QoS>)>,
    /// The event of an UNSUBSCRIBE for the filter, and of its UNSUBACK.
    pub(super) removed: Option<(usize, Option<usize>)>,
    id: PacketIdentifier,
}

/// A PUBLISH that a client sent.
pub(super) struct Publication<'h> {
    pub(super) client_id: &'h str,
    pub(super) publish: &'h Publish,
    pub(super) sent: usize,
    /// The event with which the Server took the message.
    pub(super) accepted: Option<usize>,
}

/// A PUBLISH that a client received.
pub(super) struct Arrival<'h> {
    pub(super) link: ConnectionKey,
    pub(super) event: usize,
    pub(super) topic: &'h TopicName,
    pub(super) publish: &'h Publish,
}

/// Topic Name and payload.
type Message<'h> = (&'h str, &'h [u8]);

/// Everything that the rules need.
pub(super) struct Facts<'h> {
    pub(super) history: &'h History,
    pub(super) links: BTreeMap<ConnectionKey, Link<'h>>,
    pub(super) requests: Vec<Request<'h>>,
    pub(super) arrivals: Vec<Arrival<'h>>,
    pub(super) publications: Vec<Publication<'h>>,
    /// By message: its publications. Wills are in `wills`.
    sent: BTreeMap<Message<'h>, Vec<usize>>,
    wills: BTreeSet<Message<'h>>,
    /// By (Client Identifier, identifier): the publication that waits for its acknowledgement;
    /// `None` if it is unclear which one.
    in_flight: BTreeMap<(&'h str, PacketIdentifier), Option<usize>>,
    /// By (Client Identifier, identifier): QoS 2 messages without a PUBCOMP.
    unreleased: BTreeSet<(&'h str, PacketIdentifier)>,
    /// Whether a connection sent bytes that are not a packet.
    pub(super) raw: bool,
    /// Whether the Server may have lost state.
    pub(super) crashed: bool,
    /// The event of the last fault of the Server's host.
    pub(super) last_of_server: Option<usize>,
    /// When the last fault began or ended.
    pub(super) last_fault: Option<Duration>,
}

impl<'h> Facts<'h> {
    /// Reads a history; `None` if it is not about a Server, or if a client has no recorded packets.
    pub(super) fn of(history: &'h History) -> Option<Self> {
        if history.hosts().iter().any(|host| host.observer == Role::Server) {
            return None;
        }
        let mut facts = Self {
            history,
            links: BTreeMap::new(),
            requests: Vec::new(),
            arrivals: Vec::new(),
            publications: Vec::new(),
            sent: BTreeMap::new(),
            wills: BTreeSet::new(),
            in_flight: BTreeMap::new(),
            unreleased: BTreeSet::new(),
            raw: false,
            crashed: false,
            last_of_server: None,
            last_fault: None,
        };
        let mut versions = BTreeMap::new();
        for (index, event) in history.events().iter().enumerate() {
            if let (What::Opened(version), Some(link)) = (&event.what, event.connection) {
                versions.insert(link, *version);
            }
            facts.read(index, event, &versions);
        }
        Some(facts)
    }

    /// The only publication of a message; `None` if there are several, or if it may be a Will.
    pub(super) fn only_publication(&self, topic: &str, payload: &[u8]) -> Option<&Publication<'h>> {
        let known = self.sent.get(&(topic, payload))?;
        let [only] = known.as_slice() else { return None };
        (!self.raw && !payload.is_empty() && !self.wills.contains(&(topic, payload)))
            .then(|| &self.publications[*only])
    }

    /// The requests that may be in force on a connection at an event and match a topic.
    pub(super) fn matching(&self, link: ConnectionKey, at: usize, topic: &TopicName) -> Vec<&Request<'h>> {
        let Some(of) = self.links.get(&link) else { return Vec::new() };
        let fresh = of.accepted.is_some_and(|(_, present)| !present) && of.version != Version::V3_1;
        let in_force = |request: &&Request<'h>| {
            let own = request.link == link;
            let of_session = own || !fresh && !of.client_id.is_empty() && request.client_id == of.client_id;
            of_session && request.sent < at && matches(request.filter, topic, of.version)
        };
        self.requests.iter().filter(in_force).collect()
    }

    fn read(&mut self, index: usize, event: &'h Event, versions: &BTreeMap<ConnectionKey, Version>) {
        if let What::Fault(fault) = &event.what {
            let of_server = fault.hosts.iter().any(|host| host == SERVER);
            let profile = matches!(&fault.fault.kind, FaultKind::Profile(of) if of.name.contains("broker") || of.name.contains("disk"));
            self.crashed |=
                of_server && matches!(fault.fault.kind, FaultKind::Crash | FaultKind::Disk(_)) || profile;
        }
        if let What::Fault(fault) = &event.what
            && fault.hosts.iter().any(|host| host == SERVER)
        {
            self.last_of_server = Some(index);
        }
        if let What::Fault(_) | What::FaultOver { .. } = &event.what {
            self.last_fault = Some(event.at);
        }
        let Some(key) = event.connection else { return };
        match &event.what {
            What::SentRaw { .. } => self.raw = true,
            What::Closed(_) => {
                if let Some(link) = self.links.get_mut(&key) {
                    link.open = false;
                }
            }
            What::Sent { packet: Packet::Connect(connect), .. } => {
                if self.links.contains_key(&key) {
                    // A second CONNECT breaks the standard: what follows is unclear.
                    self.raw = true;
                    return;
                }
                let expiry = connect.properties.get::<SessionExpiryInterval>().map_or(0, |expiry| expiry.0);
                let version = versions.get(&key).copied().unwrap_or(connect.version);
                let kept = if connect.clean_start { 0 } else { u32::MAX };
                if let Some(will) = &connect.will {
                    self.wills.insert((will.topic.as_str(), will.payload.as_bytes()));
                }
                self.links.insert(
                    key,
                    Link {
                        client_id: connect.client_id.as_str(),
                        version,
                        clean: connect.clean_start,
                        accepted: None,
                        expiry: if version.is_5() { expiry } else { kept },
                        began: event.at,
                        heard: event.at,
                        open: true,
                        limited: connect.properties.contains::<mqttspec_codec::MaximumPacketSize>(),
                        unacknowledged: BTreeSet::new(),
                        aliases: [BTreeMap::new(), BTreeMap::new()],
                    },
                );
            }
            What::Sent { packet, .. } => self.sent_packet(key, index, packet),
            What::Received { packet, .. } => {
                if let Some(link) = self.links.get_mut(&key) {
                    link.heard = event.at;
                }
                self.received(key, index, packet);
            }
            _ => {}
        }
    }

    fn sent_packet(&mut self, key: ConnectionKey, index: usize, packet: &'h Packet) {
        let Some(link) = self.links.get_mut(&key) else {
            // A packet before CONNECT breaks the standard.
            self.raw = true;
            return;
        };
        let client_id = link.client_id;
        match packet {
            Packet::Publish(publish) => {
                let Some(topic) = link.topic(publish, 0) else {
                    self.raw = true;
                    return;
                };
                let id = publish.delivery.packet_identifier();
                let publication = self.publications.len();
                if let Some(id) = id {
                    // A Packet Identifier in use: it is unclear to which message an answer belongs.
                    let known = self.in_flight.insert((client_id, id), Some(publication));
                    if known.is_some() || self.unreleased.contains(&(client_id, id)) {
                        self.in_flight.insert((client_id, id), None);
                    }
                    if publish.delivery.qos() == QoS::ExactlyOnce {
                        self.unreleased.insert((client_id, id));
                    }
                }
                let message = (topic.as_str(), &publish.payload[..]);
                self.sent.entry(message).or_default().push(publication);
                self.publications.push(Publication { client_id, publish, sent: index, accepted: None });
            }
            Packet::Subscribe(subscribe) => {
                let identifier =
                    subscribe.properties.get::<SubscriptionIdentifier>().map(SubscriptionIdentifier::get);
                for subscription in &subscribe.subscriptions {
                    self.requests.push(Request {
                        link: key,
                        client_id,
                        filter: &subscription.filter,
                        no_local: subscription.no_local,
                        retain_as_published: subscription.retain_as_published,
                        identifier,
                        sent: index,
                        granted: None,
                        removed: None,
                        id: subscribe.id,
                    });
                }
            }
            Packet::Unsubscribe(unsubscribe) => {
                for request in self.requests.iter_mut().filter(|request| request.client_id == client_id) {
                    if unsubscribe.filters.iter().any(|filter| filter == request.filter) {
                        request.removed = Some((index, None));
                        request.id = unsubscribe.id;
                    }
                }
            }
            Packet::PubAck(ack) => drop(link.unacknowledged.remove(&ack.id)),
            Packet::PubComp(ack) => drop(link.unacknowledged.remove(&ack.id)),
            Packet::PubRec(ack) if ack.reason.is_failure() => drop(link.unacknowledged.remove(&ack.id)),
            Packet::Disconnect(disconnect) => {
                if let Some(expiry) = disconnect.properties.get::<SessionExpiryInterval>() {
                    link.expiry = expiry.0;
                }
            }
            _ => {}
        }
    }

    fn received(&mut self, key: ConnectionKey, index: usize, packet: &'h Packet) {
        let Some(link) = self.links.get_mut(&key) else { return };
        let client_id = link.client_id;
        match packet {
            Packet::ConnAck(ack) if !ack.reason.is_failure() => {
                link.accepted = Some((index, ack.session_present));
                if let Some(expiry) = ack.properties.get::<SessionExpiryInterval>() {
                    link.expiry = expiry.0;
                }
            }
            Packet::Publish(publish) => {
                if let Some(id) = publish.delivery.packet_identifier() {
                    link.unacknowledged.insert(id);
                }
                if let Some(topic) = link.topic(publish, 1) {
                    self.arrivals.push(Arrival { link: key, event: index, topic, publish });
                }
            }
            Packet::PubAck(ack) => self.taken(client_id, ack.id, index, ack.reason.is_failure()),
            Packet::PubRec(ack) => self.taken(client_id, ack.id, index, ack.reason.is_failure()),
            Packet::PubComp(ack) => drop(self.unreleased.remove(&(client_id, ack.id))),
            Packet::SubAck(ack) => {
                let waiting = self.requests.iter_mut().filter(|request| {
                    request.link == key && request.id == ack.id && request.granted.is_none()
                });
                for (request, reason) in waiting.zip(&ack.reasons) {
                    request.granted = Some((index, QoS::try_from(u8::from(*reason)).ok()));
                }
            }
            Packet::UnsubAck(ack) if ack.reasons.iter().all(|reason| u8::from(*reason) < 0x80) => {
                for request in self.requests.iter_mut().filter(|request| request.client_id == client_id) {
                    if let (Some((_, acknowledged @ None)), true) =
                        (&mut request.removed, request.id == ack.id)
                    {
                        *acknowledged = Some(index);
                    }
                }
            }
            _ => {}
        }
    }

    fn taken(&mut self, client_id: &'h str, id: PacketIdentifier, event: usize, refused: bool) {
        if refused {
            self.unreleased.remove(&(client_id, id));
        }
        if let (Some(Some(publication)), false) = (self.in_flight.remove(&(client_id, id)), refused) {
            self.publications[publication].accepted = Some(event);
        }
    }
}

impl<'h> Link<'h> {
    /// The topic of a PUBLISH in this direction, also if it has only a Topic Alias.
    fn topic(&mut self, publish: &'h Publish, direction: usize) -> Option<&'h TopicName> {
        let alias = publish.properties.get::<TopicAlias>().map(|alias| alias.0.get());
        match (&publish.topic, alias) {
            (Some(topic), Some(alias)) => {
                self.aliases[direction].insert(alias, topic);
                Some(topic)
            }
            (Some(topic), None) => Some(topic),
            (None, alias) => self.aliases[direction].get(&alias?).copied(),
        }
    }
}

fn matches(filter: &TopicFilter, topic: &TopicName, version: Version) -> bool {
    if version.is_5() { filter.matches(topic) } else { filter.matches_verbatim(topic) }
}
