//! CONNECT and CONNACK (§3.1, §3.2), and packets that the Server must not send.

use mqttspec_client::{
    Awaited, Command, Error, ErrorKind, Event, Invalid, Options, State, Transmit, Violation,
};
use mqttspec_codec::{
    AuthenticationMethod, BinaryData, ConnAck, ConnectReason, Decoder, Disconnect, DisconnectReason, Packet,
    PayloadFormatIndicator, QoS, ReasonString, ReceiveMaximum, ResponseTopic, Role, ServerKeepAlive,
    ServerReference, SessionExpiryInterval, SubAck, SubAckReason, TopicName, UserProperty, Utf8String,
    Version, WillDelayInterval,
};

use crate::bench::{Bench, options, puback, seconds};

fn reason_of(packet: &Packet) -> DisconnectReason {
    match packet {
        Packet::Disconnect(disconnect) => disconnect.reason,
        other => panic!("DISCONNECT was expected, not {other:?}"),
    }
}

#[test]
fn connect_is_the_first_packet_and_nothing_follows_it_before_connack() {
    for version in Version::ALL {
        let mut bench = Bench::new(options(version));
        bench.publish("a", "1", QoS::AtMostOnce);
        bench.subscribe("a", QoS::AtMostOnce);
        bench.command(Command::Connect(None));
        assert_eq!(bench.transmits.pop_front(), Some(Transmit::Dial { server: None }));
        bench.silent();
        bench.network_up();
        let Packet::Connect(connect) = bench.sent() else { panic!("no CONNECT") };
        assert_eq!(connect.version, version);
        bench.publish("a", "2", QoS::AtMostOnce);
        bench.silent();
        bench.packet(ConnAck::accepted(false));
        assert!(matches!(bench.sent(), Packet::Subscribe(_)));
        assert_eq!(bench.sent_publish().payload, "1");
        assert_eq!(bench.sent_publish().payload, "2");
    }
}

#[test]
fn options_stand_in_connect() {
    let mut options = options(Version::V5);
    for (name, value) in [
        ("user_name", "ada"),
        ("password", "secret"),
        ("keep_alive", "20"),
        ("session_expiry", "77"),
        ("receive_maximum", "5"),
        ("user_property", "a=1"),
        ("user_property", "a=2"),
        ("will_topic", "gone"),
        ("will_payload", "bye"),
        ("will_qos", "2"),
        ("will_retain", "1"),
        ("will_delay", "9"),
        ("will_payload_is_text", "1"),
        ("will_response_topic", "re"),
    ] {
        options.set(name, value).unwrap();
    }
    let mut bench = Bench::new(options);
    bench.command(Command::Connect(None));
    let Packet::Connect(connect) = bench.accept(ConnAck::accepted(false)) else { unreachable!() };
    assert_eq!(connect.user_name, Some(Utf8String::from_static("ada")));
    assert_eq!(connect.password, Some(BinaryData::from_static(b"secret")));
    assert_eq!(connect.keep_alive, 20);
    assert_eq!(connect.properties.get(), Some(SessionExpiryInterval(77)));
    assert_eq!(connect.properties.get().map(|ReceiveMaximum(maximum)| maximum.get()), Some(5));
    let values: Vec<_> =
        connect.properties.get_all().map(|UserProperty { value, .. }| value.as_str().to_owned()).collect();
    assert_eq!(values, ["1", "2"]);
    let will = connect.will.unwrap();
    assert_eq!(
        (will.topic.as_str(), &*will.payload, will.qos, will.retain),
        ("gone", b"bye".as_slice(), QoS::ExactlyOnce, true)
    );
    assert_eq!(will.properties.get(), Some(WillDelayInterval(9)));
    assert_eq!(will.properties.get(), Some(PayloadFormatIndicator::Utf8));
    assert_eq!(will.properties.get(), Some(ResponseTopic(TopicName::from_static("re"))));
}

#[test]
fn a_3_1_1_connect_has_no_properties() {
    let options = Options { receive_maximum: std::num::NonZeroU16::MIN, ..options(Version::V3_1_1) };
    let mut bench = Bench::new(options);
    bench.command(Command::Connect(None));
    let Packet::Connect(connect) = bench.accept(ConnAck::accepted(false)) else { unreachable!() };
    assert!(connect.properties.is_empty());
    assert!(Packet::Connect(connect).encoded_len(Version::V3_1_1).is_ok());
}

