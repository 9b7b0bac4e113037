//! The same scenarios in a stock turmoil simulation and in the simulated world: the verdict is the
//! same.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use mqttspec_judge::Case;
use mqttspec_judge::verdict::Verdict;
use mqttspec_runner::run::{RunOptions, Simulator, refusal_of, run_with};
use mqttspec_runner::suite::Selection;

use crate::common::{planned, scenarios};

/// Scenarios that cover each area and each fault that turmoil models, and that are short.
const SMOKE: [&str; 30] = [
    "auth/scram.mqtt",
    "clients/closes-after-a-disconnect.mqtt",
    "clients/connects-again-with-back-off.mqtt",
    "clients/crash-in-mid-flow.mqtt",
    "clients/inbound-qos2-once.mqtt",
    "connect/accepted.mqtt",
    "connect/connack-comes-first.mqtt",
    "disconnect/is-the-end.mqtt",
    "disconnect/reason-codes.mqtt",
    "faults/broker-crash.mqtt",
    "faults/disk-loss.mqtt",
    "faults/half-open.mqtt",
    "faults/high-latency.mqtt",
    "faults/reset.mqtt",
    "flow-control/receive-maximum-of-the-client.mqtt",
    "message-expiry/expired-is-not-delivered.mqtt",
    "ordering/in-flight-before-queued.mqtt",
    "packet-identifiers/kept-over-a-reconnect.mqtt",
    "properties/passed-on-unaltered.mqtt",
    "qos1/not-acknowledged-is-sent-again.mqtt",
    "qos2/client-crashes-and-restarts.mqtt",
    "qos2/to-server-cut-before-pubcomp.mqtt",
    "retained/cleared-by-an-empty-message.mqtt",
    "sessions/survives-a-crash-of-the-broker.mqtt",
    "shared-subscriptions/each-message-to-one-member.mqtt",
    "publish/empty-payload.mqtt",
    "subscribe/each-granted-qos.mqtt",
    "subscription-identifiers/carried-by-its-messages.mqtt",
    "topic-alias/ends-with-its-connection.mqtt",
    "wills/published-on-reset.mqtt",
];

/// Runs a case in both simulations; a line for each difference between the verdicts.
fn differences(case: &Case, out: &mut String) {
    let runs = [Simulator::World, Simulator::Turmoil].map(|simulator| {
        let run = run_with(case, 0, RunOptions { simulator, ..RunOptions::default() });
        assert_eq!(
            run.verdict == Verdict::Skip,
            refusal_of(case, simulator).is_some(),
            "{}: {}",
            case.name(),
            run.reason
        );
        run
    });
    let [world, turmoil] = &runs;
    if turmoil.verdict != Verdict::Skip && turmoil.verdict != world.verdict {
        let failures = turmoil.failures.iter().map(|failure| {
            let finding = &failure.finding;
            format!("line {}: expected {}, got {}", finding.line, finding.expected, finding.actual)
        });
        let failures = failures.collect::<Vec<_>>().join("; ");
        let (one, other) = (world.verdict, turmoil.verdict);
        let _ = writeln!(out, "{}: {one} and in turmoil {other} {} {failures}", case.name(), turmoil.reason);
    }
}

#[test]
fn a_smoke_set_has_the_same_verdicts_in_turmoil() {
    let (plan, mut out) = (scenarios(&Selection::default()), String::new());
    for file in SMOKE {
        // The last version, and the first row of its table: the other rows play the same steps.
        let of_file = || plan.cases.iter().filter(|case| case.file == file);
        let version = of_file().map(|case| case.version).max();
        let case = of_file().find(|case| Some(case.version) == version);
        let case = case.unwrap_or_else(|| panic!("there is no scenario {file}"));
        assert_eq!(refusal_of(case, Simulator::Turmoil), None, "{file} is run and not skipped");
        differences(case, &mut out);
    }
    assert!(out.is_empty(), "{out}");
}

/// All cases, which takes minutes:
/// `cargo test -p mqttspec-runner --test runner turmoil:: -- --ignored`.
#[test]
#[ignore = "takes minutes: turmoil steps through every millisecond"]
fn every_case_has_the_same_verdict_in_turmoil() {
    let mut out = String::new();
    scenarios(&Selection::default()).cases.iter().for_each(|case| differences(case, &mut out));
    assert!(out.is_empty(), "{out}");
}

/// The cases that turmoil cannot do, as the README of sim/turmoil lists them.
#[test]
fn the_page_lists_every_skipped_case_with_its_reason() {
    let plan = scenarios(&Selection::default());
    let mut files: BTreeMap<String, BTreeMap<&str, usize>> = BTreeMap::new();
    for case in &plan.cases {
        if let Some(refusal) = refusal_of(case, Simulator::Turmoil) {
            let (_, reason) = refusal.split_once(": ").expect("a reason");
            *files.entry(reason.to_owned()).or_default().entry(&case.file).or_default() += 1;
        }
    }
    let skipped: usize = files.values().flat_map(BTreeMap::values).sum();
    let mut table = format!("{} of {} cases are skipped:\n\n", skipped, plan.cases.len());
    table += "| reason | scenarios, with the number of their cases |\n|---|---|\n";
    for (reason, files) in files {
        let files: Vec<String> = files.iter().map(|(file, count)| format!("`{file}` {count}")).collect();
        let _ = writeln!(table, "| {reason} | {} |", files.join(", "));
    }
    let page = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../sim/turmoil/README.md"));
    let text = std::fs::read_to_string(page).expect("the page can be read");
    assert!(text.contains(&table), "sim/turmoil/README.md does not have this table:\n\n{table}");
}

#[test]
fn the_command_that_repeats_a_run_names_the_backend() {
    let text = "title    A test\nclauses  MQTT-1.5.5-1\nversions 5\n\na connects\na receives t\n";
    let plan = planned(text.to_owned());
    let options = RunOptions { simulator: Simulator::Turmoil, ..RunOptions::default() };
    let run = run_with(&plan.cases[0], 7, options);
    assert_eq!(run.verdict, Verdict::Fail);
    assert_eq!(run.failures[0].command, "mqttspec run test.mqtt --version 5.0 --backend turmoil --seed 7");
}
