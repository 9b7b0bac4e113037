use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use mqttspec_codec::*;
use sha2::{Digest, Sha256};

use crate::rig::*;

pub(crate) const USERS: &str =
    "user alice password pencil; publish a/#; subscribe b/+; user bob password x; anonymous; publish pub/#";

fn rig() -> Rig {
    Rig::with_options([("users", USERS)])
}

pub(crate) fn as_user(name: &'static str, password: &'static str, connect: Connect) -> Connect {
    Connect {
        user_name: Some(Utf8String::from_static(name)),
        password: Some(BinaryData::from_static(password.as_bytes())),
        ..connect
    }
}

fn method() -> AuthenticationMethod {
    AuthenticationMethod(Utf8String::from_static("SCRAM-SHA-256"))
}

fn data(text: &str) -> AuthenticationData {
    AuthenticationData::try_from(text).unwrap()
}

const CLIENT_FIRST: &str = "n,,n=alice,r=abc";

/// The Client's proof, by RFC 5802 section 3.
fn client_final(server_first: &str, password: &str) -> String {
    let part = |name: &str| server_first.split(',').find_map(|part| part.strip_prefix(name)).unwrap();
    let salt = BASE64.decode(part("s=")).unwrap();
    let mac = |key: &[u8], message: &[u8]| -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        mac.update(message);
        mac.finalize().into_bytes().into()
    };
    let mut block = mac(password.as_bytes(), &[&salt[..], &[0, 0, 0, 1]].concat());
    let mut salted = block;
    for _ in 1..part("i=").parse::<u32>().unwrap() {
        block = mac(password.as_bytes(), &block);
        salted.iter_mut().zip(block).for_each(|(sum, byte)| *sum ^= byte);
    }
    let client_key = mac(&salted, b"Client Key");
    let without_proof = format!("c=biws,r={}", part("r="));
    let covered = format!("{},{server_first},{without_proof}", &CLIENT_FIRST[3..]);
    let signature = mac(&Sha256::digest(client_key), covered.as_bytes());
    let proof: Vec<u8> = client_key.iter().zip(signature).map(|(key, mask)| key ^ mask).collect();
    format!("{without_proof},p={}", BASE64.encode(proof))
}

fn text_of(data: Option<AuthenticationData>) -> String {
    String::from_utf8(data.expect("Authentication Data").0.to_vec()).unwrap()
}

fn server_first(rig: &mut Rig, client: Client) -> String {
    let Packet::Auth(auth) = rig.receive(client) else { panic!("AUTH expected") };
    assert_eq!((auth.reason, auth.properties.get()), (AuthReason::ContinueAuthentication, Some(method())));
    text_of(auth.properties.get())
}

pub(crate) fn scram_connect(rig: &mut Rig, connect: Connect) -> Client {
    let client = rig.open();
    rig.send(client, connect.with(method()).with(data(CLIENT_FIRST)));
    let server_first = server_first(rig, client);
    let auth = Auth::new(AuthReason::ContinueAuthentication, method());
    rig.send(client, auth.with(data(&client_final(&server_first, "pencil"))));
    let Packet::ConnAck(connack) = rig.receive(client) else { panic!("CONNACK expected") };
    assert_eq!((connack.reason, connack.properties.get()), (ConnectReason::Success, Some(method())));
    assert!(text_of(connack.properties.get()).starts_with("v="));
    client
}

#[test]
fn user_name_and_password() {
    let mut rig = rig();
    rig.connect(as_user("alice", "pencil", v5("a")));
    rig.connect(as_user("alice", "pencil", v311("a", true)));
    for connect in [v5("b"), v311("b", true)] {
        for (name, password) in [("alice", "wrong"), ("nobody", "pencil")] {
            let (client, connack) = rig.answer_to(as_user(name, password, connect.clone()));
            assert_eq!(connack.reason, ConnectReason::BadUserNameOrPassword);
            rig.closed_in_silence(client);
        }
        let (_, connack) =
            rig.answer_to(Connect { user_name: Some(Utf8String::from_static("alice")), ..connect });
        assert_eq!(connack.reason, ConnectReason::BadUserNameOrPassword);
    }
    rig.connect(v5("anonymous"));
}

#[test]
fn nobody_anonymous_if_the_option_says_so() {
    let mut rig = Rig::with_options([("users", USERS), ("allow_anonymous", "no")]);
    let (_, connack) = rig.answer_to(v5("b"));
    assert_eq!(connack.reason, ConnectReason::NotAuthorized);
    let (_, connack) = rig.answer_to(v311("b", true));
    assert_eq!(connack.reason, ConnectReason::NotAuthorized);
}

