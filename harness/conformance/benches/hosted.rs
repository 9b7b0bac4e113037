//! What it costs that a broker is hosted: the reference broker as a hosted peer, and as the built-in
//! peer of the runner. The two run each case in turn, so that both see the same machine.
//!
//! `cargo bench -p mqttspec-conformance --bench hosted [ROUNDS] [FILTER…]`
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a benchmark reads the clock and prints"
)]
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot continue fails")]

#[path = "../tests/peers/reference.rs"]
mod reference;

use std::time::{Duration, Instant};

use mqttspec_codec::Role;
use mqttspec_judge::results::CaseResult;
use mqttspec_judge::verdict::Verdict;
use mqttspec_runner::hosted::HostedPeer;
use mqttspec_runner::hosted_target::HostedTarget;
use mqttspec_runner::suite::{Selection, Source, SuiteOptions, plan, run_case};

fn main() {
    let arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let (rounds, filters): (Vec<_>, Vec<_>) = arguments.partition(|argument| argument.parse::<u32>().is_ok());
    let rounds = rounds.first().and_then(|rounds| rounds.parse().ok()).unwrap_or(3);
    let files = mqttspec_embedded::scenarios().unwrap();
    let sources: Vec<Source> = files.into_iter().map(|(file, text)| Source { file, text }).collect();
    let mut plan = plan(&sources, &Selection { filters, ..Selection::default() });
    plan.cases.retain(|case| case.tests == Role::Server);
    let peer = HostedPeer::broker_in_world(reference::reference);
    let (target, answered) = HostedTarget::probe("reference".to_owned(), peer, Duration::from_secs(60));
    answered.unwrap();
    let options = SuiteOptions::default();
    let mut ratios = Vec::new();
    for round in 1..=rounds {
        let (mut built_in, mut hosted) = (Duration::ZERO, Duration::ZERO);
        for (number, case) in plan.cases.iter().enumerate() {
            let mut first = || timed(&mut built_in, || run_case(case, &options));
            let mut second = || timed(&mut hosted, || target.run_case(case, &options));
            if number % 2 == 0 {
                first();
                second();
            } else {
                second();
                first();
            }
        }
        let ratio = hosted.as_secs_f64() / built_in.as_secs_f64();
        println!("round {round}: built in {built_in:.2?}, hosted {hosted:.2?}, ratio {ratio:.3}");
        ratios.push(ratio);
    }
    ratios.sort_by(f64::total_cmp);
    println!("{} cases, median ratio {:.3}", plan.cases.len(), ratios[ratios.len() / 2]);
}

fn timed(sum: &mut Duration, run: impl FnOnce() -> CaseResult) {
    let started = Instant::now();
    let result = run();
    *sum += started.elapsed();
    assert_eq!(result.verdict, Verdict::Pass, "{}", result.name());
}
