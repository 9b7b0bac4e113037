//! The Application Messages that were published and delivered in a run, read from its history once
//! for all delivery checks.
//!
//! On a host with an application (a reference client), its commands and events count. On a host for
//! which the harness acts, the packets count. They are interpreted as a receiver does by §4.3: a
//! QoS 2 PUBLISH whose Packet Identifier waits for its PUBREL repeats the same message.

pub(crate) mod hops;
mod taken_over;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use mqttspec_codec::{Packet, PacketIdentifier, Publish, QoS, Role, TopicFilter, TopicName};

use crate::history::{Asked, Event, History, HostIndex, Message, Told, What};
use hops::Hop;
use taken_over::taken_over;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// An Application Message that was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// The host that published it.
    pub publisher: HostIndex,
    /// The index of the event that sent it, or of the application's command.
    pub event: usize,
    /// The Topic Name.
    pub topic: String,
    /// The payload.
    pub payload: Bytes,
    /// The QoS with which it was published.
    pub qos: QoS,
    /// The receiver took ownership: it sent PUBACK or PUBREC with a Reason Code below 0x80, or the
    /// client reported the message as published.
    pub accepted: bool,
    /// The receiver refused it.
    pub refused: bool,
    /// Equal for messages that cannot be distinguished, from 0.
    pub(crate) number: usize,
    /// Equal for those with the same Topic Name, from 0.
    topic_number: usize,
}

/// An Application Message that reached a subscriber.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The host that received it.
    pub subscriber: HostIndex,
    /// The index of the event with which it arrived.
    pub event: usize,
    /// The Topic Name.
    pub topic: String,
    /// The payload.
    pub payload: Bytes,
    /// The QoS with which it arrived.
    pub qos: QoS,
    /// Whether it arrived with DUP 1: an earlier copy may have been lost with its connection.
    pub dup: bool,
    /// That of the publications with its Topic Name and payload, if there are any.
    pub(crate) number: Option<usize>,
}

impl Publication {
    pub(crate) fn new(publisher: HostIndex, event: usize, message: &Message) -> Self {
        Self {
            publisher,
            event,
            topic: message.topic.clone(),
            payload: message.payload.clone(),
            qos: message.qos,
            accepted: false,
            refused: false,
            number: 0,
            topic_number: 0,
        }
    }
}

impl Delivery {
    pub(crate) fn new(subscriber: HostIndex, event: usize, message: &Message, dup: bool) -> Self {
        let (topic, payload, qos) = (message.topic.clone(), message.payload.clone(), message.qos);
        Self { subscriber, event, topic, payload, qos, dup, number: None }
    }
}

/// Numbers the messages by Topic Name and payload.
pub(crate) fn number(publications: &mut [Publication], deliveries: &mut [Delivery]) {
    let mut numbers = BTreeMap::new();
    let of_publications: Vec<usize> = publications
        .iter()
        .map(|publication| {
            let next = numbers.len();
            *numbers.entry(key(&publication.topic, &publication.payload)).or_insert(next)
        })
        .collect();
    for delivery in deliveries {
        delivery.number = numbers.get(&key(&delivery.topic, &delivery.payload)).copied();
    }
    for (publication, number) in publications.iter_mut().zip(of_publications) {
        publication.number = number;
    }
}

/// Compares messages by their hashes first: topics and payloads are often alike.
pub(crate) fn key<'m>(topic: &'m str, payload: &'m [u8]) -> (u64, &'m str, &'m [u8]) {
    (xxh3_64_with_seed(payload, xxh3_64(topic.as_bytes())), topic, payload)
}

/// A subscription, the event that asked for it, and the events between which it was active.
#[derive(Clone, Debug)]
struct Subscription {
    subscriber: HostIndex,
    filter: TopicFilter,
    qos: QoS,
    asked: usize,
    from: usize,
    until: usize,
    /// Whether it matches each Topic Name, by the names' numbers.
    matches: Vec<bool>,
}

/// All publications and deliveries of a run.
#[derive(Clone, Debug, Default)]
pub struct Deliveries {
    /// In the order of publishing.
    pub publications: Vec<Publication>,
    /// In the order of arrival.
    pub deliveries: Vec<Delivery>,
    subscriptions: Vec<Subscription>,
    /// Hosts that are owed no more: see [`taken_over`].
    pub(crate) taken_over: BTreeSet<HostIndex>,
    /// Of each client under test.
    pub(crate) hops: Vec<Hop>,
}

impl Deliveries {
    /// Reads the publications and deliveries of a history.
    #[must_use]
    pub fn of(history: &History) -> Self {
        let mut reader = Reader::new(history);
        for (index, event) in history.events().iter().enumerate() {
            reader.read(index, event);
        }
        let mut found = reader.found;
        found.taken_over = taken_over(history);
        number(&mut found.publications, &mut found.deliveries);
        found.match_topics();
        found.hops = hops::of(history);
        for hop in &mut found.hops {
            number(&mut hop.publications, &mut hop.deliveries);
        }
        found.accept_what_arrived();
        found
    }

