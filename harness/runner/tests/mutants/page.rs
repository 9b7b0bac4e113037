//! `PROVED.md`: writes it, and reads it again.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use mqttspec_codec::Role;
use mqttspec_judge::Case;
use mqttspec_mutants::Defect;
use mqttspec_spec::Standard;

use crate::proofs::{Check, Proof, Proofs, Told};

const HEAD: &str = "\
# Seen to fail

A check that nobody has seen fail proves nothing. Between the reference peer and the wire stands a liar that gives the peer a defect
(`harness/mutants/src`). This page tells for every case, that is for every scenario, version and row of its table, which defect fails it; for every
defect a case that finds it; and for every rule of the monitors and every property a defect of which it reports. What nobody has seen fail is here too.
`cargo test` plays all of them again.

Generated: `UPDATE=1 cargo test -p mqttspec-runner --test mutants`.
";

const NOBODY: &str = "**nobody**";
const BESIDE: &str = " (other clause)";
const MONITOR: &str = " (monitor)";

/// The page.
pub(crate) fn render(proofs: &Proofs, cases: &[Case]) -> String {
    let mut text = HEAD.to_owned();
    render_counts(&mut text, proofs);
    for side in [Role::Server, Role::Client] {
        render_cases(&mut text, side, proofs, cases);
    }
    let _ = writeln!(text, "\n## Monitors and properties\n");
    let _ = writeln!(
        text,
        "| check | clauses | of the | in | reports of | in the case |\n|---|---|---|---|---|---|"
    );
    for (check, by) in &proofs.checks {
        let by = match by {
            Some((index, defect)) => format!("{defect} | {}", cases[*index].name()),
            None => format!("{NOBODY} | "),
        };
        let _ = writeln!(text, "| {check} | {by} |");
    }
    let _ = writeln!(text, "\n## Defects\n");
    let _ = writeln!(
        text,
        "| of the | defect | what it does | breaks in 5.0 | in 3.1.1 | found by |\n|---|---|---|---|---|---|"
    );
    for defect in Defect::all() {
        let found = match proofs.defects.get(&(defect.side, defect.name)).and_then(Option::as_ref) {
            Some((index, proof)) => format!("{}{}", cases[*index].name(), beside(proof)),
            None => NOBODY.to_owned(),
        };
        let breaks = |standard| {
            let mut clauses = defect.clauses(standard).join(" ");
            if defect.tolerates() {
                clauses += ", and what it must enforce";
            }
            if defect.breaks_a_promise() {
                clauses += "a promise of the reference client";
            }
            clauses
        };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {found} |",
            mqttspec_spec::role_word(defect.side),
            defect.name,
            defect.does,
            breaks(Standard::V5),
            breaks(Standard::V3_1_1)
        );
    }
    text
}

fn render_counts(text: &mut String, proofs: &Proofs) {
    let _ = writeln!(
        text,
        "\n| | all | the scenario fails, citing what was broken | a monitor reports it | only other clauses are cited | never seen to fail |\n|---|---|---|---|---|---|"
    );
    let of_cases: Vec<Option<Told>> =
        proofs.cases.iter().map(|proof| proof.as_ref().map(|proof| proof.told)).collect();
    let of_defects: Vec<Option<Told>> =
        proofs.defects.values().map(|found| found.as_ref().map(|(_, proof)| proof.told)).collect();
    for (what, told) in [("cases", of_cases), ("defects", of_defects)] {
        let count = |wanted: Option<Told>| told.iter().filter(|told| **told == wanted).count();
        let _ = writeln!(
            text,
            "| {what} | {} | {} | {} | {} | {} |",
            told.len(),
            count(Some(Told::Scenario)),
            count(Some(Told::Monitor)),
            count(Some(Told::Nobody)),
            count(None)
        );
    }
    let properties = proofs.checks.iter().filter(|(check, _)| matches!(check, Check::Property(_)));
    let (mut seen, mut all) = (0, 0);
    for (_, by) in properties {
        all += 1;
        seen += usize::from(by.is_some());
    }
    let _ = writeln!(text, "| properties | {all} | {seen} | | | {} |", all - seen);
    let (all, seen) = (proofs.checks.len() - all, proofs.checks.values().flatten().count() - seen);
    let _ = writeln!(text, "| rules of monitors | {all} | | {seen} | | {} |", all - seen);
}

fn beside(proof: &Proof) -> &'static str {
    match proof.told {
        Told::Scenario => "",
        Told::Monitor => MONITOR,
        Told::Nobody => BESIDE,
    }
}

/// A file, a version and what fails it.
type Line<'a> = (&'a str, String, String);

