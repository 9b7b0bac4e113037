//! SUBSCRIBE and UNSUBSCRIBE: §3.8 to §3.11, and restoring subscriptions in a new Session.

use mqttspec_client::{
    Awaited, Command, Error, Event, Invalid, Options, SubscribeRequest, Transmit, UnsubscribeRequest,
    Unsupported,
};
use mqttspec_codec::{
    ConnAck, Delivery, DisconnectReason, Packet, QoS, SharedSubscriptionAvailable, SubAck, SubAckReason,
    Subscribe, Subscription, SubscriptionIdentifier, SubscriptionIdentifierAvailable, TopicFilter, UnsubAck,
    UnsubAckReason, Version, WildcardSubscriptionAvailable,
};

use crate::bench::{Bench, id, incoming, options, seconds};

fn sent_subscribe(bench: &mut Bench) -> Subscribe {
    match bench.sent() {
        Packet::Subscribe(subscribe) => subscribe,
        other => panic!("SUBSCRIBE was expected, not {other:?}"),
    }
}

fn granted(subscribe: &Subscribe) -> SubAck {
    let reasons: Vec<_> = subscribe.subscriptions.iter().map(|s| SubAckReason::granted(s.qos)).collect();
    SubAck { id: subscribe.id, properties: Default::default(), reasons: reasons.try_into().unwrap() }
}

fn unsubscribe(bench: &mut Bench, filter: &'static str) -> mqttspec_client::Handle {
    bench.command(Command::Unsubscribe(UnsubscribeRequest {
        filters: vec![TopicFilter::from_static(filter)],
        properties: Default::default(),
    }))
}

#[test]
fn suback_ends_subscribe_and_frees_the_identifier() {
    for version in Version::ALL {
        let mut bench = Bench::connected(version);
        let handle = bench.subscribe("a/#", QoS::ExactlyOnce);
        let subscribe = sent_subscribe(&mut bench);
        assert_eq!(subscribe.id, id(1));
        bench.packet(SubAck::new(id(1), [SubAckReason::GrantedQoS1]));
        let Event::Subscribed { handle: answered, reasons, .. } = bench.event() else {
            panic!("not subscribed")
        };
        assert_eq!((answered, reasons), (handle, vec![SubAckReason::GrantedQoS1]));
    }
}

#[test]
fn subscribe_unsubscribe_and_publish_share_one_space_of_identifiers() {
    let mut bench = Bench::connected(Version::V5);
    bench.subscribe("a", QoS::AtLeastOnce);
    bench.publish("a", "1", QoS::ExactlyOnce);
    unsubscribe(&mut bench, "a");
    let identifiers: Vec<_> = (0..3).map(|_| bench.sent().packet_identifier()).collect();
    assert_eq!(identifiers, [Some(id(1)), Some(id(2)), Some(id(3))]);
}

#[test]
fn subscriptions_are_made_again_when_the_session_is_gone() {
    for version in [Version::V3_1_1, Version::V5] {
        let mut bench = Bench::connected(version);
        bench.subscribe("a", QoS::AtLeastOnce);
        bench.packet(SubAck::new(id(1), [SubAckReason::GrantedQoS1]));
        bench.subscribe("b", QoS::AtMostOnce);
        bench.packet(SubAck::new(id(2), [SubAckReason::GrantedQoS0]));
        bench.quiet();
        bench.reconnect(ConnAck::accepted(false));
        let subscribe = sent_subscribe(&mut bench);
        let filters: Vec<_> = subscribe.subscriptions.iter().map(|s| s.filter.as_str().to_owned()).collect();
        assert_eq!(filters, ["a", "b"]);
        bench.silent();
        bench.packet(granted(&subscribe));
        assert!(bench.events.iter().any(|event| matches!(event, Event::SubscriptionsRestored { subscriptions } if subscriptions.len() == 2)));
    }
}

#[test]
fn subscriptions_are_not_repeated_when_the_session_is_present() {
    let mut bench = Bench::connected(Version::V5);
    bench.subscribe("a", QoS::AtLeastOnce);
    bench.packet(SubAck::new(id(1), [SubAckReason::GrantedQoS1]));
    bench.quiet();
    bench.reconnect(ConnAck::accepted(true));
    bench.silent();
}

#[test]
fn subscriptions_are_known_after_a_crash() {
    let mut bench = Bench::connected(Version::V5);
    bench.subscribe("a", QoS::AtLeastOnce);
    bench.packet(SubAck::new(id(1), [SubAckReason::GrantedQoS1]));
    bench.crash();
    bench.command(Command::Connect(None));
    bench.accept(ConnAck::accepted(false));
    assert_eq!(sent_subscribe(&mut bench).subscriptions.first().filter.as_str(), "a");
}

#[test]
fn an_unsubscribed_filter_is_not_made_again() {
    for version in [Version::V3_1_1, Version::V5] {
        let mut bench = Bench::connected(version);
        bench.subscribe("a", QoS::AtLeastOnce);
        bench.packet(SubAck::new(id(1), [SubAckReason::GrantedQoS1]));
        unsubscribe(&mut bench, "a");
        let reasons = if version.is_5() { vec![UnsubAckReason::Success] } else { vec![] };
        bench.packet(UnsubAck::new(id(2), reasons));
        bench.quiet();
        bench.reconnect(ConnAck::accepted(false));
        bench.silent();
    }
}

