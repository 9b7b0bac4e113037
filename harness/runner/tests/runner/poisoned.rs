//! A server that serves worse after one scenario: that scenario is named, and no other fails for it.

#![expect(
    clippy::disallowed_methods,
    reason = "a server that plays tricks needs threads beside the session that is tested"
)]

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use mqttspec_judge::verdict::Verdict;
use mqttspec_net::TestBroker;
use mqttspec_runner::live::{LiveOptions, run_live};
use mqttspec_runner::suite::Selection;

use crate::common::scenarios;

/// A PINGREQ with a payload. After it the server closes the connection of every Client that
/// publishes with QoS 1.
const POISON: &[u8] = b"\xc0\x01";

/// Starts a server with this fault before a sound one, and returns its port.
fn start(sound: String) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    let port = listener.local_addr().expect("a listener has an address").port();
    let is_poisoned = Arc::new(AtomicBool::new(false));
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect(&sound) else { return };
            let is_poisoned = is_poisoned.clone();
            let back = (server.try_clone(), client.try_clone());
            thread::spawn(move || forward(client, server, &is_poisoned));
            if let (Ok(server), Ok(client)) = back {
                thread::spawn(move || forward(server, client, &AtomicBool::new(false)));
            }
        }
    });
    port
}

fn forward(mut from: TcpStream, mut to: TcpStream, is_poisoned: &AtomicBool) {
    let mut bytes = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        let bytes = &bytes[..count];
        if bytes.starts_with(POISON) {
            is_poisoned.store(true, Ordering::SeqCst);
        }
        let publishes = bytes[0] & 0xf6 == 0x32;
        if publishes && is_poisoned.load(Ordering::SeqCst) || to.write_all(bytes).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

#[test]
fn a_scenario_that_poisons_the_server_is_named_and_no_other_fails() {
    let sound = TestBroker::start().expect("a broker starts");
    let port = start(sound.url().replace("mqtt://", ""));
    let filters = ["publish/malformed-acknowledgements", "qos1/"].map(str::to_owned).to_vec();
    let plan = scenarios(&Selection { filters, ..Selection::default() });
    let target = format!("mqtt://127.0.0.1:{port}").parse().expect("a URL");
    // One job: the server cannot be restarted, so the order must show which scenario it was.
    let options = LiveOptions { target: Some(target), jobs: 1, quick: true, ..LiveOptions::default() };
    let suite = run_live(&plan, &options, &mut |_| {}).expect("the server answers");
    let of = |verdict: Verdict| suite.cases.iter().filter(move |case| case.verdict == verdict);
    let failed: Vec<String> = of(Verdict::Fail).map(|case| case.file.clone()).collect();
    assert_eq!(failed, Vec::<String>::new(), "{:?}", suite.notes);
    let named: Vec<_> = of(Verdict::Error).map(|case| case.row.as_deref()).collect();
    assert_eq!(named, [Some("pingreq-with-payload")], "{:?}", suite.notes);
    let note = "[pingreq-with-payload] the server no longer serves QoS 1";
    assert!(suite.notes.iter().any(|line| line.contains(note)), "{:?}", suite.notes);
    let unjudged = of(Verdict::NotJudged).filter(|case| case.reason.contains("no longer serves QoS 1"));
    assert!(unjudged.count() > 0, "the cases after it are not judged");
}