#[test]
fn options_of_which_no_connect_can_be_made_are_refused() {
    let cases = [
        (
            Options { client_id: Utf8String::new(), ..options(Version::V3_1_1) },
            Invalid::EmptyClientIdentifier,
        ),
        (
            Options {
                client_id: Utf8String::from_static("twenty-four-characters-xx"),
                ..options(Version::V3_1)
            },
            Invalid::ClientIdentifierLength,
        ),
        (
            Options { password: Some(BinaryData::from_static(b"x")), ..options(Version::V3_1_1) },
            Invalid::PasswordWithoutUserName,
        ),
        (
            Options {
                will_topic: Some(TopicName::from_static("w")),
                will_payload: BinaryData::from_static(b"\xff"),
                will_payload_is_text: true,
                ..options(Version::V5)
            },
            Invalid::PayloadFormat,
        ),
    ];
    for (options, invalid) in cases {
        let mut bench = Bench::new(options);
        let handle = bench.command(Command::Connect(None));
        assert_eq!(bench.event(), Event::Failed { handle, error: Error::Invalid(invalid) });
        bench.silent();
    }
}

#[test]
fn the_connect_command_ends_in_connected() {
    let mut bench = Bench::new(options(Version::V5));
    let handle = bench.command(Command::Connect(None));
    assert_eq!(bench.client.state(), State::Connecting);
    bench.accept(ConnAck::accepted(false));
    assert_eq!(bench.client.state(), State::Connected);
    assert_eq!(bench.event(), Event::Connecting { attempt: 1 });
    let Event::Connected { handle: connected, session_present, client_id, .. } = bench.event() else {
        panic!()
    };
    assert_eq!((connected, session_present, client_id.as_str()), (Some(handle), false, "device"));
    let again = bench.command(Command::Connect(None));
    assert_eq!(bench.event(), Event::Failed { handle: again, error: Error::AlreadyConnected });
}

#[test]
fn a_refusal_for_good_ends_the_command_and_a_passing_one_is_tried_again() {
    let mut bench = Bench::new(options(Version::V5));
    let handle = bench.command(Command::Connect(None));
    bench.accept(ConnAck::refused(ConnectReason::BadUserNameOrPassword));
    assert_eq!(bench.transmits.pop_front(), Some(Transmit::Close));
    assert_eq!(bench.client.state(), State::Failed);
    let error =
        Error::Refused { reason: ConnectReason::BadUserNameOrPassword, explanation: None, server: None };
    assert!(bench.events.contains(&Event::Failed { handle, error: error.clone() }));
    assert!(bench.events.contains(&Event::GaveUp { error }));
    assert_eq!(bench.client.statistics().errors(ErrorKind::Authentication), 1);
    assert_eq!(bench.client.poll_timeout(), None);

    let mut bench = Bench::new(options(Version::V3_1_1));
    bench.command(Command::Connect(None));
    bench.accept(ConnAck::refused(ConnectReason::ServerUnavailable));
    assert_eq!(bench.client.state(), State::Reconnecting);
    assert_eq!(bench.transmits.pop_front(), Some(Transmit::Close));
    bench.run_to_deadline();
    bench.accept(ConnAck::accepted(false));
}

#[test]
fn a_missing_connack_ends_the_attempt() {
    let mut bench = Bench::new(options(Version::V5));
    bench.command(Command::Connect(None));
    bench.transmits.clear();
    bench.network_up();
    bench.quiet();
    assert_eq!(bench.run_to_deadline(), seconds(10));
    assert_eq!(bench.transmits.pop_front(), Some(Transmit::Close));
    assert_eq!(bench.event(), Event::AttemptFailed { error: Error::TimedOut(Awaited::ConnAck) });
}

#[test]
fn a_network_connection_that_does_not_come_ends_the_attempt() {
    let mut bench = Bench::new(options(Version::V5));
    bench.command(Command::Connect(None));
    bench.quiet();
    assert_eq!(bench.run_to_deadline(), seconds(10));
    assert_eq!(bench.transmits.pop_front(), Some(Transmit::Close));
    assert_eq!(bench.event(), Event::AttemptFailed { error: Error::TimedOut(Awaited::NetworkConnection) });
    bench.network_up();
    bench.silent();
}

