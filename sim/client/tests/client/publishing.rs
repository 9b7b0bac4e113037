//! Messages to the Server: §4.3, §4.6, §4.9.

use std::num::{NonZeroU16, NonZeroU32};

use mqttspec_client::{Command, Error, Event, Invalid, Options, Publication, QueuePolicy, Unsupported};
use mqttspec_codec::{
    ConnAck, Delivery, DisconnectReason, MaximumPacketSize, MaximumQoS, MessageExpiryInterval, Packet,
    PubAck, PubAckReason, PubComp, PubRec, PubRel, PubRelReason, QoS, ReceiveMaximum, RetainAvailable,
    SubAck, SubAckReason, SubscriptionIdentifier, TopicAliasMaximum, TopicName, Version,
};

use crate::bench::{Bench, id, incoming, options, puback, pubcomp, pubrec, seconds};

#[test]
fn qos_0_goes_out_without_identifier_and_is_done() {
    let mut bench = Bench::connected(Version::V3_1_1);
    let handle = bench.publish("a", "1", QoS::AtMostOnce);
    assert_eq!(bench.sent_publish().delivery, Delivery::AtMostOnce);
    assert_eq!(bench.published(), [handle]);
}

#[test]
fn qos_1_ends_with_puback() {
    for version in Version::ALL {
        let mut bench = Bench::connected(version);
        let handle = bench.publish("a", "1", QoS::AtLeastOnce);
        assert_eq!(bench.sent_publish().delivery, Delivery::AtLeastOnce { id: id(1), dup: false });
        assert_eq!(bench.published(), []);
        bench.packet(puback(1));
        assert_eq!(bench.published(), [handle]);
        bench.silent();
    }
}

#[test]
fn qos_2_goes_through_the_whole_hand_shake() {
    for version in Version::ALL {
        let mut bench = Bench::connected(version);
        let handle = bench.publish("a", "1", QoS::ExactlyOnce);
        assert_eq!(bench.sent_publish().delivery, Delivery::ExactlyOnce { id: id(1), dup: false });
        bench.packet(pubrec(1));
        assert_eq!(bench.sent(), PubRel::success(id(1)).into());
        assert_eq!(bench.published(), []);
        bench.packet(pubcomp(1));
        assert_eq!(bench.published(), [handle]);
        bench.silent();
    }
}

/// What waits while all 65,535 identifiers are in use takes the first that is free, whatever had
/// it.
#[test]
fn what_waits_for_an_identifier_takes_the_first_that_is_free() {
    let mut bench = Bench::connected(Version::V5);
    bench.subscribe("a", QoS::AtLeastOnce);
    let of_subscribe = bench.sent().packet_identifier().unwrap();
    for _ in 0..u16::MAX - 1 {
        bench.publish("a", "x", QoS::AtLeastOnce);
        assert_ne!(bench.sent_publish().delivery.packet_identifier(), Some(of_subscribe));
    }
    bench.publish("a", "waits", QoS::AtLeastOnce);
    bench.silent();
    let suback = SubAck::new(of_subscribe, SubAckReason::GrantedQoS1);
    bench.packet(suback);
    let sent = bench.sent_publish();
    assert_eq!(
        (sent.payload.as_ref(), sent.delivery.packet_identifier()),
        (&b"waits"[..], Some(of_subscribe))
    );
    bench.subscribe("b", QoS::AtLeastOnce);
    bench.silent();
    bench.packet(puback(4711));
    assert!(matches!(bench.sent(), Packet::Subscribe(subscribe) if subscribe.id == id(4711)));
}

#[test]
fn an_identifier_is_free_after_pubcomp_and_not_after_pubrec() {
    let mut bench = Bench::connected(Version::V5);
    bench.publish("a", "1", QoS::ExactlyOnce);
    bench.packet(pubrec(1));
    for _ in 0..u16::MAX - 2 {
        bench.publish("a", "x", QoS::AtLeastOnce);
        let Some(taken) = bench.transmits.iter().rev().find_map(|transmit| match transmit {
            mqttspec_client::Transmit::Packet { packet, .. } => packet.packet_identifier(),
            _ => None,
        }) else {
            panic!("no PUBLISH")
        };
        assert_ne!(taken, id(1));
        bench.packet(PubAck::success(taken));
        bench.transmits.clear();
    }
    bench.publish("a", "1", QoS::AtLeastOnce);
    assert_eq!(bench.sent_publish().delivery.packet_identifier(), Some(id(65_535)));
    bench.publish("a", "1", QoS::AtLeastOnce);
    assert_eq!(bench.sent_publish().delivery.packet_identifier(), Some(id(2)), "1 waits for PUBCOMP");
}

