//! Limits against abuse, each with the answer that the standard defines.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::process::{CONNACK, CONNECT, Serve, exchange, expect, file, program, rest};

#[test]
fn a_client_above_the_connection_limit_gets_server_busy() {
    let serve = Serve::start(&["--option", "maximum_connections=1"]);
    let first = serve.dial(CONNECT, CONNACK);
    let mut second = serve.connect();
    exchange(&mut second, b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x01d", b"\x20");
    let answer = rest(&mut second);
    assert_eq!(answer[2], 0x89, "{answer:02x?}");
    drop(first);
}

#[test]
fn a_too_large_first_packet_is_refused_before_it_arrives() {
    let serve = Serve::start(&["--option", "first_packet_bytes=1000"]);
    let mut giant = serve.connect();
    exchange(&mut giant, b"\x10\xff\xff\xff\x7f\x00\x04MQTT\x05", b"\x20");
    let answer = rest(&mut giant);
    assert_eq!(answer[2], 0x95, "{answer:02x?}");
}

#[test]
fn a_connection_without_connect_is_closed_after_a_timeout() {
    let serve = Serve::start(&["--option", "connect_timeout=500ms"]);
    let mut silent = serve.connect();
    assert_eq!(rest(&mut silent), b"");
}

#[test]
fn a_full_queue_can_close_the_connection_of_its_session() {
    // The Client accepts one message at a time and never acknowledges it.
    let serve = Serve::start(&["--option", "queue_maximum_bytes=100", "--option", "queue_policy=disconnect"]);
    let mut reader = serve.dial(b"\x10\x11\x00\x04MQTT\x05\x02\x00\x00\x03\x21\x00\x01\x00\x01r", CONNACK);
    exchange(&mut reader, b"\x82\x07\x00\x01\x00\x00\x01t\x01", b"\x90\x04\x00\x01\x00\x01");
    let mut writer = serve.dial(CONNECT, CONNACK);
    for _ in 0..5 {
        writer.write_all(&[b"\x32\x2e\x00\x01t\x00\x07\x00".as_slice(), &[b'x'; 40]].concat()).unwrap();
        exchange(&mut writer, b"", b"\x40\x02\x00\x07");
    }
    let said = rest(&mut reader);
    // The one PUBLISH of 48 bytes, and DISCONNECT with Quota exceeded.
    assert_eq!((said[0], said[48], said[50]), (0x32, 0xe0, 0x97), "{said:02x?}");
}

#[test]
fn a_packet_that_takes_too_long_is_given_up() {
    let serve = Serve::start(&["--option", "packet_timeout=1s"]);
    // Keep Alive 0, and a PUBLISH of which the last byte never comes.
    let mut slow = serve.dial(CONNECT, CONNACK);
    exchange(&mut slow, b"\xc0\x00", b"\xd0\x00");
    slow.write_all(b"\x30\x06\x00\x01t\x00h").unwrap();
    let said = rest(&mut slow);
    assert_eq!((said[0], said[2]), (0xe0, 0x97), "{said:02x?}");
}

#[test]
fn the_oldest_stranger_makes_room_for_a_new_one() {
    let serve = Serve::start(&["--option", "strangers=3"]);
    // A Client that is known is no stranger.
    let mut client = serve.dial(CONNECT, CONNACK);
    let mut strangers: Vec<_> = (0..4).map(|_| serve.connect()).collect();
    assert_eq!(rest(&mut strangers[0]), b"");
    exchange(&mut strangers[3], b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x01d", CONNACK);
    exchange(&mut strangers[1], b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x01e", CONNACK);
    exchange(&mut client, b"\xc0\x00", b"\xd0\x00");
}

#[test]
fn buffers_of_all_peers_have_one_limit() {
    let serve = Serve::start(&["--option", "buffers_maximum=8000000"]);
    // PUBLISHes of 4,000,000 bytes of which the last never comes.
    let mut greedy: Vec<_> = (0..3_u8)
        .map(|number| {
            let id = [b'f' + number];
            let mut stream = serve.dial(&[&CONNECT[..CONNECT.len() - 1], &id].concat(), CONNACK);
            stream.write_all(b"\x30\x80\x92\xf4\x01\x00\x01t\x00").unwrap();
            let part = vec![b'x'; 3_500_000];
            // It may be closed before it is through.
            let _ = stream.write_all(&part);
            stream
        })
        .collect();
    let refused = greedy.iter_mut().filter_map(|stream| {
        stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        let mut said = [0; 3];
        stream.read_exact(&mut said).is_ok().then_some(said)
    });
    let refused: Vec<_> = refused.collect();
    assert_eq!(refused.len(), 1, "{refused:02x?}");
    assert_eq!((refused[0][0], refused[0][2]), (0xe0, 0x97), "{refused:02x?}");
    serve.dial(CONNECT, CONNACK);
}

/// The first bytes of a WebSocket connection, up to the end of the answer.
fn open_websocket(serve: &Serve) -> std::net::TcpStream {
    let mut stream = std::net::TcpStream::connect(serve.address("ws")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream
        .write_all(
            b"GET /mqtt HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
              Sec-WebSocket-Protocol: mqtt\r\n\r\n",
        )
        .unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer));
    stream
}

/// A frame with the mask 0.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    [&[first, 0x80 | length, 0, 0, 0, 0], payload].concat()
}

#[test]
fn a_packet_may_be_cut_into_frames_anywhere_with_pings_in_between() {
    let serve = Serve::start(&["--ws", "0"]);
    let mut stream = open_websocket(&serve);
    let (start, end) = CONNECT.split_at(5);
    // The first frame of a message, a Ping, an empty frame, and the last frame.
    for bytes in [frame(0x02, start), frame(0x89, b"ping"), frame(0x00, b""), frame(0x80, end)] {
        stream.write_all(&bytes).unwrap();
    }
    expect(&mut stream, b"\x8a\x04ping");
    expect(&mut stream, &[&[0x82, CONNACK.len() as u8], CONNACK].concat());
    // Two packets in one frame, of which the second continues in the next.
    stream.write_all(&frame(0x82, b"\xc0\x00\xc0")).unwrap();
    expect(&mut stream, b"\x82\x02\xd0\x00");
    stream.write_all(&frame(0x82, b"\x00")).unwrap();
    expect(&mut stream, b"\x82\x02\xd0\x00");
    // Close.
    stream.write_all(&frame(0x88, b"")).unwrap();
    assert_eq!(rest(&mut stream), b"\x88\x00");
}

#[test]
fn frames_that_are_wrong_are_not_read_on() {
    let serve = Serve::start(&["--ws", "0"]);
    for wrong in [
        b"\x82\x02\x10\x0e".to_vec(),
        frame(0x81, b"text"),
        frame(0x80, b"a continuation of nothing"),
        frame(0xc2, b"a reserved bit"),
        frame(0x09, b"a Ping in two frames"),
        b"\x89\xfe\x00\x7e\x00\x00\x00\x00".to_vec(),
    ] {
        let mut stream = open_websocket(&serve);
        stream.write_all(&wrong).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    }
    assert_eq!(serve.stop().0, 0);
}

#[test]
fn websocket_frames_that_never_end_cost_nothing() {
    let serve = Serve::start(&["--ws", "0"]);
    let before = serve.resident_bytes();
    let mut held = Vec::new();
    for _ in 0..20 {
        let mut stream = open_websocket(&serve);
        stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
        // A frame of 2^40 bytes, which begins like a CONNECT, and Pings without end.
        let giant = b"\x82\xff\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x10\xff\xff\x3f";
        stream.write_all(giant).unwrap();
        let _ = stream.write_all(&vec![0; 2 << 20]);
        held.push(stream);
        let mut stream = open_websocket(&serve);
        stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
        let _ = stream.write_all(&frame(0x89, &[b'p'; 125]).repeat(10_000));
        held.push(stream);
    }
    serve.dial(CONNECT, CONNACK);
    let grown = serve.most_resident_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown}");
}