#[test]
fn topic_permissions() {
    let mut rig = rig();
    let witness = rig.connect(as_user("bob", "x", v5("w")));
    rig.subscribe(witness, "#", Q0);
    let client = rig.connect(as_user("alice", "pencil", v5("a")));
    rig.publish(client, qos_1(1, "a/x", "allowed"));
    rig.send(client, qos_1(1, "b/x", "refused"));
    assert!(
        matches!(rig.receive(client), Packet::PubAck(puback) if puback.reason == PubAckReason::NotAuthorized)
    );
    rig.send(client, publish("b/x", "dropped"));
    rig.send(
        client,
        Subscribe::new(id(1), [filter("b/c", Q0), filter("b/#", Q0), filter("$share/g/b/+", Q0)]),
    );
    let Packet::SubAck(suback) = rig.receive(client) else { panic!("SUBACK expected") };
    let expected = [SubAckReason::GrantedQoS0, SubAckReason::NotAuthorized, SubAckReason::GrantedQoS0];
    assert_eq!(&*suback.reasons, expected);
    // 3.1.1 cannot refuse it: acknowledged and dropped.
    let old = rig.connect(as_user("alice", "pencil", v311("old", true)));
    rig.publish(old, qos_1(1, "b/x", "dropped"));
    rig.publish(old, qos_2(1, "b/x", "dropped"));
    assert_eq!(rig.payloads(witness), ["allowed"]);
    let with_will = Connect { will: Some(will("b/x", "")), ..v5("c") };
    let (_, connack) = rig.answer_to(as_user("alice", "pencil", with_will));
    assert_eq!(connack.reason, ConnectReason::NotAuthorized);
}

#[test]
fn unauthorized_publish_ends_the_network_connection_if_the_option_says_so() {
    let mut rig = Rig::with_options([("users", USERS), ("unauthorized_publish", "disconnect")]);
    let client = rig.connect(as_user("alice", "pencil", v5("a")));
    rig.send(client, publish("b/x", ""));
    rig.disconnected(client, DisconnectReason::NotAuthorized);
    let client = rig.connect(as_user("alice", "pencil", v311("a", true)));
    rig.send(client, publish("b/x", ""));
    rig.closed_in_silence(client);
    // 3.1 has no other answer than the acknowledgement.
    let oldest = rig.connect(as_user("alice", "pencil", Connect { version: V3_1, ..v311("b", true) }));
    rig.publish(oldest, qos_1(1, "b/x", "dropped"));
}

#[test]
fn scram_sha_256_lets_in_with_the_users_permissions() {
    let mut rig = rig();
    let client = scram_connect(&mut rig, lasting("a", 100));
    rig.send(client, qos_1(1, "b/x", ""));
    assert!(
        matches!(rig.receive(client), Packet::PubAck(puback) if puback.reason == PubAckReason::NotAuthorized)
    );
}

#[test]
fn scram_without_initial_data_is_asked_for_it() {
    let mut rig = rig();
    let client = rig.open();
    rig.send(client, v5("a").with(method()));
    let Packet::Auth(auth) = rig.receive(client) else { panic!("AUTH expected") };
    assert!(!auth.properties.contains::<AuthenticationData>());
    let auth = || Auth::new(AuthReason::ContinueAuthentication, method());
    rig.send(client, auth().with(data(CLIENT_FIRST)));
    let server_first = server_first(&mut rig, client);
    rig.send(client, auth().with(data(&client_final(&server_first, "pencil"))));
    assert!(
        matches!(rig.receive(client), Packet::ConnAck(connack) if connack.reason == ConnectReason::Success)
    );
}

#[test]
fn wrong_proof_is_refused_and_touches_nobody() {
    let mut rig = rig();
    let old = rig.connect(v5("a"));
    let client = rig.open();
    rig.send(client, v5("a").with(method()).with(data(CLIENT_FIRST)));
    let server_first = server_first(&mut rig, client);
    let auth = Auth::new(AuthReason::ContinueAuthentication, method());
    rig.send(client, auth.with(data(&client_final(&server_first, "pen"))));
    let Packet::ConnAck(connack) = rig.receive(client) else { panic!("CONNACK expected") };
    assert_eq!(connack.reason, ConnectReason::NotAuthorized);
    rig.closed_in_silence(client);
    rig.nothing(old);
}

