//! The tests are tested: for every scenario there is a defect that makes it fail, for every defect a scenario that finds it, and behind a liar
//! that changes nothing all pass.
//!
//! `PROVED.md` tells which defect fails which scenario. `UPDATE=1 cargo test -p mqttspec-scenarios --test defects` looks for a defect for every
//! case and writes it; without `UPDATE` the first pair of each scenario is played again.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use mqttspec_scenarios::defects::Defect;
use mqttspec_scenarios::results::RunResult;
use mqttspec_scenarios::run::{Case, Side, Wanted, run_for};
use mqttspec_scenarios::suite::{Selection, plan, read_folder};
use mqttspec_scenarios::verdict::Verdict;

const SEED: u64 = 0;

fn cases() -> Vec<Case> {
    let sources = read_folder(Path::new(env!("CARGO_MANIFEST_DIR"))).expect("the scenarios can be read");
    let plan = plan(&sources, &Selection::default());
    assert!(plan.errors.is_empty(), "{:#?}", plan.errors);
    plan.cases
}

fn play(case: &Case, defect: &'static Defect) -> RunResult {
    run_for(case, SEED, Wanted { trace: false, defect: Some(defect) })
}

/// How the cases of a file were seen to fail.
#[derive(Default)]
struct Proof {
    /// The defects, in the order of the cases that they fail.
    by: Vec<&'static str>,
    unproved: Vec<String>,
}

/// Finds a defect for every case.
fn prove(cases: &[Case]) -> BTreeMap<(Side, String), Proof> {
    let mut proofs: BTreeMap<(Side, String), Proof> = BTreeMap::new();
    for case in cases {
        let proof = proofs.entry((case.tests, case.file.clone())).or_default();
        let mut order: Vec<&'static Defect> =
            Defect::all().filter(|defect| defect.side == case.tests).collect();
        order.sort_by_key(|defect| (!proof.by.contains(&defect.name), Reverse(affinity(case, defect))));
        match order.into_iter().find(|defect| play(case, defect).verdict == Verdict::Fail) {
            None => proof.unproved.push(case.name()),
            Some(defect) if !proof.by.contains(&defect.name) => proof.by.push(defect.name),
            Some(_) => {}
        }
    }
    proofs
}

/// How much a case and a defect are about the same, by the beginnings of their words; what hits everything comes last.
fn affinity(case: &Case, defect: &Defect) -> usize {
    const BLUNT: [&str; 8] = [
        "no-pingresp",
        "no-suback",
        "connack-late",
        "connack-twice",
        "acknowledges-another",
        "explains-too-long",
        "cuts-payloads",
        "another-topic",
    ];
    if BLUNT.contains(&defect.name) {
        return 0;
    }
    let words = |text: &str| -> BTreeSet<String> {
        let long = text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| word.len() >= 4);
        long.map(|word| word.to_lowercase().chars().take(5).collect()).collect()
    };
    let (of_file, of_title) = (words(&case.file), words(&case.scenario.title));
    let of_defect = words(&format!("{} {}", defect.name, defect.does));
    1 + 2 * of_file.intersection(&of_defect).count() + of_title.intersection(&of_defect).count()
}

fn document() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("PROVED.md")
}

const HEAD: &str = "\
# Seen to fail

A scenario that nobody has seen fail proves nothing. Between the reference peer and the wire stands a liar that gives the peer a defect
(`scenarios/src/defects`). This page tells for every scenario which defect fails it. `cargo test` plays the first defect of each scenario again.

Generated: `UPDATE=1 cargo test -p mqttspec-scenarios --test defects`.
";

fn render(proofs: &BTreeMap<(Side, String), Proof>) -> String {
    let mut text = HEAD.to_owned();
    for side in [Side::Server, Side::Client] {
        let _ =
            writeln!(text, "\n## Scenarios that test a {side}\n\n| scenario | seen to fail by |\n|---|---|");
        for ((_, file), proof) in proofs.iter().filter(|((of, _), proof)| *of == side && !proof.by.is_empty())
        {
            let _ = writeln!(text, "| {file} | {} |", proof.by.join(", "));
        }
    }
    let unproved: Vec<&String> = proofs.values().flat_map(|proof| &proof.unproved).collect();
    let _ = writeln!(text, "\n## Cases that no defect fails\n");
    for case in &unproved {
        let _ = writeln!(text, "- {case}");
    }
    if unproved.is_empty() {
        let _ = writeln!(text, "None.");
    }
    text
}

/// The lines of the tables of scenarios: (side, file, the first defect).
fn proved(text: &str) -> Vec<(Side, String, String)> {
    let mut side = None;
    let mut lines = Vec::new();
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            side = match heading {
                "Scenarios that test a server" => Some(Side::Server),
                "Scenarios that test a client" => Some(Side::Client),
                _ => None,
            };
        }
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        if let (Some(side), [file, defects]) = (side, cells.as_slice())
            && file.ends_with(".mqtt")
        {
            let first =
                defects.split(", ").next().and_then(|first| first.split(' ').next()).unwrap_or_default();
            lines.push((side, (*file).to_owned(), first.to_owned()));
        }
    }
    lines
}

#[test]
fn every_scenario_is_failed_by_a_defect() {
    let cases = cases();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(document(), render(&prove(&cases))).expect("the page can be written");
    }
    let text = fs::read_to_string(document()).expect("the page is there");
    let lines = proved(&text);
    let mut wrong = String::new();
    let known: BTreeSet<(Side, &str)> = lines.iter().map(|(side, file, _)| (*side, file.as_str())).collect();
    let gaps: BTreeSet<&str> = text.lines().filter_map(|line| line.strip_prefix("- ")).collect();
    for case in &cases {
        if !known.contains(&(case.tests, &case.file)) && !gaps.contains(case.name().as_str()) {
            let _ = writeln!(wrong, "{} is not in PROVED.md", case.name());
        }
    }
    for (side, file, name) in &lines {
        let mut of_file = cases.iter().filter(|case| case.file == *file && case.tests == *side);
        let Some(defect) = Defect::named(name, *side) else {
            let _ = writeln!(wrong, "{file} ({side}) is failed by no defect");
            continue;
        };
        if !of_file.any(|case| play(case, defect).verdict == Verdict::Fail) {
            let _ = writeln!(wrong, "{file} ({side}) is not failed by {name}");
        }
    }
    assert!(
        wrong.is_empty(),
        "{wrong}\nUPDATE=1 writes PROVED.md anew; a scenario without a defect needs one"
    );
}

#[test]
fn behind_a_liar_that_changes_nothing_all_pass() {
    static HONEST: [Defect; 2] = [Defect::none(Side::Server), Defect::none(Side::Client)];
    let mut wrong = String::new();
    let mut seen = BTreeSet::new();
    // One case a file, and not the one of 65,600 messages: that the broker is right is shown elsewhere, this is about the liar's place.
    let first = |case: &Case| !case.file.contains("/wraps-") && seen.insert((case.file.clone(), case.tests));
    for case in cases().into_iter().filter(first) {
        let honest = HONEST.iter().find(|defect| defect.side == case.tests).expect("one for each side");
        let result = play(&case, honest);
        if result.verdict != Verdict::Pass {
            let _ = writeln!(wrong, "{} {} {}", result.verdict, case.name(), result.reason);
            for failure in &result.failures {
                let _ =
                    writeln!(wrong, "  line {}: {} but {}", failure.line, failure.expected, failure.actual);
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
