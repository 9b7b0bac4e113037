//! What one Client may ask for: everything above it has a Reason Code, and others are served.

use mqttspec_codec::*;

use crate::rig::*;

fn reasons(rig: &mut Rig, client: Client, subscriptions: Vec<Subscription>) -> Vec<SubAckReason> {
    let subscriptions = NonEmpty::try_from(subscriptions).unwrap();
    rig.send(client, Subscribe { id: id(1), properties: Properties::new(), subscriptions });
    match rig.receive(client) {
        Packet::SubAck(suback) => suback.reasons.iter().copied().collect(),
        other => panic!("SUBACK expected, got {other:?}"),
    }
}

fn retain(rig: &mut Rig, client: Client, count: usize) {
    for number in 0..count {
        let message = publish(&format!("r/{number:06}"), "x");
        rig.publish(client, Publish { retain: true, ..message });
    }
}

#[test]
fn topic_filters_with_many_levels_are_refused() {
    for (connect, reason) in
        [(v5("a"), SubAckReason::TopicFilterInvalid), (v311("a", true), SubAckReason::UnspecifiedError)]
    {
        let mut rig = Rig::with("maximum_filter_levels=4");
        let client = rig.connect(connect);
        let wanted = vec![filter("a/b/c/#", Q0), filter("a/b/c/d/e", Q0), filter("////", Q0)];
        assert_eq!(reasons(&mut rig, client, wanted), [SubAckReason::GrantedQoS0, reason, reason]);
    }
}

#[test]
fn more_filters_than_one_packet_may_have_are_refused() {
    let mut rig = Rig::with("maximum_filters_per_packet=2");
    let client = rig.connect(v5("a"));
    let wanted = ["a", "b", "c"].map(|topic| filter(topic, Q0)).to_vec();
    let granted = SubAckReason::GrantedQoS0;
    assert_eq!(reasons(&mut rig, client, wanted), [granted, granted, SubAckReason::QuotaExceeded]);
    rig.publish(client, publish("c", "x"));
    rig.nothing(client);
}

#[test]
fn an_unsubscribe_with_more_filters_ends_the_connection() {
    for connect in [v5("a"), v311("a", true)] {
        let mut rig = Rig::with("maximum_filters_per_packet=2");
        let client = rig.connect(connect.clone());
        let filters = |filters: &[&str]| {
            let filters: Vec<_> = filters.iter().map(|text| TopicFilter::try_from(*text).unwrap()).collect();
            Unsubscribe::new(id(2), NonEmpty::try_from(filters).unwrap())
        };
        rig.send(client, filters(&["a", "b"]));
        rig.all(client);
        assert!(!rig.is_closed(client));
        rig.send(client, filters(&["a", "b", "c"]));
        if connect.version.is_5() {
            rig.disconnected(client, DisconnectReason::QuotaExceeded);
        } else {
            rig.closed_in_silence(client);
        }
    }
}

#[test]
fn more_shared_subscriptions_than_a_session_may_have_are_refused() {
    let mut rig = Rig::with("maximum_shared_subscriptions=1");
    let client = rig.connect(lasting("a", 100));
    let granted = SubAckReason::GrantedQoS0;
    let both = || vec![filter("$share/a/t", Q0), filter("$share/b/t", Q0)];
    assert_eq!(reasons(&mut rig, client, both()), [granted, SubAckReason::QuotaExceeded]);
    rig.restart();
    let client = rig.connect(lasting("a", 100));
    assert_eq!(reasons(&mut rig, client, both()), [granted, SubAckReason::QuotaExceeded]);
    rig.send(client, Unsubscribe::new(id(2), TopicFilter::try_from("$share/a/t").unwrap()));
    rig.all(client);
    assert_eq!(reasons(&mut rig, client, both()[1..].to_vec()), [granted]);
}

#[test]
fn retained_messages_of_equal_filters_in_one_packet_are_sent_once() {
    let mut rig = Rig::new();
    let client = rig.connect(v5("a"));
    retain(&mut rig, client, 3);
    reasons(&mut rig, client, vec![filter("r/#", Q0); 20]);
    assert_eq!(rig.all(client).len(), 3);
}