#[test]
fn an_output_that_is_not_read_does_not_stop_the_broker() {
    // `Serve` reads only the first line.
    let serve = Serve::start(&["--trace", "--check"]);
    let mut client = serve.dial(CONNECT, CONNACK);
    for _ in 0..200 {
        client.write_all(&b"\x30\x06\x00\x01t\x00hi".repeat(100)).unwrap();
        exchange(&mut client, b"\xc0\x00", b"\xd0\x00");
    }
    drop(client);
    let (code, printed) = serve.stop();
    assert_eq!(code, 0);
    assert!(printed.contains("reports were dropped: the output was not read"), "{}", printed.len());
}

#[test]
fn control_characters_of_clients_are_escaped() {
    let serve = Serve::start(&["--trace", "--check"]);
    // The client identifier is ESC and "[31m"; the topic has a line feed and a right-to-left override.
    let mut client = serve.dial(b"\x10\x12\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x05\x1b[31m", CONNACK);
    // PUBLISH at QoS 1 with DUP although it is the first.
    exchange(&mut client, b"\x3a\x0c\x00\x05a\n\xe2\x80\xae\x00\x07\x00hi", b"\x40\x02\x00\x07");
    drop(client);
    let (_, printed) = serve.stop();
    assert!(printed.contains("VIOLATION"), "{printed}");
    for bad in ['\u{1b}', '\u{202e}'] {
        assert!(!printed.contains(bad), "{printed}");
    }
    assert!(!printed.lines().any(|line| line.starts_with('\u{202e}')), "{printed}");
}

