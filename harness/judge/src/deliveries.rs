//! Which Application Messages were published, and which were delivered to whom: read from the history once, for the properties.
//!
//! On a host with an application (the reference client) what it asked for and was told counts. On a host that the harness plays the
//! packets count, as the receiver of §4.3 treats them: a QoS 2 PUBLISH whose identifier awaits its PUBREL is the same message again.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use mqttspec_codec::{Packet, PacketIdentifier, Publish, QoS, Role, TopicFilter, TopicName};

use crate::history::{Asked, Event, History, HostIndex, Message, Told, What};

/// An Application Message that was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// Who published it.
    pub publisher: HostIndex,
    /// The index of the event by which it was sent or asked for.
    pub event: usize,
    /// The Topic Name.
    pub topic: String,
    /// The payload.
    pub payload: Bytes,
    /// The QoS with which it was published.
    pub qos: QoS,
    /// The receiver took it over: PUBACK or PUBREC with a Reason Code below 0x80, or the client said that it is published.
    pub accepted: bool,
    /// The receiver refused it.
    pub refused: bool,
}

/// An Application Message that reached a subscriber.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Who got it.
    pub subscriber: HostIndex,
    /// The index of the event by which it came.
    pub event: usize,
    /// The Topic Name.
    pub topic: String,
    /// The payload.
    pub payload: Bytes,
    /// The QoS with which it came.
    pub qos: QoS,
}

/// What a subscriber's subscriptions say of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interest {
    /// The QoS with which it must come: the smaller of that of the message and the greatest that was granted.
    pub qos: QoS,
    /// How many of its subscriptions match.
    pub subscriptions: usize,
}

/// A subscription and the events between which it stood.
#[derive(Clone, Debug)]
struct Standing {
    subscriber: HostIndex,
    filter: TopicFilter,
    qos: QoS,
    from: usize,
    until: usize,
}

/// All publications and deliveries of a run.
#[derive(Clone, Debug, Default)]
pub struct Deliveries {
    /// In the order of publishing.
    pub publications: Vec<Publication>,
    /// In the order of arrival.
    pub deliveries: Vec<Delivery>,
    standing: Vec<Standing>,
}

impl Deliveries {
    /// Reads them from a history.
    #[must_use]
    pub fn of(history: &History) -> Self {
        let mut reader = Reader::new(history);
        for (index, event) in history.events().iter().enumerate() {
            reader.read(index, event);
        }
        reader.found
    }

    /// What `subscriber` must get of a publication; `None` if it had no matching subscription when it was sent.
    #[must_use]
    pub fn interest(&self, subscriber: HostIndex, publication: &Publication) -> Option<Interest> {
        let topic = TopicName::try_from(publication.topic.as_str()).ok()?;
        let matching = self.standing.iter().filter(|standing| {
            standing.subscriber == subscriber
                && standing.from < publication.event
                && publication.event < standing.until
                && !standing.filter.is_shared()
                && standing.filter.matches(&topic)
        });
        let (mut granted, mut subscriptions) = (None, 0);
        for standing in matching {
            granted = granted.max(Some(standing.qos));
            subscriptions += 1;
        }
        Some(Interest { qos: granted?.min(publication.qos), subscriptions })
    }

    /// Everyone who ever had a subscription.
    pub fn subscribers(&self) -> impl Iterator<Item = HostIndex> {
        let hosts: BTreeSet<HostIndex> = self.standing.iter().map(|standing| standing.subscriber).collect();
        hosts.into_iter()
    }
}

struct Reader {
    /// Hosts on which an application asks and is told.
    applications: BTreeSet<HostIndex>,
    /// Hosts whose packets the harness sees from the client's end.
    played: BTreeSet<HostIndex>,
    /// By (host, handle): what was asked.
    wishes: BTreeMap<(HostIndex, u64), Wish>,
    /// By (host, identifier): the publication that waits for its acknowledgement.
    in_flight: BTreeMap<(HostIndex, PacketIdentifier), usize>,
    /// By (host, identifier): QoS 2 PUBLISH packets that came and were not released.
    held: BTreeSet<(HostIndex, PacketIdentifier)>,
    subscribing: BTreeMap<(HostIndex, PacketIdentifier), Vec<(TopicFilter, QoS)>>,
    unsubscribing: BTreeMap<(HostIndex, PacketIdentifier), Vec<TopicFilter>>,
    found: Deliveries,
}

enum Wish {
    Publish(usize),
    Subscribe(Vec<(String, QoS)>),
}

impl Reader {
    fn new(history: &History) -> Self {
        let applications = history
            .events()
            .iter()
            .filter(|event| matches!(event.what, What::Asked(_) | What::Told(_)))
            .filter_map(|event| event.connection.map(|connection| connection.host))
            .collect();
        let played = (0u16..)
            .map(HostIndex)
            .zip(history.hosts())
            .filter(|(_, info)| info.observer == Role::Client)
            .map(|(host, _)| host)
            .collect();
        Self {
            applications,
            played,
            wishes: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            held: BTreeSet::new(),
            subscribing: BTreeMap::new(),
            unsubscribing: BTreeMap::new(),
            found: Deliveries::default(),
        }
    }