#[test]
fn many_retained_messages_are_sent_in_parts() {
    let mut rig = Rig::new();
    let client = rig.connect(v5("a"));
    retain(&mut rig, client, 5000);
    let wanted = vec![filter("r/#", Q0), filter("+/+", Q0)];
    reasons(&mut rig, client, wanted);
    let at_once = rig.all(client).len();
    assert!(at_once < 1500, "{at_once} at once");
    // Another Client is served between two parts, and messages that are published go out once.
    let other = rig.connect(v5("b"));
    rig.nothing(other);
    rig.publish(other, Publish { retain: true, ..publish("r/004999", "new") });
    rig.pass(1.0);
    let rest = rig.payloads(client);
    assert_eq!(rest.iter().filter(|payload| *payload == "new").count(), 1);
    // The one that was replaced is not sent.
    assert_eq!(at_once + rest.len(), 2 * 4999 + 1);
}

#[test]
fn retained_messages_wait_for_a_client_that_does_not_read() {
    let mut rig = Rig::with("queue_maximum=100");
    let client = rig.connect(v5("a"));
    retain(&mut rig, client, 3000);
    rig.broker.handle_congestion(rig.now, client.0, true);
    reasons(&mut rig, client, vec![filter("r/#", Q0)]);
    rig.pass(10.0);
    assert_eq!(rig.all(client), []);
    rig.broker.handle_congestion(rig.now, client.0, false);
    rig.pass(1.0);
    assert_eq!(rig.all(client).len(), 3000);
    // At QoS 1 too, although its queue holds 100.
    for number in 0..300 {
        let message = qos_1(1, &format!("q/{number:06}"), "x");
        rig.publish(client, Publish { retain: true, ..message });
    }
    let slow = rig.connect(v5("slow").with(ReceiveMaximum(10.try_into().unwrap())));
    reasons(&mut rig, slow, vec![filter("q/#", Q1)]);
    let mut received = 0;
    loop {
        rig.pass(0.1);
        let packets = rig.all(slow);
        if packets.is_empty() {
            break;
        }
        for packet in packets {
            let Packet::Publish(publish) = packet else { panic!("{packet:?}") };
            received += 1;
            rig.send(slow, PubAck::success(publish.delivery.packet_identifier().unwrap()));
        }
    }
    assert_eq!(received, 300);
}

#[test]
fn an_unsubscribe_ends_the_search() {
    let mut rig = Rig::new();
    let client = rig.connect(v5("a"));
    retain(&mut rig, client, 3000);
    reasons(&mut rig, client, vec![filter("r/#", Q0)]);
    rig.send(client, Unsubscribe::new(id(2), TopicFilter::try_from("r/#").unwrap()));
    rig.all(client);
    rig.pass(1.0);
    rig.nothing(client);
}

#[test]
fn messages_in_flight_count_against_the_queue() {
    let mut rig = Rig::with("queue_maximum_bytes=100");
    let reader = rig.connect(v5("reader"));
    rig.subscribe(reader, "t", Q1);
    let writer = rig.connect(v5("writer"));
    for number in 1..6 {
        rig.publish(writer, qos_1(number, "t", &"x".repeat(39)));
    }
    assert_eq!(rig.all(reader).len(), 2);
}

#[test]
fn the_subscription_identifiers_of_a_copy_count_against_the_queue() {
    let mut rig = Rig::with("queue_maximum_bytes=10000");
    let reader = rig.connect(lasting("reader", 100));
    // 512 Topic Filters that match one topic of nine levels.
    let level = |bits: usize, level: usize| if bits >> level & 1 == 1 { "+" } else { "a" };
    let wanted =
        (0..512).map(|bits| filter(&(0..9).map(|at| level(bits, at)).collect::<Vec<_>>().join("/"), Q1));
    let subscriptions = NonEmpty::try_from(wanted.collect::<Vec<_>>()).unwrap();
    let subscribe = Subscribe { id: id(1), properties: Properties::new(), subscriptions };
    rig.send(reader, subscribe.with(SubscriptionIdentifier::new(7).unwrap()));
    rig.all(reader);
    rig.cut(reader);
    let writer = rig.connect(v5("writer"));
    let before = rig.broker.statistics().memory;
    for number in 1..20 {
        rig.publish(writer, qos_1(number, "a/a/a/a/a/a/a/a/a", "x"));
    }
    let after = rig.broker.statistics().memory - before;
    assert!((8_000..12_000).contains(&after), "{after}");
    let reader = rig.connect(lasting("reader", 100));
    assert_eq!(rig.payloads(reader).len(), 4);
}

