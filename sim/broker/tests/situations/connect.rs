use std::num::{NonZeroU16, NonZeroU32};

use mqttspec_codec::*;

use crate::rig::*;

#[test]
fn first_packet_that_is_no_connect_closes_in_silence() {
    for packet in [Packet::PingReq, publish("a", "").into(), Disconnect::normal().into()] {
        let mut rig = Rig::new();
        let client = rig.open();
        rig.send(client, packet);
        rig.closed_in_silence(client);
    }
}

#[test]
fn second_connect_is_a_protocol_error() {
    let mut rig = Rig::new();
    let client = rig.connect(v5("a"));
    rig.send(client, v5("a"));
    rig.disconnected(client, DisconnectReason::ProtocolError);

    let client = rig.connect(v311("a", true));
    rig.send(client, v311("a", true));
    rig.closed_in_silence(client);
}

#[test]
fn no_connect_in_time_closes() {
    let mut rig = Rig::with("connect_timeout=3s");
    let silent = rig.open();
    let quick = rig.connect(v5("a"));
    rig.pass(2.9);
    assert!(!rig.is_closed(silent));
    rig.pass(0.2);
    rig.closed_in_silence(silent);
    rig.nothing(quick);
}

#[test]
fn connack_announces_what_differs_from_the_defaults() {
    let (_, connack) = Rig::with("topic_alias_maximum=0").try_connect(v5("a"));
    assert!(connack.properties.is_empty());

    let mut rig = Rig::with(
        "receive_maximum=5 maximum_qos=1 retain_available=0 maximum_packet_size=1000 topic_alias_maximum=3 \
         wildcard_subscription_available=0 subscription_identifier_available=0 shared_subscription_available=0 \
         server_keep_alive=7 session_expiry_maximum=60",
    );
    let (_, connack) = rig.try_connect(lasting("a", 100));
    let expected: Vec<Property> = vec![
        SessionExpiryInterval(60).into(),
        ReceiveMaximum(NonZeroU16::new(5).unwrap()).into(),
        MaximumQoS::AtLeastOnce.into(),
        RetainAvailable(false).into(),
        MaximumPacketSize(NonZeroU32::new(1000).unwrap()).into(),
        TopicAliasMaximum(3).into(),
        WildcardSubscriptionAvailable(false).into(),
        SubscriptionIdentifierAvailable(false).into(),
        SharedSubscriptionAvailable(false).into(),
        ServerKeepAlive(7).into(),
    ];
    assert_eq!(connack.properties.iter().collect::<Vec<_>>(), expected);
    let (_, connack) = rig.try_connect(v311("b", true));
    assert!(connack.properties.is_empty());
}

#[test]
fn client_id_of_zero_bytes_is_assigned() {
    let mut rig = Rig::new();
    let (one, connack) = rig.try_connect(lasting("", 100));
    let AssignedClientIdentifier(first) = connack.properties.get().expect("Assigned Client Identifier");
    let (_, connack) = rig.try_connect(v5(""));
    let AssignedClientIdentifier(second) = connack.properties.get().expect("Assigned Client Identifier");
    assert_ne!(first, second);
    rig.cut(one);
    // The Client resumes with the assigned ClientID, and is not assigned one again.
    let (_, connack) = rig.try_connect(Connect { client_id: first, ..lasting("", 100) });
    assert!(connack.session_present && !connack.properties.contains::<AssignedClientIdentifier>());
    // 3.1.1 cannot report it, and allows it with Clean Session 1 only.
    rig.connect(v311("", true));
    let (client, connack) = rig.answer_to(v311("", false));
    assert_eq!(connack.reason, ConnectReason::ClientIdentifierNotValid);
    rig.closed_in_silence(client);
}

#[test]
fn client_ids_that_the_options_refuse() {
    let mut rig =
        Rig::with("client_id_characters=alphanumeric client_id_maximum_length=2 assign_client_id=no");
    // [MQTT-3.1.3-5] a Server must allow these
    rig.connect(v5("abcdefghijklmnopqrstuvw"));
    for connect in [v5("a-b"), v5("abcdefghijklmnopqrstuvwx"), v5(""), v311("a-b", true)] {
        let (client, connack) = rig.answer_to(connect);
        assert_eq!(connack.reason, ConnectReason::ClientIdentifierNotValid);
        rig.closed_in_silence(client);
    }
}

#[test]
fn mqtt_3_1_is_served_without_session_present() {
    let mut rig = Rig::new();
    let old = Connect { version: V3_1, ..v311("a", false) };
    let client = rig.connect(old.clone());
    rig.subscribe(client, "t", Q1);
    rig.cut(client);
    let publisher = rig.connect(v5("p"));
    rig.publish(publisher, qos_1(1, "t", "kept"));
    let (client, connack) = rig.try_connect(old);
    assert!(!connack.session_present, "3.1 has no such flag");
    assert_eq!(rig.receive_publish(client).payload, "kept");
    let (client, connack) =
        rig.answer_to(Connect { version: V3_1, ..v311("abcdefghijklmnopqrstuvwx", true) });
    assert_eq!(connack.reason, ConnectReason::ClientIdentifierNotValid);
    rig.closed_in_silence(client);
}

#[test]
fn versions_that_the_options_refuse() {
    let mut rig = Rig::with("versions=5.0");
    let (client, connack) = rig.answer_to(v311("a", true));
    assert_eq!(connack.reason, ConnectReason::UnsupportedProtocolVersion);
    rig.closed_in_silence(client);
    let mut rig = Rig::with("versions=3.1.1");
    let (client, connack) = rig.answer_to(v5("a"));
    assert_eq!(connack.reason, ConnectReason::UnsupportedProtocolVersion);
    rig.closed_in_silence(client);
}

