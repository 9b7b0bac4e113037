//! A suite and a history, made by hand for the tests of the reports.

use std::path::Path;

use mqttspec_codec::Version;
use mqttspec_judge::finding::{Check, Finding, ReportedFinding};
use mqttspec_judge::history::{BranchTaken, Ending};
use mqttspec_judge::results::{CaseResult, FORMAT, FileError, RunResult, SuiteResult, Target};
use mqttspec_judge::trace::{Trace, TraceEvent, TraceFault, TraceFaultKind, TraceKind, TranscriptLine};
use mqttspec_judge::verdict::Verdict;
use mqttspec_runner::suite::{self, KeepTrace, Selection, SuiteOptions};
use mqttspec_spec::{Level, Requirement};

/// The project's scenarios.
pub(crate) fn scenarios() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios")
}

/// Runs the project's scenarios that match a filter.
pub(crate) fn played(filter: &str, keep: KeepTrace) -> SuiteResult {
    let selection = Selection { filters: vec![filter.into()], ..Selection::default() };
    let plan = suite::plan(&suite::read_folder(&scenarios()).expect("the project's scenarios"), &selection);
    assert!(!plan.cases.is_empty(), "no scenario matches {filter}");
    suite::run_all(&plan, &SuiteOptions { keep, ..SuiteOptions::default() }, &mut |_, _, _| {})
}

/// Compares with the file in `reports/snapshots`.
pub(crate) fn snapshot(name: &str, text: &str) {
    insta::with_settings!({ snapshot_path => "../../../snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(name, text);
    });
}

