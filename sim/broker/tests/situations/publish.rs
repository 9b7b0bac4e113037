use std::num::NonZeroU16;

use mqttspec_codec::*;

use crate::rig::*;

#[test]
fn properties_travel_unaltered_and_in_order() {
    let mut rig = Rig::new();
    let client = rig.connect(v5("a"));
    rig.subscribe(client, "t", Q1);
    let old = rig.connect(v311("old", true));
    rig.subscribe(old, "t", Q1);
    let mut sent = qos_1(1, "t", "x")
        .with(PayloadFormatIndicator::Utf8)
        .with(ResponseTopic::try_from("r").unwrap())
        .with(CorrelationData::try_from("c").unwrap())
        .with(ContentType::try_from("text/plain").unwrap());
    for (name, value) in [("b", "1"), ("a", "2"), ("b", "3")] {
        let (name, value) = (Utf8String::try_from(name).unwrap(), Utf8String::try_from(value).unwrap());
        sent.properties.push(UserProperty::new(name, value));
    }
    let publisher = rig.connect(v5("p"));
    rig.publish(publisher, sent.clone());
    assert_eq!(rig.receive_publish(client), sent);
    // A 3.1.1 Client gets the message without them.
    assert_eq!(rig.receive_publish(old), qos_1(1, "t", "x"));
}

#[test]
fn dup_of_the_publisher_goes_no_further() {
    let mut rig = Rig::new();
    let client = rig.connect(v5("a"));
    rig.subscribe(client, "t", Q1);
    let publisher = rig.connect(v5("p"));
    let mut sent = qos_1(9, "t", "");
    sent.delivery = sent.delivery.with_dup(true);
    rig.publish(publisher, sent);
    assert!(!rig.receive_publish(client).delivery.dup());
}

#[test]
fn message_expiry_interval_is_reduced_by_the_seconds_waited() {
    let mut rig = Rig::new();
    let client = rig.connect(lasting("a", 1000));
    rig.subscribe(client, "t", Q1);
    let publisher = rig.connect(v5("p"));
    rig.publish(publisher, qos_1(1, "t", "").with(MessageExpiryInterval(60)));
    assert_eq!(rig.receive_publish(client).properties.get(), Some(MessageExpiryInterval(60)));
    rig.cut(client);
    rig.publish(publisher, qos_1(1, "t", "long").with(MessageExpiryInterval(60)));
    rig.publish(publisher, qos_1(1, "t", "short").with(MessageExpiryInterval(9)));
    rig.pass(10.9);
    let client = rig.connect(lasting("a", 1000));
    // A message that was sent before is re-sent, and does not expire.
    let again = rig.receive_publish(client);
    assert_eq!(again.properties.get(), Some(MessageExpiryInterval(50)));
    let long = rig.receive_publish(client);
    assert_eq!(
        (long.payload.as_ref(), long.properties.get()),
        (&b"long"[..], Some(MessageExpiryInterval(50)))
    );
    rig.nothing(client);
}

#[test]
fn an_exchange_that_has_begun_does_not_expire() {
    let mut rig = Rig::new();
    let client = rig.connect(lasting("a", 1000));
    rig.subscribe(client, "t", Q2);
    let publisher = rig.connect(v5("p"));
    rig.publish(publisher, qos_2(1, "t", "sent").with(MessageExpiryInterval(5)));
    rig.publish(publisher, qos_2(1, "t", "past PUBREC").with(MessageExpiryInterval(5)));
    let [sent, received] = [rig.receive_publish(client), rig.receive_publish(client)];
    let received = received.delivery.packet_identifier().unwrap();
    rig.send(client, PubRec::success(received));
    rig.all(client);
    rig.cut(client);
    rig.pass(100.0);
    rig.restart();
    let client = rig.connect(lasting("a", 1000));
    assert_eq!(rig.receive(client), PubRel::success(received).into());
    let again = rig.receive_publish(client);
    assert_eq!(
        (again.delivery, again.properties.get()),
        (sent.delivery.with_dup(true), Some(MessageExpiryInterval(0)))
    );
}