#[test]
fn take_over_ends_the_older_network_connection() {
    let mut rig = Rig::new();
    let old = rig.connect(lasting("a", 100));
    rig.subscribe(old, "t", Q1);
    let (new, connack) = rig.try_connect(lasting("a", 100));
    assert!(connack.session_present);
    rig.disconnected(old, DisconnectReason::SessionTakenOver);
    rig.publish(new, qos_1(1, "t", "here"));
    assert_eq!(rig.receive_publish(new).payload, "here");
    // The end of the old Network Connection, which the driver reports late, does not affect the new
    // one.
    rig.cut(old);
    rig.nothing(new);

    let old = rig.connect(v311("b", true));
    let (_, connack) = rig.try_connect(v311("b", false));
    rig.closed_in_silence(old);
    assert!(!connack.session_present, "the Session with Clean Session 1 ended with its Network Connection");
}

#[test]
fn refused_connect_leaves_the_older_network_connection_alone() {
    let mut rig = Rig::with_options([("users", "user u password right"), ("allow_anonymous", "no")]);
    let credentials = |password: &'static str| Connect {
        user_name: Some(Utf8String::from_static("u")),
        password: Some(BinaryData::from_static(password.as_bytes())),
        ..v5("a")
    };
    let old = rig.connect(credentials("right"));
    let (intruder, connack) = rig.answer_to(credentials("wrong"));
    assert_eq!(connack.reason, ConnectReason::BadUserNameOrPassword);
    rig.closed_in_silence(intruder);
    rig.nothing(old);
}

#[test]
fn packets_behind_a_refused_connect_are_not_processed() {
    let mut rig = Rig::with("client_id_characters=alphanumeric");
    let witness = rig.connect(v5("w"));
    rig.subscribe(witness, "#", Q1);
    let client = rig.open();
    rig.send(client, v5("not allowed"));
    rig.send(client, publish("t", "x"));
    rig.send(client, v5("a"));
    assert_eq!(rig.all(client).len(), 1);
    rig.nothing(witness);
}

#[test]
fn wills_that_the_server_cannot_serve_are_refused() {
    let mut rig = Rig::with("maximum_qos=0 retain_available=0");
    let with = |will| Connect { will: Some(will), ..v5("a") };
    let (client, connack) = rig.answer_to(with(Will { qos: Q1, ..will("w", "") }));
    assert_eq!(connack.reason, ConnectReason::QoSNotSupported);
    rig.closed_in_silence(client);
    let (client, connack) = rig.answer_to(with(Will { retain: true, ..will("w", "") }));
    assert_eq!(connack.reason, ConnectReason::RetainNotSupported);
    rig.closed_in_silence(client);
    // 3.1.1/[MQTT-3.2.2-6] there is no return code for it
    let client = rig.open();
    rig.send(client, Connect { will: Some(Will { qos: Q1, ..will("w", "") }), ..v311("a", true) });
    rig.closed_in_silence(client);
}

#[test]
fn clients_are_sent_to_another_server() {
    let mut rig = Rig::with("redirect=server_moved server_reference=other:1883");
    let (client, connack) = rig.answer_to(v5("a"));
    assert_eq!(connack.reason, ConnectReason::ServerMoved);
    assert_eq!(connack.properties.get(), Some(ServerReference(Utf8String::from_static("other:1883"))));
    rig.closed_in_silence(client);
    let (_, connack) = rig.answer_to(v311("a", true));
    assert_eq!(connack.reason, ConnectReason::ServerUnavailable);
}

#[test]
fn response_information_is_given_on_request_only() {
    let mut rig = Rig::with("response_information=replies/");
    let (_, connack) = rig.try_connect(v5("a"));
    assert!(!connack.properties.contains::<ResponseInformation>());
    let (_, connack) = rig.try_connect(v5("b").with(RequestResponseInformation(true)));
    assert_eq!(connack.properties.get(), Some(ResponseInformation(Utf8String::from_static("replies/"))));
}

#[test]
fn malformed_packets_are_answered_as_their_moment_allows() {
    let mut rig = Rig::new();
    // CONNECT with its reserved flag set: 5.0 answers with CONNACK, 3.1.1 closes.
    for (level, told) in [(5, true), (4, false)] {
        let frame = [0x10, 12 + u8::from(told), 0, 4, b'M', b'Q', b'T', b'T', level, 0x03, 0, 0, 0, 0, 0];
        let frame = bytes::Bytes::copy_from_slice(&frame[..usize::from(frame[1]) + 2]);
        let fault = decode(&frame, V5).unwrap_err();
        let client = rig.open();
        rig.broker.handle_malformed(rig.now, client.0, &fault);
        rig.drive();
        if told {
            let connack = rig.receive(client);
            assert!(
                matches!(connack, Packet::ConnAck(connack) if connack.reason == ConnectReason::MalformedPacket)
            );
        }
        rig.closed_in_silence(client);
    }
    // PUBLISH with both QoS bits set
    let frame = bytes::Bytes::from_static(&[0x36, 5, 0, 1, b'a', 0, 1]);
    let client = rig.connect(v5("a"));
    rig.broker.handle_malformed(rig.now, client.0, &decode(&frame, V5).unwrap_err());
    rig.drive();
    rig.disconnected(client, DisconnectReason::MalformedPacket);
    let client = rig.connect(v311("a", true));
    rig.broker.handle_malformed(rig.now, client.0, &decode(&frame, V3_1_1).unwrap_err());
    rig.drive();
    rig.closed_in_silence(client);
    // Before CONNECT there is no answer.
    let client = rig.open();
    rig.broker.handle_malformed(rig.now, client.0, &decode(&frame, V5).unwrap_err());
    rig.drive();
    rig.closed_in_silence(client);
}
