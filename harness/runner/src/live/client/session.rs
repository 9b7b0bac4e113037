//! Judges a client library by every case that tests clients.

mod fast;

use core::num::NonZeroU32;
use core::time::Duration;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::rc::Rc;

use mqttspec_codec::{Role, Version};
use mqttspec_judge::Case;
use mqttspec_judge::command::{RepeatCommand, quoted};
use mqttspec_judge::history::What;
use mqttspec_judge::model::Tolerance;
use mqttspec_judge::results::{CaseResult, FORMAT, RunResult, SuiteResult, Target, TargetKind};
use mqttspec_judge::verdict::Verdict;
use tokio::task::{JoinHandle, JoinSet, LocalSet};
use tokio::time::{Instant, sleep, timeout_at};

use super::backend::{Environment, Run, perform};
use super::peer::Stopped;
use super::pool::Pool;
use super::process::AdapterError;
use super::protocol::Hello;
use super::silent::leave_out;
use crate::backend::Timeouts;
use crate::found::Timed;
use crate::intake::{Budget, Intake, KeptTraces};
use crate::judging::{Performed, judged};
use crate::live::TIME_LIMIT;
use crate::live::case_run::{broken, limit, out_of_time, skipped};
use crate::live::passes::interrupted;
use crate::live::schedule::{self, Limits, Times};
use crate::suite::{KeepTrace, Plan, Selection, Source, plan, summary};

/// The default number of concurrent runs.
pub const JOBS: usize = 6;

/// How long nothing may be sent before no more is expected of a client that is to connect again or
/// to acknowledge a message. The adapters let their libraries connect again after one or two
/// seconds.
const REST: Duration = Duration::from_secs(8);

/// A scenario with a longer wait is skipped without `--patient`.
const LONGEST_WAIT: Duration = Duration::from_secs(6);

/// The longest time for which `nothing` is expected without `--patient`.
const SILENCE: Duration = Duration::from_millis(400);

/// The number of reruns of a case, alone, if its verdict is bad.
const MAX_RERUNS: u32 = 4;

/// Why a failure of a case that cannot run in real time does not count.
const ONLY_ACCELERATED: &str = "it fails on a client whose clock is fast, and takes too long in real time: \
                                run with --patient";

/// A timer that fires later than this shows that the machine stalled.
const STALL: Duration = Duration::from_millis(100);

/// Which client to judge, and how.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// The command of the adapter.
    pub command: String,
    /// The name in reports; empty for the name that the adapter says.
    pub name: String,
    /// The file that named the client, for the commands that repeat a case.
    pub target_file: Option<PathBuf>,
    /// The first seed.
    pub seed: u64,
    /// The number of runs of each case.
    pub seeds: u32,
    /// The number of concurrent runs.
    pub jobs: usize,
    /// Which runs keep their trace.
    pub keep: KeepTrace,
    /// Runs scenarios with long waits too.
    pub patient: bool,
    /// The real time that all cases may take. Those that are left then are errors.
    pub time_limit: Duration,
    /// How much faster than real time the clock of the client may run in cases that wait.
    pub clock_speed: Option<NonZeroU32>,
}

impl ClientOptions {
    /// The default options for the adapter with this command.
    #[must_use]
    pub fn of_command(command: &str) -> Self {
        Self {
            command: command.to_owned(),
            name: String::new(),
            target_file: None,
            seed: 0,
            seeds: 1,
            jobs: JOBS,
            keep: KeepTrace::default(),
            patient: false,
            time_limit: TIME_LIMIT,
            clock_speed: None,
        }
    }
}

/// Why no case could be judged.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The adapter does not work.
    #[error("{error}{}", shown(.output))]
    Adapter {
        /// What it did.
        error: AdapterError,
        /// The last lines of its standard error.
        output: Vec<String>,
    },
    /// The operating system refused to start the runtime.
    #[error("cannot start: {0}")]
    Machine(#[from] std::io::Error),
}

fn shown(output: &[String]) -> String {
    output.iter().map(|line| format!("\n  | {line}")).collect()
}

struct Context {
    pool: Rc<Pool>,
    /// Processes whose clock is fast.
    fast: Option<Rc<Pool>>,
    hello: Hello,
    options: ClientOptions,
    last_stall: Cell<Option<Instant>>,
    /// What the clients may send in all runs.
    budget: Budget,
}