/// A suite with every outcome: a pass, each kind of failure, a skip, a case that was not judged, an
/// error, an unreadable file, a branch.
pub(crate) fn suite() -> SuiteResult {
    let passed = CaseResult {
        file: "wills/retained.mqtt".into(),
        title: "A Will is retained if its owner asked for that".into(),
        version: "3.1.1".into(),
        row: None,
        tests: "server".into(),
        both_sides: false,
        reading: None,
        clauses: vec!["MQTT-3.1.2-17".into()],
        clauses_shown: vec!["MQTT-3.1.2-17".into()],
        verdict: Verdict::Pass,
        level: Level::Must,
        reason: String::new(),
        took_ms: None,
        put_forward_ms: None,
        runs: 20,
        failed_seeds: Vec::new(),
        failures: Vec::new(),
        branches: vec![(BranchTaken { line: 9, name: "the PUBREC was lost".into(), level: Level::May }, 7)],
        marks: vec![("pubrec-lost".into(), 7)],
        endured: None,
        shown: None,
    };
    let failed = CaseResult {
        file: "wills/not-published-on-disconnect.mqtt".into(),
        title: "A Will is discarded when its owner takes leave".into(),
        version: "5.0".into(),
        clauses: vec!["MQTT-3.14.4-3".into(), "MQTT-3.1.2-10".into()],
        clauses_shown: Vec::new(),
        verdict: Verdict::Fail,
        put_forward_ms: Some(86_400_250),
        failed_seeds: vec![3, 5, 8, 13, 21, 34],
        failures: vec![failure()],
        shown: Some(RunResult {
            seed: 3,
            verdict: Verdict::Fail,
            level: Level::Must,
            reason: String::new(),
            failures: vec![failure()],
            clauses_shown: Vec::new(),
            drawn: vec![("cut device between 0ms..9ms".into(), "4ms".into())],
            branches: Vec::new(),
            marks: Vec::new(),
            endured: None,
            trace: trace(),
            history_hash: "00".into(),
            output: Vec::new(),
        }),
        ..passed.clone()
    };
    let row = CaseResult {
        file: "connect/malformed.mqtt".into(),
        title: "A malformed CONNECT is refused".into(),
        row: Some("reserved-flag".into()),
        clauses: vec!["MQTT-3.1.2-3".into()],
        clauses_shown: vec!["MQTT-3.1.2-3".into()],
        verdict: Verdict::Pass,
        runs: 1,
        version: "5.0".into(),
        ..passed.clone()
    };
    let skipped = CaseResult {
        file: "shared/one-member.mqtt".into(),
        title: "A shared Subscription gives each message to one member".into(),
        clauses: vec!["MQTT-4.8.2-4".into()],
        clauses_shown: Vec::new(),
        verdict: Verdict::Skip,
        reason: "needs shared-subscriptions, which CONNACK says the server lacks".into(),
        runs: 1,
        version: "5.0".into(),
        ..passed.clone()
    };
    let broke = CaseResult {
        file: "sessions/survive.mqtt".into(),
        title: "A Session survives a crash".into(),
        clauses: vec!["MQTT-3.14.4-3".into()],
        clauses_shown: Vec::new(),
        verdict: Verdict::Error,
        reason: "the host `broker` panicked:\n  index out of bounds".into(),
        runs: 1,
        version: "5.0".into(),
        ..passed.clone()
    };
    let nearly = CaseResult {
        file: "connect/unsupported-version.mqtt".into(),
        title: "An unsupported Protocol Version is refused".into(),
        version: "5.0".into(),
        clauses: vec!["MQTT-3.1.2-2".into()],
        clauses_shown: Vec::new(),
        verdict: Verdict::Fail,
        runs: 1,
        failures: vec![ReportedFinding {
            finding: Finding {
                requirements: requirements(&["MQTT-3.1.2-2"]),
                expected: "CONNACK reason=unsupported-protocol-version or closed".into(),
                actual: "CONNACK session_present=0 reason=malformed-packet".into(),
                nearly: Some("refused as required, with 0x81 in place of 0x84".into()),
                line: 6,
                ..failure().finding
            },
            actual_hex: "20 03 00 81 00".into(),
            file: "connect/unsupported-version.mqtt".into(),
            source: "a < CONNACK reason=unsupported-protocol-version".into(),
            transcript: Vec::new(),
            ..failure()
        }],
        branches: Vec::new(),
        marks: Vec::new(),
        ..passed.clone()
    };
    let contested = CaseResult {
        file: "wills/published-on-take-over.mqtt".into(),
        title: "A Will is published when its Session is taken over".into(),
        version: "5.0".into(),
        reading: Some("a take-over ends the Network Connection without a DISCONNECT from the Client".into()),
        clauses: vec!["MQTT-3.1.4-3".into()],
        clauses_shown: Vec::new(),
        verdict: Verdict::Fail,
        runs: 1,
        failures: vec![ReportedFinding {
            finding: Finding { requirements: requirements(&["MQTT-3.1.4-3"]), ..failure().finding },
            ..failure()
        }],
        branches: Vec::new(),
        marks: Vec::new(),
        ..passed.clone()
    };
    let recommended = CaseResult {
        file: "connect/reason-string.mqtt".into(),
        title: "A refusal says why".into(),
        version: "5.0".into(),
        clauses: vec!["MQTT-3.1.4-2".into()],
        clauses_shown: vec!["MQTT-3.1.4-2".into()],
        verdict: Verdict::Fail,
        level: Level::Should,
        runs: 1,
        failures: vec![ReportedFinding {
            finding: Finding {
                level: Level::Should,
                requirements: requirements(&["MQTT-3.1.4-2"]),
                ..failure().finding
            },
            ..failure()
        }],
        branches: Vec::new(),
        marks: Vec::new(),
        ..passed.clone()
    };
    let not_judged = CaseResult {
        file: "qos2/released.mqtt".into(),
        title: "A message is released once".into(),
        version: "5.0".into(),
        clauses: vec!["MQTT-4.3.3-2".into()],
        clauses_shown: Vec::new(),
        verdict: Verdict::NotJudged,
        reason: "granted QoS 1; the scenario needs 2".into(),
        runs: 1,
        branches: Vec::new(),
        marks: Vec::new(),
        ..passed.clone()
    };
    SuiteResult {
        format: FORMAT,
        target: Target::simulated(),
        seed: 7,
        seeds: 20,
        strict: false,
        cases: vec![row, recommended, nearly, not_judged, broke, skipped, failed, contested, passed],
        errors: vec![FileError {
            file: "connect/misspelt.mqtt".into(),
            message: "error: CONNECT has no field `keepalive`\n --> connect/misspelt.mqtt:4:18\n  |\n4 | a > CONNECT keepalive=1\n  |             ^^^^^^^^^ did you mean `keep_alive`?".into(),
        }],
        notes: vec!["the target does not speak MQTT 3.1: 2 cases were skipped".into()],
    }
}

