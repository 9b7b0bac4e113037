//! The relay for live targets: each fault as both ends of a connection see it, over the simulated
//! network, where time costs nothing, and over TCP.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::io;
use std::time::Duration;

use mqttspec_net::relay::{Cut, Direction, Faults, Point, RelayNet, RelayStream, forward};
use mqttspec_ports::{Listener as _, Net};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout};

on_both_networks!(
    bytes_and_ends_pass_unchanged,
    a_partition_holds_bytes_back_and_keeps_their_order,
    a_partition_of_one_direction_lets_the_other_pass,
    an_end_behind_a_partition_arrives_after_it,
    no_connection_comes_about_in_a_partition,
    latency_delays_each_way,
    a_cut_resets_both_ends,
    a_cut_within_a_packet_passes_what_is_before_it,
    a_cut_behind_a_packet_passes_the_packet,
    a_half_open_connection_is_over_for_the_client_only,
    a_stalled_direction_fills_the_sender,
    bandwidth_stretches_a_transfer,
    lost_bytes_arrive_late_and_in_order,
    refused_and_then_admitted,
    foreign_clients_are_forwarded,
);

/// CONNECT of 3.1.1 with Clean Session, Keep Alive 60 and the client identifier "a".
const CONNECT: &[u8] = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a";
const PINGREQ: &[u8] = b"\xc0\x00";
/// Long enough to tell what is held back from what takes a moment on a busy machine.
const A_WHILE: Duration = Duration::from_millis(300);

struct Ends<S> {
    client: RelayStream,
    server: S,
    faults: Faults,
}

async fn ends<N: Net>(server: &N, client: &N, host: &str) -> Ends<N::Stream> {
    let listener = server.listen(0).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let net = RelayNet::new(client.clone(), Faults::new(1));
    let (accepted, dialled) = tokio::join!(listener.accept(), net.connect(host, port));
    Ends { client: dialled.unwrap(), server: accepted.unwrap().0, faults: net.faults().clone() }
}

async fn read<R: tokio::io::AsyncRead + Unpin>(stream: &mut R, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).await.unwrap();
    bytes
}

async fn is_silent<R: tokio::io::AsyncRead + Unpin>(stream: &mut R) -> bool {
    timeout(A_WHILE, stream.read_u8()).await.is_err()
}

async fn bytes_and_ends_pass_unchanged<N: Net>(server: N, client: N, host: &'static str) {
    let mut ends = ends(&server, &client, host).await;
    let long: Vec<u8> = (0..200_000_u32).map(|number| (number / 7) as u8).collect();
    let (sending, mut received) = (long.clone(), Vec::new());
    let send = async {
        ends.client.write_all(&sending).await.unwrap();
        ends.client.shutdown().await.unwrap();
    };
    tokio::join!(send, async { ends.server.read_to_end(&mut received).await.unwrap() });
    assert_eq!(received, long);
    ends.server.write_all(b"still open").await.unwrap();
    drop(ends.server);
    let mut rest = Vec::new();
    ends.client.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"still open");
}

async fn a_partition_holds_bytes_back_and_keeps_their_order<N: Net>(
    server: N,
    client: N,
    host: &'static str,
) {
    let mut ends = ends(&server, &client, host).await;
    Direction::BOTH.into_iter().for_each(|direction| ends.faults.partition(direction));
    ends.client.write_all(b"first ").await.unwrap();
    ends.server.write_all(b"answer").await.unwrap();
    assert!(is_silent(&mut ends.server).await);
    assert!(is_silent(&mut ends.client).await);
    ends.client.write_all(b"second").await.unwrap();
    Direction::BOTH.into_iter().for_each(|direction| ends.faults.heal(direction));
    assert_eq!(read(&mut ends.server, 12).await, b"first second");
    assert_eq!(read(&mut ends.client, 6).await, b"answer");
}

async fn a_partition_of_one_direction_lets_the_other_pass<N: Net>(server: N, client: N, host: &'static str) {
    let mut ends = ends(&server, &client, host).await;
    ends.faults.partition(Direction::ToServer);
    ends.client.write_all(PINGREQ).await.unwrap();
    ends.server.write_all(b"hello").await.unwrap();
    assert_eq!(read(&mut ends.client, 5).await, b"hello");
    assert!(is_silent(&mut ends.server).await);
}

async fn an_end_behind_a_partition_arrives_after_it<N: Net>(server: N, client: N, host: &'static str) {
    let mut ends = ends(&server, &client, host).await;
    ends.faults.partition(Direction::ToServer);
    ends.client.write_all(PINGREQ).await.unwrap();
    drop(ends.client);
    assert!(is_silent(&mut ends.server).await);
    ends.faults.heal(Direction::ToServer);
    let mut rest = Vec::new();
    ends.server.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, PINGREQ);
}

async fn no_connection_comes_about_in_a_partition<N: Net>(server: N, client: N, host: &'static str) {
    let listener = server.listen(0).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let net = RelayNet::new(client, Faults::new(1));
    net.faults().partition(Direction::ToClient);
    assert!(timeout(A_WHILE, net.connect(host, port)).await.is_err());
    net.faults().heal(Direction::ToClient);
    net.connect(host, port).await.unwrap();
}

