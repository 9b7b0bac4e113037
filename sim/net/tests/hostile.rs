//! Peers that mean no good: the answer that they get, what they cost, and that nobody else notices.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::time::Duration;

use common::{client, connect, message, publish, receive, start_broker, start_limited, subscribe};
use mqttspec_broker::Options;
use mqttspec_codec::QoS;
use mqttspec_net::broker::Limits;
use mqttspec_net::store::NoStore;
use mqttspec_ports::Net;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, sleep, timeout};

on_both_networks!(
    a_connect_that_dribbles_in_is_given_up,
    silence_is_given_up,
    a_giant_length_is_answered_before_it_is_sent,
    a_large_connect_is_refused_and_a_large_message_is_not,
    who_asks_and_never_reads_is_not_read_any_more,
    connections_above_the_limit_are_closed_and_leave_room_when_they_go,
    a_storm_of_reconnects_leaves_nothing_behind,
    who_does_not_read_is_given_up_in_the_end,
);

/// CONNECT of 5.0 with Clean Start, Keep Alive 0, no properties and the client identifier "h".
const CONNECT: &[u8] = b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x01h";

/// One second instead of ten, as real time passes too.
fn impatient() -> Options {
    let mut options = Options::default();
    options.set("connect_timeout", "1s").unwrap();
    options
}

/// Another client goes about its business.
async fn others_are_served<N: Net>(net: &N, host: &str, port: u16) {
    let mut other = client(net, host, port, "other");
    connect(&mut other).await;
    subscribe(&mut other, "other", QoS::AtLeastOnce).await;
    other.command(mqttspec_client::Command::Publish(message("other", "fine"))).await.unwrap();
    assert_eq!(receive(&mut other).await.payload, "fine");
}

async fn a_connect_that_dribbles_in_is_given_up<N: Net>(server: N, net: N, host: &'static str) {
    let broker = start_limited(&server, impatient(), Limits::default()).await;
    let mut slow = net.connect(host, broker.port).await.unwrap();
    let start = Instant::now();
    let mut sent = 0;
    let ended = loop {
        if slow.write_all(&CONNECT[sent..=sent]).await.is_err() {
            break start.elapsed();
        }
        sent += 1;
        match timeout(Duration::from_millis(200), slow.read_u8()).await {
            Err(_) => assert!(sent < CONNECT.len() - 1, "it got its whole CONNECT in"),
            Ok(Err(_)) => break start.elapsed(),
            Ok(Ok(byte)) => panic!("there is nothing to say: {byte:02x}"),
        }
        others_are_served(&net, host, broker.port).await;
    };
    assert!((Duration::from_millis(900)..Duration::from_secs(5)).contains(&ended), "{ended:?}");
}

async fn silence_is_given_up<N: Net>(server: N, net: N, host: &'static str) {
    let broker = start_limited(&server, impatient(), Limits::default()).await;
    let mut silent = net.connect(host, broker.port).await.unwrap();
    let start = Instant::now();
    assert!(silent.read_u8().await.is_err());
    assert!(start.elapsed() >= Duration::from_millis(900), "{:?}", start.elapsed());
    drop(silent);
    while broker.entrance.connections() > 0 {
        sleep(Duration::from_millis(10)).await;
    }
}

async fn a_giant_length_is_answered_before_it_is_sent<N: Net>(server: N, net: N, host: &'static str) {
    let broker = start_broker(&server, NoStore).await;
    let mut giant = net.connect(host, broker.port).await.unwrap();
    giant.write_all(b"\x10\xff\xff\xff\x7f\x00\x04MQTT\x05").await.unwrap();
    let mut answer = Vec::new();
    giant.read_to_end(&mut answer).await.unwrap();
    // CONNACK with Packet too large.
    assert_eq!(answer[..4], [0x20, answer[1], 0, 0x95], "{answer:02x?}");
}

async fn a_large_connect_is_refused_and_a_large_message_is_not<N: Net>(
    server: N,
    net: N,
    host: &'static str,
) {
    let limits = Limits { first_packet_bytes: 1000, ..Limits::default() };
    let broker = start_limited(&server, Options::default(), limits).await;
    let mut large = net.connect(host, broker.port).await.unwrap();
    // The start of a CONNECT of 1,001 bytes.
    large.write_all(b"\x10\xe6\x07\x00\x04MQTT\x05").await.unwrap();
    let mut answer = Vec::new();
    large.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer[3], 0x95, "{answer:02x?}");
    let mut honest = client(&net, host, broker.port, "honest");
    connect(&mut honest).await;
    publish(&mut honest, message("t", &"x".repeat(5000))).await;
}

