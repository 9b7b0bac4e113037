//! The Server as sender.

use std::collections::BTreeSet;
use std::num::NonZeroU16;

use mqttspec_codec::*;

use crate::rig::*;

/// A Client `a` that has subscribed to `t` at QoS 2, and a publisher.
fn subscribed(connect: Connect) -> (Rig, Client, Client) {
    let mut rig = Rig::new();
    let client = rig.connect(connect);
    rig.subscribe(client, "t", Q2);
    let publisher = rig.connect(v5("publisher"));
    (rig, client, publisher)
}

fn identifier(publish: &Publish) -> PacketIdentifier {
    publish.delivery.packet_identifier().expect("QoS 1 or 2")
}

#[test]
fn qos_of_a_copy_is_the_lesser_of_published_and_granted() {
    let mut rig = Rig::new();
    let publisher = rig.connect(v5("publisher"));
    for granted in QoS::ALL {
        for published in QoS::ALL {
            let client = rig.connect(v5("a"));
            rig.subscribe(client, "t", granted);
            let packet = match published {
                QoS::AtMostOnce => publish("t", ""),
                QoS::AtLeastOnce => qos_1(1, "t", ""),
                QoS::ExactlyOnce => qos_2(1, "t", ""),
            };
            rig.publish(publisher, packet);
            assert_eq!(rig.receive_publish(client).delivery.qos(), granted.min(published));
        }
    }
}

#[test]
fn qos_1_is_sent_again_with_dup_and_the_same_identifier_until_puback() {
    for crash in [false, true] {
        let (mut rig, client, publisher) = subscribed(lasting("a", 100));
        rig.publish(publisher, qos_1(1, "t", "x"));
        let first = rig.receive_publish(client);
        assert!(!first.delivery.dup());
        // Nothing is re-sent on an open Network Connection.
        rig.pass(1000.0);
        rig.nothing(client);
        rig.cut(client);
        if crash {
            rig.restart();
        }
        let client = rig.connect(lasting("a", 100));
        let again = rig.receive_publish(client);
        assert_eq!((identifier(&again), again.delivery.dup()), (identifier(&first), true));
        rig.send(client, PubAck::success(identifier(&first)));
        rig.cut(client);
        if crash {
            rig.restart();
        }
        let client = rig.connect(lasting("a", 100));
        rig.nothing(client);
    }
}

#[test]
fn qos_2_goes_on_where_it_stood() {
    for (connect, crash) in [(lasting("a", 100), false), (lasting("a", 100), true), (v311("a", false), true)]
    {
        let (mut rig, client, publisher) = subscribed(connect.clone());
        rig.publish(publisher, qos_1(1, "t", "x"));
        rig.publish(publisher, qos_2(1, "t", "y"));
        rig.publish(publisher, qos_2(1, "t", "z"));
        let _x = rig.receive_publish(client);
        let y = rig.receive_publish(client);
        let z = rig.receive_publish(client);
        rig.send(client, PubRec::success(identifier(&z)));
        assert_eq!(rig.receive(client), PubRel::success(identifier(&z)).into());
        rig.send(client, PubRec::success(identifier(&y)));
        assert_eq!(rig.receive(client), PubRel::success(identifier(&y)).into());
        rig.cut(client);
        if crash {
            rig.restart();
        }
        let client = rig.connect(connect);
        // After PUBREC, PUBREL is re-sent and not PUBLISH, in the order of the PUBRECs. x is
        // re-sent.
        assert_eq!(rig.receive(client), PubRel::success(identifier(&z)).into());
        assert_eq!(rig.receive(client), PubRel::success(identifier(&y)).into());
        let again = rig.receive_publish(client);
        assert_eq!((again.payload.as_ref(), again.delivery.dup()), (&b"x"[..], true));
        rig.send(client, PubComp::success(identifier(&y)));
        rig.send(client, PubComp::success(identifier(&z)));
        rig.send(client, PubAck::success(identifier(&again)));
        rig.nothing(client);
        rig.cut(client);
        let client = rig.connect(lasting("a", 100));
        rig.nothing(client);
    }
}

#[test]
fn repeated_pubrec_is_answered_with_pubrel_again() {
    let (mut rig, client, publisher) = subscribed(v5("a"));
    rig.publish(publisher, qos_2(1, "t", ""));
    let identifier = identifier(&rig.receive_publish(client));
    for _ in 0..3 {
        rig.send(client, PubRec::success(identifier));
        assert_eq!(rig.receive(client), PubRel::success(identifier).into());
    }
    rig.send(client, PubComp::success(identifier));
    rig.send(client, PubRec::success(identifier));
    assert!(matches!(rig.receive(client), Packet::PubRel(pubrel)
        if pubrel.id == identifier && pubrel.reason == PubRelReason::PacketIdentifierNotFound));
}

