//! The Server as receiver.

use std::num::NonZeroU16;

use mqttspec_codec::*;

use crate::rig::*;

fn with_witness(options: &str) -> (Rig, Client) {
    let mut rig = Rig::with(options);
    let witness = rig.connect(v5("witness"));
    rig.subscribe(witness, "#", Q0);
    (rig, witness)
}

fn dup(mut publish: Publish) -> Publish {
    publish.delivery = publish.delivery.with_dup(true);
    publish
}

#[test]
fn qos_1_retry_is_a_new_message_once_it_was_acknowledged() {
    let (mut rig, witness) = with_witness("");
    let client = rig.connect(v5("a"));
    rig.publish(client, qos_1(1, "t", "x"));
    rig.publish(client, dup(qos_1(1, "t", "x")));
    assert_eq!(rig.payloads(witness), ["x", "x"]);
}

#[test]
fn qos_2_publish_is_delivered_once_however_often_it_comes_before_pubrel() {
    let (mut rig, witness) = with_witness("");
    let client = rig.connect(lasting("a", 100));
    rig.send(client, qos_2(1, "t", "x"));
    assert_eq!(rig.receive(client), PubRec::success(id(1)).into());
    for _ in 0..3 {
        rig.send(client, dup(qos_2(1, "t", "x")));
        assert_eq!(rig.receive(client), PubRec::success(id(1)).into());
    }
    // The identifier decides, not DUP.
    rig.send(client, qos_2(1, "t", "x"));
    assert_eq!(rig.receive(client), PubRec::success(id(1)).into());
    assert_eq!(rig.payloads(witness), ["x"]);
    rig.send(client, PubRel::success(id(1)));
    assert_eq!(rig.receive(client), PubComp::success(id(1)).into());
    // After PUBCOMP the identifier is free, whatever DUP is.
    rig.publish(client, dup(qos_2(1, "t", "y")));
    assert_eq!(rig.payloads(witness), ["y"]);
}

#[test]
fn qos_2_identifiers_outlive_the_network_connection_and_the_broker() {
    for crash in [false, true] {
        let mut rig = Rig::new();
        let witness = rig.connect(lasting("witness", 1000));
        rig.subscribe(witness, "#", Q1);
        let client = rig.connect(lasting("a", 100));
        rig.send(client, qos_2(1, "t", "x"));
        rig.cut(client);
        if crash {
            rig.restart();
        }
        let client = rig.connect(lasting("a", 100));
        rig.send(client, dup(qos_2(1, "t", "x")));
        assert_eq!(rig.receive(client), PubRec::success(id(1)).into());
        rig.cut(client);
        if crash {
            rig.restart();
        }
        let client = rig.connect(lasting("a", 100));
        rig.send(client, PubRel::success(id(1)));
        assert_eq!(rig.receive(client), PubComp::success(id(1)).into());
        // A repeated PUBREL is answered, but not with success.
        rig.send(client, PubRel::success(id(1)));
        assert!(matches!(rig.receive(client), Packet::PubComp(pubcomp)
            if pubcomp.reason == PubRelReason::PacketIdentifierNotFound));
        let witness = if crash { rig.connect(lasting("witness", 1000)) } else { witness };
        assert_eq!(rig.payloads(witness), ["x"]);
    }
}

#[test]
fn retry_of_a_publish_that_never_arrived_is_delivered() {
    let (mut rig, witness) = with_witness("");
    let client = rig.connect(lasting("a", 100));
    rig.cut(client);
    let client = rig.connect(lasting("a", 100));
    rig.publish(client, dup(qos_2(1, "t", "x")));
    assert_eq!(rig.payloads(witness), ["x"]);
}

#[test]
fn a_new_session_knows_no_old_identifiers() {
    let (mut rig, witness) = with_witness("");
    let client = rig.connect(lasting("a", 100));
    rig.send(client, qos_2(1, "t", "x"));
    rig.cut(client);
    let client = rig.connect(Connect { clean_start: true, ..lasting("a", 100) });
    rig.publish(client, qos_2(1, "t", "y"));
    assert_eq!(rig.payloads(witness), ["x", "y"]);
}

#[test]
fn pubrel_of_3_1_1_is_always_answered() {
    let mut rig = Rig::new();
    let client = rig.connect(v311("a", true));
    rig.send(client, PubRel::success(id(9)));
    assert_eq!(rig.receive(client), PubComp::success(id(9)).into());
}

#[test]
fn refused_qos_2_message_leaves_its_identifier_free() {
    let (mut rig, witness) = with_witness("");
    let client = rig.connect(v5("a"));
    rig.send(client, qos_2(1, "$SYS/x", ""));
    let Packet::PubRec(pubrec) = rig.receive(client) else { panic!("PUBREC expected") };
    assert_eq!(pubrec.reason, PubAckReason::NotAuthorized);
    assert!(pubrec.properties.contains::<ReasonString>());
    rig.publish(client, qos_2(1, "t", "new"));
    assert_eq!(rig.payloads(witness), ["new"]);
}

#[test]
fn more_open_qos_2_publishes_than_receive_maximum() {
    let (mut rig, witness) = with_witness("receive_maximum=2");
    let client = rig.connect(lasting("a", 100));
    rig.send(client, qos_2(1, "t", "1"));
    rig.send(client, qos_2(2, "t", "2"));
    // A repetition of an open one does not count.
    rig.send(client, dup(qos_2(1, "t", "1")));
    // QoS 0 and other packets are processed as usual.
    rig.send(client, publish("t", "0"));
    rig.send(client, Packet::PingReq);
    assert_eq!(rig.all(client).len(), 4);
    rig.send(client, qos_1(3, "t", "3"));
    rig.disconnected(client, DisconnectReason::ReceiveMaximumExceeded);
    assert_eq!(rig.payloads(witness), ["1", "2", "0"]);
    // The count starts again with the Network Connection, although the identifiers are kept.
    let client = rig.connect(lasting("a", 100));
    rig.send(client, dup(qos_2(2, "t", "2")));
    rig.send(client, qos_2(3, "t", "3"));
    assert_eq!(rig.all(client).len(), 2);
    rig.send(client, PubRel::success(id(2)));
    rig.send(client, qos_2(4, "t", "4"));
    assert_eq!(rig.all(client).len(), 2);
    assert_eq!(NonZeroU16::new(2), Some(rig.broker.options().receive_maximum));
}

#[test]
fn no_matching_subscribers_is_told_if_the_option_says_so() {
    let mut rig = Rig::with("report_no_matching_subscribers=yes");
    let client = rig.connect(v5("a"));
    rig.send(client, qos_1(1, "t", ""));
    assert_eq!(rig.receive(client), PubAck::new(id(1), PubAckReason::NoMatchingSubscribers).into());
    rig.send(client, qos_2(1, "t", ""));
    assert_eq!(rig.receive(client), PubRec::new(id(1), PubAckReason::NoMatchingSubscribers).into());
    // It is a success: the exchange continues.
    rig.send(client, PubRel::success(id(1)));
    assert_eq!(rig.receive(client), PubComp::success(id(1)).into());
    let old = rig.connect(v311("b", true));
    rig.publish(old, qos_1(1, "t", ""));
}
