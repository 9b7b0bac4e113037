//! Looks for the proofs: plays cases with the defects that are about the same first.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use mqttspec_codec::Role;
use mqttspec_judge::Case;
use mqttspec_mutants::Defect;
use mqttspec_spec::Standard;

use crate::proofs::{Check, HONEST, Played, Proof, Proofs, Told, in_parallel, play};

/// How many cases are played for a defect that no other search found, and for a check.
const PATIENCE: usize = 200;

/// Looks for all proofs. The same scenarios and defects give the same proofs.
pub(crate) fn search(cases: &[Case]) -> Proofs {
    // What fails anyway proves nothing.
    let broken = in_parallel(cases, |case| {
        let honest = if case.tests == Role::Server { &HONEST[0] } else { &HONEST[1] };
        (!play(case, honest).passes()).then(|| case.name())
    });
    let broken: Vec<String> = broken.into_iter().flatten().collect();
    assert!(broken.is_empty(), "these fail without a defect: {broken:#?}");

    let mut proofs = Proofs::none(cases);
    let mut seen = Seen::default();

    let mut files: BTreeMap<(Role, &str), Vec<usize>> = BTreeMap::new();
    for (index, case) in cases.iter().enumerate() {
        files.entry((case.tests, &case.file)).or_default().push(index);
    }
    let files: Vec<Vec<usize>> = files.into_values().collect();
    for (found, of_file) in in_parallel(&files, |file| prove_file(file, cases)) {
        for (index, proof) in found {
            proofs.cases[index] = proof;
        }
        seen.add(of_file);
    }

    let missing: Vec<&'static Defect> =
        Defect::all().filter(|defect| !seen.defects.contains_key(&(defect.side, defect.name))).collect();
    for of_defect in in_parallel(&missing, |defect| find(defect, cases)) {
        seen.add(of_defect);
    }
    for (key, found) in &mut proofs.defects {
        *found = seen.defects.get(key).or_else(|| seen.beside.get(key)).cloned();
    }

    let missing: Vec<Check> =
        proofs.checks.keys().filter(|check| !seen.checks.contains_key(check)).cloned().collect();
    for of_check in in_parallel(&missing, |check| report(check, cases)) {
        seen.add(of_check);
    }
    for (check, by) in &mut proofs.checks {
        *by = seen.checks.get(check).copied();
    }
    proofs
}

