//! Every report of one small suite that has all there is: a pass, a failure, a skip, an error, an unreadable file, a branch.
//! The expected texts are in `reports/snapshots` and were read by a person.

use mqttspec_reports::{Coverage, json, markdown, terminal, write};
use mqttspec_scenarios::results::{BranchTaken, CaseResult, FORMAT, FileError, SuiteResult, Target};
use mqttspec_scenarios::verdict::{Failure, FoundBy, Level, Requirement, TranscriptLine, Verdict};

#[test]
fn the_terminal_tells_the_whole_suite() {
    snapshot("terminal", &plain(&terminal::summary(&suite(), 100)));
}

#[test]
fn markdown_tells_the_verdict_then_failures_then_coverage() {
    let report = markdown::report(&suite());
    // The tables of all clauses change with the catalogue; their form is shown by the first lines.
    let short: String = report
        .lines()
        .filter(|line| !line.starts_with("| [") || line.contains("**failed**") || line.contains("| shown |"))
        .map(|line| format!("{line}\n"))
        .collect();
    snapshot("markdown", &short);
}

#[test]
fn json_is_read_back_as_it_was() {
    let suite = suite();
    let text = json::report(&suite).unwrap();
    assert_eq!(json::read(&text).unwrap(), suite);
    snapshot("json", &text);
}

#[test]
fn json_of_another_format_is_refused_with_the_remedy() {
    let text = json::report(&SuiteResult { format: FORMAT + 1, ..suite() }).unwrap();
    let error = json::read(&text).unwrap_err().to_string();
    assert!(error.contains("run the suite again"), "{error}");
    assert!(json::read("{}").is_err());
}

#[test]
fn a_clause_is_failed_if_any_check_names_it_and_shown_only_if_a_case_passed() {
    let coverage = Coverage::of(&suite());
    let [three, five] = &coverage[..] else { panic!("both versions ran") };
    assert_eq!((three.version.as_str(), five.version.as_str()), ("3.1.1", "5.0"));
    assert_eq!((three.all.total, three.all.shown, three.all.failed), (141, 1, 0));
    assert_eq!((five.all.total, five.all.shown, five.all.failed, five.all.skipped), (251, 1, 2, 1));
    for coverage in [three, five] {
        let sum: usize = coverage.modules.iter().map(|module| module.total).sum();
        assert_eq!(sum, coverage.all.total, "every numbered statement is in one module");
    }
}

#[test]
fn all_files_are_written_into_a_folder_that_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let written = write(&suite(), &folder.path().join("a/b")).unwrap();
    let names: Vec<_> = written.iter().map(|path| path.file_name().unwrap().to_owned()).collect();
    assert_eq!(names, ["report.json", "report.md"]);
    assert!(written.iter().all(|path| path.exists()));
    let blocked = folder.path().join("file");
    std::fs::write(&blocked, "").unwrap();
    assert!(write(&suite(), &blocked).unwrap_err().to_string().contains("cannot make the folder"));
}

fn snapshot(name: &str, text: &str) {
    insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(name, text);
    });
}

fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

fn suite() -> SuiteResult {
    let passed = CaseResult {
        file: "wills/retained.mqtt".into(),
        title: "A Will is retained if its owner asked for that".into(),
        version: "3.1.1".into(),
        row: None,
        tests: "server".into(),
        reading: None,
        clauses: vec!["MQTT-3.1.2-17".into()],
        verdict: Verdict::Pass,
        level: Level::Must,
        reason: String::new(),
        took_ms: None,
        runs: 20,
        failed_seeds: Vec::new(),
        failures: Vec::new(),
        branches: vec![(BranchTaken { line: 9, name: "the PUBREC was lost".into(), level: Level::May }, 7)],
        marks: vec![("pubrec-lost".into(), 7)],
        shown: None,
    };
    let failed = CaseResult {
        file: "wills/not-published-on-disconnect.mqtt".into(),
        title: "A Will is discarded when its owner takes leave".into(),
        version: "5.0".into(),
        clauses: vec!["MQTT-3.14.4-3".into(), "MQTT-3.1.2-10".into()],
        verdict: Verdict::Fail,
        failed_seeds: vec![3, 5, 8, 13, 21, 34],
        failures: vec![failure()],
        ..passed.clone()
    };
    let row = CaseResult {
        file: "connect/malformed.mqtt".into(),
        title: "A malformed CONNECT is refused".into(),
        row: Some("reserved-flag".into()),
        clauses: vec!["MQTT-3.1.2-3".into()],
        verdict: Verdict::Pass,
        runs: 1,
        version: "5.0".into(),
        ..passed.clone()
    };
    let skipped = CaseResult {
        file: "shared/one-member.mqtt".into(),
        title: "A shared Subscription gives each message to one member".into(),
        clauses: vec!["MQTT-4.8.2-4".into()],
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
        verdict: Verdict::Error,
        reason: "the host `broker` panicked:\n  index out of bounds".into(),
        runs: 1,
        version: "5.0".into(),
        ..passed.clone()
    };
    SuiteResult {
        format: FORMAT,
        target: Target::simulated(),
        seed: 7,
        seeds: 20,
        cases: vec![row, broke, skipped, failed, passed],
        errors: vec![FileError {
            file: "connect/misspelt.mqtt".into(),
            message: "error: CONNECT has no field `keepalive`\n --> connect/misspelt.mqtt:4:18\n  |\n4 | a > CONNECT keepalive=1\n  |             ^^^^^^^^^ did you mean `keep_alive`?".into(),
        }],
        notes: Vec::new(),
    }
}

fn failure() -> Failure {
    Failure {
        found_by: FoundBy::Expectation,
        level: Level::Must,
        requirements: ["MQTT-3.14.4-3", "MQTT-3.1.2-10"]
            .map(|clause| Requirement {
                version: "5.0".into(),
                clause: clause.into(),
                section: "3.14.4".into(),
                summary: "A DISCONNECT with Reason Code 0x00 makes the Server throw the Will away.".into(),
            })
            .into(),
        expected: "nothing for 120s".into(),
        actual: "watcher < PUBLISH topic=status/device payload=\"a | b `c`\" qos=1 id=1".into(),
        nearly: None,
        actual_hex: "32 14 00 0d".into(),
        file: "wills/not-published-on-disconnect.mqtt".into(),
        line: 11,
        source: "watcher < nothing for 120s".into(),
        at_ns: 21_000_000,
        transcript: vec![
            TranscriptLine { at_ns: 20_000_000, text: "device > DISCONNECT".into() },
            TranscriptLine { at_ns: 1_021_000_000, text: "watcher < PUBLISH topic=status/device".into() },
        ],
        command: "mqttspec trace wills/not-published-on-disconnect.mqtt --version 5 --seed 3".into(),
    }
}
