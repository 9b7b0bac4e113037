//! The clauses of a line, of the next line of a host, and of a whole run.

use std::collections::BTreeSet;
use std::sync::Arc;

use mqttspec_codec::{Role, Version};
use mqttspec_notation::{CatalogueClauses, Span, Step, StepKind, read};

use super::{Claims, Shown, all, common};
use crate::Case;

const TEXT: &str = "\
title    A test
clauses  [5] MQTT-3.1.2-8 MQTT-3.1.2-10 MQTT-3.3.1-5 MQTT-3.3.4-1  [3.1.1] MQTT-3.1.2-8
versions 3.1.1 5

a connects
b connects
a > PINGREQ
a < PINGRESP shows MQTT-3.1.2-8
in any order shows [5] MQTT-3.1.2-10
  a < PUBLISH topic=t
  a < PUBLISH topic=u shows [5] MQTT-3.3.1-5
b > PINGREQ
either shows MQTT-3.1.2-8 [5] MQTT-3.1.2-10
  b > PINGREQ
  b < closed
or
  b < PINGRESP shows [5] MQTT-3.1.2-10
  b > PINGREQ
b < PINGRESP
a: nothing more shows [5] MQTT-3.3.1-5
exactly once shows [5] MQTT-3.3.4-1
";

fn case(version: Version) -> Case {
    // A branch must begin with an expected line, so the first line of the first branch is removed.
    let text = TEXT.replacen("  b > PINGREQ\n", "", 1);
    let scenario = match read("test.mqtt", &text, &CatalogueClauses) {
        Ok((scenario, _)) => scenario,
        Err(diagnostics) => panic!("{}", diagnostics.plain()),
    };
    Case {
        scenario: Arc::new(scenario),
        file: "test.mqtt".to_owned(),
        source: Arc::from(text),
        version,
        tests: Role::Server,
        row: None,
        of_suite: true,
    }
}

/// The span of the `number`th line, from 0, that begins with this text.
fn line(case: &Case, text: &str, number: usize) -> Span {
    let mut spans = Vec::new();
    case.scenario.walk(&mut |step| spans.push(step.span));
    let has_text = |span: &Span| case.source[span.start..].starts_with(text);
    spans.into_iter().filter(has_text).nth(number).expect("the line is there")
}

fn ids(shown: &Shown) -> Vec<&str> {
    shown.iter().map(|requirement| requirement.clause.as_str()).collect()
}

#[test]
fn a_line_shows_its_own_clauses_or_those_of_its_block() {
    let case = case(Version::V5);
    let claims = Claims::of(&case);
    let at = |text, number| claims.at(line(&case, text, number));
    assert_eq!(ids(&at("a connects", 0)), [""; 0]);
    assert_eq!(ids(&at("a < PINGRESP", 0)), ["MQTT-3.1.2-8"]);
    assert_eq!(ids(&at("a < PUBLISH topic=t", 0)), ["MQTT-3.1.2-10"]);
    assert_eq!(ids(&at("a < PUBLISH topic=u", 0)), ["MQTT-3.3.1-5"]);
    assert_eq!(at("a < PINGRESP", 0)[0].version, "5.0");
    let old = self::case(Version::V3_1_1);
    let claims = Claims::of(&old);
    assert_eq!(claims.at(line(&old, "a < PINGRESP", 0))[0].version, "3.1.1");
    assert_eq!(ids(&claims.at(line(&old, "a < PUBLISH topic=t", 0))), [""; 0]);
}

#[test]
fn a_sent_line_has_the_clauses_of_its_hosts_next_expected_line() {
    let case = case(Version::V5);
    let claims = Claims::of(&case);
    let sent = |text, number| claims.at(line(&case, text, number));
    assert_eq!(ids(&sent("a > PINGREQ", 0)), ["MQTT-3.1.2-8"]);
    // Before an `either`: the common clauses of the first lines of its branches.
    assert_eq!(ids(&sent("b > PINGREQ", 0)), ["MQTT-3.1.2-10"]);
    // In a branch: the clauses of the line after the block, which is set-up here.
    assert_eq!(ids(&sent("b > PINGREQ", 1)), [""; 0]);
}

#[test]
fn an_unexpected_packet_violates_the_clauses_of_nothing_more() {
    let case = case(Version::V5);
    let claims = Claims::of(&case);
    assert_eq!(ids(&claims.nothing_more("a")), ["MQTT-3.3.1-5"]);
    assert_eq!(ids(&claims.nothing_more("b")), [""; 0]);
}

#[test]
fn alternatives_violate_their_common_clauses_or_else_all() {
    let case = case(Version::V5);
    let claims = Claims::of(&case);
    let (t, u) =
        (claims.at(line(&case, "a < PUBLISH topic=t", 0)), claims.at(line(&case, "a < PUBLISH topic=u", 0)));
    assert_eq!(ids(&common(&[t.clone(), t.clone()])), ["MQTT-3.1.2-10"]);
    assert_eq!(ids(&common(&[t.clone(), u.clone()])), ["MQTT-3.1.2-10", "MQTT-3.3.1-5"]);
    assert_eq!(ids(&all([&t, &u, &t].into_iter())), ["MQTT-3.1.2-10", "MQTT-3.3.1-5"]);
    let either = case.scenario.steps.iter().find_map(|step: &Step| match &step.kind {
        StepKind::Either(branches) => Some(branches),
        _ => None,
    });
    let branches = either.expect("there is one");
    assert_eq!(ids(&claims.of_branch(&branches[0])), ["MQTT-3.1.2-8", "MQTT-3.1.2-10"]);
    assert_eq!(ids(&claims.of_branch(&branches[1])), ["MQTT-3.1.2-10"]);
}

#[test]
fn a_run_shows_clauses_that_passed_and_have_no_later_line() {
    let case = case(Version::V5);
    let claims = Claims::of(&case);
    let passed: BTreeSet<usize> = [("a < PINGRESP", 0), ("a < PUBLISH topic=u", 0)]
        .map(|(text, number)| line(&case, text, number).start)
        .into();
    let all: Vec<String> = claims.shown(&passed, None).into_iter().collect();
    assert_eq!(all, ["MQTT-3.1.2-8", "MQTT-3.3.1-5"]);
    // At the second PINGREQ, a branch and `nothing more` with the same clauses are still to come.
    let stopped = line(&case, "b > PINGREQ", 0);
    assert_eq!(claims.shown(&passed, Some(stopped.start)), BTreeSet::new());
    let later = line(&case, "exactly once", 0);
    assert_eq!(claims.shown(&passed, Some(later.start)).len(), 2);
}