async fn who_asks_and_never_reads_is_not_read_any_more<N: Net>(server: N, net: N, host: &'static str) {
    let limits = Limits { outflow_high_bytes: 100_000, ..Limits::default() };
    let broker = start_limited(&server, Options::default(), limits).await;
    let mut flood = net.connect(host, broker.port).await.unwrap();
    flood.write_all(CONNECT).await.unwrap();
    // SUBSCRIBE with 1,000 Topic Filters "a", each answered by a byte; and PINGREQs, each answered
    // by two.
    let mut subscribe = vec![0x82, 0xa3, 0x1f, 0, 1, 0];
    subscribe.extend(b"\x00\x01a\x00".repeat(1000));
    let piece = [subscribe, [0xc0, 0].repeat(20_000)].concat();
    let mut sent = 0_usize;
    while let Ok(written) = timeout(Duration::from_millis(500), flood.write_all(&piece)).await {
        written.unwrap();
        sent += piece.len();
        assert!(sent < 200 << 20, "nothing stops it");
    }
    others_are_served(&net, host, broker.port).await;
    // The connection is in order, and only waits for its owner to read.
    let mut answers = 0;
    let mut buffer = vec![0; 65536];
    while let Ok(Ok(count)) = timeout(Duration::from_millis(500), flood.read(&mut buffer)).await
        && count > 0
    {
        answers += count;
    }
    assert!(answers > 100_000, "{answers}");
}

async fn connections_above_the_limit_are_closed_and_leave_room_when_they_go<N: Net>(
    server: N,
    net: N,
    host: &'static str,
) {
    let limits = Limits { connections: 2, ..Limits::default() };
    let broker = start_limited(&server, Options::default(), limits).await;
    let mut first = net.connect(host, broker.port).await.unwrap();
    first.write_all(CONNECT).await.unwrap();
    assert_eq!(first.read_u8().await.unwrap(), 0x20);
    let second = net.connect(host, broker.port).await.unwrap();
    while broker.entrance.connections() < 2 {
        sleep(Duration::from_millis(10)).await;
    }
    let mut third = net.connect(host, broker.port).await.unwrap();
    assert!(third.read_u8().await.is_err());
    drop((first, second));
    while broker.entrance.connections() > 0 {
        sleep(Duration::from_millis(10)).await;
    }
    others_are_served(&net, host, broker.port).await;
}

async fn a_storm_of_reconnects_leaves_nothing_behind<N: Net>(server: N, net: N, host: &'static str) {
    let broker = start_broker(&server, NoStore).await;
    for _ in 0..300 {
        let mut stream = net.connect(host, broker.port).await.unwrap();
        stream.write_all(CONNECT).await.unwrap();
        net.reset(stream);
    }
    others_are_served(&net, host, broker.port).await;
    let patience = Instant::now();
    while broker.entrance.connections() > 0 {
        assert!(patience.elapsed() < Duration::from_secs(30), "{}", broker.entrance.connections());
        sleep(Duration::from_millis(10)).await;
    }
}

async fn who_does_not_read_is_given_up_in_the_end<N: Net>(server: N, net: N, host: &'static str) {
    let limits = Limits { outflow_high_bytes: 1 << 16, outflow_max_bytes: 1 << 20, ..Limits::default() };
    let broker = start_limited(&server, Options::default(), limits).await;
    let mut publisher = client(&net, host, broker.port, "publisher");
    connect(&mut publisher).await;
    let large = "x".repeat(100_000);
    for number in 0..80 {
        publish(&mut publisher, message(&format!("r/{number}"), &large).retained()).await;
    }
    let mut deaf = net.connect(host, broker.port).await.unwrap();
    deaf.write_all(CONNECT).await.unwrap();
    // SUBSCRIBE to "#" at QoS 0: eight million bytes of retained messages at once.
    deaf.write_all(b"\x82\x07\x00\x01\x00\x00\x01#\x00").await.unwrap();
    while broker.entrance.connections() > 1 {
        sleep(Duration::from_millis(10)).await;
    }
    others_are_served(&net, host, broker.port).await;
}