#[test]
fn another_packet_before_connack_is_a_protocol_error() {
    for version in [Version::V3_1_1, Version::V5] {
        let mut bench = Bench::new(options(version));
        bench.command(Command::Connect(None));
        bench.transmits.clear();
        bench.network_up();
        bench.quiet();
        bench.packet(puback(1));
        if version.is_5() {
            assert_eq!(reason_of(&bench.sent()), DisconnectReason::ProtocolError);
        }
        assert_eq!(bench.transmits.pop_front(), Some(Transmit::Close));
        bench.silent();
    }
}

#[test]
fn packets_that_do_not_fit_are_answered_and_the_connection_closed() {
    let cases: Vec<(Packet, Violation)> = vec![
        (ConnAck::accepted(false).into(), Violation::SecondConnAck),
        (Packet::PingReq, Violation::WrongSender(mqttspec_codec::PacketType::PingReq)),
        (
            mqttspec_codec::Auth::new(
                mqttspec_codec::AuthReason::ContinueAuthentication,
                AuthenticationMethod(Utf8String::from_static("X")),
            )
            .into(),
            Violation::AuthUnexpected,
        ),
    ];
    for (packet, violation) in cases {
        let mut bench = Bench::connected(Version::V5);
        bench.packet(packet);
        assert_eq!(reason_of(&bench.sent()), DisconnectReason::ProtocolError);
        assert_eq!(bench.transmits.pop_front(), Some(Transmit::Close));
        let Event::Disconnected { error, .. } = bench.event() else { panic!("not disconnected") };
        assert_eq!(error, Some(Error::Violation(violation)));
        bench.publish("a", "1", QoS::AtMostOnce);
        bench.silent();
    }
}

#[test]
fn bytes_that_are_no_packet_are_answered_in_5_0_and_closed_in_3_1_1() {
    for version in [Version::V3_1_1, Version::V5] {
        let mut decoder = Decoder::new(Role::Client);
        decoder.set_version(version);
        // PUBREL with reserved flags 0000
        let mut bytes = bytes::BytesMut::from(&[0x60, 0x02, 0x00, 0x01][..]);
        let error = decoder.decode(&mut bytes).unwrap_err();
        let mut bench = Bench::connected(version);
        bench.client.handle_malformed(bench.now, &error);
        bench.packet(puback(1));
        if version.is_5() {
            assert_eq!(reason_of(&bench.sent()), DisconnectReason::MalformedPacket);
        }
        assert_eq!(bench.transmits.pop_front(), Some(Transmit::Close));
        bench.silent();
    }
}

#[test]
fn the_servers_disconnect_is_told_with_reason_and_properties() {
    let mut bench = Bench::connected(Version::V5);
    bench.packet(
        Disconnect::new(DisconnectReason::ServerShuttingDown)
            .with(ReasonString(Utf8String::from_static("back at noon")))
            .with(UserProperty { name: Utf8String::from_static("k"), value: Utf8String::from_static("v") }),
    );
    assert_eq!(bench.transmits.pop_front(), Some(Transmit::Close));
    let Event::Disconnected { error, properties, .. } = bench.event() else { panic!("not disconnected") };
    let explanation = Some("back at noon".to_owned());
    assert_eq!(
        error,
        Some(Error::DisconnectedByServer { reason: DisconnectReason::ServerShuttingDown, explanation })
    );
    assert_eq!(properties.user_properties().count(), 1);
    assert_eq!(bench.client.state(), State::Reconnecting);
}

#[test]
fn a_client_whose_session_was_taken_over_does_not_take_it_back() {
    let mut bench = Bench::connected(Version::V5);
    bench.packet(Disconnect::new(DisconnectReason::SessionTakenOver));
    assert_eq!(bench.client.state(), State::Failed);
    assert_eq!(bench.client.poll_timeout(), None);
}

