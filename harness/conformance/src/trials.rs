//! Each case as a test of libtest-mimic.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use mqttspec_codec::Role;
use mqttspec_judge::Case;
use mqttspec_judge::results::{CaseResult, FORMAT, SuiteResult, Target};
use mqttspec_judge::verdict::Verdict;
use mqttspec_reports::baseline::{Baseline, BaselineError};
use mqttspec_reports::{terminal, write};
use mqttspec_runner::hosted::{HostedPeer, remember_panics};
use mqttspec_runner::hosted_target::{HostedTarget, firsts_that_differ};
use mqttspec_runner::suite::{KeepTrace, Plan, Selection, Source, SuiteOptions, plan, read_folder};

use crate::settings::{Settings, repeat_command};

/// The width of the text of a failure.
const WIDTH: u16 = 100;

/// Why no test can be run.
#[derive(Debug, thiserror::Error)]
enum CannotRun {
    #[error("cannot read the scenarios: {0}")]
    Scenarios(#[source] io::Error),
    #[error("no scenario matches {0}")]
    NoMatch(String),
    #[error("cannot read the known failures in {0}: {1}")]
    Known(String, #[source] io::Error),
    #[error("{0}: {1}")]
    Baseline(String, #[source] BaselineError),
}

/// Runs the tests that the arguments of the process select.
pub(crate) fn run(peer: HostedPeer, settings: Settings) -> ExitCode {
    let arguments = Arguments::from_args();
    let suite = match Suite::new(peer, settings) {
        Ok(suite) => suite,
        Err(error) => {
            // Nothing can be done if standard error is closed.
            let _ = writeln!(io::stderr(), "error: {error}");
            return ExitCode::from(2);
        }
    };
    remember_panics();
    let (suite, trials) = suite.trials();
    let conclusion = libtest_mimic::run(&arguments, trials);
    if arguments.list {
        return conclusion.exit_code();
    }
    match suite.finish() {
        Ok(()) => conclusion.exit_code(),
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::from(2)
        }
    }
}

/// The tests of one process, and what they share.
struct Suite {
    peer: HostedPeer,
    settings: Settings,
    plan: Plan,
    known: Baseline,
    /// The peer after the probes, and why it did not answer them.
    target: OnceLock<(HostedTarget, Result<(), String>)>,
    results: Mutex<BTreeMap<usize, CaseResult>>,
}

impl Suite {
    fn new(peer: HostedPeer, settings: Settings) -> Result<Self, CannotRun> {
        let sources = match &settings.scenarios {
            Some(folder) => read_folder(folder).map_err(CannotRun::Scenarios)?,
            None => mqttspec_embedded::scenarios()
                .map_err(CannotRun::Scenarios)?
                .into_iter()
                .map(source)
                .collect(),
        };
        let selection = Selection { filters: settings.filters.clone(), ..Selection::default() };
        let mut plan = plan(&sources, &selection);
        plan.cases.retain(|case| case.tests == peer.role());
        if plan.cases.is_empty() && plan.errors.is_empty() {
            return Err(CannotRun::NoMatch(settings.filters.join(" ")));
        }
        let known = match &settings.known {
            Some(file) => known_failures(file, settings.writes_known)?,
            None => Baseline::default(),
        };
        let (target, results) = (OnceLock::new(), Mutex::default());
        Ok(Self { peer, settings, plan, known, target, results })
    }

    fn trials(self) -> (Arc<Self>, Vec<Trial>) {
        let suite = Arc::new(self);
        let mut trials = Vec::new();
        let probing = suite.clone();
        let (name, fault) = match suite.peer.role() {
            Role::Server => ("the_broker_answers", "the broker does not answer the first CONNECT packets"),
            Role::Client => ("the_client_connects", "the client does not connect once when it is asked to"),
        };
        trials.push(Trial::test(name, move || match &probing.probed().1 {
            Ok(()) => Ok(()),
            Err(reason) => Err(Failed::from(format!("{fault}: {reason}"))),
        }));
        for error in &suite.plan.errors {
            let message = error.message.clone();
            trials.push(Trial::test(error.file.clone(), move || Err(Failed::from(message))));
        }
        for (index, case) in suite.plan.cases.iter().enumerate() {
            let suite = suite.clone();
            trials.push(Trial::ignorable_test(test_name(case), move || suite.test(index)));
        }
        (suite, trials)
    }

    fn probed(&self) -> &(HostedTarget, Result<(), String>) {
        self.target.get_or_init(|| {
            let (target, contact) = HostedTarget::probe(
                self.settings.name.clone(),
                self.peer.clone(),
                self.settings.blocking_limit,
            );
            let target = match self.settings.tolerance {
                Some(late) => target.tolerance(late),
                None => target,
            };
            (target, contact)
        })
    }

    fn test(&self, index: usize) -> Result<Completion, Failed> {
        let case = &self.plan.cases[index];
        let (target, _) = self.probed();
        let keep = if self.settings.report.is_some() || self.settings.twice {
            KeepTrace::All
        } else {
            KeepTrace::Failing
        };
        let options = SuiteOptions {
            seed: self.settings.seed,
            seeds: self.settings.seeds,
            keep,
            ..SuiteOptions::default()
        };
        let mut result = in_thread(|| target.run_case(case, &options));
        let name = test_name(case);
        let seed = result.failed_seeds.first().copied().unwrap_or(self.settings.seed);
        for failure in &mut result.failures {
            failure.command = repeat_command(&name, seed);
        }
        let outcome = match self.settings.twice.then(|| in_thread(|| target.run_case(case, &options))) {
            Some(second) => same(&result, &second, &repeat_command(&name, seed)),
            None => Ok(()),
        };
        let outcome = outcome.and_then(|()| self.judge(&result));
        if self.settings.report.is_some() || self.settings.writes_known {
            self.results.lock().unwrap_or_else(PoisonError::into_inner).insert(index, result);
        }
        outcome
    }

    fn judge(&self, result: &CaseResult) -> Result<Completion, Failed> {
        let suite = self.suite(vec![result.clone()], self.probed().0.target());
        let difference = self.known.compare(&suite);
        if let Some((_, reason)) = difference.repaired.first() {
            let file = self.settings.known.as_deref().unwrap_or(Path::new("the file of known failures"));
            let was = if reason.is_empty() { String::new() } else { format!(" (was known: {reason})") };
            return self.unless_writing(format!(
                "{} passes and is listed in {}{was}: remove it there, or run with MQTTSPEC_WRITE_KNOWN=1",
                result.name(),
                file.display()
            ));
        }
        if difference.as_listed > 0 {
            return Ok(Completion::ignored_with("a known failure"));
        }
        match result.verdict {
            Verdict::Skip => Ok(Completion::ignored_with(&result.reason)),
            Verdict::NotJudged => Ok(Completion::ignored_with(format!("not judged: {}", result.reason))),
            _ if result.counts_against(self.settings.strict) => {
                let text = terminal::bad_case(result, WIDTH);
                self.unless_writing(format!("\n{}", anstream::adapter::strip_str(&text)))
            }
            _ => Ok(Completion::Completed),
        }
    }

    /// A failure, unless it goes into the file of known failures.
    fn unless_writing(&self, message: String) -> Result<Completion, Failed> {
        if self.settings.writes_known && self.settings.known.is_some() {
            return Ok(Completion::ignored_with("goes into the file of known failures"));
        }
        Err(message.into())
    }

    fn suite(&self, cases: Vec<CaseResult>, target: Target) -> SuiteResult {
        SuiteResult {
            format: FORMAT,
            target,
            seed: self.settings.seed,
            seeds: self.settings.seeds,
            strict: self.settings.strict,
            cases,
            errors: self.plan.errors.clone(),
            notes: Vec::new(),
        }
    }

    /// Writes the reports and the file of known failures.
    fn finish(&self) -> Result<(), Box<dyn std::error::Error>> {
        let results = std::mem::take(&mut *self.results.lock().unwrap_or_else(PoisonError::into_inner));
        if results.is_empty() {
            return Ok(());
        }
        let suite = self.suite(results.into_values().collect(), self.probed().0.target());
        let mut stderr = io::stderr();
        if let Some(folder) = &self.settings.report {
            for path in write(&suite, folder)? {
                writeln!(stderr, "wrote {}", path.display())?;
            }
        }
        if let Some(file) = self.settings.known.as_ref().filter(|_| self.settings.writes_known) {
            let rewritten = self.known.rewritten(&suite);
            std::fs::write(file, rewritten.text())?;
            writeln!(stderr, "wrote {} ({} known failures)", file.display(), rewritten.len())?;
        }
        Ok(())
    }
}

/// Calls a function in a thread of its own: what the peer keeps in `thread_local!`, and the keys of its
/// hash maps, begin anew with each run.
#[expect(clippy::disallowed_methods, reason = "the thread is waited for and takes no part in a run")]
fn in_thread<T: Send>(run: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| match scope.spawn(run).join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

fn source((file, text): (String, String)) -> Source {
    Source { file, text }
}

fn known_failures(file: &Path, may_be_missing: bool) -> Result<Baseline, CannotRun> {
    let name = || file.display().to_string();
    match std::fs::read_to_string(file) {
        Ok(text) => Baseline::read(&text).map_err(|error| CannotRun::Baseline(name(), error)),
        Err(error) if error.kind() == io::ErrorKind::NotFound && may_be_missing => Ok(Baseline::default()),
        Err(error) => Err(CannotRun::Known(name(), error)),
    }
}

/// The name of a case's test: `wills::not-published-on-disconnect::5.0`, and the row of its table.
fn test_name(case: &Case) -> String {
    let file = case.file.strip_suffix(".mqtt").unwrap_or(&case.file).replace('/', "::");
    let row = case.row_name().map_or_else(String::new, |row| format!("::{row}"));
    format!("{file}::{}{row}", case.version_text())
}

/// Whether two results of a case have the same histories.
fn same(one: &CaseResult, other: &CaseResult, again: &str) -> Result<(), Failed> {
    let (Some(one), Some(other)) = (&one.shown, &other.shown) else { return Ok(()) };
    if one.history_hash == other.history_hash && one.verdict == other.verdict {
        return Ok(());
    }
    let difference = match firsts_that_differ(&one.trace, &other.trace) {
        Some((first, second)) => format!("  first run   {first}\n  second run  {second}"),
        None => "  the transcripts are equal; the histories differ in bytes or times that they do not show"
            .to_owned(),
    };
    Err(Failed::from(format!(
        "two runs under the seed {} differ: the peer depends on more than its seed\n{difference}\n  again       {again}",
        one.seed
    )))
}
