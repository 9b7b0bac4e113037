//! What a failure blames: the clauses of the claim that failed, and nothing for set-up.

use mqttspec_codec::Role;
use mqttspec_judge::finding::Check;
use mqttspec_judge::results::{RunResult, SuiteResult, Target, TargetKind};
use mqttspec_judge::verdict::Verdict;
use mqttspec_mutants::Mutant;
use mqttspec_runner::run::{RunOptions, run_with};
use mqttspec_runner::suite::{Plan, SuiteOptions, run_all};

use crate::common;

/// A scenario of MQTT 5.0 that tests a server. `clauses` is the header's line.
fn planned(header: &str, body: &str) -> Plan {
    common::planned(format!("title    A test\nversions 5\n{header}\n\n{body}"))
}

/// Runs the scenario on the reference broker, or on a mutant of it. Without the history model, which
/// also judges what these lines leave unjudged.
fn run(header: &str, body: &str, mutant: Option<&str>) -> RunResult {
    let mutant = mutant.map(|name| Mutant::named(name, Role::Server).expect("the mutant exists"));
    run_with(&planned(header, body).cases[0], 0, RunOptions { mutant, model: false, ..RunOptions::default() })
}

fn blamed(run: &RunResult) -> Vec<&str> {
    let requirements = run.failures.iter().flat_map(|failure| &failure.finding.requirements);
    requirements.map(|requirement| requirement.clause.as_str()).collect()
}

const TWO_CLAIMS: &str = "\
a connects
a pings shows MQTT-3.12.4-1
a > PUBLISH id=7 qos=1 topic=t payload=\"x\"
a < PUBACK id=7 shows MQTT-4.3.2-4
a pings shows MQTT-2.2.1-5
";
const CLAUSES: &str = "clauses  MQTT-3.12.4-1 MQTT-4.3.2-4 MQTT-2.2.1-5";

#[test]
fn a_run_that_passes_shows_the_clauses_of_its_claims() {
    let run = run(CLAUSES, TWO_CLAIMS, None);
    assert_eq!((run.verdict, run.reason.as_str()), (Verdict::Pass, ""));
    assert_eq!(run.clauses_shown, ["MQTT-2.2.1-5", "MQTT-3.12.4-1", "MQTT-4.3.2-4"]);
}

#[test]
fn a_claim_that_fails_breaks_its_clauses_and_shows_nothing_after_it() {
    let run = run(CLAUSES, TWO_CLAIMS, Some("no-puback"));
    assert_eq!(run.verdict, Verdict::Fail);
    assert_eq!(blamed(&run), ["MQTT-4.3.2-4"]);
    assert_eq!(run.clauses_shown, ["MQTT-3.12.4-1"]);
}

#[test]
fn set_up_that_fails_is_not_judged() {
    let body = TWO_CLAIMS.replace("PUBACK id=7 shows MQTT-4.3.2-4", "PUBACK id=7");
    let run = run("clauses  MQTT-3.12.4-1 MQTT-2.2.1-5", &body, Some("no-puback"));
    assert_eq!((run.verdict, run.failures.len()), (Verdict::NotJudged, 0));
    assert_eq!(run.reason, "line 8: expected a < PUBACK id=7, got nothing within 60s");
    assert_eq!(run.clauses_shown, ["MQTT-3.12.4-1"]);
}

/// A reference client in the background subscribes as a played one does.
#[test]
fn a_lower_grant_of_a_client_in_the_background_is_named() {
    let header = "clauses  MQTT-4.3.3-10\nbroker   granted_qos_maximum=0\nclient   sink reference";
    let body = "sink subscribes load/# qos=2\nload sink to load/$client qos=2 rate=1/s for 2s\nwait for quiet 60s\nexactly once shows MQTT-4.3.3-10\n";
    let run = run(header, body, None);
    assert_eq!(run.verdict, Verdict::NotJudged);
    assert_eq!(run.reason, "line 7: sink was granted QoS 0; the scenario needs 2");
}

#[test]
fn a_lower_grant_is_named() {
    let header = "clauses  MQTT-3.12.4-1\nbroker   maximum_qos=1";
    let body = "a connects\na subscribes t qos=2\na pings shows MQTT-3.12.4-1\n";
    let run = run(header, body, None);
    assert_eq!(run.verdict, Verdict::NotJudged);
    assert_eq!(run.reason, "granted QoS 1; the scenario needs 2");
}

#[test]
fn a_monitor_judges_what_the_scenario_could_not() {
    let body = TWO_CLAIMS.replace("PUBACK id=7 shows MQTT-4.3.2-4", "PUBACK id=7");
    let run = run("clauses  MQTT-3.12.4-1 MQTT-2.2.1-5", &body, Some("acknowledges-another"));
    assert_eq!(run.verdict, Verdict::Fail);
    assert!(run.reason.starts_with("line 8: expected a < PUBACK id=7, got PUBACK id=8"), "{}", run.reason);
    let by_monitor = |check: &Check| matches!(check, Check::Monitor(_));
    assert!(run.failures.iter().all(|failure| by_monitor(&failure.finding.check)));
    assert!(!blamed(&run).is_empty());
}

