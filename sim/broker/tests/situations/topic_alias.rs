use std::num::NonZeroU16;

use mqttspec_codec::*;

use crate::rig::*;

fn alias(number: u16) -> TopicAlias {
    TopicAlias(NonZeroU16::new(number).unwrap())
}

fn by_alias(number: u16, payload: &str) -> Publish {
    Publish { topic: None, ..publish("x", payload) }.with(alias(number))
}

fn with_witness() -> (Rig, Client) {
    let mut rig = Rig::with("topic_alias_maximum=3");
    let witness = rig.connect(v5("w"));
    rig.subscribe(witness, "#", Q0);
    (rig, witness)
}

#[test]
fn client_sets_uses_and_replaces_a_topic_alias() {
    let (mut rig, witness) = with_witness();
    let client = rig.connect(v5("a"));
    for (packet, topic) in [
        (publish("one", "").with(alias(3)), "one"),
        (by_alias(3, ""), "one"),
        (publish("two", "").with(alias(3)), "two"),
        (by_alias(3, ""), "two"),
        (publish("one", ""), "one"),
    ] {
        rig.send(client, packet);
        let copy = rig.receive_publish(witness);
        // The publisher's alias is not forwarded.
        assert_eq!((copy.topic, copy.properties.is_empty()), (Some(TopicName::from_static(topic)), true));
    }
}

#[test]
fn topic_alias_that_was_not_allowed_or_not_set() {
    let (mut rig, _) = with_witness();
    for (packet, reason) in [
        (publish("a", "").with(alias(4)), DisconnectReason::TopicAliasInvalid),
        (by_alias(4, ""), DisconnectReason::TopicAliasInvalid),
        (by_alias(1, ""), DisconnectReason::ProtocolError),
        (Publish { topic: None, ..publish("x", "") }, DisconnectReason::ProtocolError),
    ] {
        let client = rig.connect(v5("a"));
        rig.send(client, packet);
        rig.disconnected(client, reason);
    }
}

#[test]
fn topic_aliases_end_with_the_network_connection() {
    let (mut rig, _) = with_witness();
    let client = rig.connect(lasting("a", 100));
    rig.send(client, publish("one", "").with(alias(1)));
    let client = rig.connect(lasting("a", 100));
    rig.send(client, by_alias(1, ""));
    rig.disconnected(client, DisconnectReason::ProtocolError);
}

#[test]
fn topic_alias_of_a_refused_message_is_mapped() {
    let mut rig = Rig::with("topic_alias_maximum=3");
    let client = rig.connect(v5("a"));
    rig.send(client, qos_1(1, "$SYS/x", "").with(alias(1)));
    rig.send(client, Publish { topic: None, ..qos_1(2, "x", "") }.with(alias(1)));
    let packets = rig.all(client);
    assert_eq!(packets.len(), 2);
    assert!(packets.iter().all(|packet| packet.reason().is_some_and(ReasonCode::is_failure)));
}

#[test]
fn server_uses_aliases_within_the_clients_maximum() {
    let mut rig = Rig::new();
    let client = rig.connect(lasting("a", 100).with(TopicAliasMaximum(2)));
    rig.subscribe(client, "#", Q1);
    let publisher = rig.connect(v5("p"));
    let mut learnt = std::collections::BTreeMap::new();
    for topic in ["one", "one", "two", "three", "one", "three", "two"] {
        rig.publish(publisher, qos_1(1, topic, topic));
        let copy = rig.receive_publish(client);
        let TopicAlias(number) = copy.properties.get().expect("an alias");
        assert!(number.get() <= 2);
        if let Some(topic) = copy.topic {
            learnt.insert(number, topic);
        }
        assert_eq!(learnt[&number].as_str().as_bytes(), copy.payload);
        rig.send(client, PubAck::success(copy.delivery.packet_identifier().unwrap()));
    }
    // A message that is re-sent on a new Network Connection does not use the old mappings.
    rig.publish(publisher, qos_1(1, "two", "two"));
    assert_eq!(rig.receive_publish(client).topic, None);
    let client = rig.connect(lasting("a", 100).with(TopicAliasMaximum(2)));
    assert_eq!(rig.receive_publish(client).topic, Some(TopicName::from_static("two")));
    let client = rig.connect(lasting("a", 100));
    assert!(rig.receive_publish(client).properties.is_empty());
}

#[test]
fn alias_is_not_learnt_from_a_publish_that_is_not_sent() {
    let mut rig = Rig::new();
    let size = MaximumPacketSize(std::num::NonZeroU32::new(60).unwrap());
    let client = rig.connect(v5("a").with(TopicAliasMaximum(2)).with(size));
    rig.subscribe(client, "#", Q0);
    let publisher = rig.connect(v5("p"));
    let topic = "a".repeat(40);
    rig.publish(publisher, publish(&topic, &"too large".repeat(10)));
    rig.nothing(client);
    // It fits only without the alias.
    rig.publish(publisher, publish(&topic, &"x".repeat(14)));
    let copy = rig.receive_publish(client);
    assert!(copy.topic.is_some() && copy.properties.is_empty());
    rig.publish(publisher, publish(&topic, "small"));
    assert!(rig.receive_publish(client).topic.is_some());
    rig.publish(publisher, publish(&topic, &"x".repeat(40)));
    assert!(rig.receive_publish(client).topic.is_none());
}
