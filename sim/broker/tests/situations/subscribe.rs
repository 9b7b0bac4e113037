use std::num::NonZeroU16;

use mqttspec_codec::*;

use crate::rig::*;

fn identifier(number: u32) -> SubscriptionIdentifier {
    SubscriptionIdentifier::new(number).unwrap()
}

fn identifiers(publish: &Publish) -> Vec<u32> {
    publish.properties.get_all::<SubscriptionIdentifier>().map(SubscriptionIdentifier::get).collect()
}

#[test]
fn filters_match_as_the_standard_says() {
    let cases: &[(&str, &[&str], &[&str])] = &[
        (
            "sport/tennis/#",
            &["sport/tennis", "sport/tennis/p", "sport/tennis/p/q"],
            &["sport", "sport/tenniss"],
        ),
        ("sport/#", &["sport", "sport/"], &["/sport"]),
        ("#", &["a", "/", "a//b"], &["$a", "$a/b"]),
        ("sport/+", &["sport/", "sport/a"], &["sport", "sport/a/b"]),
        ("+", &["a"], &["/a", "a/", "$a"]),
        ("+/+", &["/finance", "a/b", "/"], &["a", "a/b/c", "$a/b"]),
        ("/+", &["/finance"], &["finance", "/a/b"]),
        ("+/tennis/#", &["a/tennis", "a/tennis/b"], &["$a/tennis"]),
        ("$a/#", &["$a", "$a/b"], &["a"]),
        ("a/+/c", &["a/b/c", "a//c", "a/$b/c"], &["a/b/d"]),
        ("A", &["A"], &["a"]),
        ("a b", &["a b"], &["a  b"]),
    ];
    let mut rig = Rig::with("dollar_topics=accept");
    let publisher = rig.connect(v5("p"));
    for (number, (wanted, matching, others)) in cases.iter().enumerate() {
        let client = rig.connect(v5("a"));
        rig.subscribe(client, wanted, Q0);
        for topic in *matching {
            rig.publish(publisher, publish(topic, topic));
            assert_eq!(rig.payloads(client), [*topic], "case {number}: {wanted}");
        }
        for topic in *others {
            rig.publish(publisher, publish(topic, topic));
            rig.nothing(client);
        }
    }
}

#[test]
fn suback_has_a_code_for_each_filter_in_order_and_comes_before_the_messages() {
    let mut rig = Rig::new();
    let client = rig.connect(v5("a"));
    rig.publish(client, publish("b", "").retained());
    rig.publish(client, publish("b", "kept").retained());
    rig.send(client, Subscribe::new(id(9), [filter("a", Q2), filter("b", Q0), filter("a", Q1)]));
    let expected = [SubAckReason::GrantedQoS2, SubAckReason::GrantedQoS0, SubAckReason::GrantedQoS1];
    assert_eq!(rig.receive(client), SubAck::new(id(9), expected).into());
    assert_eq!(rig.payloads(client), ["kept"]);
    // As if each had its own packet: the last one counts.
    rig.publish(client, qos_2(1, "a", ""));
    assert_eq!(rig.receive_publish(client).delivery.qos(), Q1);
}

#[test]
fn identical_filter_replaces_the_subscription() {
    let mut rig = Rig::new();
    let client = rig.connect(v5("a"));
    rig.send(client, Subscribe::new(id(1), filter("t", Q2)).with(identifier(5)));
    rig.send(client, Subscribe::new(id(2), filter("t", Q0)));
    rig.all(client);
    rig.publish(client, qos_2(1, "t", "x"));
    let copy = rig.receive_publish(client);
    assert_eq!((copy.delivery.qos(), identifiers(&copy)), (Q0, vec![]));
    rig.nothing(client);
}

#[test]
fn overlapping_subscriptions_give_one_copy_with_all_identifiers() {
    let mut rig = Rig::new();
    let client = rig.connect(v5("a"));
    rig.send(client, Subscribe::new(id(1), filter("a/+", Q1)).with(identifier(1)));
    rig.send(client, Subscribe::new(id(1), filter("a/#", Q2)).with(identifier(2)));
    rig.send(client, Subscribe::new(id(1), [filter("#", Q0), filter("+/b", Q0)]).with(identifier(2)));
    rig.send(client, Subscribe::new(id(1), filter("a/b", Q0)));
    rig.all(client);
    rig.publish(client, qos_2(1, "a/b", "x"));
    let copy = rig.receive_publish(client);
    assert_eq!(copy.delivery.qos(), Q2);
    let mut found = identifiers(&copy);
    found.sort_unstable();
    assert_eq!(found, [1, 2, 2, 2]);
    rig.nothing(client);
}

#[test]
fn overlapping_subscriptions_give_a_copy_each_if_the_option_says_so() {
    let mut rig = Rig::with("overlapping_subscriptions=copy_each");
    let client = rig.connect(v5("a"));
    rig.send(client, Subscribe::new(id(1), filter("a/+", Q1)).with(identifier(1)));
    rig.send(client, Subscribe::new(id(1), filter("a/#", Q2)).with(identifier(2)));
    rig.send(client, Subscribe::new(id(1), filter("#", Q0)));
    rig.all(client);
    rig.publish(client, qos_2(1, "a/b", "x"));
    let mut copies: Vec<_> = (0..3)
        .map(|_| rig.receive_publish(client))
        .map(|copy| (copy.delivery.qos(), identifiers(&copy)))
        .collect();
    copies.sort();
    assert_eq!(copies, [(Q0, vec![]), (Q1, vec![1]), (Q2, vec![2])]);
    rig.nothing(client);
}