#[test]
fn the_clients_that_are_connected_count_and_not_those_that_have_said_nothing() {
    let mut rig = Rig::with("maximum_connections=1");
    let strangers = [rig.open(), rig.open()];
    let first = rig.connect(v5("a"));
    let (_, connack) = rig.answer_to(v5("b"));
    assert_eq!(connack.reason, ConnectReason::ServerBusy);
    // A Client that takes over its own Session needs no place.
    let again = rig.connect(v5("a"));
    assert!(rig.is_closed(first));
    rig.cut(again);
    rig.connect(v5("b"));
    assert!(!rig.is_closed(strangers[0]));
}

#[test]
fn the_memory_for_all_clients_is_bounded_and_freed() {
    let mut rig = Rig::with("memory_maximum=400000");
    let empty = rig.broker.statistics().memory;
    let greedy = rig.connect(v5("greedy"));
    let mut granted = 0;
    for number in 0.. {
        let wanted = vec![filter(&format!("f/{number}"), Q0)];
        match reasons(&mut rig, greedy, wanted)[0] {
            SubAckReason::GrantedQoS0 => granted += 1,
            SubAckReason::QuotaExceeded => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(granted > 200, "{granted}");
    // What is left is for others: they connect, and exchange messages.
    let other = rig.connect(v5("other"));
    rig.publish(other, qos_1(1, "nobody", "x"));
    let message = Publish { retain: true, ..qos_1(2, "kept", "x") };
    rig.send(other, message.clone());
    assert_eq!(
        rig.all(other),
        [PubAck::new(id(2), PubAckReason::QuotaExceeded)
            .with(ReasonString(Utf8String::from_static("the Server has no room for more retained messages")))
            .into()]
    );
    rig.disconnect(greedy);
    rig.publish(other, message);
    assert!(rig.broker.statistics().memory < 10_000);
    rig.publish(other, Publish { retain: true, ..qos_1(3, "kept", "") });
    rig.disconnect(other);
    assert_eq!(rig.broker.statistics().memory, empty);
}

#[test]
fn a_message_in_many_queues_is_counted_once() {
    let mut rig = Rig::with("send_maximum=1");
    let sleepers: Vec<_> = ["a", "b", "c", "d", "e"].map(|name| rig.connect(lasting(name, 100))).to_vec();
    for sleeper in &sleepers {
        rig.subscribe(*sleeper, "t", Q2);
    }
    let writer = rig.connect(v5("writer"));
    let before = rig.broker.statistics().memory;
    for number in 1..3 {
        rig.publish(writer, qos_2(number, "t", &"x".repeat(10_000)));
    }
    let after = rig.broker.statistics().memory - before;
    assert!((20_000..25_000).contains(&after), "{after}");
    for sleeper in sleepers {
        let (_, connack) = rig.try_connect(v5(["a", "b", "c", "d", "e"][sleeper.0.0 as usize - 1]));
        assert!(!connack.session_present);
    }
    assert!(rig.broker.statistics().memory < before);
}

#[test]
fn the_subscriptions_of_a_session_that_has_ended_are_removed_in_parts() {
    let mut rig = Rig::with("maximum_shared_subscriptions=0");
    let empty = rig.broker.statistics().memory;
    let client = rig.connect(v5("a"));
    let wanted = (0..10_000).map(|number| match number % 2 {
        0 => filter(&format!("$share/g/t/{number}"), Q0),
        _ => filter(&format!("t/{number}"), Q0),
    });
    reasons(&mut rig, client, wanted.collect());
    let before = rig.broker.effort();
    rig.cut(client);
    // One part, and the note in each Shared Subscription that the member is not connected.
    assert!(rig.broker.effort() - before <= 16_014 + 5_000);
    // The rest is there, but brings no message, also to the next Session with the ClientID.
    let again = rig.connect(v5("a"));
    for number in [0, 1, 4998, 4999, 9998, 9999] {
        rig.publish(again, publish(&format!("t/{number}"), "x"));
    }
    rig.nothing(again);
    rig.subscribe(again, "t/1", Q0);
    rig.pass(1.0);
    rig.publish(again, publish("t/1", "x"));
    assert_eq!(rig.payloads(again), ["x"]);
    rig.cut(again);
    assert_eq!(rig.broker.statistics().memory, empty);
}

#[test]
fn the_levels_of_all_filters_of_a_packet_are_limited() {
    // Ten times as many as filters: 2,000.
    let mut rig = Rig::with("maximum_filters_per_packet=200");
    let client = rig.connect(v5("a"));
    let texts: Vec<_> = (0..20).map(|number| format!("{number}{}", "/x".repeat(199))).collect();
    let wanted = texts.iter().map(|text| filter(text, Q0)).collect();
    let (granted, refused) = (SubAckReason::GrantedQoS0, SubAckReason::QuotaExceeded);
    let expected = [vec![granted; 10], vec![refused; 10]].concat();
    assert_eq!(reasons(&mut rig, client, wanted), expected);
    let filters: Vec<_> = texts.iter().map(|text| TopicFilter::try_from(text.as_str()).unwrap()).collect();
    let (few, many) = (filters[..10].to_vec(), filters[..11].to_vec());
    rig.send(client, Unsubscribe::new(id(2), NonEmpty::try_from(few).unwrap()));
    rig.all(client);
    assert!(!rig.is_closed(client));
    rig.send(client, Unsubscribe::new(id(3), NonEmpty::try_from(many).unwrap()));
    rig.disconnected(client, DisconnectReason::QuotaExceeded);
}

#[test]
fn a_client_that_returns_gets_large_messages_in_parts() {
    const MESSAGES: usize = 100;
    let mut rig = Rig::new();
    let writer = rig.connect(v5("writer"));
    let client = rig.connect(lasting("a", 100));
    rig.subscribe(client, "t", Q1);
    rig.cut(client);
    for number in 0..MESSAGES {
        let payload = format!("{number} {}", "x".repeat(10_000));
        rig.publish(writer, qos_1(1, "t", &payload));
        rig.all(writer);
    }
    // In flight after the first time, so sent again after the second.
    for _ in 0..2 {
        let client = rig.connect(lasting("a", 100));
        let first = rig.payloads(client);
        assert!(first.len() > 20 && first.len() < 30, "{} at once", first.len());
        // A Client that does not read gets no more.
        rig.broker.handle_congestion(rig.now, client.0, true);
        rig.pass(1.0);
        rig.nothing(client);
        rig.broker.handle_congestion(rig.now, client.0, false);
        rig.drive();
        rig.pass(1.0);
        let all: Vec<_> = first.into_iter().chain(rig.payloads(client)).collect();
        let numbers: Vec<_> =
            all.iter().map(|payload| payload.split(' ').next().unwrap().to_owned()).collect();
        let expected: Vec<_> = (0..MESSAGES).map(|number| number.to_string()).collect();
        assert_eq!(numbers, expected);
        rig.cut(client);
    }
}

#[test]
fn qos_0_messages_that_have_waited_are_sent_in_parts() {
    const MESSAGES: usize = 4_000;
    let mut rig = Rig::with("queue_qos_0=yes");
    let writer = rig.connect(v5("writer"));
    let client = rig.connect(lasting("a", 100));
    rig.subscribe(client, "t", Q0);
    rig.cut(client);
    let mut expected: Vec<_> = (0..MESSAGES).map(|number| number.to_string()).collect();
    expected.iter().for_each(|payload| rig.publish(writer, publish("t", payload)));
    let client = rig.connect(lasting("a", 100));
    let mut received = rig.payloads(client);
    assert!(received.len() > 500 && received.len() < 1_100, "{} at once", received.len());
    // A Client that does not read gets no more, and loses nothing.
    rig.broker.handle_congestion(rig.now, client.0, true);
    rig.pass(1.0);
    rig.nothing(client);
    rig.broker.handle_congestion(rig.now, client.0, false);
    rig.drive();
    // Later messages come later.
    rig.publish(writer, publish("t", "last"));
    expected.push("last".to_owned());
    rig.pass(1.0);
    received.extend(rig.payloads(client));
    assert_eq!(received, expected);
    rig.publish(writer, publish("t", "at once"));
    assert_eq!(rig.payloads(client), ["at once"]);
}
