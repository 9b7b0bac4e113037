//! The Application Messages between each client under test and its Server, read from what happened
//! at the Server's end and from what the application of the client commanded and was told.
//!
//! §4.3 of both standards: the delivery protocol is between one sender and one receiver. So a
//! client is judged by its own connection, and not by what another client does with a message:
//!
//! - To the Server: the application's commands, and the PUBLISH packets that the Server took for
//!   new messages.
//! - To the client: the messages that the Server sent, and those that the application was told of.

use std::collections::{BTreeMap, BTreeSet};

use mqttspec_codec::{Packet, PacketIdentifier, Publish, QoS, Role, TopicAlias, TopicName};

use crate::deliveries::{Delivery, Publication};
use crate::history::{Asked, ConnectionKey, History, HostIndex, Message, Told, What};

/// The messages of one client in one direction.
#[derive(Clone, Debug)]
pub(crate) struct Hop {
    /// The host of the client.
    pub(crate) client: HostIndex,
    /// The role of the receiver.
    pub(crate) receiver: Role,
    /// Accepted: the receiver must have the message.
    pub(crate) publications: Vec<Publication>,
    pub(crate) deliveries: Vec<Delivery>,
}

impl Hop {
    fn new(client: HostIndex, receiver: Role) -> Self {
        Self { client, receiver, publications: Vec::new(), deliveries: Vec::new() }
    }
}

/// Both hops of each client under test that has an application.
pub(crate) fn of(history: &History) -> Vec<Hop> {
    let tested = (0u16..).map(HostIndex).zip(history.hosts());
    let tested = tested.filter(|(_, info)| info.observer == Role::Server);
    let mut readers: BTreeMap<HostIndex, Reader> =
        tested.map(|(host, _)| (host, Reader::new(host))).collect();
    if readers.is_empty() {
        return Vec::new();
    }
    for (index, event) in history.events().iter().enumerate() {
        let Some(connection) = event.connection else { continue };
        if let Some(reader) = readers.get_mut(&connection.host) {
            reader.read(index, connection, &event.what);
        }
    }
    readers.into_values().filter(|reader| reader.has_application).flat_map(Reader::ended).collect()
}

/// Reads the events of one client.
struct Reader {
    has_application: bool,
    to_server: Hop,
    to_client: Hop,
    /// The application's commands to publish, by handle: positions in `to_server`.
    commanded: BTreeMap<u64, usize>,
    /// QoS 2 messages of the client that it has not released.
    held: BTreeSet<PacketIdentifier>,
    /// Messages of the Server that are not acknowledged: positions in `to_client`.
    in_flight: BTreeMap<PacketIdentifier, usize>,
    /// The connection on which each message of the Server was sent last.
    last_sent: BTreeMap<usize, ConnectionKey>,
    /// The connection that is open.
    open: Option<ConnectionKey>,
    /// The topics of Topic Aliases on the newest connection, by their sender.
    aliases: BTreeMap<(Role, u16), TopicName>,
}

impl Reader {
    fn new(client: HostIndex) -> Self {
        Self {
            has_application: false,
            to_server: Hop::new(client, Role::Server),
            to_client: Hop::new(client, Role::Client),
            commanded: BTreeMap::new(),
            held: BTreeSet::new(),
            in_flight: BTreeMap::new(),
            last_sent: BTreeMap::new(),
            open: None,
            aliases: BTreeMap::new(),
        }
    }

    fn read(&mut self, index: usize, connection: ConnectionKey, what: &What) {
        match what {
            What::Opened(_) => {
                self.open = Some(connection);
                self.aliases.clear();
            }
            What::Closed(_) => drop(self.open.take_if(|open| *open == connection)),
            What::Asked(asked) => self.asked(index, asked),
            What::Told(told) => self.told(index, told),
            What::Sent { packet, .. } => self.sent(index, connection, packet),
            What::Received { packet, .. } => self.received(index, packet),
            _ => {}
        }
    }

    fn asked(&mut self, index: usize, asked: &Asked) {
        self.has_application = true;
        if let Asked::Publish { message, handle } = asked {
            self.commanded.insert(*handle, self.to_server.publications.len());
            self.to_server.publications.push(Publication::new(self.to_server.client, index, message));
        }
    }

