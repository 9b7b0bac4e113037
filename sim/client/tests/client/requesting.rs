//! Request and response: §4.10 of 5.0.

use mqttspec_client::{Awaited, Command, Error, Event, Handle, Invalid, Message, Publication};
use mqttspec_codec::{
    ConnAck, CorrelationData, Delivery, Packet, PubAck, PubAckReason, Publish, QoS, ResponseInformation,
    ResponseTopic, SubAck, SubAckReason, TopicName, Utf8String, Version,
};

use crate::bench::{Bench, id, incoming, options, puback, seconds};

fn request(bench: &mut Bench) -> Handle {
    bench.command(Command::Request {
        publication: Publication::new(TopicName::from_static("light/get"), "?"),
        response_topic: None,
        timeout: Some(seconds(10)),
    })
}

/// Grants the subscription to the Response Topic, and returns the request that was sent.
fn granted(bench: &mut Bench) -> Publish {
    let Packet::Subscribe(subscribe) = bench.sent() else { panic!("no SUBSCRIBE") };
    bench.silent();
    bench.packet(SubAck::new(subscribe.id, [SubAckReason::GrantedQoS1]));
    bench.sent_publish()
}

fn response(request: &Publish, payload: &'static str) -> Publish {
    let ResponseTopic(topic) = request.properties.get().unwrap();
    let correlation: CorrelationData = request.properties.get().unwrap();
    let mut response = Publish::new(topic, payload);
    response.properties.set(correlation);
    response
}

#[test]
fn the_response_topic_is_subscribed_to_before_the_request_goes_out() {
    let mut bench = Bench::connected(Version::V5);
    let handle = request(&mut bench);
    let sent = granted(&mut bench);
    assert_eq!(sent.properties.get(), Some(ResponseTopic(TopicName::from_static("response/device"))));
    bench.packet(puback(sent.delivery.packet_identifier().unwrap().get()));
    bench.packet(response(&sent, "on"));
    let Event::Response { handle: answered, message } = bench.event() else { panic!("no response") };
    assert_eq!((answered, &*message.payload), (handle, &b"on"[..]));
    bench.wait(seconds(60));
    assert!(bench.events.is_empty(), "{:?}", bench.events);
}