/// A case, or why it is not run.
struct Placed {
    case: Case,
    waits: Duration,
    skip: Option<String>,
    /// The same case with its waits, for a client whose clock is fast, if it gains by that.
    fast: Option<(Case, Duration)>,
}

impl Placed {
    /// How long its first attempt takes at least.
    fn least(&self, speed: u32) -> Duration {
        self.fast.as_ref().map_or(self.waits, |(_, waits)| *waits / speed)
    }
}

/// The outcome of a case.
struct Outcome {
    index: usize,
    runs: Vec<RunResult>,
    took: Duration,
    timing_sensitive: bool,
    stalled: bool,
    /// By how much the clock of the client was ahead of real time at the end.
    put_forward: Duration,
}

impl Outcome {
    /// Nothing has run yet.
    fn starting(index: usize) -> Self {
        let (took, put_forward) = (Duration::ZERO, Duration::ZERO);
        Self { index, runs: Vec::new(), took, timing_sensitive: false, stalled: false, put_forward }
    }

    /// The same, not judged for this reason.
    fn not_judged(mut self, reason: &str) -> Self {
        for run in &mut self.runs {
            run.verdict = Verdict::NotJudged;
            reason.clone_into(&mut run.reason);
            run.failures.clear();
        }
        self
    }

    fn is_bad(&self) -> bool {
        self.runs.iter().any(|run| matches!(run.verdict, Verdict::NotJudged | Verdict::Fail | Verdict::Error))
    }

    /// The verdict and the failed lines of each run.
    fn lines(&self) -> Vec<(Verdict, Vec<u32>)> {
        let lines = |run: &RunResult| run.failures.iter().map(|failure| failure.finding.line).collect();
        self.runs.iter().map(|run| (run.verdict, lines(run))).collect()
    }
}

/// Judges the client by every case of the plan that tests clients. `progress` gets each finished
/// case, with the number of finished and of all cases.
///
/// # Errors
/// If the client cannot be judged.
pub fn run_client(
    plan: &Plan,
    options: &ClientOptions,
    progress: &mut dyn FnMut(&CaseResult, usize, usize),
) -> Result<SuiteResult, ClientError> {
    on_runtime(judge(plan, options, progress))
}

fn on_runtime<T>(future: impl Future<Output = Result<T, ClientError>>) -> Result<T, ClientError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    let interruptible = async {
        tokio::select! {
            biased;
            result = future => result,
            () = interrupted() => Err(std::io::Error::from(std::io::ErrorKind::Interrupted).into()),
        }
    };
    let result = local.block_on(&runtime, interruptible);
    // Dropping the set drops, and so kills, the processes of its tasks.
    drop(local);
    runtime.shutdown_background();
    result
}

async fn start(options: &ClientOptions) -> Result<Rc<Context>, ClientError> {
    let started = Pool::start(&options.command, None).await;
    let (pool, hello) = started.map_err(|(error, output)| ClientError::Adapter { error, output })?;
    let options = options.clone();
    Ok(Rc::new(Context {
        pool: Rc::new(pool),
        fast: None,
        hello,
        options,
        last_stall: Cell::new(None),
        budget: Budget::default(),
    }))
}

