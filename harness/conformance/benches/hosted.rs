//! What it costs that a broker is hosted: the reference broker as a hosted peer, and as the built-in
//! peer of the runner. Both have the same core, driver, store and scenarios.
//!
//! `cargo bench -p mqttspec-conformance --bench hosted [ROUNDS] [FILTER…]`
//!
//! A round runs each case on both, one after the other; every second round begins with the other
//! one. The measure is the CPU time of the thread in which a run does all its work, so other
//! programs on the machine have little effect.
#![expect(clippy::print_stdout, reason = "a benchmark prints")]
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot continue fails")]

#[path = "../tests/peers/reference.rs"]
mod reference;

use std::time::Duration;

use mqttspec_codec::Role;
use mqttspec_judge::results::CaseResult;
use mqttspec_judge::verdict::Verdict;
use mqttspec_runner::hosted::HostedPeer;
use mqttspec_runner::hosted_target::HostedTarget;
use mqttspec_runner::suite::{Selection, Source, SuiteOptions, plan, run_case};
use rustix::time::{ClockId, clock_gettime};

/// The number of cases that are printed: those with the largest difference.
const PRINTED: usize = 8;

fn main() {
    let arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let (rounds, filters): (Vec<_>, Vec<_>) = arguments.partition(|argument| argument.parse::<u32>().is_ok());
    let rounds = rounds.first().and_then(|rounds| rounds.parse().ok()).unwrap_or(5);
    let files = mqttspec_embedded::scenarios().unwrap();
    let sources: Vec<Source> = files.into_iter().map(|(file, text)| Source { file, text }).collect();
    let mut plan = plan(&sources, &Selection { filters, ..Selection::default() });
    plan.cases.retain(|case| case.tests == Role::Server);
    let peer = HostedPeer::broker_in_world(reference::reference);
    let (target, answered) = HostedTarget::probe("reference".to_owned(), peer, Duration::from_secs(60));
    answered.unwrap();
    let options = SuiteOptions::default();
    let (mut built_in, mut hosted) = (Times::new(plan.cases.len()), Times::new(plan.cases.len()));
    let mut ratios = Vec::new();
    for round in 0..rounds {
        for (number, case) in plan.cases.iter().enumerate() {
            let mut first = || built_in.add(number, || run_case(case, &options));
            let mut second = || hosted.add(number, || target.run_case(case, &options));
            if round % 2 == 0 {
                first();
                second();
            } else {
                second();
                first();
            }
        }
        let (built_in, hosted) = (built_in.of_round(round), hosted.of_round(round));
        let ratio = hosted.as_secs_f64() / built_in.as_secs_f64();
        println!("round {}: built in {built_in:.3?}, hosted {hosted:.3?}, ratio {ratio:.3}", round + 1);
        ratios.push(ratio);
    }
    let medians = built_in.medians().into_iter().zip(hosted.medians());
    let mut cases: Vec<_> = plan.cases.iter().zip(medians).collect();
    cases.sort_by_key(|(_, (built_in, hosted))| {
        built_in.saturating_sub(*hosted).max(hosted.saturating_sub(*built_in))
    });
    println!("the largest differences, medians:");
    for (case, (built_in, hosted)) in cases.iter().rev().take(PRINTED) {
        println!("  built in {built_in:9.3?}, hosted {hosted:9.3?}  {}", case.name());
    }
    ratios.sort_by(f64::total_cmp);
    println!("{} cases, median ratio {:.3}", cases.len(), ratios[ratios.len() / 2]);
}

/// The CPU times of each case, by round.
struct Times(Vec<Vec<Duration>>);

impl Times {
    fn new(cases: usize) -> Self {
        Self(vec![Vec::new(); cases])
    }

    fn add(&mut self, case: usize, run: impl FnOnce() -> CaseResult) {
        let started = cpu_time();
        let result = run();
        self.0[case].push(cpu_time() - started);
        assert_eq!(result.verdict, Verdict::Pass, "{}", result.name());
    }

    fn of_round(&self, round: usize) -> Duration {
        self.0.iter().map(|times| times[round]).sum()
    }

    fn medians(&self) -> Vec<Duration> {
        let median = |times: &Vec<Duration>| {
            let mut times = times.clone();
            times.sort_unstable();
            times[times.len() / 2]
        };
        self.0.iter().map(median).collect()
    }
}

/// The CPU time that this thread has used.
fn cpu_time() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap()
}
