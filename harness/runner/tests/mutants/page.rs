//! Writes `PROVED.md` and reads it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use mqttspec_codec::Role;
use mqttspec_judge::Case;
use mqttspec_mutants::Mutant;
use mqttspec_spec::Standard;

use crate::proofs::{Check, Proof, Proofs, ReportedBy};

const HEAD: &str = "\
# Proofs of the checks

A check that has never failed proves nothing. A mutant (`harness/mutants/src`) is middleware that makes a reference peer faulty. This page lists

- for each case, that is each scenario, version and row of its table, a mutant that makes it fail;
- for each mutant, a case that detects it;
- for each monitor rule and each delivery check, a mutant that it reports.

Anything without a proof is listed as **none**. The clauses blamed are those that the failure cites. Each is a clause that the mutant breaks, or
the mutant says why it is cited all the same. `cargo test` runs every proof again.

Generated: `UPDATE=1 cargo test -p mqttspec-runner --test mutants`.
";

const NONE: &str = "**none**";
const OTHER_CLAUSE: &str = " (other clause)";
const MONITOR: &str = " (monitor)";
const SET_UP: &str = " (set-up)";

/// The page.
pub(crate) fn render(proofs: &Proofs, cases: &[Case]) -> String {
    let mut text = HEAD.to_owned();
    render_counts(&mut text, proofs);
    for side in [Role::Server, Role::Client] {
        render_cases(&mut text, side, proofs, cases);
    }
    let _ = writeln!(text, "\n## Monitors and delivery checks\n");
    let _ = writeln!(text, "| check | clauses | role | version | mutant | case |\n|---|---|---|---|---|---|");
    for (check, by) in &proofs.checks {
        let by = match by {
            Some((index, mutant)) => format!("{mutant} | {}", cases[*index].name()),
            None => format!("{NONE} | "),
        };
        let _ = writeln!(text, "| {check} | {by} |");
    }
    let _ = writeln!(text, "\n## Mutants\n");
    let _ = writeln!(
        text,
        "| role | mutant | what it does | clauses of 5.0 | clauses of 3.1.1 | detected by | clauses blamed |\n|---|---|---|---|---|---|---|"
    );
    for mutant in Mutant::all() {
        let found = match proofs.mutants.get(&(mutant.role, mutant.name)).and_then(Option::as_ref) {
            Some((index, proof)) => {
                format!("{}{} | {}", cases[*index].name(), mark(proof), proof.blamed.join(" "))
            }
            None => format!("{NONE} | "),
        };
        let breaks = |standard| {
            let mut clauses = mutant.clauses(standard).join(" ");
            if mutant.accepts_violations() {
                clauses += ", and every clause that it must enforce";
            }
            if mutant.breaks_documented_behaviour() {
                clauses += match mutant.role {
                    Role::Server => "documented behaviour of the reference broker",
                    Role::Client => "documented behaviour of the reference client",
                };
            }
            clauses
        };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {found} |",
            mqttspec_spec::role_word(mutant.role),
            mutant.name,
            mutant.does,
            breaks(Standard::V5),
            breaks(Standard::V3_1_1)
        );
    }
    render_arguments(&mut text);
    text
}

/// Why a failure may cite clauses that a mutant keeps.
fn render_arguments(text: &mut String) {
    let _ = writeln!(
        text,
        "\n## Clauses that are blamed although the mutant keeps them\n\n| role | mutant | version | clauses | why |\n|---|---|---|---|---|"
    );
    for mutant in Mutant::all() {
        for (standard, clauses, why) in mutant.arguments() {
            let (role, name) = (mqttspec_spec::role_word(mutant.role), mutant.name);
            let _ = writeln!(text, "| {role} | {name} | {standard} | {} | {why} |", clauses.join(" "));
        }
    }
}