#[test]
fn a_refusing_puback_fails_the_message_and_frees_the_identifier() {
    let mut bench = Bench::connected(Version::V5);
    let handle = bench.publish("a", "1", QoS::AtLeastOnce);
    bench.packet(PubAck::new(id(1), PubAckReason::NotAuthorized));
    assert_eq!(
        bench.event(),
        Event::Failed {
            handle,
            error: Error::PublishRefused { reason: PubAckReason::NotAuthorized, explanation: None }
        }
    );
    bench.quiet();
    bench.reconnect(ConnAck::accepted(true));
    bench.silent();
}

#[test]
fn a_refusing_pubrec_ends_the_exchange_without_pubrel() {
    let mut bench = Bench::connected(Version::V5);
    bench.publish("a", "1", QoS::ExactlyOnce);
    bench.quiet();
    bench.packet(PubRec::new(id(1), PubAckReason::QuotaExceeded));
    assert!(matches!(bench.event(), Event::Failed { error: Error::PublishRefused { .. }, .. }));
    bench.silent();
    assert_eq!(bench.client.statistics().in_flight, 0);
}

#[test]
fn no_matching_subscribers_is_a_success() {
    let mut bench = Bench::connected(Version::V5);
    bench.publish("a", "1", QoS::ExactlyOnce);
    bench.quiet();
    bench.packet(PubRec::new(id(1), PubAckReason::NoMatchingSubscribers));
    assert_eq!(bench.sent(), PubRel::success(id(1)).into());
}

#[test]
fn pubrec_for_an_unknown_identifier_is_released_as_not_found() {
    let mut bench = Bench::connected(Version::V5);
    bench.packet(pubrec(9));
    assert_eq!(bench.sent(), PubRel::new(id(9), PubRelReason::PacketIdentifierNotFound).into());
    let mut bench = Bench::connected(Version::V3_1_1);
    bench.packet(pubrec(9));
    assert_eq!(bench.sent(), PubRel::success(id(9)).into());
}

#[test]
fn pubcomp_not_found_completes_the_message() {
    let mut bench = Bench::connected(Version::V5);
    let handle = bench.publish("a", "1", QoS::ExactlyOnce);
    bench.packet(pubrec(1));
    bench.quiet();
    bench.packet(PubComp::new(id(1), PubRelReason::PacketIdentifierNotFound));
    assert_eq!(bench.published(), [handle]);
}

#[test]
fn an_acknowledgement_of_the_wrong_qos_is_a_protocol_error() {
    let mut bench = Bench::connected(Version::V5);
    bench.publish("a", "1", QoS::ExactlyOnce);
    bench.quiet();
    bench.packet(puback(1));
    let Packet::Disconnect(disconnect) = bench.sent() else { panic!("no DISCONNECT") };
    assert_eq!(disconnect.reason, DisconnectReason::ProtocolError);
    let mut bench = Bench::connected(Version::V3_1_1);
    bench.publish("a", "1", QoS::ExactlyOnce);
    bench.quiet();
    bench.packet(pubcomp(1));
    assert!(
        matches!(bench.transmits.pop_front(), Some(mqttspec_client::Transmit::Close)),
        "3.1.1 has no answer"
    );
}

#[test]
fn receive_maximum_of_the_server_limits_what_is_in_flight() {
    let two = NonZeroU16::new(2).unwrap();
    let mut bench =
        Bench::connected_with(options(Version::V5), ConnAck::accepted(false).with(ReceiveMaximum(two)));
    for payload in ["1", "2", "3"] {
        bench.publish("a", payload, QoS::ExactlyOnce);
    }
    let zero = bench.publish("a", "0", QoS::AtMostOnce);
    assert_eq!(bench.sent_publish().payload, "1");
    assert_eq!(bench.sent_publish().payload, "2");
    assert_eq!(bench.sent_publish().payload, "0", "QoS 0 is not counted");
    assert_eq!(bench.published(), [zero]);
    bench.silent();
    bench.packet(pubrec(1));
    assert_eq!(bench.sent(), PubRel::success(id(1)).into(), "PUBREL is not delayed");
    bench.silent();
    bench.packet(pubcomp(1));
    assert_eq!(bench.sent_publish().payload, "3");
}

#[test]
fn quota_starts_anew_after_a_reconnect_and_resent_messages_take_from_it() {
    let two = NonZeroU16::new(2).unwrap();
    let connack = |present| ConnAck::accepted(present).with(ReceiveMaximum(two));
    let mut bench = Bench::connected_with(options(Version::V5), connack(false));
    for payload in ["1", "2", "3"] {
        bench.publish("a", payload, QoS::ExactlyOnce);
    }
    bench.packet(pubrec(1));
    for _ in 0..3 {
        bench.transmits.clear();
        bench.reconnect(connack(true));
        assert_eq!(bench.sent(), PubRel::success(id(1)).into());
        assert_eq!(bench.sent_publish().delivery, Delivery::ExactlyOnce { id: id(2), dup: true });
        assert_eq!(
            bench.sent_publish().delivery,
            Delivery::ExactlyOnce { id: id(3), dup: bench.client.statistics().messages_resent > 1 }
        );
        bench.silent();
    }
    bench.publish("a", "4", QoS::ExactlyOnce);
    bench.packet(pubcomp(1));
    bench.silent();
    bench.packet(pubrec(2));
    bench.quiet();
    bench.packet(pubcomp(2));
    assert_eq!(bench.sent_publish().payload, "4");
}

