//! Whose Session it is, and what its user may read and write now: the users file may have changed
//! since the Session was stored.

use mqttspec_broker::{Drop, Event, WillEnd};
use mqttspec_codec::*;

use crate::authentication::{USERS, as_user, scram_connect};
use crate::rig::*;

/// A user who may read and write everything, and one whose permissions the tests narrow.
const WIDE: &str = "user root password r; user alice password pencil";

/// Alice's Session, which lasts.
fn alice() -> Connect {
    as_user("alice", "pencil", lasting("a", 1000))
}

fn root() -> Connect {
    as_user("root", "r", v5("r"))
}

#[test]
fn a_session_belongs_to_the_user_that_made_it() {
    let mut rig = Rig::with_options([("users", USERS)]);
    let alice = rig.connect(as_user("alice", "pencil", lasting("a", 100)));
    for clean_start in [false, true] {
        let bob = Connect { clean_start, ..as_user("bob", "x", v5("a")) };
        let old = Connect { clean_start, ..as_user("bob", "x", v311("a", true)) };
        let anonymous = Connect { clean_start, ..v5("a") };
        for intruder in [bob, old, anonymous] {
            let (client, connack) = rig.answer_to(intruder);
            assert_eq!(connack.reason, ConnectReason::NotAuthorized);
            rig.closed_in_silence(client);
        }
    }
    // The Session and its Network Connection are untouched.
    rig.publish(alice, qos_1(1, "a/x", "still here"));
    let again = Connect { clean_start: false, ..as_user("alice", "pencil", lasting("a", 100)) };
    let (_, connack) = rig.answer_to(again);
    assert!(connack.session_present);
}

#[test]
fn a_session_keeps_its_owner_over_a_restart() {
    let mut rig = Rig::with_options([("users", USERS)]);
    rig.connect(as_user("alice", "pencil", lasting("a", 100)));
    rig.restart();
    let (intruder, connack) = rig.answer_to(as_user("bob", "x", lasting("a", 100)));
    assert_eq!(connack.reason, ConnectReason::NotAuthorized);
    rig.closed_in_silence(intruder);
    let (_, connack) = rig.answer_to(as_user("alice", "pencil", lasting("a", 100)));
    assert!(connack.session_present);
}

#[test]
fn a_user_is_the_same_however_it_authenticates() {
    let mut rig = Rig::with_options([("users", USERS)]);
    scram_connect(&mut rig, lasting("a", 100));
    let (intruder, connack) = rig.answer_to(as_user("bob", "x", lasting("a", 100)));
    assert_eq!(connack.reason, ConnectReason::NotAuthorized);
    rig.closed_in_silence(intruder);
    let (_, connack) = rig.answer_to(as_user("alice", "pencil", lasting("a", 100)));
    assert!(connack.session_present);
}

#[test]
fn a_session_that_has_ended_belongs_to_nobody() {
    let mut rig = Rig::with_options([("users", USERS)]);
    let alice = rig.connect(as_user("alice", "pencil", lasting("a", 100)));
    rig.cut(alice);
    rig.pass(101.0);
    let (_, connack) = rig.answer_to(as_user("bob", "x", lasting("a", 100)));
    assert!(connack.reason == ConnectReason::Success && !connack.session_present, "{connack:?}");
}

#[test]
fn a_stored_subscription_gives_what_the_user_may_read_now() {
    let mut rig = Rig::with_options([("users", WIDE)]);
    let reader = rig.connect(alice());
    for filter in ["#", "$share/g/#"] {
        rig.subscribe(reader, filter, Q1);
    }
    rig.restart_with("users", &format!("{WIDE}; subscribe open/#"));
    let writer = rig.connect(root());
    // While alice is away, and while it is connected; at QoS 0 and 1.
    rig.publish(writer, qos_1(1, "secret", "away"));
    let reader = rig.connect(alice());
    rig.publish(writer, qos_1(2, "secret", "there"));
    rig.publish(writer, publish("secret", "there"));
    rig.nothing(reader);
    rig.publish(writer, qos_1(3, "open/x", "allowed"));
    assert_eq!(rig.payloads(reader), ["allowed", "allowed"]);
}