fn render_counts(text: &mut String, proofs: &Proofs) {
    let _ = writeln!(
        text,
        "\n| | total | reported by the scenario | only by a monitor | only by set-up | only other clauses are cited | no proof |\n|---|---|---|---|---|---|---|"
    );
    let of_cases: Vec<Option<ReportedBy>> =
        proofs.cases.iter().map(|proof| proof.as_ref().map(|proof| proof.reported_by)).collect();
    let of_mutants: Vec<Option<ReportedBy>> =
        proofs.mutants.values().map(|found| found.as_ref().map(|(_, proof)| proof.reported_by)).collect();
    for (what, reported_by) in [("cases", of_cases), ("mutants", of_mutants)] {
        let count = |wanted: Option<ReportedBy>| {
            reported_by.iter().filter(|reported_by| **reported_by == wanted).count()
        };
        let _ = writeln!(
            text,
            "| {what} | {} | {} | {} | {} | {} | {} |",
            reported_by.len(),
            count(Some(ReportedBy::Scenario)),
            count(Some(ReportedBy::Monitor)),
            count(Some(ReportedBy::SetUp)),
            count(Some(ReportedBy::OtherClause)),
            count(None)
        );
    }
    let delivery_checks = proofs.checks.iter().filter(|(check, _)| matches!(check, Check::Delivery(_)));
    let (mut proved, mut all) = (0, 0);
    for (_, by) in delivery_checks {
        all += 1;
        proved += usize::from(by.is_some());
    }
    let _ = writeln!(text, "| delivery checks | {all} | {proved} | | | | {} |", all - proved);
    let (all, proved) = (proofs.checks.len() - all, proofs.checks.values().flatten().count() - proved);
    let _ = writeln!(text, "| monitor rules | {all} | | {proved} | | | {} |", all - proved);
}

fn mark(proof: &Proof) -> &'static str {
    mark_of(proof.reported_by)
}

fn mark_of(reported_by: ReportedBy) -> &'static str {
    match reported_by {
        ReportedBy::Scenario => "",
        ReportedBy::Monitor => MONITOR,
        ReportedBy::OtherClause => OTHER_CLAUSE,
        ReportedBy::SetUp => SET_UP,
    }
}

/// A file, a version and the mutant that makes it fail.
type Line<'a> = (&'a str, String, String);

/// One line for each file, mutant and set of rows; versions share a line.
fn render_cases(text: &mut String, side: Role, proofs: &Proofs, cases: &[Case]) {
    let _ = writeln!(
        text,
        "\n## Scenarios that test a {}\n\n| scenario | versions | rows | fails with | clauses blamed |\n|---|---|---|---|---|",
        mqttspec_spec::role_word(side)
    );
    // The rows of each file, version and proof, in the order of the suite.
    let mut of_version: Vec<(Line<'_>, Vec<&str>)> = Vec::new();
    for (case, proof) in cases.iter().zip(&proofs.cases).filter(|(case, _)| case.tests == side) {
        let by = proof.as_ref().map_or_else(
            || format!("{NONE} | "),
            |proof| format!("{}{} | {}", proof.mutant, mark(proof), proof.blamed.join(" ")),
        );
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

/// The proofs on a page, without those that name a scenario or mutant that does not exist.
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
            [file, versions, rows, by, blamed] if file.ends_with(".mqtt") => {
                for (version, side) in versions
                    .split(' ')
                    .flat_map(|version| [Role::Server, Role::Client].map(|side| (version, side)))
                {
                    for row in rows.split(' ') {
                        let place = by_place.get(&(side, *file, version.to_owned(), row));
                        if let (Some(index), Some(proof)) = (place, proof(by, blamed, side)) {
                            proofs.cases[*index] = Some(proof);
                        }
                    }
                }
            }
            [check @ .., by, case] if checks.contains_key(&check.join(" | ")) => {
                let found = by_name
                    .get(*case)
                    .and_then(|index| Some((*index, Mutant::named(by, cases[*index].tests)?.name)));
                if let Some(known) = proofs.checks.get_mut(&checks[&check.join(" | ")]) {
                    *known = found;
                }
            }
            [_, name, _, _, _, found, blamed] => {
                let (case, reported_by) = split_mark(found);
                let index = by_name.get(case);
                let mutant = index.and_then(|index| Mutant::named(name, cases[*index].tests));
                if let (Some(index), Some(mutant)) = (index, mutant) {
                    let proof = Proof { mutant: mutant.name, reported_by, blamed: clauses(blamed) };
                    proofs.mutants.insert((mutant.role, mutant.name), Some((*index, proof)));
                }
            }
            _ => {}
        }
    }
    proofs
}

fn proof(by: &str, blamed: &str, side: Role) -> Option<Proof> {
    let (name, reported_by) = split_mark(by);
    Some(Proof { mutant: Mutant::named(name, side)?.name, reported_by, blamed: clauses(blamed) })
}

fn clauses(cell: &str) -> Vec<String> {
    cell.split_whitespace().map(str::to_owned).collect()
}

/// Splits a name from its mark, and gives the meaning of the mark.
fn split_mark(by: &str) -> (&str, ReportedBy) {
    let marks = [ReportedBy::OtherClause, ReportedBy::SetUp, ReportedBy::Monitor];
    let marked = marks
        .into_iter()
        .find_map(|reported_by| by.strip_suffix(mark_of(reported_by)).map(|name| (name, reported_by)));
    marked.unwrap_or((by, ReportedBy::Scenario))
}
