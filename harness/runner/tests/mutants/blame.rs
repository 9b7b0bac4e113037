//! Every case with every mutant: no failure blames a clause that the mutant keeps, unless the mutant
//! argues for it. `cargo test --release -p mqttspec-runner --test mutants -- --ignored blames` takes
//! some ten minutes, because it makes some hundred thousand runs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use mqttspec_mutants::Mutant;
use mqttspec_spec::Standard;

use crate::cases;
use crate::proofs::{in_parallel, run_mutant};

#[test]
#[ignore = "it takes some ten minutes"]
fn no_failure_blames_a_clause_that_its_mutant_keeps() {
    let cases = cases();
    let mutants: Vec<&'static Mutant> = Mutant::all().collect();
    let blamed = in_parallel(&mutants, |mutant| {
        let mut blamed: Vec<(String, String)> = Vec::new();
        for case in cases.iter().filter(|case| case.tests == mutant.role) {
            let Some(standard) = Standard::of(case.version).filter(|of| mutant.applies_to(*of)) else {
                continue;
            };
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
    let mut wrong = String::new();
    for ((clause, mutant), cases) in by_clause {
        let _ = writeln!(wrong, "{clause} {mutant}: {}", cases.join(", "));
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}
