//! Distributes runs to threads, the longest first. So no thread starts the longest case when the
//! others have finished.

use core::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};

use super::{SuiteOptions, Summary, run_options, runs_of, seed_of};
use crate::facts::Facts;
use crate::run::run_with;
use mqttspec_judge::Case;
use mqttspec_judge::results::{CaseResult, RunResult};

/// Runs every case under its seeds; the results are in the order of the cases.
#[expect(
    clippy::disallowed_methods,
    reason = "a thread takes whole runs, and results are put in the order of cases and seeds"
)]
pub(super) fn run_cases(
    cases: &[Case],
    options: &SuiteOptions,
    progress: &mut dyn FnMut(&CaseResult, usize, usize),
) -> Vec<CaseResult> {
    let runs = longest_first(cases, options);
    let gathered: Vec<Mutex<Gathered>> = cases.iter().map(|_| Mutex::default()).collect();
    let next = AtomicUsize::new(0);
    let mut results: Vec<Option<CaseResult>> = cases.iter().map(|_| None).collect();
    std::thread::scope(|scope| {
        let (done, finished) = mpsc::channel();
        for _ in 0..options.jobs.clamp(1, runs.len().max(1)) {
            let (done, next, runs, gathered) = (done.clone(), &next, &runs, &gathered);
            scope.spawn(move || {
                while let Some(run) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let case = &cases[run.case];
                    let result =
                        run_with(case, seed_of(run.number, options), run_options(case, run.number, options));
                    let summary = locked(&gathered[run.case]).add(run.number, result, runs_of(case, options));
                    let Some(summary) = summary else { continue };
                    let result = summary.into_result(case, runs_of(case, options), options);
                    if done.send((run.case, result)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(done);
        for (count, (case, result)) in finished.into_iter().enumerate() {
            progress(&result, count + 1, cases.len());
            results[case] = Some(result);
        }
    });
    results.into_iter().flatten().collect()
}

/// A run of a case.
#[derive(Clone, Copy, Debug)]
struct Run {
    case: usize,
    /// Counted from 0.
    number: u32,
}

fn longest_first(cases: &[Case], options: &SuiteOptions) -> Vec<Run> {
    let mut order: Vec<(u64, usize)> = cases.iter().map(|case| Facts::of(case).length).zip(0..).collect();
    order.sort_by_key(|(length, _)| Reverse(*length));
    let runs = order
        .into_iter()
        .flat_map(|(_, case)| (0..runs_of(&cases[case], options)).map(move |number| Run { case, number }));
    runs.collect()
}

/// The finished runs of a case. They are added to the summary in the order of their seeds.
#[derive(Default)]
struct Gathered {
    summary: Summary,
    /// The number of runs in the summary.
    added: u32,
    /// Runs that finished before an earlier one.
    waiting: BTreeMap<u32, RunResult>,
}

impl Gathered {
    /// Adds a run. Returns the summary if it was the last of `of` runs.
    fn add(&mut self, number: u32, result: RunResult, of: u32) -> Option<Summary> {
        self.waiting.insert(number, result);
        while let Some(result) = self.waiting.remove(&self.added) {
            self.summary.add(result);
            self.added += 1;
        }
        (self.added == of).then(|| std::mem::take(&mut self.summary))
    }
}

fn locked(gathered: &Mutex<Gathered>) -> MutexGuard<'_, Gathered> {
    gathered.lock().unwrap_or_else(PoisonError::into_inner)
}
