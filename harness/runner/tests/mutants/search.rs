//! Searches for proofs. The mutants whose clauses and words match those of a case are tried first.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use mqttspec_codec::Role;
use mqttspec_judge::Case;
use mqttspec_mutants::Mutant;
use mqttspec_spec::Standard;

use crate::proofs::{Check, MutantRun, Proof, Proofs, ReportedBy, in_parallel, run_mutant, unchanged};

/// The largest number of runs for a mutant that no case has detected yet, and for a check.
const MAXIMUM_RUNS: usize = 200;

/// Searches for all proofs. The same scenarios and mutants give the same proofs.
pub(crate) fn search(cases: &[Case]) -> Proofs {
    // A case that fails without a mutant proves nothing.
    let broken =
        in_parallel(cases, |case| (!run_mutant(case, unchanged(case.tests)).passes()).then(|| case.name()));
    let broken: Vec<String> = broken.into_iter().flatten().collect();
    assert!(broken.is_empty(), "these cases fail without a mutant: {broken:#?}");

    let mut proofs = Proofs::none(cases);
    let mut evidence = Evidence::default();

    let mut files: BTreeMap<(Role, &str), Vec<usize>> = BTreeMap::new();
    for (index, case) in cases.iter().enumerate() {
        files.entry((case.tests, &case.file)).or_default().push(index);
    }
    let files: Vec<Vec<usize>> = files.into_values().collect();
    for (of_cases, of_file) in in_parallel(&files, |file| prove_file(file, cases)) {
        for (index, proof) in of_cases {
            proofs.cases[index] = proof;
        }
        evidence.merge(of_file);
    }

    let missing: Vec<&'static Mutant> =
        Mutant::all().filter(|mutant| !evidence.mutants.contains_key(&(mutant.role, mutant.name))).collect();
    for of_mutant in in_parallel(&missing, |mutant| prove_mutant(mutant, cases)) {
        evidence.merge(of_mutant);
    }
    for (key, proof) in &mut proofs.mutants {
        *proof = evidence.mutants.get(key).or_else(|| evidence.by_other_clause.get(key)).cloned();
    }

    let missing: Vec<Check> =
        proofs.checks.keys().filter(|check| !evidence.checks.contains_key(check)).cloned().collect();
    for of_check in in_parallel(&missing, |check| prove_check(check, cases)) {
        evidence.merge(of_check);
    }
    for (check, by) in &mut proofs.checks {
        *by = evidence.checks.get(check).copied();
    }
    proofs
}

