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
    // Nothing is left of the others.
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
