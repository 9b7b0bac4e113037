//! Keep Alive: §3.1.2.10, Server Keep Alive §3.2.2.3.14.

use std::time::Duration;

use mqttspec_client::{Awaited, Error, Event, Options, Transmit};
use mqttspec_codec::{ConnAck, Delivery, Packet, QoS, ServerKeepAlive, Version};

use crate::bench::{Bench, incoming, options, seconds};

fn client(keep_alive: u16, heartbeat_ratio: f64, connack: ConnAck) -> Bench {
    Bench::connected_with(Options { keep_alive, heartbeat_ratio, ..options(Version::V5) }, connack)
}

#[test]
fn silence_is_broken_by_pingreq_within_the_keep_alive() {
    let mut bench = client(10, 1.0, ConnAck::accepted(false));
    for _ in 0..3 {
        assert_eq!(bench.run_to_deadline(), seconds(10));
        assert_eq!(bench.sent(), Packet::PingReq);
        bench.packet(Packet::PingResp);
    }
    bench.silent();
}

#[test]
fn other_packets_put_pingreq_off() {
    let mut bench = client(10, 1.0, ConnAck::accepted(false));
    bench.wait(seconds(9));
    bench.publish("a", "1", QoS::AtMostOnce);
    bench.packet(incoming("b", "x", Delivery::AtMostOnce));
    bench.transmits.clear();
    assert_eq!(bench.run_to_deadline(), seconds(10));
    assert_eq!(bench.sent(), Packet::PingReq);
}

#[test]
fn server_keep_alive_takes_the_place_of_the_clients() {
    let mut bench = client(60, 0.5, ConnAck::accepted(false).with(ServerKeepAlive(4)));
    assert_eq!(bench.run_to_deadline(), seconds(2));
    assert_eq!(bench.sent(), Packet::PingReq);
    let bench = client(60, 0.5, ConnAck::accepted(false).with(ServerKeepAlive(0)));
    // The health check looks for messages; it sends nothing.
    assert_eq!(bench.client.poll_timeout(), Some(seconds(300)));
}

#[test]
fn a_server_that_does_not_answer_pingreq_is_given_up_without_disconnect() {
    let mut bench = client(10, 0.5, ConnAck::accepted(false));
    bench.run_to_deadline();
    assert_eq!(bench.sent(), Packet::PingReq);
    // Half-open: packets that the Server sent before still arrive, and packets of the client are
    // lost.
    for _ in 0..4 {
        bench.wait(seconds(2));
        bench.packet(incoming("b", "x", Delivery::AtMostOnce));
        bench.publish("a", "1", QoS::AtMostOnce);
    }
    bench.quiet();
    assert_eq!(bench.run_to_deadline(), seconds(2));
    assert_eq!(bench.transmits.pop_front(), Some(Transmit::Close));
    let Event::Disconnected { error, .. } = bench.event() else { panic!("still connected") };
    assert_eq!(error, Some(Error::TimedOut(Awaited::PingResp)));
}

#[test]
fn ping_timeout_may_be_shorter_than_the_keep_alive() {
    let options = Options {
        ping_timeout: Some(Duration::from_millis(700)),
        keep_alive: 10,
        ..options(Version::V3_1_1)
    };
    let mut bench = Bench::connected_with(options, ConnAck::accepted(false));
    bench.run_to_deadline();
    assert_eq!(bench.run_to_deadline(), Duration::from_millis(700));
    assert_eq!(bench.client.statistics().disconnections, 1);
}

#[test]
fn keep_alive_0_never_pings() {
    let mut bench = client(0, 0.5, ConnAck::accepted(false));
    bench.wait(seconds(100_000));
    bench.silent();
}
