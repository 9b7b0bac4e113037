use mqttspec_broker::{Broker, Options, RestoreError};
use mqttspec_codec::*;

use crate::rig::*;

#[test]
fn sessions_that_end_with_their_network_connection_leave_no_records() {
    let mut rig = Rig::new();
    let client = rig.connect(v5("a"));
    rig.subscribe(client, "t", Q2);
    rig.publish(client, qos_2(1, "t", "x"));
    rig.send(client, qos_2(2, "t", "y"));
    assert!(rig.records.is_empty());
    rig.cut(client);
    assert!(rig.records.is_empty());
}

#[test]
fn records_go_with_what_they_record() {
    let mut rig = Rig::new();
    let client = rig.connect(lasting("a", 10));
    assert_eq!(rig.records.len(), 1);
    rig.subscribe(client, "t", Q2);
    rig.subscribe(client, "$share/g/t", Q1);
    assert_eq!(rig.records.len(), 3);
    let publisher = rig.connect(lasting("b", 10));
    rig.send(publisher, qos_2(1, "t", "x"));
    // Session, identifier, message, two deliveries of it
    assert_eq!(rig.records.len(), 3 + 5);
    rig.send(publisher, PubRel::success(id(1)));
    assert_eq!(rig.records.len(), 3 + 4);
    let [two, one] = [rig.receive_publish(client), rig.receive_publish(client)];
    rig.send(client, PubAck::success(one.delivery.packet_identifier().unwrap()));
    assert_eq!(rig.records.len(), 3 + 3);
    // After PUBREC the Client owns the message.
    rig.send(client, PubRec::success(two.delivery.packet_identifier().unwrap()));
    assert_eq!(rig.records.len(), 3 + 2);
    rig.send(client, PubComp::success(two.delivery.packet_identifier().unwrap()));
    assert_eq!(rig.records.len(), 3 + 1);
    rig.publish(publisher, qos_1(1, "t", "y"));
    rig.cut(client);
    rig.cut(publisher);
    rig.pass(10.0);
    assert!(rig.records.is_empty());
}

#[test]
fn session_that_becomes_short_lived_is_forgotten_by_the_store() {
    let mut rig = Rig::new();
    let client = rig.connect(lasting("a", 10));
    rig.subscribe(client, "t", Q1);
    rig.publish(client, qos_1(1, "t", "x"));
    let (_, connack) = rig.try_connect(Connect { clean_start: false, ..v5("a") });
    assert!(connack.session_present);
    assert!(rig.records.is_empty());
}

#[test]
fn nothing_is_recorded_if_the_option_says_so() {
    let mut rig = Rig::with("record_changes=no");
    let client = rig.connect(lasting("a", 10));
    rig.subscribe(client, "t", Q1);
    rig.publish(client, qos_1(1, "t", "x").retained());
    assert!(rig.records.is_empty());
}

#[test]
fn session_expiry_goes_on_over_a_restart() {
    let mut rig = Rig::new();
    let away = rig.connect(lasting("away", 100));
    rig.connect(lasting("there", 100));
    rig.cut(away);
    rig.pass(60.0);
    rig.restart();
    rig.pass(50.0);
    assert!(!rig.try_connect(lasting("away", 100)).1.session_present);
    // The Session that was connected until the crash lost its Network Connection then.
    assert!(rig.try_connect(lasting("there", 100)).1.session_present);
}

#[test]
fn a_restored_broker_restores_again_to_the_same() {
    let mut rig = Rig::new();
    let client = rig.connect(Connect { will: Some(will("will", "w")), ..lasting("a", 1000) });
    rig.subscribe_with(
        client,
        Subscription { no_local: true, retain_as_published: true, ..filter("t/#", Q2) },
    );
    rig.subscribe(client, "$share/g/t", Q1);
    let publisher = rig.connect(lasting("b", 1000));
    rig.publish(publisher, qos_1(1, "t", "x").retained().with(MessageExpiryInterval(500)));
    rig.publish(publisher, qos_2(1, "t/u", "y").with(UserProperty::from_static("a", "b")));
    rig.send(publisher, qos_2(2, "t/u", "z"));
    rig.restart();
    let once = rig.records.clone();
    rig.restart();
    assert_eq!(rig.records, once);
    let client = rig.connect(lasting("a", 1000));
    let copies: Vec<_> = rig.all(client);
    assert_eq!(copies.len(), 4);
}

#[test]
fn records_of_nobody_are_refused() {
    let restore = |key: &[u8], value: &[u8]| {
        let record = (key.to_vec(), value.to_vec());
        Broker::restore(Options::default(), 0, std::time::Duration::ZERO, [record]).map(|_| ()).unwrap_err()
    };
    assert!(matches!(restore(b"x", b"\x01"), RestoreError::Record { .. }));
    assert!(matches!(restore(b"", b""), RestoreError::Record { .. }));
    assert!(matches!(restore(b"s\0\0\0\0\0\0\0\x05", b"\x02"), RestoreError::Record { .. }));
    assert_eq!(restore(b"i\0\0\0\0\0\0\0\x05\0\x01", b"\x01"), RestoreError::Session { session: 5 });
    let mut waiting = vec![1, 0];
    waiting.extend([0, 0, 0, 0, 0, 0, 0, 9, 1, 0, 0]);
    assert_eq!(
        restore(b"d\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\x01", &waiting),
        RestoreError::Message { message: 9 }
    );
}