    fn told(&mut self, index: usize, told: &Told) {
        self.has_application = true;
        match told {
            Told::Message { message, .. } => {
                let client = self.to_client.client;
                self.to_client.deliveries.push(Delivery::new(client, index, message, false));
            }
            Told::Published { handle, refused, .. } => {
                let Some(place) = self.commanded.get(handle) else { return };
                let publication = &mut self.to_server.publications[*place];
                publication.refused |= refused.is_some();
                // That a QoS 0 message was sent does not mean that it arrives.
                publication.accepted |= refused.is_none() && publication.qos != QoS::AtMostOnce;
            }
            _ => {}
        }
    }

    fn sent(&mut self, index: usize, connection: ConnectionKey, packet: &Packet) {
        match packet {
            Packet::ConnAck(ack) if !ack.reason.is_failure() && !ack.session_present => {
                self.held.clear();
                self.in_flight.clear();
                // What the client does with messages of a Session that was lost is its choice.
                for publication in &mut self.to_server.publications {
                    publication.refused = true;
                }
            }
            Packet::PubRec(ack) if ack.reason.is_failure() => drop(self.held.remove(&ack.id)),
            Packet::Publish(publish) => {
                let Some(message) = self.message(publish, Role::Server) else { return };
                let id = publish.delivery.packet_identifier();
                let place = id.and_then(|id| self.in_flight.get(&id).copied()).unwrap_or_else(|| {
                    let sent = Publication::new(self.to_client.client, index, &message);
                    self.to_client.publications.push(sent);
                    self.to_client.publications.len() - 1
                });
                self.last_sent.insert(place, connection);
                self.in_flight.extend(id.map(|id| (id, place)));
            }
            _ => {}
        }
    }

    fn received(&mut self, index: usize, packet: &Packet) {
        match packet {
            Packet::Publish(publish) => {
                let Some(message) = self.message(publish, Role::Client) else { return };
                let repeated = message.qos == QoS::ExactlyOnce
                    && publish.delivery.packet_identifier().is_some_and(|id| !self.held.insert(id));
                if !repeated {
                    let (client, dup) = (self.to_server.client, publish.delivery.dup());
                    self.to_server.deliveries.push(Delivery::new(client, index, &message, dup));
                }
            }
            Packet::PubRel(release) => drop(self.held.remove(&release.id)),
            Packet::PubAck(ack) => self.acknowledged(ack.id, ack.reason.is_failure()),
            Packet::PubRec(ack) => self.acknowledged(ack.id, ack.reason.is_failure()),
            Packet::PubComp(ack) => drop(self.in_flight.remove(&ack.id)),
            _ => {}
        }
    }

    /// The client has taken charge of a message, or refuses it.
    fn acknowledged(&mut self, id: PacketIdentifier, refused: bool) {
        let Some(place) = self.in_flight.get(&id) else { return };
        let publication = &mut self.to_client.publications[*place];
        (publication.accepted, publication.refused) = (!refused, refused);
        // After PUBREC no PUBLISH with the identifier repeats the message.
        if refused || publication.qos == QoS::AtLeastOnce {
            self.in_flight.remove(&id);
        }
    }

    /// The message of a PUBLISH; `None` if its Topic Alias is unknown.
    fn message(&mut self, publish: &Publish, sender: Role) -> Option<Message> {
        let alias = publish.properties.get::<TopicAlias>().map(|alias| (sender, alias.0.get()));
        let topic = match (&publish.topic, alias) {
            (Some(topic), Some(alias)) => {
                self.aliases.insert(alias, topic.clone());
                topic
            }
            (Some(topic), None) => topic,
            (None, alias) => self.aliases.get(&alias?)?,
        };
        Some(Message {
            topic: topic.as_str().to_owned(),
            payload: publish.payload.clone(),
            qos: publish.delivery.qos(),
            retain: publish.retain,
        })
    }

    fn ended(mut self) -> [Hop; 2] {
        for (place, connection) in &self.last_sent {
            // TCP has delivered it, or the run ended too early to judge a loss.
            self.to_client.publications[*place].accepted |= self.open == Some(*connection);
        }
        [self.to_server, self.to_client]
    }
}

#[cfg(test)]
mod tests {
    use mqttspec_codec::Version;
    use mqttspec_notation::{Guarantee, Property};

    use super::*;
    use crate::deliveries::Deliveries;
    use crate::delivery_checks::judge;
    use crate::history::builder::{
        HistoryBuilder, again, message, puback, pubcomp, publish, pubrec, pubrel, received,
    };