#[test]
fn a_subscribe_without_suback_goes_out_anew_after_a_reconnect() {
    let mut bench = Bench::connected(Version::V5);
    let handle = bench.subscribe("a", QoS::AtLeastOnce);
    bench.quiet();
    bench.reconnect(ConnAck::accepted(true));
    let subscribe = sent_subscribe(&mut bench);
    assert_ne!(subscribe.id, id(1), "a new packet");
    bench.packet(granted(&subscribe));
    assert!(
        bench.events.iter().any(|event| matches!(event, Event::Subscribed { handle: h, .. } if *h == handle))
    );
    bench.publish("a", "1", QoS::AtLeastOnce);
    bench.quiet();
    bench.packet(SubAck::new(id(1), [SubAckReason::GrantedQoS1]));
    bench.silent();
}

#[test]
fn a_suback_that_does_not_come_fails_the_command_and_keeps_the_identifier() {
    let mut bench =
        Bench::connected_with(Options { keep_alive: 0, ..options(Version::V5) }, ConnAck::accepted(false));
    let handle = bench.subscribe("a", QoS::AtLeastOnce);
    bench.quiet();
    bench.wait(seconds(60));
    assert_eq!(bench.event(), Event::Failed { handle, error: Error::TimedOut(Awaited::SubAck) });
    bench.packet(SubAck::new(id(1), [SubAckReason::GrantedQoS1]));
    assert!(bench.events.is_empty());
    bench.reconnect(ConnAck::accepted(false));
    assert_eq!(
        sent_subscribe(&mut bench).subscriptions.first().filter.as_str(),
        "a",
        "it was granted after all"
    );
}

#[test]
fn a_suback_with_too_few_reason_codes_is_a_protocol_error() {
    let mut bench = Bench::connected(Version::V5);
    bench.command(Command::Subscribe(SubscribeRequest {
        subscriptions: ["a", "b"]
            .map(|f| Subscription::new(TopicFilter::from_static(f), QoS::AtMostOnce))
            .into(),
        properties: Default::default(),
    }));
    bench.quiet();
    bench.packet(SubAck::new(id(1), [SubAckReason::GrantedQoS0]));
    let Packet::Disconnect(disconnect) = bench.sent() else { panic!("no DISCONNECT") };
    assert_eq!(disconnect.reason, DisconnectReason::ProtocolError);
    assert_eq!(bench.transmits.pop_front(), Some(Transmit::Close));
}

#[test]
fn a_subscription_identifier_that_was_never_used_is_a_protocol_error() {
    let five = SubscriptionIdentifier::new(5).unwrap();
    let mut bench = Bench::connected(Version::V5);
    let mut request = SubscribeRequest {
        subscriptions: vec![Subscription::new(TopicFilter::from_static("a"), QoS::AtMostOnce)],
        properties: Default::default(),
    };
    request.properties.set(five);
    bench.command(Command::Subscribe(request));
    let mut publish = incoming("a", "1", Delivery::AtMostOnce);
    publish.properties.push(five);
    bench.packet(publish.clone());
    assert_eq!(bench.received(), ["1"], "before SUBACK too");
    bench.crash();
    bench.command(Command::Connect(None));
    bench.accept(ConnAck::accepted(true));
    bench.quiet();
    bench.packet(publish.clone());
    assert_eq!(bench.received(), ["1"], "the Session knows it");
    publish.properties.push(SubscriptionIdentifier::new(6).unwrap());
    bench.quiet();
    bench.packet(publish);
    assert!(matches!(bench.sent(), Packet::Disconnect(_)));
}

#[test]
fn what_the_server_lacks_is_not_asked_for() {
    let connack = ConnAck::accepted(false)
        .with(WildcardSubscriptionAvailable(false))
        .with(SharedSubscriptionAvailable(false))
        .with(SubscriptionIdentifierAvailable(false));
    let mut bench = Bench::connected_with(options(Version::V5), connack);
    let lacking = |bench: &mut Bench| match bench.event() {
        Event::Failed { error: Error::NotSupported(lacking), .. } => lacking,
        other => panic!("{other:?}"),
    };
    bench.subscribe("a/+", QoS::AtMostOnce);
    assert_eq!(lacking(&mut bench), Unsupported::WildcardSubscriptions);
    bench.subscribe("$share/g/a", QoS::AtMostOnce);
    assert_eq!(lacking(&mut bench), Unsupported::SharedSubscriptions);
    let mut request = SubscribeRequest {
        subscriptions: vec![Subscription::new(TopicFilter::from_static("a"), QoS::AtMostOnce)],
        properties: Default::default(),
    };
    request.properties.set(SubscriptionIdentifier::MIN);
    bench.command(Command::Subscribe(request));
    assert_eq!(lacking(&mut bench), Unsupported::SubscriptionIdentifiers);
    bench.silent();
}

#[test]
fn requests_that_no_subscribe_may_hold_are_refused() {
    let mut bench = Bench::connected(Version::V5);
    let mut shared = Subscription::new(TopicFilter::from_static("$share/g/a"), QoS::AtMostOnce);
    shared.no_local = true;
    bench.command(Command::Subscribe(SubscribeRequest {
        subscriptions: vec![shared],
        properties: Default::default(),
    }));
    bench.command(Command::Subscribe(SubscribeRequest {
        subscriptions: vec![],
        properties: Default::default(),
    }));
    bench.command(Command::Unsubscribe(UnsubscribeRequest {
        filters: vec![],
        properties: Default::default(),
    }));
    let errors: Vec<_> = bench
        .events
        .iter()
        .map(|event| match event {
            Event::Failed { error: Error::Invalid(invalid), .. } => *invalid,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        errors,
        [Invalid::NoLocalOnSharedSubscription, Invalid::NoTopicFilter, Invalid::NoTopicFilter]
    );
    bench.silent();
}
