//! Session State: resumed, lost, expired, kept over a crash of the client (§3.1.2.11.2, §3.2.2.1.1,
//! §4.1, §4.4).

use mqttspec_client::{
    Client, Command, Error, Event, Options, RestoreError, SessionLostPolicy, State, Transmit,
};
use mqttspec_codec::{
    AssignedClientIdentifier, ConnAck, Delivery, Packet, PubRel, QoS, SessionExpiryInterval, Utf8String,
    Version,
};

use crate::bench::{Bench, id, incoming, options, puback, pubcomp, pubrec, seconds};

#[test]
fn a_publish_without_acknowledgement_is_sent_again_with_dup() {
    for version in [Version::V3_1_1, Version::V5] {
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let mut bench = Bench::connected(version);
            bench.publish("a", "1", qos);
            let first = bench.sent_publish();
            bench.reconnect(ConnAck::accepted(true));
            let again = bench.sent_publish();
            assert!(again.delivery.dup());
            assert_eq!(again.delivery, first.delivery.with_dup(true));
            assert_eq!((again.topic, again.payload), (first.topic, first.payload));
            bench.silent();
        }
    }
}

#[test]
fn cut_after_pubrec_goes_on_with_pubrel() {
    for version in [Version::V3_1, Version::V3_1_1, Version::V5] {
        let mut bench = Bench::connected(version);
        let handle = bench.publish("jobs/1", "pay 10", QoS::ExactlyOnce);
        bench.packet(pubrec(1));
        for _ in 0..3 {
            bench.quiet();
            bench.reconnect(ConnAck::accepted(version != Version::V3_1));
            assert_eq!(bench.sent(), PubRel::success(id(1)).into());
            bench.silent();
        }
        bench.packet(pubcomp(1));
        assert_eq!(bench.published(), [handle]);
    }
}

#[test]
fn messages_are_sent_again_in_the_order_of_their_first_sending() {
    let mut bench = Bench::connected(Version::V5);
    for payload in ["1", "2", "3", "4"] {
        bench.publish("a", payload, QoS::AtLeastOnce);
    }
    bench.packet(puback(2));
    bench.publish("a", "5", QoS::AtLeastOnce);
    bench.transmits.clear();
    bench.reconnect(ConnAck::accepted(true));
    let payloads: Vec<_> = (0..4).map(|_| bench.sent_publish().payload).collect();
    assert_eq!(payloads, ["1", "3", "4", "5"]);
    bench.silent();
}

#[test]
fn pubrels_are_sent_again_in_the_order_of_their_pubrecs() {
    let mut bench = Bench::connected(Version::V5);
    for payload in ["1", "2", "3"] {
        bench.publish("a", payload, QoS::ExactlyOnce);
    }
    bench.packet(pubrec(3));
    bench.packet(pubrec(1));
    bench.transmits.clear();
    bench.reconnect(ConnAck::accepted(true));
    assert_eq!(bench.sent(), PubRel::success(id(3)).into());
    assert_eq!(bench.sent(), PubRel::success(id(1)).into());
    assert_eq!(bench.sent_publish().delivery, Delivery::ExactlyOnce { id: id(2), dup: true });
}

#[test]
fn nothing_is_sent_again_when_session_present_is_0() {
    for version in [Version::V3_1_1, Version::V5] {
        let mut options = options(version);
        options.session_lost = SessionLostPolicy::Fail;
        let mut bench = Bench::connected_with(options, ConnAck::accepted(false));
        let handle = bench.publish("a", "1", QoS::AtLeastOnce);
        bench.quiet();
        bench.reconnect(ConnAck::accepted(false));
        bench.silent();
        let failed = Event::Failed { handle, error: Error::SessionLost };
        assert!(bench.events.contains(&failed), "{:?}", bench.events);
    }
}

