use std::num::{NonZeroU16, NonZeroU32};

use mqttspec_codec::*;

use crate::rig::*;

/// Members of `$share/g/t` and a publisher.
fn group<const N: usize>(options: &str, connects: [Connect; N]) -> (Rig, [Client; N], Client) {
    let mut rig = Rig::with(options);
    let members = connects.map(|connect| {
        let member = rig.connect(connect);
        rig.subscribe(member, "$share/g/t", Q2);
        member
    });
    let publisher = rig.connect(v5("p"));
    (rig, members, publisher)
}

fn publish_numbers(rig: &mut Rig, publisher: Client, numbers: std::ops::Range<u32>) {
    for number in numbers {
        rig.publish(publisher, qos_1(1, "t", &number.to_string()));
    }
}

#[test]
fn members_take_turns() {
    let (mut rig, members, publisher) = group("", [v5("a"), v5("b"), v5("c")]);
    publish_numbers(&mut rig, publisher, 0..6);
    let got = members.map(|member| rig.payloads(member));
    assert_eq!(got, [["0", "3"], ["1", "4"], ["2", "5"]]);
}

#[test]
fn every_choice_gives_each_message_to_exactly_one_member() {
    for choice in ["round_robin", "random", "least_loaded"] {
        let (mut rig, members, publisher) =
            group(&format!("shared_choice={choice}"), [v5("a"), v5("b"), v5("c")]);
        publish_numbers(&mut rig, publisher, 0..60);
        let got = members.map(|member| rig.payloads(member));
        assert!(got.iter().all(|messages| messages.len() > 5), "{choice}: {got:?}");
        let mut all: Vec<u32> = got.concat().iter().map(|payload| payload.parse().unwrap()).collect();
        all.sort_unstable();
        assert_eq!(all, (0..60).collect::<Vec<_>>());
    }
}

#[test]
fn groups_are_apart_by_share_name_and_filter() {
    let mut rig = Rig::new();
    let client = rig.connect(v5("a"));
    for wanted in ["$share/g/t", "$share/h/t", "$share/g/+", "t"] {
        rig.subscribe(client, wanted, Q1);
    }
    rig.publish(client, publish("t", "x"));
    assert_eq!(rig.payloads(client).len(), 4);
}

#[test]
fn only_the_part_behind_the_share_name_is_matched() {
    let mut rig = Rig::with("dollar_topics=accept");
    let client = rig.connect(v5("a"));
    rig.subscribe(client, "$share/g//finance", Q0);
    rig.subscribe(client, "$share/g/#", Q0);
    rig.publish(client, publish("/finance", "x"));
    assert_eq!(rig.payloads(client), ["x", "x"]);
    rig.publish(client, publish("$SYS/x", "hidden"));
    rig.nothing(client);
    rig.send(
        client,
        Unsubscribe::new(id(1), ["$share/g//finance", "$share/g/#"].map(TopicFilter::from_static)),
    );
    assert_eq!(rig.receive(client), UnsubAck::new(id(1), [UnsubAckReason::Success; 2]).into());
    rig.publish(client, publish("/finance", "x"));
    rig.nothing(client);
}

#[test]
fn no_retained_messages_for_any_member() {
    let (mut rig, [member], publisher) = group("", [v5("a")]);
    rig.publish(publisher, publish("t", "kept").retained());
    rig.all(member);
    let late = rig.connect(v5("b"));
    rig.subscribe(late, "$share/g/t", Q0);
    rig.nothing(late);
    rig.subscribe(member, "$share/g/t", Q0);
    rig.nothing(member);
    rig.subscribe(late, "t", Q0);
    assert_eq!(rig.payloads(late), ["kept"]);
}

#[test]
fn repeated_subscribe_of_a_member_counts_once() {
    let (mut rig, [a, b], publisher) = group("", [v5("a"), v5("b")]);
    let number = SubscriptionIdentifier::new(7).unwrap();
    rig.send(a, Subscribe::new(id(1), filter("$share/g/t", Q0)).with(number));
    rig.all(a);
    publish_numbers(&mut rig, publisher, 0..2);
    let copy = rig.receive_publish(a);
    assert_eq!((copy.delivery.qos(), copy.properties.get()), (Q0, Some(number)));
    let copy = rig.receive_publish(b);
    assert_eq!((copy.delivery.qos(), copy.properties.get::<SubscriptionIdentifier>()), (Q1, None));
    rig.send(a, Unsubscribe::new(id(1), TopicFilter::from_static("$share/g/t")));
    rig.all(a);
    publish_numbers(&mut rig, publisher, 2..4);
    assert_eq!(rig.payloads(b), ["2", "3"]);
}

#[test]
fn members_that_are_away_get_messages_only_if_all_are() {
    let (mut rig, [a, b], publisher) = group("", [lasting("a", 100), lasting("b", 100)]);
    rig.cut(a);
    publish_numbers(&mut rig, publisher, 0..2);
    assert_eq!(rig.payloads(b), ["0", "1"]);
    rig.cut(b);
    publish_numbers(&mut rig, publisher, 2..4);
    let a = rig.connect(lasting("a", 100));
    let b = rig.connect(lasting("b", 100));
    assert_eq!([rig.payloads(a), rig.payloads(b)].concat(), ["2", "0", "1", "3"]);
}

