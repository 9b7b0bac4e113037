//! Messages from the Server: §3.3.4, §4.3, §4.5, §4.6.

use std::num::NonZeroU16;

use mqttspec_client::{
    Acknowledgement, Command, Delivered, Error, Event, Invalid, Message, Options, Transmit,
};
use mqttspec_codec::{
    ConnAck, Delivery, DisconnectReason, Packet, PubAck, PubAckReason, PubComp, PubRec, PubRel, PubRelReason,
    Publish, QoS, TopicAlias, Version,
};

use crate::bench::{Bench, id, incoming, options, puback, pubrec};

fn qos_1(value: u16) -> Delivery {
    Delivery::AtLeastOnce { id: id(value), dup: false }
}

fn qos_2(value: u16) -> Delivery {
    Delivery::ExactlyOnce { id: id(value), dup: false }
}

fn message(bench: &mut Bench) -> Message {
    loop {
        if let Event::Message(message) = bench.event() {
            return message;
        }
    }
}

fn closed_with(bench: &mut Bench, reason: DisconnectReason) {
    match bench.sent() {
        Packet::Disconnect(disconnect) => assert_eq!(disconnect.reason, reason),
        other => panic!("DISCONNECT was expected, not {other:?}"),
    }
    assert_eq!(bench.transmits.pop_front(), Some(Transmit::Close));
}

#[test]
fn each_qos_is_acknowledged_as_it_must_be() {
    for version in Version::ALL {
        let mut bench = Bench::connected(version);
        bench.packet(incoming("a", "0", Delivery::AtMostOnce));
        bench.silent();
        bench.packet(incoming("a", "1", qos_1(1)));
        assert_eq!(bench.sent(), puback(1).into());
        bench.packet(incoming("a", "2", qos_2(1)));
        assert_eq!(bench.sent(), pubrec(1).into());
        bench.packet(PubRel::success(id(1)));
        assert_eq!(bench.sent(), PubComp::success(id(1)).into());
        assert_eq!(bench.received(), ["0", "1", "2"]);
    }
}

#[test]
fn qos_1_with_an_identifier_used_before_is_a_new_message() {
    let mut bench = Bench::connected(Version::V5);
    bench.packet(incoming("a", "1", qos_1(1)));
    bench.packet(incoming("a", "1", Delivery::AtLeastOnce { id: id(1), dup: true }));
    assert_eq!(bench.received(), ["1", "1"]);
}

#[test]
fn qos_2_with_an_identifier_not_released_is_a_duplicate_whatever_dup_says() {
    for dup in [false, true] {
        let mut bench = Bench::connected(Version::V3_1_1);
        bench.packet(incoming("a", "1", qos_2(1)));
        bench.packet(incoming("a", "1", Delivery::ExactlyOnce { id: id(1), dup }));
        assert_eq!(bench.sent(), pubrec(1).into());
        assert_eq!(bench.sent(), pubrec(1).into());
        assert_eq!(bench.received(), ["1"]);
        bench.packet(PubRel::success(id(1)));
        bench.packet(incoming("a", "2", Delivery::ExactlyOnce { id: id(1), dup }));
        assert_eq!(bench.received(), ["2"]);
    }
}

#[test]
fn the_same_identifier_may_be_in_use_in_both_directions() {
    let mut bench = Bench::connected(Version::V5);
    let handle = bench.publish("a", "out", QoS::ExactlyOnce);
    bench.packet(incoming("a", "in", qos_2(1)));
    bench.quiet();
    bench.packet(PubRel::success(id(1)));
    assert_eq!(bench.sent(), PubComp::success(id(1)).into());
    bench.packet(pubrec(1));
    assert_eq!(bench.sent(), PubRel::success(id(1)).into());
    bench.packet(PubComp::success(id(1)));
    assert_eq!(bench.published(), [handle]);
}

#[test]
fn pubrel_with_an_unknown_identifier_is_completed_and_no_error() {
    let mut bench = Bench::connected(Version::V5);
    bench.packet(PubRel::success(id(9)));
    assert_eq!(bench.sent(), PubComp::new(id(9), PubRelReason::PacketIdentifierNotFound).into());
    bench.silent();
    let mut bench = Bench::connected(Version::V3_1_1);
    bench.packet(PubRel::success(id(9)));
    assert_eq!(bench.sent(), PubComp::success(id(9)).into());
    bench.silent();
}

#[test]
fn more_than_receive_maximum_is_answered_0x93() {
    let receive_maximum = NonZeroU16::new(2).unwrap();
    let mut bench =
        Bench::connected_with(Options { receive_maximum, ..options(Version::V5) }, ConnAck::accepted(false));
    for round in 0..3 {
        bench.packet(incoming("a", "x", qos_2(1 + round)));
        bench.packet(incoming("a", "x", qos_1(9)));
        bench.packet(PubRel::success(id(1 + round)));
    }
    bench.quiet();
    bench.packet(incoming("a", "x", qos_2(7)));
    bench.packet(incoming("a", "x", qos_2(8)));
    bench.quiet();
    bench.reconnect(ConnAck::accepted(true));
    bench.packet(incoming("a", "x", qos_2(7)));
    bench.packet(incoming("a", "x", qos_2(8)));
    bench.quiet();
    bench.packet(incoming("a", "x", qos_2(9)));
    closed_with(&mut bench, DisconnectReason::ReceiveMaximumExceeded);
    assert_eq!(bench.received(), Vec::<String>::new());
}

