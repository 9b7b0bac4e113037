//! A message that matches many Subscriptions is searched for, and given to Sessions, in parts.

use std::collections::BTreeSet;
use std::time::Duration;

use mqttspec_broker::{Broker, Event};
use mqttspec_codec::*;

use crate::rig::*;

/// More than are served in two turns.
const SESSIONS: usize = 1_200;
/// The most that are served in one turn.
const TURN: usize = 500;

/// A 5.0 CONNECT with a ClientID of this number.
fn numbered(number: usize) -> Connect {
    let client_id = Utf8String::try_from(format!("reader{number}")).unwrap();
    Connect { client_id, ..lasting("", 1000) }
}

/// Clients with a Subscription to `t`.
fn readers(rig: &mut Rig, qos: QoS) -> Vec<Client> {
    let clients: Vec<_> = (0..SESSIONS).map(|number| rig.connect(numbered(number))).collect();
    clients.iter().for_each(|client| rig.subscribe(*client, "t", qos));
    clients
}

/// The driver's next turn.
fn turn(rig: &mut Rig) {
    rig.now += Duration::from_nanos(1);
    rig.broker.handle_timeout(rig.now);
    rig.drive();
}

fn is_busy(rig: &Rig, client: Client) -> bool {
    Broker::is_busy(&rig.broker, client.0)
}

/// Those that have received something, with what they have received.
fn received(rig: &mut Rig, readers: &[Client]) -> Vec<Vec<String>> {
    let all = readers.iter().map(|reader| rig.payloads(*reader));
    all.filter(|payloads| !payloads.is_empty()).collect()
}

/// A Topic Filter of each pattern of `a` and `+` in this number of levels: all match one topic.
fn overlapping(levels: usize) -> Vec<Subscription> {
    let level = |bits: usize, at: usize| if bits >> at & 1 == 1 { "+" } else { "a" };
    let text = |bits| (0..levels).map(|at| level(bits, at)).collect::<Vec<_>>().join("/");
    (0..1 << levels).map(|bits| filter(&text(bits), Q1)).collect()
}

fn subscribe_all(rig: &mut Rig, client: Client, wanted: &[Subscription]) {
    for some in wanted.chunks(5_000) {
        let subscriptions = NonEmpty::try_from(some.to_vec()).unwrap();
        rig.send(client, Subscribe { id: id(1), properties: Properties::new(), subscriptions });
        rig.all(client);
    }
}

#[test]
fn other_work_is_done_between_the_parts() {
    let mut rig = Rig::new();
    let readers = readers(&mut rig, Q1);
    let (writer, other) = (rig.connect(v5("writer")), rig.connect(v5("other")));
    rig.subscribe(readers[0], "other", Q1);
    rig.events.clear();
    // Acknowledged although no copy was sent yet: the Server owns the message.
    rig.publish(writer, qos_1(1, "t", "x"));
    assert!(is_busy(&rig, writer) && !is_busy(&rig, other));
    let mut served = 0;
    for _ in 0..2 {
        turn(&mut rig);
        let part = received(&mut rig, &readers).len();
        assert!(part > 0 && part <= TURN, "{part} in one turn");
        served += part;
    }
    rig.publish(other, qos_1(1, "other", "y"));
    assert_eq!(rig.payloads(readers[0]), ["y"]);
    let accepted = |event: &Event| matches!(event, Event::MessageAccepted { copies: SESSIONS, .. });
    assert!(!rig.events.iter().any(accepted));
    rig.pass(1.0);
    assert_eq!(served + received(&mut rig, &readers).len(), SESSIONS);
    assert!(rig.events.iter().any(accepted));
    assert!(!is_busy(&rig, writer));
}

