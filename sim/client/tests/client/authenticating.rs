//! Enhanced authentication: §4.12 of 5.0. The messages are those that the Server of RFC 7677 would
//! send.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use mqttspec_client::{Authentication, Command, Error, Event, Invalid, Options, State, Transmit};
use mqttspec_codec::{
    Auth, AuthReason, AuthenticationData, AuthenticationMethod, BinaryData, ConnAck, DisconnectReason,
    Packet, Properties, Utf8String, Version,
};
use sha2::Sha256;

use crate::bench::{Bench, options, seconds};

fn scram() -> Options {
    Options {
        authentication: Authentication::ScramSha256,
        user_name: Some(Utf8String::from_static("ada")),
        password: Some(BinaryData::from_static(b"pencil")),
        ..options(Version::V5)
    }
}

fn method() -> AuthenticationMethod {
    AuthenticationMethod(Utf8String::from_static("SCRAM-SHA-256"))
}

fn data<P: mqttspec_codec::HasProperties>(properties: &Properties<P>) -> String
where
    AuthenticationData: mqttspec_codec::AllowedIn<P>,
{
    let AuthenticationData(data) = properties.get().expect("Authentication Data");
    String::from_utf8(data.to_vec()).unwrap()
}

fn auth_of(packet: Packet) -> Auth {
    match packet {
        Packet::Auth(auth) => auth,
        other => panic!("AUTH was expected, not {other:?}"),
    }
}

/// The Server's side of the exchange.
struct Server {
    first_bare: String,
    challenge: String,
}

impl Server {
    fn challenge(client_first: &str) -> Self {
        let first_bare = client_first.strip_prefix("n,,").unwrap().to_owned();
        let nonce = first_bare.split_once(",r=").unwrap().1.to_owned();
        let challenge = format!("r={nonce}SERVER,s={},i=4096", BASE64.encode("salt"));
        Self { first_bare, challenge }
    }

    fn signature(&self, client_final: &str) -> String {
        let without_proof = client_final.rsplit_once(",p=").unwrap().0;
        let covered = format!("{},{},{without_proof}", self.first_bare, self.challenge);
        let salted = pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(b"pencil", b"salt", 4096);
        format!("v={}", BASE64.encode(keyed(&keyed(&salted, b"Server Key"), covered.as_bytes())))
    }
}

