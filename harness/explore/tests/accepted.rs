//! What campaigns once found, although the reference peers were right: the model and the monitors
//! accept it now. The files of `accepted/` are shrunk scenarios.

use std::fs;
use std::path::Path;

use mqttspec_judge::finding::Check;
use mqttspec_runner::run::{RunOptions, run_with};
use mqttspec_runner::suite::{Selection, Source, plan};

/// The seeds under which each file runs. Each of them failed under one of these.
const SEEDS: u64 = 5;

#[test]
fn nothing_is_found_where_a_peer_had_a_choice() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/accepted");
    let mut sources = Vec::new();
    for entry in fs::read_dir(&folder).expect("the folder is read") {
        let path = entry.expect("an entry").path();
        let text = fs::read_to_string(&path).expect("the file is read");
        let file = path.file_name().expect("a name").to_string_lossy().into_owned();
        sources.push(Source { file, text });
    }
    assert!(sources.len() >= 26, "the files are there");
    let plan = plan(&sources, &Selection::default());
    assert!(plan.errors.is_empty(), "{:?}", plan.errors);
    for case in &plan.cases {
        for seed in 0..SEEDS {
            let options = RunOptions { model: true, ..RunOptions::default() };
            let result = run_with(case, seed, options);
            let mut findings = result.failures.iter().map(|reported| &reported.finding);
            let found = findings.find(|finding| matches!(finding.check, Check::Monitor(_)));
            assert!(found.is_none(), "{} under seed {seed}: {found:#?}", case.name());
        }
    }
}