#[test]
fn a_second_request_needs_no_second_subscription_and_responses_may_come_in_any_order() {
    let mut bench = Bench::connected(Version::V5);
    let first = request(&mut bench);
    let first_sent = granted(&mut bench);
    let second = request(&mut bench);
    let second_sent = bench.sent_publish();
    bench.packet(response(&second_sent, "2"));
    bench.packet(response(&first_sent, "1"));
    let handles: Vec<_> = (0..2)
        .map(|_| match bench.event() {
            Event::Response { handle, .. } => handle,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(handles, [second, first]);
}

#[test]
fn response_information_of_the_server_is_the_root() {
    let connack = ConnAck::accepted(false).with(ResponseInformation(Utf8String::from_static("re/17/")));
    let mut bench = Bench::connected_with(options(Version::V5), connack);
    request(&mut bench);
    let sent = granted(&mut bench);
    assert_eq!(sent.properties.get(), Some(ResponseTopic(TopicName::from_static("re/17/device"))));
}

#[test]
fn a_response_that_does_not_come_is_a_time_out_and_a_late_one_is_reported() {
    let mut bench = Bench::connected(Version::V5);
    let handle = request(&mut bench);
    let sent = granted(&mut bench);
    bench.wait(seconds(10));
    assert_eq!(bench.event(), Event::Failed { handle, error: Error::TimedOut(Awaited::Response) });
    bench.packet(response(&sent, "late"));
    let Event::UnexpectedResponse(late) = bench.event() else { panic!("not reported") };
    assert_eq!((&late.payload[..], bench.client.statistics().responses_unexpected), (&b"late"[..], 1));
}

#[test]
fn without_a_time_of_its_own_a_request_waits_thirty_seconds() {
    let mut bench = Bench::connected(Version::V5);
    let publication = Publication::new(TopicName::from_static("service"), "ask");
    let request = Command::Request { publication, response_topic: None, timeout: None };
    let handle = bench.command(request);
    granted(&mut bench);
    bench.wait(seconds(29));
    assert!(bench.events.is_empty());
    bench.wait(seconds(1));
    assert_eq!(bench.event(), Event::Failed { handle, error: Error::TimedOut(Awaited::Response) });
}

#[test]
fn a_request_that_timed_out_ends_once_whatever_becomes_of_its_publication() {
    let mut bench = Bench::connected(Version::V5);
    let handle = request(&mut bench);
    granted(&mut bench);
    bench.wait(seconds(10));
    bench.quiet();
    bench.reconnect(ConnAck::accepted(false));
    bench.wait(seconds(10));
    let again = bench.events.iter().any(|event| {
        matches!(event, Event::Failed { handle: other, .. } | Event::Published { handle: other, .. } if *other == handle)
    });
    assert!(!again, "{:?}", bench.events);
}

#[test]
fn a_cancelled_request_is_not_sent_later() {
    let mut bench = Bench::connected(Version::V5);
    let handle = request(&mut bench);
    bench.quiet();
    bench.command(Command::Disconnect(Default::default()));
    assert!(bench.events.contains(&Event::Failed { handle, error: Error::Cancelled }));
    bench.quiet();
    bench.command(Command::Connect(None));
    bench.accept(ConnAck::accepted(true));
    bench.silent();
}

#[test]
fn a_message_with_other_correlation_data_is_no_response() {
    let mut bench = Bench::connected(Version::V5);
    request(&mut bench);
    let sent = granted(&mut bench);
    let mut other = response(&sent, "other");
    other.properties.set(CorrelationData(mqttspec_codec::BinaryData::from_static(b"x")));
    bench.packet(other.clone());
    assert!(matches!(bench.event(), Event::UnexpectedResponse(_)));
    bench.subscribe("response/#", QoS::AtMostOnce);
    let Some(Packet::Subscribe(subscribe)) = bench.last_sent() else { panic!("no SUBSCRIBE") };
    bench.packet(SubAck::new(subscribe.id, [SubAckReason::GrantedQoS0]));
    bench.packet(other);
    assert_eq!(bench.received(), ["other"], "the application has subscribed to it itself");
}

#[test]
fn a_request_fails_with_its_subscription_or_its_publication() {
    let mut bench = Bench::connected(Version::V5);
    let handle = request(&mut bench);
    bench.quiet();
    bench.packet(SubAck::new(id(1), [SubAckReason::NotAuthorized]));
    let error = Error::SubscribeRefused(SubAckReason::NotAuthorized);
    assert_eq!(bench.event(), Event::Failed { handle, error });
    let handle = request(&mut bench);
    let sent = granted(&mut bench);
    bench.packet(PubAck::new(sent.delivery.packet_identifier().unwrap(), PubAckReason::NotAuthorized));
    let error = Error::PublishRefused { reason: PubAckReason::NotAuthorized, explanation: None };
    assert_eq!(bench.event(), Event::Failed { handle, error });
    bench.wait(seconds(60));
    assert!(bench.events.is_empty(), "{:?}", bench.events);
}

#[test]
fn a_request_made_offline_goes_out_when_connected() {
    let mut bench = Bench::new(options(Version::V5));
    request(&mut bench);
    bench.command(Command::Connect(None));
    bench.accept(ConnAck::accepted(false));
    granted(&mut bench);
}

#[test]
fn requests_need_version_5() {
    let mut bench = Bench::connected(Version::V3_1_1);
    let handle = request(&mut bench);
    assert_eq!(bench.event(), Event::Failed { handle, error: Error::Invalid(Invalid::NeedsVersion5) });
}

#[test]
fn a_responder_answers_on_the_response_topic_with_the_correlation_data() {
    let mut bench = Bench::connected(Version::V5);
    let mut request = incoming("light/get", "?", Delivery::AtMostOnce);
    request.properties.set(ResponseTopic(TopicName::from_static("re/1")));
    request.properties.set(CorrelationData(mqttspec_codec::BinaryData::from_static(b"c")));
    bench.packet(request);
    let Event::Message(message) = bench.event() else { panic!("no message") };
    let answer = Publication::response_to(&message, "on").unwrap();
    assert_eq!((answer.topic.as_str(), answer.qos), ("re/1", Some(QoS::AtMostOnce)));
    assert_eq!(answer.properties.get(), Some(CorrelationData(mqttspec_codec::BinaryData::from_static(b"c"))));
    assert!(!answer.properties.contains::<ResponseTopic>());
    let plain = Message { properties: Default::default(), ..message };
    assert_eq!(Publication::response_to(&plain, "on"), Err(Invalid::NoResponseTopic));
}
