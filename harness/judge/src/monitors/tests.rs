use mqttspec_codec::{QoS, Role, SubAck, SubAckReason, Version};

use super::judge;
use crate::finding::{Check, Finding};
use crate::history::builder::{HistoryBuilder, again, id, message, puback, pubcomp, publish, pubrec, pubrel};
use crate::history::{Asked, History};

const QOS1: QoS = QoS::AtLeastOnce;
const QOS2: QoS = QoS::ExactlyOnce;

/// A history of a broker, recorded at the client's end.
fn broker(version: Version) -> HistoryBuilder {
    HistoryBuilder::of(version, Role::Client, &["a"])
}

/// A history of a client, recorded at the server's end.
fn client(version: Version) -> HistoryBuilder {
    HistoryBuilder::of(version, Role::Server, &["a"])
}

#[track_caller]
fn fine(history: &History) {
    assert_eq!(judge(history), []);
}

/// Exactly one finding, of this monitor, with these clauses; all of them exist.
#[track_caller]
fn broken(builder: HistoryBuilder, version: Version, monitor: &str, clauses: &[&str]) -> Finding {
    let found = judge(&builder.build());
    let [finding] = found.as_slice() else { panic!("one finding expected: {found:#?}") };
    let cited: Vec<&str> = finding.requirements.iter().map(|cited| cited.clause.as_str()).collect();
    assert_eq!((&finding.check, &cited[..]), (&Check::Monitor(monitor.to_owned()), clauses), "{finding:#?}");
    for requirement in &finding.requirements {
        assert_eq!(requirement.version, version.to_string());
        assert!(requirement.in_catalogue().is_some(), "{requirement} is not in the catalogue");
    }
    finding.clone()
}

#[test]
fn identifier_free_again_after_its_last_acknowledgement() {
    for version in [Version::V3_1_1, Version::V5] {
        fine(
            &broker(version)
                .connects("a", false)
                .received("a", publish(QOS1, 1, "one"))
                .sent("a", puback(1))
                .received("a", publish(QOS2, 1, "two"))
                .sent("a", pubrec(1))
                .received("a", pubrel(1))
                .sent("a", pubcomp(1))
                .received("a", publish(QOS1, 1, "three"))
                .build(),
        );
    }
}

#[test]
fn identifier_used_again_before_puback() {
    for (version, clause) in [(Version::V5, "MQTT-2.2.1-4"), (Version::V3_1_1, "MQTT-2.3.1-4")] {
        let builder = broker(version)
            .connects("a", false)
            .received("a", publish(QOS1, 1, "one"))
            .received("a", publish(QOS1, 1, "two"));
        let finding = broken(builder, version, "Packet Identifiers", &[clause]);
        insta::allow_duplicates! {
            insta::assert_snapshot!(finding.actual, @"a new PUBLISH of the Server with Packet Identifier 1, whose exchange is not complete on the connection of a");
        }
    }
}

#[test]
fn identifier_used_again_while_pubrel_is_unanswered() {
    let builder = broker(Version::V5)
        .connects("a", false)
        .received("a", publish(QOS2, 7, "one"))
        .sent("a", pubrec(7))
        .received("a", pubrel(7))
        .received("a", publish(QOS1, 7, "two"));
    broken(builder, Version::V5, "Packet Identifiers", &["MQTT-2.2.1-4"]);
}

#[test]
fn identifier_of_a_message_used_by_a_subscribe() {
    let subscribe = |builder: HistoryBuilder| builder.received("a", subscribe());
    let builder = subscribe(client(Version::V5).connects("a", false).received("a", publish(QOS1, 5, "one")));
    broken(builder, Version::V5, "Packet Identifiers", &["MQTT-2.2.1-3"]);
    fine(&subscribe(client(Version::V5).connects("a", false)).build());
}

fn subscribe() -> mqttspec_codec::Subscribe {
    let filter = mqttspec_codec::TopicFilter::try_from("t").expect("a Topic Filter");
    mqttspec_codec::Subscribe {
        id: id(5),
        properties: mqttspec_codec::Properties::new(),
        subscriptions: mqttspec_codec::Subscription::new(filter, QOS1).into(),
    }
}