#[test]
fn message_that_expires_while_the_window_is_full_is_deleted() {
    let mut rig = Rig::new();
    let client = rig.connect(v5("a").with(ReceiveMaximum(NonZeroU16::MIN)));
    rig.subscribe(client, "t", Q1);
    let publisher = rig.connect(v5("p"));
    rig.publish(publisher, qos_1(1, "t", "1"));
    rig.publish(publisher, qos_1(1, "t", "2").with(MessageExpiryInterval(5)));
    rig.publish(publisher, qos_1(1, "t", "3"));
    let first = rig.receive_publish(client);
    rig.pass(5.0);
    rig.send(client, PubAck::success(first.delivery.packet_identifier().unwrap()));
    assert_eq!(rig.payloads(client), ["3"]);
}

#[test]
fn message_expiry_interval_0_reaches_those_who_can_have_it_at_once() {
    let mut rig = Rig::new();
    let there = rig.connect(v5("a"));
    rig.subscribe(there, "t", Q1);
    let away = rig.connect(lasting("b", 100));
    rig.subscribe(away, "t", Q1);
    rig.cut(away);
    let publisher = rig.connect(v5("p"));
    rig.publish(publisher, qos_1(1, "t", "now").with(MessageExpiryInterval(0)));
    assert_eq!(rig.payloads(there), ["now"]);
    rig.pass(0.1);
    let away = rig.connect(lasting("b", 100));
    rig.nothing(away);
}

#[test]
fn capabilities_that_connack_denied_end_the_network_connection() {
    let mut rig = Rig::with("maximum_qos=1 retain_available=no");
    let client = rig.connect(v5("a"));
    rig.send(client, qos_2(1, "t", ""));
    rig.disconnected(client, DisconnectReason::QoSNotSupported);
    let client = rig.connect(v5("a"));
    rig.send(client, publish("t", "").retained());
    rig.disconnected(client, DisconnectReason::RetainNotSupported);
    // 3.1.1 cannot report it: the message is published and not retained.
    let client = rig.connect(v311("a", true));
    rig.subscribe(client, "t", Q0);
    rig.publish(client, publish("t", "x").retained());
    assert_eq!(rig.payloads(client), ["x"]);
    rig.subscribe(client, "t", Q0);
    rig.nothing(client);
    // Every requested QoS is accepted, and lowered.
    rig.send(client, Subscribe::new(id(1), filter("t", Q2)));
    assert_eq!(rig.receive(client), SubAck::new(id(1), SubAckReason::GrantedQoS1).into());
}

#[test]
fn dollar_topics_are_refused_or_accepted_as_the_option_says() {
    let mut rig = Rig::new();
    let client = rig.connect(v5("a"));
    rig.send(client, qos_1(1, "$SYS/x", ""));
    assert!(
        matches!(rig.receive(client), Packet::PubAck(puback) if puback.reason == PubAckReason::NotAuthorized)
    );
    rig.send(client, publish("$SYS/x", ""));
    rig.nothing(client);

    let mut rig = Rig::with("dollar_topics=accept");
    let client = rig.connect(v5("a"));
    rig.subscribe(client, "#", Q0);
    rig.subscribe(client, "+/x", Q0);
    rig.publish(client, publish("$SYS/x", "hidden"));
    rig.nothing(client);
    rig.subscribe(client, "$SYS/#", Q0);
    rig.publish(client, publish("$SYS/x", "seen"));
    assert_eq!(rig.payloads(client), ["seen"]);
}

#[test]
fn payloads_are_held_against_their_format_if_the_option_says_so() {
    let mut rig = Rig::with("check_payload_format=yes");
    let client = rig.connect(v5("a"));
    let bad = |mut publish: Publish| {
        publish.payload = bytes::Bytes::from_static(&[0xff]);
        publish.with(PayloadFormatIndicator::Utf8)
    };
    rig.send(client, bad(qos_1(1, "t", "")));
    let Packet::PubAck(puback) = rig.receive(client) else { panic!("PUBACK expected") };
    assert_eq!(puback.reason, PubAckReason::PayloadFormatInvalid);
    rig.send(client, bad(publish("t", "")));
    rig.disconnected(client, DisconnectReason::PayloadFormatInvalid);
}

#[test]
fn messages_of_one_publisher_arrive_in_order() {
    let mut rig = Rig::new();
    let client = rig.connect(v5("a"));
    rig.subscribe(client, "t", Q2);
    rig.subscribe(client, "+", Q2);
    let publisher = rig.connect(v5("p"));
    for number in 0..50 {
        let payload = number.to_string();
        rig.publish(publisher, qos_2(1, "t", &payload));
    }
    let order = rig.payloads(client);
    assert_eq!(order, (0..50).map(|number| number.to_string()).collect::<Vec<_>>());
}
