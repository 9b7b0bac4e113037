//! Authentication and authorization of Clients.

use crate::process::{CONNACK, CONNECT, Serve, exchange, file, rest};

/// CONNECT of 5.0 with Clean Start, the client identifier "a", the user name "al" and this
/// password.
fn connect_as_al(password: &[u8; 3]) -> Vec<u8> {
    [b"\x10\x17\x00\x04MQTT\x05\xc2\x00\x00\x00\x00\x01a\x00\x02al\x00\x03".as_slice(), password].concat()
}

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
fn the_users_file_or_an_option_permits_anonymous_clients() {
    let users = file("users-anonymous", &format!("{USERS}anonymous\n  subscribe public/#\n"));
    Serve::start(&["--users", &users]).dial(CONNECT, CONNACK);
    let users = file("users-allowed", USERS);
    Serve::start(&["--users", &users, "--option", "allow_anonymous=true"]).dial(CONNECT, CONNACK);
}