#[test]
fn suback_for_another_identifier() {
    let suback = |number| SubAck::new(id(number), SubAckReason::GrantedQoS1);
    let asked = || broker(Version::V5).connects("a", false).sent("a", subscribe());
    fine(&asked().received("a", suback(5)).build());
    broken(
        asked().received("a", suback(6)),
        Version::V5,
        "Packet Identifiers",
        &["MQTT-2.2.1-6", "MQTT-3.8.4-2"],
    );
    let twice = asked().received("a", suback(5)).received("a", suback(5));
    broken(twice, Version::V5, "Packet Identifiers", &["MQTT-2.2.1-6", "MQTT-3.8.4-2"]);
}

#[test]
fn exchanges_go_on_after_a_reconnect() {
    for version in [Version::V3_1_1, Version::V5] {
        fine(
            &broker(version)
                .resuming()
                .connects("a", false)
                .received("a", publish(QOS1, 1, "never acknowledged"))
                .received("a", publish(QOS1, 2, "its PUBACK got lost"))
                .sent("a", puback(2))
                .received("a", publish(QOS1, 3, "its PUBACK arrived"))
                .sent("a", puback(3))
                .received("a", publish(QOS2, 4, "its PUBREC got lost"))
                .sent("a", pubrec(4))
                .received("a", publish(QOS2, 5, "its PUBCOMP got lost"))
                .sent("a", pubrec(5))
                .received("a", pubrel(5))
                .sent("a", pubcomp(5))
                .lost("a")
                .connects("a", true)
                .received("a", again(publish(QOS1, 1, "never acknowledged")))
                .received("a", again(publish(QOS1, 2, "its PUBACK got lost")))
                .received("a", publish(QOS1, 3, "a new one"))
                .received("a", again(publish(QOS2, 4, "its PUBREC got lost")))
                .received("a", pubrel(5))
                .received("a", again(publish(QOS1, 6, "got lost on the way")))
                .sent("a", puback(1))
                .build(),
        );
    }
}

#[test]
fn redelivery_without_dup() {
    for version in [Version::V3_1_1, Version::V5] {
        let builder = broker(version)
            .resuming()
            .connects("a", false)
            .sent("a", publish(QOS1, 1, "one"))
            .received("a", publish(QOS1, 1, "one"))
            .lost("a")
            .connects("a", true)
            .received("a", publish(QOS1, 1, "one"));
        broken(builder, version, "QoS hand-shakes", &["MQTT-3.3.1-1"]);
    }
}

#[test]
fn redelivery_without_dup_after_a_lost_pubrec() {
    let sends = |payload| {
        broker(Version::V5)
            .resuming()
            .connects("a", false)
            .sent("a", publish(QOS2, 1, "one"))
            .received("a", publish(QOS2, 1, "one"))
            .sent("a", pubrec(1))
            .lost("a")
            .connects("a", true)
            .received("a", publish(QOS2, 1, payload))
    };
    broken(sends("one"), Version::V5, "QoS hand-shakes", &["MQTT-3.3.1-1"]);
    broken(sends("two"), Version::V5, "Packet Identifiers", &["MQTT-2.2.1-4"]);
}

#[test]
fn dup_on_a_first_delivery() {
    let builder = broker(Version::V5).connects("a", false).received("a", again(publish(QOS1, 1, "one")));
    broken(builder, Version::V5, "QoS hand-shakes", &["MQTT-3.3.1-3"]);
    let builder = client(Version::V3_1_1).connects("a", false).received("a", again(publish(QOS1, 1, "one")));
    broken(builder, Version::V3_1_1, "QoS hand-shakes", &["MQTT-4.3.2-1"]);
    let builder = client(Version::V5).connects("a", false).received("a", again(publish(QOS2, 1, "one")));
    broken(builder, Version::V5, "QoS hand-shakes", &["MQTT-4.3.3-2"]);
}

#[test]
fn repetition_while_connected() {
    let builder = |version| {
        broker(version)
            .connects("a", false)
            .received("a", publish(QOS1, 1, "one"))
            .received("a", again(publish(QOS1, 1, "one")))
    };
    broken(builder(Version::V5), Version::V5, "QoS hand-shakes", &["MQTT-4.4.0-1"]);
    // MQTT 3.1.1 does not forbid it.
    fine(&builder(Version::V3_1_1).build());
}