#[test]
fn what_the_server_lacks_is_not_sent() {
    let connack = ConnAck::accepted(false)
        .with(MaximumQoS::AtLeastOnce)
        .with(RetainAvailable(false))
        .with(MaximumPacketSize(NonZeroU32::new(30).unwrap()));
    let mut bench = Bench::connected_with(options(Version::V5), connack);
    let failure = |bench: &mut Bench| match bench.event() {
        Event::Failed { error: Error::NotSupported(lacking), .. } => lacking,
        other => panic!("{other:?}"),
    };
    bench.publish("a", "1", QoS::ExactlyOnce);
    assert_eq!(failure(&mut bench), Unsupported::QoS(QoS::ExactlyOnce));
    bench.command(Command::Publish(Publication::new(TopicName::from_static("a"), "1").retained()));
    assert_eq!(failure(&mut bench), Unsupported::Retain);
    // 2 bytes of fixed header, 2 + 1 of topic, 2 of identifier, 1 of Property Length, payload
    bench.publish("a", "12345678901234567890123", QoS::AtLeastOnce);
    assert_eq!(failure(&mut bench), Unsupported::PacketSize(31));
    bench.silent();
    bench.publish("a", "1234567890123456789012", QoS::AtLeastOnce);
    assert_eq!(bench.sent_publish().payload.len(), 22);
}

#[test]
fn a_message_that_the_new_connection_does_not_allow_is_not_sent_again_and_keeps_its_identifier() {
    let mut bench = Bench::connected(Version::V5);
    let handle = bench.publish("a", "1", QoS::ExactlyOnce);
    bench.quiet();
    bench.reconnect(ConnAck::accepted(true).with(MaximumQoS::AtLeastOnce));
    bench.silent();
    assert!(
        bench
            .events
            .iter()
            .any(|event| matches!(event, Event::Failed { handle: failed, .. } if *failed == handle))
    );
    bench.quiet();
    for expected in 2..=u16::MAX {
        bench.publish("a", "2", QoS::AtLeastOnce);
        assert_eq!(bench.sent_publish().delivery.packet_identifier(), Some(id(expected)));
        bench.packet(puback(expected));
        bench.quiet();
    }
    bench.publish("a", "2", QoS::AtLeastOnce);
    assert_eq!(bench.sent_publish().delivery.packet_identifier(), Some(id(2)));
}

#[test]
fn messages_wait_while_offline_and_go_out_in_order() {
    let mut bench = Bench::new(options(Version::V5));
    bench.publish("a", "1", QoS::AtLeastOnce);
    bench.publish("a", "2", QoS::AtMostOnce);
    bench.publish("a", "3", QoS::ExactlyOnce);
    bench.silent();
    bench.command(Command::Connect(None));
    bench.accept(ConnAck::accepted(false));
    let payloads: Vec<_> = (0..3).map(|_| bench.sent_publish().payload).collect();
    assert_eq!(payloads, ["1", "2", "3"]);
}

#[test]
fn a_full_queue_drops_or_refuses_as_its_policy_says() {
    let offline = |queue_policy| {
        let mut bench = Bench::new(Options { publish_queue_size: 2, queue_policy, ..options(Version::V5) });
        let handles = ["1", "2", "3"].map(|payload| bench.publish("a", payload, QoS::AtLeastOnce));
        let event = bench.event();
        bench.command(Command::Connect(None));
        bench.accept(ConnAck::accepted(false));
        let first = bench.sent_publish().payload;
        let second = bench.sent_publish().payload;
        bench.silent();
        (event, handles, [first, second])
    };
    let (event, handles, sent) = offline(QueuePolicy::Refuse);
    assert_eq!(event, Event::Failed { handle: handles[2], error: Error::QueueFull });
    assert_eq!(sent, ["1", "2"]);
    let (event, handles, sent) = offline(QueuePolicy::DropNewest);
    assert_eq!(event, Event::Dropped { handle: handles[2] });
    assert_eq!(sent, ["1", "2"]);
    let (event, handles, sent) = offline(QueuePolicy::DropOldest);
    assert_eq!(event, Event::Dropped { handle: handles[0] });
    assert_eq!(sent, ["2", "3"]);
}