#[test]
fn a_server_reference_is_followed_once_or_for_good() {
    for (reason, for_good) in [(ConnectReason::UseAnotherServer, false), (ConnectReason::ServerMoved, true)] {
        let mut bench = Bench::new(options(Version::V5));
        bench.command(Command::Connect(None));
        let there = Utf8String::from_static("b.example:1884 c.example");
        bench.accept(ConnAck::refused(reason).with(ServerReference(there)));
        bench.transmits.clear();
        bench.run_to_deadline();
        let dial = Some(Transmit::Dial { server: Some(Utf8String::from_static("b.example:1884")) });
        assert_eq!(bench.transmits.front(), dial.as_ref());
        bench.accept(ConnAck::accepted(false));
        bench.closed();
        bench.run_to_deadline();
        let expected = if for_good { dial } else { Some(Transmit::Dial { server: None }) };
        assert_eq!(bench.transmits.pop_front(), expected);
    }
}

#[test]
fn a_redirecting_disconnect_is_followed() {
    let mut bench = Bench::connected(Version::V5);
    let there = Utf8String::from_static("b.example");
    bench.packet(Disconnect::new(DisconnectReason::UseAnotherServer).with(ServerReference(there.clone())));
    bench.transmits.clear();
    bench.run_to_deadline();
    assert_eq!(bench.transmits.pop_front(), Some(Transmit::Dial { server: Some(there) }));
}

#[test]
fn a_client_without_name_needs_an_assigned_one() {
    let mut bench = Bench::new(Options { client_id: Utf8String::new(), ..options(Version::V5) });
    bench.command(Command::Connect(None));
    bench.accept(ConnAck::accepted(false));
    assert_eq!(reason_of(&bench.sent()), DisconnectReason::ProtocolError);
}

#[test]
fn disconnect_is_the_last_packet() {
    for version in [Version::V3_1_1, Version::V5] {
        let mut bench = Bench::connected(version);
        let handle = bench.command(Command::Disconnect(Default::default()));
        assert_eq!(bench.sent(), Disconnect::normal().into());
        assert_eq!(bench.transmits.pop_front(), Some(Transmit::Close));
        assert!(
            matches!(bench.event(), Event::Disconnected { handle: Some(h), error: None, .. } if h == handle)
        );
        bench.publish("a", "1", QoS::AtMostOnce);
        bench.packet(puback(1));
        bench.wait(seconds(1000));
        bench.silent();
        assert_eq!(bench.client.state(), State::Disconnected);
    }
}

#[test]
fn a_disconnect_that_a_client_may_not_send_is_refused() {
    let mut bench = Bench::connected_with(
        Options { session_expiry: 0, ..options(Version::V5) },
        ConnAck::accepted(false),
    );
    let mut request = mqttspec_client::DisconnectRequest::default();
    request.properties.set(SessionExpiryInterval(5));
    let handle = bench.command(Command::Disconnect(request));
    assert_eq!(bench.event(), Event::Failed { handle, error: Error::Invalid(Invalid::SessionExpiryRaised) });
    let request = mqttspec_client::DisconnectRequest {
        reason: DisconnectReason::ServerBusy,
        ..mqttspec_client::DisconnectRequest::default()
    };
    let handle = bench.command(Command::Disconnect(request));
    assert_eq!(bench.event(), Event::Failed { handle, error: Error::Invalid(Invalid::DisconnectReason) });
    bench.silent();
}

#[test]
fn problem_information_that_was_not_asked_for_is_a_protocol_error() {
    let options = Options { request_problem_information: false, ..options(Version::V5) };
    let mut bench = Bench::connected_with(options, ConnAck::accepted(false));
    bench.subscribe("a", QoS::AtMostOnce);
    bench.quiet();
    bench.packet(
        SubAck::new(crate::bench::id(1), [SubAckReason::GrantedQoS0])
            .with(ReasonString(Utf8String::from_static("so"))),
    );
    assert_eq!(reason_of(&bench.sent()), DisconnectReason::ProtocolError);
}

#[test]
fn connect_during_a_wait_starts_at_once_and_cancels_the_earlier_one() {
    let mut bench = Bench::new(options(Version::V5));
    let first = bench.command(Command::Connect(None));
    bench.transmits.clear();
    bench.network_fails();
    bench.quiet();
    let second = bench.command(Command::Connect(None));
    assert_eq!(bench.event(), Event::Failed { handle: first, error: Error::Cancelled });
    bench.accept(ConnAck::accepted(false).with(ServerKeepAlive(5)));
    assert!(
        bench
            .events
            .iter()
            .any(|event| matches!(event, Event::Connected { handle: Some(h), .. } if *h == second))
    );
}