#[test]
fn a_lost_session_gives_qos_1_messages_a_new_start_and_leaves_qos_2_to_the_application() {
    let mut bench = Bench::connected(Version::V5);
    let once = bench.publish("a", "1", QoS::AtLeastOnce);
    let unsure = bench.publish("a", "2", QoS::ExactlyOnce);
    let taken = bench.publish("a", "3", QoS::ExactlyOnce);
    bench.packet(pubrec(3));
    bench.quiet();
    bench.reconnect(ConnAck::accepted(false));
    let again = bench.sent_publish();
    assert_eq!(again.payload, "1");
    assert!(!again.delivery.dup(), "a new message");
    bench.silent();
    assert!(bench.events.contains(&Event::Failed { handle: unsure, error: Error::SessionLost }));
    assert!(bench.events.contains(&Event::SessionEnded { republished: 1, failed: 1 }));
    assert_eq!(bench.published(), [taken], "the Server had taken it over with PUBREC");
    bench.packet(puback(again.delivery.packet_identifier().unwrap().get()));
    assert_eq!(bench.published(), [once]);
    assert_eq!(bench.client.statistics().in_flight, 0);
}

#[test]
fn republish_keeps_the_order_before_what_waited() {
    let mut options = options(Version::V5);
    options.session_lost = SessionLostPolicy::Republish;
    let mut bench = Bench::connected_with(options, ConnAck::accepted(false));
    bench.publish("a", "1", QoS::ExactlyOnce);
    bench.publish("a", "2", QoS::ExactlyOnce);
    bench.closed();
    bench.publish("a", "3", QoS::ExactlyOnce);
    bench.quiet();
    bench.run_to_deadline();
    bench.accept(ConnAck::accepted(false));
    let sent: Vec<_> = (0..3).map(|_| bench.sent_publish()).collect();
    assert!(sent.iter().all(|publish| !publish.delivery.dup()));
    assert_eq!(sent.iter().map(|publish| publish.payload.clone()).collect::<Vec<_>>(), ["1", "2", "3"]);
}

#[test]
fn received_qos_2_identifiers_survive_a_reconnect_and_end_with_the_session() {
    for version in [Version::V3_1_1, Version::V5] {
        let delivery = Delivery::ExactlyOnce { id: id(5), dup: false };
        let mut bench = Bench::connected(version);
        bench.packet(incoming("a", "1", delivery));
        bench.transmits.clear();
        bench.reconnect(ConnAck::accepted(true));
        bench.packet(incoming("a", "1", delivery.with_dup(true)));
        assert_eq!(bench.sent(), pubrec(5).into());
        assert_eq!(bench.received(), ["1"]);
        bench.reconnect(ConnAck::accepted(false));
        bench.packet(incoming("a", "2", delivery));
        assert_eq!(bench.received(), ["2"], "a new Session, a new message");
    }
}

#[test]
fn session_present_1_without_session_state_is_closed_and_answered_with_clean_start() {
    let mut bench = Bench::new(Options { clean_start: Some(false), ..options(Version::V5) });
    bench.command(Command::Connect(None));
    let Packet::Connect(connect) = bench.accept(ConnAck::accepted(true)) else { unreachable!() };
    assert!(!connect.clean_start);
    assert!(matches!(bench.sent(), Packet::Disconnect(_)));
    assert_eq!(bench.transmits.pop_front(), Some(Transmit::Close));
    bench.run_to_deadline();
    let Packet::Connect(connect) = bench.accept(ConnAck::accepted(false)) else { unreachable!() };
    assert!(connect.clean_start);
    assert_eq!(bench.client.state(), State::Connected);
}

#[test]
fn without_an_order_clean_start_is_1_if_no_session_is_stored() {
    let mut bench = Bench::new(options(Version::V5));
    let clean = |packet: Packet| matches!(packet, Packet::Connect(connect) if connect.clean_start);
    bench.command(Command::Connect(None));
    assert!(clean(bench.accept(ConnAck::accepted(false))));
    bench.crash();
    bench.command(Command::Connect(None));
    assert!(!clean(bench.accept(ConnAck::accepted(true))), "the store has the Session");
    // 3.1.1: Clean Session would end the Session with the connection.
    let mut bench = Bench::new(options(Version::V3_1_1));
    bench.command(Command::Connect(None));
    assert!(!clean(bench.accept(ConnAck::accepted(false))));
}