    /// Numbers the Topic Names, and compares each once with each subscription.
    fn match_topics(&mut self) {
        let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
        let mut of_publications = Vec::with_capacity(self.publications.len());
        for publication in &self.publications {
            let next = numbers.len();
            let number = *numbers.entry(&publication.topic).or_insert(next);
            of_publications.push(number);
            if number == next {
                let name = TopicName::try_from(publication.topic.as_str()).ok();
                for Subscription { filter, matches, .. } in &mut self.subscriptions {
                    let is_match = |name: &TopicName| !filter.is_shared() && filter.matches(name);
                    matches.push(name.as_ref().is_some_and(is_match));
                }
            }
        }
        for (publication, number) in self.publications.iter_mut().zip(of_publications) {
            publication.topic_number = number;
        }
    }

    /// A client under test need not report that the Server has acknowledged a message.
    fn accept_what_arrived(&mut self) {
        let to_server = self.hops.iter().filter(|hop| hop.receiver == Role::Server);
        let arrived: BTreeSet<(HostIndex, &str, &[u8])> = to_server
            .flat_map(|hop| &hop.deliveries)
            .map(|delivery| (delivery.subscriber, delivery.topic.as_str(), &delivery.payload[..]))
            .collect();
        for publication in self.publications.iter_mut().filter(|one| one.qos != QoS::AtMostOnce) {
            let key = (publication.publisher, publication.topic.as_str(), &publication.payload[..]);
            publication.accepted |= arrived.contains(&key);
        }
    }

    /// The QoS with which `subscriber` must receive a publication: that of the message, or the greatest
    /// that was granted if that is smaller. `None` if it had no matching subscription when the
    /// message was sent.
    #[must_use]
    pub fn owed_qos(&self, subscriber: HostIndex, publication: &Publication) -> Option<QoS> {
        let matching = self.matching(subscriber, publication);
        let standing = matching.filter(|subscription| subscription.from < publication.event);
        Some(standing.map(|subscription| subscription.qos).max()?.min(publication.qos))
    }

    /// The greatest number of copies of a publication of which the last arrived with this event: one
    /// for each Topic Filter, also for one that was asked for and not granted yet.
    pub(crate) fn most_copies(&self, subscriber: HostIndex, publication: &Publication, last: usize) -> usize {
        let matching = self.matching(subscriber, publication);
        let asked = matching.filter(|subscription| subscription.asked < last.max(publication.event));
        asked.map(|subscription| &subscription.filter).collect::<BTreeSet<_>>().len()
    }

    /// The subscriptions that match a publication and had not ended when it was sent.
    fn matching(
        &self,
        subscriber: HostIndex,
        publication: &Publication,
    ) -> impl Iterator<Item = &Subscription> {
        let (topic, event) = (publication.topic_number, publication.event);
        self.subscriptions.iter().filter(move |subscription| {
            subscription.subscriber == subscriber
                && event < subscription.until
                && subscription.matches.get(topic).copied().unwrap_or_default()
        })
    }

    /// Whether every accepted message with QoS above 0 reached every subscriber that should receive
    /// it.
    #[must_use]
    pub fn all_arrived(&self) -> bool {
        self.subscribers().all(|subscriber| {
            let mut had = vec![false; self.publications.len()];
            let own = self.deliveries.iter().filter(|delivery| delivery.subscriber == subscriber);
            own.filter_map(|delivery| delivery.number).for_each(|number| had[number] = true);
            self.publications.iter().filter(|publication| publication.accepted).all(|publication| {
                had[publication.number]
                    || self.owed_qos(subscriber, publication).is_none_or(|qos| qos == QoS::AtMostOnce)
            })
        })
    }

    /// The hosts that ever had a subscription.
    pub fn subscribers(&self) -> impl Iterator<Item = HostIndex> {
        let hosts: BTreeSet<HostIndex> =
            self.subscriptions.iter().map(|subscription| subscription.subscriber).collect();
        hosts.into_iter()
    }
}

struct Reader {
    /// Hosts that run a client with an application.
    applications: BTreeSet<HostIndex>,
    /// Hosts whose packets the harness sees from the client's end.
    played: BTreeSet<HostIndex>,
    /// By (host, handle): the commands of the application.
    requests: BTreeMap<(HostIndex, u64), Request>,
    /// By (host, identifier): the publication that waits for its acknowledgement.
    in_flight: BTreeMap<(HostIndex, PacketIdentifier), usize>,
    /// By (host, identifier): QoS 2 PUBLISH packets that arrived and were not released.
    held: BTreeSet<(HostIndex, PacketIdentifier)>,
    /// By (host, topic, payload): the messages whose last PUBLISH had DUP 1.
    repeated: BTreeSet<(HostIndex, String, Bytes)>,
    /// The SUBSCRIBE packets without a SUBACK, with their events.
    subscribing: BTreeMap<(HostIndex, PacketIdentifier), (usize, Vec<TopicFilter>)>,
    unsubscribing: BTreeMap<(HostIndex, PacketIdentifier), Vec<TopicFilter>>,
    found: Deliveries,
}

