//! What the clients of a run sent and received, read once for all rules.

mod reading;

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use mqttspec_codec::{PacketIdentifier, Role, TopicName};

use super::Tolerance;
use super::calm::Calm;
use super::clients::Clients;
use super::links::{Arrival, Link, Publication, Request, Stranger, matches};
use super::messages::{MessageNumber, Messages};
use crate::history::{ConnectionKey, History, What};
use crate::per_connection::PerConnection;

/// Everything that the rules need.
pub(super) struct Facts<'h> {
    pub(super) history: &'h History,
    pub(super) calm: &'h Calm<'h>,
    pub(super) tolerance: Tolerance,
    pub(super) links: PerConnection<Link<'h>>,
    pub(super) requests: Vec<Request<'h>>,
    pub(super) arrivals: Vec<Arrival<'h>>,
    pub(super) publications: Vec<Publication<'h>>,
    messages: Messages<'h>,
    clients: Clients<'h>,
    /// QoS 2 messages that a client has sent again and that wait for their PUBREC, and the PUBREC
    /// packets that say that the identifier of such a message is in use.
    repeats: BTreeSet<(ConnectionKey, PacketIdentifier)>,
    pub(super) refused_repeats: Vec<(ConnectionKey, usize)>,
    /// Connections on which the client refused a message.
    pub(super) refusals: BTreeSet<ConnectionKey>,
    /// All such bytes.
    raw_bytes: Vec<&'h [u8]>,
    /// Connections that began with something else than a CONNECT.
    pub(super) strangers: BTreeMap<ConnectionKey, Stranger>,
    /// Whether the Server accepted such a connection.
    pub(super) raw: bool,
    /// Whether the Server may have lost state.
    pub(super) crashed: bool,
    /// The event of the last fault of the Server's host.
    pub(super) last_of_server: Option<usize>,
    /// When the last fault began or ended.
    pub(super) last_fault: Option<Duration>,
    /// When the run ended.
    pub(super) end: Duration,
}

impl<'h> Facts<'h> {
    /// Reads a history; `None` if it is not about a Server, or if a client has no recorded packets.
    pub(super) fn of(history: &'h History, calm: &'h Calm<'h>, tolerance: Tolerance) -> Option<Self> {
        if history.hosts().iter().any(|host| host.observer == Role::Server) {
            return None;
        }
        let mut facts = Self {
            history,
            calm,
            tolerance,
            links: PerConnection::default(),
            requests: Vec::new(),
            arrivals: Vec::new(),
            publications: Vec::new(),
            messages: Messages::default(),
            clients: Clients::default(),
            repeats: BTreeSet::new(),
            refused_repeats: Vec::new(),
            refusals: BTreeSet::new(),
            raw_bytes: Vec::new(),
            strangers: BTreeMap::new(),
            raw: false,
            crashed: false,
            last_of_server: None,
            last_fault: None,
            end: history.events().last().map_or(Duration::ZERO, |event| event.at),
        };
        let mut versions = PerConnection::default();
        for (index, event) in history.events().iter().enumerate() {
            if let (What::Opened(version), Some(link)) = (&event.what, event.connection) {
                versions.insert(link, *version);
            }
            facts.read(index, event, &versions);
        }
        Some(facts)
    }

    /// The time of an event.
    pub(super) fn at(&self, event: usize) -> Duration {
        self.history.events().get(event).map_or(Duration::ZERO, |event| event.at)
    }

    /// The first event at or after a time.
    pub(super) fn first_since(&self, at: Duration) -> usize {
        self.history.events().partition_point(|event| event.at < at)
    }

    /// Whether a Subscription is in force at an event, by the event of its SUBACK.
    pub(super) fn in_force(&self, granted: usize, at: usize) -> bool {
        granted < at && self.at(granted) + self.tolerance.subscribing <= self.at(at)
    }

    /// The name of a host.
    pub(super) fn name(&self, link: ConnectionKey) -> &str {
        &self.history.info(link.host).name
    }