#[test]
fn clean_start_is_for_the_first_connect_and_later_ones_resume() {
    let mut bench = Bench::new(Options { clean_start: Some(true), ..options(Version::V5) });
    bench.command(Command::Connect(None));
    let Packet::Connect(connect) = bench.accept(ConnAck::accepted(false)) else { unreachable!() };
    assert!(connect.clean_start);
    let Packet::Connect(connect) = bench.reconnect(ConnAck::accepted(true)) else { unreachable!() };
    assert!(!connect.clean_start);
}

#[test]
fn clean_session_of_3_1_1_is_for_every_connect() {
    let mut bench = Bench::new(Options { clean_start: Some(true), ..options(Version::V3_1_1) });
    bench.command(Command::Connect(None));
    bench.accept(ConnAck::accepted(false));
    bench.publish("a", "1", QoS::AtLeastOnce);
    bench.transmits.clear();
    let Packet::Connect(connect) = bench.reconnect(ConnAck::accepted(false)) else { unreachable!() };
    assert!(connect.clean_start);
    assert!(!bench.sent_publish().delivery.dup(), "a new message in a new Session");
}

#[test]
fn a_session_that_has_expired_is_not_resumed() {
    let mut bench = Bench::connected_with(
        Options { session_expiry: 100, reconnect_attempts: 0, circuit_failures: 0, ..options(Version::V5) },
        ConnAck::accepted(false).with(SessionExpiryInterval(20)),
    );
    bench.publish("a", "1", QoS::AtLeastOnce);
    bench.closed();
    bench.quiet();
    while bench.now < seconds(21) {
        bench.run_to_deadline();
        bench.quiet();
        bench.network_fails();
    }
    bench.run_to_deadline();
    let Packet::Connect(connect) = bench.accept(ConnAck::accepted(false)) else { unreachable!() };
    assert!(connect.clean_start, "the Server's Session Expiry Interval of 20 s counts");
    assert!(!bench.sent_publish().delivery.dup());
}

#[test]
fn a_crash_keeps_messages_in_flight_and_waiting_and_received() {
    for version in [Version::V3_1_1, Version::V5] {
        let mut bench = Bench::connected(version);
        let sent = bench.publish("a", "1", QoS::AtLeastOnce);
        let released = bench.publish("a", "2", QoS::ExactlyOnce);
        bench.packet(pubrec(2));
        bench.packet(incoming("b", "in", Delivery::ExactlyOnce { id: id(1), dup: false }));
        bench.closed();
        let waiting = bench.publish("a", "3", QoS::ExactlyOnce);
        bench.crash();
        let Handle { connect } = connect_again(&mut bench);
        assert!(!connect.clean_start);
        assert_eq!(bench.sent(), PubRel::success(id(2)).into());
        assert_eq!(bench.sent_publish().delivery, Delivery::AtLeastOnce { id: id(1), dup: true });
        let third = bench.sent_publish();
        assert_eq!(third.payload, "3");
        assert!(!third.delivery.dup());
        let third = third.delivery.packet_identifier().unwrap().get();
        assert!(![1, 2].contains(&third));
        bench.packet(incoming("b", "in", Delivery::ExactlyOnce { id: id(1), dup: true }));
        assert_eq!(bench.sent(), pubrec(1).into());
        assert_eq!(bench.received(), Vec::<String>::new(), "it was handed over before the crash");
        bench.packet(puback(1));
        bench.packet(pubcomp(2));
        bench.packet(pubrec(third));
        bench.packet(pubcomp(third));
        assert_eq!(bench.published(), [sent, released, waiting]);
        let later = bench.publish("a", "4", QoS::AtMostOnce);
        assert!(later > waiting, "handles do not come twice");
    }
}

struct Handle {
    connect: Box<mqttspec_codec::Connect>,
}

fn connect_again(bench: &mut Bench) -> Handle {
    bench.command(Command::Connect(None));
    let Packet::Connect(connect) = bench.accept(ConnAck::accepted(true)) else { unreachable!() };
    Handle { connect }
}

