//! A message that matches many Shared Subscriptions is given to them in parts.

use std::collections::BTreeSet;
use std::time::Duration;

use mqttspec_codec::*;

use crate::rig::*;

/// More than are served in two turns.
const GROUPS: usize = 4_000;
/// The most that are served in one turn.
const TURN: usize = 1_000;

fn rig() -> Rig {
    Rig::with("maximum_shared_subscriptions=0 queue_maximum=0")
}

/// A Client with a Shared Subscription of each number, and one that matches another topic.
fn member(rig: &mut Rig, qos: QoS) -> Client {
    let client = rig.connect(lasting("member", 1000).with(ReceiveMaximum(u16::MAX.try_into().unwrap())));
    let mut wanted: Vec<_> = (1..GROUPS).map(|number| filter(&format!("$share/{number}/t"), qos)).collect();
    wanted.push(filter("$share/x/other", qos));
    let subscriptions = NonEmpty::try_from(wanted).unwrap();
    rig.send(client, Subscribe { id: id(1), properties: Properties::new(), subscriptions });
    rig.all(client);
    rig.subscribe(client, "$share/last/t", qos);
    client
}

/// The driver's next turn.
fn turn(rig: &mut Rig) {
    rig.now += Duration::from_nanos(1);
    rig.broker.handle_timeout(rig.now);
    rig.drive();
}

fn identifiers(packets: &[Packet]) -> BTreeSet<PacketIdentifier> {
    packets.iter().filter_map(Packet::packet_identifier).collect()
}

#[test]
fn other_work_is_done_between_the_parts() {
    let mut rig = rig();
    let member = member(&mut rig, Q1);
    let writer = rig.connect(v5("writer"));
    // Acknowledged although no copy was sent yet: the Server owns the message.
    rig.publish(writer, qos_1(1, "t", "x"));
    let mut received = rig.all(member).len();
    assert!(received <= TURN, "{received} at once");
    for _ in 0..2 {
        turn(&mut rig);
        let part = rig.all(member).len();
        assert!(part > 0 && part <= TURN, "{part} in one turn");
        received += part;
    }
    assert!(received < GROUPS);
    rig.publish(writer, qos_1(2, "other", "y"));
    assert_eq!(rig.payloads(member), ["y"]);
    rig.pass(1.0);
    assert_eq!(received + rig.all(member).len(), GROUPS);
}

#[test]
fn a_subscription_that_is_made_later_does_not_get_the_message() {
    let mut rig = rig();
    let member = member(&mut rig, Q0);
    let writer = rig.connect(v5("writer"));
    rig.publish(writer, publish("t", "x"));
    let late = rig.connect(v5("late"));
    rig.subscribe(late, "$share/zzz/t", Q0);
    rig.pass(1.0);
    rig.nothing(late);
    assert_eq!(rig.all(member).len(), GROUPS);
}

#[test]
fn a_crash_between_the_parts_loses_and_repeats_nothing() {
    let mut rig = rig();
    let client = member(&mut rig, Q2);
    rig.cut(client);
    let writer = rig.connect(v5("writer"));
    rig.publish(writer, qos_2(1, "t", "x"));
    for turns in 0..2 {
        rig.restart();
        for _ in 0..turns {
            turn(&mut rig);
        }
    }
    rig.restart();
    rig.pass(1.0);
    let (client, connack) = rig.try_connect(lasting("member", 1000));
    assert!(connack.session_present);
    rig.pass(1.0);
    let received = rig.all(client);
    assert_eq!((received.len(), identifiers(&received).len()), (GROUPS, GROUPS));
    // The record of the message goes with its last copy.
    for identifier in identifiers(&received) {
        rig.send(client, PubRec::new(identifier, PubAckReason::UnspecifiedError));
    }
    assert!(rig.records.keys().all(|key| !key.starts_with(b"m") && !key.starts_with(b"p")));
}

#[test]
fn a_message_that_expires_meanwhile_is_given_to_no_more_of_them() {
    let mut rig = rig();
    let member = member(&mut rig, Q1);
    let writer = rig.connect(v5("writer"));
    rig.publish(writer, qos_1(1, "t", "x").with(MessageExpiryInterval(1)));
    turn(&mut rig);
    let received = rig.all(member).len();
    rig.now += Duration::from_secs(2);
    turn(&mut rig);
    rig.pass(1.0);
    assert!(received > 0);
    rig.nothing(member);
}

#[test]
fn a_client_with_too_many_of_such_messages_is_refused() {
    let mut rig = rig();
    member(&mut rig, Q1);
    let (greedy, other) = (rig.connect(v5("greedy")), rig.connect(v5("other")));
    for _ in 0..15 {
        rig.publish(greedy, publish("t", "x"));
    }
    rig.publish(greedy, qos_1(1, "t", "x"));
    rig.send(greedy, qos_1(2, "t", "x"));
    let Packet::PubAck(puback) = rig.receive(greedy) else { panic!("PUBACK expected") };
    assert_eq!(puback.reason, PubAckReason::QuotaExceeded);
    rig.publish(other, qos_1(1, "t", "x"));
    // QoS 0 has no acknowledgement that could refuse it.
    rig.send(greedy, publish("t", "x"));
    rig.disconnected(greedy, DisconnectReason::QuotaExceeded);
    rig.pass(1.0);
    rig.publish(other, qos_1(2, "t", "x"));
}
