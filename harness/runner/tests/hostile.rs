//! Brokers and clients that break every rule: a run on one ends in bounded time and memory, with a
//! result for each case. `bench/attacks` plays more of them, and measures.

#![expect(
    clippy::disallowed_methods,
    reason = "a hostile broker needs threads beside the session that is tested"
)]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use mqttspec_judge::results::SuiteResult;
use mqttspec_judge::verdict::Verdict;
use mqttspec_runner::live::client::{ClientError, ClientOptions, run_client};
use mqttspec_runner::live::{LiveError, LiveOptions, run_live};
use mqttspec_runner::suite::{Plan, Selection, Source, plan};

/// Each case may take this long. It is far more than one takes, and far less than for ever.
const LIMIT: Duration = Duration::from_secs(20);

fn of_files(files: &[(&str, &str)]) -> Plan {
    let header = "title    A peer that breaks every rule\n\
        clauses  MQTT-3.12.4-1\nversions 3.1.1\n";
    let sources: Vec<Source> = files
        .iter()
        .map(|(file, body)| Source { file: (*file).to_owned(), text: format!("{header}{body}") })
        .collect();
    let plan = plan(&sources, &Selection::default());
    assert_eq!(plan.errors, []);
    plan
}

/// Runs two cases on a broker that behaves so on each connection.
fn judge(behave: fn(TcpStream) -> std::io::Result<()>) -> Result<SuiteResult, LiveError> {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let port = listener.local_addr().expect("it has an address").port();
    // It ends with the process of the tests.
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            std::thread::spawn(move || behave(connection));
        }
    });
    let plan = of_files(&[
        ("a/pings.mqtt", "\ndevice connects\ndevice pings\n"),
        ("b/waits.mqtt", "\ndevice connects\ndevice < nothing for 1s\ndevice disconnects\n"),
    ]);
    let target = format!("mqtt://127.0.0.1:{port}").parse().expect("it is a URL");
    run_live(
        &plan,
        &LiveOptions { target: Some(target), time_limit: LIMIT, ..LiveOptions::default() },
        &mut |_| {},
    )
}

/// The verdict and reason of each case; none may be a verdict on the standard's clauses.
fn errors(suite: Result<SuiteResult, LiveError>) -> Vec<String> {
    let suite = suite.expect("it answers CONNECT");
    assert_eq!(suite.cases.len(), 2, "each case has a result");
    for case in &suite.cases {
        let size = case.shown.as_ref().map_or(0, |run| run.trace.size());
        assert!(size < 8 << 20, "the trace has {size} bytes");
        assert!(case.reason.len() < 4096 && case.failures.len() <= 30);
    }
    suite.cases.iter().map(|case| format!("{} {}", case.verdict, case.reason)).collect()
}

/// Reads a packet with a Remaining Length of one byte.
fn read(stream: &mut TcpStream) -> std::io::Result<u8> {
    let mut head = [0; 2];
    stream.read_exact(&mut head)?;
    stream.read_exact(&mut vec![0; usize::from(head[1] & 0x7f)])?;
    Ok(head[0])
}

/// Accepts a CONNECT of 3.1.1, and refuses others.
fn accept(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut connect = [0; 10];
    stream.read_exact(&mut connect)?;
    stream.read_exact(&mut vec![0; usize::from(connect[1]) - 8])?;
    if connect[8] != 4 {
        return stream.write_all(b"\x20\x02\x00\x01").and(Err(std::io::ErrorKind::Unsupported.into()));
    }
    stream.write_all(b"\x20\x02\x00\x00")
}

fn streams(mut stream: TcpStream) -> std::io::Result<()> {
    accept(&mut stream)?;
    read(&mut stream)?;
    // PUBLISH with Remaining Length 1005: a topic of 3 bytes, and 1000 bytes of payload.
    let mut message = b"\x30\xed\x07\x00\x03a/b".to_vec();
    message.resize(message.len() + 1000, b'x');
    loop {
        stream.write_all(&message)?;
    }
}

#[test]
fn a_broker_that_sends_messages_for_ever() {
    // The other case sends nothing that is answered so.
    let errors = errors(judge(streams));
    // A slow machine may not take as much in the time.
    let is_slow = errors[0].contains("its time limit");
    assert!(
        is_slow || errors[0].starts_with("error the peer sent more than the harness takes"),
        "{errors:?}"
    );
}

