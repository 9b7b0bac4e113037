//! Accelerated time: `mqttspec serve` is the server whose clock is put forward, and the reference
//! client is the client whose clock is fast.

use serde_json::Value;

use crate::process::{Folder, Outcome, SCENARIOS, mqttspec};

/// How far the clock of its server was put forward in each case, in milliseconds. `None` without
/// the library.
fn put_forward(name: &str, before: &str, files: &[&str]) -> Option<(Outcome, Vec<(String, u64)>)> {
    let program = env!("CARGO_BIN_EXE_mqttspec");
    let start = format!("{before} '{program}' serve --listen 127.0.0.1:{{port}}");
    accelerated(name, ["--start", &start, "--clock-speed", "1000000"], files)
}

/// The same with these arguments.
fn accelerated(name: &str, arguments: [&str; 4], files: &[&str]) -> Option<(Outcome, Vec<(String, u64)>)> {
    let folder = Folder::new(name);
    let report = folder.at("report");
    let more = [&arguments[..], &["--scenarios", SCENARIOS, "--report", &report]].concat();
    let outcome = mqttspec(&[&["run"], files, &more].concat());
    if outcome.out.contains("libfaketime is not installed") {
        eprintln!("left out: libfaketime is not installed");
        return None;
    }
    let report = std::fs::read_to_string(folder.at("report/report.json")).unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    let cases = report["cases"].as_array().unwrap().iter().map(|case| {
        let verdict = case["verdict"].as_str().unwrap();
        let name =
            format!("{} {}: {verdict}", case["file"].as_str().unwrap(), case["version"].as_str().unwrap());
        (name, case["put_forward_ms"].as_u64().unwrap_or(0))
    });
    let cases = cases.collect();
    Some((outcome, cases))
}

/// A day in milliseconds.
const DAY: u64 = 24 * 3600 * 1000;

#[test]
fn days_pass_in_seconds() {
    let files = [
        "connect/keep-alive-of-eighteen-hours",
        "message-expiry/after-a-day",
        "sessions/expires-after-a-day",
        "wills/published-a-day-later",
    ];
    let Some((outcome, cases)) = put_forward("days", "", &files) else { return };
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let names: Vec<&str> = cases.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "connect/keep-alive-of-eighteen-hours.mqtt 3.1.1: pass",
            "connect/keep-alive-of-eighteen-hours.mqtt 5.0: pass",
            "message-expiry/after-a-day.mqtt 5.0: pass",
            "sessions/expires-after-a-day.mqtt 5.0: pass",
            "wills/published-a-day-later.mqtt 5.0: pass",
        ]
    );
    // The last seconds of a wait pass in real time.
    assert!(cases.iter().all(|(_, by)| *by > DAY - 60_000), "{cases:?}");
}

#[test]
fn reference_clients_links_and_loads_have_the_clock_of_the_server() {
    let files = ["faults/half-open", "qos2/exactly-once-under-loss"];
    let Some((outcome, cases)) = put_forward("loads", "", &files) else { return };
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(cases.len(), 4);
    assert!(cases.iter().all(|(_, by)| *by > 0), "{cases:?}");
}

#[test]
fn a_server_that_the_library_does_not_reach_is_detected() {
    let files = ["wills/published-a-day-later", "qos1/acknowledged-and-delivered"];
    let Some((outcome, cases)) = put_forward("unreached", "env -u LD_PRELOAD", &files) else { return };
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let note = "all cases run in real time: libfaketime has no effect on the server";
    assert!(outcome.out.contains(note), "{}", outcome.out);
    assert!(cases.iter().all(|(_, by)| *by == 0), "{cases:?}");
    assert!(cases.contains(&("wills/published-a-day-later.mqtt 5.0: skip".to_owned(), 0)), "{cases:?}");
}

#[test]
fn a_client_with_a_fast_clock_pings_sooner() {
    let files = ["clients/pings-while-idle", "clients/keeps-to-server-keep-alive"];
    let client = format!("'{}' adapter --reference", env!("CARGO_BIN_EXE_mqttspec"));
    let arguments = ["--client", &client, "--clock-speed", "20"];
    let Some((outcome, cases)) = accelerated("client", arguments, &files) else { return };
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    // A machine that stalls may make a case fail, which then runs in real time.
    assert!(cases.len() == 3 && cases.iter().any(|(_, by)| *by > 10_000), "{cases:?}");
}

#[test]
fn a_client_that_the_library_does_not_reach_is_detected() {
    let client = format!("env -u LD_PRELOAD '{}' adapter --reference", env!("CARGO_BIN_EXE_mqttspec"));
    let arguments = ["--client", &client, "--clock-speed", "20"];
    let Some((outcome, cases)) = accelerated("unreached-client", arguments, &["clients/qos-0-once"]) else {
        return;
    };
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let note = "all cases run in real time: libfaketime has no effect on the client";
    assert!(outcome.out.contains(note), "{}", outcome.out);
    assert!(cases.iter().all(|(_, by)| *by == 0), "{cases:?}");
}