#[test]
fn later_messages_of_the_client_come_later() {
    let mut rig = Rig::new();
    let readers = readers(&mut rig, Q0);
    let mut writer = rig.connect(lasting("writer", 100));
    rig.subscribe(readers[7], "few", Q0);
    for number in 0..4 {
        if number == 2 {
            // The same Client on another Network Connection.
            writer = rig.connect(lasting("writer", 100));
            assert!(is_busy(&rig, writer));
        }
        rig.publish(writer, publish("t", &number.to_string()));
        turn(&mut rig);
    }
    rig.publish(writer, publish("few", "last"));
    rig.pass(1.0);
    assert_eq!(rig.payloads(readers[7]), ["0", "1", "2", "3", "last"]);
    let all: BTreeSet<_> = received(&mut rig, &readers).into_iter().collect();
    assert_eq!(all, BTreeSet::from([["0", "1", "2", "3"].map(str::to_owned).to_vec()]));
}

#[test]
fn a_will_comes_after_the_messages_of_its_client() {
    let mut rig = Rig::new();
    let readers = readers(&mut rig, Q0);
    let writer = rig.connect(Connect { will: Some(will("t", "will")), ..v5("writer") });
    rig.publish(writer, publish("t", "message"));
    rig.cut(writer);
    rig.pass(1.0);
    let all: BTreeSet<_> = received(&mut rig, &readers).into_iter().collect();
    assert_eq!(all, BTreeSet::from([["message", "will"].map(str::to_owned).to_vec()]));
}

#[test]
fn it_is_for_the_subscriptions_of_the_time_when_it_was_published() {
    let mut rig = Rig::new();
    let readers = readers(&mut rig, Q1);
    let writer = rig.connect(v5("writer"));
    let [.., leaves, replaces, adds] = readers[..] else { panic!("there are readers") };
    rig.send(leaves, Unsubscribe::new(id(2), TopicFilter::try_from("t").unwrap()));
    rig.all(leaves);
    rig.subscribe(leaves, "other", Q1);
    // Of two messages, so that the second is published while Subscriptions change.
    for number in 1..3 {
        rig.publish(writer, qos_1(number, "t", &number.to_string()).retained());
        rig.subscribe(leaves, "t", Q1);
        // The retained message.
        assert_eq!(rig.payloads(leaves), [number.to_string()]);
        rig.send(leaves, Unsubscribe::new(id(2), TopicFilter::try_from("t").unwrap()));
        rig.all(leaves);
    }
    turn(&mut rig);
    let late = rig.connect(v5("late"));
    rig.subscribe(late, "t", Q1);
    assert_eq!(rig.payloads(late), ["2"]);
    rig.subscribe_with(
        replaces,
        Subscription { retain_handling: RetainHandling::DoNotSend, ..filter("t", Q0) },
    );
    rig.subscribe_with(adds, Subscription { retain_handling: RetainHandling::DoNotSend, ..filter("+", Q0) });
    rig.pass(1.0);
    rig.nothing(leaves);
    rig.nothing(late);
    // A Subscription that is replaced loses no message.
    assert_eq!(rig.payloads(replaces), ["1", "2"]);
    assert_eq!(rig.payloads(adds), ["1", "2"]);
}

#[test]
fn an_unsubscribe_stops_it() {
    let mut rig = Rig::new();
    let readers = readers(&mut rig, Q1);
    let writer = rig.connect(v5("writer"));
    rig.publish(writer, qos_1(1, "t", "x"));
    turn(&mut rig);
    let last = readers[SESSIONS - 1];
    rig.send(last, Unsubscribe::new(id(2), TopicFilter::try_from("t").unwrap()));
    rig.all(last);
    rig.cut(readers[SESSIONS - 2]);
    rig.connect(Connect { clean_start: true, ..numbered(SESSIONS - 2) });
    rig.pass(1.0);
    rig.nothing(last);
    assert_eq!(received(&mut rig, &readers[..SESSIONS - 2]).len(), SESSIONS - 2);
}

