//! TCP, TLS and WebSocket, separately and together, with one broker.

use mqttspec_net::TcpNet;
use mqttspec_net::transport::{ClientTls, TlsNet, WebSocketNet};
use mqttspec_ports::Net;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::process::{CONNACK, CONNECT, Serve, file};

#[test]
fn every_transport_reaches_the_same_broker() {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = file("localhost.pem", &cert.pem());
    let key = file("localhost.key", &signing_key.serialize_pem());
    let serve = Serve::start(&[
        "--listen",
        "127.0.0.1:0",
        "--listen",
        "0",
        "--tls",
        &certificate,
        &key,
        "--tls-listen",
        "0",
        "--ws",
        "0",
        "--wss",
        "0",
    ]);
    let schemes: Vec<_> = serve.urls().iter().map(|url| url.split(':').next().unwrap().to_owned()).collect();
    assert_eq!(schemes, ["mqtt", "mqtt", "ws", "mqtts", "wss"]);
    assert_eq!(serve.urls().iter().filter(|url| url.contains(":0/") || url.ends_with(":0")).count(), 0);

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let trust = || ClientTls::trusting(cert.pem().as_bytes()).unwrap();
    let tcp = TcpNet::loopback();
    let tls = || TlsNet::dialling(tcp, trust());
    runtime.block_on(async {
        let mut subscriber = tcp.connect("127.0.0.1", serve.address("mqtt").port()).await.unwrap();
        // As CONNECT, with the client identifier "d"; SUBSCRIBE to "t" at QoS 0.
        subscriber.write_all(b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x01d").await.unwrap();
        subscriber.write_all(b"\x82\x07\x00\x01\x00\x00\x01t\x00").await.unwrap();
        let mut answers = [0; CONNACK.len() + 6];
        subscriber.read_exact(&mut answers).await.unwrap();
        publish(tls(), "localhost", serve.address("mqtts").port()).await;
        publish(WebSocketNet::new(tcp, "/mqtt"), "127.0.0.1", serve.address("ws").port()).await;
        publish(WebSocketNet::new(tls(), "/mqtt"), "localhost", serve.address("wss").port()).await;
        for _ in 0..3 {
            let mut message = [0; 8];
            subscriber.read_exact(&mut message).await.unwrap();
            assert_eq!(&message, b"\x30\x06\x00\x01t\x00hi");
        }
    });
}

/// Connects and publishes "hi" to "t".
async fn publish<N: Net>(net: N, host: &str, port: u16) {
    let mut stream = net.connect(host, port).await.unwrap();
    stream.write_all(CONNECT).await.unwrap();
    stream.flush().await.unwrap();
    let mut connack = [0; CONNACK.len()];
    stream.read_exact(&mut connack).await.unwrap();
    assert_eq!(connack, CONNACK);
    stream.write_all(b"\x30\x06\x00\x01t\x00hi\xc0\x00").await.unwrap();
    stream.flush().await.unwrap();
    // The PINGRESP shows that the message has arrived.
    let mut pingresp = [0; 2];
    stream.read_exact(&mut pingresp).await.unwrap();
    assert_eq!(&pingresp, b"\xd0\x00");
}

#[test]
fn a_client_without_a_required_certificate_is_refused() {
    let server = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let client = generate_simple_self_signed(["client".to_owned()]).unwrap();
    let certificate = file("server.pem", &server.cert.pem());
    let key = file("server.key", &server.signing_key.serialize_pem());
    let authorities = file("clients.pem", &client.cert.pem());
    let serve = Serve::start(&[
        "--listen",
        "none",
        "--tls",
        &certificate,
        &key,
        "--tls-listen",
        "0",
        "--tls-clients",
        &authorities,
    ]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let port = serve.address("mqtts").port();
    let pem = server.cert.pem();
    runtime.block_on(async {
        let stranger = TlsNet::dialling(TcpNet::loopback(), ClientTls::trusting(pem.as_bytes()).unwrap());
        // TLS 1.3 reports a refusal after the Client has completed its side of the handshake.
        let refused = async {
            let mut stream = stranger.connect("localhost", port).await?;
            stream.write_all(CONNECT).await?;
            stream.flush().await?;
            stream.read_u8().await
        };
        assert!(refused.await.is_err());
        let own = ClientTls::with_certificate(
            pem.as_bytes(),
            client.cert.pem().as_bytes(),
            client.signing_key.serialize_pem().as_bytes(),
        );
        publish(TlsNet::dialling(TcpNet::loopback(), own.unwrap()), "localhost", port).await;
    });

    let (own, own_key) = (&authorities, file("client.key", &client.signing_key.serialize_pem()));
    let url = format!("mqtts://localhost:{port}");
    let run = |more: &[&str]| {
        let place = ["run", "publish/qos0-once.mqtt", "--target", &url, "--ca", &certificate];
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_mqttspec"))
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
            .args([&place, more].concat())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (output.status.success(), text)
    };
    let (passed, text) = run(&["--client-certificate", own, "--client-key", &own_key]);
    assert!(passed && text.contains(" passed, 0 failed"), "{text}");
    let (passed, text) = run(&[]);
    assert!(!passed, "without a certificate: {text}");
    let (passed, text) = run(&["--client-certificate", own, "--client-key", own]);
    assert!(!passed && text.contains("client") && text.contains("the key"), "{text}");
}