/// What was seen in plays, the first of each.
#[derive(Default)]
struct Seen {
    /// Cases whose failure cites what the defect breaks.
    defects: BTreeMap<(Role, &'static str), (usize, Proof)>,
    /// Cases whose failure cites something else.
    beside: BTreeMap<(Role, &'static str), (usize, Proof)>,
    checks: BTreeMap<Check, (usize, &'static str)>,
}

impl Seen {
    fn note(&mut self, index: usize, defect: &'static Defect, played: &Played<'_>) {
        let Some(proof) = played.proof() else { return };
        let key = (defect.side, defect.name);
        let into = if proof.told == Told::Nobody { &mut self.beside } else { &mut self.defects };
        into.entry(key).or_insert((index, proof));
        for check in Check::all() {
            if !self.checks.contains_key(&check) && played.shows(&check) {
                self.checks.insert(check, (index, defect.name));
            }
        }
    }

    fn add(&mut self, later: Self) {
        for (key, found) in later.defects {
            self.defects.entry(key).or_insert(found);
        }
        for (key, found) in later.beside {
            self.beside.entry(key).or_insert(found);
        }
        for (check, by) in later.checks {
            self.checks.entry(check).or_insert(by);
        }
    }
}

/// A defect for each case of a file. What fails one row is tried first on the next.
fn prove_file(file: &[usize], cases: &[Case]) -> (Vec<(usize, Option<Proof>)>, Seen) {
    let mut seen = Seen::default();
    let mut used: BTreeSet<&'static str> = BTreeSet::new();
    let mut found = Vec::new();
    for index in file {
        let case = &cases[*index];
        let mut order: Vec<(usize, &'static Defect)> = candidates(case).collect();
        order.sort_by_key(|(about, defect)| Reverse((used.contains(defect.name), *about)));
        let mut proof: Option<Proof> = None;
        for (about, defect) in order {
            if proof.is_some() && about == 0 {
                continue;
            }
            let played = play(case, defect);
            seen.note(*index, defect, &played);
            if let Some(this) = played.proof() {
                let told = this.told;
                if proof.as_ref().is_none_or(|best| best.told < told) {
                    proof = Some(this);
                }
                if told == Told::Scenario {
                    used.insert(defect.name);
                    break;
                }
            }
        }
        found.push((*index, proof));
    }
    (found, seen)
}

/// The defects of the side that a case tests, with how much they are about the same; 0 where nothing tells that they are.
fn candidates(case: &Case) -> impl Iterator<Item = (usize, &'static Defect)> {
    let standard = Standard::of(case.version);
    Defect::all()
        .filter(move |defect| {
            defect.side == case.tests && standard.is_some_and(|standard| defect.is_one_in(standard))
        })
        .map(move |defect| (standard.map_or(0, |standard| about(case, defect, standard)), defect))
}

/// How much a case and a defect are about the same: by the clauses, the first of which are those of the row, and by the beginnings of words.
fn about(case: &Case, defect: &Defect, standard: Standard) -> usize {
    let clauses = case.clauses();
    let direct = clauses.iter().position(|clause| defect.clauses(standard).contains(&clause.as_str()));
    let by_clause = match direct {
        Some(0) => 40,
        Some(_) => 30,
        None if clauses.iter().any(|clause| defect.breaks_clause(standard, clause)) => 20,
        None if defect.breaks_a_promise() => 1,
        None => return 0,
    };
    by_clause + words(case, defect)
}

fn words(case: &Case, defect: &Defect) -> usize {
    let words = |text: &str| -> BTreeSet<String> {
        let long = text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| word.len() >= 4);
        long.map(|word| word.to_lowercase().chars().take(5).collect()).collect()
    };
    let (of_file, of_title) = (words(&case.file), words(&case.scenario.title));
    let of_defect = words(&format!("{} {}", defect.name, defect.does));
    2 * of_file.intersection(&of_defect).count() + of_title.intersection(&of_defect).count()
}

/// A case that finds a defect: one that cites what it breaks, or else any.
fn find(defect: &'static Defect, cases: &[Case]) -> Seen {
    let mut seen = Seen::default();
    let mut order: Vec<(usize, usize)> = (0..cases.len())
        .filter(|index| cases[*index].tests == defect.side)
        .filter_map(|index| {
            let standard =
                Standard::of(cases[index].version).filter(|standard| defect.is_one_in(*standard))?;
            Some((about(&cases[index], defect, standard), index))
        })
        .collect();
    order.sort_by_key(|(about, index)| (Reverse(*about), *index));
    for (_, index) in order.into_iter().take(PATIENCE) {
        seen.note(index, defect, &play(&cases[index], defect));
        if !seen.defects.is_empty() {
            break;
        }
    }
    seen
}

/// A case in which a check reports something: with the defects that break its clauses, in the cases that are about them.
fn report(check: &Check, cases: &[Case]) -> Seen {
    let mut seen = Seen::default();
    let mut plays: Vec<(usize, usize, &'static Defect)> = Vec::new();
    // A malformed packet has the clause that the codec names: this one is as good as any.
    let clauses: &[&str] = match check {
        Check::Rule(rule) if !rule.clauses.is_empty() => &rule.clauses,
        _ => &["MQTT-3.3.1-4"],
    };
    for (index, case) in cases.iter().enumerate() {
        let Some(standard) = Standard::of(case.version) else { continue };
        for (about, defect) in candidates(case) {
            let fits = match check {
                Check::Property(words) => about > 0 && case.source.contains(words),
                Check::Rule(rule) => {
                    rule.side == case.tests
                        && rule.standard == standard
                        && clauses.iter().any(|clause| defect.clauses(standard).contains(clause))
                }
            };
            if fits {
                plays.push((about, index, defect));
            }
        }
    }
    plays.sort_by_key(|(about, index, _)| (Reverse(*about), *index));
    for (_, index, defect) in plays.into_iter().take(PATIENCE) {
        seen.note(index, defect, &play(&cases[index], defect));
        if seen.checks.contains_key(check) {
            break;
        }
    }
    seen
}