/// What the runs so far have shown. The first run counts.
#[derive(Default)]
struct Evidence {
    /// Cases whose failure cites a clause that the mutant breaks, and none that it keeps.
    mutants: BTreeMap<(Role, &'static str), (usize, Proof)>,
    /// Cases whose failure cites a clause that the mutant keeps.
    by_other_clause: BTreeMap<(Role, &'static str), (usize, Proof)>,
    checks: BTreeMap<Check, (usize, &'static str)>,
}

impl Evidence {
    fn record(&mut self, case: &Case, index: usize, mutant: &'static Mutant, run: &MutantRun<'_>) {
        let Some(proof) = run.proof() else { return };
        let key = (mutant.role, mutant.name);
        let argued = proof.unargued(case).is_empty();
        let proved = match proof.reported_by {
            ReportedBy::SetUp | ReportedBy::Monitor | ReportedBy::Scenario if argued => &mut self.mutants,
            _ => &mut self.by_other_clause,
        };
        proved.entry(key).or_insert((index, proof));
        for check in Check::all() {
            if !self.checks.contains_key(&check) && run.reports(&check) {
                self.checks.insert(check, (index, mutant.name));
            }
        }
    }

    fn merge(&mut self, later: Self) {
        for (key, proof) in later.mutants {
            self.mutants.entry(key).or_insert(proof);
        }
        for (key, proof) in later.by_other_clause {
            self.by_other_clause.entry(key).or_insert(proof);
        }
        for (check, by) in later.checks {
            self.checks.entry(check).or_insert(by);
        }
    }
}

/// Finds a mutant for each case of a file. A mutant that proved one row is tried first on the next.
fn prove_file(file: &[usize], cases: &[Case]) -> (Vec<(usize, Option<Proof>)>, Evidence) {
    let mut evidence = Evidence::default();
    let mut used: BTreeSet<&'static str> = BTreeSet::new();
    let mut proofs = Vec::new();
    for index in file {
        let case = &cases[*index];
        let mut order: Vec<(usize, &'static Mutant)> = candidates(case).collect();
        order.sort_by_key(|(relevance, mutant)| Reverse((used.contains(mutant.name), *relevance)));
        let mut proof: Option<Proof> = None;
        for (relevance, mutant) in order {
            if proof.is_some() && relevance == 0 {
                continue;
            }
            let run = run_mutant(case, mutant);
            evidence.record(case, *index, mutant, &run);
            if let Some(this) = run.proof() {
                let rank = this.rank(case);
                if proof.as_ref().is_none_or(|best| best.rank(case) < rank) {
                    proof = Some(this);
                }
                if rank == (ReportedBy::Scenario, true) {
                    used.insert(mutant.name);
                    break;
                }
            }
        }
        proofs.push((*index, proof));
    }
    (proofs, evidence)
}

/// The mutants of the role that a case tests, with their relevance to the case.
fn candidates(case: &Case) -> impl Iterator<Item = (usize, &'static Mutant)> {
    let standard = Standard::of(case.version);
    Mutant::all()
        .filter(move |mutant| mutant.role == case.tests && mutant.applies_to(standard))
        .map(move |mutant| (relevance(case, mutant, standard), mutant))
}

/// Estimates how likely a mutant is to fail a case: by common clauses, of which a row's own come
/// first, then by common words. 0 if there is no sign that it does.
fn relevance(case: &Case, mutant: &Mutant, standard: Standard) -> usize {
    let clauses = case.clauses();
    let direct = clauses.iter().position(|clause| mutant.clauses(standard).contains(&clause.as_str()));
    let by_clause = match direct {
        Some(0) => 40,
        Some(_) => 30,
        None if clauses.iter().any(|clause| mutant.breaks_clause(standard, clause)) => 20,
        None if mutant.breaks_documented_behaviour() => 1,
        None => return 0,
    };
    by_clause + common_words(case, mutant)
}

/// Counts the words that begin alike in a case and a mutant. Those of the file's name count twice.
fn common_words(case: &Case, mutant: &Mutant) -> usize {
    let words = |text: &str| -> BTreeSet<String> {
        let long = text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| word.len() >= 4);
        long.map(|word| word.to_lowercase().chars().take(5).collect()).collect()
    };
    let (of_file, of_title) = (words(&case.file), words(&case.scenario.title));
    let of_mutant = words(&format!("{} {}", mutant.name, mutant.does));
    2 * of_file.intersection(&of_mutant).count() + of_title.intersection(&of_mutant).count()
}

/// Finds a case that detects a mutant, beginning with the cases that cite what it breaks.
fn prove_mutant(mutant: &'static Mutant, cases: &[Case]) -> Evidence {
    let mut evidence = Evidence::default();
    let mut order: Vec<(usize, usize)> = (0..cases.len())
        .filter(|index| cases[*index].tests == mutant.role)
        .filter_map(|index| {
            let standard = Standard::of(cases[index].version);
            mutant.applies_to(standard).then(|| (relevance(&cases[index], mutant, standard), index))
        })
        .collect();
    order.sort_by_key(|(relevance, index)| (Reverse(*relevance), *index));
    for (_, index) in order.into_iter().take(MAXIMUM_RUNS) {
        evidence.record(&cases[index], index, mutant, &run_mutant(&cases[index], mutant));
        if !evidence.mutants.is_empty() {
            break;
        }
    }
    evidence
}

/// Finds a case and a mutant that a check reports, among the mutants that break its clauses.
fn prove_check(check: &Check, cases: &[Case]) -> Evidence {
    let mut evidence = Evidence::default();
    let mut runs: Vec<(usize, usize, &'static Mutant)> = Vec::new();
    // The clause of a malformed packet is the one that the codec names. Any of them will do.
    let clauses: &[&str] = match check {
        Check::Rule(rule) if !rule.clauses.is_empty() => &rule.clauses,
        _ => &["MQTT-3.3.1-4"],
    };
    for (index, case) in cases.iter().enumerate() {
        let standard = Standard::of(case.version);
        for (relevance, mutant) in candidates(case) {
            let fits = match check {
                Check::Delivery(words) => relevance > 0 && case.source.contains(words),
                Check::Rule(rule) => {
                    rule.role == case.tests
                        && rule.standard == standard
                        && clauses.iter().any(|clause| mutant.clauses(standard).contains(clause))
                }
            };
            if fits {
                runs.push((relevance, index, mutant));
            }
        }
    }
    runs.sort_by_key(|(relevance, index, _)| (Reverse(*relevance), *index));
    for (_, index, mutant) in runs.into_iter().take(MAXIMUM_RUNS) {
        evidence.record(&cases[index], index, mutant, &run_mutant(&cases[index], mutant));
        if evidence.checks.contains_key(check) {
            break;
        }
    }
    evidence
}
