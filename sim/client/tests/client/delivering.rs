//! The delivery guarantee: outbox, retries, expiry, end-to-end acknowledgement, statistics.

use mqttspec_client::{
    Acknowledgement, Awaited, Command, DeliverRequest, DeliveryState, Error, Event, Handle, Options,
    Publication, RestoreError,
};
use mqttspec_codec::{
    ConnAck, Delivery, MaximumQoS, Packet, PubAckReason, Publish, QoS, SubAck, SubAckReason, TopicName,
    UserProperty, Version,
};

use crate::bench::{Bench, id, incoming, options, puback, seconds};

const VERSIONS: [Version; 2] = [Version::V3_1_1, Version::V5];

fn deliver(bench: &mut Bench) -> Handle {
    bench.command(Command::Deliver(Publication::new(TopicName::from_static("jobs"), "pay 10").into()))
}

/// A client whose subscription to acknowledgements was granted, with one delivery in progress: its
/// id and PUBLISH.
fn under_way(version: Version) -> (Bench, Handle, String, Publish) {
    let options = Options { keep_alive: 0, ..options(version) };
    let mut bench = Bench::connected_with(options, ConnAck::accepted(false));
    let handle = deliver(&mut bench);
    let Packet::Subscribe(subscribe) = bench.sent() else { panic!("no SUBSCRIBE") };
    assert_eq!(subscribe.subscriptions.first().filter.as_str(), "delivery/ack/+");
    bench.silent();
    bench.packet(SubAck::new(subscribe.id, [SubAckReason::GrantedQoS1]));
    let sent = bench.sent_publish();
    let name = id_of(&sent);
    bench.quiet();
    (bench, handle, name, sent)
}

fn id_of(publish: &Publish) -> String {
    let property = publish.properties.user_properties().find(|(name, _)| name.as_str() == "delivery-id");
    match property {
        Some((_, value)) => value.as_str().to_owned(),
        None => {
            let text = String::from_utf8(publish.payload.to_vec()).unwrap();
            text.strip_prefix("delivery ").unwrap().split_once(' ').unwrap().0.to_owned()
        }
    }
}

fn acknowledgement(name: &str) -> Publish {
    Publish::new(TopicName::try_from(format!("delivery/ack/{name}")).unwrap(), "")
}

fn settle(bench: &mut Bench, publish: &Publish) {
    bench.packet(puback(publish.delivery.packet_identifier().unwrap().get()));
}

fn delivered(bench: &mut Bench) -> Option<(Handle, u32)> {
    let events = std::mem::take(&mut bench.events);
    events.into_iter().find_map(|event| match event {
        Event::Delivered { handle, retries, .. } => Some((handle, retries)),
        _ => None,
    })
}

#[test]
fn a_delivery_ends_with_the_receivers_acknowledgement_and_not_with_puback() {
    for version in VERSIONS {
        let (mut bench, handle, name, sent) = under_way(version);
        settle(&mut bench, &sent);
        assert!(bench.events.is_empty(), "{:?}", bench.events);
        assert_eq!(bench.client.deliveries().next().map(|entry| entry.state), Some(DeliveryState::Sent));
        bench.packet(acknowledgement(&name));
        assert_eq!(delivered(&mut bench), Some((handle, 0)));
        assert_eq!(bench.client.deliveries().count(), 0);
        assert!(!bench.store.keys().any(|key| key.starts_with(b"o")));
        bench.packet(acknowledgement(&name));
        assert_eq!(bench.received(), Vec::<String>::new(), "a second one is not for the application");
        assert_eq!(bench.client.statistics().delivery_acknowledgements_unknown, 1);
    }
}

#[test]
fn without_acknowledgement_it_is_published_again_every_thirty_seconds_three_times() {
    let (mut bench, handle, name, sent) = under_way(Version::V5);
    let mut last = sent;
    for _ in 0..3 {
        settle(&mut bench, &last);
        bench.quiet();
        bench.wait(seconds(29));
        bench.silent();
        bench.wait(seconds(1));
        last = bench.sent_publish();
        assert_eq!(id_of(&last), name);
        assert!(!last.delivery.dup(), "a new message for MQTT");
    }
    settle(&mut bench, &last);
    bench.quiet();
    bench.wait(seconds(30));
    let error = Error::TimedOut(Awaited::DeliveryAcknowledgement);
    assert_eq!(bench.event(), Event::Failed { handle, error });
    bench.silent();
    let statistics = bench.client.delivery_statistics();
    assert_eq!(statistics.success_rate, Some(0.0));
    assert_eq!(statistics.by_state[&DeliveryState::Failed].count, 1);
    assert!((statistics.by_state[&DeliveryState::Failed].mean_retries - 3.0).abs() < 1e-9);
}