#[test]
fn acknowledgements_of_the_wrong_kind_are_protocol_errors() {
    let answers = [
        (false, PacketType::PubRec),
        (false, PacketType::PubComp),
        (true, PacketType::PubAck),
        (true, PacketType::PubComp),
    ];
    for (exactly_once, answer) in answers {
        let answer = |id| -> Packet {
            match answer {
                PacketType::PubAck => PubAck::success(id).into(),
                PacketType::PubRec => PubRec::success(id).into(),
                _ => PubComp::success(id).into(),
            }
        };
        let (mut rig, client, publisher) = subscribed(lasting("a", 100));
        rig.publish(publisher, if exactly_once { qos_2(1, "t", "") } else { qos_1(1, "t", "") });
        let identifier = identifier(&rig.receive_publish(client));
        rig.send(client, answer(identifier));
        rig.disconnected(client, DisconnectReason::ProtocolError);
        // The exchange is unchanged.
        let client = rig.connect(lasting("a", 100));
        assert!(rig.receive_publish(client).delivery.dup());
    }
}

#[test]
fn acknowledgements_of_nothing_are_ignored() {
    let (mut rig, client, _) = subscribed(v5("a"));
    rig.send(client, PubAck::success(id(77)));
    rig.send(client, PubComp::success(id(77)));
    rig.send(client, PubRec::new(id(77), PubAckReason::UnspecifiedError));
    rig.nothing(client);
}

#[test]
fn refusal_by_the_client_ends_the_exchange() {
    let (mut rig, client, publisher) = subscribed(lasting("a", 100).with(ReceiveMaximum(NonZeroU16::MIN)));
    rig.publish(publisher, qos_1(1, "t", "1"));
    rig.publish(publisher, qos_2(1, "t", "2"));
    rig.publish(publisher, qos_1(1, "t", "3"));
    let first = rig.receive_publish(client);
    rig.send(client, PubAck::new(identifier(&first), PubAckReason::QuotaExceeded));
    let second = rig.receive_publish(client);
    // There is no PUBREL, and the quota is free again.
    rig.send(client, PubRec::new(identifier(&second), PubAckReason::QuotaExceeded));
    assert_eq!(rig.payloads(client), ["3"]);
    rig.cut(client);
    let client = rig.connect(lasting("a", 100));
    assert_eq!(rig.payloads(client), ["3"]);
}

#[test]
fn identifiers_wrap_and_pass_over_what_is_in_flight() {
    let (mut rig, client, publisher) = subscribed(lasting("a", 100));
    rig.publish(publisher, qos_2(1, "t", "kept"));
    let kept = identifier(&rig.receive_publish(client));
    rig.send(client, PubRec::success(kept));
    assert_eq!(rig.receive(client), PubRel::success(kept).into());
    let mut seen = BTreeSet::new();
    for _ in 0..u16::MAX {
        rig.publish(publisher, qos_1(1, "t", ""));
        let identifier = identifier(&rig.receive_publish(client));
        assert_ne!(identifier, kept, "its PUBCOMP has not come");
        seen.insert(identifier);
        rig.send(client, PubAck::success(identifier));
    }
    assert_eq!(seen.len(), usize::from(u16::MAX) - 1);
    rig.send(client, PubComp::success(kept));
}

#[test]
fn identifiers_run_out_and_come_back() {
    let mut rig = Rig::with("queue_maximum=0");
    let client = rig.connect(lasting("a", 100));
    rig.subscribe(client, "t", Q1);
    let publisher = rig.connect(v5("publisher"));
    for number in 0..u32::from(u16::MAX) + 2 {
        rig.publish(publisher, qos_1(1, "t", &number.to_string()));
    }
    let packets = rig.all(client);
    assert_eq!(packets.len(), usize::from(u16::MAX));
    let ids: BTreeSet<_> = packets.iter().map(|packet| packet.packet_identifier().unwrap()).collect();
    assert_eq!(ids.len(), usize::from(u16::MAX));
    rig.send(client, PubAck::success(id(500)));
    let next = rig.receive_publish(client);
    assert_eq!((identifier(&next), next.payload.as_ref()), (id(500), &b"65535"[..]));
    rig.nothing(client);
}

#[test]
fn a_backlog_larger_than_the_window_keeps_its_order_over_reconnects() {
    let connect = || lasting("a", 100).with(ReceiveMaximum(NonZeroU16::new(3).unwrap()));
    let (mut rig, client, publisher) = subscribed(connect());
    rig.cut(client);
    for number in 0..20 {
        rig.publish(publisher, qos_1(1, "t", &number.to_string()));
    }
    let mut order = Vec::new();
    for round in 0..7 {
        if round == 3 {
            rig.restart();
        }
        let client = rig.connect(connect());
        let window = rig.all(client);
        assert!(window.len() <= 3);
        for (place, packet) in window.into_iter().enumerate() {
            let Packet::Publish(publish) = packet else { panic!("PUBLISH expected") };
            assert_eq!(publish.delivery.dup(), round > 0);
            // The last of each window stays unacknowledged.
            if place == 2 && round < 6 {
                continue;
            }
            order.push(String::from_utf8(publish.payload.to_vec()).unwrap());
            rig.send(client, PubAck::success(identifier(&publish)));
            rig.all(client);
        }
        rig.cut(client);
    }
    let mut sorted = order.clone();
    sorted.sort_by_key(|payload| payload.parse::<u32>().unwrap());
    assert_eq!(order, sorted);
}