#[test]
fn a_crash_between_the_parts_loses_and_repeats_nothing() {
    let mut rig = Rig::new();
    for reader in readers(&mut rig, Q2) {
        rig.cut(reader);
    }
    let writer = rig.connect(lasting("writer", 1000));
    rig.send(writer, qos_2(1, "t", "x"));
    for turns in 0..3 {
        rig.restart();
        for _ in 0..turns {
            turn(&mut rig);
        }
    }
    rig.restart();
    // The Client did not get PUBREC. The message is not published again.
    let writer = rig.connect(lasting("writer", 1000));
    rig.publish(writer, qos_2(1, "t", "x"));
    rig.pass(1.0);
    for number in 0..SESSIONS {
        let reader = rig.connect(numbered(number));
        let publish = rig.receive_publish(reader);
        rig.nothing(reader);
        let identifier = publish.delivery.packet_identifier().unwrap();
        rig.send(reader, PubRec::new(identifier, PubAckReason::UnspecifiedError));
    }
    // The record of the message goes with its last copy.
    assert!(rig.records.keys().all(|key| !key.starts_with(b"m") && !key.starts_with(b"q")));
}

#[test]
fn the_search_is_done_in_parts_while_the_tree_changes() {
    let mut rig = Rig::new();
    let reader = rig.connect(v5("reader"));
    let wanted = overlapping(13);
    subscribe_all(&mut rig, reader, &wanted);
    let (writer, other) = (rig.connect(v5("writer")), rig.connect(v5("other")));
    let topic = ["a"; 13].join("/");
    rig.publish(writer, qos_1(1, &topic, "x"));
    assert!(is_busy(&rig, writer));
    for number in 0..100 {
        turn(&mut rig);
        // Nodes are removed and made.
        let gone = &wanted[number * 80..][..80];
        let gone: Vec<_> = gone.iter().map(|wanted| wanted.filter.clone()).collect();
        rig.send(reader, Unsubscribe::new(id(2), NonEmpty::try_from(gone).unwrap()));
        let made: Vec<_> = (0..80).map(|at| filter(&format!("new/{number}/{at}"), Q0)).collect();
        subscribe_all(&mut rig, other, &made);
        if !is_busy(&rig, writer) {
            break;
        }
    }
    let packets = rig.all(reader);
    let messages = packets.iter().filter(|packet| matches!(packet, Packet::Publish(_)));
    assert_eq!(messages.count(), 1);
    assert!(!is_busy(&rig, writer));
    let [before, _] = [(); 2].map(|()| {
        let before = rig.broker.effort();
        turn(&mut rig);
        rig.broker.effort() - before
    });
    assert_eq!(before, 0, "nothing is left to do");
}

#[test]
fn many_identifiers_are_in_one_copy() {
    let mut rig = Rig::new();
    let reader = rig.connect(v5("reader"));
    let subscriptions = NonEmpty::try_from(overlapping(11)).unwrap();
    let subscribe = Subscribe { id: id(1), properties: Properties::new(), subscriptions };
    rig.send(reader, subscribe.with(SubscriptionIdentifier::new(7).unwrap()));
    rig.all(reader);
    let writer = rig.connect(v5("writer"));
    rig.publish(writer, qos_1(1, &["a"; 11].join("/"), "x"));
    rig.pass(1.0);
    let publish = rig.receive_publish(reader);
    assert_eq!(publish.properties.get_all::<SubscriptionIdentifier>().count(), 1 << 11);
    rig.nothing(reader);
}

#[test]
fn no_local_and_shared_subscriptions_hold_too() {
    let mut rig = Rig::new();
    let readers = readers(&mut rig, Q1);
    let writer = readers[0];
    rig.subscribe_with(writer, Subscription { no_local: true, ..filter("t", Q1) });
    let members = [rig.connect(v5("one")), rig.connect(v5("two"))];
    members.iter().for_each(|member| rig.subscribe(*member, "$share/g/t", Q1));
    rig.publish(writer, qos_1(1, "t", "x"));
    rig.pass(1.0);
    rig.nothing(writer);
    assert_eq!(received(&mut rig, &readers).len(), SESSIONS - 1);
    assert_eq!(received(&mut rig, &members).len(), 1);
}

#[test]
fn a_shutdown_gives_it_to_all() {
    let mut rig = Rig::new();
    let readers = readers(&mut rig, Q1);
    let writer = rig.connect(v5("writer"));
    rig.publish(writer, qos_1(1, "t", "x"));
    rig.broker.handle_shutdown(rig.now);
    rig.drive();
    for reader in readers {
        assert_eq!(rig.receive_publish(reader).payload, "x");
    }
}