#[test]
fn an_acknowledgement_after_a_retry_counts_the_retry() {
    let (mut bench, handle, name, sent) = under_way(Version::V5);
    settle(&mut bench, &sent);
    bench.wait(seconds(30));
    bench.packet(acknowledgement(&name));
    assert_eq!(delivered(&mut bench), Some((handle, 1)));
    let again = bench.sent_publish();
    settle(&mut bench, &again);
    assert!(bench.events.is_empty());
    assert_eq!(bench.client.delivery_statistics().success_rate, Some(1.0));
}

#[test]
fn no_retry_runs_while_the_client_is_offline() {
    let mut bench = Bench::new(options(Version::V5));
    deliver(&mut bench);
    bench.wait(seconds(1000));
    assert_eq!(bench.client.deliveries().next().map(|entry| entry.retries), Some(0));
}

#[test]
fn a_delivery_expires_with_the_sweep_after_its_time_to_live() {
    let mut bench = Bench::new(Options { delivery_time_to_live: seconds(100), ..options(Version::V5) });
    let handle = deliver(&mut bench);
    bench.wait(seconds(119));
    assert_eq!(bench.client.delivery_statistics().pending, 1);
    bench.wait(seconds(1));
    assert_eq!(bench.event(), Event::Failed { handle, error: Error::Expired });
    assert_eq!(bench.client.delivery_statistics().by_state[&DeliveryState::Expired].count, 1);
    assert_eq!(bench.client.poll_timeout(), None);
}

#[test]
fn a_crash_keeps_the_outbox() {
    for version in VERSIONS {
        for settled in [false, true] {
            let (mut bench, handle, name, sent) = under_way(version);
            if settled {
                settle(&mut bench, &sent);
            }
            bench.crash();
            bench.command(Command::Connect(None));
            bench.accept(ConnAck::accepted(true));
            if settled {
                bench.wait(seconds(30));
            }
            let again = bench.sent_publish();
            assert_eq!(id_of(&again), name);
            assert_eq!(again.delivery.dup(), !settled);
            bench.silent();
            bench.packet(acknowledgement(&name));
            assert_eq!(delivered(&mut bench), Some((handle, u32::from(settled))));
            settle(&mut bench, &again);
            assert!(bench.events.is_empty(), "{:?}", bench.events);
        }
    }
}

#[test]
fn ids_do_not_come_twice_even_after_a_crash() {
    let (mut bench, _, name, _) = under_way(Version::V5);
    bench.packet(acknowledgement(&name));
    bench.crash();
    bench.command(Command::Connect(None));
    bench.accept(ConnAck::accepted(true));
    bench.quiet();
    deliver(&mut bench);
    assert_ne!(id_of(&bench.sent_publish()), name);
}

#[test]
fn a_damaged_record_is_found_by_its_checksum() {
    let (mut bench, _, name, _) = under_way(Version::V5);
    let key = bench.store.keys().find(|key| key.starts_with(b"o")).unwrap().clone();
    let record = bench.store.get_mut(&key).unwrap();
    let at = record.windows(6).position(|window| window == b"pay 10").unwrap();
    record[at + 4] = b'9';
    let mut restored =
        mqttspec_client::Client::restore(options(Version::V5), 1, bench.now, bench.store.clone());
    let error = RestoreError::DeliveryDamaged(name);
    assert_eq!(restored.poll_event(), Some(Event::RecordSetAside { error }));
    assert_eq!(restored.deliveries().count(), 0);
}