#[test]
fn a_completed_exchange_leaves_no_record() {
    let mut bench = Bench::connected(Version::V5);
    let before = bench.store.clone();
    bench.publish("a", "1", QoS::ExactlyOnce);
    bench.packet(incoming("b", "in", Delivery::ExactlyOnce { id: id(1), dup: false }));
    assert_eq!(bench.store.len(), before.len() + 2);
    bench.packet(pubrec(1));
    bench.packet(pubcomp(1));
    bench.packet(PubRel::success(id(1)));
    assert_eq!(bench.store, before);
}

#[test]
fn a_crash_ends_a_session_that_lasts_as_long_as_the_connection() {
    let mut bench = Bench::connected_with(
        Options { session_expiry: 0, ..options(Version::V5) },
        ConnAck::accepted(false),
    );
    bench.publish("a", "1", QoS::AtLeastOnce);
    bench.crash();
    bench.command(Command::Connect(None));
    bench.accept(ConnAck::accepted(false));
    assert!(!bench.sent_publish().delivery.dup());
}

#[test]
fn a_damaged_record_is_set_aside_and_reported_and_the_rest_goes_on() {
    let mut bench = Bench::connected(Version::V5);
    bench.publish("a", "1", QoS::AtLeastOnce);
    bench.publish("a", "2", QoS::AtLeastOnce);
    let first = bench.store.keys().find(|key| key.starts_with(b"p")).unwrap().clone();
    bench.store.insert(first.clone(), b"\0\x01\0".to_vec());
    bench.store.insert(b"?".to_vec(), Vec::new());
    let mut client = Client::restore(options(Version::V5), 8, bench.now, bench.store.clone());
    assert_eq!(client.statistics().records_set_aside, 2);
    for error in [RestoreError::UnknownKey(b"?".to_vec()), RestoreError::Unreadable(first.clone())] {
        assert_eq!(client.poll_event(), Some(Event::RecordSetAside { error }));
    }
    for change in client.take_changes() {
        change.apply(&mut bench.store);
    }
    assert!(!bench.store.contains_key(&first));
    assert_eq!(bench.store[&[b"x", &first[..]].concat()], b"\0\x01\0", "kept for a person");
    bench.crash();
    assert_eq!(bench.client.statistics().records_set_aside, 0, "set aside once");
    bench.command(Command::Connect(None));
    bench.accept(ConnAck::accepted(true));
    assert_eq!(bench.sent_publish().payload, "2");
}

#[test]
fn the_assigned_client_identifier_is_used_to_resume() {
    let mut bench = Bench::new(Options { client_id: Utf8String::new(), ..options(Version::V5) });
    bench.command(Command::Connect(None));
    let name = Utf8String::from_static("auto-17");
    bench.accept(ConnAck::accepted(false).with(AssignedClientIdentifier(name.clone())));
    let Packet::Connect(connect) = bench.reconnect(ConnAck::accepted(true)) else { unreachable!() };
    assert_eq!(connect.client_id, name);
    assert!(!connect.clean_start);
}

#[test]
fn another_client_identifier_is_another_session() {
    let mut bench = Bench::connected(Version::V5);
    bench.publish("a", "1", QoS::AtLeastOnce);
    bench.command(Command::Disconnect(Default::default()));
    bench.quiet();
    let mut other = options(Version::V5);
    other.client_id = Utf8String::from_static("another");
    bench.command(Command::Connect(Some(Box::new(other))));
    bench.accept(ConnAck::accepted(false));
    assert!(!bench.sent_publish().delivery.dup());
}

#[test]
fn disconnect_may_shorten_the_session() {
    let mut bench = Bench::connected(Version::V5);
    bench.publish("a", "1", QoS::AtLeastOnce);
    let mut request = mqttspec_client::DisconnectRequest::default();
    request.properties.set(SessionExpiryInterval(0));
    bench.command(Command::Disconnect(request));
    assert!(bench.events.iter().any(|event| matches!(event, Event::SessionEnded { .. })));
}
