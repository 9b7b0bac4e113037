//! The same broker and clients over TLS, over WebSocket and over both, on the simulated network and
//! on this machine's.
#![cfg(all(feature = "tls", feature = "websocket"))]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::time::Duration;

use common::{client, connect, message, publish, receive, start_broker, subscribe};
use mqttspec_client::Command;
use mqttspec_codec::QoS;
use mqttspec_net::store::NoStore;
use mqttspec_net::transport::{ClientTls, ServerTls, TlsNet, WebSocketNet};
use mqttspec_ports::Net;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

on_both_networks!(
    mqtt_over_tls,
    mqtt_over_websocket,
    mqtt_over_websocket_over_tls,
    a_large_message_spans_many_frames,
    a_server_of_another_authority_is_refused,
    a_server_of_another_name_is_refused,
    clients_without_a_certificate_are_refused_where_one_is_wanted,
    a_peer_that_never_ends_its_handshake_holds_up_nobody,
    plain_mqtt_at_a_tls_port_is_closed,
    packets_may_be_cut_by_frames_anywhere,
    a_text_frame_closes_the_connection,
    a_websocket_without_the_subprotocol_is_refused,
    a_websocket_that_is_closed_says_good_bye,
);

/// Certificates for one test.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Authority { issuer: Issuer::new(params, key), pem }
    }

    /// Certificate and key for a host.
    fn identity(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    fn server(&self, name: &str) -> ServerTls {
        let (certificate, key) = self.identity(name);
        ServerTls::new(certificate.as_bytes(), key.as_bytes()).unwrap()
    }

    fn client(&self) -> ClientTls {
        ClientTls::trusting(self.pem.as_bytes()).unwrap()
    }
}

async fn round_trip<S: Net, C: Net>(server: &S, net: &C, host: &str, payload: &str) {
    let broker = start_broker(server, NoStore).await;
    let mut both = client(net, host, broker.port, "both");
    connect(&mut both).await;
    subscribe(&mut both, "a/+", QoS::ExactlyOnce).await;
    both.command(Command::Publish(message("a/b", payload).qos(QoS::ExactlyOnce))).await.unwrap();
    assert_eq!(receive(&mut both).await.payload, payload);
}

async fn mqtt_over_tls<N: Net>(server: N, net: N, host: &'static str) {
    let authority = Authority::new();
    let server = TlsNet::listening(server, authority.server(host));
    round_trip(&server, &TlsNet::dialling(net, authority.client()), host, "secret").await;
}

async fn mqtt_over_websocket<N: Net>(server: N, net: N, host: &'static str) {
    round_trip(&WebSocketNet::new(server, "/mqtt"), &WebSocketNet::new(net, "/mqtt"), host, "framed").await;
}

async fn mqtt_over_websocket_over_tls<N: Net>(server: N, net: N, host: &'static str) {
    let authority = Authority::new();
    let server = WebSocketNet::new(TlsNet::listening(server, authority.server(host)), "mqtt");
    let net = WebSocketNet::new(TlsNet::dialling(net, authority.client()), "mqtt");
    round_trip(&server, &net, host, "framed and secret").await;
}

async fn a_large_message_spans_many_frames<N: Net>(server: N, net: N, host: &'static str) {
    let large = "0123456789".repeat(100_000);
    round_trip(&WebSocketNet::new(server, "/mqtt"), &WebSocketNet::new(net, "/mqtt"), host, &large).await;
}

async fn a_server_of_another_authority_is_refused<N: Net>(server: N, net: N, host: &'static str) {
    let broker = start_broker(&TlsNet::listening(server, Authority::new().server(host)), NoStore).await;
    let error =
        TlsNet::dialling(net, Authority::new().client()).connect(host, broker.port).await.unwrap_err();
    assert!(error.to_string().contains("invalid peer certificate"), "{error}");
}

async fn a_server_of_another_name_is_refused<N: Net>(server: N, net: N, host: &'static str) {
    let authority = Authority::new();
    let broker = start_broker(&TlsNet::listening(server, authority.server("other.example")), NoStore).await;
    let error = TlsNet::dialling(net, authority.client()).connect(host, broker.port).await.unwrap_err();
    assert!(error.to_string().contains("not valid for name"), "{error}");
}