async fn judge(
    plan: &Plan,
    options: &ClientOptions,
    progress: &mut dyn FnMut(&CaseResult, usize, usize),
) -> Result<SuiteResult, ClientError> {
    let until = Instant::now() + options.time_limit;
    let mut context = start(options).await?;
    contact(&context).await?;
    let mut notes = Vec::new();
    if let Some(speed) = options.clock_speed.map(NonZeroU32::get).filter(|speed| *speed > 1)
        && let Some(context) = Rc::get_mut(&mut context)
    {
        match context.fast_pool(speed).await {
            Ok(pool) => context.fast = Some(pool),
            Err(why) => notes.push(format!("all cases run in real time: {why}")),
        }
    }
    let cases = plan.cases.iter().filter(|case| case.tests == Role::Client);
    let placed: Vec<Rc<Placed>> = cases.map(|case| Rc::new(context.place(case))).collect();
    let stalls = watch_stalls(context.clone());
    let mut results = BTreeMap::new();
    let (mut ended, mut traces) = (BTreeSet::new(), KeptTraces::default());
    let mut done = |outcome: Outcome, ended: &mut BTreeSet<usize>| {
        ended.insert(outcome.index);
        let case = &placed[outcome.index].case;
        let put_forward = u64::try_from(outcome.put_forward.as_millis()).ok().filter(|by| *by > 0);
        let result = summary(case, outcome.runs, options.keep, Some(outcome.took));
        let mut result = CaseResult { put_forward_ms: put_forward, ..result };
        traces.keep(&mut result);
        results.insert(outcome.index, result);
        progress(&results[&outcome.index], results.len(), placed.len());
    };
    let mut waiting: Vec<usize> = (0..placed.len()).collect();
    // Taken from the end: the longest first.
    let speed = context.speed();
    waiting.sort_by_key(|index| placed[*index].least(speed));
    let (mut set, mut again) = (JoinSet::new(), Vec::new());
    loop {
        while Instant::now() < until
            && set.len() < options.jobs.max(1)
            && let Some(index) = waiting.pop()
        {
            let (context, placed) = (context.clone(), placed[index].clone());
            set.spawn_local(async move { context.run_first(index, &placed).await });
        }
        let Ok(joined) = timeout_at(until, set.join_next()).await else { break };
        match joined {
            Some(Ok(outcome)) if outcome.is_bad() => again.push(outcome),
            Some(Ok(outcome)) => done(outcome, &mut ended),
            Some(Err(panicked)) => {
                if let Ok(panic) = panicked.try_into_panic() {
                    std::panic::resume_unwind(panic);
                }
            }
            None => break,
        }
    }
    let mut recovered = Vec::new();
    for first in again {
        if !first.put_forward.is_zero() && placed[first.index].skip.is_some() {
            done(first.not_judged(ONLY_ACCELERATED), &mut ended);
            continue;
        }
        let mut before = first;
        for _ in 0..MAX_RERUNS {
            let rerun = context.run_case(before.index, &placed[before.index]);
            let Ok(outcome) = timeout_at(until, rerun).await else {
                // What failed once does not count.
                before.runs = vec![broken(out_of_time(options.time_limit), options.seed)];
                break;
            };
            let settled = before.lines() == outcome.lines() && !(outcome.timing_sensitive && outcome.stalled);
            before = outcome;
            if settled || !before.is_bad() {
                break;
            }
        }
        if !before.is_bad() {
            recovered.push(placed[before.index].case.name());
        }
        done(before, &mut ended);
    }
    stalls.abort();
    drop(set);
    let left: Vec<usize> = (0..placed.len()).filter(|index| !ended.contains(index)).collect();
    if let Some(clock) = context.fast.as_ref().and_then(|pool| pool.clock.as_ref()) {
        let count = placed.iter().filter(|placed| placed.fast.is_some()).count();
        let speed = clock.speed;
        notes.push(format!("{count} cases that wait run on clients whose clock is {speed} times as fast"));
    }
    if !left.is_empty() {
        let (limit, count) = (options.time_limit, left.len());
        notes.push(format!("the run was stopped after {limit:?}, its time limit: {count} cases did not end"));
    }
    for index in left {
        let run = broken(out_of_time(options.time_limit), options.seed);
        let outcome = Outcome { runs: vec![run], timing_sensitive: true, ..Outcome::starting(index) };
        done(outcome, &mut ended);
    }
    if !recovered.is_empty() {
        recovered.sort();
        let (count, names) = (recovered.len(), recovered.join(", "));
        notes.push(format!("{count} cases failed when run concurrently and passed when rerun: {names}"));
    }
    let servers = plan.cases.iter().filter(|case| case.tests == Role::Server).count();
    if servers > 0 {
        notes.push(format!("{servers} cases test servers: not run with a client under test"));
    }
    Ok(SuiteResult {
        format: FORMAT,
        target: context.target(),
        seed: options.seed,
        seeds: options.seeds,
        strict: false,
        cases: results.into_values().collect(),
        errors: plan.errors.clone(),
        notes,
    })
}

/// Notes when the timer of this process fires late.
fn watch_stalls(context: Rc<Context>) -> JoinHandle<()> {
    const INTERVAL: Duration = Duration::from_millis(20);
    tokio::task::spawn_local(async move {
        loop {
            let started = Instant::now();
            sleep(INTERVAL).await;
            if started.elapsed().saturating_sub(INTERVAL) > STALL {
                context.last_stall.set(Some(Instant::now()));
            }
        }
    })
}