#[test]
fn messages_not_sent_yet_go_to_another_member_when_theirs_leaves() {
    let slow = lasting("a", 100).with(ReceiveMaximum(NonZeroU16::MIN));
    let (mut rig, [a, b], publisher) = group("", [slow.clone(), v5("b")]);
    publish_numbers(&mut rig, publisher, 0..6);
    assert_eq!(rig.payloads(a), ["0"]);
    assert_eq!(rig.payloads(b), ["1", "3", "5"]);
    rig.cut(a);
    assert_eq!(rig.payloads(b), ["2", "4"]);
    // The message that was sent waits for its Client.
    let a = rig.connect(slow);
    assert_eq!(rig.payloads(a), ["0"]);
}

#[test]
fn qos_1_in_flight_goes_to_another_member_when_the_session_ends_and_qos_2_does_not() {
    let (mut rig, [a, b], publisher) = group("", [lasting("a", 10), v5("b")]);
    rig.publish(publisher, qos_1(1, "t", "one"));
    rig.publish(publisher, qos_1(1, "t", "for b"));
    rig.publish(publisher, qos_2(1, "t", "two"));
    assert_eq!(rig.payloads(a), ["one", "two"]);
    assert_eq!(rig.payloads(b), ["for b"]);
    rig.cut(a);
    rig.nothing(b);
    rig.pass(10.0);
    assert_eq!(rig.payloads(b), ["one"]);
}

#[test]
fn qos_2_in_flight_is_finished_with_its_client() {
    let (mut rig, [a, b], publisher) = group("", [lasting("a", 100), v5("b")]);
    rig.publish(publisher, qos_2(1, "t", "two"));
    let first = rig.receive_publish(a);
    rig.cut(a);
    rig.restart();
    let b2 = rig.connect(v5("b2"));
    rig.subscribe(b2, "$share/g/t", Q2);
    let a = rig.connect(lasting("a", 100));
    let again = rig.receive_publish(a);
    assert_eq!(again.delivery, first.delivery.with_dup(true));
    rig.nothing(b2);
    let _ = b;
}

#[test]
fn refused_message_goes_to_nobody_else() {
    let (mut rig, [a, b], publisher) = group("", [v5("a"), v5("b")]);
    rig.publish(publisher, qos_1(1, "t", "bad"));
    let identifier = rig.receive_publish(a).delivery.packet_identifier().unwrap();
    rig.send(a, PubAck::new(identifier, PubAckReason::ImplementationSpecificError));
    rig.disconnect(a);
    rig.nothing(b);
}

#[test]
fn message_too_large_for_one_member_goes_to_another() {
    let small = v5("a").with(MaximumPacketSize(NonZeroU32::new(50).unwrap()));
    let (mut rig, [a, b], publisher) = group("", [small, v5("b")]);
    for _ in 0..3 {
        rig.publish(publisher, publish("t", &"x".repeat(100)));
    }
    assert_eq!(rig.payloads(b).len(), 3);
    rig.nothing(a);
}

#[test]
fn the_last_member_takes_the_subscription_with_it() {
    let (mut rig, [a], publisher) = group("report_no_matching_subscribers=yes", [lasting("a", 10)]);
    rig.cut(a);
    rig.publish(publisher, qos_1(1, "t", "waits"));
    rig.pass(10.0);
    rig.send(publisher, qos_1(1, "t", "for nobody"));
    assert_eq!(rig.receive(publisher), PubAck::new(id(1), PubAckReason::NoMatchingSubscribers).into());
    assert!(rig.records.is_empty());
}

#[test]
fn member_that_needs_an_alias_for_the_message_to_fit_gets_it() {
    let mut rig = Rig::new();
    let small = v5("a").with(MaximumPacketSize(NonZeroU32::new(20).unwrap())).with(TopicAliasMaximum(1));
    let member = rig.connect(small);
    rig.subscribe(member, "$share/g/topic/name", Q0);
    let publisher = rig.connect(v5("p"));
    rig.publish(publisher, publish("topic/name", "x"));
    // 11 bytes of payload and 10 of the topic, which the alias replaces.
    rig.publish(publisher, publish("topic/name", "eleven byte"));
    assert_eq!(rig.payloads(member), ["x", "eleven byte"]);
}

#[test]
fn a_connected_member_is_found_at_once_among_many_that_are_away() {
    const AWAY: usize = 1000;
    let mut rig = Rig::new();
    let writer = rig.connect(v5("writer"));
    let mut here = None;
    for number in 0..=AWAY {
        let client_id = format!("c{number}").try_into().unwrap();
        let client = rig.connect(Connect { client_id, ..lasting("", 1000) });
        rig.subscribe(client, "$share/g/t", Q1);
        if number == AWAY / 2 {
            here = Some(client);
        } else {
            rig.cut(client);
        }
    }
    let here = here.unwrap();
    let before = rig.broker.effort();
    rig.publish(writer, publish("t", "x"));
    assert_eq!(rig.payloads(here), ["x"]);
    assert!(rig.broker.effort() - before < 10);
    // It leaves, another one comes back, and so does the first after a restart of the broker.
    rig.cut(here);
    let other = rig.connect(lasting("c7", 1000));
    rig.publish(writer, qos_1(1, "t", "y"));
    assert_eq!(rig.payloads(other), ["y"]);
    rig.restart();
    let here = rig.connect(lasting("c3", 1000));
    let writer = rig.connect(v5("writer"));
    rig.publish(writer, qos_1(1, "t", "z"));
    assert_eq!(rig.payloads(here), ["z"]);
}