#[test]
fn at_the_limit_of_file_descriptors_it_says_so_and_goes_on() {
    let mut command = Command::new("sh");
    let started = program(&["--listen", "127.0.0.1:0", "--option", "connect_timeout=60s"]);
    let arguments =
        started.get_args().map(|argument| argument.to_str().unwrap()).collect::<Vec<_>>().join(" ");
    let script = format!("ulimit -n 40; exec {} {arguments}", started.get_program().to_str().unwrap());
    let errors = file("stderr", "");
    command.args(["-c", &script]).stderr(Stdio::from(std::fs::File::create(&errors).unwrap()));
    let serve = Serve::spawn(command);
    let strangers: Vec<_> = (0..60).map(|_| serve.connect()).collect();
    serve.dial(CONNECT, CONNACK);
    drop(strangers);
    let said = std::fs::read_to_string(&errors).unwrap();
    assert!(said.contains("no connection can be accepted: ") && said.contains("ulimit -n"), "{said}");
}

#[test]
fn passwords_are_checked_apart_from_everything_else() {
    let users = file("users-flood", "user al password abc\n");
    let serve = Serve::start(&["--users", &users]);
    let connect = |password: &[u8; 3]| {
        [b"\x10\x17\x00\x04MQTT\x05\xc2\x00\x00\x00\x00\x01a\x00\x02al\x00\x03".as_slice(), password].concat()
    };
    let mut al = serve.dial(&connect(b"abc"), CONNACK);
    let mut flood: Vec<_> = (0..100)
        .map(|_| {
            let mut stream = serve.connect();
            stream.write_all(&connect(b"xyz")).unwrap();
            stream
        })
        .collect();
    exchange(&mut al, b"\xc0\x00", b"\xd0\x00");
    let mut busy = 0;
    for stream in &mut flood {
        let answer = rest(stream);
        assert!([0x86, 0x89].contains(&answer[3]), "{answer:02x?}");
        busy += usize::from(answer[3] == 0x89);
    }
    println!("{busy} of 100 were refused because too many waited");
    exchange(&mut al, b"\xc0\x00", b"\xd0\x00");
}