fn keyed(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

fn auth(reason: AuthReason, text: &str) -> Auth {
    Auth::new(reason, method()).with(AuthenticationData(BinaryData::try_from(text).unwrap()))
}

/// Until client-final-message was sent.
fn halfway() -> (Bench, Server, String) {
    let mut bench = Bench::new(scram());
    bench.command(Command::Connect(None));
    bench.transmits.clear();
    bench.network_up();
    let Packet::Connect(connect) = bench.sent() else { panic!("no CONNECT") };
    assert_eq!((connect.user_name, connect.password), (None, None));
    assert_eq!(connect.properties.get(), Some(method()));
    let server = Server::challenge(&data(&connect.properties));
    bench.packet(auth(AuthReason::ContinueAuthentication, &server.challenge));
    let answer = auth_of(bench.sent());
    assert_eq!(
        (answer.reason, answer.properties.get()),
        (AuthReason::ContinueAuthentication, Some(method()))
    );
    let client_final = data(&answer.properties);
    (bench, server, client_final)
}

fn accepted(text: &str) -> ConnAck {
    ConnAck::accepted(false).with(method()).with(AuthenticationData(BinaryData::try_from(text).unwrap()))
}

fn connected() -> Bench {
    let (mut bench, server, client_final) = halfway();
    bench.packet(accepted(&server.signature(&client_final)));
    assert_eq!(bench.client.state(), State::Connected);
    bench.quiet();
    bench
}

fn reason_of(packet: Packet) -> DisconnectReason {
    match packet {
        Packet::Disconnect(disconnect) => disconnect.reason,
        other => panic!("DISCONNECT was expected, not {other:?}"),
    }
}

#[test]
fn scram_proves_both_sides() {
    connected();
}

#[test]
fn nothing_but_auth_is_sent_before_connack() {
    let (mut bench, ..) = halfway();
    bench.publish("a", "1", mqttspec_codec::QoS::AtMostOnce);
    bench.wait(seconds(9));
    bench.silent();
}

#[test]
fn a_server_with_a_wrong_signature_is_left_and_not_tried_again() {
    let (mut bench, server, client_final) = halfway();
    let right = server.signature(&client_final);
    let wrong = if right.starts_with("v=A") {
        right.replacen("v=A", "v=B", 1)
    } else {
        format!("v=A{}", &right[3..])
    };
    bench.packet(accepted(&wrong));
    assert_eq!(reason_of(bench.sent()), DisconnectReason::UnspecifiedError);
    assert_eq!(bench.transmits.pop_front(), Some(Transmit::Close));
    assert_eq!(bench.client.state(), State::Failed);
    assert!(
        bench
            .events
            .iter()
            .any(|event| matches!(event, Event::GaveUp { error: Error::AuthenticationFailed(_) }))
    );
}

#[test]
fn a_server_that_proves_nothing_is_left() {
    let (mut bench, ..) = halfway();
    bench.packet(ConnAck::accepted(false).with(method()));
    assert_eq!(bench.client.state(), State::Failed);
}

#[test]
fn another_method_in_connack_is_a_protocol_error() {
    for connack in [
        ConnAck::accepted(false),
        ConnAck::accepted(false).with(AuthenticationMethod(Utf8String::from_static("PLAIN"))),
    ] {
        let (mut bench, ..) = halfway();
        bench.packet(connack);
        assert_eq!(reason_of(bench.sent()), DisconnectReason::ProtocolError);
    }
}

#[test]
fn auth_without_a_method_in_connect_is_a_protocol_error() {
    let mut bench = Bench::new(options(Version::V5));
    bench.command(Command::Connect(None));
    bench.transmits.clear();
    bench.network_up();
    bench.quiet();
    bench.packet(auth(AuthReason::ContinueAuthentication, "x"));
    assert_eq!(reason_of(bench.sent()), DisconnectReason::ProtocolError);
}

#[test]
fn re_authentication_goes_on_beside_other_packets() {
    let mut bench = connected();
    let handle = bench.command(Command::Reauthenticate);
    let first = auth_of(bench.sent());
    assert_eq!(first.reason, AuthReason::ReAuthenticate);
    bench.publish("a", "1", mqttspec_codec::QoS::AtMostOnce);
    bench.sent_publish();
    let server = Server::challenge(&data(&first.properties));
    bench.packet(auth(AuthReason::ContinueAuthentication, &server.challenge));
    let client_final = data(&auth_of(bench.sent()).properties);
    bench.packet(auth(AuthReason::Success, &server.signature(&client_final)));
    assert!(bench.events.contains(&Event::Reauthenticated { handle }));
    bench.silent();
}

#[test]
fn re_authentication_needs_a_method_and_an_answer() {
    let mut bench = Bench::connected(Version::V5);
    let handle = bench.command(Command::Reauthenticate);
    assert_eq!(
        bench.event(),
        Event::Failed { handle, error: Error::Invalid(Invalid::NoAuthenticationMethod) }
    );
    let mut bench = connected();
    let handle = bench.command(Command::Reauthenticate);
    bench.quiet();
    bench.wait(seconds(30));
    bench.packet(Packet::PingResp);
    bench.quiet();
    bench.wait(seconds(30));
    let failed = bench
        .events
        .iter()
        .any(|event| matches!(event, Event::Failed { handle: h, error: Error::TimedOut(_) } if *h == handle));
    assert!(failed, "{:?}", bench.events);
}

#[test]
fn scram_needs_credentials_and_version_5() {
    for (options, invalid) in [
        (Options { user_name: None, ..scram() }, Invalid::CredentialsMissing),
        (Options { version: Version::V3_1_1, ..scram() }, Invalid::NeedsVersion5),
    ] {
        let mut bench = Bench::new(options);
        let handle = bench.command(Command::Connect(None));
        assert_eq!(bench.event(), Event::Failed { handle, error: Error::Invalid(invalid) });
    }
}
