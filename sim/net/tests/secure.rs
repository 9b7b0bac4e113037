//! What a client's options say about its transport is done, or refused before the first byte. And
//! why a Network Connection could not be opened.
#![cfg(feature = "tls")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::path::PathBuf;
use std::time::Duration;

use common::{connect, options, real, start_broker};
use mqttspec_client::{Command, Error, ErrorKind, Event, Options, Unreachable};
use mqttspec_net::store::NoStore;
use mqttspec_net::transport::{LiveNet, ServerTls, TlsNet, TransportError, WebSocketNet};
use mqttspec_net::{Clock, TcpNet, client::spawn_client};
use mqttspec_ports::Net;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::time::timeout;

/// Certificates in files of a folder of their own.
struct Files {
    folder: PathBuf,
}

impl Files {
    fn new(name: &str) -> Files {
        let folder = std::env::temp_dir().join(format!("mqttspec-secure-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Files { folder }
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.folder.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The error with which a Connect command ends.
async fn error_of<N: Net>(net: N, options: Options) -> Error {
    let mut client = spawn_client(net, options, 1, Clock::showing(Duration::ZERO), ());
    client.command(Command::Connect(None)).await.unwrap();
    loop {
        match client.event().await.unwrap() {
            Event::Failed { error, .. } => return error,
            Event::Connected { .. } => panic!("it is connected"),
            _ => {}
        }
    }
}

#[test]
fn an_option_that_the_network_cannot_do_is_an_error_before_the_first_byte() {
    real(|_, net, host| async move {
        let listener = TcpListener::bind((host, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        for (option, value) in [
            ("tls", "1"),
            ("ca_file", "ca.pem"),
            ("certificate_file", "client.pem"),
            ("key_file", "client.key"),
            ("websocket_path", "/mqtt"),
        ] {
            let error = error_of(net, options(host, port, "secret", &[(option, value)])).await;
            assert_eq!(error, Error::NotReachable(Unreachable::OptionNotHonoured(option)));
            assert_eq!(error.kind(), ErrorKind::Application);
        }
        let nothing = timeout(Duration::from_millis(200), listener.accept()).await;
        assert!(nothing.is_err(), "no Network Connection was opened, so no byte was sent");
    });
}

#[test]
fn with_tls_the_first_bytes_are_a_client_hello_and_no_connect() {
    real(|_, _, host| async move {
        let listener = TcpListener::bind((host, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let files = Files::new("hello");
        let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let authority = files.write("ca.pem", &certificate.cert.pem());
        let set = [("tls", "1"), ("ca_file", &*authority), ("reconnect", "0")];
        let options = options("localhost", port, "secret-name", &set);
        let net = LiveNet::of(&options).unwrap();
        let failed = tokio::task::spawn_local(error_of(net, options));
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = vec![0; 4096];
        let length = stream.read(&mut bytes).await.unwrap();
        bytes.truncate(length);
        assert_eq!(bytes[0], 0x16, "a TLS handshake record");
        assert!(
            !bytes.windows(4).any(|four| four == b"MQTT") && !bytes.windows(6).any(|six| six == b"secret")
        );
        drop(stream);
        assert_eq!(failed.await.unwrap(), Error::NotReachable(Unreachable::Closed));
    });
}

#[test]
fn options_alone_lead_to_every_transport() {
    real(|server, _, _| async move {
        let files = Files::new("all");
        let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (pem, key) = (certificate.cert.pem(), certificate.signing_key.serialize_pem());
        let authority = files.write("ca.pem", &pem);
        let private = files.write("key.pem", &key);
        let tls = || ServerTls::for_clients_of(pem.as_bytes(), pem.as_bytes(), key.as_bytes()).unwrap();
        let mqtts = start_broker(&TlsNet::listening(server, tls()), NoStore).await;
        let ws = start_broker(&WebSocketNet::new(server, "/mqtt"), NoStore).await;
        let wss = WebSocketNet::new(TlsNet::listening(server, tls()), "/mqtt");
        let wss = start_broker(&wss, NoStore).await;
        let of_tls = [
            ("tls", "1"),
            ("ca_file", &*authority),
            ("certificate_file", &*authority),
            ("key_file", &*private),
        ];
        let path = [("websocket_path", "mqtt")];
        for (port, set) in [
            (mqtts.port, of_tls.to_vec()),
            (ws.port, path.to_vec()),
            (wss.port, [&of_tls[..], &path[..]].concat()),
        ] {
            let options = options("localhost", port, "one", &set);
            let net = LiveNet::of(&options).unwrap();
            let mut client = spawn_client(net, options, 1, Clock::showing(Duration::ZERO), ());
            connect(&mut client).await;
        }
    });
}

#[test]
fn a_network_of_other_files_is_refused() {
    real(|_, _, host| async move {
        let files = Files::new("other");
        let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let [one, other] = ["one.pem", "other.pem"].map(|name| files.write(name, &certificate.cert.pem()));
        let made = options(host, 1, "a", &[("tls", "1"), ("ca_file", &one)]);
        let wanted = options(host, 1, "a", &[("tls", "1"), ("ca_file", &other)]);
        let error = error_of(LiveNet::of(&made).unwrap(), wanted).await;
        assert_eq!(error, Error::NotReachable(Unreachable::OptionNotHonoured("ca_file")));
    });
}

#[test]
fn files_that_cannot_be_used_are_an_error() {
    let files = Files::new("unusable");
    let empty = files.write("empty.pem", "");
    let of = |set: &[(&str, &str)]| LiveNet::of(&options("localhost", 1, "a", set)).unwrap_err();
    assert!(matches!(of(&[("tls", "1"), ("ca_file", "/nowhere")]), TransportError::File { .. }));
    assert!(matches!(of(&[("tls", "1"), ("ca_file", &empty)]), TransportError::Tls(_)));
    assert!(matches!(of(&[("ca_file", &empty)]), TransportError::Needs("ca_file", "tls")));
    assert!(matches!(
        of(&[("tls", "1"), ("certificate_file", &empty)]),
        TransportError::Needs("certificate_file", "key_file")
    ));
}

#[test]
fn the_reason_why_a_server_is_not_reachable_is_reported() {
    real(|server, net, host| async move {
        let once = [("reconnect", "0")];
        let closed = {
            let listener = TcpListener::bind((host, 0)).await.unwrap();
            listener.local_addr().unwrap().port()
        };
        let error = error_of(net, options(host, closed, "a", &once)).await;
        assert_eq!(error, Error::NotReachable(Unreachable::ConnectionRefused));
        let error = error_of(net, options("no-such-host.invalid", 1883, "a", &once)).await;
        assert_eq!(error, Error::NotReachable(Unreachable::NameUnknown));

        let files = Files::new("stranger");
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let stranger = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let tls =
            ServerTls::new(own.cert.pem().as_bytes(), own.signing_key.serialize_pem().as_bytes()).unwrap();
        let broker = start_broker(&TlsNet::listening(server, tls), NoStore).await;
        let authority = files.write("ca.pem", &stranger.cert.pem());
        // With reconnecting: a certificate that is not trusted is not tried again.
        let options = options("localhost", broker.port, "a", &[("tls", "1"), ("ca_file", &authority)]);
        let error = error_of(LiveNet::of(&options).unwrap(), options).await;
        assert!(matches!(error, Error::NotReachable(Unreachable::Certificate(_))), "{error}");
        assert_eq!((error.kind(), error.may_pass()), (ErrorKind::Authentication, false));
    });
}

#[test]
fn an_opened_connection_without_connack_ends_after_ten_seconds() {
    let silent = mqttspec_world::World::builder(1)
        .host("server", |context| async move {
            let listener = context.net().listen(1883).await.unwrap();
            let mut open = Vec::new();
            while let Ok((stream, _)) = mqttspec_ports::Listener::accept(&listener).await {
                open.push(stream);
            }
        })
        .host("client", |_| std::future::pending::<()>())
        .run(|world| async move {
            let set = options("server", 1883, "a", &[("reconnect", "0")]);
            let net = world.net("client").unwrap();
            let error = tokio::task::LocalSet::new().run_until(error_of(net, set)).await;
            (error, world.now())
        })
        .unwrap();
    let (error, at) = silent.output;
    assert_eq!(error, Error::TimedOut(mqttspec_client::Awaited::ConnAck));
    assert!((Duration::from_secs(10)..Duration::from_secs(11)).contains(&at), "{at:?}");
}

#[test]
fn a_second_start_without_a_store_finds_the_servers_session_and_goes_on() {
    real(|server, net, host| async move {
        let broker = start_broker(&server, NoStore).await;
        for _ in 0..2 {
            let mut client = spawn_client(
                net,
                options(host, broker.port, "a", &[]),
                1,
                Clock::showing(Duration::ZERO),
                (),
            );
            // Clean Start: the Session that the first client left cannot be resumed.
            assert!(!connect(&mut client).await);
        }
    });
}

#[test]
fn a_plain_network_has_no_transport_of_its_own() {
    assert!(!TcpNet::loopback().honours("tls", "true"));
    assert!(LiveNet::websocket("/mqtt").honours("websocket_path", "mqtt"));
    assert!(!LiveNet::websocket("/mqtt").honours("websocket_path", "/other"));
}