    /// Whether the Session of a Client is unclear at an event.
    pub(super) fn is_unclear(&self, client_id: &str, at: usize) -> bool {
        self.raw || self.clients.with_id(client_id).is_some_and(|client| client.is_unclear(at))
    }

    /// Whether the Session of a Client became unclear before an event, by other connections than
    /// this one.
    pub(super) fn is_unclear_by_others(&self, link: &Link<'h>, at: usize) -> bool {
        let own = link.violation.map(|violation| violation.event);
        let mut unclear = self.clients.get(link.client).unclear.iter();
        self.raw || unclear.any(|(from, until)| (*from..*until).contains(&at) && Some(*from) != own)
    }

    /// Whether a message may have been published by bytes that are not a packet.
    fn is_in_raw_bytes(&self, payload: &[u8]) -> bool {
        self.raw_bytes.iter().any(|bytes| bytes.windows(payload.len()).any(|window| window == payload))
    }

    /// Whether bytes that are not a packet may have been a retained message of a topic.
    pub(super) fn is_retained_by_raw_bytes(&self, topic: &TopicName) -> bool {
        let topic = topic.as_bytes();
        let retains = |bytes: &&[u8]| bytes.first().is_some_and(|byte| byte & 0xf1 == 0x31);
        let mut retaining = self.raw_bytes.iter().copied().filter(retains);
        retaining.any(|bytes| bytes.windows(topic.len().max(1)).any(|window| window == topic))
    }

    /// All publications of a message; empty if others may have published it.
    pub(super) fn publications_of(&self, message: MessageNumber) -> &[usize] {
        let payload = self.messages.payload(message);
        let is_unknown = self.raw || payload.is_empty() || self.is_in_raw_bytes(payload);
        if is_unknown { &[] } else { self.messages.publications(message) }
    }

    /// Whether no Client can have published a message. A Server may have messages of its own, but
    /// not on a topic of Clients.
    pub(super) fn is_made_up(&self, arrival: &Arrival<'_>) -> bool {
        let is_certain = !self.raw && self.raw_bytes.is_empty();
        is_certain
            && self.messages.publications(arrival.message).is_empty()
            && self.messages.has_topic(arrival.topic.as_str())
    }

    /// The only publication of a message; `None` if there are several.
    pub(super) fn only_publication(&self, message: MessageNumber) -> Option<&Publication<'h>> {
        let &[only] = self.publications_of(message) else { return None };
        self.publications.get(only)
    }

    /// The connections of a Client Identifier.
    pub(super) fn links_of(&self, client_id: &str) -> impl Iterator<Item = (ConnectionKey, &Link<'h>)> {
        let keys = self.clients.with_id(client_id).map_or(&[][..], |client| &client.links);
        keys.iter().filter_map(|key| Some((*key, self.links.get(*key)?)))
    }

    /// The requests of a Client.
    pub(super) fn requests_of(&self, client_id: &str) -> impl Iterator<Item = &Request<'h>> {
        let numbers = self.clients.with_id(client_id).map_or(&[][..], |client| &client.requests);
        numbers.iter().filter_map(|number| self.requests.get(*number))
    }

    /// The arrivals of a message.
    pub(super) fn arrivals_of(&self, message: MessageNumber) -> impl Iterator<Item = &Arrival<'h>> {
        let numbers = self.messages.arrivals(message).iter();
        numbers.filter_map(|number| self.arrivals.get(*number))
    }

    /// The requests that may be in force on a connection at an event and match a topic.
    pub(super) fn matching(&self, link: ConnectionKey, at: usize, topic: &TopicName) -> Vec<&Request<'h>> {
        let Some(of) = self.links.get(link) else { return Vec::new() };
        // A Session Present of 0 after Clean Start 0 may be what is wrong, and not the message.
        let fresh = of.accepted.is_some() && of.clean;
        let in_force = |request: &&Request<'h>| {
            let own = request.link == link;
            let of_session = own || !fresh && !of.client_id.is_empty() && request.client_id == of.client_id;
            of_session && request.sent < at && matches(request.filter, topic, of.version)
        };
        self.requests_of(of.client_id).filter(in_force).collect()
    }
}