/// A Will that was published although its owner sent DISCONNECT.
pub(crate) fn failure() -> ReportedFinding {
    let finding = Finding {
        check: Check::Expectation,
        level: Level::Must,
        requirements: requirements(&["MQTT-3.14.4-3", "MQTT-3.1.2-10"]),
        expected: "nothing for 120s".into(),
        actual: "watcher < PUBLISH topic=status/device payload=\"a | b `c`\" qos=1 id=1".into(),
        nearly: None,
        line: 11,
        at_ns: 1_014_000_000,
        event: None,
        timing_sensitive: false,
    };
    ReportedFinding {
        finding,
        actual_hex: "32 14 00 0d 73 74 61 74 75 73 2f 64 65 76 69 63 65 00 01 00 67".into(),
        file: "wills/not-published-on-disconnect.mqtt".into(),
        source: "watcher < nothing for 120s".into(),
        transcript: vec![
            TranscriptLine { at_ns: 20_000_000, text: "device > DISCONNECT".into() },
            TranscriptLine { at_ns: 1_021_000_000, text: "watcher < PUBLISH topic=status/device".into() },
        ],
        command: "mqttspec trace wills/not-published-on-disconnect.mqtt --version 5 --seed 3".into(),
    }
}

fn requirements(clauses: &[&str]) -> Vec<Requirement> {
    let requirements: Vec<_> = clauses.iter().map(|clause| Requirement::new(Version::V5, clause)).collect();
    assert!(requirements.iter().all(|requirement| requirement.in_catalogue().is_some()), "they exist");
    requirements
}

/// Two clients and the server: a partition, packets both ways, a pause, a close, a mark.
pub(crate) fn trace() -> Trace {
    use TraceKind as Kind;
    let event = |at_ms: u64, host: &str, kind, text: &str, hex: &str, line| TraceEvent {
        at_ns: at_ms * 1_000_000,
        host: host.into(),
        connection: u32::from(!host.is_empty()),
        kind,
        text: text.into(),
        hex: hex.into(),
        line,
        ending: None,
        fault: None,
    };
    let closed = |at_ms, host, ending: Ending, line| TraceEvent {
        ending: Some(ending),
        ..event(at_ms, host, Kind::Closed, ending.words(), "", line)
    };
    let fault = |kind, host: &str, begins, ends: &[u64], event| TraceEvent {
        fault: Some(TraceFault { kind, hosts: vec![host.into()], towards: None, begins, ends: ends.into() }),
        ..event
    };
    let events = vec![
        event(0, "watcher", Kind::Opened, "opens a connection", "", 0),
        event(
            2,
            "watcher",
            Kind::ToServer,
            "> CONNECT client_id=watcher clean_start keep_alive=0",
            "101400044d5154540502000000000777617463686572",
            5,
        ),
        event(4, "watcher", Kind::ToClient, "< CONNACK session_present=0 reason=success", "2003000000", 5),
        event(4, "device", Kind::Opened, "opens a connection", "", 0),
        fault(
            TraceFaultKind::Partition,
            "device",
            Some(4),
            &[],
            event(6, "", Kind::FaultBegun, "partition device", "", 7),
        ),
        fault(
            TraceFaultKind::Heal,
            "device",
            None,
            &[4],
            event(1010, "", Kind::FaultEnded, "heal device", "", 8),
        ),
        event(1012, "device", Kind::ToServer, "> DISCONNECT", "e000", 9),
        closed(1012, "device", Ending::ByObserver, 9),
        event(1012, "", Kind::Note, "reached left", "", 10),
        event(
            1014,
            "watcher",
            Kind::ToClient,
            "< PUBLISH id=1 qos=1 topic=status/device payload=\"<gone> & \\\"lost\\\"\" user_property={a=b}",
            "3214000d7374617475732f64657669636500010067",
            0,
        ),
        fault(
            TraceFaultKind::Crash,
            "broker",
            Some(10),
            &[],
            event(1014, "", Kind::Crashed, "crash broker", "", 12),
        ),
        closed(1014, "watcher", Ending::Reset, 0),
    ];
    Trace { hosts: ["broker", "device", "watcher"].map(str::to_owned).into(), events }
}
