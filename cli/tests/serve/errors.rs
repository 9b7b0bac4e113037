//! Messages of a broker that cannot start: the problem, its place, and the remedy.

use std::process::Command;

use crate::process::{Serve, file, refused};

#[test]
fn a_port_in_use() {
    let serve = Serve::start(&[]);
    let address = serve.address("mqtt").to_string();
    let said = refused(&["--listen", &address]);
    assert!(said.contains(&format!("cannot listen at {address}: Address already in use")), "{said}");
    assert!(said.contains("choose another one, or 0 for a free port: --listen 127.0.0.1:0"), "{said}");
}

#[test]
fn an_invalid_certificate() {
    let (certificate, key) = (file("certificate.pem", "no certificate"), file("key.pem", "no key"));
    let said = refused(&["--listen", "none", "--tls", &certificate, &key]);
    assert!(
        said.contains(&format!("cannot use {certificate} and {key} for TLS: the certificate:")),
        "{said}"
    );
    let said = refused(&["--tls", "/nowhere/certificate.pem", &key]);
    assert!(said.contains("cannot read the certificate /nowhere/certificate.pem: No such file"), "{said}");
}

#[test]
fn an_unknown_option_or_value() {
    let said = refused(&["--option", "recieve_maximum=3"]);
    assert!(said.contains("no option `recieve_maximum`; did you mean `receive_maximum`?"), "{said}");
    let said = refused(&["--option", "first_packet_byte=3"]);
    assert!(said.contains("did you mean `first_packet_bytes`?"), "{said}");
    let said = refused(&["--option", "maximum_qos=3"]);
    assert!(said.contains("invalid value `3` for `maximum_qos`: expected 0, 1 or 2"), "{said}");
    let said = refused(&["--option", "maximum_qos"]);
    assert!(said.contains("expected NAME=VALUE"), "{said}");
}

#[test]
fn a_users_file_that_cannot_be_read() {
    let users = file("users-wrong", "user al password abc\npublish a/#/b\n");
    let said = refused(&["--users", &users]);
    assert!(
        said.contains(&format!("invalid users file {users}: line 2: `a/#/b` is not a Topic Filter")),
        "{said}"
    );
    let said = refused(&["--users", "/nowhere/users"]);
    assert!(said.contains("cannot read the users file /nowhere/users: No such file"), "{said}");
}

#[test]
fn a_store_in_use_or_invalid() {
    let store = file("shared.redb", "");
    std::fs::remove_file(&store).unwrap();
    let serve = Serve::start(&["--store", &store]);
    let said = refused(&["--listen", "127.0.0.1:0", "--store", &store]);
    assert!(
        said.contains(&format!("cannot open the store {store}: the store is open in another process")),
        "{said}"
    );
    drop(serve);
    let other = file("other.txt", "this is a text and no store, and long enough to have a magic number");
    let said = refused(&["--listen", "127.0.0.1:0", "--store", &other]);
    assert!(said.contains(&format!("cannot open the store {other}: ")), "{said}");
    assert!(said.contains("it is not a store of this broker"), "{said}");
}

#[test]
fn a_file_that_is_no_store_is_left_as_it_is() {
    for length in [1, 9, 4096, 1_000_000] {
        let store = file("zeros", "");
        let zeros = vec![0; length];
        std::fs::write(&store, &zeros).unwrap();
        let said = refused(&["--listen", "127.0.0.1:0", "--store", &store]);
        assert!(said.contains("it is not a store of this broker"), "{length}: {said}");
        assert!(std::fs::read(&store).unwrap() == zeros, "{length}");
    }
}

#[test]
fn a_damaged_store() {
    let store = file("damaged.redb", "");
    std::fs::remove_file(&store).unwrap();
    assert_eq!(Serve::start(&["--store", &store]).stop().0, 0);
    let mut bytes = std::fs::read(&store).unwrap();
    bytes.truncate(bytes.len() / 2);
    std::fs::write(&store, &bytes).unwrap();
    let said = refused(&["--listen", "127.0.0.1:0", "--store", &store]);
    let expected = format!("cannot open the store {store}: the store is damaged, and was left as it is: ");
    assert!(said.contains(&expected) && !said.contains("panicked"), "{said}");
    assert!(std::fs::read(&store).unwrap() == bytes);
}

/// A disk of 512 KiB, where the system allows to mount one.
#[test]
fn a_full_disk() {
    let folder = file("full-disk", "");
    std::fs::remove_file(&folder).unwrap();
    std::fs::create_dir_all(&folder).unwrap();
    let program = env!("CARGO_BIN_EXE_mqttspec");
    let script = format!(
        "mount -t tmpfs -o size=512k none {folder} || exit 77; exec {program} serve --listen 127.0.0.1:0 --store {folder}/s"
    );
    let Ok(output) = Command::new("unshare").args(["-rm", "sh", "-c", &script]).output() else { return };
    let said = String::from_utf8(output.stderr).unwrap();
    if output.status.code() == Some(77) || said.contains("unshare") {
        println!("not tested: this system lets no user mount: {said}");
        return;
    }
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("the disk is full: a store needs at least 1 MiB"), "{said}");
}

#[test]
fn an_invalid_address() {
    let said = refused(&["--listen", "here"]);
    assert!(said.contains("expected ADDRESS:PORT, such as 127.0.0.1:1883"), "{said}");
    let said = refused(&["--listen", "none"]);
    assert!(said.contains("no address to listen on"), "{said}");
}
