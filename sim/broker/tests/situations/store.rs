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
