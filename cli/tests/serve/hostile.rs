//! Hostile peers against the real program: its answers, its bounded memory use, and undisturbed
//! service for another Client.
//!
//! With `--nocapture` each test prints its memory use.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::process::{CONNACK, CONNECT, Serve, exchange, expect, rest};

const MIB: usize = 1 << 20;

/// CONNECT of 5.0 with Clean Start, this Keep Alive and this client identifier of six bytes.
fn connect_as(client_id: &str, keep_alive: u8) -> Vec<u8> {
    assert_eq!(client_id.len(), 6);
    [b"\x10\x13\x00\x04MQTT\x05\x02\x00", &[keep_alive][..], b"\x00\x00\x06", client_id.as_bytes()].concat()
}

/// Another Client subscribes, publishes and receives its message.
fn another_client_is_served(serve: &Serve) {
    let mut other = serve.dial(&connect_as("others", 0), CONNACK);
    exchange(&mut other, b"\x82\x09\x00\x01\x00\x00\x03o/t\x01", b"\x90\x04\x00\x01\x00\x01");
    exchange(&mut other, b"\x32\x0a\x00\x03o/t\x00\x07\x00hi", b"");
    // PUBACK and the message, in either order.
    let mut got = [0; 4 + 12];
    other.read_exact(&mut got).unwrap();
    assert!(got.windows(2).any(|two| two == b"hi"), "{got:02x?}");
    exchange(&mut other, b"\xe0\x00", b"");
}

/// The maximum growth of the broker's memory while `attack` ran, in bytes.
fn growth(serve: &Serve, name: &str, attack: impl FnOnce()) -> usize {
    another_client_is_served(serve);
    let before = serve.resident_bytes();
    attack();
    let grown = serve.most_resident_bytes().saturating_sub(before);
    println!("{name}: at most {} KiB of growth", grown / 1024);
    grown
}

#[test]
fn slow_connects_are_closed() {
    let serve = Serve::start(&["--option", "connect_timeout=2s"]);
    let grown = growth(&serve, "300 slow CONNECTs", || {
        let mut slow: Vec<TcpStream> = (0..300).map(|_| serve.connect()).collect();
        for byte in &CONNECT[..CONNECT.len() - 1] {
            // Writing fails on connections that are already closed.
            slow.iter_mut().for_each(|stream| drop(stream.write(&[*byte])));
            another_client_is_served(&serve);
        }
        for stream in &mut slow {
            // The broker sends nothing: an end, or a reset after late bytes.
            match stream.read(&mut [0; 8]) {
                Ok(0) => {}
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
                other => panic!("the connection was not closed: {other:?}"),
            }
        }
    });
    assert!(grown < 32 * MIB, "{grown}");
}

#[test]
fn huge_lengths_cost_only_the_received_bytes() {
    let serve = Serve::start(&[]);
    let grown = growth(&serve, "200 first packets and 200 messages of 256 MiB that never arrive", || {
        let mut giants = Vec::new();
        for number in 0..200 {
            let mut first = serve.connect();
            exchange(&mut first, b"\x10\xff\xff\xff\x7f\x00\x04MQTT\x05", b"\x20");
            let answer = rest(&mut first);
            assert_eq!(answer[2], 0x95, "{answer:02x?}");
            let mut later = serve.dial(&connect_as(&format!("g{number:05}"), 0), CONNACK);
            // The first 1,000 bytes of a PUBLISH with a Remaining Length of 268,435,455.
            later
                .write_all(&[b"\x30\xff\xff\xff\x7f\x00\x01t\x00".as_slice(), &[b'x'; 1000]].concat())
                .unwrap();
            giants.push(later);
        }
        another_client_is_served(&serve);
    });
    assert!(grown < 32 * MIB, "{grown}");
}

#[test]
fn a_message_above_the_maximum_packet_size_is_refused_before_it_arrives() {
    let serve = Serve::start(&["--option", "maximum_packet_size=100000"]);
    // The CONNACK also contains the Maximum Packet Size.
    let mut client = serve.dial(CONNECT, b"\x20\x0b\x00\x00\x08\x27\x00\x01\x86\xa0\x22\x00\x0a");
    exchange(&mut client, b"\x30\xff\xff\xff\x7f\x00\x01t\x00", b"\xe0");
    assert_eq!(rest(&mut client)[1], 0x95);
}

