//! Measures which mutants a campaign finds, and writes `MUTANTS.md`.
//!
//! `MQTTSPEC_EXPLORE_RUNS` is the number of runs for each mutant.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use mqttspec_codec::Role;
use mqttspec_explore::{Campaign, Features, Limits, Options, Shard, explore};
use mqttspec_mutants::Mutant;

/// The runs until the first finding, and what it is; `None` if there is none.
fn first_finding(mutant: &'static Mutant, runs: u64) -> Option<(u64, String)> {
    let options = Options {
        seed: 0,
        runs: Some(runs),
        tests: mutant.role,
        version: None,
        features: Features::default(),
        shard: Shard::default(),
        jobs: 1,
        mutant: Some(mutant),
        limits: Limits { runs: 0 },
    };
    let stop = AtomicBool::new(false);
    let mut first = None;
    explore(&options, Campaign::default(), &stop, &mut |progress| {
        if let (Some(found), None) = (progress.found, &first) {
            first =
                Some((found.seed + 1, format!("{}: {}", found.shape.check, found.shape.clauses.join(" "))));
            stop.store(true, Ordering::Relaxed);
        }
    });
    first
}

#[test]
#[ignore = "takes minutes"]
fn which_mutants_a_campaign_finds() {
    let runs: u64 =
        std::env::var("MQTTSPEC_EXPLORE_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(500);
    let mut rows = String::new();
    let mut counts = String::new();
    for role in [Role::Server, Role::Client] {
        let mutants: Vec<_> = Mutant::all().filter(|mutant| mutant.role == role).collect();
        let mut found = 0;
        for mutant in &mutants {
            let first = first_finding(mutant, runs);
            found += usize::from(first.is_some());
            let by = first.map_or_else(|| "| not found".to_owned(), |(runs, by)| format!("{runs} | {by}"));
            let _ = writeln!(
                rows,
                "| {} | {} | {} | {by} |",
                mqttspec_spec::role_word(role),
                mutant.name,
                mutant.does
            );
        }
        let _ = writeln!(
            counts,
            "- {} of {} mutants of the {}",
            found,
            mutants.len(),
            mqttspec_spec::role_word(role)
        );
    }
    let text = format!(
        "# Mutants that a campaign finds\n\nWithout any scenario that a person wrote, with {runs} runs for each mutant \
         from seed 0. Written by\n`UPDATE=1 cargo test -p mqttspec-explore --test mutants -- --ignored`.\n\n{counts}\n\
         | role | mutant | what it does | runs | found by |\n|---|---|---|---|---|\n{rows}"
    );
    if std::env::var_os("UPDATE").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("MUTANTS.md");
        std::fs::write(path, &text).expect("the page can be written");
    }
    assert!(rows.contains("the monitor"), "{text}");
}