/// One line for each file, defect and set of rows, whatever the number of versions.
fn render_cases(text: &mut String, side: Role, proofs: &Proofs, cases: &[Case]) {
    let _ = writeln!(
        text,
        "\n## Scenarios that test a {}\n\n| scenario | versions | rows | seen to fail by |\n|---|---|---|---|",
        mqttspec_spec::role_word(side)
    );
    // The rows of each file, version and proof, in the order of the suite.
    let mut of_version: Vec<(Line<'_>, Vec<&str>)> = Vec::new();
    for (case, proof) in cases.iter().zip(&proofs.cases).filter(|(case, _)| case.tests == side) {
        let by = proof
            .as_ref()
            .map_or_else(|| NOBODY.to_owned(), |proof| format!("{}{}", proof.defect, beside(proof)));
        let key = (case.file.as_str(), case.version_text(), by);
        let row = case.row_name().unwrap_or_default();
        match of_version.iter_mut().rev().take(40).find(|(known, _)| *known == key) {
            Some((_, rows)) => rows.push(row),
            None => of_version.push((key, vec![row])),
        }
    }
    let mut lines: Vec<(&str, Vec<String>, String, String)> = Vec::new();
    for ((file, version, by), rows) in of_version {
        let rows = rows.join(" ");
        match lines.iter_mut().rev().take(40).find(|(f, _, r, b)| *f == file && *r == rows && *b == by) {
            Some((_, versions, ..)) => versions.push(version),
            None => lines.push((file, vec![version], rows, by)),
        }
    }
    for (file, versions, rows, by) in lines {
        let _ = writeln!(text, "| {file} | {} | {rows} | {by} |", versions.join(" "));
    }
}

/// What a page says. What it says of scenarios or defects that are not there is left out.
pub(crate) fn read(text: &str, cases: &[Case]) -> Proofs {
    let mut proofs = Proofs::none(cases);
    let by_name: BTreeMap<String, usize> =
        cases.iter().enumerate().map(|(index, case)| (case.name(), index)).collect();
    let by_place: BTreeMap<(Role, &str, String, &str), usize> = cases
        .iter()
        .enumerate()
        .map(|(index, case)| {
            let row = case.row_name().unwrap_or_default();
            ((case.tests, case.file.as_str(), case.version_text(), row), index)
        })
        .collect();
    let checks: BTreeMap<String, Check> =
        Check::all().into_iter().map(|check| (check.to_string(), check)).collect();
    for line in text.lines() {
        let cells: Vec<&str> = line
            .strip_prefix("| ")
            .and_then(|line| line.strip_suffix(" |"))
            .map_or_else(Vec::new, |line| line.split(" | ").collect());
        match cells.as_slice() {
            [file, versions, rows, by] if file.ends_with(".mqtt") => {
                for (version, side) in versions
                    .split(' ')
                    .flat_map(|version| [Role::Server, Role::Client].map(|side| (version, side)))
                {
                    for row in rows.split(' ') {
                        let place = by_place.get(&(side, *file, version.to_owned(), row));
                        if let (Some(index), Some(proof)) = (place, proof(by, side)) {
                            proofs.cases[*index] = Some(proof);
                        }
                    }
                }
            }
            [check @ .., by, case] if checks.contains_key(&check.join(" | ")) => {
                let found = by_name
                    .get(*case)
                    .and_then(|index| Some((*index, Defect::named(by, cases[*index].tests)?.name)));
                if let Some(known) = proofs.checks.get_mut(&checks[&check.join(" | ")]) {
                    *known = found;
                }
            }
            [_, name, _, _, _, found] => {
                let (case, told) = who_told(found);
                let index = by_name.get(case);
                let defect = index.and_then(|index| Defect::named(name, cases[*index].tests));
                if let (Some(index), Some(defect)) = (index, defect) {
                    let proof = Proof { defect: defect.name, told };
                    proofs.defects.insert((defect.side, defect.name), Some((*index, proof)));
                }
            }
            _ => {}
        }
    }
    proofs
}

fn proof(by: &str, side: Role) -> Option<Proof> {
    let (name, told) = who_told(by);
    Some(Proof { defect: Defect::named(name, side)?.name, told })
}

/// A name without the mark behind it, and what the mark means.
fn who_told(by: &str) -> (&str, Told) {
    match (by.strip_suffix(BESIDE), by.strip_suffix(MONITOR)) {
        (Some(name), _) => (name, Told::Nobody),
        (_, Some(name)) => (name, Told::Monitor),
        _ => (by, Told::Scenario),
    }
}
