use mqttspec_codec::*;

use crate::rig::*;

fn with_retained(topics: &[&str]) -> (Rig, Client) {
    let mut rig = Rig::new();
    let publisher = rig.connect(v5("p"));
    for topic in topics {
        rig.publish(publisher, qos_1(1, topic, topic).retained());
    }
    (rig, publisher)
}

#[test]
fn retained_messages_come_with_a_new_subscription_and_retain_1() {
    let (mut rig, _) = with_retained(&["a/b", "a/c", "b"]);
    for connect in [v5("x"), v311("y", true)] {
        let client = rig.connect(connect);
        rig.subscribe(client, "a/+", Q0);
        let first = rig.receive_publish(client);
        assert!(first.retain && first.delivery.qos() == Q0);
        assert_eq!(rig.payloads(client), ["a/c"]);
        rig.subscribe(client, "#", Q1);
        assert_eq!(rig.payloads(client), ["a/b", "a/c", "b"]);
    }
}

#[test]
fn empty_payload_clears_and_is_delivered_like_any_other() {
    for live in [v5("x"), v311("x", true)] {
        let (mut rig, publisher) = with_retained(&["a"]);
        let client = rig.connect(live);
        rig.subscribe(client, "a", Q1);
        rig.all(client);
        rig.publish(publisher, publish("a", "").retained());
        let cleared = rig.receive_publish(client);
        assert!(cleared.payload.is_empty() && !cleared.retain);
        rig.subscribe(client, "a", Q1);
        rig.nothing(client);
    }
}

#[test]
fn later_messages_replace_and_others_leave_alone() {
    let (mut rig, publisher) = with_retained(&["a"]);
    rig.publish(publisher, publish("a", "not retained"));
    rig.publish(publisher, publish("a", ""));
    let client = rig.connect(v5("x"));
    rig.subscribe(client, "a", Q1);
    assert_eq!(rig.payloads(client), ["a"]);
    // A QoS 0 message replaces it too.
    rig.publish(publisher, publish("a", "new").retained());
    rig.all(client);
    rig.subscribe(client, "a", Q1);
    assert_eq!(rig.payloads(client), ["new"]);
}

#[test]
fn retain_handling() {
    let (mut rig, _) = with_retained(&["a"]);
    let client = rig.connect(lasting("x", 100));
    let with = |retain_handling| Subscription { retain_handling, ..filter("a", Q0) };
    rig.subscribe_with(client, with(RetainHandling::DoNotSend));
    rig.nothing(client);
    rig.subscribe_with(client, with(RetainHandling::SendIfNew));
    rig.nothing(client);
    rig.subscribe_with(client, with(RetainHandling::SendAtSubscribe));
    assert_eq!(rig.payloads(client), ["a"]);
    rig.send(client, Unsubscribe::new(id(1), TopicFilter::from_static("a")));
    rig.all(client);
    rig.subscribe_with(client, with(RetainHandling::SendIfNew));
    assert_eq!(rig.payloads(client), ["a"]);
    // Neither resumption nor take-over sends them again. The Session decides whether the
    // Subscription exists.
    let client = rig.connect(lasting("x", 100));
    rig.subscribe_with(client, with(RetainHandling::SendIfNew));
    rig.nothing(client);
    let client = rig.connect(Connect { clean_start: true, ..lasting("x", 100) });
    rig.subscribe_with(client, with(RetainHandling::SendIfNew));
    assert_eq!(rig.payloads(client), ["a"]);
}

#[test]
fn retain_as_published_is_for_live_messages() {
    let (mut rig, publisher) = with_retained(&["a"]);
    let client = rig.connect(v5("x"));
    for retain_as_published in [false, true] {
        rig.subscribe_with(client, Subscription { retain_as_published, ..filter("a", Q0) });
        assert!(rig.receive_publish(client).retain);
        rig.publish(publisher, publish("a", "live").retained());
        assert_eq!(rig.receive_publish(client).retain, retain_as_published);
        rig.publish(publisher, publish("a", "live"));
        assert!(!rig.receive_publish(client).retain);
    }
}

#[test]
fn retained_messages_expire() {
    let mut rig = Rig::new();
    let publisher = rig.connect(v5("p"));
    rig.publish(publisher, publish("a", "old").retained().with(MessageExpiryInterval(10)));
    rig.pass(4.5);
    let client = rig.connect(v5("x"));
    rig.subscribe(client, "a", Q0);
    assert_eq!(rig.receive_publish(client).properties.get(), Some(MessageExpiryInterval(6)));
    rig.pass(6.0);
    rig.subscribe(client, "a", Q0);
    rig.nothing(client);
    assert!(rig.records.is_empty(), "it is gone from the store too");
    // A message that replaces it has its own interval.
    rig.publish(publisher, publish("a", "old").retained().with(MessageExpiryInterval(10)));
    rig.publish(publisher, publish("a", "new").retained());
    rig.all(client);
    rig.pass(20.0);
    rig.subscribe(client, "a", Q0);
    assert_eq!(rig.payloads(client), ["new"]);
}

#[test]
fn retained_messages_outlive_sessions_and_the_broker() {
    let (mut rig, publisher) = with_retained(&["a", "b/c"]);
    rig.publish(publisher, publish("b/c", "").retained());
    rig.disconnect(publisher);
    rig.restart();
    let client = rig.connect(v5("x"));
    rig.subscribe(client, "#", Q1);
    let retained = rig.receive_publish(client);
    assert!(retained.payload == "a" && retained.retain && retained.delivery.qos() == Q1);
    rig.nothing(client);
}

#[test]
fn no_local_holds_for_retained_messages_too() {
    let (mut rig, publisher) = with_retained(&["a"]);
    rig.subscribe_with(publisher, Subscription { no_local: true, ..filter("a", Q0) });
    rig.nothing(publisher);
}

#[test]
fn more_retained_messages_than_the_server_takes() {
    let mut rig = Rig::with("maximum_retained=1");
    let client = rig.connect(v5("a"));
    rig.publish(client, qos_1(1, "a", "1").retained());
    rig.send(client, qos_1(1, "b", "2").retained());
    assert!(
        matches!(rig.receive(client), Packet::PubAck(puback) if puback.reason == PubAckReason::QuotaExceeded)
    );
    rig.publish(client, qos_1(1, "a", "3").retained());
    rig.publish(client, qos_1(1, "a", "").retained());
    rig.publish(client, qos_1(1, "b", "4").retained());
    // Where no acknowledgement can refuse it, the Network Connection ends.
    rig.send(client, publish("c", "5").retained());
    rig.disconnected(client, DisconnectReason::QuotaExceeded);
    let old = rig.connect(v311("b", true));
    rig.send(old, qos_1(1, "c", "5").retained());
    rig.closed_in_silence(old);
}
