//! What a failure of a block names: the line that is not met.

use mqttspec_judge::Case;
use mqttspec_judge::results::RunResult;
use mqttspec_judge::verdict::Verdict;
use mqttspec_runner::run::run;

use crate::common;

const CONNECTS: &str = "ask device connect clean_start keep_alive=0
device > CONNECT
device < CONNACK
";

/// A scenario of MQTT 5.0 that tests a client.
fn case(body: &str) -> Case {
    common::case("tests    client\n", &format!("{CONNECTS}{body}"))
}

/// The line that a failing run names: its text, what was expected, and what came instead.
fn failure(run: &RunResult) -> (&str, &str, &str) {
    assert_eq!(run.verdict, Verdict::Fail, "{}", run.reason);
    let failure = &run.failures[0];
    (&failure.source, &failure.finding.expected, &failure.finding.actual)
}

#[test]
fn a_wrong_packet_names_the_line_of_its_type() {
    let run = run(
        &case(
            "device < PUBLISH id=1 qos=1 topic=a
device < PUBLISH id=3 qos=2 topic=a
in any order
  device > PUBACK id=1
  device > PINGREQ
  device > PUBREC id=2
",
        ),
        0,
    );
    let (source, expected, actual) = failure(&run);
    assert_eq!(source, "device > PUBREC id=2");
    assert_eq!(expected, "device > PUBREC id=2\n  and in any order, line 13: device > PINGREQ");
    assert!(actual.contains("(id=3 instead of id=2)"), "{actual}");
}

#[test]
fn the_first_packet_of_a_block_may_be_the_wrong_one() {
    let run = run(&case("device < PUBLISH id=3 qos=1 topic=a\nin any order\n  device > PUBACK id=1\n"), 0);
    assert_eq!(failure(&run).0, "device > PUBACK id=1");
}

#[test]
fn silence_names_the_line_that_is_missing() {
    let run = run(
        &case(
            "device < PUBLISH id=1 qos=1 topic=a
in any order
  device > PUBACK id=1
  device > PUBREC id=2
",
        ),
        0,
    );
    let (source, expected, _) = failure(&run);
    assert_eq!((source, expected), ("device > PUBREC id=2", "device > PUBREC id=2"));
}

/// The time of one line does not wait for that of another.
#[test]
fn a_line_that_is_late_is_named_before_the_others_are_over() {
    let run = run(
        &case(
            "device < PUBLISH id=1 qos=1 topic=a
in any order
  within 50s device > PUBREC id=1
  within 2s device > PUBREC id=2
  within 5s device > PUBACK id=1
",
        ),
        0,
    );
    let (source, _, actual) = failure(&run);
    assert_eq!((source, actual), ("within 2s device > PUBREC id=2", "nothing within 2s"));
}