#[test]
fn publish_again_after_its_pubrel() {
    let released = || {
        let messages = client(Version::V5).resuming().asked("a", asks("one"));
        messages
            .connects("a", false)
            .received("a", publish(QOS2, 1, "one"))
            .sent("a", pubrec(1))
            .received("a", pubrel(1))
            .lost("a")
            .connects("a", true)
    };
    let same = || publish(QOS2, 1, "one");
    let later = released().received("a", pubrel(1));
    let clauses: &[&str] = &["MQTT-4.3.3-6"];
    broken(released().received("a", again(same())), Version::V5, "QoS hand-shakes", clauses);
    // Without DUP it is the same message if there was no other one, before and after the PUBREL is
    // repeated.
    broken(released().received("a", same()), Version::V5, "QoS hand-shakes", clauses);
    broken(later.received("a", same()), Version::V5, "QoS hand-shakes", clauses);
    let other = released().received("a", publish(QOS2, 1, "two"));
    broken(other, Version::V5, "Packet Identifiers", &["MQTT-2.2.1-3"]);
}

fn asks(payload: &str) -> Asked {
    Asked::Publish { message: message(payload, QOS2), handle: 1 }
}

/// It may be the old message, without DUP, or an equal one whose identifier is in use.
#[test]
fn equal_message_without_dup_in_an_open_exchange() {
    let opened = |version| {
        let opened = client(version).resuming().connects("a", false).received("a", publish(QOS2, 1, "one"));
        opened.sent("a", pubrec(1))
    };
    let same = || publish(QOS2, 1, "one");
    for (version, clauses) in [(Version::V5, &[][..]), (Version::V3_1_1, &["MQTT-4.3.3-1"])] {
        let twice = opened(version).asked("a", asks("one")).asked("a", asks("one"));
        // 3.1.1 4.3.3-1 forbids both.
        let released = twice.received("a", pubrel(1)).received("a", same());
        broken(released, version, "QoS hand-shakes", clauses);
    }
    // Nothing says how often the application asked.
    let reconnected = |builder: HistoryBuilder| builder.lost("a").connects("a", true).received("a", same());
    broken(reconnected(opened(Version::V5)), Version::V5, "QoS hand-shakes", &[]);
    let once = opened(Version::V5).asked("a", asks("one"));
    broken(reconnected(once), Version::V5, "QoS hand-shakes", &["MQTT-3.3.1-1"]);
}

/// A Server may have an equal message to send because it was published twice, or because two
/// Subscriptions match it.
#[test]
fn equal_message_of_a_server() {
    let sends_twice = |builder: HistoryBuilder| {
        let builder = builder.received("a", publish(QOS2, 1, "one")).sent("a", pubrec(1));
        let builder = builder.received("a", pubrel(1)).received("a", publish(QOS2, 1, "one"));
        broken(builder, Version::V5, "QoS hand-shakes", &[])
    };
    let two = || HistoryBuilder::of(Version::V5, Role::Client, &["a", "b"]).connects("b", false);
    let subscribed = || two().connects("a", false).subscribes("a", "t", QOS2);
    let published = |builder: HistoryBuilder, id| {
        builder.sent("b", publish(QOS2, id, "one")).received("b", pubrec(id)).sent("b", pubrel(id))
    };
    sends_twice(published(published(subscribed(), 1), 2));
    sends_twice(published(subscribed().subscribes("a", "#", QOS2), 1));
    let once = published(subscribed().subscribes("a", "other", QOS2), 1);
    let once = once.received("a", publish(QOS2, 1, "one")).sent("a", pubrec(1));
    let once = once.received("a", pubrel(1)).received("a", publish(QOS2, 1, "one"));
    broken(once, Version::V5, "QoS hand-shakes", &["MQTT-4.3.3-6"]);
}

#[test]
fn pubrel_without_pubrec() {
    let builder = broker(Version::V5)
        .connects("a", false)
        .received("a", publish(QOS2, 1, "one"))
        .received("a", pubrel(1));
    broken(builder, Version::V5, "QoS hand-shakes", &["MQTT-4.3.3-3"]);
}

#[test]
fn pubrel_without_publish() {
    let builder = || broker(Version::V5).connects("a", false);
    broken(builder().received("a", pubrel(1)), Version::V5, "QoS hand-shakes", &["MQTT-4.3.3-4"]);
    let builder = builder().received("a", publish(QOS1, 1, "one")).received("a", pubrel(1));
    broken(builder, Version::V5, "QoS hand-shakes", &["MQTT-4.3.3-4"]);
}