#[test]
fn a_shared_message_goes_to_a_member_that_may_read_it() {
    let mut rig = Rig::with_options([("users", WIDE)]);
    let narrowed = rig.connect(alice());
    rig.subscribe(narrowed, "$share/g/t", Q1);
    rig.restart_with("users", &format!("{WIDE}; subscribe open/#"));
    let narrowed = rig.connect(alice());
    let other = rig.connect(root());
    rig.subscribe(other, "$share/g/t", Q1);
    for number in 1..4 {
        rig.send(other, qos_1(number, "t", "x"));
    }
    let received = rig.all(other).into_iter().filter(|packet| matches!(packet, Packet::Publish(_)));
    assert_eq!(received.count(), 3);
    rig.nothing(narrowed);
}

#[test]
fn queued_messages_and_those_in_flight_are_dropped_if_the_user_may_not_read_them_now() {
    let mut rig = Rig::with_options([("users", WIDE), ("send_maximum", "2")]);
    let reader = rig.connect(alice());
    rig.subscribe(reader, "#", Q2);
    let writer = rig.connect(root());
    // Two are in flight, the others wait.
    for number in 1..5 {
        rig.publish(writer, qos_2(number, "secret", "x"));
    }
    rig.publish(writer, qos_2(5, "open/x", "allowed"));
    rig.restart_with("users", &format!("{WIDE}; subscribe open/#"));
    let reader = rig.connect(alice());
    assert_eq!(rig.payloads(reader), ["allowed"]);
    let drops = rig
        .events
        .iter()
        .filter(|event| matches!(event, Event::MessageDropped { why: Drop::NotAuthorized, .. }));
    assert_eq!(drops.count(), 4);
    // What is dropped is gone from the store too.
    rig.restart_with("users", WIDE);
    let reader = rig.connect(alice());
    assert_eq!(rig.payloads(reader), ["allowed"]);
}

#[test]
fn a_user_that_is_no_longer_in_the_file_gets_nothing_queued() {
    let mut rig = Rig::with_options([("users", WIDE)]);
    let reader = rig.connect(alice());
    rig.subscribe(reader, "t", Q1);
    rig.restart_with("users", "user root password r");
    let writer = rig.connect(root());
    rig.publish(writer, qos_1(1, "t", "x"));
    rig.restart_with("users", WIDE);
    let reader = rig.connect(alice());
    rig.nothing(reader);
}

#[test]
fn a_stored_will_is_published_only_if_the_user_may_publish_it_now() {
    let mut rig = Rig::with_options([("users", WIDE)]);
    let with_will = |topic| Connect { will: Some(will(topic, "gone")), ..alice() };
    for (topic, payloads) in [("secret", &[][..]), ("open/x", &["gone"])] {
        rig.restart_with("users", WIDE);
        rig.connect(with_will(topic));
        rig.restart_with("users", &format!("{WIDE}; publish open/#"));
        let watcher = rig.connect(root());
        rig.subscribe(watcher, "#", Q0);
        rig.pass(1.0);
        assert_eq!(rig.payloads(watcher), payloads);
    }
    let discarded = rig
        .events
        .iter()
        .filter(|event| matches!(event, Event::WillDiscarded { why: WillEnd::NotAuthorized, .. }));
    assert_eq!(discarded.count(), 1);
}

#[test]
fn a_retained_message_is_sent_only_if_its_user_may_publish_it_now() {
    let mut rig = Rig::with_options([("users", WIDE)]);
    let writer = rig.connect(alice());
    for (number, topic) in [(1, "secret"), (2, "open/x")] {
        rig.publish(writer, Publish { retain: true, ..qos_1(number, topic, topic) });
    }
    rig.restart_with("users", &format!("{WIDE}; publish open/#"));
    let reader = rig.connect(root());
    rig.subscribe(reader, "#", Q0);
    assert_eq!(rig.payloads(reader), ["open/x"]);
    rig.restart_with("users", WIDE);
    let reader = rig.connect(root());
    rig.subscribe(reader, "#", Q0);
    assert_eq!(rig.payloads(reader), ["open/x", "secret"]);
}

#[test]
fn anonymous_clients_have_no_permissions_if_the_users_file_gives_them_none() {
    let mut rig = Rig::with_options([("users", WIDE), ("allow_anonymous", "true")]);
    let client = rig.connect(v5("a"));
    rig.send(client, Subscribe::new(id(1), filter("t", Q0)));
    let Packet::SubAck(suback) = rig.receive(client) else { panic!("SUBACK expected") };
    assert_eq!(suback.reasons.first(), &SubAckReason::NotAuthorized);
    rig.send(client, qos_1(1, "t", "x"));
    let Packet::PubAck(puback) = rig.receive(client) else { panic!("PUBACK expected") };
    assert_eq!(puback.reason, PubAckReason::NotAuthorized);
}
