//! Two simulated servers are compared: the reference broker with itself, and with mutants.

use std::sync::atomic::AtomicBool;

use mqttspec_codec::{Role, Version};
use mqttspec_explore::{Against, Comparison, Features, GENERATION, Limits, Options, Side, compare};
use mqttspec_mutants::Mutant;
use mqttspec_runner::latitude::Latitude;
use mqttspec_runner::run::RunOptions;

fn compared(features: Features, version: Version, other: RunOptions) -> Comparison {
    let options = Options {
        seed: 0,
        runs: Some(12),
        tests: Role::Server,
        version: Some(version),
        features,
        shard: "1/1".parse().expect("a shard"),
        jobs: 1,
        mutant: None,
        latitude: Latitude::Reference,
        limits: Limits { runs: 300 },
        generation: GENERATION,
    };
    let (reference, other) = (Side::Simulated(RunOptions::default()), Side::Simulated(other));
    let (stop, enough) = (AtomicBool::new(false), AtomicBool::new(false));
    let mut against = Against { sides: [reference, other], stop: &stop, enough: &enough };
    compare(&options, &mut against, &mut |_, _| {})
}

fn page(comparison: &Comparison) -> String {
    let mut text = comparison.page(&|number, _| format!("{number:03}.mqtt"));
    for difference in &comparison.differences {
        text.push('\n');
        text.push_str(&difference.scenario);
    }
    text
}

#[test]
fn a_server_does_not_differ_from_itself() {
    let comparison = compared(Features::default(), Version::V5, RunOptions::default());
    assert_eq!(comparison.differences, []);
    assert_eq!(comparison.equal + comparison.not_compared, 12);
    assert!(comparison.equal > 6, "most runs come to their end");
}

/// A Server may grant each QoS up to the requested one (§3.8.4).
#[test]
fn a_choice_is_a_difference_and_no_violation() {
    let features = "qos1".parse().expect("features");
    let choice = "granted_qos_maximum=0".parse().expect("a choice");
    let other = RunOptions { latitude: choice, ..RunOptions::default() };
    insta::assert_snapshot!(page(&compared(features, Version::V3_1_1, other)));
}

#[test]
fn a_violation_is_named() {
    let features = "qos1".parse().expect("features");
    let mutant = Mutant::named("another-topic", Role::Server);
    let other = RunOptions { mutant, ..RunOptions::default() };
    insta::assert_snapshot!(page(&compared(features, Version::V5, other)));
}
