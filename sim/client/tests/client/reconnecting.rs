//! Back-off, circuit breaker, giving up: the reconnect policy.

use std::time::Duration;

use mqttspec_client::{CircuitState, Command, Error, Event, Options, State, Transmit, Unreachable};
use mqttspec_codec::{ConnAck, QoS, Version};

use crate::bench::{Bench, options, seconds};

fn reconnecting(bench: &mut Bench) -> (u32, Duration) {
    loop {
        if let Event::Reconnecting { attempt, delay } = bench.event() {
            return (attempt, delay);
        }
    }
}

#[test]
fn delays_double_with_jitter_and_the_first_comes_within_a_second() {
    let mut bench = Bench::connected_with(
        Options { circuit_failures: 0, ..options(Version::V5) },
        ConnAck::accepted(false),
    );
    bench.closed();
    for (number, whole) in (1u32..).zip([1u64, 2, 4, 8, 16, 32, 60, 60, 60, 60]) {
        let (attempt, delay) = reconnecting(&mut bench);
        assert_eq!(attempt, number);
        assert!(delay >= seconds(whole) / 2 && delay <= seconds(whole), "{delay:?}");
        bench.transmits.clear();
        assert_eq!(bench.run_to_deadline(), delay);
        assert_eq!(bench.transmits.pop_front(), Some(Transmit::Dial { server: None }));
        bench.network_fails();
    }
    assert_eq!(bench.client.state(), State::Failed);
    assert!(
        bench.events.contains(&Event::GaveUp { error: Error::NotReachable(Unreachable::ConnectionRefused) })
    );
    assert_eq!(bench.client.poll_timeout(), None);
    assert_eq!(bench.client.statistics().attempts, 11);
}

#[test]
fn success_resets_the_delays() {
    let mut bench = Bench::connected(Version::V5);
    bench.closed();
    for _ in 0..3 {
        bench.run_to_deadline();
        bench.network_fails();
    }
    bench.quiet();
    bench.run_to_deadline();
    bench.accept(ConnAck::accepted(true));
    bench.quiet();
    bench.closed();
    let (attempt, delay) = reconnecting(&mut bench);
    assert_eq!(attempt, 1);
    assert!(delay <= seconds(1));
}

#[test]
fn the_circuit_breaker_opens_after_five_failures_and_half_opens_after_thirty_seconds() {
    let mut bench = Bench::new(options(Version::V5));
    bench.command(Command::Connect(None));
    for _ in 0..4 {
        bench.network_fails();
        bench.run_to_deadline();
    }
    assert_eq!(bench.client.circuit(), CircuitState::Closed);
    bench.quiet();
    let opened = bench.now;
    bench.network_fails();
    assert!(bench.events.contains(&Event::Circuit(CircuitState::Open { until: opened + seconds(30) })));
    let handle = bench.command(Command::Disconnect(Default::default()));
    assert!(
        bench
            .events
            .iter()
            .any(|event| matches!(event, Event::Disconnected { handle: Some(h), .. } if *h == handle))
    );
    bench.quiet();
    let handle = bench.command(Command::Connect(None));
    assert_eq!(bench.event(), Event::Failed { handle, error: Error::CircuitOpen { retry_in: seconds(30) } });
    bench.wait(seconds(30));
    bench.command(Command::Connect(None));
    assert_eq!(bench.event(), Event::Circuit(CircuitState::HalfOpen));
    bench.network_fails();
    assert_eq!(bench.client.circuit(), CircuitState::Open { until: bench.now + seconds(30) });
    bench.quiet();
    assert_eq!(bench.run_to_deadline(), seconds(30), "back-off waits for the breaker");
    bench.accept(ConnAck::accepted(false));
    assert_eq!(bench.client.circuit(), CircuitState::Closed);
}

#[test]
fn manual_mode_stays_where_it_is() {
    let mut bench = Bench::connected_with(
        Options { reconnect: false, ..options(Version::V3_1_1) },
        ConnAck::accepted(false),
    );
    bench.publish("a", "1", QoS::AtLeastOnce);
    bench.quiet();
    bench.closed();
    assert_eq!(bench.client.state(), State::Disconnected);
    bench.wait(seconds(10_000));
    bench.silent();
    bench.command(Command::Connect(None));
    bench.accept(ConnAck::accepted(true));
    assert!(bench.sent_publish().delivery.dup());
}

#[test]
fn manual_mode_fails_the_connect_command() {
    let mut bench = Bench::new(Options { reconnect: false, ..options(Version::V3_1_1) });
    let handle = bench.command(Command::Connect(None));
    bench.network_fails();
    assert!(
        bench
            .events
            .contains(&Event::Failed { handle, error: Error::NotReachable(Unreachable::ConnectionRefused) })
    );
    assert_eq!(bench.client.poll_timeout(), None);
}

#[test]
fn messages_wait_when_the_client_has_given_up_and_go_when_it_connects_again() {
    let mut bench = Bench::connected_with(
        Options { reconnect_attempts: 1, ..options(Version::V5) },
        ConnAck::accepted(false),
    );
    bench.closed();
    bench.run_to_deadline();
    bench.network_fails();
    assert_eq!(bench.client.state(), State::Failed);
    bench.publish("a", "1", QoS::AtLeastOnce);
    bench.quiet();
    bench.command(Command::Connect(None));
    bench.accept(ConnAck::accepted(true));
    assert_eq!(bench.sent_publish().payload, "1");
}

#[test]
fn one_seed_gives_one_run() {
    let run = || {
        let mut bench = Bench::new(Options { circuit_failures: 0, ..options(Version::V5) });
        bench.command(Command::Connect(None));
        for _ in 0..8 {
            bench.network_fails();
            bench.run_to_deadline();
        }
        (bench.now, bench.events)
    };
    assert_eq!(run(), run());
}

#[test]
fn counters_tell_what_happened() {
    let mut bench = Bench::connected(Version::V5);
    bench.publish("a", "1", QoS::AtLeastOnce);
    bench.quiet();
    bench.reconnect(ConnAck::accepted(true));
    bench.packet(crate::bench::puback(1));
    let statistics = bench.client.statistics();
    assert_eq!(
        (statistics.attempts, statistics.connections, statistics.disconnections, statistics.reconnections),
        (2, 2, 1, 1)
    );
    assert_eq!(
        (statistics.messages_sent, statistics.messages_resent, statistics.messages_published),
        (1, 1, 1)
    );
    assert_eq!(statistics.packets_sent, 4);
    assert_eq!(statistics.packets_received, 3);
    assert_eq!(statistics.errors(mqttspec_client::ErrorKind::Network), 1);
    assert_eq!(statistics.last_activity, Some(bench.now));
}