#[test]
fn a_connection_that_the_peer_closed_fails_the_line_that_waits_for_an_answer() {
    // A second CONNECT ends the connection. No line expects that.
    let body = |shows| format!("a connects\na > CONNECT\nwait 1s\na > PINGREQ\na < PINGRESP{shows}\n");
    let header = "clauses  MQTT-3.12.4-1";
    let claimed = run(header, &body(" shows MQTT-3.12.4-1"), None);
    assert_eq!((claimed.verdict, blamed(&claimed)), (Verdict::Fail, vec!["MQTT-3.12.4-1"]));
    let later = body("") + "b connects\nb pings shows MQTT-3.12.4-1\n";
    let unclaimed = run(header, &later, None);
    assert_eq!(unclaimed.verdict, Verdict::NotJudged);
    assert!(unclaimed.reason.starts_with("line 8: expected the Network Connection of a is open"));
}

/// `a` subscribes to `t`; a message for it comes from `b`.
fn delivered(lines: &str) -> String {
    format!("a connects\na subscribes t qos=1\nb connects\nb publishes t \"x\" qos=1\n{lines}")
}

#[test]
fn where_nothing_arrives_no_clause_about_a_field_is_broken() {
    let header = "clauses  MQTT-4.4.0-1 MQTT-3.3.1-1";
    let body = "a connects\na subscribes t qos=1\na < PUBLISH topic=t qos=1 dup id=$m shows all\n";
    assert_eq!(blamed(&run(header, body, None)), ["MQTT-4.4.0-1"]);
    let alone = body.replace("all", "MQTT-3.3.1-1");
    let alone = run("clauses  MQTT-3.3.1-1", &alone, None);
    assert_eq!((alone.verdict, alone.failures.len()), (Verdict::NotJudged, 0));
}

#[test]
fn a_message_of_another_topic_breaks_only_the_clause_about_topics() {
    let header = "clauses  MQTT-3.3.1-9 MQTT-3.3.2-3";
    let body = delivered("a < PUBLISH topic=u payload=\"x\" qos=1 id=$m shows all\n");
    assert_eq!(blamed(&run(header, &body, None)), ["MQTT-3.3.2-3"]);
}

/// `a` expects the second of two messages before the first.
#[test]
fn a_message_that_comes_after_another_breaks_only_the_clause_about_order() {
    let header = "clauses  MQTT-4.5.0-1 MQTT-4.6.0-5";
    let second = "b publishes t \"y\" qos=1\n";
    let line = "a < PUBLISH topic=t payload=\"y\" qos=1 id=$m shows all\n";
    assert_eq!(blamed(&run(header, &delivered(&format!("{second}{line}")), None)), ["MQTT-4.6.0-5"]);
    // Without the second message it is missing.
    assert_eq!(blamed(&run(header, &delivered(line), None)), ["MQTT-4.5.0-1"]);
}

#[test]
fn a_payload_that_was_not_sent_breaks_only_clauses_about_the_payload() {
    let header = "clauses  MQTT-4.5.0-1 MQTT-4.4.0-1 MQTT-3.8.4-8";
    let body =
        delivered("a < PUBLISH topic=t payload=\"x\" qos=1 id=$m shows all\n").replace("\"x\"", "\"xy\"");
    assert_eq!(blamed(&run(header, &body, Some("cuts-payloads"))), ["MQTT-4.5.0-1"]);
}

#[test]
fn a_choice_is_judged_like_a_line() {
    let choice = |claims| {
        let line = format!("topic=t payload=\"x\" qos=1 dup id=$m shows {claims}");
        delivered(&format!(
            "either\n  a < PUBLISH {line}\nor may\n  a < PUBLISH topic=u qos=1 shows {claims}\n"
        ))
    };
    let again = run("clauses  MQTT-4.4.0-1", &choice("MQTT-4.4.0-1"), None);
    assert_eq!((again.verdict, again.reason.as_str()), (Verdict::Pass, ""));
    let header = "clauses  MQTT-4.4.0-1 MQTT-3.3.1-1";
    assert_eq!(blamed(&run(header, &choice("all"), None)), ["MQTT-3.3.1-1"]);
}

#[test]
fn a_packet_that_no_line_expects_breaks_what_nothing_more_shows() {
    let body = |last| {
        format!(
            "a connects\na subscribes t\nb connects\nb publishes t \"x\"\nb pings shows MQTT-3.12.4-1\nwait 1s\n{last}"
        )
    };
    let left = run("clauses  MQTT-3.12.4-1", &body(""), None);
    assert_eq!((left.verdict, left.failures.len()), (Verdict::NotJudged, 0));
    assert!(left.reason.contains("nothing that no line expects"), "{}", left.reason);
    let claimed =
        run("clauses  MQTT-3.12.4-1 MQTT-3.3.4-1", &body("a: nothing more shows MQTT-3.3.4-1\n"), None);
    assert_eq!((claimed.verdict, blamed(&claimed)), (Verdict::Fail, vec!["MQTT-3.3.4-1"]));
    assert_eq!(claimed.failures[0].finding.check, Check::LeftOver);
}

#[test]
fn a_reference_peer_has_to_allow_the_set_up_and_another_target_does_not() {
    let header = "clauses  MQTT-3.12.4-1\nbroker   maximum_qos=1";
    let body = "a connects\na subscribes t qos=2\na pings shows MQTT-3.12.4-1\n";
    let suite = run_all(&planned(header, body), &SuiteOptions::default(), &mut |_, _, _| {});
    assert_eq!((suite.tally().not_judged, suite.exit_code()), (1, 1));
    let target = Target { kind: TargetKind::Live, ..Target::simulated() };
    assert_eq!(SuiteResult { target, ..suite }.exit_code(), 0);
}
