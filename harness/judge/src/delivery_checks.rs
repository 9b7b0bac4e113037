//! Delivery checks at the end of a run: how often, and in which order, Application Messages reached
//! their subscribers.
//!
//! MQTT 5.0 and 3.1.1 §4.3 (delivery guarantees), §4.6 (ordering). A message counts for a
//! subscriber that had a matching subscription, granted before the message was sent. Messages with
//! equal Topic Name and payload are counted together. Where clients are tested, what counts is the
//! messages between each of them and the Server: see `deliveries/hops.rs`.

use std::collections::BTreeMap;

use mqttspec_codec::{QoS, Role};

use crate::deliveries::hops::Hop;
use crate::deliveries::{Deliveries, Delivery, Publication};
use crate::finding::{Check, Finding};
use crate::history::{ConnectionKey, History, HostIndex, What, nanoseconds};
use mqttspec_notation::{Guarantee, Property};
use mqttspec_spec::{Level, Requirement};

/// The number of messages that a finding lists.
const LISTED: usize = 5;

/// Judges one step with delivery checks (`Property`) over a whole run. `line` is its line in the
/// file; its findings cite `requirements`.
#[must_use]
pub fn judge(
    property: &Property,
    line: u32,
    requirements: &[Requirement],
    history: &History,
    deliveries: &Deliveries,
) -> Vec<Finding> {
    let receivers = receivers(property, history, deliveries);
    property
        .guarantees
        .iter()
        .filter_map(|guarantee| {
            let anomalies = match guarantee {
                Guarantee::ExactlyOnce => count(&receivers, history, true, true),
                Guarantee::AtLeastOnce => count(&receivers, history, true, false),
                Guarantee::AtMostOnce => count(&receivers, history, false, true),
                Guarantee::InOrder => order(&receivers, history, false),
                Guarantee::InOrderOfFirstDelivery => order(&receivers, history, true),
                // The runner checks this when a run ends.
                Guarantee::NothingMore => Vec::new(),
                // The monitors find the packets that break a clause.
                Guarantee::NoViolation => Vec::new(),
            };
            let (event, actual) = summary(anomalies)?;
            let words = guarantee.words();
            let which = property.qos.map_or_else(String::new, |qos| format!(" with QoS {qos}"));
            let expected = match (deliveries.hops.is_empty(), property.host.as_deref()) {
                (true, host) => {
                    format!("each message{which} reaches {} {words}", host.unwrap_or("every subscriber"))
                }
                (false, Some(client)) => format!("each message{which} from and to {client} arrives {words}"),
                (false, None) => format!("each message{which} from and to a client arrives {words}"),
            };
            Some(Finding {
                check: Check::DeliveryCheck(words.to_owned()),
                level: Level::Must,
                requirements: requirements.to_vec(),
                expected,
                actual,
                nearly: None,
                line,
                at_ns: nanoseconds(history.events()[event].at),
                event: Some(event),
                timing_sensitive: true,
            })
        })
        .collect()
}

/// Whether the checks could be made, so that they hold if there is no finding. `is_quiet`: at the end
/// of the run every message was delivered, and every command was done.
#[must_use]
pub fn could_be_made(property: &Property, history: &History, is_quiet: bool) -> bool {
    property.guarantees.iter().all(|guarantee| match guarantee {
        Guarantee::NothingMore => is_quiet,
        Guarantee::NoViolation => all_were_judged(property, history),
        _ => true,
    })
}

/// Whether the peer sent packets on the connections of these hosts, and each could be judged: none was
/// malformed, and no bytes were sent to it that break the standard.
fn all_were_judged(property: &Property, history: &History) -> bool {
    let counts = |connection: ConnectionKey| {
        property.host.as_ref().is_none_or(|host| **host == *history.info(connection.host).name)
    };
    let events: Vec<&What> = history
        .events()
        .iter()
        .filter(|event| event.connection.is_some_and(counts))
        .map(|event| &event.what)
        .collect();
    events.iter().any(|what| matches!(what, What::Received { .. }))
        && !events.iter().any(|what| matches!(what, What::ReceivedMalformed { .. } | What::SentRaw { .. }))
}

/// A message, or several equal ones, for which a guarantee does not hold.
struct Anomaly {
    /// The index of the event in the history that shows it.
    event: usize,
    text: String,
}

