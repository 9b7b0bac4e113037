use mqttspec_broker::{Event, SessionEnd};
use mqttspec_codec::*;

use crate::rig::*;

#[test]
fn session_is_resumed_until_it_expires_and_not_after() {
    let mut rig = Rig::new();
    for (away, present) in [(9.9, true), (10.0, false), (10.1, false)] {
        let client = rig.connect(Connect { clean_start: true, ..lasting("a", 10) });
        rig.subscribe(client, "t", Q1);
        rig.cut(client);
        rig.pass(away);
        let (client, connack) = rig.try_connect(lasting("a", 10));
        assert_eq!(connack.session_present, present, "{away}");
        let publisher = rig.connect(v5("p"));
        rig.publish(publisher, publish("t", "x"));
        assert_eq!(rig.payloads(client).len(), usize::from(present));
    }
}

#[test]
fn a_late_driver_does_not_resume_what_has_expired() {
    let mut rig = Rig::new();
    let client = rig.connect(lasting("a", 10));
    rig.cut(client);
    // The CONNECT is processed before the timer.
    rig.now += std::time::Duration::from_secs(11);
    assert!(!rig.try_connect(lasting("a", 10)).1.session_present);
}

#[test]
fn session_expiry_never_and_clean_session_0_last() {
    let mut rig = Rig::new();
    for connect in [lasting("a", u32::MAX), v311("b", false)] {
        let client = rig.connect(connect.clone());
        rig.cut(client);
        rig.pass(1e9);
        assert!(rig.try_connect(connect).1.session_present);
    }
}

#[test]
fn clean_start_without_session_expiry_interval_ends_at_the_close() {
    let mut rig = Rig::new();
    let client = rig.connect(Connect { clean_start: false, ..v5("a") });
    rig.cut(client);
    assert!(!rig.try_connect(Connect { clean_start: false, ..v5("a") }).1.session_present);
}

#[test]
fn clean_start_discards_everything() {
    let mut rig = Rig::new();
    let client = rig.connect(lasting("a", 100));
    rig.subscribe(client, "t", Q1);
    rig.cut(client);
    let publisher = rig.connect(v5("p"));
    rig.publish(publisher, qos_1(1, "t", "lost"));
    let (client, connack) = rig.try_connect(Connect { clean_start: true, ..lasting("a", 100) });
    assert!(!connack.session_present);
    rig.publish(publisher, qos_1(1, "t", "lost too"));
    rig.nothing(client);
    let ended = Event::SessionEnded { client_id: Utf8String::from_static("a"), why: SessionEnd::CleanStart };
    assert!(rig.events.contains(&ended));
}

#[test]
fn messages_wait_for_a_client_that_is_away() {
    let mut rig = Rig::new();
    let client = rig.connect(v311("a", false));
    rig.subscribe(client, "t", Q2);
    rig.cut(client);
    let publisher = rig.connect(v5("p"));
    rig.publish(publisher, publish("t", "0"));
    rig.publish(publisher, qos_1(1, "t", "1"));
    rig.publish(publisher, qos_2(1, "t", "2"));
    let client = rig.connect(v311("a", false));
    assert_eq!(rig.payloads(client), ["1", "2"]);
}

#[test]
fn qos_0_messages_wait_too_if_the_option_says_so() {
    let mut rig = Rig::with("queue_qos_0=yes");
    let client = rig.connect(lasting("a", 100));
    rig.subscribe(client, "t", Q2);
    rig.cut(client);
    let publisher = rig.connect(v5("p"));
    rig.publish(publisher, publish("t", "0"));
    rig.publish(publisher, qos_1(1, "t", "1"));
    rig.publish(publisher, publish("t", "expired").with(MessageExpiryInterval(5)));
    rig.pass(6.0);
    let client = rig.connect(lasting("a", 100));
    assert_eq!(rig.payloads(client), ["0", "1"]);
}

#[test]
fn many_reconnects_of_a_qos_2_session_do_not_stop_delivery() {
    let mut rig = Rig::new();
    let client = rig.connect(lasting("a", 100));
    rig.subscribe(client, "t", Q2);
    let publisher = rig.connect(v5("p"));
    rig.cut(client);
    for round in 0..30 {
        rig.publish(publisher, qos_2(1, "t", &round.to_string()));
        let client = rig.connect(lasting("a", 100));
        let sent = rig.receive_publish(client);
        assert_eq!(sent.payload, round.to_string());
        let identifier = sent.delivery.packet_identifier().unwrap();
        rig.send(client, PubRec::success(identifier));
        rig.cut(client);
        let client = rig.connect(lasting("a", 100));
        rig.all(client);
        rig.send(client, PubComp::success(identifier));
        rig.cut(client);
    }
}

#[test]
fn resumed_session_may_change_version() {
    let mut rig = Rig::new();
    let client = rig.connect(lasting("a", 100));
    rig.subscribe_with(client, Subscription { retain_as_published: true, ..filter("t", Q1) });
    rig.cut(client);
    let publisher = rig.connect(v5("p"));
    rig.publish(publisher, qos_1(1, "t", "x").with(ContentType::try_from("text/plain").unwrap()));
    let (client, connack) = rig.try_connect(v311("a", false));
    assert!(connack.session_present);
    assert!(rig.receive_publish(client).properties.is_empty());
}