async fn latency_delays_each_way<N: Net>(server: N, client: N, host: &'static str) {
    let mut ends = ends(&server, &client, host).await;
    ends.faults.latency(Direction::ToServer, A_WHILE..=A_WHILE);
    ends.faults.latency(Direction::ToClient, A_WHILE..=2 * A_WHILE);
    let start = Instant::now();
    ends.client.write_all(b"a").await.unwrap();
    read(&mut ends.server, 1).await;
    assert!(start.elapsed() >= A_WHILE);
    ends.server.write_all(b"b").await.unwrap();
    read(&mut ends.client, 1).await;
    assert!(start.elapsed() >= 2 * A_WHILE, "{:?}", start.elapsed());
}

async fn a_cut_resets_both_ends<N: Net>(server: N, client: N, host: &'static str) {
    let mut ends = ends(&server, &client, host).await;
    ends.client.write_all(b"a").await.unwrap();
    read(&mut ends.server, 1).await;
    ends.faults.cut(Cut::Reset);
    assert_eq!(ends.client.read_u8().await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(ends.server.read_u8().await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

async fn a_cut_within_a_packet_passes_what_is_before_it<N: Net>(server: N, client: N, host: &'static str) {
    let mut ends = ends(&server, &client, host).await;
    ends.faults.cut_at(Direction::ToServer, Point::Within { packets: 1, bytes: 1 }, Cut::Close);
    ends.client.write_all(&[CONNECT, PINGREQ, PINGREQ].concat()).await.unwrap();
    let mut received = Vec::new();
    ends.server.read_to_end(&mut received).await.unwrap();
    assert_eq!(received, [CONNECT, &PINGREQ[..1]].concat());
    assert_eq!(ends.client.read(&mut [0]).await.unwrap(), 0);
}

async fn a_cut_behind_a_packet_passes_the_packet<N: Net>(server: N, client: N, host: &'static str) {
    let mut ends = ends(&server, &client, host).await;
    ends.faults.cut_at(Direction::ToClient, Point::Packets(1), Cut::Close);
    ends.server.write_all(b"\x20\x02\x00\x00\xd0\x00").await.unwrap();
    let mut received = Vec::new();
    ends.client.read_to_end(&mut received).await.unwrap();
    assert_eq!(received, b"\x20\x02\x00\x00");
}

async fn a_half_open_connection_is_over_for_the_client_only<N: Net>(
    server: N,
    client: N,
    host: &'static str,
) {
    let mut ends = ends(&server, &client, host).await;
    ends.faults.cut(Cut::HalfOpen);
    assert_eq!(ends.client.read_u8().await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert!(is_silent(&mut ends.server).await);
    ends.server.write_all(b"to nobody").await.unwrap();
    assert!(is_silent(&mut ends.server).await);
}

async fn a_stalled_direction_fills_the_sender<N: Net>(server: N, client: N, host: &'static str) {
    let mut ends = ends(&server, &client, host).await;
    ends.faults.stall(Direction::ToServer);
    let much = vec![7; 4 << 20];
    let mut sent = 0;
    while let Ok(written) = timeout(A_WHILE, ends.client.write(&much[sent..])).await {
        sent += written.unwrap();
        assert!(sent < much.len(), "nothing made the sender wait");
    }
    ends.faults.resume(Direction::ToServer);
    assert_eq!(read(&mut ends.server, sent).await, &much[..sent]);
}

async fn bandwidth_stretches_a_transfer<N: Net>(server: N, client: N, host: &'static str) {
    let mut ends = ends(&server, &client, host).await;
    ends.faults.bandwidth(Direction::ToServer, Some(10_000));
    let start = Instant::now();
    ends.client.write_all(&vec![7; 10_000]).await.unwrap();
    read(&mut ends.server, 10_000).await;
    assert!(start.elapsed() >= Duration::from_millis(900), "{:?}", start.elapsed());
}

async fn lost_bytes_arrive_late_and_in_order<N: Net>(server: N, client: N, host: &'static str) {
    let mut ends = ends(&server, &client, host).await;
    ends.faults.loss(Direction::ToServer, 0.5);
    let start = Instant::now();
    let sent: Vec<u8> = (0..8).collect();
    for byte in &sent {
        ends.client.write_all(&[*byte]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(read(&mut ends.server, 8).await, sent);
    assert!(start.elapsed() >= Duration::from_millis(200), "{:?}", start.elapsed());
}

async fn refused_and_then_admitted<N: Net>(server: N, client: N, host: &'static str) {
    let listener = server.listen(0).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let net = RelayNet::new(client, Faults::new(1));
    net.faults().refuse(true);
    let error = net.connect(host, port).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    net.faults().heal_all();
    net.connect(host, port).await.unwrap();
}

async fn foreign_clients_are_forwarded<N: Net>(server: N, client: N, host: &'static str) {
    let target = server.listen(0).await.unwrap();
    let target_port = target.local_addr().unwrap().port();
    let relay = server.listen(0).await.unwrap();
    let relay_port = relay.local_addr().unwrap().port();
    let faults = Faults::new(1);
    let (net, through) = (server.clone(), faults.clone());
    tokio::task::spawn_local(async move { forward(&net, relay, host, target_port, &through).await });
    let (dialled, accepted) = tokio::join!(client.connect(host, relay_port), target.accept());
    let (mut dialled, (mut accepted, _)) = (dialled.unwrap(), accepted.unwrap());
    dialled.write_all(CONNECT).await.unwrap();
    assert_eq!(read(&mut accepted, CONNECT.len()).await, CONNECT);
    faults.cut(Cut::Reset);
    assert_eq!(dialled.read_u8().await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    // The relay and the target are one host here, to which the simulated network tells a reset as
    // an end.
    assert!(accepted.read_u8().await.is_err());
}