#[test]
fn topic_aliases_of_the_server_are_resolved_and_do_not_outlive_the_connection() {
    let options = Options { topic_alias_maximum: 2, ..options(Version::V5) };
    let mut bench = Bench::connected_with(options, ConnAck::accepted(false));
    let alias = |value| TopicAlias(NonZeroU16::new(value).unwrap());
    let mut full = incoming("a/b", "1", Delivery::AtMostOnce);
    full.properties.set(alias(2));
    bench.packet(full);
    let short = Publish {
        topic: None,
        properties: mqttspec_codec::Properties::new().with(alias(2)),
        ..incoming("x", "2", Delivery::AtMostOnce)
    };
    bench.packet(short.clone());
    for _ in 0..2 {
        let message = message(&mut bench);
        assert_eq!(message.topic.as_str(), "a/b");
        assert!(message.properties.is_empty());
    }
    bench.reconnect(ConnAck::accepted(true));
    bench.packet(short);
    closed_with(&mut bench, DisconnectReason::ProtocolError);
    bench.quiet();
    bench.run_to_deadline();
    bench.accept(ConnAck::accepted(true));
    let mut large = incoming("a/b", "1", Delivery::AtMostOnce);
    large.properties.set(alias(3));
    bench.packet(large);
    closed_with(&mut bench, DisconnectReason::TopicAliasInvalid);
}

#[test]
fn a_message_without_a_subscription_is_acknowledged_all_the_same() {
    let mut bench = Bench::connected(Version::V5);
    bench.packet(incoming("never/subscribed", "x", qos_1(3)));
    assert_eq!(bench.sent(), puback(3).into());
}

fn manual(version: Version) -> Bench {
    let options = Options { acknowledgement: Acknowledgement::Manual, ..options(version) };
    Bench::connected_with(options, ConnAck::accepted(false))
}

fn acknowledge(bench: &mut Bench, message: Delivered, reason: PubAckReason) {
    bench.command(Command::Acknowledge { message, reason });
}

#[test]
fn pubacks_go_in_the_order_of_the_messages_whatever_the_application_does() {
    let mut bench = manual(Version::V5);
    for value in 1..=3 {
        bench.packet(incoming("a", "x", qos_1(value)));
    }
    let delivered: Vec<_> = (0..3).map(|_| message(&mut bench).delivered.unwrap()).collect();
    bench.silent();
    acknowledge(&mut bench, delivered[2], PubAckReason::Success);
    acknowledge(&mut bench, delivered[1], PubAckReason::NotAuthorized);
    bench.silent();
    acknowledge(&mut bench, delivered[0], PubAckReason::Success);
    assert_eq!(bench.sent(), puback(1).into());
    assert_eq!(bench.sent(), PubAck::new(id(2), PubAckReason::NotAuthorized).into());
    assert_eq!(bench.sent(), puback(3).into());
}

#[test]
fn a_qos_2_message_is_given_once_even_if_the_connection_is_lost_before_it_is_acknowledged() {
    let mut bench = manual(Version::V5);
    bench.packet(incoming("a", "x", qos_2(1)));
    let delivered = message(&mut bench).delivered.unwrap();
    bench.reconnect(ConnAck::accepted(true));
    bench.packet(incoming("a", "x", Delivery::ExactlyOnce { id: id(1), dup: true }));
    assert_eq!(bench.received(), Vec::<String>::new());
    bench.silent();
    acknowledge(&mut bench, delivered, PubAckReason::Success);
    assert_eq!(bench.sent(), pubrec(1).into());
}

#[test]
fn a_refused_qos_2_message_is_over_with_pubrec() {
    let mut bench = manual(Version::V5);
    bench.packet(incoming("a", "x", qos_2(1)));
    let delivered = message(&mut bench).delivered.unwrap();
    acknowledge(&mut bench, delivered, PubAckReason::QuotaExceeded);
    assert_eq!(bench.sent(), PubRec::new(id(1), PubAckReason::QuotaExceeded).into());
    bench.packet(incoming("a", "y", qos_2(1)));
    assert_eq!(bench.received(), ["y"], "a new message");
}

#[test]
fn acknowledging_nothing_fails() {
    let mut bench = manual(Version::V5);
    let handle = bench.command(Command::Acknowledge { message: Delivered(5), reason: PubAckReason::Success });
    assert_eq!(bench.event(), Event::Failed { handle, error: Error::Invalid(Invalid::NothingToAcknowledge) });
}
