//! Each rule accepts what is right and reports what is wrong.

use mqttspec_codec::{QoS, Role, Version};

use super::judge;
use crate::history::builder::{HistoryBuilder, again, puback, publish, pubrec, pubrel};

fn clauses(builder: HistoryBuilder) -> Vec<String> {
    let findings = judge(&builder.build());
    findings.into_iter().flat_map(|finding| finding.requirements).map(|broken| broken.clause).collect()
}

fn subscribed(qos: QoS) -> HistoryBuilder {
    HistoryBuilder::of(Version::V5, Role::Client, &["reader", "writer"])
        .connects("reader", false)
        .subscribes("reader", "t", qos)
        .connects("writer", false)
        .sent("writer", publish(QoS::AtLeastOnce, 1, "one"))
        .received("writer", puback(1))
}

#[test]
fn a_right_delivery_has_no_finding() {
    let message = || publish(QoS::AtLeastOnce, 1, "one");
    assert!(clauses(subscribed(QoS::AtLeastOnce).received("reader", message())).is_empty());
    let repeated =
        subscribed(QoS::AtLeastOnce).received("reader", message()).received("reader", again(message()));
    assert!(clauses(repeated).is_empty());
}

#[test]
fn a_message_without_a_subscription_is_forbidden() {
    let builder = HistoryBuilder::of(Version::V5, Role::Client, &["reader"])
        .connects("reader", false)
        .received("reader", publish(QoS::AtMostOnce, 1, "one"));
    assert_eq!(clauses(builder), ["MQTT-3.3.2-3"]);
}

#[test]
fn the_qos_is_the_lower_of_both() {
    let builder = subscribed(QoS::AtMostOnce).received("reader", publish(QoS::AtLeastOnce, 1, "one"));
    assert_eq!(clauses(builder), ["MQTT-3.8.4-8"]);
}

#[test]
fn a_message_comes_once_for_each_subscription() {
    let builder = subscribed(QoS::AtLeastOnce)
        .received("reader", publish(QoS::AtLeastOnce, 1, "one"))
        .received("reader", publish(QoS::AtLeastOnce, 2, "one"));
    assert_eq!(clauses(builder), ["MQTT-3.3.1-1"]);
}

#[test]
fn a_message_on_a_standing_subscription_is_not_retained() {
    let mut message = publish(QoS::AtLeastOnce, 1, "one");
    message.retain = true;
    assert_eq!(clauses(subscribed(QoS::AtLeastOnce).received("reader", message)), ["MQTT-3.3.1-12"]);
}

#[test]
fn nothing_is_said_after_raw_bytes() {
    let builder =
        HistoryBuilder::of(Version::V5, Role::Client, &["reader"]).connects("reader", false).raw("reader");
    assert!(clauses(builder.received("reader", publish(QoS::AtMostOnce, 1, "one"))).is_empty());
}

#[test]
fn a_packet_is_answered_while_its_connection_stands() {
    let sent = |qos| {
        HistoryBuilder::of(Version::V5, Role::Client, &["writer", "other"])
            .connects("other", false)
            .connects("writer", false)
            .sent("writer", publish(qos, 1, "one"))
            .waits(5)
    };
    let later = |builder: HistoryBuilder| clauses(builder.sent("other", publish(QoS::AtMostOnce, 0, "late")));
    assert_eq!(later(sent(QoS::AtLeastOnce)), ["MQTT-4.3.2-4"]);
    assert_eq!(later(sent(QoS::ExactlyOnce)), ["MQTT-4.3.3-8"]);
    assert_eq!(later(sent(QoS::ExactlyOnce).received("writer", pubrec(1))), Vec::<String>::new());
    assert_eq!(later(sent(QoS::AtLeastOnce).lost("writer")), Vec::<String>::new());
    let released = sent(QoS::ExactlyOnce).received("writer", pubrec(1)).sent("writer", pubrel(1));
    assert_eq!(later(released.waits(5)), ["MQTT-4.3.3-11"]);
    let pinged = sent(QoS::AtMostOnce).sent("writer", mqttspec_codec::Packet::PingReq).waits(5);
    assert_eq!(later(pinged), ["MQTT-3.12.4-1"]);
}
