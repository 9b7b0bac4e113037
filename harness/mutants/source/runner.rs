//! Runs cases and generated scenarios with one source mutant. Only in the copy that source.py makes.
//!
//! Each line of the input is a job: `cases`, which lists them, `case FILE INDEX SEEDS LATITUDE` or
//! `seed ROLE SEED LATITUDE`. Each has one line of JSON as its answer, at once: source.py measures how long a job takes.
//! `source_mutant MUTANT SCENARIOS` runs them with a mutant; without a number, the answers list the
//! mutants that are reached.
#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "a tool of tests")]

use std::fs;
use std::io::{BufRead, Write};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use mqttspec_codec::{Role, Version};
use mqttspec_core::source_mutant::{select, take_reached};
use mqttspec_explore::{Campaign, Features, GENERATION, Limits, Options, Shard, explore};
use mqttspec_judge::Case;
use mqttspec_judge::verdict::Verdict;
use mqttspec_runner::latitude::{Latitude, UnknownChoice};
use mqttspec_runner::suite::{KeepTrace, Selection, Source, SuiteOptions, plan, read_folder, run_case_under};
use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (mutant, folder) = (&arguments[0], Path::new(&arguments[1]));
    let mutant = mutant.parse::<usize>().ok();
    if let Some(mutant) = mutant {
        select(mutant);
    }
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split(' ').collect();
        let _ = take_reached();
        let mut answer = match words.as_slice() {
            ["cases"] => listed(&read_folder(folder)?),
            ["case", file, index, seeds, latitude] => {
                let source =
                    Source { file: (*file).to_owned(), text: fs::read_to_string(folder.join(file))? };
                let case = &cases_of(&[source])[index.parse::<usize>()?];
                let seeds = seeds.parse()?;
                let latitude = latitude_of(latitude)?;
                in_thread(|| of_case(case, seeds, latitude))
            }
            ["seed", role, seed, latitude] => {
                let latitude = latitude_of(latitude)?;
                in_thread(|| of_seed(role, seed.parse()?, latitude))
            }
            _ => return Err(format!("not a job: {line}").into()),
        };
        if mutant.is_none() {
            answer["reached"] = json!(take_reached());
        }
        println!("{answer}");
        std::io::stdout().flush()?;
    }
    Ok(())
}

fn cases_of(sources: &[Source]) -> Vec<Case> {
    let mut cases = plan(sources, &Selection::default()).cases;
    let of_3_1 = Selection { version: Some(Version::V3_1), ..Selection::default() };
    cases.extend(plan(sources, &of_3_1).cases);
    cases
}

fn listed(sources: &[Source]) -> Value {
    let of_file = |source: &Source| {
        let cases = cases_of(std::slice::from_ref(source)).into_iter().enumerate();
        let described = cases.map(|(index, case)| {
            json!({
                "file": case.file,
                "index": index,
                "name": case.name(),
                "seeds": case.scenario.seeds.max(1),
                "of_server": case.tests == Role::Server,
            })
        });
        described.collect::<Vec<_>>()
    };
    json!({ "cases": sources.iter().flat_map(of_file).collect::<Vec<_>>() })
}

type Answer = Result<Value, std::num::ParseIntError>;

/// A thread of its own has no caches of earlier jobs.
fn in_thread(job: impl FnOnce() -> Answer + Send) -> Value {
    let joined = std::thread::scope(|scope| scope.spawn(job).join());
    match joined {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => json!({ "found": "error", "by": error.to_string() }),
        Err(_) => json!({ "found": "panic" }),
    }
}

fn latitude_of(text: &str) -> Result<Latitude, UnknownChoice> {
    if text == "reference" { Ok(Latitude::Reference) } else { text.parse() }
}

fn of_case(case: &Case, seeds: u64, latitude: Latitude) -> Answer {
    let all = u64::from(case.scenario.seeds.max(1));
    let options = SuiteOptions { keep: KeepTrace::None, latitude, ..SuiteOptions::default() };
    let result = run_case_under(case, 0..seeds, &options);
    // With fewer seeds, a mark may not be reached.
    let finding = result.failures.iter().map(|reported| &reported.finding);
    let finding =
        finding.filter(|finding| seeds >= all || !finding.check.to_string().starts_with("the mark"));
    let finding = finding.min_by_key(|finding| finding.requirements.is_empty());
    Ok(match (result.verdict, finding) {
        (Verdict::Pass | Verdict::Skip, _) | (Verdict::Fail, None) => json!({}),
        (verdict, None) => json!({ "found": verdict.to_string(), "by": result.reason }),
        (verdict, Some(finding)) => {
            let clauses: Vec<&str> =
                finding.requirements.iter().map(|requirement| requirement.clause.as_str()).collect();
            json!({ "found": verdict.to_string(), "by": finding.check.to_string(), "clauses": clauses })
        }
    })
}

fn of_seed(role: &str, seed: u64, latitude: Latitude) -> Answer {
    let options = Options {
        seed,
        runs: Some(1),
        tests: if role == "client" { Role::Client } else { Role::Server },
        version: None,
        features: Features::default(),
        shard: Shard::default(),
        jobs: 1,
        mutant: None,
        latitude,
        limits: Limits { runs: 0 },
        generation: GENERATION,
    };
    let campaign = explore(&options, Campaign::default(), &AtomicBool::new(false), &mut |_| ());
    // A run that breaks off is weaker than a clause.
    let found = campaign.findings.iter().min_by_key(|found| found.shape.clauses.is_empty());
    Ok(found.map_or_else(
        || json!({}),
        |found| json!({ "found": "fail", "by": found.shape.check, "clauses": found.shape.clauses }),
    ))
}