#[test]
fn no_local_keeps_own_messages_away_over_reconnects() {
    let mut rig = Rig::new();
    let client = rig.connect(lasting("a", 100));
    rig.subscribe_with(client, Subscription { no_local: true, ..filter("t", Q1) });
    rig.publish(client, qos_1(1, "t", "own"));
    rig.nothing(client);
    let other = rig.connect(v5("b"));
    rig.publish(other, qos_1(1, "t", "foreign"));
    assert_eq!(rig.payloads(client), ["foreign"]);
    rig.cut(client);
    let client = rig.connect(Connect { will: Some(will("t", "own will")), ..lasting("a", 100) });
    rig.all(client);
    rig.cut(client);
    let client = rig.connect(lasting("a", 100));
    assert_eq!(rig.payloads(client), ["foreign"]);
    rig.publish(client, qos_1(1, "t", "own"));
    rig.nothing(client);
    // A second Subscription of the same Client without the option gets it.
    rig.subscribe(client, "+", Q0);
    rig.publish(client, qos_1(1, "t", "own"));
    let copy = rig.receive_publish(client);
    assert_eq!(copy.delivery.qos(), Q0);
}

#[test]
fn unsubscribe_compares_character_by_character() {
    let mut rig = Rig::new();
    let client = rig.connect(v5("a"));
    rig.subscribe(client, "a/+", Q0);
    rig.subscribe(client, "a/b", Q0);
    let filters = ["a/b", "a/#", "a/b", "A/+"].map(TopicFilter::from_static);
    rig.send(client, Unsubscribe::new(id(7), filters));
    let expected = [
        UnsubAckReason::Success,
        UnsubAckReason::NoSubscriptionExisted,
        UnsubAckReason::NoSubscriptionExisted,
        UnsubAckReason::NoSubscriptionExisted,
    ];
    assert_eq!(rig.receive(client), UnsubAck::new(id(7), expected).into());
    rig.publish(client, publish("a/b", "still"));
    assert_eq!(rig.payloads(client), ["still"]);
    let old = rig.connect(v311("b", true));
    rig.send(old, Unsubscribe::new(id(3), TopicFilter::from_static("x")));
    assert_eq!(rig.receive(old), UnsubAck::new(id(3), []).into());
}

#[test]
fn unsubscribe_stops_new_messages_and_finishes_those_begun() {
    let mut rig = Rig::new();
    let client = rig.connect(lasting("a", 100).with(ReceiveMaximum(NonZeroU16::MIN)));
    rig.subscribe(client, "t", Q2);
    let publisher = rig.connect(v5("p"));
    rig.publish(publisher, qos_2(1, "t", "begun"));
    rig.publish(publisher, qos_2(1, "t", "waiting"));
    let begun = rig.receive_publish(client).delivery.packet_identifier().unwrap();
    rig.send(client, Unsubscribe::new(id(2), TopicFilter::from_static("t")));
    rig.receive(client);
    rig.publish(publisher, qos_2(1, "t", "too late"));
    rig.send(client, PubRec::success(begun));
    assert_eq!(rig.receive(client), PubRel::success(begun).into());
    rig.send(client, PubComp::success(begun));
    assert_eq!(rig.payloads(client), ["waiting"]);
}

#[test]
fn capabilities_that_connack_denied_end_the_network_connection() {
    let mut rig = Rig::with(
        "wildcard_subscription_available=no subscription_identifier_available=no shared_subscription_available=no",
    );
    let cases = [
        (Subscribe::new(id(1), filter("a/#", Q0)), DisconnectReason::WildcardSubscriptionsNotSupported),
        (Subscribe::new(id(1), filter("$share/g/a", Q0)), DisconnectReason::SharedSubscriptionsNotSupported),
        (
            Subscribe::new(id(1), filter("a", Q0)).with(identifier(1)),
            DisconnectReason::SubscriptionIdentifiersNotSupported,
        ),
    ];
    for (subscribe, reason) in cases {
        let client = rig.connect(v5("a"));
        rig.send(client, subscribe);
        rig.disconnected(client, reason);
    }
    // 3.1.1/[MQTT-3.8.3-2] the one filter is refused
    let old = rig.connect(v311("b", true));
    rig.send(old, Subscribe::new(id(1), [filter("a/#", Q0), filter("a", Q1)]));
    let expected = [SubAckReason::UnspecifiedError, SubAckReason::GrantedQoS1];
    assert_eq!(rig.receive(old), SubAck::new(id(1), expected).into());
}

#[test]
fn before_version_5_share_is_an_ordinary_level() {
    let mut rig = Rig::with("dollar_topics=accept");
    let old = rig.connect(v311("a", true));
    rig.subscribe(old, "$share/g/t", Q0);
    rig.publish(old, publish("t", "no"));
    rig.publish(old, publish("$share/g/t", "yes"));
    assert_eq!(rig.payloads(old), ["yes"]);
}

#[test]
fn a_topic_of_very_many_levels_is_matched() {
    let mut rig = Rig::with("maximum_filter_levels=0");
    let client = rig.connect(v5("a"));
    let slashes = "/".repeat(60_000);
    rig.subscribe(client, &slashes, Q0);
    rig.subscribe(client, &format!("{slashes}#"), Q0);
    rig.publish(client, publish(&slashes, "x").retained());
    // The search is done in parts.
    rig.pass(1.0);
    assert_eq!(rig.payloads(client), ["x"]);
    rig.subscribe(client, &format!("+{slashes}"), Q0);
    assert_eq!(rig.payloads(client), ["x"]);
}
