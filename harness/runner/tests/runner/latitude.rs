//! No scenario fails on a peer that uses the choices that the standard leaves to it.
//!
//! `mqttspec run --latitude --seeds 1000` runs the same under many seeds.

use std::fmt::Write as _;

use mqttspec_judge::Case;
use mqttspec_judge::results::RunResult;
use mqttspec_judge::verdict::Verdict;
use mqttspec_runner::latitude::Latitude;
use mqttspec_runner::run::{RunOptions, run_with};
use mqttspec_runner::suite::Selection;
use mqttspec_spec::Level;

use crate::common::scenarios;

fn with_latitude(case: &Case, seed: u64) -> RunResult {
    run_with(case, seed, RunOptions { latitude: Latitude::Drawn, ..RunOptions::default() })
}

/// A failure of what is only recommended is right: the peer does not do it.
#[test]
fn no_case_fails_where_a_peer_uses_its_choices() {
    let mut wrong = String::new();
    for case in &scenarios(&Selection::default()).cases {
        for run in (0..2).map(|seed| with_latitude(case, seed)) {
            let is_wrong =
                run.verdict == Verdict::Error || run.verdict == Verdict::Fail && run.level == Level::Must;
            if is_wrong {
                let command = run.failures.first().map_or("", |failure| &failure.command);
                let _ = writeln!(wrong, "{}: {} {command}", case.name(), run.reason);
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// A case that no seed of latitude lets pass would never be judged on a stranger's peer.
#[test]
fn every_case_is_judged_under_some_seed() {
    let mut never = String::new();
    for case in &scenarios(&Selection::default()).cases {
        if !(0..40).any(|seed| with_latitude(case, seed).verdict != Verdict::NotJudged) {
            let _ = writeln!(never, "{}", case.name());
        }
    }
    assert!(never.is_empty(), "\n{never}");
}
