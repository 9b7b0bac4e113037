//! The tests are tested: every case of every scenario is failed by a defect, every defect is found by a case, every rule of the monitors and every
//! end-of-run property has been seen to report one, and behind a liar that changes nothing all pass.
//!
//! `PROVED.md` tells which defect fails which case. `UPDATE=1 cargo test -p mqttspec-runner --test mutants` looks for the defects and writes it;
//! without `UPDATE` they are played again. What has no proof is on the page too, and counted: nothing joins or leaves it unnoticed.

mod page;
mod proofs;
mod search;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use mqttspec_judge::Case;
use mqttspec_judge::verdict::Verdict;
use mqttspec_mutants::Defect;
use mqttspec_runner::suite::{Selection, plan, read_folder};

use proofs::{Proof, Proofs, play};

fn cases() -> Vec<Case> {
    let sources = read_folder(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../scenarios")))
        .expect("the scenarios can be read");
    let plan = plan(&sources, &Selection::default());
    assert!(plan.errors.is_empty(), "{:#?}", plan.errors);
    plan.cases
}

fn document() -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../scenarios")).join("PROVED.md")
}

#[test]
fn the_page_of_proofs_is_true() {
    let cases = cases();
    if std::env::var_os("UPDATE").is_some() {
        let text = page::render(&search::search(&cases), &cases);
        fs::write(document(), text).expect("the page can be written");
    }
    let text = fs::read_to_string(document()).expect("the page is there");
    let found = page::read(&text, &cases);
    let same = page::render(&found, &cases);
    assert!(
        same == text,
        "PROVED.md does not fit the scenarios and defects that there are (the first line that differs: {:?}). \
         UPDATE=1 writes it anew",
        same.lines().zip(text.lines()).find(|(one, other)| one != other)
    );
    let wrong = lost(&found, &cases);
    assert!(wrong.is_empty(), "{wrong}\nUPDATE=1 looks for other defects; a check without one needs one");
}

/// The proofs that hold no longer, a line each.
fn lost(proofs: &Proofs, cases: &[Case]) -> String {
    let of_cases =
        proofs.cases.iter().enumerate().filter_map(|(index, proof)| Some((index, proof.as_ref()?)));
    let of_defects = proofs.defects.values().flatten().map(|(index, proof)| (*index, proof));
    let wanted: Vec<(usize, &Proof)> = of_cases.chain(of_defects).collect();
    let plays = proofs::in_parallel(&wanted, |(index, proof)| {
        let case = &cases[*index];
        let defect = Defect::named(proof.defect, case.tests)?;
        let now = play(case, defect).proof();
        (now.as_ref() != Some(*proof)).then(|| match now {
            None => format!("{} is not failed by {}", case.name(), proof.defect),
            Some(now) => {
                format!(
                    "{} is failed by {} with other clauses: {now:?} was {proof:?}",
                    case.name(),
                    proof.defect
                )
            }
        })
    });
    let checks: Vec<_> = proofs.checks.iter().filter_map(|(check, by)| Some((check, by.as_ref()?))).collect();
    let reports = proofs::in_parallel(&checks, |(check, (index, defect))| {
        let case = &cases[*index];
        let reported =
            Defect::named(defect, case.tests).is_some_and(|defect| play(case, defect).shows(check));
        (!reported).then(|| format!("{check} reports nothing of {defect} in {}", case.name()))
    });
    plays.into_iter().chain(reports).flatten().collect::<Vec<String>>().join("\n")
}

#[test]
fn behind_a_liar_that_changes_nothing_all_pass() {
    let mut wrong = String::new();
    let mut seen = BTreeSet::new();
    // One case a file, and not the one of 65,600 messages: that the broker is right is shown elsewhere, this is about the liar's place.
    let first = |case: &Case| !case.file.contains("/wraps-") && seen.insert((case.file.clone(), case.tests));
    for case in cases().into_iter().filter(first) {
        let honest =
            proofs::HONEST.iter().find(|defect| defect.side == case.tests).expect("one for each side");
        let result = proofs::play_once(&case, honest, 0);
        if result.verdict != Verdict::Pass {
            let _ = writeln!(wrong, "{} {} {}", result.verdict, case.name(), result.reason);
            for finding in result.failures.iter().map(|reported| &reported.finding) {
                let _ =
                    writeln!(wrong, "  line {}: {} but {}", finding.line, finding.expected, finding.actual);
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
