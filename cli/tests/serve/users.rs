//! Authentication and authorization of Clients.

use crate::process::{CONNACK, CONNECT, Serve, exchange, file, refused, rest};

/// CONNECT of 5.0 with Clean Start, the client identifier "a", the user name "al" and this
/// password.
fn connect_as_al(password: &[u8; 3]) -> Vec<u8> {
    [b"\x10\x17\x00\x04MQTT\x05\xc2\x00\x00\x00\x00\x01a\x00\x02al\x00\x03".as_slice(), password].concat()
}

/// CONNECT of 5.0 without Clean Start, with Session Expiry Interval 3600, the client identifier "s",
/// the user name "al" and its password.
const RESUME_AS_AL: &[u8] =
    b"\x10\x1c\x00\x04MQTT\x05\xc0\x00\x00\x05\x11\x00\x00\x0e\x10\x00\x01s\x00\x02al\x00\x03abc";

const USERS: &str = "user al password abc\n  publish up/#\n  subscribe down/+\n";

#[test]
fn passwords_and_topic_permissions_are_enforced() {
    let users = file("users", USERS);
    let serve = Serve::start(&["--users", &users]);
    let mut al = serve.dial(&connect_as_al(b"abc"), CONNACK);
    // PUBLISH to "up/1" and to "down/1" at QoS 1: the second is not authorized.
    exchange(&mut al, b"\x32\x0a\x00\x04up/1\x00\x01\x00!", b"\x40\x02\x00\x01");
    al.set_nodelay(true).unwrap();
    exchange(&mut al, b"\x32\x0c\x00\x06down/1\x00\x02\x00!", b"\x40");
    let mut answer = [0; 5];
    std::io::Read::read_exact(&mut al, &mut answer).unwrap();
    assert_eq!(answer[1..4], [0x00, 0x02, 0x87], "{answer:02x?}");
}

#[test]
fn a_wrong_password_and_a_missing_user_name_are_refused() {
    let users = file("users-refused", USERS);
    let serve = Serve::start(&["--users", &users]);
    for connect in [&connect_as_al(b"abd"), CONNECT] {
        let mut refused = serve.connect();
        exchange(&mut refused, connect, b"\x20");
        let answer = rest(&mut refused);
        assert!([0x86, 0x87].contains(&answer[2]), "{answer:02x?}");
    }
    // MQTT 3.1.1 has its own Connect Return code.
    serve.dial(crate::process::CONNECT_3_1_1, b"\x20\x02\x00\x05");
}

#[test]
fn the_users_file_permits_anonymous_clients_and_says_what_they_may_do() {
    let users = file("users-anonymous", &format!("{USERS}anonymous\n  subscribe public/#\n"));
    Serve::start(&["--users", &users]).dial(CONNECT, CONNACK);
    let users = file("users-allowed", USERS);
    let said = refused(&["--users", &users, "--option", "allow_anonymous=true"]);
    let expected = format!("the users file {users} does not say what Clients without a User Name may do");
    assert!(said.contains(&expected) && said.contains("add the line `anonymous`"), "{said}");
}

#[test]
fn a_session_and_its_messages_obey_the_users_file_of_now() {
    let store = file("users-store.redb", "");
    std::fs::remove_file(&store).unwrap();
    let start = |permissions: &str| {
        let users = file("users-narrowed", &format!("user al password abc\n{permissions}"));
        Serve::start(&["--users", &users, "--store", &store])
    };
    let serve = start("");
    let mut al = serve.dial(RESUME_AS_AL, CONNACK);
    exchange(&mut al, b"\x82\x07\x00\x01\x00\x00\x01t\x01", b"\x90\x04\x00\x01\x00\x01");
    exchange(&mut al, b"\xe0\x00", b"");
    assert_eq!(rest(&mut al), b"");
    let mut publisher = serve.dial(&connect_as_al(b"abc"), CONNACK);
    exchange(&mut publisher, b"\x32\x08\x00\x01t\x00\x07\x00hi", b"\x40\x02\x00\x07");
    assert_eq!(serve.stop().0, 0);
    let serve = start("  subscribe other\n");
    let mut al = serve.dial(RESUME_AS_AL, b"\x20\x0b\x01\x00\x08\x27\x01\x00\x00\x00\x22\x00\x0a");
    // PINGRESP is all that arrives.
    exchange(&mut al, b"\xc0\x00", b"\xd0\x00");
}

#[test]
fn the_transcript_and_the_findings_do_not_show_secrets() {
    let users = file("users-secret", USERS);
    let serve = Serve::start(&["--users", &users, "--trace", "--check"]);
    serve.dial(&connect_as_al(b"abc"), CONNACK);
    // SCRAM, with the Client's first message.
    let first = b"\x10\x3c\x00\x04MQTT\x05\x02\x00\x00\x2e\x15\x00\x0dSCRAM-SHA-256\x16\x00\x1bn,,n=al,r=sixteen-letters-x\x00\x01b";
    serve.dial(first, b"\xf0");
    // The same CONNECT as in `connect_as_al` with a reserved Connect Flag.
    let mut malformed = connect_as_al(b"abc");
    malformed[9] |= 1;
    let mut malformed = {
        let mut stream = serve.connect();
        exchange(&mut stream, &malformed, b"");
        stream
    };
    rest(&mut malformed);
    let (_, printed) = serve.stop();
    assert!(printed.contains("password=\"***\"") && printed.contains("VIOLATION"), "{printed}");
    assert!(printed.contains("authentication_data=\"***\""), "{printed}");
    for secret in ["abc", "61 62 63", "616263", "sixteen-letters"] {
        assert!(!printed.contains(secret), "{secret}: {printed}");
    }
}