#[test]
fn methods_that_the_server_does_not_know() {
    let mut rig = rig();
    let other = AuthenticationMethod(Utf8String::from_static("SCRAM-SHA-1"));
    let (client, connack) = rig.answer_to(v5("a").with(other));
    assert_eq!(connack.reason, ConnectReason::BadAuthenticationMethod);
    assert!(!connack.properties.contains::<AuthenticationMethod>());
    rig.closed_in_silence(client);
}

#[test]
fn nothing_but_auth_and_disconnect_before_connack() {
    let mut rig = rig();
    let other = || AuthenticationMethod(Utf8String::from_static("X"));
    let packets: [Packet; 4] = [
        publish("a/x", "").into(),
        Packet::PingReq,
        Auth::new(AuthReason::ContinueAuthentication, other()).with(data("x")).into(),
        Auth::new(AuthReason::ReAuthenticate, method()).with(data(CLIENT_FIRST)).into(),
    ];
    for packet in packets {
        let client = rig.open();
        rig.send(client, v5("a").with(method()).with(data(CLIENT_FIRST)));
        rig.receive(client);
        rig.send(client, packet);
        let Packet::ConnAck(connack) = rig.receive(client) else { panic!("CONNACK expected") };
        assert_eq!(connack.reason, ConnectReason::ProtocolError);
        rig.closed_in_silence(client);
    }
    let client = rig.open();
    rig.send(client, v5("a").with(method()).with(data(CLIENT_FIRST)));
    rig.receive(client);
    rig.send(client, Disconnect::normal());
    rig.closed_in_silence(client);
}

#[test]
fn authentication_that_does_not_end_in_time() {
    let mut rig = rig();
    let client = rig.open();
    rig.send(client, v5("a").with(method()).with(data(CLIENT_FIRST)));
    rig.receive(client);
    rig.pass(10.1);
    rig.closed_in_silence(client);
}

#[test]
fn re_authentication_while_traffic_goes_on() {
    let mut rig = rig();
    let client = scram_connect(&mut rig, v5("a"));
    rig.send(client, Auth::new(AuthReason::ReAuthenticate, method()).with(data(CLIENT_FIRST)));
    let server_first = server_first(&mut rig, client);
    rig.publish(client, qos_1(1, "a/x", "meanwhile"));
    let auth = Auth::new(AuthReason::ContinueAuthentication, method());
    rig.send(client, auth.with(data(&client_final(&server_first, "pencil"))));
    let Packet::Auth(auth) = rig.receive(client) else { panic!("AUTH expected") };
    assert_eq!(auth.reason, AuthReason::Success);
    assert!(text_of(auth.properties.get()).starts_with("v="));
    rig.nothing(client);
}

#[test]
fn failed_re_authentication_ends_the_network_connection() {
    let mut rig = rig();
    let client = scram_connect(&mut rig, v5("a"));
    rig.send(client, Auth::new(AuthReason::ReAuthenticate, method()).with(data(CLIENT_FIRST)));
    let server_first = server_first(&mut rig, client);
    let auth = Auth::new(AuthReason::ContinueAuthentication, method());
    rig.send(client, auth.with(data(&client_final(&server_first, "pen"))));
    rig.disconnected(client, DisconnectReason::NotAuthorized);
}

#[test]
fn auth_that_is_not_due_is_a_protocol_error() {
    let mut rig = rig();
    let client = rig.connect(v5("a"));
    rig.send(client, Auth::new(AuthReason::ReAuthenticate, method()).with(data(CLIENT_FIRST)));
    rig.disconnected(client, DisconnectReason::ProtocolError);
    let client = scram_connect(&mut rig, v5("a"));
    rig.send(client, Auth::new(AuthReason::ContinueAuthentication, method()).with(data(CLIENT_FIRST)));
    rig.disconnected(client, DisconnectReason::ProtocolError);
    let client = scram_connect(&mut rig, v5("a"));
    let other = AuthenticationMethod(Utf8String::from_static("X"));
    rig.send(client, Auth::new(AuthReason::ReAuthenticate, other));
    rig.disconnected(client, DisconnectReason::ProtocolError);
}

#[test]
fn the_salt_of_a_user_is_the_same_after_a_restart_whether_it_exists_or_not() {
    let salts = |rig: &mut Rig| {
        ["alice", "nobody"].map(|name| {
            let client = rig.open();
            let first = data(&format!("n,,n={name},r=abc"));
            rig.send(client, v5("a").with(method()).with(first));
            let challenge = server_first(rig, client);
            challenge.split_once(",s=").unwrap().1.to_owned()
        })
    };
    let mut rig = rig();
    let before = salts(&mut rig);
    // With another seed.
    rig.restart();
    assert_eq!(salts(&mut rig), before);
    assert_ne!(before[0], before[1]);
}