    fn read(&mut self, index: usize, event: &Event) {
        let Some(host) = event.connection.map(|connection| connection.host) else { return };
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
                self.wishes.insert((host, *handle), Wish::Publish(publication));
            }
            Asked::Subscribe { filters, handle } => {
                self.wishes.insert((host, *handle), Wish::Subscribe(filters.clone()));
            }
            Asked::Unsubscribe(_) | Asked::Acknowledge { .. } | Asked::Connect(_) | Asked::Disconnect(_) => {}
        }
    }

    fn told(&mut self, index: usize, host: HostIndex, told: &Told) {
        match told {
            Told::Message(message) => self.deliver(index, host, message),
            Told::Published { handle, refused, .. } => {
                if let Some(Wish::Publish(publication)) = self.wishes.get(&(host, *handle)) {
                    let publication = &mut self.found.publications[*publication];
                    (publication.accepted, publication.refused) = (refused.is_none(), refused.is_some());
                }
            }
            Told::Subscribed { handle, granted, .. } => {
                let Some(Wish::Subscribe(filters)) = self.wishes.remove(&(host, *handle)) else { return };
                for ((filter, _), granted) in filters.iter().zip(granted) {
                    if let (Ok(filter), Some(qos)) = (TopicFilter::try_from(filter.as_str()), granted) {
                        self.subscribe(index, host, filter, *qos);
                    }
                }
            }
            Told::Unsubscribed { .. }
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
                let filters = subscribe.subscriptions.iter().map(|s| (s.filter.clone(), s.qos)).collect();
                self.subscribing.insert((host, subscribe.id), filters);
            }
            Packet::Unsubscribe(unsubscribe) => {
                let filters = unsubscribe.filters.iter().cloned().collect();
                self.unsubscribing.insert((host, unsubscribe.id), filters);
                // From here on the server may stop at any moment.
                self.unsubscribe(index, host, unsubscribe.id);
            }
            _ => {}
        }
    }

    fn received(&mut self, index: usize, host: HostIndex, packet: &Packet) {
        match packet {
            Packet::ConnAck(ack) if !ack.reason.is_failure() && !ack.session_present => {
                self.forget(index, host);
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
                let Some(filters) = self.subscribing.remove(&(host, ack.id)) else { return };
                for ((filter, _), reason) in filters.into_iter().zip(&ack.reasons) {
                    if let Ok(qos) = QoS::try_from(u8::from(*reason)) {
                        self.subscribe(index, host, filter, qos);
                    }
                }
            }
            _ => {}
        }
    }

    fn publish(&mut self, event: usize, publisher: HostIndex, message: &Message) -> usize {
        self.found.publications.push(Publication {
            publisher,
            event,
            topic: message.topic.clone(),
            payload: message.payload.clone(),
            qos: message.qos,
            accepted: false,
            refused: false,
        });
        self.found.publications.len() - 1
    }

    fn deliver(&mut self, event: usize, subscriber: HostIndex, message: &Message) {
        self.found.deliveries.push(Delivery {
            subscriber,
            event,
            topic: message.topic.clone(),
            payload: message.payload.clone(),
            qos: message.qos,
        });
    }

    fn acknowledged(&mut self, host: HostIndex, id: PacketIdentifier, failure: bool) {
        if let Some(publication) = self.in_flight.get(&(host, id)) {
            let publication = &mut self.found.publications[*publication];
            (publication.accepted, publication.refused) = (!failure, failure);
            // After a PUBACK the identifier is free; after a PUBREC only PUBREL may follow, which repeats no PUBLISH.
            if failure || publication.qos == QoS::AtLeastOnce {
                self.in_flight.remove(&(host, id));
            }
        }
    }

    fn subscribe(&mut self, event: usize, subscriber: HostIndex, filter: TopicFilter, qos: QoS) {
        self.end(event, subscriber, |standing| *standing == filter);
        self.found.standing.push(Standing { subscriber, filter, qos, from: event, until: usize::MAX });
    }

    fn unsubscribe(&mut self, event: usize, host: HostIndex, id: PacketIdentifier) {
        for filter in self.unsubscribing.remove(&(host, id)).unwrap_or_default() {
            self.end(event, host, |standing| *standing == filter);
        }
    }

    /// The Session is new: nothing of the one before is left.
    fn forget(&mut self, event: usize, host: HostIndex) {
        self.end(event, host, |_| true);
        self.held.retain(|(held, _)| *held != host);
        self.in_flight.retain(|(waiting, _), _| *waiting != host);
    }

    fn end(&mut self, event: usize, subscriber: HostIndex, which: impl Fn(&TopicFilter) -> bool) {
        for standing in &mut self.found.standing {
            if standing.subscriber == subscriber && standing.until == usize::MAX && which(&standing.filter) {
                standing.until = event;
            }
        }
    }
}

/// The message of a PUBLISH; `None` where the Topic Name is only an alias, which the observer does not follow.
fn message(publish: &Publish) -> Option<Message> {
    Some(Message {
        topic: publish.topic.as_ref()?.as_str().to_owned(),
        payload: publish.payload.clone(),
        qos: publish.delivery.qos(),
        retain: publish.retain,
    })
}