enum Request {
    Publish(usize),
    /// With the event that asked for it.
    Subscribe(usize, Vec<(String, QoS)>),
}

impl Reader {
    fn new(history: &History) -> Self {
        let mut applications = BTreeSet::new();
        for event in history.events() {
            if let What::Asked(_) | What::Told(_) = event.what
                && let Some(connection) = event.connection
            {
                applications.insert(connection.host);
            }
        }
        let played = (0u16..)
            .map(HostIndex)
            .zip(history.hosts())
            .filter(|(_, info)| info.observer == Role::Client)
            .map(|(host, _)| host)
            .collect();
        Self {
            applications,
            played,
            requests: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            held: BTreeSet::new(),
            repeated: BTreeSet::new(),
            subscribing: BTreeMap::new(),
            unsubscribing: BTreeMap::new(),
            found: Deliveries::default(),
        }
    }

    fn read(&mut self, index: usize, event: &Event) {
        let Some(host) = event.connection.map(|connection| connection.host) else { return };
        if let What::Received { packet: Packet::Publish(publish), .. } = &event.what
            && (publish.delivery.dup() || !self.repeated.is_empty())
            && let Some(message) = message(publish)
        {
            let key = (host, message.topic, message.payload);
            match publish.delivery.dup() {
                true => self.repeated.insert(key),
                false => self.repeated.remove(&key),
            };
        }
        match &event.what {
            What::Asked(asked) => self.asked(index, host, asked),
            What::Told(told) => self.told(index, host, told),
            What::Sent { packet, .. } if self.by_packets(host) => self.sent(index, host, packet),
            What::Received { packet, .. } if self.by_packets(host) => self.received(index, host, packet),
            _ => {}
        }
    }

    fn by_packets(&self, host: HostIndex) -> bool {
        self.played.contains(&host) && !self.applications.contains(&host)
    }

    fn asked(&mut self, index: usize, host: HostIndex, asked: &Asked) {
        match asked {
            Asked::Publish { message, handle } => {
                let publication = self.publish(index, host, message);
                self.requests.insert((host, *handle), Request::Publish(publication));
            }
            Asked::Subscribe { filters, handle } => {
                self.requests.insert((host, *handle), Request::Subscribe(index, filters.clone()));
            }
            // Delivery checks are about `publish` and `load`.
            Asked::Request { .. }
            | Asked::Deliver { .. }
            | Asked::Unsubscribe(_)
            | Asked::Acknowledge { .. }
            | Asked::Reauthenticate
            | Asked::Connect(_)
            | Asked::Disconnect(_) => {}
        }
    }

    fn told(&mut self, index: usize, host: HostIndex, told: &Told) {
        match told {
            Told::Message { message, .. } => self.deliver(index, host, message),
            Told::Published { handle, refused, .. } => {
                if let Some(Request::Publish(publication)) = self.requests.get(&(host, *handle)) {
                    let publication = &mut self.found.publications[*publication];
                    (publication.accepted, publication.refused) = (refused.is_none(), refused.is_some());
                }
            }
            Told::Subscribed { handle, granted, .. } => {
                let Some(Request::Subscribe(asked, filters)) = self.requests.remove(&(host, *handle)) else {
                    return;
                };
                for ((filter, _), granted) in filters.iter().zip(granted) {
                    if let (Ok(filter), Some(qos)) = (TopicFilter::try_from(filter.as_str()), granted) {
                        self.subscribe(asked, index, host, filter, *qos);
                    }
                }
            }
            Told::Unsubscribed { .. }
            | Told::Answered { .. }
            | Told::Delivered { .. }
            | Told::Reauthenticated
            | Told::Acknowledged { .. }
            | Told::Connected { .. }
            | Told::Disconnected { .. }
            | Told::Failed { .. } => {}
        }
    }

