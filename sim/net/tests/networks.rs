//! What drivers rely on of a network, simulated or real: how packets arrive and how connections
//! end.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::io;

use mqttspec_codec::{Packet, Version};
use mqttspec_net::framed::{Arrived, Ending, Framed, Received};
use mqttspec_ports::{Listener as _, Net};
use tokio::io::AsyncWriteExt as _;

on_both_networks!(
    packets_sent_at_once_arrive_one_by_one,
    a_peer_that_closes_is_told_from_one_that_resets,
    a_half_closed_connection_still_carries_the_other_direction,
    nobody_listens_at_the_port,
);

/// CONNECT of 5.0 with Clean Start, Keep Alive 0, no properties and a zero-length client
/// identifier.
const CONNECT: &[u8] = b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x00";
const PINGREQ: &[u8] = b"\xc0\x00";

async fn pair<N: Net>(server: &N, client: &N, host: &str) -> (Framed<N::Stream>, N::Stream) {
    let listener = server.listen(0).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (accepted, dialled) = tokio::join!(listener.accept(), client.connect(host, port));
    (Framed::accepted(accepted.unwrap().0), dialled.unwrap())
}

async fn packet<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(framed: &mut Framed<S>) -> Packet {
    match framed.receive().await {
        Received::Arrived(Arrived::Packet { packet, .. }) => packet,
        other => panic!("expected a packet: {other:?}"),
    }
}

async fn packets_sent_at_once_arrive_one_by_one<N: Net>(server: N, client: N, host: &'static str) {
    let (mut accepted, mut dialled) = pair(&server, &client, host).await;
    dialled.write_all(&[CONNECT, PINGREQ, &PINGREQ[..1]].concat()).await.unwrap();
    assert!(
        matches!(packet(&mut accepted).await, Packet::Connect(connect) if connect.version == Version::V5)
    );
    assert_eq!(packet(&mut accepted).await, Packet::PingReq);
    dialled.write_all(&PINGREQ[1..]).await.unwrap();
    assert_eq!(packet(&mut accepted).await, Packet::PingReq);
}

async fn a_peer_that_closes_is_told_from_one_that_resets<N: Net>(server: N, client: N, host: &'static str) {
    let (mut accepted, mut dialled) = pair(&server, &client, host).await;
    dialled.write_all(&CONNECT[..3]).await.unwrap();
    drop(dialled);
    let left_over = bytes::Bytes::from_static(&CONNECT[..3]);
    assert_eq!(accepted.receive().await, Received::Ended(Ending::Closed { left_over }));

    let (mut accepted, mut dialled) = pair(&server, &client, host).await;
    dialled.write_all(CONNECT).await.unwrap();
    packet(&mut accepted).await;
    client.reset(dialled);
    assert_eq!(accepted.receive().await, Received::Ended(Ending::Reset));
}

async fn a_half_closed_connection_still_carries_the_other_direction<N: Net>(
    server: N,
    client: N,
    host: &'static str,
) {
    let (mut accepted, dialled) = pair(&server, &client, host).await;
    let mut dialled = Framed::dialled(dialled, Version::V5);
    dialled.finish().await.unwrap();
    assert!(matches!(accepted.receive().await, Received::Ended(Ending::Closed { .. })));
    accepted.send(&Packet::PingResp, Version::V5).await.unwrap();
    assert_eq!(packet(&mut dialled).await, Packet::PingResp);
}

async fn nobody_listens_at_the_port<N: Net>(server: N, client: N, host: &'static str) {
    let listener = server.listen(0).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let error = client.connect(host, port).await.err().expect("nobody listens");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
}