/// The check before the first case: every client must be able to connect once.
async fn contact(context: &Rc<Context>) -> Result<(), ClientError> {
    let text = "title    The client connects once\n\
        clauses  [3.1.1] MQTT-3.1.0-1 [5] MQTT-3.1.0-1\nversions 3.1.1 5\ntests    client\n\n\
        ask device connect clean_start keep_alive=60\ndevice > CONNECT shows all\ndevice < CONNACK\n\
        told device connected\ndevice > nothing for 300ms\n";
    let source = Source { file: "contact.mqtt".to_owned(), text: text.to_owned() };
    for case in plan(&[source], &Selection::default()).cases {
        let placed = context.place(&case);
        if placed.skip.is_some() {
            continue;
        }
        let environment = context.environment(&context.pool, placed.waits);
        let Run { performed, stopped, output, .. } = perform(&placed.case, 0, environment).await;
        let opened =
            performed.history.events().iter().filter(|event| matches!(event.what, What::Opened(_))).count();
        let error = match stopped {
            Some(Stopped::Broken(error)) => error,
            Some(Stopped::Unsupported(reason)) => AdapterError::Refused { command: "connect", reason },
            None if opened == 0 => AdapterError::NeverConnects(context.timeouts().patience),
            None if opened > 1 => AdapterError::ConnectsTwice,
            None => continue,
        };
        return Err(ClientError::Adapter { error, output });
    }
    Ok(())
}

impl Context {
    fn target(&self) -> Target {
        let Hello { name, version, language, versions, supports, .. } = &self.hello;
        let full = format!("{name} {version}");
        let capabilities = [
            ("language", language.clone()),
            ("versions", versions.join(" ")),
            ("supports", supports.join(" ")),
        ];
        Target {
            name: if self.options.name.is_empty() { full } else { self.options.name.clone() },
            kind: TargetKind::Live,
            url: None,
            capabilities: capabilities.map(|(name, value)| (name.to_owned(), value)).into(),
            tolerance_ms: u64::try_from(self.timeouts().late.as_millis()).ok(),
            output: Vec::new(),
        }
    }

    fn timeouts(&self) -> Timeouts {
        let milliseconds = Duration::from_millis;
        Timeouts {
            patience: milliseconds(3000),
            early: milliseconds(50),
            // Libraries check their timers every second.
            late: milliseconds(1500),
            least: Duration::ZERO,
            settling: milliseconds(50),
            silence: SILENCE,
            quiet: milliseconds(500),
            rest: Some(REST),
            shorter: if self.options.patient { 1 } else { 5 },
            travel: milliseconds(20),
            subscribing: Duration::ZERO,
        }
    }

    fn place(&self, case: &Case) -> Placed {
        let limits = Limits {
            times: Times::Live,
            wait: (!self.options.patient).then_some(LONGEST_WAIT),
            silence: if self.options.patient { Duration::MAX } else { SILENCE },
            travel: Duration::ZERO,
        };
        let mut placed = Placed { case: case.clone(), waits: Duration::ZERO, skip: None, fast: None };
        if !self.hello.versions.contains(&case.version.to_string()) {
            placed.skip = Some(format!("the client does not support MQTT {}", case.version));
            return placed;
        }
        match schedule::live(&case.scenario, case.version, limits) {
            Ok(mut scheduled) => {
                if let Err(event) = leave_out(&mut scheduled.scenario, &self.hello.silent) {
                    placed.skip = Some(format!("the library never tells its application `{event}`"));
                }
                placed.case.scenario = scheduled.scenario.into();
                placed.waits = scheduled.waits;
            }
            Err(needed) => placed.skip = Some(format!("needs a wait of {needed:?}: run with --patient")),
        }
        placed.fast = self.place_fast(case, limits);
        placed
    }

    fn environment(&self, pool: &Rc<Pool>, waits: Duration) -> Environment {
        let of_real_time = self.timeouts();
        // A line may wait a minute for a client that connects again.
        let limit = limit(waits, of_real_time) + Duration::from_secs(120);
        let (timeouts, limit) = match &pool.clock {
            Some(clock) => (clock.timeouts(of_real_time), limit * clock.speed),
            None => (of_real_time, limit),
        };
        let intake = Rc::new(Intake::new(&self.budget));
        Environment { pool: pool.clone(), timeouts, intake, limit }
    }

    fn command(&self, case: &Case, seed: u64) -> RepeatCommand {
        let target = match &self.options.target_file {
            Some(file) => format!("--client-target {}", quoted(&file.to_string_lossy())),
            None => format!("--client {}", quoted(&self.options.command)),
        };
        RepeatCommand { role: None, target: Some(target), ..case.repeat_command(seed) }
    }