async fn clients_without_a_certificate_are_refused_where_one_is_wanted<N: Net>(
    server: N,
    net: N,
    host: &'static str,
) {
    let authority = Authority::new();
    let (certificate, key) = authority.identity(host);
    let tls =
        ServerTls::for_clients_of(authority.pem.as_bytes(), certificate.as_bytes(), key.as_bytes()).unwrap();
    let server = TlsNet::listening(server, tls);
    // In TLS 1.3 a Client learns of the refusal after its part of the handshake.
    let broker = start_broker(&server, NoStore).await;
    let mut without =
        TlsNet::dialling(net.clone(), authority.client()).connect(host, broker.port).await.unwrap();
    let _ = without.write_all(CONNECT).await;
    assert!(without.read_u8().await.is_err());
    let (certificate, key) = authority.identity("client");
    let tls = ClientTls::with_certificate(authority.pem.as_bytes(), certificate.as_bytes(), key.as_bytes())
        .unwrap();
    round_trip(&server, &TlsNet::dialling(net, tls), host, "known").await;
}

async fn a_peer_that_never_ends_its_handshake_holds_up_nobody<N: Net>(server: N, net: N, host: &'static str) {
    let authority = Authority::new();
    let tls = TlsNet::listening(server.clone(), authority.server(host));
    let broker = start_broker(&tls, NoStore).await;
    let silent = net.connect(host, broker.port).await.unwrap();
    let mut slow = net.connect(host, broker.port).await.unwrap();
    // The first bytes of a ClientHello.
    slow.write_all(b"\x16\x03\x01\x02").await.unwrap();
    let mut quick = client(&TlsNet::dialling(net, authority.client()), host, broker.port, "quick");
    connect(&mut quick).await;
    drop((silent, slow));
}

async fn plain_mqtt_at_a_tls_port_is_closed<N: Net>(server: N, net: N, host: &'static str) {
    let broker = start_broker(&TlsNet::listening(server, Authority::new().server(host)), NoStore).await;
    let mut plain = net.connect(host, broker.port).await.unwrap();
    plain.write_all(CONNECT).await.unwrap();
    let mut answer = Vec::new();
    // A TLS alert at most.
    let _ = plain.read_to_end(&mut answer).await;
    assert!(answer.len() < 10, "{answer:02x?}");
}

/// CONNECT of 3.1.1 with Clean Session, Keep Alive 0 and the client identifier "w".
const CONNECT: &[u8] = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01w";
const CONNACK: &[u8] = b"\x20\x02\x00\x00";
const PINGREQ: &[u8] = b"\xc0\x00";
const PINGRESP: &[u8] = b"\xd0\x00";

const UPGRADE: &str = "GET /mqtt HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// A WebSocket by hand: a stream behind the upgrade.
async fn upgraded<N: Net>(server: &N, net: &N, host: &str) -> (common::Broker, N::Stream) {
    let broker = start_broker(&WebSocketNet::new(server.clone(), ""), NoStore).await;
    let mut stream = net.connect(host, broker.port).await.unwrap();
    let request = format!("{UPGRADE}Sec-WebSocket-Protocol: chat, mqtt\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    // The key's answer is from RFC 6455 section 1.3.
    assert!(answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("sec-websocket-protocol: mqtt"), "{answer}");
    (broker, stream)
}

/// A frame with a mask of zeros.
fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    [&[0x80 | opcode, 0x80 | u8::try_from(payload.len()).unwrap(), 0, 0, 0, 0], payload].concat()
}

async fn expect<S: tokio::io::AsyncRead + Unpin>(stream: &mut S, expected: &[u8]) {
    let mut bytes = vec![0; expected.len()];
    stream.read_exact(&mut bytes).await.unwrap();
    assert_eq!(bytes, expected);
}

