//! The notation on whole files: each of `notation_examples` says something that the notation must be able to say.
#![allow(clippy::unwrap_used, reason = "a test")]

use mqttspec_scenarios::notation::{parse, print};

fn files() -> Vec<(String, String)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/notation_examples");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "mqtt"))
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(&path).unwrap())
        })
        .collect();
    files.sort();
    assert!(files.len() >= 8, "the examples are gone");
    files
}

#[test]
fn examples_are_canonical_and_parse_to_what_they_print() {
    for (name, source) in files() {
        let scenario = parse(&name, &source).unwrap_or_else(|diagnostics| panic!("{diagnostics}"));
        let printed = print(&scenario);
        let again = parse(&name, &printed).unwrap_or_else(|diagnostics| panic!("{printed}\n{diagnostics}"));
        assert_eq!(again, scenario, "{printed}");
        assert_eq!(print(&again), printed);
        assert_eq!(printed, source, "{name} is not in the canonical layout");
    }
}
