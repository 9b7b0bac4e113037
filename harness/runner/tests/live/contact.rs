//! Targets that cannot be judged: each gives an error, and none hangs.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use super::*;

/// Serves every connection with this function, until the test ends.
fn server(mut serve: impl FnMut(TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    let port = listener.local_addr().expect("it has an address").port();
    std::thread::Builder::new()
        .spawn(move || listener.incoming().flatten().for_each(&mut serve))
        .expect("a thread starts");
    port
}

fn contact(url: &str) -> ContactError {
    match judge(&at(url), &SMOKE) {
        Err(LiveError::Contact(error)) => error,
        other => panic!("{url}: {other:?}"),
    }
}

#[test]
fn no_listener() {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|free| free.local_addr())
        .expect("a port is free")
        .port();
    let error = contact(&format!("mqtt://127.0.0.1:{port}"));
    assert!(matches!(error, ContactError::Unreachable { .. }), "{error}");
}

#[test]
fn an_http_server_that_answers_a_malformed_request() {
    let port = server(|mut stream| {
        let mut request = [0; 64];
        let _ = stream.read(&mut request);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    });
    let error = contact(&format!("mqtt://127.0.0.1:{port}"));
    assert!(matches!(error, ContactError::NotMqtt { what: "an HTTP server", .. }), "{error}");
}

#[test]
fn an_http_server_that_waits_for_a_complete_request() {
    let port = server(|mut stream| {
        std::thread::Builder::new()
            .spawn(move || {
                let mut seen = Vec::new();
                let mut some = [0; 64];
                while !seen.ends_with(b"\r\n\r\n") {
                    match stream.read(&mut some) {
                        Ok(count @ 1..) => seen.extend_from_slice(&some[..count]),
                        _ => return,
                    }
                }
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            })
            .expect("a thread starts");
    });
    let error = contact(&format!("mqtt://127.0.0.1:{port}"));
    assert!(matches!(error, ContactError::NotMqtt { what: "an HTTP server", .. }), "{error}");
}

#[test]
fn a_server_that_accepts_connections_and_never_answers() {
    let mut held = Vec::new();
    let port = server(move |stream| held.push(stream));
    let error = contact(&format!("mqtt://127.0.0.1:{port}"));
    assert!(matches!(error, ContactError::Silent { .. }), "{error}");
}

#[test]
fn a_server_that_closes_every_connection() {
    let port = server(drop);
    let error = contact(&format!("mqtt://127.0.0.1:{port}"));
    assert!(matches!(error, ContactError::Closes { .. }), "{error}");
}

#[test]
fn plain_packets_to_a_tls_port_and_tls_to_a_plain_port() {
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate is made");
    let (certificate, private) = (key.cert.pem(), key.signing_key.serialize_pem());
    let tls = ServerTls::new(certificate.as_bytes(), private.as_bytes()).expect("it is usable");
    let encrypted = TestBroker::with(Options::default()).tls(tls).start().expect("a broker starts");
    let error = contact(&format!("mqtt://127.0.0.1:{}", encrypted.port()));
    assert!(
        matches!(error, ContactError::NotMqtt { what: "a TLS server", .. } | ContactError::Closes { .. }),
        "{error}"
    );

    let plain = TestBroker::start().expect("a broker starts");
    let trusting = ClientTls::trusting(certificate.as_bytes()).expect("it is usable");
    let mut options = at(&format!("mqtts://localhost:{}", plain.port()));
    options.tls = Some(trusting.clone());
    let error = judge(&options, &SMOKE).expect_err("it speaks no TLS").to_string();
    assert!(error.contains("TLS handshake failed") && error.contains("--ca"), "{error}");

    let mut options = at(&encrypted.url());
    options.tls = Some(trusting);
    let suite = judge(&options, &SMOKE).expect("the broker is judged over TLS");
    assert_eq!(bad(&suite), "");

    let mut options = at(&encrypted.url());
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate is made");
    options.tls = Some(ClientTls::trusting(other.cert.pem().as_bytes()).expect("it is usable"));
    let error = judge(&options, &SMOKE).expect_err("nobody known signed it").to_string();
    assert!(error.contains("--ca"), "{error}");
}

#[test]
fn over_websocket() {
    let broker = TestBroker::with(Options::default()).websocket().start().expect("a broker starts");
    let suite =
        judge(&at(&broker.url()), &[&SMOKE[..], &["wills/retained"]].concat()).expect("the broker is judged");
    assert_eq!(bad(&suite), "");
}

#[test]
fn the_second_identity_replaces_the_user_of_scenarios() {
    let mut options = Options::default();
    options.set("users", "user tester password one; user other password two").expect("it is an option");
    options.set("allow_anonymous", "0").expect("it is an option");
    let broker = TestBroker::with(options).start().expect("a broker starts");
    let target_file = "[credentials]\nuser = \"tester\"\npassword = \"one\"\n\
                   [second_identity]\nuser = \"other\"\npassword = \"two\"\n";
    let target_file = TargetFile::parse(target_file, Path::new("p.toml")).expect("it is a target file");
    let filters = ["connect/wrong-credentials", "connect/refused-takes-nobody-over", "auth/scram"];
    let suite = judge(&LiveOptions { target_file, ..at(&broker.url()) }, &filters).expect("it is judged");
    assert_eq!(bad(&suite), "");
    for case in suite.cases.iter().filter(|case| case.file.starts_with("connect/")) {
        assert_eq!(case.verdict, Verdict::Pass, "{}: {}", case.name(), case.reason);
    }
    // A target that has the user need not support the authentication method.
    let scram = suite.cases.iter().find(|case| case.file == "auth/scram.mqtt").expect("it is placed");
    assert_eq!(scram.reason, "needs enhanced-authentication");
}

#[test]
fn credentials_are_missing_wrong_and_right() {
    let mut options = Options::default();
    options.set("users", "user alice password secret").expect("it is an option");
    options.set("allow_anonymous", "0").expect("it is an option");
    let broker = TestBroker::with(options).start().expect("a broker starts");
    let error = contact(&broker.url());
    assert!(error.to_string().contains("--user"), "{error}");
    let with = |password: &str| {
        let password = Some(password.as_bytes().to_vec());
        let credentials = Some(Credentials { user_name: "alice".to_owned(), password });
        judge(&LiveOptions { credentials, ..at(&broker.url()) }, &SMOKE)
    };
    let error = with("wrong").expect_err("the password is wrong").to_string();
    assert!(error.contains("is wrong"), "{error}");
    assert_eq!(bad(&with("secret").expect("the broker is judged")), "");
}
