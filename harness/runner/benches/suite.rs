//! The CPU time of the simulated suite, by case, and a digest of its histories.
//!
//! `cargo bench -p mqttspec-runner --bench suite [ROUNDS] [histories] [without-model] [FILTER…]`
//!
//! Every case runs under the seeds of `mqttspec run`, with the allocator of the command, in one
//! thread. The digest is over the bytes and times of all histories, in order. With `histories` a
//! digest of each case is printed too: a change for speed must not change any of them. With
//! `without-model`, the history model does not judge the runs: the difference is its cost.
#![expect(clippy::print_stdout, reason = "a benchmark prints")]
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot continue fails")]

use std::path::Path;
use std::time::Duration;

use mqttspec_judge::Case;
use mqttspec_judge::verdict::Verdict;
use mqttspec_runner::run::{RunOptions, reuse, run_recorded};
use mqttspec_runner::suite::{Selection, plan, read_folder};
use rustix::time::{ClockId, clock_gettime};
use xxhash_rust::xxh3::xxh3_128;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The number of cases that are printed: those that cost most.
const PRINTED: usize = 12;

fn main() {
    let arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let (rounds, words): (Vec<_>, Vec<_>) = arguments.partition(|argument| argument.parse::<u32>().is_ok());
    let rounds = rounds.first().and_then(|rounds| rounds.parse().ok()).unwrap_or(3);
    let (lists, words): (Vec<_>, Vec<_>) = words.into_iter().partition(|word| word == "histories");
    let (without, filters): (Vec<_>, Vec<_>) = words.into_iter().partition(|word| word == "without-model");
    let options = RunOptions { model: without.is_empty(), ..RunOptions::default() };
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../scenarios"));
    let sources = read_folder(folder).unwrap();
    let plan = plan(&sources, &Selection { filters, ..Selection::default() });
    let mut times = vec![Vec::new(); plan.cases.len()];
    let (mut sums, mut digests) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        let mut hashes = Vec::new();
        for (case, times) in plan.cases.iter().zip(&mut times) {
            let started = cpu_time();
            hashes.push(histories(case, options));
            times.push(cpu_time() - started);
        }
        let sum: Duration = times.iter().filter_map(|times| times.last()).sum();
        println!("round {round}: {sum:.3?}");
        sums.push(sum);
        digests.push(hashes);
    }
    let first = &digests[0];
    assert!(digests.iter().all(|digest| digest == first), "two runs of a case differ");
    if !lists.is_empty() {
        for (case, hash) in plan.cases.iter().zip(first) {
            println!("{hash:032x}  {}", case.name());
        }
    }
    let mut cases: Vec<_> = times.into_iter().map(median).zip(&plan.cases).collect();
    cases.sort_by_key(|(time, _)| std::cmp::Reverse(*time));
    println!("the cases that cost most, medians:");
    for (time, case) in cases.iter().take(PRINTED) {
        println!("  {time:9.3?}  {}", case.name());
    }
    println!("{} cases, median of {rounds} rounds {:.3?}", cases.len(), median(sums));
    println!("histories {:032x}", digest(first));
}

/// Runs a case under all its seeds; returns the digest of its histories.
fn histories(case: &Case, options: RunOptions) -> u128 {
    let of_run = |seed| {
        let (result, history) = run_recorded(case, u64::from(seed), options);
        assert_eq!(result.verdict, Verdict::Pass, "{}", case.name());
        let hash = history.hash();
        reuse(history);
        hash
    };
    digest(&(0..case.scenario.seeds.max(1)).map(of_run).collect::<Vec<_>>())
}

fn digest(hashes: &[u128]) -> u128 {
    let bytes: Vec<u8> = hashes.iter().flat_map(|hash| hash.to_le_bytes()).collect();
    xxh3_128(&bytes)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// The CPU time that this thread has used.
fn cpu_time() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap()
}
