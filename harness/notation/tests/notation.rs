//! The notation on whole files: each of `notation_examples` says something that the notation must
//! be able to say.
#![allow(clippy::unwrap_used, reason = "a test")]

use mqttspec_notation::{CatalogueClauses, Scenario, StepKind, parse, print, read};

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

/// Whether a line shows a clause. The check then asks for a line for each clause.
fn has_claims(scenario: &Scenario) -> bool {
    let mut claims = false;
    scenario.walk(&mut |step| {
        claims |= step.shows.is_some();
        if let StepKind::Either(branches) = &step.kind {
            claims |= branches.iter().any(|branch| branch.shows.is_some());
        }
    });
    claims
}

#[test]
fn every_scenario_file_passes_every_check() {
    fn folder(path: &std::path::Path, wrong: &mut String) -> usize {
        let mut entries: Vec<_> =
            std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        let mut files = 0;
        for path in entries {
            if path.ends_with("notation_errors") {
                // Mistakes on purpose.
            } else if path.is_dir() {
                files += folder(&path, wrong);
            } else if path.extension().is_some_and(|extension| extension == "mqtt") {
                files += 1;
                let source = std::fs::read_to_string(&path).unwrap();
                match read(&path.to_string_lossy(), &source, &CatalogueClauses) {
                    Ok((scenario, diagnostics)) => {
                        wrong.push_str(&diagnostics.plain());
                        if !has_claims(&scenario) {
                            wrong.push_str(&format!("{}: no line shows a clause\n", path.display()));
                        }
                    }
                    Err(diagnostics) => wrong.push_str(&diagnostics.plain()),
                }
            }
        }
        files
    }
    let mut wrong = String::new();
    let files =
        folder(std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../scenarios")), &mut wrong);
    assert!(files >= 30, "only {files} scenario files");
    assert!(wrong.is_empty(), "{wrong}");
}

/// Two rows may have one name if no version has both.
#[test]
fn the_names_of_rows_are_unique_within_a_version() {
    let table = |first: &str, second: &str| {
        let rows = format!("table    case  bytes\n         {first}  PINGREQ\n         {second}  PINGREQ\n");
        parse("t.mqtt", &format!("title    t\nversions 3.1.1 5\n{rows}\neach row\n  a > $bytes\n"))
    };
    assert!(table("[5] one", "[3.1.1] one").is_ok());
    for (first, second) in [("one", "one"), ("[5] one", "one"), ("[3.1.1 5] one", "[5] one")] {
        let error = table(first, second).expect_err(&format!("{first}, {second}"));
        assert!(error.plain().contains("has the case `one` already"), "{}", error.plain());
    }
}
