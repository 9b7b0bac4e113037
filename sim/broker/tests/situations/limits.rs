use std::num::NonZeroU32;

use mqttspec_codec::*;

use crate::rig::*;

fn at_most(connect: Connect, bytes: u32) -> Connect {
    connect.with(MaximumPacketSize(NonZeroU32::new(bytes).unwrap()))
}

#[test]
fn message_too_large_for_the_client_counts_as_sent() {
    let mut rig = Rig::new();
    let small = || at_most(lasting("a", 100), 40);
    let client = rig.connect(lasting("a", 100));
    rig.subscribe(client, "t", Q2);
    let publisher = rig.connect(v5("p"));
    rig.publish(publisher, qos_1(1, "t", &"in flight ".repeat(10)));
    rig.all(client);
    let client = rig.connect(small());
    rig.publish(publisher, qos_1(1, "t", &"waits ".repeat(10)));
    rig.publish(publisher, publish("t", &"QoS 0 ".repeat(10)));
    rig.publish(publisher, qos_1(1, "t", "fits"));
    let copy = rig.receive_publish(client);
    assert_eq!(copy.payload, "fits");
    rig.send(client, PubAck::success(copy.delivery.packet_identifier().unwrap()));
    rig.nothing(client);
    // The others are gone.
    let client = rig.connect(lasting("a", 100));
    rig.nothing(client);
}

#[test]
fn reason_strings_give_way_to_the_maximum_packet_size() {
    let mut rig = Rig::with("dollar_topics=refuse");
    let client = rig.connect(at_most(v5("a"), 20));
    rig.send(client, qos_1(1, "$a", ""));
    assert_eq!(rig.receive(client), PubAck::new(id(1), PubAckReason::NotAuthorized).into());
    rig.send(client, v5("a"));
    assert_eq!(rig.receive(client), Disconnect::new(DisconnectReason::ProtocolError).into());
}

#[test]
fn answer_that_may_not_be_sent_ends_the_network_connection() {
    let mut rig = Rig::new();
    let client = rig.connect(at_most(v5("a"), 10));
    let filters: Vec<_> = (0..20).map(|_| filter("a", Q0)).collect();
    rig.send(client, Subscribe::new(id(1), NonEmpty::try_from(filters).unwrap()));
    rig.disconnected(client, DisconnectReason::PacketTooLarge);
    // Even CONNACK may be too large.
    let client = rig.open();
    rig.send(client, at_most(v5("b"), 4));
    rig.closed_in_silence(client);
}

/// A CONNECT of 5.0 whose only property is this Maximum Packet Size.
fn connect_bytes(maximum: u8) -> Vec<u8> {
    [&[0x10, 19, 0, 4], &b"MQTT"[..], &[5, 0x02, 0, 60, 5, 0x27, 0, 0, 0, maximum, 0, 1, b'a']].concat()
}

#[test]
fn connack_leaves_out_what_is_optional_until_it_fits() {
    // The shortest CONNACK has five bytes, and Topic Alias Maximum three.
    for (maximum, connack) in [
        (8, &[0x20, 0x06, 0x00, 0x00, 0x03, 0x22, 0x00, 0x0A][..]),
        (7, &[0x20, 0x03, 0x00, 0x00, 0x00]),
        (6, &[0x20, 0x03, 0x00, 0x00, 0x00]),
        (5, &[0x20, 0x03, 0x00, 0x00, 0x00]),
    ] {
        let mut rig = Rig::new();
        let client = rig.open();
        rig.write(client, &connect_bytes(maximum));
        assert_eq!(rig.read(client), connack, "{maximum} bytes");
        rig.write(client, &[0xC0, 0x00]);
        assert_eq!(rig.read(client), [0xD0, 0x00]);
    }
    let mut rig = Rig::new();
    let client = rig.open();
    rig.write(client, &connect_bytes(4));
    assert!(rig.read(client).is_empty());
    assert!(rig.is_closed(client));
}

#[test]
fn connect_that_is_too_large_is_refused_without_a_reason_string() {
    // Its Maximum Packet Size is not read, so the answer is as short as it can be.
    let mut rig = Rig::with("maximum_packet_size=20");
    let client = rig.open();
    rig.write(client, &connect_bytes(6));
    assert_eq!(rig.read(client), [0x20, 0x03, 0x00, 0x95, 0x00]);
    assert!(rig.is_closed(client));
}

#[test]
fn topic_alias_maximum_that_is_left_out_is_0() {
    let mut rig = Rig::new();
    let client = rig.open();
    rig.write(client, &connect_bytes(7));
    rig.read(client);
    // PUBLISH to `t` with Topic Alias 1
    rig.write(client, &[0x30, 0x07, 0x00, 0x01, b't', 0x03, 0x23, 0x00, 0x01]);
    assert_eq!(rig.read(client), [0xE0, 0x01, 0x94]);
    assert!(rig.is_closed(client));
}

