//! Every example in `NOTATION.md` parses and is in the canonical layout, and
//! together they show everything that a scenario can say.

#![allow(clippy::unwrap_used, reason = "a failure here is the test failing")]

use std::collections::BTreeSet;

use mqttspec_notation::{CatalogueClauses, Scenario, parse, print, read};

const DOCUMENT: &str = include_str!("../../../scenarios/NOTATION.md");

/// The examples, each with the line where it begins and the word after `mqtt`.
fn examples() -> Vec<(usize, &'static str, String)> {
    let mut examples: Vec<(usize, &str, String)> = Vec::new();
    let mut open = false;
    for (number, line) in DOCUMENT.lines().enumerate() {
        if open && line == "```" {
            open = false;
        } else if open {
            let (_, _, text) = examples.last_mut().unwrap();
            text.push_str(line);
            text.push('\n');
        } else if let Some(kind) = line.strip_prefix("```mqtt") {
            open = true;
            examples.push((number + 1, kind.trim(), String::new()));
        }
    }
    assert!(examples.len() >= 15, "the examples are gone");
    examples
}

/// The example as a file.
fn file(kind: &str, text: &str) -> String {
    match kind {
        "file" => text.to_owned(),
        "client" => format!("title    An example\nversions 5\ntests    client\n\n{text}"),
        "" => format!("title    An example\nversions 3.1.1 5\n\n{text}"),
        other => panic!("examples are marked `mqtt`, `mqtt file` or `mqtt client`, not {other}"),
    }
}

fn scenarios() -> Vec<Scenario> {
    let name = |line: usize| format!("NOTATION.md:{line}");
    let read = |(line, kind, text): &(usize, &str, String)| {
        parse(&name(*line), &file(kind, text)).unwrap_or_else(|diagnostics| panic!("{diagnostics}"))
    };
    examples().iter().map(read).collect()
}

#[test]
fn every_example_is_canonical() {
    for ((line, kind, text), scenario) in examples().iter().zip(scenarios()) {
        assert_eq!(print(&scenario), file(kind, text), "NOTATION.md, line {line}");
    }
}

#[test]
fn every_whole_file_in_it_could_be_run() {
    for (line, kind, text) in examples() {
        if kind == "file" {
            let (_, warnings) = read(&format!("NOTATION.md:{line}"), &text, &CatalogueClauses)
                .unwrap_or_else(|diagnostics| panic!("{diagnostics}"));
            assert!(warnings.is_empty(), "{warnings}");
        }
    }
}

/// The variants of the enums of the notation's types, read from their source: a new one is asked
/// for without anybody adding it to a list.
fn variants() -> BTreeSet<String> {
    let sources = [
        include_str!("../src/scenario.rs"),
        include_str!("../src/steps.rs"),
        include_str!("../src/packets.rs"),
        include_str!("../src/values.rs"),
    ];
    let mut variants = BTreeSet::new();
    for source in sources {
        let mut inside = false;
        for line in source.lines() {
            if line.starts_with("pub enum ") {
                inside = true;
            } else if line == "}" {
                inside = false;
            } else if let Some(rest) = line.strip_prefix("    ").filter(|_| inside) {
                let name: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
                if name.starts_with(|first: char| first.is_ascii_uppercase()) {
                    variants.insert(name);
                }
            }
        }
    }
    assert!(variants.len() > 80, "the sources are read wrongly: {variants:?}");
    variants
}

#[test]
fn every_construct_has_an_example() {
    let shown = format!("{:?}", scenarios());
    let shown: BTreeSet<&str> = shown.split(|letter: char| !letter.is_ascii_alphanumeric()).collect();
    // Words of the header are kept only where a comment stands on their line.
    let header = [
        "Title", "Reading", "Clauses", "Versions", "Tests", "Over", "Needs", "Broker", "Client", "Seeds",
        "Table",
    ];
    let missing: Vec<String> = variants()
        .into_iter()
        .filter(|name| !shown.contains(name.as_str()) && !header.contains(&name.as_str()))
        .collect();
    assert!(missing.is_empty(), "NOTATION.md has no example of {missing:?}");
}

#[test]
fn every_profile_stands_there_with_its_measure() {
    for profile in mqttspec_faults::Profile::USUAL {
        assert!(DOCUMENT.contains(&format!("| `{profile}` |")), "{profile}");
    }
}