/// The first event that shows an anomaly, and a text of a few lines about all of them.
fn summary(anomalies: Vec<Anomaly>) -> Option<(usize, String)> {
    let event = anomalies.iter().map(|anomaly| anomaly.event).min()?;
    let more = anomalies.len().saturating_sub(LISTED);
    let mut lines: Vec<String> = anomalies.into_iter().take(LISTED).map(|anomaly| anomaly.text).collect();
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    Some((event, lines.join("\n")))
}

/// Messages that a subscriber cannot distinguish, and their deliveries to it.
#[derive(Clone, Default)]
struct Group<'a> {
    publications: Vec<&'a Publication>,
    /// The greatest number of copies that a server may send: one per message and matching
    /// subscription.
    most: usize,
    deliveries: Vec<&'a Delivery>,
}

/// By the numbers of the messages. A group without publications is not judged.
type Groups<'a> = Vec<Group<'a>>;

/// One that receives messages.
struct Receiver<'a> {
    name: &'a str,
    /// The one that sends them, if it is not the host that published them.
    sender: Option<&'a str>,
    /// Whether it was disconnected and may stay away, so that messages wait for it.
    is_gone: bool,
    groups: Groups<'a>,
    deliveries: Vec<&'a Delivery>,
}

/// The Server, in findings about clients.
const THE_SERVER: &str = "the Server";

/// The subscribers to judge; where clients are tested, both ends of each.
fn receivers<'a>(property: &Property, history: &'a History, deliveries: &'a Deliveries) -> Vec<Receiver<'a>> {
    let name = |host: HostIndex| &*history.info(host).name;
    let is_meant = |host: HostIndex| property.host.as_ref().is_none_or(|meant| **meant == *name(host));
    if !deliveries.hops.is_empty() {
        let hops = deliveries.hops.iter().filter(|hop| is_meant(hop.client));
        return hops.map(|hop| of_hop(property, hop, name(hop.client))).collect();
    }
    let of = |subscriber: HostIndex| {
        let received = deliveries.deliveries.iter().filter(|delivery| delivery.subscriber == subscriber);
        let received: Vec<&Delivery> = received.collect();
        let groups = groups(property, deliveries, subscriber, &received);
        let is_gone = deliveries.taken_over.contains(&subscriber);
        Receiver { name: name(subscriber), sender: None, is_gone, groups, deliveries: received }
    };
    match &property.host {
        Some(host) => history.host(host).into_iter().map(of).collect(),
        None => deliveries.subscribers().map(of).collect(),
    }
}

fn of_hop<'a>(property: &Property, hop: &'a Hop, client: &'a str) -> Receiver<'a> {
    let mut groups = vec![Group::default(); hop.publications.len()];
    for publication in hop.publications.iter().filter(|one| !one.refused && counts(property, one.qos)) {
        let group = &mut groups[publication.number];
        group.publications.push(publication);
        group.most += 1;
    }
    let deliveries: Vec<&Delivery> = hop.deliveries.iter().collect();
    deliver(&mut groups, &deliveries);
    let (name, sender) = match hop.receiver {
        Role::Server => (THE_SERVER, client),
        Role::Client => (client, THE_SERVER),
    };
    Receiver { name, sender: Some(sender), is_gone: false, groups, deliveries }
}

fn deliver<'a>(groups: &mut Groups<'a>, deliveries: &[&'a Delivery]) {
    for delivery in deliveries {
        if let Some(group) = delivery.number.map(|number| &mut groups[number])
            && !group.publications.is_empty()
        {
            group.deliveries.push(delivery);
        }
    }
}