#[test]
fn response_information_goes_before_topic_alias_maximum() {
    let mut rig = Rig::with("response_information=replies/");
    let asking = |name, bytes| at_most(v5(name).with(RequestResponseInformation(true)), bytes);
    let (_, connack) = rig.try_connect(asking("a", 19));
    assert!(connack.properties.contains::<ResponseInformation>());
    assert!(connack.properties.contains::<TopicAliasMaximum>());
    let (_, connack) = rig.try_connect(asking("b", 18));
    assert_eq!(connack.properties.iter().collect::<Vec<_>>(), [TopicAliasMaximum(10).into()]);
    let (_, connack) = rig.try_connect(asking("c", 7));
    assert!(connack.properties.is_empty());
}

#[test]
fn what_a_connack_must_say_is_not_left_out() {
    // The Client must learn its assigned ClientID, and what the Server does not support.
    for (options, connect) in [
        ("", at_most(v5(""), 12)),
        ("maximum_qos=1", at_most(v5("a"), 6)),
        ("retain_available=no", at_most(v5("a"), 6)),
        ("server_keep_alive=7", at_most(v5("a"), 7)),
        ("receive_maximum=7", at_most(v5("a"), 7)),
        ("session_expiry_maximum=60", at_most(lasting("a", 100), 9)),
    ] {
        let mut rig = Rig::with(options);
        let client = rig.open();
        rig.send(client, connect);
        rig.closed_in_silence(client);
    }
}

#[test]
fn refusals_leave_out_what_is_optional_until_they_fit() {
    let mut rig = Rig::with("redirect=server_moved server_reference=other:1883");
    let (client, connack) = rig.answer_to(at_most(v5("a"), 5));
    assert_eq!(connack, ConnAck::refused(ConnectReason::ServerMoved));
    rig.closed_in_silence(client);
    let mut rig = Rig::with("client_id_characters=alphanumeric");
    let (_, connack) = rig.answer_to(at_most(v5("a-b"), 5));
    assert_eq!(connack, ConnAck::refused(ConnectReason::ClientIdentifierNotValid));
}

#[test]
fn disconnect_leaves_out_what_is_optional_until_it_fits() {
    let mut rig = Rig::new();
    let client = rig.connect(at_most(v5("a"), 8));
    let reference = Utf8String::from_static("other:1883");
    let redirect = mqttspec_broker::Redirect::UseAnotherServer;
    rig.broker.handle_redirect(rig.now, redirect, Some(reference));
    rig.drive();
    assert_eq!(rig.read(client), [0xE0, 0x01, 0x9C]);
    assert!(rig.is_closed(client));
}

#[test]
fn every_acknowledgement_is_sent_without_its_reason_string_if_need_be() {
    let mut rig = Rig::with("wildcard_subscription_available=yes maximum_subscriptions=1");
    let client = rig.connect(at_most(v5("a"), 8));
    // PUBLISH of QoS 1 and 2 to `$`: Not authorized
    rig.write(client, &[0x32, 0x06, 0x00, 0x01, b'$', 0x00, 0x01, 0x00]);
    assert_eq!(rig.read(client), [0x40, 0x03, 0x00, 0x01, 0x87]);
    rig.write(client, &[0x34, 0x06, 0x00, 0x01, b'$', 0x00, 0x02, 0x00]);
    assert_eq!(rig.read(client), [0x50, 0x03, 0x00, 0x02, 0x87]);
    // PUBREL and PUBREC with an unknown identifier: Packet Identifier not found
    rig.write(client, &[0x62, 0x02, 0x00, 0x03]);
    assert_eq!(rig.read(client), [0x70, 0x03, 0x00, 0x03, 0x92]);
    rig.write(client, &[0x50, 0x02, 0x00, 0x04]);
    assert_eq!(rig.read(client), [0x62, 0x03, 0x00, 0x04, 0x92]);
    // Two Subscriptions where one is allowed: Quota exceeded
    rig.write(client, &[0x82, 0x0B, 0x00, 0x05, 0x00, 0x00, 0x01, b'a', 0x00, 0x00, 0x01, b'b', 0x00]);
    assert_eq!(rig.read(client), [0x90, 0x05, 0x00, 0x05, 0x00, 0x00, 0x97]);
    rig.write(client, &[0xA2, 0x06, 0x00, 0x06, 0x00, 0x00, 0x01, b'b']);
    assert_eq!(rig.read(client), [0xB0, 0x04, 0x00, 0x06, 0x00, 0x11]);
}

