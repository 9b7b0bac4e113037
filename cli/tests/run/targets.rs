//! Targets that cannot be tested: each ends promptly with a message, a remedy and exit code 2.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use crate::process::{Folder, Outcome, SCENARIOS, mqttspec};

fn run_on(target: &str, more: &[&str]) -> Outcome {
    let mut arguments =
        vec!["run", "qos1/acknowledged-and-delivered", "--scenarios", SCENARIOS, "--target", target];
    arguments.extend(more);
    mqttspec(&arguments)
}

fn refused(target: &str, more: &[&str], said: &[&str]) {
    let outcome = run_on(target, more);
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert_eq!(outcome.out, "", "no case was run");
    for words in said {
        assert!(outcome.err.contains(words), "{words}: {}", outcome.err);
    }
}

/// Serves every connection with this function, until the test ends.
fn server(mut serve: impl FnMut(TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || listener.incoming().flatten().for_each(&mut serve));
    port
}

#[test]
fn no_listener() {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|free| free.local_addr()).unwrap();
    refused(&format!("mqtt://{free}"), &[], &["cannot connect to", "is this its port?"]);
}

#[test]
fn an_http_server_listens() {
    let port = server(|mut stream| {
        let mut request = [0; 64];
        let _ = stream.read(&mut request);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    });
    refused(&format!("mqtt://127.0.0.1:{port}"), &[], &["an HTTP server answers", "ws://"]);
}

#[test]
fn tls_to_a_port_without_it() {
    let port = server(|mut stream| {
        let mut hello = [0; 512];
        let _ = stream.read(&mut hello);
    });
    let url = format!("mqtts://127.0.0.1:{port}");
    refused(&url, &[], &["certificate authorities", "--ca"]);
    let folder = Folder::new("plain");
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let authority = folder.write("authority.pem", &key.cert.pem());
    refused(&url, &["--ca", &authority], &["TLS handshake failed", "--ca"]);
}

#[test]
fn plain_packets_to_a_port_with_tls() {
    // The alert of a TLS server after bytes that are not a ClientHello: unexpected_message.
    let port = server(|mut stream| {
        let mut connect = [0; 64];
        let _ = stream.read(&mut connect);
        let _ = stream.write_all(b"\x15\x03\x03\x00\x02\x02\x0a");
    });
    refused(&format!("mqtt://127.0.0.1:{port}"), &[], &["a TLS server", "mqtts://"]);
}

#[test]
fn credentials_are_required() {
    // Connect Return code 5 of 3.1.1, for every requested version.
    let port = server(|mut stream| {
        let mut connect = [0; 64];
        let _ = stream.read(&mut connect);
        let _ = stream.write_all(if connect[8] == 5 { b"\x20\x03\x00\x87\x00" } else { b"\x20\x02\x00\x05" });
    });
    let url = format!("mqtt://127.0.0.1:{port}");
    refused(&url, &[], &["--user NAME --password-file FILE"]);
    let folder = Folder::new("credentials");
    let password = folder.write("password", "guess\n");
    refused(&url, &["--user", "me", "--password-file", &password], &["user name or password is wrong"]);
}

#[test]
fn connections_are_accepted_and_never_answered() {
    let mut held = Vec::new();
    let port = server(move |stream| held.push(stream));
    let folder = Folder::new("silent");
    let impatient = folder.write("impatient.toml", "[tolerance]\npatience_ms = 20\n");
    refused(
        &format!("mqtt://127.0.0.1:{port}"),
        &["--target-file", &impatient],
        &["does not answer a CONNECT"],
    );
}

#[test]
fn a_target_file_with_an_unknown_key() {
    let folder = Folder::new("unknown-key");
    let target_file = folder.write("broker.toml", "name = \"broker\"\nstrat = \"broker -p {port}\"\n");
    let outcome = mqttspec(&["run", "--scenarios", SCENARIOS, "--target-file", &target_file]);
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert!(
        outcome.err.contains("broker.toml")
            && outcome.err.contains("line 2")
            && outcome.err.contains("strat")
    );
}
