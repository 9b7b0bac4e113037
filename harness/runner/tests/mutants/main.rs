//! Proves the checks with mutants: a mutant fails every case of every scenario, a case detects
//! every mutant and cites a clause that it breaks, the failures blame no clause that the mutant
//! keeps, every monitor rule and every delivery check reports a mutant, and every case passes with
//! the mutant that changes nothing.
//!
//! `scenarios/PROVED.md` lists the proofs. Without `UPDATE` they are run again. `UPDATE=1 cargo
//! test -p mqttspec-runner --test mutants` searches for proofs and writes the page. The page also
//! lists and counts what has no proof, so that no entry can appear or vanish unnoticed.

mod blame;
mod page;
mod proofs;
mod search;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use mqttspec_codec::Version;
use mqttspec_judge::Case;
use mqttspec_judge::verdict::Verdict;
use mqttspec_mutants::Mutant;
use mqttspec_runner::suite::{Selection, plan, read_folder};

use proofs::{Proof, Proofs, ReportedBy, run_mutant};

fn cases() -> Vec<Case> {
    let sources = read_folder(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../scenarios")))
        .expect("the scenarios can be read");
    let of_3_1 = Selection { version: Some(Version::V3_1), ..Selection::default() };
    let mut cases = Vec::new();
    for selection in [Selection::default(), of_3_1] {
        let plan = plan(&sources, &selection);
        assert!(plan.errors.is_empty(), "{:#?}", plan.errors);
        cases.extend(plan.cases);
    }
    // The cases of a file are proved together.
    cases.sort_by(|one, other| one.file.cmp(&other.file));
    cases
}

fn document() -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../scenarios")).join("PROVED.md")
}

#[test]
fn proved_md_is_true() {
    let cases = cases();
    if std::env::var_os("UPDATE").is_some() {
        let text = page::render(&search::search(&cases), &cases);
        fs::write(document(), text).expect("the page can be written");
    }
    let text = fs::read_to_string(document()).expect("the page can be read");
    let proofs = page::read(&text, &cases);
    let rendered = page::render(&proofs, &cases);
    assert!(
        rendered == text,
        "PROVED.md does not match the scenarios and mutants (first line that differs: {:?}). \
         UPDATE=1 writes it again",
        rendered.lines().zip(text.lines()).find(|(one, other)| one != other)
    );
    let missed = missed(&proofs);
    assert!(missed.is_empty(), "no scenario finds these mutants, or none cites a clause: {missed:?}");
    let invalid = invalid(&proofs, &cases);
    assert!(
        invalid.is_empty(),
        "{invalid}\nUPDATE=1 searches for other mutants; a check without any needs a new mutant"
    );
}

/// The mutants that no case detects. One that breaks a clause of the standard must be found by a
/// failure that cites one of its clauses. The proofs are made without the history model, which can
/// only add findings, so all of these mutants are found with the model too.
fn missed(proofs: &Proofs) -> Vec<&'static str> {
    let is_found = |mutant: &&'static Mutant| {
        let proof = proofs.mutants.get(&(mutant.role, mutant.name)).and_then(Option::as_ref);
        let enough =
            if mutant.breaks_documented_behaviour() { ReportedBy::SetUp } else { ReportedBy::Monitor };
        proof.is_some_and(|(_, proof)| proof.reported_by >= enough)
    };
    Mutant::all().filter(|mutant| !is_found(mutant)).map(|mutant| mutant.name).collect()
}

/// The proofs that no longer hold, one line each.
fn invalid(proofs: &Proofs, cases: &[Case]) -> String {
    let of_cases =
        proofs.cases.iter().enumerate().filter_map(|(index, proof)| Some((index, proof.as_ref()?)));
    let of_mutants = proofs.mutants.values().flatten().map(|(index, proof)| (*index, proof));
    let expected: Vec<(usize, &Proof)> = of_cases.chain(of_mutants).collect();
    let changed = proofs::in_parallel(&expected, |(index, proof)| {
        let case = &cases[*index];
        let mutant = Mutant::named(proof.mutant, case.tests)?;
        let now = run_mutant(case, mutant).proof();
        (now.as_ref() != Some(*proof)).then(|| match now {
            None => format!("{} does not fail with {}", case.name(), proof.mutant),
            Some(now) => {
                format!(
                    "{} fails with {} citing other clauses: {now:?}, not {proof:?}",
                    case.name(),
                    proof.mutant
                )
            }
        })
    });
    let checks: Vec<_> = proofs.checks.iter().filter_map(|(check, by)| Some((check, by.as_ref()?))).collect();
    let silent = proofs::in_parallel(&checks, |(check, (index, mutant))| {
        let case = &cases[*index];
        let reported =
            Mutant::named(mutant, case.tests).is_some_and(|mutant| run_mutant(case, mutant).reports(check));
        (!reported).then(|| format!("{check} does not report {mutant} in {}", case.name()))
    });
    let unargued = expected.iter().filter_map(|(index, proof)| {
        let (case, unargued) = (&cases[*index], proof.unargued(&cases[*index]));
        (!unargued.is_empty()).then(|| {
            format!(
                "{} with {} blames what the mutant keeps: {}",
                case.name(),
                proof.mutant,
                unargued.join(" ")
            )
        })
    });
    let unargued: Vec<String> = unargued.collect();
    changed.into_iter().chain(silent).flatten().chain(unargued).collect::<Vec<String>>().join("\n")
}

#[test]
fn every_case_passes_unchanged() {
    let mut failed = String::new();
    let mut seen = BTreeSet::new();
    // One case per file, without the one that sends 65,600 messages: other tests show that the
    // broker is right, this one is about the middleware.
    let first = |case: &Case| !case.file.contains("/wraps-") && seen.insert((case.file.clone(), case.tests));
    for case in cases().into_iter().filter(first) {
        let result = proofs::run_once(&case, proofs::unchanged(case.tests), 0);
        if result.verdict != Verdict::Pass {
            let _ = writeln!(failed, "{} {} {}", result.verdict, case.name(), result.reason);
            for finding in result.failures.iter().map(|reported| &reported.finding) {
                let _ =
                    writeln!(failed, "  line {}: {} but {}", finding.line, finding.expected, finding.actual);
            }
        }
    }
    assert!(failed.is_empty(), "{failed}");
}
