//! What a client reports about its connection: info, health, circuit breaker, retry policies.

use mqttspec_client::{
    CircuitErrors, CircuitState, Command, Error, Event, Options, ReconnectPolicy, State, Transmit,
    Unreachable,
};
use mqttspec_codec::{ConnAck, ConnectReason, QoS, ServerReference, Utf8String, Version};

use crate::bench::{Bench, options, seconds};

fn refused(reason: ConnectReason) -> ConnAck {
    ConnAck { session_present: false, reason, properties: Default::default() }
}

#[test]
fn the_info_follows_the_connection() {
    let mut bench = Bench::new(Options { keep_alive: 0, ..options(Version::V5) });
    let info = bench.client.info(bench.now);
    assert_eq!((info.state, info.server.as_str()), (State::Disconnected, "localhost:1883"));
    assert_eq!((info.connected_at, info.disconnected_at, info.last_error), (None, None, None));
    bench.command(Command::Connect(None));
    bench.accept(ConnAck::accepted(false));
    bench.publish("a", "1", QoS::AtLeastOnce);
    bench.wait(seconds(5));
    let info = bench.client.info(bench.now);
    assert_eq!((info.state, info.uptime, info.in_flight), (State::Connected, Some(seconds(5)), 1));
    bench.closed();
    bench.publish("a", "2", QoS::AtLeastOnce);
    let info = bench.client.info(bench.now);
    assert_eq!(
        (info.state, info.uptime, info.disconnected_at),
        (State::Reconnecting, None, Some(seconds(5)))
    );
    assert_eq!((info.waiting, info.in_flight, info.retries), (1, 1, 1));
    let last = info.last_error.unwrap();
    assert_eq!((last.at, last.error), (seconds(5), Error::ConnectionLost));
}

#[test]
fn a_refusal_carries_the_server_reference() {
    let mut bench = Bench::new(Options { follow_server_reference: false, ..options(Version::V5) });
    bench.command(Command::Connect(None));
    let reference = ServerReference(Utf8String::from_static("other:1884"));
    bench.accept(ConnAck {
        properties: mqttspec_codec::Properties::new().with(reference),
        ..refused(ConnectReason::ServerMoved)
    });
    let error = bench.client.info(bench.now).last_error.unwrap().error;
    assert!(matches!(&error, Error::Refused { server: Some(server), .. } if server == "other:1884"));
    assert_eq!(error.to_string(), "the Server refused the connection: Server moved; use other:1884");
}

#[test]
fn a_connection_without_messages_is_reported_once_after_five_minutes() {
    let options = Options { keep_alive: 0, ..options(Version::V5) };
    let mut bench = Bench::connected_with(options, ConnAck::accepted(false));
    bench.wait(seconds(200));
    bench.publish("a", "1", QoS::AtMostOnce);
    bench.quiet();
    // The checks are every 30 s.
    bench.wait(seconds(309));
    assert!(bench.events.is_empty());
    bench.wait(seconds(1));
    assert_eq!(bench.event(), Event::Inactive { duration: seconds(310) });
    bench.wait(seconds(10_000));
    assert!(bench.events.is_empty());
}

/// The number of attempts until the circuit breaker opens, at most 20.
fn attempts_until_open(bench: &mut Bench, fail: impl Fn(&mut Bench)) -> Option<usize> {
    bench.command(Command::Connect(None));
    for attempt in 1..=20 {
        bench.transmits.clear();
        fail(bench);
        if matches!(bench.client.circuit(), CircuitState::Open { .. }) {
            return Some(attempt);
        }
        bench.run_to_deadline();
    }
    None
}

#[test]
fn the_circuit_breaker_counts_the_chosen_errors() {
    let bench = |circuit_errors| {
        Bench::new(Options { circuit_errors, reconnect_attempts: 0, ..options(Version::V5) })
    };
    let busy = |bench: &mut Bench| {
        bench.network_up();
        bench.packet(refused(ConnectReason::ProtocolError));
        bench.command(Command::Connect(None));
    };
    let unreachable = |bench: &mut Bench| bench.network_fails();
    assert_eq!(attempts_until_open(&mut bench(CircuitErrors::All), unreachable), Some(5));
    assert_eq!(attempts_until_open(&mut bench(CircuitErrors::Network), unreachable), Some(5));
    let mut patient = bench(CircuitErrors::Network);
    for _ in 0..20 {
        patient.command(Command::Connect(None));
        busy(&mut patient);
        patient.transmits.clear();
    }
    assert_eq!(patient.client.circuit(), CircuitState::Closed);
}

#[test]
fn the_fallback_is_used_while_the_circuit_breaker_is_open() {
    let fallback = Some(Utf8String::from_static("second:1884"));
    let mut bench =
        Bench::new(Options { circuit_fallback: fallback, reconnect_attempts: 0, ..options(Version::V5) });
    bench.command(Command::Connect(None));
    let mut servers = Vec::new();
    for _ in 0..6 {
        let Some(Transmit::Dial { server }) = bench.transmits.pop_front() else { panic!("no Dial") };
        servers.push(server.map(|server| server.as_str().to_owned()));
        if servers.len() < 6 {
            bench.network_fails();
            bench.run_to_deadline();
        }
    }
    assert_eq!(servers[..5], [const { None }; 5]);
    assert_eq!(servers[5].as_deref(), Some("second:1884"));
    bench.network_up();
    bench.packet(ConnAck::accepted(false));
    let info = bench.client.info(bench.now);
    assert_eq!((info.state, info.server.as_str()), (State::Connected, "second:1884"));
    assert!(matches!(info.circuit, CircuitState::Open { .. }), "the first Server is not proved");
    bench.wait(seconds(31));
    bench.transmits.clear();
    bench.closed();
    bench.run_to_deadline();
    assert_eq!(bench.transmits.pop_front(), Some(Transmit::Dial { server: None }));
    assert_eq!(bench.client.circuit(), CircuitState::HalfOpen);
}

#[test]
fn the_delay_follows_the_policy() {
    let options = Options {
        reconnect_policy: ReconnectPolicy::Constant,
        circuit_failures: 0,
        reconnect_attempts: 0,
        ..options(Version::V5)
    };
    let mut bench = Bench::new(options);
    bench.command(Command::Connect(None));
    for _ in 0..30 {
        bench.network_fails();
        assert!(bench.run_to_deadline() <= seconds(1));
    }
    let last = bench.client.info(bench.now).last_error.unwrap();
    assert_eq!(last.error, Error::NotReachable(Unreachable::ConnectionRefused));
}