fn count(receivers: &[Receiver<'_>], history: &History, at_least: bool, at_most: bool) -> Vec<Anomaly> {
    let mut anomalies = Vec::new();
    for Receiver { name, sender, is_gone, groups, .. } in receivers {
        let mut of_receiver = Vec::new();
        for group in groups {
            let Some(first) = group.publications.first() else { continue };
            // A message that the receiver never accepted may be delivered or not.
            let accepted = group.publications.iter().filter(|publication| publication.accepted).count();
            let had = group.deliveries.len();
            if !(at_least && !is_gone && had < accepted || at_most && had > group.most) {
                continue;
            }
            let sender = sender.unwrap_or(&history.info(first.publisher).name);
            let event = if had > group.most { group.deliveries[group.most].event } else { first.event };
            let (topic, payload) = (first.topic.as_str(), &first.payload);
            let sent = match group.publications.len() {
                1 => String::new(),
                times => format!(" (sent {times} times)"),
            };
            let text = format!("{name} had {topic} {} of {sender}{sent} {had} times", quoted(payload));
            of_receiver.push((topic, payload, Anomaly { event, text }));
        }
        of_receiver.sort_unstable_by_key(|(topic, payload, _)| (*topic, *payload));
        anomalies.extend(of_receiver.into_iter().map(|(.., anomaly)| anomaly));
    }
    anomalies
}

fn groups<'a>(
    property: &Property,
    deliveries: &'a Deliveries,
    subscriber: HostIndex,
    received: &[&'a Delivery],
) -> Groups<'a> {
    let mut groups = vec![Group::default(); deliveries.publications.len()];
    let mut last = vec![0; deliveries.publications.len()];
    for delivery in received {
        if let Some(number) = delivery.number {
            last[number] = delivery.event;
        }
    }
    for publication in &deliveries.publications {
        // A message is not owed with a higher QoS than it has.
        if publication.refused || property.qos.is_some_and(|wanted| wanted > u8::from(publication.qos)) {
            continue;
        }
        let owed = deliveries.owed_qos(subscriber, publication);
        let Some(qos) = owed.filter(|qos| counts(property, *qos)) else { continue };
        let group = &mut groups[publication.number];
        group.publications.push(publication);
        // A Server may take a QoS 1 message twice if its Client sends it again, and does not know what
        // it delivered at QoS 0.
        let may_repeat = qos == QoS::AtMostOnce && publication.qos > QoS::AtMostOnce;
        let copies = || deliveries.most_copies(subscriber, publication, last[publication.number]);
        let most = if may_repeat { usize::MAX } else { copies() };
        group.most = group.most.saturating_add(most);
    }
    deliver(&mut groups, received);
    groups
}