    fn sent(&mut self, index: usize, host: HostIndex, packet: &Packet) {
        match packet {
            Packet::Publish(publish) => {
                let Some(message) = message(publish) else { return };
                let id = publish.delivery.packet_identifier();
                let repeated =
                    id.filter(|id| publish.delivery.dup() && self.in_flight.contains_key(&(host, *id)));
                if repeated.is_none() {
                    let publication = self.publish(index, host, &message);
                    match id {
                        Some(id) => drop(self.in_flight.insert((host, id), publication)),
                        None => self.found.publications[publication].accepted = true,
                    }
                }
            }
            Packet::Subscribe(subscribe) => {
                let filters = subscribe.subscriptions.iter().map(|s| s.filter.clone()).collect();
                self.subscribing.insert((host, subscribe.id), (index, filters));
            }
            Packet::Unsubscribe(unsubscribe) => {
                let filters = unsubscribe.filters.iter().cloned().collect();
                self.unsubscribing.insert((host, unsubscribe.id), filters);
                // From now on the server may stop sending at any moment.
                self.unsubscribe(index, host, unsubscribe.id);
            }
            _ => {}
        }
    }

    fn received(&mut self, index: usize, host: HostIndex, packet: &Packet) {
        match packet {
            Packet::ConnAck(ack) if !ack.reason.is_failure() && !ack.session_present => {
                self.end_session(index, host);
            }
            Packet::Publish(publish) => {
                let Some(message) = message(publish) else { return };
                let held = publish.delivery.qos() == QoS::ExactlyOnce
                    && publish.delivery.packet_identifier().is_some_and(|id| !self.held.insert((host, id)));
                if !held {
                    self.deliver(index, host, &message);
                }
            }
            Packet::PubRel(release) => drop(self.held.remove(&(host, release.id))),
            Packet::PubAck(ack) => self.acknowledged(host, ack.id, ack.reason.is_failure()),
            Packet::PubRec(ack) => self.acknowledged(host, ack.id, ack.reason.is_failure()),
            Packet::PubComp(ack) => drop(self.in_flight.remove(&(host, ack.id))),
            Packet::SubAck(ack) => {
                let Some((asked, filters)) = self.subscribing.remove(&(host, ack.id)) else { return };
                for (filter, reason) in filters.into_iter().zip(&ack.reasons) {
                    if let Ok(qos) = QoS::try_from(u8::from(*reason)) {
                        self.subscribe(asked, index, host, filter, qos);
                    }
                }
            }
            _ => {}
        }
    }

    fn publish(&mut self, event: usize, publisher: HostIndex, message: &Message) -> usize {
        self.found.publications.push(Publication::new(publisher, event, message));
        self.found.publications.len() - 1
    }

    fn deliver(&mut self, event: usize, subscriber: HostIndex, message: &Message) {
        let key = || (subscriber, message.topic.clone(), message.payload.clone());
        let dup = !self.repeated.is_empty() && self.repeated.contains(&key());
        self.found.deliveries.push(Delivery::new(subscriber, event, message, dup));
    }

    fn acknowledged(&mut self, host: HostIndex, id: PacketIdentifier, failure: bool) {
        if let Some(publication) = self.in_flight.get(&(host, id)) {
            let publication = &mut self.found.publications[*publication];
            (publication.accepted, publication.refused) = (!failure, failure);
            // After PUBACK the identifier is free. After PUBREC only PUBREL may follow, and that
            // repeats no PUBLISH.
            if failure || publication.qos == QoS::AtLeastOnce {
                self.in_flight.remove(&(host, id));
            }
        }
    }

    fn subscribe(
        &mut self,
        asked: usize,
        event: usize,
        subscriber: HostIndex,
        filter: TopicFilter,
        qos: QoS,
    ) {
        self.end(event, subscriber, |subscription| *subscription == filter);
        self.found.subscriptions.push(Subscription {
            subscriber,
            filter,
            qos,
            asked,
            from: event,
            until: usize::MAX,
            matches: Vec::new(),
        });
    }

    fn unsubscribe(&mut self, event: usize, host: HostIndex, id: PacketIdentifier) {
        for filter in self.unsubscribing.remove(&(host, id)).unwrap_or_default() {
            self.end(event, host, |subscription| *subscription == filter);
        }
    }

    /// The Session is new: nothing of the previous one is left.
    fn end_session(&mut self, event: usize, host: HostIndex) {
        self.end(event, host, |_| true);
        self.held.retain(|(held, _)| *held != host);
        self.in_flight.retain(|(waiting, _), _| *waiting != host);
    }

    fn end(&mut self, event: usize, subscriber: HostIndex, which: impl Fn(&TopicFilter) -> bool) {
        for subscription in &mut self.found.subscriptions {
            if subscription.subscriber == subscriber
                && subscription.until == usize::MAX
                && which(&subscription.filter)
            {
                subscription.until = event;
            }
        }
    }
}

/// The message of a PUBLISH; `None` if it has only a Topic Alias, which is not resolved here.
fn message(publish: &Publish) -> Option<Message> {
    Some(Message {
        topic: publish.topic.as_ref()?.as_str().to_owned(),
        payload: publish.payload.clone(),
        qos: publish.delivery.qos(),
        retain: publish.retain,
    })
}