    fn client() -> HistoryBuilder {
        HistoryBuilder::of(Version::V5, Role::Server, &["device"]).connects("device", false).resuming()
    }

    fn broken(builder: HistoryBuilder, guarantee: Guarantee) -> Option<String> {
        let history = builder.build();
        let property = Property { host: None, qos: None, guarantees: vec![guarantee] };
        let found = judge(&property, 0, &[], &history, &Deliveries::of(&history));
        found.into_iter().next().map(|finding| finding.actual)
    }

    fn publishes(builder: HistoryBuilder, qos: QoS) -> HistoryBuilder {
        builder.asked("device", Asked::Publish { message: message("out", qos), handle: 1 })
    }

    fn told_published(builder: HistoryBuilder, qos: QoS) -> HistoryBuilder {
        builder.told("device", Told::Published { handle: 1, message: message("out", qos), refused: None })
    }

    #[test]
    fn a_client_must_have_what_it_has_acknowledged() {
        let sent = || {
            client()
                .asked("device", Asked::Connect(Vec::new()))
                .sent("device", publish(QoS::AtLeastOnce, 1, "in"))
        };
        let lost = "device had t \"in\" of the Server 0 times";
        let acknowledged = sent().received("device", puback(1)).lost("device");
        assert_eq!(broken(acknowledged, Guarantee::AtLeastOnce).as_deref(), Some(lost));
        // It stays connected, so it has received the PUBLISH.
        assert_eq!(broken(sent(), Guarantee::AtLeastOnce).as_deref(), Some(lost));
        assert_eq!(broken(sent().lost("device"), Guarantee::AtLeastOnce), None);
        let told = sent().received("device", puback(1)).told("device", received("in", QoS::AtLeastOnce));
        assert_eq!(broken(told, Guarantee::AtLeastOnce), None);
    }

    #[test]
    fn a_repeated_qos_2_message_is_one_message_until_it_is_released() {
        let twice = |between: fn(HistoryBuilder) -> HistoryBuilder| {
            let sent = client()
                .sent("device", publish(QoS::ExactlyOnce, 1, "in"))
                .told("device", received("in", QoS::ExactlyOnce));
            between(sent.received("device", pubrec(1)))
                .connects("device", true)
                .told("device", received("in", QoS::ExactlyOnce))
        };
        let repeated = twice(|builder| builder.sent("device", again(publish(QoS::ExactlyOnce, 1, "in"))));
        assert_eq!(
            broken(repeated, Guarantee::AtMostOnce).as_deref(),
            Some("device had t \"in\" of the Server 2 times")
        );
        let new = twice(|builder| {
            let ended = builder.sent("device", pubrel(1)).received("device", pubcomp(1));
            ended.sent("device", publish(QoS::ExactlyOnce, 1, "in"))
        });
        assert_eq!(broken(new, Guarantee::ExactlyOnce), None);
    }

    #[test]
    fn a_client_sends_a_qos_2_message_again_with_its_identifier() {
        let sends_again = |id: u16, present: bool| {
            publishes(client(), QoS::ExactlyOnce)
                .received("device", publish(QoS::ExactlyOnce, 1, "out"))
                .lost("device")
                .connects("device", present)
                .received("device", again(publish(QoS::ExactlyOnce, id, "out")))
        };
        assert_eq!(broken(sends_again(1, true), Guarantee::AtMostOnce), None);
        assert_eq!(
            broken(sends_again(2, true), Guarantee::AtMostOnce).as_deref(),
            Some("the Server had t \"out\" of device 2 times")
        );
        // The Session was lost: the client may send the message as a new one.
        assert_eq!(broken(sends_again(2, false), Guarantee::AtMostOnce), None);
    }

    #[test]
    fn a_message_that_was_reported_as_published_has_arrived() {
        let reported = |qos| told_published(publishes(client(), qos), qos);
        assert_eq!(
            broken(reported(QoS::AtLeastOnce), Guarantee::AtLeastOnce).as_deref(),
            Some("the Server had t \"out\" of device 0 times")
        );
        // That of QoS 0 was sent, and no more.
        assert_eq!(broken(reported(QoS::AtMostOnce), Guarantee::AtLeastOnce), None);
        // A client need not send what it was asked to publish.
        assert_eq!(broken(publishes(client(), QoS::AtLeastOnce), Guarantee::AtLeastOnce), None);
    }
}