#[test]
fn a_broker_that_sends_a_packet_of_256_mb() {
    let errors = errors(judge(|mut stream| {
        accept(&mut stream)?;
        read(&mut stream)?;
        stream.write_all(b"\x30\xff\xff\xff\x7f\x00\x03a/b")?;
        loop {
            stream.write_all(&[b'x'; 4096])?;
        }
    }));
    // The other case sends nothing that is answered so.
    assert!(errors[0].starts_with("error the peer sent a packet that is larger"), "{errors:?}");
}

#[test]
fn a_broker_that_never_ends_its_connack_is_an_error_that_says_so() {
    let judged = judge(|mut stream| {
        read(&mut stream)?;
        stream.write_all(b"\x20\xff\xff\x7f")?;
        loop {
            stream.write_all(b"\x00")?;
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    let error = judged.expect_err("there is no server").to_string();
    assert!(error.contains("does not answer a CONNECT within"), "{error}");
}

/// An adapter in Python that says `hello`, and then does this.
fn adapter(then: &str) -> Result<SuiteResult, ClientError> {
    let script = format!(
        "import json, socket, sys, time\n\
         def put(line): sys.stdout.write(json.dumps(line) + chr(10)); sys.stdout.flush()\n\
         def take(): return json.loads(sys.stdin.readline())\n\
         hello = take()\n\
         put({{'id': hello['id'], 'ok': {{'name': 'x', 'version': '1', 'versions': ['3.1.1'], 'supports': []}}}})\n\
         new = take()\n\
         put({{'id': new['id'], 'ok': {{}}}})\n\
         connect = take()\n\
         put({{'id': connect['id'], 'ok': {{}}}})\n\
         {then}\n"
    );
    let folder = tempfile::tempdir().expect("there is a folder for it");
    let file = folder.path().join("adapter.py");
    std::fs::write(&file, script).expect("it can be written");
    let plan = of_files(&[("a/connects.mqtt", "tests    client\n\nask device connect\ndevice > CONNECT\n")]);
    let options = ClientOptions::of_command(&format!("python3 {}", file.display()));
    run_client(&plan, &ClientOptions { time_limit: LIMIT, ..options }, &mut |_, _, _| {})
}

#[test]
fn clients_that_print_for_ever_are_errors_that_say_so() {
    let events = "{'event': 'received', 'topic': 'a', 'payload': '', 'qos': 0, 'retain': False}";
    // On a slow machine, a time limit may be over before the output is too much.
    let too_slow = ["opened no Network Connection", "did not answer"];
    for (then, said) in [
        (format!("while True: put({events})"), "more than"),
        ("while True: sys.stdout.write('x' * 4096)".to_owned(), "without a line break"),
        ("while True: sys.stderr.write('x' * 4096); sys.stderr.flush()".to_owned(), "did not answer"),
        (
            "sys.stdout.write(chr(27) + '[31m' + chr(10)); sys.stdout.flush(); time.sleep(60)".to_owned(),
            "\\u{1b}[31m",
        ),
    ] {
        let error = adapter(&then).expect_err("the client cannot be judged").to_string();
        let is_said = too_slow.iter().chain([&said]).any(|said| error.contains(said));
        assert!(is_said && !error.contains('\u{1b}'), "{then}: {error}");
        assert!(error.len() < 64 << 10, "{then}: {} bytes", error.len());
    }
}

#[test]
fn a_client_that_sends_for_ever_is_an_error_that_says_so() {
    let sends = "s = socket.create_connection((new['new']['address'], new['new']['port']))\n\
        while True: s.sendall(bytes.fromhex(PACKETS))";
    for packets in ["'c000' * 4096", "'30ffffff7f000161' + '78' * 4096"] {
        let judged = adapter(&sends.replace("PACKETS", packets));
        // Whether it is found out at the first contact or in its case depends on time.
        let said = match judged {
            Err(error) => error.to_string(),
            // Its first packet is no CONNECT.
            Ok(suite) if suite.cases[0].verdict == Verdict::Fail => continue,
            Ok(suite) => suite.cases[0].reason.clone(),
        };
        let is_said = ["the peer sent", "its time limit", "did not end", "did not answer"]
            .iter()
            .any(|part| said.contains(part));
        assert!(is_said, "{packets}: {said}");
    }
}