/// A Session with this number of Subscriptions, and messages that wait or are in flight.
fn much(rig: &mut Rig, subscriptions: usize, messages: u16) -> Client {
    let client = rig.connect(lasting("a", 1000).with(ReceiveMaximum(3.try_into().unwrap())));
    let wanted: Vec<_> = (0..subscriptions).map(|number| filter(&format!("t/{number}"), Q2)).collect();
    for some in wanted.chunks(5_000) {
        let subscriptions = NonEmpty::try_from(some.to_vec()).unwrap();
        rig.send(client, Subscribe { id: id(1), properties: Properties::new(), subscriptions });
    }
    rig.all(client);
    rig.send(client, qos_2(77, "open", "x"));
    rig.all(client);
    let writer = rig.connect(v5("writer"));
    for number in 0..messages {
        rig.publish(writer, qos_2(1, &format!("t/{number}"), "x"));
    }
    // One after PUBREC.
    let released = rig.receive_publish(client).delivery.packet_identifier().unwrap();
    rig.send(client, PubRec::success(released));
    rig.all(client);
    client
}

/// The driver's next turn. Returns the number of changes.
fn turn(rig: &mut Rig) -> usize {
    rig.now += std::time::Duration::from_nanos(1);
    rig.broker.handle_timeout(rig.now);
    let changes = rig.broker.change_count();
    rig.drive();
    changes
}

#[test]
fn records_of_a_session_that_has_ended_are_removed_in_parts() {
    let mut rig = Rig::new();
    let client = much(&mut rig, 4_000, 600);
    rig.cut(client);
    let before = rig.records.len();
    rig.send(client, Packet::PingReq);
    let client = rig.open();
    rig.broker.handle_packet(rig.now, client.0, Connect { clean_start: true, ..lasting("a", 1000) }.into());
    let mut changes = rig.broker.change_count();
    assert!(changes > 100 && changes < 2_000, "{changes} at once");
    rig.drive();
    assert!(matches!(rig.receive(client), Packet::ConnAck(connack) if !connack.session_present));
    // The new Session is in use meanwhile.
    rig.subscribe(client, "t/1", Q1);
    let mut turns = 0;
    while rig.records.len() > 2 {
        changes = turn(&mut rig);
        assert!(changes > 0 && changes < 2_000, "{changes} at once");
        turns += 1;
    }
    assert!(turns > before / 2_000);
    assert_eq!(rig.records.keys().map(|key| char::from(key[0])).collect::<String>(), "fs");
    rig.publish(client, qos_1(1, "t/1", "y"));
    assert_eq!(rig.payloads(client), ["y"]);
}

#[test]
fn the_removal_goes_on_after_a_crash() {
    let mut rig = Rig::new();
    much(&mut rig, 4_000, 600);
    let (client, connack) = rig.try_connect(Connect { clean_start: true, ..lasting("a", 1000) });
    assert!(!connack.session_present);
    rig.subscribe(client, "t/2", Q1);
    for turns in 0..6 {
        rig.restart();
        let (client, connack) = rig.try_connect(lasting("a", 1000));
        assert!(connack.session_present);
        // What is left of the older Session is no part of this one.
        rig.nothing(client);
        let writer = rig.connect(v5("writer"));
        rig.publish(writer, qos_1(1, "t/3999", "x"));
        rig.publish(writer, qos_1(1, "t/2", "y"));
        let publish = rig.receive_publish(client);
        assert_eq!(publish.payload, "y");
        rig.send(client, PubAck::success(publish.delivery.packet_identifier().unwrap()));
        rig.nothing(client);
        for _ in 0..turns {
            turn(&mut rig);
        }
    }
    rig.pass(1.0);
    assert_eq!(rig.records.keys().map(|key| char::from(key[0])).collect::<String>(), "fs");
    // A number of a Session is not used twice, also if only its mark was left.
    let session = rig.records.keys().last().unwrap().clone();
    assert!(session > [b"s".to_vec(), 1_u64.to_be_bytes().to_vec()].concat());
}

#[test]
fn messages_of_a_shared_subscription_go_to_another_member_while_records_are_removed() {
    const MESSAGES: usize = 1_000;
    let mut rig = Rig::with("queue_maximum=0");
    let client = rig.connect(lasting("a", 1000));
    rig.subscribe(client, "$share/g/t", Q1);
    rig.cut(client);
    let writer = rig.connect(v5("writer"));
    for number in 0..MESSAGES {
        rig.publish(writer, qos_1(1, "t", &number.to_string()));
    }
    let other = rig.connect(lasting("b", 1000));
    rig.subscribe(other, "$share/g/t", Q1);
    rig.cut(other);
    rig.connect(Connect { clean_start: true, ..lasting("a", 1000) });
    rig.restart();
    turn(&mut rig);
    rig.restart();
    rig.pass(1.0);
    let other = rig.connect(lasting("b", 1000));
    let expected: Vec<_> = (0..MESSAGES).map(|number| number.to_string()).collect();
    assert_eq!(rig.payloads(other), expected);
}

#[test]
fn a_large_session_that_becomes_short_lived_stays_in_the_store_until_it_ends() {
    let mut rig = Rig::new();
    much(&mut rig, 2_000, 10);
    let (client, connack) = rig.try_connect(Connect { clean_start: false, ..v5("a") });
    assert!(connack.session_present);
    rig.all(client);
    // A restart ends it.
    let records = rig.records.clone();
    rig.restart();
    rig.pass(1.0);
    assert!(!rig.try_connect(lasting("a", 1000)).1.session_present);
    rig.records = records;
    rig.restart();
    rig.pass(1.0);
    assert!(rig.records.is_empty());
    // So does the end of its Network Connection.
    much(&mut rig, 2_000, 10);
    let client = rig.connect(Connect { clean_start: false, ..v5("a") });
    rig.cut(client);
    rig.pass(1.0);
    assert!(rig.records.is_empty());
}
