//! Each rule accepts what is right and reports what is wrong.

use mqttspec_codec::{PayloadFormatIndicator, QoS, Role, Version};

use super::{Tolerance, judge};
use crate::history::builder::{HistoryBuilder, again, id, puback, publish, pubrec, pubrel, received};

fn clauses(builder: HistoryBuilder) -> Vec<String> {
    let findings = judge(&builder.build(), Tolerance::default());
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
fn a_payload_format_indicator_of_0_may_be_left_out() {
    let message = |format: Option<PayloadFormatIndicator>| {
        let mut message = publish(QoS::AtLeastOnce, 1, "one");
        if let Some(format) = format {
            message.properties.set(format);
        }
        message
    };
    let forwarded = |sent, had| {
        let builder = HistoryBuilder::of(Version::V5, Role::Client, &["reader", "writer"])
            .connects("reader", false)
            .subscribes("reader", "t", QoS::AtLeastOnce)
            .connects("writer", false)
            .sent("writer", message(sent))
            .received("reader", message(had));
        clauses(builder)
    };
    let [bytes, text] = [PayloadFormatIndicator::Unspecified, PayloadFormatIndicator::Utf8].map(Some);
    assert!(forwarded(bytes, None).is_empty() && forwarded(None, bytes).is_empty());
    assert_eq!(forwarded(text, None), ["MQTT-3.3.2-4"]);
    assert_eq!(forwarded(None, text), ["MQTT-3.3.2-4"]);
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
    let released = sent(QoS::ExactlyOnce).received("writer", pubrec(1)).sent("writer", pubrel(1));
    assert_eq!(later(released.waits(5)), ["MQTT-4.3.3-11"]);
    let pinged = sent(QoS::AtMostOnce).sent("writer", mqttspec_codec::Packet::PingReq).waits(5);
    assert_eq!(later(pinged), ["MQTT-3.12.4-1"]);
}

#[test]
fn a_lost_connection_owes_no_answer() {
    let builder = HistoryBuilder::of(Version::V5, Role::Client, &["writer", "other"])
        .connects("other", false)
        .connects("writer", false)
        .sent("writer", publish(QoS::AtLeastOnce, 1, "one"))
        .lost("writer")
        .waits(5)
        .sent("other", publish(QoS::AtMostOnce, 0, "late"));
    assert_eq!(clauses(builder), Vec::<String>::new());
}

#[test]
fn a_repeated_qos2_message_has_an_answer_of_its_own() {
    let message = || publish(QoS::ExactlyOnce, 1, "one");
    let builder = || {
        HistoryBuilder::of(Version::V5, Role::Client, &["writer"])
            .connects("writer", false)
            .sent("writer", message())
            .sent("writer", again(message()))
            .received("writer", pubrec(1))
    };
    let later = |builder: HistoryBuilder| {
        clauses(builder.waits(5).sent("writer", publish(QoS::AtMostOnce, 0, "late")))
    };
    assert_eq!(later(builder()), ["MQTT-4.3.3-8"]);
    assert_eq!(later(builder().received("writer", pubrec(1))), Vec::<String>::new());
}

#[test]
fn clean_start_begins_a_new_session() {
    let builder = HistoryBuilder::of(Version::V5, Role::Client, &["reader"]).connects("reader", true);
    assert!(clauses(builder).contains(&"MQTT-3.2.2-2".to_owned()));
    let builder = HistoryBuilder::of(Version::V3_1_1, Role::Client, &["reader"]).connects("reader", true);
    assert!(clauses(builder).contains(&"MQTT-3.2.2-1".to_owned()));
}

#[test]
fn a_malformed_packet_ends_the_connection() {
    let malformed = || {
        HistoryBuilder::of(Version::V5, Role::Client, &["bad", "good"])
            .connects("good", false)
            .connects("bad", false)
            .sent_raw("bad", &[0xc1, 0x00])
    };
    let later =
        |builder: HistoryBuilder| clauses(builder.waits(20).sent("good", mqttspec_codec::Packet::PingReq));
    assert_eq!(later(malformed()), ["MQTT-4.13.1-1", "MQTT-2.1.3-1"]);
    assert_eq!(later(malformed().lost("bad")), Vec::<String>::new());
    // The rest of an incomplete packet may still come.
    let incomplete = HistoryBuilder::of(Version::V5, Role::Client, &["bad", "good"])
        .connects("good", false)
        .connects("bad", false)
        .sent_raw("bad", &[0x30, 0x05, 0x00]);
    assert_eq!(later(incomplete), Vec::<String>::new());
}

#[test]
fn connack_comes_once() {
    let builder = HistoryBuilder::of(Version::V5, Role::Client, &["reader"])
        .connects("reader", false)
        .received("reader", mqttspec_codec::ConnAck::accepted(false));
    assert_eq!(clauses(builder), ["MQTT-3.2.0-2"]);
}

#[test]
fn a_suback_has_a_code_for_each_filter_and_grants_no_more() {
    let granted = |asked, granted| {
        let filter = mqttspec_codec::TopicFilter::try_from("t").expect("a Topic Filter");
        let subscribe =
            mqttspec_codec::Subscribe::new(id(7), mqttspec_codec::Subscription::new(filter, asked));
        let ack = mqttspec_codec::SubAck::new(id(7), granted);
        let builder = HistoryBuilder::of(Version::V5, Role::Client, &["reader"]).connects("reader", false);
        clauses(builder.sent("reader", subscribe).received("reader", ack))
    };
    use mqttspec_codec::SubAckReason::{GrantedQoS0, GrantedQoS1};
    assert_eq!(granted(QoS::AtMostOnce, GrantedQoS1), ["MQTT-3.8.4-7"]);
    assert_eq!(granted(QoS::AtLeastOnce, GrantedQoS0), Vec::<String>::new());
}

#[test]
fn what_is_unacknowledged_comes_again_in_a_resumed_session() {
    let lost = |builder: HistoryBuilder| {
        let old = builder.resuming().connects("reader", false).subscribes("reader", "t", QoS::AtLeastOnce);
        let old = old.sent("reader", publish(QoS::AtLeastOnce, 5, "one")).received("reader", puback(5));
        old.received("reader", publish(QoS::AtLeastOnce, 1, "one")).lost("reader").connects("reader", true)
    };
    let builder = || HistoryBuilder::of(Version::V5, Role::Client, &["reader"]);
    let later = |builder: HistoryBuilder| {
        clauses(builder.waits(6).sent("reader", publish(QoS::AtMostOnce, 0, "late")))
    };
    assert_eq!(later(lost(builder())), ["MQTT-4.4.0-1"]);
    let repeated = lost(builder()).received("reader", again(publish(QoS::AtLeastOnce, 1, "one")));
    assert_eq!(later(repeated), Vec::<String>::new());
}

#[test]
fn an_application_has_each_qos_0_message_once() {
    let message = || publish(QoS::AtMostOnce, 0, "one");
    let builder = || {
        HistoryBuilder::of(Version::V5, Role::Server, &["reader"])
            .connects("reader", false)
            .sent("reader", message())
            .told("reader", received("one", QoS::AtMostOnce))
    };
    assert_eq!(clauses(builder()), Vec::<String>::new());
    assert_eq!(clauses(builder().told("reader", received("one", QoS::AtMostOnce))), ["MQTT-4.3.1-1"]);
}

#[test]
fn a_client_is_not_silent_for_longer_than_its_keep_alive() {
    let silent = |seconds| {
        let builder = HistoryBuilder::of(Version::V5, Role::Server, &["reader"]).connects("reader", false);
        clauses(builder.waits(seconds).received("reader", mqttspec_codec::Packet::PingReq))
    };
    assert_eq!(silent(59), Vec::<String>::new());
    assert!(silent(70).contains(&"MQTT-3.1.2-20".to_owned()));
}

#[test]
fn bytes_that_are_no_packet_are_no_sign_of_life() {
    let timed_out = |builder: HistoryBuilder| {
        let mut disconnect = mqttspec_codec::Disconnect::normal();
        disconnect.reason = mqttspec_codec::DisconnectReason::KeepAliveTimeout;
        clauses(builder.waits(20).received("reader", mqttspec_codec::Packet::Disconnect(disconnect)))
    };
    let builder = || {
        let builder = HistoryBuilder::of(Version::V5, Role::Client, &["reader"]);
        builder.connects("reader", false).waits(40)
    };
    let message = publish(QoS::AtMostOnce, 0, "one");
    assert_eq!(timed_out(builder().sent("reader", message)), ["MQTT-3.1.2-22"]);
    assert_eq!(timed_out(builder().sent_raw("reader", &[0x30])), Vec::<String>::new());
}

#[test]
fn a_message_in_raw_bytes_may_reach_the_application() {
    let builder = HistoryBuilder::of(Version::V5, Role::Server, &["reader"])
        .connects("reader", false)
        .sent_raw("reader", &[0x30, 0x07, 0x00, 0x01, b't', 0x00, b'o', b'n', b'e'])
        .told("reader", received("one", QoS::AtMostOnce));
    assert_eq!(clauses(builder), Vec::<String>::new());
}

#[test]
fn no_local_is_about_messages_that_are_published_later() {
    let subscribed = |builder: HistoryBuilder| {
        let filter = mqttspec_codec::TopicFilter::try_from("t").expect("a Topic Filter");
        let mut subscription = mqttspec_codec::Subscription::new(filter, QoS::AtLeastOnce);
        subscription.no_local = true;
        let subscribe = mqttspec_codec::Subscribe::new(id(7), subscription);
        let ack = mqttspec_codec::SubAck::new(id(7), mqttspec_codec::SubAckReason::GrantedQoS1);
        builder.sent("reader", subscribe).received("reader", ack)
    };
    let builder = || HistoryBuilder::of(Version::V5, Role::Client, &["reader"]).connects("reader", false);
    let published = |builder: HistoryBuilder| {
        builder.sent("reader", publish(QoS::AtLeastOnce, 1, "one").retained()).received("reader", puback(1))
    };
    let later = published(subscribed(builder())).received("reader", publish(QoS::AtLeastOnce, 1, "one"));
    assert_eq!(clauses(later), ["MQTT-3.8.3-3"]);
    let before = subscribed(published(builder()));
    let before = before.received("reader", publish(QoS::AtLeastOnce, 1, "one").retained());
    assert_eq!(clauses(before), Vec::<String>::new());
}

#[test]
fn a_message_is_owed_when_nothing_more_comes() {
    let other = || publish(QoS::AtLeastOnce, 2, "another");
    let run = |waits| {
        let builder =
            subscribed(QoS::AtLeastOnce).waits(5).sent("writer", other()).received("writer", puback(2));
        let builder = builder.received("reader", publish(QoS::AtLeastOnce, 1, "another"));
        let builder = builder.sent("reader", puback(1)).waits(waits);
        clauses(builder.sent("writer", publish(QoS::AtMostOnce, 0, "late")))
    };
    assert_eq!(run(1), Vec::<String>::new());
    assert_eq!(run(6), ["MQTT-4.5.0-1"]);
}

#[test]
fn a_message_of_exactly_the_maximum_size_is_owed() {
    let run = |size| {
        let builder = HistoryBuilder::of(Version::V5, Role::Client, &["reader", "writer"])
            .maximum_packet_size(size)
            .connects("reader", false)
            .subscribes("reader", "t", QoS::AtLeastOnce)
            .connects("writer", false);
        let builder =
            builder.sent("writer", publish(QoS::AtLeastOnce, 1, "one")).received("writer", puback(1));
        let builder = builder.waits(5).sent("reader", mqttspec_codec::Packet::PingReq);
        let builder = builder.received("reader", mqttspec_codec::Packet::PingResp).waits(5);
        clauses(builder.sent("writer", publish(QoS::AtMostOnce, 0, "late")))
    };
    // Fixed header 2, topic 3, identifier 2, properties 1, payload 3.
    assert_eq!(run(11), ["MQTT-4.5.0-1"]);
    assert_eq!(run(10), Vec::<String>::new());
}

/// A client that resolves a Topic Alias wrongly reports a message that was not sent. That says
/// nothing about how often a message comes.
#[test]
fn a_message_that_was_not_sent_has_no_qos() {
    let builder = HistoryBuilder::of(Version::V5, Role::Server, &["reader"]).connects("reader", false);
    let sends = builder.sent("reader", publish(QoS::AtMostOnce, 0, "one"));
    for qos in [QoS::AtMostOnce, QoS::ExactlyOnce] {
        assert_eq!(clauses(sends.clone().told("reader", received("other", qos))), Vec::<String>::new());
    }
}

/// No text forbids it, although the identifier is free then.
#[test]
fn a_refused_message_may_have_a_pubrel() {
    let run = |reason| {
        let mut refusal = pubrec(1);
        refusal.reason = reason;
        let builder = HistoryBuilder::of(Version::V5, Role::Client, &["reader", "writer"])
            .connects("reader", false)
            .subscribes("reader", "t", QoS::ExactlyOnce)
            .connects("writer", false)
            .sent("writer", publish(QoS::ExactlyOnce, 1, "one"))
            .received("writer", pubrec(1));
        let builder = builder.received("reader", publish(QoS::ExactlyOnce, 1, "one"));
        clauses(builder.sent("reader", refusal).received("reader", pubrel(1)))
    };
    use mqttspec_codec::PubAckReason::{QuotaExceeded, Success};
    assert_eq!(run(QuotaExceeded), Vec::<String>::new());
    assert_eq!(run(Success), Vec::<String>::new());
}

#[test]
fn a_client_that_authenticates_waits_for_connack() {
    use mqttspec_codec::{AuthenticationMethod, Connect, Packet, Utf8String};
    let run = |with_method: bool| {
        let mut connect = Connect::new(Version::V5, Utf8String::from_static("reader"));
        if with_method {
            connect.properties.set(AuthenticationMethod(Utf8String::from_static("PLAIN")));
        }
        let builder = HistoryBuilder::of(Version::V5, Role::Server, &["reader"]).opens("reader");
        clauses(builder.received("reader", connect).received("reader", Packet::PingReq))
    };
    assert_eq!(run(true), ["MQTT-3.1.2-30"]);
    assert_eq!(run(false), Vec::<String>::new());
}

#[test]
fn a_session_ends_as_disconnect_asks() {
    use mqttspec_codec::{ConnAck, Connect, Disconnect, SessionExpiryInterval, Utf8String};
    let run = |expiry, present| {
        let connect = || {
            let mut connect = Connect::new(Version::V5, Utf8String::from_static("reader"));
            connect.clean_start = false;
            connect.with(SessionExpiryInterval(3600))
        };
        let disconnect = Disconnect::normal().with(SessionExpiryInterval(expiry));
        let builder = HistoryBuilder::of(Version::V5, Role::Client, &["reader"]).opens("reader");
        let builder = builder.sent("reader", connect()).received("reader", ConnAck::accepted(false));
        let builder = builder.sent("reader", disconnect).closes("reader").waits(20).opens("reader");
        clauses(builder.sent("reader", connect()).received("reader", ConnAck::accepted(present)))
    };
    assert_eq!(run(2, true), ["MQTT-4.1.0-2", "MQTT-3.2.2-3"]);
    assert_eq!(run(2, false), Vec::<String>::new());
    assert_eq!(run(60, true), Vec::<String>::new());
}

#[test]
fn a_qos_2_message_with_a_pubcomp_is_at_the_application() {
    use crate::history::builder::pubcomp;
    let run = |told: bool| {
        let builder = HistoryBuilder::of(Version::V5, Role::Server, &["reader"])
            .connects("reader", false)
            .sent("reader", publish(QoS::ExactlyOnce, 1, "one"))
            .received("reader", pubrec(1))
            .sent("reader", pubrel(1))
            .received("reader", pubcomp(1));
        let builder = if told { builder.told("reader", received("one", QoS::ExactlyOnce)) } else { builder };
        clauses(builder.waits(12).received("reader", mqttspec_codec::Packet::PingReq))
    };
    assert_eq!(run(true), Vec::<String>::new());
    assert_eq!(run(false), ["MQTT-4.3.3-8"]);
}

#[test]
fn a_topic_alias_stands_for_the_topic_that_the_application_named() {
    use crate::history::Asked;
    use crate::history::builder::message;
    use mqttspec_codec::{TopicAlias, TopicName};
    let run = |other: &'static str| {
        let alias = || TopicAlias(1.try_into().expect("not 0"));
        let mut first = publish(QoS::AtMostOnce, 0, "one").with(alias());
        first.topic = Some(TopicName::from_static(other));
        let mut second = publish(QoS::AtMostOnce, 0, "two").with(alias());
        second.topic = None;
        let asked = Asked::Publish { message: message("two", QoS::AtMostOnce), handle: 1 };
        let builder = HistoryBuilder::of(Version::V5, Role::Server, &["writer"])
            .topic_alias_maximum(1)
            .connects("writer", false);
        clauses(builder.asked("writer", asked).received("writer", first).received("writer", second))
    };
    assert_eq!(run("t"), Vec::<String>::new());
    assert_eq!(run("other"), ["U5-079"]);
}

#[test]
fn a_refused_client_takes_nothing_over() {
    use mqttspec_codec::{ConnAck, Connect, ConnectReason, Utf8String};
    let run = |reason, waits| {
        let connect = || Connect::new(Version::V5, Utf8String::from_static("owner"));
        let answer = match reason {
            ConnectReason::Success => ConnAck::accepted(false),
            reason => ConnAck::refused(reason),
        };
        let builder = HistoryBuilder::of(Version::V5, Role::Client, &["owner", "other"])
            .connects("owner", false)
            .waits(waits)
            .opens("other")
            .sent("other", connect())
            .closed("owner")
            .received("other", answer)
            // The owner comes back.
            .waits(1)
            .connects("owner", false);
        clauses(builder)
    };
    assert_eq!(run(ConnectReason::NotAuthorized, 2), ["U5-050"]);
    // What the owner sent shortly before may be the reason.
    assert_eq!(run(ConnectReason::NotAuthorized, 0), Vec::<String>::new());
    assert_eq!(run(ConnectReason::Success, 2), Vec::<String>::new());
}