    /// The first attempt: on a client whose clock is fast, if the case gains by that.
    async fn run_first(&self, index: usize, placed: &Placed) -> Outcome {
        match (&placed.fast, &self.fast) {
            (Some((case, waits)), Some(pool)) => self.run_on(pool, index, case, *waits).await,
            _ => self.run_case(index, placed).await,
        }
    }

    /// An attempt in real time.
    async fn run_case(&self, index: usize, placed: &Placed) -> Outcome {
        let Some(reason) = &placed.skip else {
            return self.run_on(&self.pool, index, &placed.case, placed.waits).await;
        };
        let runs = self.seeds().map(|seed| skipped(reason.clone(), seed)).collect();
        Outcome { runs, ..Outcome::starting(index) }
    }

    async fn run_on(&self, pool: &Rc<Pool>, index: usize, case: &Case, waits: Duration) -> Outcome {
        let started = Instant::now();
        let mut outcome = Outcome::starting(index);
        for seed in self.seeds() {
            let run = perform(case, seed, self.environment(pool, waits)).await;
            outcome.put_forward += run.put_forward;
            let (run, timing_sensitive) = self.judge_run(case, seed, run);
            outcome.timing_sensitive |= timing_sensitive;
            outcome.runs.push(run);
        }
        outcome.took = started.elapsed();
        outcome.stalled = self.last_stall.get().is_some_and(|last| last > started);
        outcome
    }

    fn seeds(&self) -> impl Iterator<Item = u64> {
        let first = self.options.seed;
        (0..u64::from(self.options.seeds.max(1))).map(move |offset| first.wrapping_add(offset))
    }

    fn judge_run(&self, case: &Case, seed: u64, run: Run) -> (RunResult, bool) {
        let Run { performed, stopped, output, tolerance, .. } = run;
        let (result, timing_sensitive) = self.judge_executed(case, seed, performed, tolerance);
        match stopped {
            None => (result, timing_sensitive),
            Some(Stopped::Unsupported(reason)) => (skipped(reason, seed), false),
            Some(Stopped::Broken(error)) => {
                let trace = result.trace;
                (RunResult { trace, output, ..broken(error.to_string(), seed) }, true)
            }
        }
    }

    fn judge_executed(
        &self,
        case: &Case,
        seed: u64,
        performed: Performed,
        tolerance: Tolerance,
    ) -> (RunResult, bool) {
        let command = self.command(case, seed);
        let with_trace = self.options.keep == KeepTrace::All;
        let Performed { history, executed } = performed;
        let (result, Timed { sensitive, .. }) =
            judged(case, &command, executed, &history, with_trace, Some(tolerance));
        (result, sensitive)
    }
}

/// The result of one check of an adapter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was checked.
    pub title: String,
    /// The version of the standard.
    pub version: Version,
    /// `pass`, `skip` (unsupported), or what went wrong.
    pub verdict: Verdict,
    /// The reason, if it is not `pass`.
    pub reason: String,
}

/// The checks of an adapter.
const CHECKS: &str = include_str!("checks.txt");

/// Checks an adapter by itself: each command once, with the harness as the server. Returns the name
/// of the library, and the checks.
///
/// # Errors
/// If the adapter does not start, or its client does not connect.
pub fn check_adapter(options: &ClientOptions) -> Result<(String, Vec<Check>), ClientError> {
    on_runtime(async {
        let context = start(options).await?;
        contact(&context).await?;
        let mut checks = Vec::new();
        let texts = CHECKS.split("----\n").enumerate();
        let sources: Vec<Source> = texts
            .map(|(index, text)| Source { file: format!("check-{index}.mqtt"), text: text.to_owned() })
            .collect();
        for case in plan(&sources, &Selection::default()).cases {
            let outcome = context.run_case(0, &context.place(&case)).await;
            let verdict = outcome.runs.iter().map(|run| run.verdict).max().unwrap_or(Verdict::Error);
            let reason = outcome.runs.first().map_or_else(String::new, |run| match run.failures.first() {
                Some(failure) => {
                    format!("expected {}, got {}", failure.finding.expected, failure.finding.actual)
                }
                None => run.reason.clone(),
            });
            let (title, version) = (case.scenario.title.clone(), case.version);
            checks.push(Check { title, version, verdict, reason });
        }
        Ok((context.target().name, checks))
    })
}