fn order(receivers: &[Receiver<'_>], history: &History, first_only: bool) -> Vec<Anomaly> {
    let mut anomalies = Vec::new();
    for Receiver { name, sender, groups, deliveries, .. } in receivers {
        // (publisher, topic, QoS sent, QoS delivered) -> the last delivery, and the event that
        // published it
        let mut last: BTreeMap<(HostIndex, &str, QoS, QoS), (usize, &Delivery)> = BTreeMap::new();
        let mut seen = vec![false; groups.len()];
        for delivery in deliveries {
            let Some(number) = delivery.number else { continue };
            // Equal messages cannot be distinguished.
            let [publication] = groups[number].publications.as_slice() else { continue };
            let is_first = !std::mem::replace(&mut seen[number], true);
            // The history does not show when the repeated copy was sent.
            if is_first && delivery.dup || !is_first && first_only {
                continue;
            }
            let stream = (publication.publisher, delivery.topic.as_str(), publication.qos, delivery.qos);
            match last.get(&stream) {
                Some((event, before)) if *event > publication.event => anomalies.push(Anomaly {
                    event: delivery.event,
                    text: format!(
                        "{name} had {} {} of {} after {}, which was sent later",
                        delivery.topic,
                        quoted(&delivery.payload),
                        sender.unwrap_or(&history.info(publication.publisher).name),
                        quoted(&before.payload),
                    ),
                }),
                _ => {
                    last.insert(stream, (publication.event, delivery));
                }
            }
        }
    }
    anomalies
}

fn counts(property: &Property, qos: QoS) -> bool {
    property.qos.is_none_or(|wanted| wanted == u8::from(qos))
}

fn quoted(payload: &[u8]) -> String {
    mqttspec_notation::fields::payload_text(payload)
}

#[cfg(test)]
mod tests {
    use mqttspec_codec::{Publish, SubAck, SubAckReason, Subscribe, Subscription, TopicFilter, Version};

    use super::*;
    use crate::history::builder::{
        HistoryBuilder, again, id, message, puback, pubcomp, publish, pubrec, pubrel, received,
    };
    use crate::history::{Asked, Told};

    fn property(guarantees: &[Guarantee]) -> Property {
        Property { host: None, qos: None, guarantees: guarantees.to_vec() }
    }

    fn broken(builder: HistoryBuilder, guarantee: Guarantee) -> Option<String> {
        let history = builder.build();
        let found = judge(&property(&[guarantee]), 0, &[], &history, &Deliveries::of(&history));
        found.into_iter().next().map(|finding| finding.actual)
    }

    /// A writer whose QoS 2 message was accepted, and a subscribed reader.
    fn written() -> HistoryBuilder {
        HistoryBuilder::of(Version::V5, Role::Client, &["reader", "writer"])
            .connects("reader", false)
            .subscribes("reader", "t", QoS::ExactlyOnce)
            .connects("writer", false)
            .sent("writer", publish(QoS::ExactlyOnce, 1, "pay"))
            .received("writer", pubrec(1))
            .sent("writer", pubrel(1))
            .received("writer", pubcomp(1))
    }

    #[test]
    fn exactly_once_holds_when_the_publish_is_repeated_before_its_pubrel() {
        let builder = written()
            .received("reader", publish(QoS::ExactlyOnce, 4, "pay"))
            .received("reader", again(publish(QoS::ExactlyOnce, 4, "pay")));
        assert_eq!(broken(builder, Guarantee::ExactlyOnce), None);
    }

    #[test]
    fn exactly_once_is_violated_by_two_deliveries_and_by_none() {
        let twice = written()
            .received("reader", publish(QoS::ExactlyOnce, 4, "pay"))
            .received("reader", pubrel(4))
            .received("reader", publish(QoS::ExactlyOnce, 5, "pay"));
        assert_eq!(
            broken(twice, Guarantee::ExactlyOnce).as_deref(),
            Some("reader had t \"pay\" of writer 2 times")
        );
        assert_eq!(
            broken(written(), Guarantee::ExactlyOnce).as_deref(),
            Some("reader had t \"pay\" of writer 0 times")
        );
        assert!(broken(written(), Guarantee::AtLeastOnce).is_some());
        assert_eq!(broken(written(), Guarantee::AtMostOnce), None);
    }

    #[test]
    fn a_qos_1_message_that_is_sent_again_may_arrive_twice_at_qos_0() {
        let builder = |qos, repeat: fn(Publish) -> Publish| {
            let message = publish(qos, u16::from(qos as u8), "pay");
            HistoryBuilder::of(Version::V5, Role::Client, &["reader", "writer"])
                .connects("reader", false)
                .subscribes("reader", "t", QoS::AtMostOnce)
                .connects("writer", false)
                .sent("writer", message.clone())
                .received("reader", publish(QoS::AtMostOnce, 0, "pay"))
                .lost("writer")
                .connects("writer", true)
                .sent("writer", repeat(message))
                .received("reader", publish(QoS::AtMostOnce, 0, "pay"))
        };
        assert_eq!(broken(builder(QoS::AtLeastOnce, again), Guarantee::AtMostOnce), None);
        let once = builder(QoS::AtMostOnce, |message| message);
        assert_eq!(broken(once.clone(), Guarantee::AtMostOnce), None);
        let twice = once.received("reader", publish(QoS::AtMostOnce, 0, "pay"));
        assert!(broken(twice, Guarantee::AtMostOnce).is_some());
    }

    #[test]
    fn a_subscription_that_is_not_granted_yet_may_add_a_copy() {
        let subscribe = |builder: HistoryBuilder, filter: &'static str| {
            let filter = TopicFilter::try_from(filter).expect("a Topic Filter");
            builder.sent("reader", Subscribe::new(id(9), Subscription::new(filter, QoS::ExactlyOnce)))
        };
        let granted = |builder: HistoryBuilder| {
            builder.received("reader", SubAck::new(id(9), SubAckReason::GrantedQoS2))
        };
        let copy =
            |builder: HistoryBuilder, id| builder.received("reader", publish(QoS::ExactlyOnce, id, "pay"));
        let two = |filter| granted(copy(copy(subscribe(written(), filter), 4), 5));
        assert_eq!(broken(two("#"), Guarantee::ExactlyOnce), None);
        assert!(broken(two("t"), Guarantee::ExactlyOnce).is_some(), "the same filter is replaced");
        let later = granted(subscribe(copy(copy(written(), 4), 5), "#"));
        assert!(broken(later, Guarantee::ExactlyOnce).is_some(), "it was asked for later");
    }

    #[test]
    fn a_message_that_was_never_accepted_may_be_missing() {
        let builder = HistoryBuilder::of(Version::V5, Role::Client, &["reader", "writer"])
            .connects("reader", false)
            .subscribes("reader", "t", QoS::AtLeastOnce)
            .connects("writer", false)
            .sent("writer", publish(QoS::AtLeastOnce, 1, "pay"))
            .lost("writer");
        assert_eq!(broken(builder, Guarantee::AtLeastOnce), None);
    }

    #[test]
    fn order_of_first_delivery_ignores_repetitions() {
        let builder = || {
            HistoryBuilder::of(Version::V5, Role::Client, &["reader", "writer"])
                .connects("reader", false)
                .subscribes("reader", "t", QoS::AtLeastOnce)
                .connects("writer", false)
                .sent("writer", publish(QoS::AtLeastOnce, 1, "one"))
                .sent("writer", publish(QoS::AtLeastOnce, 2, "two"))
                .received("writer", puback(1))
                .received("writer", puback(2))
                .received("reader", publish(QoS::AtLeastOnce, 1, "one"))
                .received("reader", publish(QoS::AtLeastOnce, 2, "two"))
                .received("reader", again(publish(QoS::AtLeastOnce, 1, "one")))
        };
        assert_eq!(broken(builder(), Guarantee::InOrderOfFirstDelivery), None);
        assert_eq!(
            broken(builder(), Guarantee::InOrder).as_deref(),
            Some("reader had t \"one\" of writer after \"two\", which was sent later")
        );
    }

    /// The first copy was sent in order and lost with its connection.
    #[test]
    fn a_message_of_which_only_a_repetition_arrives_has_no_order() {
        let builder = |repeat: fn(Publish) -> Publish| {
            HistoryBuilder::of(Version::V5, Role::Client, &["reader", "writer"])
                .connects("reader", false)
                .subscribes("reader", "t", QoS::AtLeastOnce)
                .connects("writer", false)
                .sent("writer", publish(QoS::AtLeastOnce, 1, "one"))
                .sent("writer", publish(QoS::AtLeastOnce, 2, "two"))
                .received("reader", publish(QoS::AtLeastOnce, 2, "two"))
                .received("reader", repeat(publish(QoS::AtLeastOnce, 1, "one")))
        };
        for guarantee in [Guarantee::InOrder, Guarantee::InOrderOfFirstDelivery] {
            assert_eq!(broken(builder(again), guarantee), None);
            assert!(broken(builder(|publish| publish), guarantee).is_some());
        }
    }

    #[test]
    fn commands_and_events_of_an_application_count() {
        let builder = |told: usize| {
            let mut builder = HistoryBuilder::of(Version::V5, Role::Client, &["sink", "d1"])
                .asked(
                    "sink",
                    Asked::Subscribe { filters: vec![("t".to_owned(), QoS::ExactlyOnce)], handle: 1 },
                )
                .told(
                    "sink",
                    Told::Subscribed {
                        handle: 1,
                        filters: vec!["t".to_owned()],
                        granted: vec![Some(QoS::ExactlyOnce)],
                    },
                )
                .asked("d1", Asked::Publish { message: message("x", QoS::ExactlyOnce), handle: 1 })
                .told(
                    "d1",
                    Told::Published { handle: 1, message: message("x", QoS::ExactlyOnce), refused: None },
                );
            for _ in 0..told {
                builder = builder.told("sink", received("x", QoS::ExactlyOnce));
            }
            builder
        };
        assert_eq!(broken(builder(1), Guarantee::ExactlyOnce), None);
        assert!(broken(builder(2), Guarantee::ExactlyOnce).is_some());
        assert!(broken(builder(0), Guarantee::ExactlyOnce).is_some());
    }

    #[test]
    fn no_violation_is_shown_only_by_packets_that_were_judged() {
        let shown = |builder: HistoryBuilder| {
            could_be_made(&property(&[Guarantee::NoViolation]), &builder.build(), true)
        };
        assert!(shown(written()));
        assert!(!shown(HistoryBuilder::of(Version::V5, Role::Client, &["a"])), "no packet");
        assert!(!shown(written().received_malformed("reader", b"\xc1\x00")));
        assert!(!shown(written().raw("writer")), "what follows may be the answer");
    }
}
