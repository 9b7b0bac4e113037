//! Measures how many mutants a campaign finds.

use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use mqttspec_codec::Role;
use mqttspec_mutants::Mutant;
use mqttspec_spec::role_word;

use crate::campaign::{Campaign, Options, explore};
use crate::reasons::reason;
use crate::shape::Shape;
use crate::shrink::Limits;

/// The result of a campaign against one mutant.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The mutant.
    pub mutant: &'static Mutant,
    /// The number of runs until the first finding, and the finding; `None` if there is none.
    pub first: Option<(u64, Shape)>,
}

/// Runs a campaign against each mutant of the role, until its first finding. The mutants are spread
/// over the threads; `done` gets each result, in no particular order.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "a thread takes whole campaigns, sorted by mutant afterwards")]
pub fn measure(options: &Options, done: &(dyn Fn(&Measured) + Sync)) -> Vec<Measured> {
    let mutants: Vec<&'static Mutant> = Mutant::all().filter(|mutant| mutant.role == options.tests).collect();
    let (next, measured) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..options.jobs.max(1) {
            scope.spawn(|| {
                while let Some((number, mutant)) = numbered(&mutants, next.fetch_add(1, Ordering::Relaxed)) {
                    let of_mutant = Measured { mutant, first: first_finding(mutant, options) };
                    done(&of_mutant);
                    if let Ok(mut measured) = measured.lock() {
                        measured.push((number, of_mutant));
                    }
                }
            });
        }
    });
    let mut measured = measured.into_inner().unwrap_or_default();
    measured.sort_by_key(|(number, _)| *number);
    measured.into_iter().map(|(_, of_mutant)| of_mutant).collect()
}

fn numbered(mutants: &[&'static Mutant], number: usize) -> Option<(usize, &'static Mutant)> {
    mutants.get(number).map(|mutant| (number, *mutant))
}

fn first_finding(mutant: &'static Mutant, options: &Options) -> Option<(u64, Shape)> {
    let options = Options { mutant: Some(mutant), jobs: 1, limits: Limits { runs: 0 }, ..options.clone() };
    let (stop, mut first) = (AtomicBool::new(false), None);
    explore(&options, Campaign::default(), &stop, &mut |progress| {
        // A run that breaks off says nothing about a clause.
        let found = progress.found.filter(|found| !found.shape.clauses.is_empty());
        if let (Some(found), None) = (found, &first) {
            first = Some((progress.campaign.runs, found.shape.clone()));
            stop.store(true, Ordering::Relaxed);
        }
    });
    first
}

/// The page with a table for each role.
#[must_use]
pub fn page(command: &str, roles: &[(Role, Vec<Measured>)]) -> String {
    let mut text = format!(
        "# Mutants that a campaign finds\n\nA mutant (`harness/mutants`) makes a reference peer faulty. The runs are \
         generated: no scenario that a\nperson wrote takes part. The scenarios of this project find every \
         mutant, also those that are not\nfound here: `scenarios/PROVED.md` names a case for each, and \
         `cargo test -p mqttspec-runner --test mutants`\nfails if one has none.\n\n    {command}\n\n"
    );
    for (role, measured) in roles {
        let found = measured.iter().filter(|measured| measured.first.is_some()).count();
        let (all, role) = (measured.len(), role_word(*role));
        let percent = found * 100 / all.max(1);
        let _ = writeln!(text, "- {found} of {all} mutants of the {role} are found: {percent} %.");
    }
    for (role, measured) in roles {
        let role = role_word(*role);
        let _ = write!(text, "\n## Mutants of the {role} that are found\n\n");
        text.push_str("| mutant | what it does | runs | found by | clauses |\n|---|---|---|---|---|\n");
        for Measured { mutant, first } in measured {
            if let Some((runs, shape)) = first {
                let (check, clauses) = (&shape.check, shape.clauses.join(" "));
                let _ =
                    writeln!(text, "| {} | {} | {runs} | {check} | {clauses} |", mutant.name, mutant.does);
            }
        }
        let _ = write!(text, "\n## Mutants of the {role} that are not found\n\n");
        text.push_str("| mutant | what it does | why it is not found |\n|---|---|---|\n");
        for Measured { mutant, .. } in measured.iter().filter(|measured| measured.first.is_none()) {
            let reason = reason(mutant.role, mutant.name).unwrap_or("more runs are needed");
            let _ = writeln!(text, "| {} | {} | {reason} |", mutant.name, mutant.does);
        }
    }
    text
}