#[test]
fn topic_alias_does_not_make_a_message_too_large() {
    let mut rig = Rig::new();
    let client = rig.connect(at_most(v5("a"), 12).with(TopicAliasMaximum(1)));
    rig.subscribe(client, "t", Q0);
    let publisher = rig.connect(v5("p"));
    // The first message sets the alias. In the second one, the alias is longer than the topic.
    rig.publish(publisher, publish("t", "abc"));
    assert_eq!(rig.read(client), b"\x30\x0A\x00\x01t\x03\x23\x00\x01abc");
    rig.publish(publisher, publish("t", "abcdef"));
    assert_eq!(rig.read(client), b"\x30\x0A\x00\x01t\x00abcdef");
    // A message that is small enough only because of the alias.
    let client = rig.connect(at_most(v5("b"), 20).with(TopicAliasMaximum(1)));
    rig.subscribe(client, "topic/name", Q0);
    rig.publish(publisher, publish("topic/name", "x"));
    rig.read(client);
    rig.publish(publisher, publish("topic/name", "abcdefgh"));
    assert_eq!(rig.read(client), b"\x30\x0E\x00\x00\x03\x23\x00\x01abcdefgh");
}

#[test]
fn request_problem_information_0_silences_all_but_connack_and_disconnect() {
    let mut rig = Rig::new();
    let client = rig.connect(v5("a").with(RequestProblemInformation(false)));
    rig.send(client, qos_1(1, "$a", ""));
    assert_eq!(rig.receive(client), PubAck::new(id(1), PubAckReason::NotAuthorized).into());
    rig.send(client, PubRel::success(id(5)));
    assert_eq!(rig.receive(client), PubComp::new(id(5), PubRelReason::PacketIdentifierNotFound).into());
    rig.send(client, PubRec::success(id(5)));
    assert_eq!(rig.receive(client), PubRel::new(id(5), PubRelReason::PacketIdentifierNotFound).into());
    // A message keeps its User Properties.
    rig.subscribe(client, "t", Q0);
    rig.publish(client, publish("t", "").with(UserProperty::from_static("a", "b")));
    assert!(rig.receive_publish(client).properties.contains::<UserProperty>());
    rig.send(client, v5("a"));
    let Packet::Disconnect(disconnect) = rig.receive(client) else { panic!("DISCONNECT expected") };
    assert!(disconnect.properties.contains::<ReasonString>());
}

#[test]
fn reason_strings_can_be_turned_off() {
    let mut rig = Rig::with("reason_strings=off");
    let client = rig.connect(v5("a"));
    rig.send(client, v5("a"));
    assert_eq!(rig.receive(client), Disconnect::new(DisconnectReason::ProtocolError).into());
}

#[test]
fn more_connections_than_the_server_takes() {
    let mut rig = Rig::with("maximum_connections=1");
    let first = rig.connect(v5("a"));
    let (second, connack) = rig.answer_to(v5("b"));
    assert_eq!(connack.reason, ConnectReason::ServerBusy);
    rig.closed_in_silence(second);
    let (_, connack) = rig.answer_to(v311("b", true));
    assert_eq!(connack.reason, ConnectReason::ServerUnavailable);
    rig.disconnect(first);
    rig.connect(v5("b"));
}

#[test]
fn more_connections_than_the_server_takes_go_to_another_one_if_it_knows_one() {
    let mut rig = Rig::with("maximum_connections=1 server_reference=other:1884");
    rig.connect(v5("a"));
    let (_, connack) = rig.answer_to(v5("b"));
    assert_eq!(connack.reason, ConnectReason::UseAnotherServer);
    let reference = connack.properties.get().map(|ServerReference(server)| server);
    assert_eq!(reference.as_deref().map(AsRef::as_ref), Some("other:1884"));
    let (_, connack) = rig.answer_to(v311("b", true));
    assert_eq!(connack.reason, ConnectReason::ServerUnavailable);
}

#[test]
fn more_subscriptions_than_the_server_takes() {
    let mut rig = Rig::with("maximum_subscriptions=2");
    let client = rig.connect(v5("a"));
    rig.send(
        client,
        Subscribe::new(id(1), [filter("a", Q0), filter("b", Q0), filter("c", Q0), filter("a", Q1)]),
    );
    let Packet::SubAck(suback) = rig.receive(client) else { panic!("SUBACK expected") };
    let expected = [
        SubAckReason::GrantedQoS0,
        SubAckReason::GrantedQoS0,
        SubAckReason::QuotaExceeded,
        SubAckReason::GrantedQoS1,
    ];
    assert_eq!(&*suback.reasons, expected);
}

#[test]
fn packets_for_a_network_connection_that_has_ended_are_ignored() {
    let mut rig = Rig::new();
    let client = rig.connect(v5("a"));
    rig.disconnect(client);
    rig.send(client, publish("t", ""));
    rig.broker.handle_closed(rig.now, client.0);
    rig.broker.handle_congestion(rig.now, client.0, true);
    rig.drive();
    rig.closed_in_silence(client);
}