/// A client that has sent both, and has lost the connection.
fn with_open_exchanges(builder: HistoryBuilder) -> HistoryBuilder {
    builder
        .connects("a", false)
        .received("a", publish(QOS1, 1, "one"))
        .received("a", publish(QOS2, 2, "two"))
        .sent("a", pubrec(2))
        .received("a", pubrel(2))
        .lost("a")
}

#[test]
fn packets_of_an_ended_session() {
    let (v5, v3_1_1) = ((Version::V5, "MQTT-4.4.0-1"), (Version::V3_1_1, "MQTT-3.1.2-6"));
    for (of_peer, (version, clause), is_clean) in [
        (client as fn(Version) -> HistoryBuilder, v5, false),
        (client, v5, true),
        (client, v3_1_1, true),
        (broker, v5, false),
        (broker, v5, true),
    ] {
        let reconnected = || {
            let first = of_peer(version);
            let first = if is_clean { first } else { first.resuming() };
            with_open_exchanges(first).connects("a", false)
        };
        let builder = reconnected().received("a", again(publish(QOS1, 1, "one")));
        broken(builder, version, "QoS hand-shakes", &[clause]);
        broken(reconnected().received("a", pubrel(2)), version, "QoS hand-shakes", &[clause]);
        // A new message may have the identifier.
        fine(&reconnected().received("a", publish(QOS1, 1, "one")).build());
    }
}

/// 3.1.1 §3.2.2.2: a Client that finds no Session at the Server chooses whether it goes on with its
/// own.
#[test]
fn client_of_3_1_1_whose_server_has_lost_the_session() {
    let reconnected = || with_open_exchanges(client(Version::V3_1_1).resuming()).connects("a", false);
    fine(&reconnected().received("a", again(publish(QOS1, 1, "one"))).received("a", pubrel(2)).build());
    fine(&reconnected().received("a", publish(QOS2, 1, "another")).build());
}

#[test]
fn acknowledgements_answer_something() {
    fine(
        &broker(Version::V5)
            .connects("a", false)
            .sent("a", publish(QOS1, 1, "one"))
            .received("a", puback(1))
            .sent("a", publish(QOS2, 1, "two"))
            .sent("a", again(publish(QOS2, 1, "two")))
            .received("a", pubrec(1))
            .received("a", pubrec(1))
            .sent("a", pubrel(1))
            .received("a", pubcomp(1))
            .build(),
    );
    let builder =
        broker(Version::V5).connects("a", false).sent("a", publish(QOS1, 1, "one")).received("a", puback(2));
    broken(builder, Version::V5, "QoS hand-shakes", &["MQTT-2.2.1-5"]);
    let builder = broker(Version::V3_1_1)
        .connects("a", false)
        .sent("a", publish(QOS2, 1, "x"))
        .received("a", puback(1));
    // Its Packet Identifier is right.
    broken(builder, Version::V3_1_1, "QoS hand-shakes", &["MQTT-3.3.4-1"]);
    let builder = broker(Version::V3_1_1)
        .connects("a", false)
        .sent("a", publish(QOS1, 1, "x"))
        .received("a", pubrec(2));
    broken(builder, Version::V3_1_1, "QoS hand-shakes", &["MQTT-2.3.1-6"]);
    // No statement forbids a second acknowledgement.
    for version in [Version::V3_1_1, Version::V5] {
        fine(
            &broker(version)
                .connects("a", false)
                .sent("a", publish(QOS1, 1, "one"))
                .received("a", puback(1))
                .received("a", puback(1))
                .sent("a", publish(QOS2, 2, "two"))
                .received("a", pubrec(2))
                .received("a", pubrec(2))
                // Not even when a message with another QoS has the identifier by then.
                .sent("a", publish(QOS2, 1, "three"))
                .received("a", puback(1))
                .build(),
        );
    }
}

/// The broker answers each PUBREC of a client that sends it twice.
#[test]
fn each_of_two_pubrecs_is_answered() {
    fine(
        &broker(Version::V5)
            .connects("a", false)
            .received("a", publish(QOS2, 1, "one"))
            .sent("a", pubrec(1))
            .sent("a", pubrec(1))
            .received("a", pubrel(1))
            .received("a", pubrel(1))
            .sent("a", pubcomp(1))
            .build(),
    );
}