#[test]
fn qos_0_is_dropped_while_offline_where_it_may_not_wait() {
    let mut bench = Bench::new(Options { queue_qos0: false, ..options(Version::V5) });
    let handle = bench.publish("a", "1", QoS::AtMostOnce);
    assert_eq!(bench.event(), Event::Dropped { handle });
}

#[test]
fn a_message_that_waits_too_long_expires_and_one_that_does_not_goes_out_with_what_is_left() {
    let mut bench = Bench::new(options(Version::V5));
    let expiring = |seconds| {
        let mut publication = Publication::new(TopicName::from_static("a"), "1");
        publication.properties.set(MessageExpiryInterval(seconds));
        Command::Publish(publication)
    };
    let short = bench.command(expiring(5));
    bench.command(expiring(60));
    bench.wait(seconds(10));
    assert_eq!(bench.event(), Event::Failed { handle: short, error: Error::Expired });
    bench.command(Command::Connect(None));
    bench.accept(ConnAck::accepted(false));
    assert_eq!(bench.sent_publish().properties.get(), Some(MessageExpiryInterval(50)));
    bench.silent();
}

#[test]
fn a_message_in_flight_does_not_expire() {
    let mut bench = Bench::connected(Version::V5);
    let mut publication = Publication::new(TopicName::from_static("a"), "1").qos(QoS::ExactlyOnce);
    publication.properties.set(MessageExpiryInterval(5));
    let handle = bench.command(Command::Publish(publication));
    bench.packet(pubrec(1));
    bench.closed();
    bench.now += seconds(100);
    bench.client.handle_timeout(bench.now);
    bench.quiet();
    bench.client.handle_opened(bench.now);
    bench.packet(ConnAck::accepted(true));
    bench.packet(pubcomp(1));
    assert_eq!(bench.published(), [handle]);
}

#[test]
fn properties_that_a_client_may_not_send_are_refused() {
    let mut bench = Bench::connected(Version::V5);
    let mut publication = Publication::new(TopicName::from_static("a"), "1");
    publication.properties.push(SubscriptionIdentifier::MIN);
    let handle = bench.command(Command::Publish(publication.clone()));
    assert_eq!(
        bench.event(),
        Event::Failed { handle, error: Error::Invalid(Invalid::SubscriptionIdentifierInPublish) }
    );
    let mut bench = Bench::connected(Version::V3_1_1);
    let handle = bench.command(Command::Publish(publication));
    assert_eq!(bench.event(), Event::Failed { handle, error: Error::Invalid(Invalid::NeedsVersion5) });
}

#[test]
fn every_packet_that_can_have_user_properties_gets_those_of_the_option() {
    let mut options = options(Version::V5);
    options.set("packet_user_property", "site=north").unwrap();
    let mut bench = Bench::new(options);
    let has = |packet: &Packet| {
        let text = format!("{packet:?}");
        text.contains("site") && text.contains("north")
    };
    bench.command(Command::Connect(None));
    assert!(has(
        &bench.accept(ConnAck::accepted(false).with(MaximumPacketSize(NonZeroU32::new(30).unwrap())))
    ));
    bench.publish("a", "1", QoS::AtLeastOnce);
    assert!(has(&bench.sent()));
    bench.publish("a", "too long for both", QoS::AtLeastOnce);
    assert!(!has(&bench.sent()), "[MQTT-3.2.2-15] comes first");
    bench.packet(incoming("b", "in", Delivery::AtLeastOnce { id: id(1), dup: false }));
    assert!(has(&bench.sent()));
    bench.command(Command::Disconnect(Default::default()));
    assert!(has(&bench.sent()));
}

#[test]
fn topic_aliases_are_used_as_far_as_the_server_allows_and_set_anew_after_a_reconnect() {
    let connack = |present| ConnAck::accepted(present).with(TopicAliasMaximum(1));
    let mut bench =
        Bench::connected_with(Options { topic_aliases: true, ..options(Version::V5) }, connack(false));
    let topic = |bench: &mut Bench| bench.sent_publish().topic.map(|topic| topic.as_str().to_owned());
    bench.publish("sensors/temperature", "1", QoS::AtLeastOnce);
    assert_eq!(topic(&mut bench).as_deref(), Some("sensors/temperature"));
    bench.publish("sensors/temperature", "2", QoS::AtLeastOnce);
    assert_eq!(topic(&mut bench), None);
    assert_eq!(bench.client.statistics().alias_bytes_saved, 19 - 3 - 3);
    bench.transmits.clear();
    bench.reconnect(connack(true));
    let again = bench.sent_publish();
    assert_eq!(
        (again.topic.as_ref().map(TopicName::as_str), again.delivery.dup()),
        (Some("sensors/temperature"), true)
    );
}
