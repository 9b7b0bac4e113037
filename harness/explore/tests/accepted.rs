//! What campaigns once found, although the reference peers were right: the model and the monitors
//! accept it now. The files of `accepted/` are shrunk scenarios. And what campaigns found in other
//! brokers: the reference broker passes each of those files.

use std::fs;
use std::path::Path;

use mqttspec_judge::finding::Check;
use mqttspec_judge::verdict::Verdict;
use mqttspec_notation::{parse, print};
use mqttspec_runner::run::{RunOptions, run_with};
use mqttspec_runner::suite::{Selection, Source, plan};

/// The seeds under which each file runs. Each of them failed under one of these.
const SEEDS: u64 = 5;

/// The most steps of a shrunk scenario of `targets/explored`.
const STEPS: usize = 15;

fn files(folder: &str) -> Vec<Source> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let read = |path: &Path| {
        let text = fs::read_to_string(path).expect("the file is read");
        let file = path.file_name().expect("a name").to_string_lossy().into_owned();
        Source { file, text }
    };
    let entries = fs::read_dir(&folder).expect("the folder is read");
    entries.map(|entry| read(&entry.expect("an entry").path())).collect()
}

#[test]
fn the_reference_broker_passes_what_other_brokers_fail() {
    let sources = files("../../targets/explored");
    assert!(sources.len() >= 5, "the files are there");
    for Source { file, text } in &sources {
        let scenario = parse(file, text).unwrap_or_else(|found| panic!("{}", found.plain()));
        assert_eq!(print(&scenario), *text, "{file} is in canonical layout");
        assert!(scenario.steps.len() <= STEPS, "{file} has {} steps", scenario.steps.len());
    }
    let plan = plan(&sources, &Selection::default());
    assert!(plan.errors.is_empty(), "{:?}", plan.errors);
    for case in &plan.cases {
        let result = run_with(case, 0, RunOptions::default());
        assert_eq!(result.verdict, Verdict::Pass, "{}: {:#?}", case.name(), result.failures);
    }
}

#[test]
fn nothing_is_found_where_a_peer_had_a_choice() {
    let sources = files("tests/accepted");
    assert!(sources.len() >= 40, "the files are there");
    let plan = plan(&sources, &Selection::default());
    assert!(plan.errors.is_empty(), "{:?}", plan.errors);
    for case in &plan.cases {
        for seed in 0..SEEDS {
            let options = RunOptions { model: true, ..RunOptions::default() };
            let result = run_with(case, seed, options);
            let mut findings = result.failures.iter().map(|reported| &reported.finding);
            let found =
                findings.find(|finding| matches!(finding.check, Check::Monitor(_) | Check::DeliveryCheck(_)));
            assert!(found.is_none(), "{} under seed {seed}: {found:#?}", case.name());
        }
    }
}