#[test]
fn client_acknowledges_in_order() {
    let two = || {
        client(Version::V5)
            .connects("a", false)
            .sent("a", publish(QOS1, 1, "one"))
            .sent("a", publish(QOS1, 2, "two"))
    };
    fine(&two().received("a", puback(1)).received("a", puback(2)).build());
    let builder = two().received("a", puback(2)).received("a", puback(1));
    broken(builder, Version::V5, "order of acknowledgements", &["MQTT-4.6.0-2"]);
}

#[test]
fn receive_maximum_kept() {
    let builder = |maximum| {
        broker(Version::V5)
            .receive_maximum(maximum)
            .connects("a", false)
            .received("a", publish(QOS1, 1, "one"))
            .received("a", publish(QOS2, 2, "two"))
            .sent("a", pubrec(2))
            .received("a", publish(QoS::AtMostOnce, 0, "not counted"))
            .received("a", pubrel(2))
    };
    fine(&builder(2).sent("a", pubcomp(2)).received("a", publish(QOS1, 3, "three")).build());
    let finding = broken(
        builder(2).received("a", publish(QOS1, 3, "three")),
        Version::V5,
        "Receive Maximum",
        &["MQTT-3.3.4-9", "MQTT-4.9.0-2"],
    );
    insta::assert_snapshot!(finding.expected, @"at most 2 PUBLISH packets in flight (Receive Maximum)");
    // The quota belongs to the connection: packets in flight on the previous one do not count
    // (§4.9).
    fine(
        &builder(2)
            .lost("a")
            .resuming()
            .connects("a", true)
            .received("a", again(publish(QOS1, 1, "one")))
            .build(),
    );
}

/// The acknowledgement and the PUBLISH cross: the peer may count the exchange as complete.
#[test]
fn acknowledgements_before_their_publish() {
    let early = || {
        broker(Version::V5)
            .receive_maximum(2)
            .connects("a", false)
            .sent("a", puback(1))
            .received("a", publish(QOS1, 1, "one"))
            .received("a", publish(QOS1, 2, "two"))
            .received("a", publish(QOS1, 3, "three"))
    };
    fine(&early().build());
    let clauses = ["MQTT-3.3.4-9", "MQTT-4.9.0-2"];
    broken(early().received("a", publish(QOS1, 4, "four")), Version::V5, "Receive Maximum", &clauses);
    fine(
        &broker(Version::V5)
            .connects("a", false)
            .sent("a", pubrec(1))
            .received("a", publish(QOS2, 1, "one"))
            .received("a", pubrel(1))
            .build(),
    );
}

#[test]
fn receive_maximum_of_the_server_binds_the_client() {
    let builder = client(Version::V5)
        .receive_maximum(1)
        .connects("a", false)
        .received("a", publish(QOS1, 1, "one"))
        .received("a", publish(QOS1, 2, "two"));
    broken(builder, Version::V5, "Receive Maximum", &["MQTT-3.3.4-7", "MQTT-4.9.0-2"]);
}

#[test]
fn a_packet_that_only_the_other_role_may_send() {
    let builder = broker(Version::V5).connects("a", false).received_malformed("a", &[0xc0, 0x00]);
    broken(builder, Version::V5, "well-formed packets", &["U5-156"]);
}

#[test]
fn reactions_to_invalid_bytes_are_not_judged() {
    fine(&broker(Version::V5).connects("a", false).raw("a").received("a", puback(1)).build());
}

#[test]
fn no_packet_above_the_maximum_packet_size() {
    // PUBLISH at QoS 1 to "t" with 12 bytes: 2 of fixed header, 3 of topic, 2 of identifier, 1 of
    // properties.
    let builder = |size| {
        broker(Version::V5)
            .maximum_packet_size(size)
            .connects("a", false)
            .received("a", publish(QOS1, 1, "twelve bytes"))
    };
    fine(&builder(20).build());
    let finding = broken(builder(19), Version::V5, "Maximum Packet Size", &["MQTT-3.1.2-24"]);
    insta::assert_snapshot!(finding.actual, @"a packet of 20 bytes of the Server on the connection of a");
    let builder = client(Version::V5)
        .maximum_packet_size(19)
        .connects("a", false)
        .received("a", publish(QOS1, 1, "twelve bytes"));
    broken(builder, Version::V5, "Maximum Packet Size", &["MQTT-3.2.2-15"]);
}