#[test]
fn a_flood_of_subscriptions_ends_at_the_quota() {
    let serve = Serve::start(&["--option", "maximum_subscriptions=50000"]);
    let grown = growth(&serve, "100,000 Subscriptions, of which 50,000 are granted", || {
        let mut flood = serve.dial(CONNECT, CONNACK);
        let mut refused = 0;
        for packet in 0..100_u32 {
            // SUBSCRIBE with 1,000 Topic Filters of 13 bytes, each with its length and its options.
            let mut filters = Vec::new();
            for filter in 0..1000 {
                filters.extend([0, 13]);
                filters.extend(format!("flood/{:07}", packet * 1000 + filter).as_bytes());
                filters.push(0);
            }
            let length = filters.len() + 3;
            let remaining = [(length % 128) as u8 | 0x80, (length / 128) as u8];
            flood.write_all(&[&[0x82], &remaining[..], &[0, 1, 0], &filters].concat()).unwrap();
            // SUBACK: 1,003 bytes after the fixed header of three, or more with a Reason String.
            let mut head = [0; 3];
            flood.read_exact(&mut head).unwrap();
            let mut suback = vec![0; usize::from(head[1] & 0x7f) + 128 * usize::from(head[2])];
            flood.read_exact(&mut suback).unwrap();
            refused += suback[suback.len() - 1000..].iter().filter(|&&code| code == 0x97).count();
            if packet % 20 == 0 {
                another_client_is_served(&serve);
            }
        }
        assert_eq!(refused, 50_000);
    });
    assert!(grown < 64 * MIB, "{grown}");
}

#[test]
fn a_client_that_never_reads_answers_is_no_longer_read() {
    let serve = Serve::start(&[]);
    let grown = growth(&serve, "PINGREQs from a Client that never reads", || {
        let mut deaf = serve.dial(CONNECT, CONNACK);
        deaf.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
        let mut sent = 0_usize;
        let pings = [0xc0, 0].repeat(32 * 1024);
        while let Ok(written) = deaf.write(&pings) {
            sent += written;
            assert!(sent < 1024 * MIB, "the broker never stops reading");
        }
        another_client_is_served(&serve);
    });
    assert!(grown < 32 * MIB, "{grown}");
}

#[test]
fn messages_for_a_client_that_never_reads_fill_only_its_queue() {
    let queue = ["--option", "queue_maximum_bytes=1000000", "--option", "outflow_max_bytes=10000000"];
    let serve = Serve::start(&queue);
    let grown = growth(&serve, "100 MB for a Client that never reads", || {
        let mut deaf = serve.dial(CONNECT, CONNACK);
        exchange(&mut deaf, b"\x82\x07\x00\x01\x00\x00\x01t\x01", b"\x90\x04\x00\x01\x00\x01");
        let mut writer = serve.dial(&connect_as("writer", 0), CONNACK);
        // PUBLISH to "t" at QoS 1 with 10,000 bytes of payload.
        let message = [b"\x32\x96\x4e\x00\x01t\x00\x07\x00".as_slice(), &[b'x'; 10_000]].concat();
        for _ in 0..10_000 {
            exchange(&mut writer, &message, b"\x40\x02\x00\x07");
        }
        another_client_is_served(&serve);
    });
    assert!(grown < 48 * MIB, "{grown}");
}

#[test]
fn many_reconnects_leak_nothing() {
    let serve = Serve::start(&[]);
    let grown = growth(&serve, "5,000 reconnects of 10 Clients without a DISCONNECT", || {
        for number in 0..5000 {
            let client_id = format!("storm{}", number % 10);
            let mut stream = serve.connect();
            stream.write_all(&connect_as(&client_id, 60)).unwrap();
            // Half of them do not wait for the CONNACK.
            if number % 2 == 0 {
                expect(&mut stream, CONNACK);
            }
            if number % 500 == 0 {
                another_client_is_served(&serve);
            }
        }
        another_client_is_served(&serve);
    });
    assert!(grown < 32 * MIB, "{grown}");
}

#[test]
fn half_open_connections_are_closed_after_one_and_a_half_keep_alives() {
    let serve = Serve::start(&[]);
    let grown = growth(&serve, "200 silent Clients", || {
        let connect = |number| serve.dial(&connect_as(&format!("h{number:05}"), 1), CONNACK);
        let mut silent: Vec<TcpStream> = (0..200).map(connect).collect();
        for stream in &mut silent {
            // DISCONNECT, Keep Alive timeout.
            let said = rest(stream);
            assert_eq!((said[0], said[2]), (0xe0, 0x8d), "{said:02x?}");
        }
        another_client_is_served(&serve);
    });
    assert!(grown < 32 * MIB, "{grown}");
}

#[test]
fn server_keep_alive_closes_clients_without_a_keep_alive() {
    let serve = Serve::start(&["--option", "server_keep_alive=1"]);
    // CONNACK with Server Keep Alive 1 and Topic Alias Maximum 10.
    let mut silent = serve.dial(CONNECT, b"\x20\x0e\x00\x00\x0b\x27\x01\x00\x00\x00\x22\x00\x0a\x13\x00\x01");
    assert_eq!(rest(&mut silent)[2], 0x8d);
}
