//! Every case with every mutant: which clauses are blamed although the mutant keeps them, and does not
//! argue for them. PROVED.md has one failure of each case; here are all of them. Most are messages that
//! arrive changed, late or not at all: the line cannot say which of its clauses that breaks.
//!
//! `cargo test --release -p mqttspec-runner --test mutants -- --ignored blamed` takes half an hour on
//! two cores, because it makes some hundred thousand runs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use mqttspec_mutants::Mutant;
use mqttspec_spec::Standard;

use crate::cases;
use crate::proofs::{in_parallel, run_mutant};

/// The clauses that were blamed wrongly, each counted once for each mutant and case, when this was last
/// measured. The number must only fall.
const KNOWN: usize = 4_323;

#[test]
#[ignore = "it takes half an hour"]
fn not_more_clauses_are_blamed_wrongly_than_before() {
    let cases = cases();
    let mutants: Vec<&'static Mutant> = Mutant::all().collect();
    let blamed = in_parallel(&mutants, |mutant| {
        let mut blamed: Vec<(String, String)> = Vec::new();
        for case in cases.iter().filter(|case| case.tests == mutant.role) {
            let standard = Standard::of(case.version);
            if !mutant.applies_to(standard) {
                continue;
            }
            let Some(proof) = run_mutant(case, mutant).proof() else { continue };
            let kept = proof.blamed.iter().filter(|clause| !mutant.may_be_blamed_for(standard, clause));
            blamed.extend(kept.map(|clause| (format!("{standard} {clause}"), case.name())));
        }
        blamed
    });
    let mut by_clause: BTreeMap<(String, &str), Vec<String>> = BTreeMap::new();
    for (mutant, blamed) in mutants.iter().zip(blamed) {
        for (clause, case) in blamed {
            by_clause.entry((clause, mutant.name)).or_default().push(case);
        }
    }
    let (mut wrong, mut count) = (String::new(), 0);
    for ((clause, mutant), cases) in by_clause {
        count += cases.len();
        let _ = writeln!(wrong, "{clause} {mutant}: {}", cases.join(", "));
    }
    assert!(count <= KNOWN, "{count} clauses are blamed wrongly, and {KNOWN} were:\n{wrong}");
}