async fn packets_may_be_cut_by_frames_anywhere<N: Net>(server: N, net: N, host: &'static str) {
    let (_broker, mut stream) = upgraded(&server, &net, host).await;
    for byte in CONNECT {
        stream.write_all(&frame(2, &[*byte])).await.unwrap();
    }
    expect(&mut stream, &[&[0x82, 4], CONNACK].concat()).await;
    // One frame with the end of a packet, a whole one, and the start of a third; a ping between.
    stream.write_all(&frame(2, &PINGREQ[..1])).await.unwrap();
    stream.write_all(&frame(9, b"?")).await.unwrap();
    stream.write_all(&frame(2, &[&PINGREQ[1..], PINGREQ, &PINGREQ[..1]].concat())).await.unwrap();
    stream.write_all(&frame(2, &PINGREQ[1..])).await.unwrap();
    let (mut answers, mut pongs) = (Vec::new(), 0);
    while answers.len() < 6 {
        let (opcode, length) = (stream.read_u8().await.unwrap(), stream.read_u8().await.unwrap());
        let mut payload = vec![0; usize::from(length)];
        stream.read_exact(&mut payload).await.unwrap();
        match opcode {
            0x82 => answers.extend(payload),
            0x8a => pongs += 1,
            other => panic!("opcode {other:02x}"),
        }
    }
    assert_eq!((answers, pongs), ([PINGRESP; 3].concat(), 1));
}

async fn a_text_frame_closes_the_connection<N: Net>(server: N, net: N, host: &'static str) {
    let (_broker, mut stream) = upgraded(&server, &net, host).await;
    stream.write_all(&frame(2, CONNECT)).await.unwrap();
    expect(&mut stream, &[&[0x82, 4], CONNACK].concat()).await;
    stream.write_all(&frame(1, PINGREQ)).await.unwrap();
    let mut rest = Vec::new();
    let _ = timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await.expect("it is closed");
    assert!(!rest.windows(2).any(|bytes| bytes == PINGRESP));
}

async fn a_websocket_without_the_subprotocol_is_refused<N: Net>(server: N, net: N, host: &'static str) {
    let broker = start_broker(&WebSocketNet::new(server, ""), NoStore).await;
    for protocol in ["", "Sec-WebSocket-Protocol: mqttv9\r\n"] {
        let mut stream = net.connect(host, broker.port).await.unwrap();
        stream.write_all(format!("{UPGRADE}{protocol}\r\n").as_bytes()).await.unwrap();
        let mut answer = vec![0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, b"HTTP/1.1 400");
    }
}

async fn a_websocket_that_is_closed_says_good_bye<N: Net>(server: N, net: N, host: &'static str) {
    let (_broker, mut stream) = upgraded(&server, &net, host).await;
    stream.write_all(&frame(2, CONNECT)).await.unwrap();
    expect(&mut stream, &[&[0x82, 4], CONNACK].concat()).await;
    // DISCONNECT.
    stream.write_all(&frame(2, b"\xe0\x00")).await.unwrap();
    expect(&mut stream, &[0x88, 0]).await;
}

#[test]
fn live_targets_of_every_scheme() {
    use mqttspec_broker::Options;
    use mqttspec_net::TestBroker;
    use mqttspec_net::transport::{LiveNet, LiveNetError, Scheme, Target};

    let authority = Authority::new();
    let tcp = TestBroker::start().unwrap();
    let tls = TestBroker::with(Options::default()).tls(authority.server("localhost")).start().unwrap();
    let websocket = TestBroker::with(Options::default()).websocket().start().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for url in [tcp.url(), tls.url(), websocket.url()] {
        let target: Target = url.parse().unwrap();
        let net = LiveNet::to(&target, Some(authority.client())).unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let mut client = client(&net, &target.host, target.port, "live");
            timeout(Duration::from_secs(30), connect(&mut client)).await.unwrap();
            publish(&mut client, message("a", "b")).await;
            // A reset reaches through all layers.
            let mut stream = net.connect(&target.host, target.port).await.unwrap();
            stream.write_all(CONNECT).await.unwrap();
            stream.flush().await.unwrap();
            expect(&mut stream, CONNACK).await;
            net.reset(stream);
        });
    }
    let secret: Target = "wss://localhost".parse().unwrap();
    assert_eq!(LiveNet::to(&secret, None).unwrap_err(), LiveNetError::NothingToTrust(Scheme::Wss));
}
