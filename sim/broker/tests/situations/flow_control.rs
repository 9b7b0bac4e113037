use std::num::NonZeroU16;

use mqttspec_codec::*;

use crate::rig::*;

fn window(size: u16) -> Connect {
    lasting("a", 100).with(ReceiveMaximum(NonZeroU16::new(size).unwrap()))
}

fn backlog(rig: &mut Rig, qos: QoS, count: u16) -> Client {
    let publisher = rig.connect(v5("p"));
    for number in 0..count {
        let payload = number.to_string();
        rig.publish(publisher, if qos == Q1 { qos_1(1, "t", &payload) } else { qos_2(1, "t", &payload) });
    }
    publisher
}

#[test]
fn no_more_than_receive_maximum_is_in_flight_and_nothing_else_waits() {
    let mut rig = Rig::new();
    let client = rig.connect(window(2));
    rig.subscribe(client, "t", Q2);
    let publisher = backlog(&mut rig, Q2, 4);
    let identifiers: Vec<_> =
        rig.all(client).iter().map(|packet| packet.packet_identifier().unwrap()).collect();
    assert_eq!(identifiers.len(), 2);
    // QoS 0 and answers are still sent.
    rig.publish(publisher, publish("t", "QoS 0"));
    rig.send(client, qos_1(5, "x", ""));
    rig.send(client, Packet::PingReq);
    rig.send(client, Subscribe::new(id(5), filter("y", Q0)));
    assert_eq!(rig.all(client).len(), 4);
    // PUBREC frees nothing; PUBCOMP frees one.
    rig.send(client, PubRec::success(identifiers[0]));
    assert_eq!(rig.all(client), [PubRel::success(identifiers[0]).into()]);
    rig.send(client, PubComp::success(identifiers[0]));
    assert_eq!(rig.payloads(client), ["2"]);
    // A repeated PUBCOMP frees nothing.
    rig.send(client, PubComp::success(identifiers[0]));
    rig.nothing(client);
}

#[test]
fn quota_begins_anew_with_each_network_connection() {
    let mut rig = Rig::new();
    let client = rig.connect(window(4));
    rig.subscribe(client, "t", Q1);
    backlog(&mut rig, Q1, 6);
    assert_eq!(rig.payloads(client), ["0", "1", "2", "3"]);
    // A smaller window applies to re-sent messages too.
    let client = rig.connect(window(2));
    let again = rig.all(client);
    assert_eq!(again.len(), 2);
    rig.send(client, PubAck::success(again[0].packet_identifier().unwrap()));
    assert_eq!(rig.payloads(client), ["2"]);
    let client = rig.connect(window(100));
    assert_eq!(rig.payloads(client), ["1", "2", "3", "4", "5"]);
}

#[test]
fn exchanges_past_pubrec_count_until_pubcomp() {
    let mut rig = Rig::new();
    let client = rig.connect(window(1));
    rig.subscribe(client, "t", Q2);
    backlog(&mut rig, Q2, 2);
    let identifier = rig.receive_publish(client).delivery.packet_identifier().unwrap();
    rig.send(client, PubRec::success(identifier));
    rig.all(client);
    let client = rig.connect(window(1));
    assert_eq!(rig.all(client), [PubRel::success(identifier).into()]);
    rig.send(client, PubComp::success(identifier));
    assert_eq!(rig.payloads(client), ["1"]);
}

#[test]
fn send_maximum_limits_3_1_1_too() {
    let mut rig = Rig::with("send_maximum=2");
    let client = rig.connect(v311("a", true));
    rig.subscribe(client, "t", Q1);
    backlog(&mut rig, Q1, 5);
    assert_eq!(rig.payloads(client), ["0", "1"]);
}

#[test]
fn congestion_drops_qos_0_and_holds_the_rest() {
    let mut rig = Rig::new();
    let client = rig.connect(lasting("a", 100));
    rig.subscribe(client, "t", Q1);
    rig.broker.handle_congestion(rig.now, client.0, true);
    let publisher = backlog(&mut rig, Q1, 2);
    rig.publish(publisher, publish("t", "dropped"));
    rig.nothing(client);
    rig.broker.handle_congestion(rig.now, client.0, false);
    rig.drive();
    assert_eq!(rig.payloads(client), ["0", "1"]);
    rig.publish(publisher, publish("t", "flows"));
    assert_eq!(rig.payloads(client), ["flows"]);
}

#[test]
fn full_queue_follows_its_policy() {
    for (policy, left) in [("drop_newest", ["0", "1", "2"]), ("drop_oldest", ["0", "3", "4"])] {
        let mut rig = Rig::with(&format!("queue_maximum=2 queue_policy={policy}"));
        let client = rig.connect(window(1));
        rig.subscribe(client, "t", Q1);
        backlog(&mut rig, Q1, 5);
        rig.restart();
        let client = rig.connect(window(10));
        assert_eq!(rig.payloads(client), left);
    }
    let mut rig = Rig::with("queue_maximum=2 queue_policy=disconnect");
    let client = rig.connect(window(1));
    rig.subscribe(client, "t", Q1);
    let publisher = backlog(&mut rig, Q1, 5);
    assert_eq!(rig.receive_publish(client).payload, "0");
    rig.disconnected(client, DisconnectReason::QuotaExceeded);
    rig.nothing(publisher);
}

#[test]
fn queue_is_bounded_in_bytes_and_what_has_expired_makes_room() {
    let mut rig = Rig::with("queue_maximum_bytes=100");
    let client = rig.connect(window(1));
    rig.subscribe(client, "t", Q1);
    rig.cut(client);
    let publisher = rig.connect(v5("p"));
    rig.publish(publisher, qos_1(1, "t", &"x".repeat(60)).with(MessageExpiryInterval(5)));
    rig.publish(publisher, qos_1(1, "t", &"y".repeat(60)));
    rig.pass(5.0);
    rig.publish(publisher, qos_1(1, "t", &"z".repeat(60)));
    let client = rig.connect(window(5));
    assert_eq!(rig.payloads(client), ["z".repeat(60)]);
}