#[test]
fn statistics_and_history_survive_a_crash() {
    let (mut bench, handle, name, sent) = under_way(Version::V5);
    settle(&mut bench, &sent);
    bench.wait(seconds(30));
    let receipt = format!(r#"{{"id":"{name}","by":"pump","at":1500}}"#);
    bench.packet(Publish { payload: receipt.into(), ..acknowledgement(&name) });
    bench.command(Command::Deliver(Publication::new(TopicName::from_static("jobs"), "next").into()));
    let before = (bench.client.delivery_statistics(), history(&bench));
    assert_eq!(before.1, [(handle, DeliveryState::Acknowledged, 1, Some("pump".to_owned()))]);
    assert_eq!((before.0.total, before.0.pending, before.0.success_rate), (2, 1, Some(1.0)));
    bench.crash();
    assert_eq!((bench.client.delivery_statistics(), history(&bench)), before);
}

type Ended = (Handle, DeliveryState, u32, Option<String>);

fn history(bench: &Bench) -> Vec<Ended> {
    let history = bench.client.delivery_history();
    history.map(|ended| (ended.handle, ended.state, ended.retries, ended.by.clone())).collect()
}

#[test]
fn the_history_keeps_the_last_ones() {
    let mut bench = Bench::new(Options { delivery_history: 2, ..options(Version::V5) });
    let publication = Publication::new(TopicName::from_static("jobs"), "x");
    let handles: Vec<_> = (1..=3)
        .map(|time_s| {
            let time_to_live = Some(seconds(time_s));
            bench.command(Command::Deliver(DeliverRequest { time_to_live, ..publication.clone().into() }))
        })
        .collect();
    bench.wait(seconds(60));
    let ended: Vec<_> = history(&bench).into_iter().map(|(handle, ..)| handle).collect();
    assert_eq!(ended, handles[1..]);
    assert_eq!(bench.store.keys().filter(|key| key.starts_with(b"h")).count(), 2);
    assert_eq!(bench.client.delivery_statistics().by_state[&DeliveryState::Expired].count, 3);
}

#[test]
fn a_delivery_has_a_time_to_live_and_retries_of_its_own() {
    let (mut bench, ..) = under_way(Version::V5);
    let request = DeliverRequest {
        publication: Publication::new(TopicName::from_static("jobs"), "once"),
        time_to_live: None,
        retries: Some(0),
    };
    let once = bench.command(Command::Deliver(request.clone()));
    let sent = bench.sent_publish();
    settle(&mut bench, &sent);
    bench.wait(seconds(30));
    let error = Error::TimedOut(Awaited::DeliveryAcknowledgement);
    assert!(bench.events.contains(&Event::Failed { handle: once, error }));
    bench.events.clear();
    let short = DeliverRequest { time_to_live: Some(seconds(10)), retries: Some(9), ..request };
    let short = bench.command(Command::Deliver(short));
    bench.wait(seconds(60));
    assert!(bench.events.contains(&Event::Failed { handle: short, error: Error::Expired }));
}

#[test]
fn the_receivers_application_can_refuse_and_says_who_it_is() {
    let (mut sender, handle, name, mut sent) = under_way(Version::V5);
    let mut bench = receiver(Version::V5, Acknowledgement::Manual);
    sent.delivery = Delivery::AtLeastOnce { id: id(1), dup: false };
    bench.packet(sent);
    let Event::Message(message) = bench.event() else { panic!("no message") };
    let details = message.delivery.unwrap();
    assert_eq!((details.id, details.retries), (name, Some(0)));
    bench.command(Command::Acknowledge {
        message: message.delivered.unwrap(),
        reason: PubAckReason::QuotaExceeded,
    });
    let receipt = bench.sent_publish();
    let text = String::from_utf8(receipt.payload.to_vec()).unwrap();
    assert!(text.contains(r#""by":"device""#) && text.contains(r#""reason":151"#), "{text}");
    sender.packet(Publish { delivery: Delivery::AtMostOnce, ..receipt });
    let by = Some("device".to_owned());
    let error = Error::DeliveryRefused { by: by.clone(), reason: PubAckReason::QuotaExceeded };
    assert!(sender.events.contains(&Event::Failed { handle, error }));
    assert_eq!(history(&sender), [(handle, DeliveryState::Failed, 0, by)]);
}

#[test]
fn acknowledgements_of_others_reach_an_application_that_subscribed_to_them_only() {
    let (mut bench, _, name, _) = under_way(Version::V5);
    bench.packet(acknowledgement("others-1"));
    bench.packet(Publish { payload: "no receipt".into(), ..acknowledgement(&name) });
    assert_eq!(bench.received(), Vec::<String>::new());
    assert_eq!(bench.client.deliveries().count(), 1, "only a receipt ends it");
    bench.subscribe("delivery/#", QoS::AtLeastOnce);
    let Packet::Subscribe(subscribe) = bench.sent() else { panic!("no SUBSCRIBE") };
    bench.packet(SubAck::new(subscribe.id, [SubAckReason::GrantedQoS1]));
    bench.packet(Publish { payload: "audit".into(), ..acknowledgement("others-1") });
    assert_eq!(bench.received(), ["audit"]);
}

#[test]
fn a_delivery_that_can_never_be_sent_fails_at_once() {
    let connack = ConnAck::accepted(false).with(MaximumQoS::AtMostOnce);
    let mut bench = Bench::connected_with(options(Version::V5), connack);
    let handle = deliver(&mut bench);
    bench.packet(SubAck::new(id(1), [SubAckReason::GrantedQoS0]));
    assert!(bench.events.iter().any(
        |event| matches!(event, Event::Failed { handle: h, error: Error::NotSupported(_) } if *h == handle)
    ));
    assert_eq!(bench.client.deliveries().count(), 0);
}

#[test]
fn a_refused_publication_is_tried_again() {
    let (mut bench, _, name, sent) = under_way(Version::V5);
    let id = sent.delivery.packet_identifier().unwrap();
    bench.packet(mqttspec_codec::PubAck::new(id, PubAckReason::QuotaExceeded));
    assert!(bench.events.is_empty(), "{:?}", bench.events);
    bench.wait(seconds(30));
    assert_eq!(id_of(&bench.sent_publish()), name);
}

fn receiver(version: Version, acknowledgement: Acknowledgement) -> Bench {
    let options = Options { acknowledge_deliveries: true, acknowledgement, ..options(version) };
    Bench::connected_with(options, ConnAck::accepted(false))
}

#[test]
fn the_receiver_hands_a_delivery_over_once_and_acknowledges_it_each_time() {
    for version in VERSIONS {
        let (_, _, name, mut sent) = under_way(version);
        let mut bench = receiver(version, Acknowledgement::Automatic);
        sent.delivery = Delivery::AtLeastOnce { id: id(1), dup: false };
        for round in 0..3 {
            if round == 2 {
                bench.crash();
                bench.command(Command::Connect(None));
                bench.accept(ConnAck::accepted(true));
                bench.transmits.clear();
            }
            bench.packet(sent.clone());
            let acknowledged = bench.sent_publish();
            assert_eq!(acknowledged.topic.as_ref().unwrap().as_str(), format!("delivery/ack/{name}"));
            assert_eq!(bench.sent(), puback(1).into());
            bench.packet(puback(acknowledged.delivery.packet_identifier().unwrap().get()));
            let expected: &[&str] = if round == 0 { &["pay 10"] } else { &[] };
            assert_eq!(bench.received(), expected);
        }
    }
}

#[test]
fn a_damaged_delivery_is_not_handed_over_and_not_acknowledged_end_to_end() {
    let (_, _, _, mut sent) = under_way(Version::V5);
    let mut bench = receiver(Version::V5, Acknowledgement::Automatic);
    sent.delivery = Delivery::AtLeastOnce { id: id(1), dup: false };
    sent.payload = "pay 90".into();
    bench.packet(sent);
    assert_eq!(bench.sent(), puback(1).into(), "MQTT's acknowledgement is owed all the same");
    bench.silent();
    assert_eq!(bench.received(), Vec::<String>::new());
    assert_eq!(bench.client.statistics().deliveries_damaged, 1);
}

#[test]
fn with_manual_acknowledgement_the_sender_hears_when_the_application_has_it() {
    let (_, _, _, mut sent) = under_way(Version::V5);
    let mut bench = receiver(Version::V5, Acknowledgement::Manual);
    sent.delivery = Delivery::ExactlyOnce { id: id(1), dup: false };
    bench.packet(sent);
    bench.silent();
    let Event::Message(message) = bench.event() else { panic!("no message") };
    bench
        .command(Command::Acknowledge { message: message.delivered.unwrap(), reason: PubAckReason::Success });
    assert!(bench.sent_publish().topic.unwrap().as_str().starts_with("delivery/ack/"));
    assert!(matches!(bench.sent(), Packet::PubRec(_)));
}

#[test]
fn messages_of_others_are_untouched_by_the_receivers_part() {
    let mut bench = receiver(Version::V5, Acknowledgement::Automatic);
    let mut plain = incoming("a", "x", Delivery::AtMostOnce);
    plain.properties.push(UserProperty {
        name: mqttspec_codec::Utf8String::from_static("k"),
        value: mqttspec_codec::Utf8String::from_static("v"),
    });
    bench.packet(plain);
    assert_eq!(bench.received(), ["x"]);
    bench.silent();
}