#[test]
fn a_connack_counts_against_the_maximum_packet_size() {
    // CONNACK of 5 bytes: 2 of fixed header, flags, Reason Code, no properties.
    fine(&broker(Version::V5).maximum_packet_size(5).connects("a", false).build());
    let builder = broker(Version::V5).maximum_packet_size(4).connects("a", false);
    broken(builder, Version::V5, "Maximum Packet Size", &["MQTT-3.1.2-24"]);
}

/// A message with a Topic Alias, and with or without the Topic Name.
fn aliased(alias: u16, named: bool) -> mqttspec_codec::Publish {
    let alias = mqttspec_codec::TopicAlias(alias.try_into().expect("not 0"));
    let mut publish = publish(QoS::AtMostOnce, 0, "one").with(alias);
    if !named {
        publish.topic = None;
    }
    publish
}

#[test]
fn topic_aliases_up_to_the_maximum() {
    let builder = || broker(Version::V5).topic_alias_maximum(2).connects("a", false);
    fine(&builder().received("a", aliased(2, true)).received("a", aliased(2, false)).build());
    let above = ["MQTT-3.3.2-11", "MQTT-3.1.2-26"];
    broken(builder().received("a", aliased(3, true)), Version::V5, "Topic Aliases", &above);
    let builder =
        client(Version::V5).topic_alias_maximum(2).connects("a", false).received("a", aliased(3, true));
    broken(builder, Version::V5, "Topic Aliases", &["MQTT-3.3.2-9", "MQTT-3.2.2-17"]);
}

#[test]
fn no_topic_alias_where_no_maximum_is_announced() {
    let builder = broker(Version::V5).connects("a", false).received("a", aliased(1, true));
    broken(builder, Version::V5, "Topic Aliases", &["MQTT-3.1.2-27"]);
    let builder = client(Version::V5).connects("a", false).received("a", aliased(1, true));
    broken(builder, Version::V5, "Topic Aliases", &["MQTT-3.2.2-18"]);
}

#[test]
fn topic_aliases_end_with_their_connection() {
    let builder = broker(Version::V5)
        .topic_alias_maximum(2)
        .connects("a", false)
        .received("a", aliased(1, true))
        .lost("a")
        .resuming()
        .connects("a", true)
        .received("a", aliased(1, false));
    let finding = broken(builder, Version::V5, "Topic Aliases", &["U5-080", "MQTT-3.3.2-7"]);
    insta::assert_snapshot!(finding.actual, @"Topic Alias 1, which the Server has not set, in place of the Topic Name on the connection of a");
}

#[test]
fn a_session_that_began_before_the_history_may_hold_any_exchange() {
    for version in [Version::V3_1_1, Version::V5] {
        fine(&client(version).resuming().connects("a", true).received("a", pubrel(7)).build());
    }
}

#[test]
fn mqtt_3_1_has_only_the_rules_that_it_states() {
    let unasked = broker(Version::V3_1).connects("a", false).received("a", puback(7));
    broken(unasked, Version::V3_1, "QoS hand-shakes", &["U31-004"]);
    let reused = broker(Version::V3_1)
        .connects("a", false)
        .received("a", publish(QOS1, 1, "one"))
        .received("a", publish(QOS1, 1, "two"));
    broken(reused, Version::V3_1, "Packet Identifiers", &["U31-002"]);
    // DUP 1 the first time, and DUP 1 with QoS 0.
    fine(&client(Version::V3_1).connects("a", false).received("a", again(publish(QOS2, 1, "one"))).build());
    let dup = b"\x38\x03\x00\x01t";
    fine(&broker(Version::V3_1).connects("a", false).received_malformed("a", dup).build());
    let of_3_1_1 = broker(Version::V3_1_1).connects("a", false).received_malformed("a", dup);
    broken(of_3_1_1, Version::V3_1_1, "well-formed packets", &["MQTT-3.3.1-2"]);
    let both_qos_bits =
        broker(Version::V3_1).connects("a", false).received_malformed("a", b"\x36\x03\x00\x01t");
    broken(both_qos_bits, Version::V3_1, "well-formed packets", &[]);
}
