//! Runs one case on a live server: under each of its seeds, on the shared server or on its own.

use core::time::Duration;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

use mqttspec_codec::Version;
use tokio::task::LocalSet;
use tokio::time::Instant;

use super::backend::{self, Environment};
use super::cleaning;
use super::launcher::{Instance, LaunchError};
use super::names::{Credentials, Names};
use super::placing::{Place, Placed};
use super::probes::{Capabilities, KEEP_ALIVE_0, Prober};
use super::service::Service;
use super::target_file::TargetFile;
use super::tokens::base36;
use super::wire::Endpoint;
use crate::backend::Timeouts;
use crate::facts::Facts;
use crate::suite::KeepTrace;
use mqttspec_judge::Case;
use mqttspec_judge::command::RepeatCommand;
use mqttspec_judge::results::RunResult;
use mqttspec_judge::verdict::Verdict;

/// The largest patience that counts for the duration after which a run is endless.
const LONG_PATIENCE: Duration = Duration::from_secs(10);

/// The time limit for retransmissions in a resumed Session. The standard gives none. nats-server
/// takes 30 s.
pub(crate) const RETRANSMISSION: Duration = Duration::from_secs(35);

/// What all runs of a session share.
pub(crate) struct RunContext {
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) target_file: TargetFile,
    pub(crate) credentials: Option<Credentials>,
    pub(crate) capabilities: Capabilities,
    pub(crate) timeouts: Timeouts,
    pub(crate) endpoint: Endpoint,
    pub(crate) prober: Prober,
    pub(crate) keep: KeepTrace,
    /// The process of the shared server, if the harness can crash and start it.
    pub(crate) instance: Option<Rc<Instance>>,
    /// Whether the harness can start servers.
    pub(crate) starts: bool,
    /// Servers that were started for one case at a time, and are free.
    pub(crate) idle: RefCell<Vec<Rc<Instance>>>,
    /// The result of the probe at the start.
    pub(crate) service: Service,
    /// Whether the server is probed after every case, not only after failures.
    pub(crate) probes_each_case: bool,
    pub(crate) token: String,
    pub(crate) runs: Cell<u64>,
    pub(crate) seed: u64,
    pub(crate) seeds: u32,
    /// See [`super::LiveOptions::target_arguments`].
    pub(crate) target_arguments: String,
}

/// The outcome of one case.
pub(crate) struct Outcome {
    pub(crate) index: usize,
    pub(crate) runs: Vec<RunResult>,
    pub(crate) took: Duration,
    pub(crate) started: Instant,
    /// Whether a message of another run arrived.
    pub(crate) crosstalk: bool,
    /// Whether a failure may be caused by timing.
    pub(crate) timing_sensitive: bool,
    /// What the shared server no longer does, if the probe found a difference from the start.
    pub(crate) lacks: Option<String>,
}

impl Outcome {
    pub(crate) fn of(index: usize, run: RunResult) -> Self {
        let started = Instant::now();
        Self {
            index,
            runs: vec![run],
            took: Duration::ZERO,
            started,
            crosstalk: false,
            timing_sensitive: true,
            lacks: None,
        }
    }

    /// Whether both outcomes have the same verdicts and failed lines.
    pub(crate) fn fails_like(&self, other: &Self) -> bool {
        let lines = |outcome: &Self| -> Vec<(Verdict, Vec<u32>)> {
            let of_run = |run: &RunResult| {
                (run.verdict, run.failures.iter().map(|failure| failure.finding.line).collect())
            };
            outcome.runs.iter().map(of_run).collect()
        };
        lines(self) == lines(other)
    }

    /// Whether it fails only because nothing was sent again so far.
    pub(crate) fn awaits_retransmission(&self) -> bool {
        let is_late = |failure: &mqttspec_judge::finding::ReportedFinding| {
            let finding = &failure.finding;
            finding.event.is_none()
                && finding.timing_sensitive
                && finding.requirements.iter().any(|clause| clause.clause == "MQTT-4.4.0-1")
        };
        let mut failures = self.runs.iter().flat_map(|run| &run.failures).peekable();
        failures.peek().is_some() && failures.all(is_late)
    }

    /// The same, not judged for this reason.
    pub(crate) fn not_judged(mut self, reason: &str) -> Self {
        for run in &mut self.runs {
            run.verdict = Verdict::NotJudged;
            reason.clone_into(&mut run.reason);
            run.failures.clear();
        }
        self
    }

    pub(crate) fn verdict(&self) -> Verdict {
        self.runs.iter().map(|run| run.verdict).max().unwrap_or(Verdict::Error)
    }

    pub(crate) fn is_bad(&self) -> bool {
        matches!(self.verdict(), Verdict::NotJudged | Verdict::Fail | Verdict::Error)
    }

    /// Whether a rerun would end in the same way: the server chose something else than the scenario
    /// needs.
    pub(crate) fn is_settled(&self) -> bool {
        self.verdict() == Verdict::NotJudged && !self.timing_sensitive
    }
}

impl RunContext {
    /// What the server did at the start and no longer does, in words. A probe that finds a
    /// difference is repeated, because the server may only have been slow.
    pub(crate) async fn lacks(&self) -> Option<String> {
        self.lacks_once().await?;
        self.lacks_once().await
    }

    pub(crate) async fn lacks_once(&self) -> Option<String> {
        let run = self.next_token();
        self.prober.service(self.version(), &run, self.timeouts.subscribing).await.lacks(self.service)
    }

    /// The newest version that the server supports.
    pub(crate) fn version(&self) -> Version {
        self.capabilities.versions.last().copied().unwrap_or(Version::V3_1_1)
    }

    /// The replacement of Keep Alive 0, for a server that refuses 0 and a scenario that does not
    /// set Keep Alive.
    fn keep_alive(&self, placed: &Placed) -> u16 {
        match self.capabilities.get(KEEP_ALIVE_0) {
            Some("0") if !Facts::of(&placed.case).sets_keep_alive => 600,
            _ => 0,
        }
    }

    pub(crate) fn next_token(&self) -> String {
        self.runs.set(self.runs.get() + 1);
        format!("{}{}", self.token, base36(self.runs.get()))
    }

    /// The command that repeats a run of a case.
    pub(crate) fn command(&self, case: &Case, seed: u64) -> RepeatCommand {
        let target = match (&self.target_file.start, self.starts) {
            _ if !self.target_arguments.is_empty() => self.target_arguments.clone(),
            (Some(start), true) => format!("--start '{start}'"),
            _ => format!("--target {}", self.url),
        };
        RepeatCommand { role: None, target: Some(target), ..case.repeat_command(seed) }
    }
}

/// Runs a case where it was placed, once for each seed.
pub(crate) async fn run_case(
    context: Rc<RunContext>,
    index: usize,
    placed: Placed,
    mut timeouts: Timeouts,
) -> Outcome {
    if !placed.is_slow {
        // Only a timer of the server justifies the long tolerance, and a fast case waits for none.
        timeouts.late = timeouts.late.min(timeouts.patience);
    }
    let started = Instant::now();
    let mut runs = Vec::new();
    let (mut crosstalk, mut timing_sensitive) = (false, false);
    for offset in 0..u64::from(context.seeds) {
        let seed = context.seed.wrapping_add(offset);
        let (run, run_timing_sensitive) = match &placed.place {
            Place::Own(options) => run_on_own_server(&context, &placed, options, seed, timeouts).await,
            Place::Exclusive { plain_names } => {
                run_on_shared_server(&context, &placed, seed, timeouts, *plain_names, &mut crosstalk).await
            }
            _ => run_on_shared_server(&context, &placed, seed, timeouts, false, &mut crosstalk).await,
        };
        timing_sensitive |= run_timing_sensitive;
        runs.push(run);
    }
    let mut outcome =
        Outcome { index, runs, took: started.elapsed(), started, crosstalk, timing_sensitive, lacks: None };
    if (outcome.is_bad() || context.probes_each_case) && !matches!(placed.place, Place::Own(_)) {
        outcome.lacks = context.lacks().await;
    }
    outcome
}

pub(crate) async fn run_on_shared_server(
    context: &RunContext,
    placed: &Placed,
    seed: u64,
    timeouts: Timeouts,
    plain_names: bool,
    crosstalk: &mut bool,
) -> (RunResult, bool) {
    let token = (!plain_names).then(|| context.next_token());
    // A scenario about anonymous access needs Clients without credentials.
    let tests_anonymous = placed.case.scenario.broker.iter().any(|option| option.name == "allow_anonymous");
    let credentials = context.credentials.clone().filter(|_| !tests_anonymous);
    let second = context.target_file.second_identity.clone().map(Credentials::from);
    let names = Names::new(token, &context.token, credentials).with_second_identity(second);
    let names = Rc::new(names.with_keep_alive(context.keep_alive(placed)));
    let instance = context.instance.clone();
    let environment = Environment {
        endpoint: context.endpoint.clone(),
        names: names.clone(),
        timeouts,
        instance,
        limit: limit(placed.waits, timeouts),
    };
    let run = run_in_local_set(context, &placed.case, seed, environment).await;
    *crosstalk |= names.has_crosstalk();
    let leftovers = names.take_leftovers();
    cleaning::clean(
        &context.prober,
        leftovers,
        placed.case.version,
        &context.next_token(),
        context.timeouts.patience,
    )
    .await;
    run
}

pub(crate) async fn run_on_own_server(
    context: &RunContext,
    placed: &Placed,
    options: &[(String, String)],
    seed: u64,
    timeouts: Timeouts,
) -> (RunResult, bool) {
    let target_file = &context.target_file;
    let start = if options.is_empty() { &target_file.start } else { &target_file.start_with_options };
    let Some(start) = start else {
        return (broken("the target file has no command that starts a server".to_owned(), seed), false);
    };
    // A scenario that configures or crashes its server needs a new one. Others need only one that
    // no other case uses at the same time.
    let is_pooled = options.is_empty() && !Facts::of(&placed.case).crashes_server;
    let idle = if is_pooled { context.idle.borrow_mut().pop() } else { None };
    let text = target_file.options_text(options).unwrap_or_default();
    let instance = match idle {
        Some(instance) => instance,
        None => match Instance::launch(target_file, start, &text).await {
            Ok(instance) => Rc::new(instance),
            Err(error) => return (broken(launch_failed(&error, options), seed), true),
        },
    };
    // With options, the scenario itself decides about credentials.
    let credentials = context.credentials.clone().filter(|_| options.is_empty());
    let names = Names::new(None, &context.token, credentials).with_keep_alive(context.keep_alive(placed));
    let names = Rc::new(names);
    let endpoint = Endpoint { port: instance.port(), ..context.endpoint.clone() };
    let environment = Environment {
        endpoint: endpoint.clone(),
        names: names.clone(),
        timeouts,
        instance: Some(instance.clone()),
        limit: limit(placed.waits, timeouts),
    };
    let (mut run, timing_sensitive) = run_in_local_set(context, &placed.case, seed, environment).await;
    // A crash by the scenario forgets the process, so this one ended by itself.
    if let Some(how) = instance.ended() {
        run.verdict = Verdict::Error;
        run.reason =
            format!("the server ended ({how}) during this scenario; the transcript has its last packets");
    }
    if matches!(run.verdict, Verdict::NotJudged | Verdict::Fail | Verdict::Error) {
        run.output = instance.output();
    }
    if is_pooled && run.verdict != Verdict::Error {
        let prober = Prober { endpoint, ..context.prober.clone() };
        let (id, patience) = (context.next_token(), context.timeouts.patience);
        cleaning::clean(&prober, names.take_leftovers(), placed.case.version, &id, patience).await;
        let service =
            prober.service(context.version(), &context.next_token(), context.timeouts.subscribing).await;
        if service.lacks(context.service).is_none() {
            context.idle.borrow_mut().push(instance);
            return (run, timing_sensitive);
        }
    }
    instance.stop().await;
    (run, timing_sensitive)
}

pub(crate) fn launch_failed(error: &LaunchError, options: &[(String, String)]) -> String {
    let options: Vec<String> = options.iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("cannot start a server with {}: {error}", options.join(" "))
}

/// Runs in a task set of its own, so that the run's tasks end with it.
pub(crate) async fn run_in_local_set(
    context: &RunContext,
    case: &Case,
    seed: u64,
    environment: Environment,
) -> (RunResult, bool) {
    let set = LocalSet::new();
    let with_trace = context.keep == KeepTrace::All;
    let command = context.command(case, seed);
    set.run_until(backend::run(case, &command, environment, with_trace)).await
}

/// The target's name in reports.
pub(crate) fn name(target_file: &TargetFile, endpoint: &Endpoint, starts: bool) -> String {
    let program = || {
        let command = target_file.start.as_deref().filter(|_| starts)?;
        command.split_whitespace().next()?.rsplit('/').next().map(str::to_owned)
    };
    if !target_file.name.is_empty() {
        return target_file.name.clone();
    }
    program().unwrap_or_else(|| format!("{}:{}", endpoint.host, endpoint.port))
}

/// The duration after which a run counts as endless.
pub(crate) fn limit(waits: Duration, timeouts: Timeouts) -> Duration {
    waits * 2 + timeouts.patience.min(LONG_PATIENCE) * 10 + Duration::from_secs(20)
}

/// The timeouts of a target. They grow with the measured round trip.
pub(crate) fn timeouts(target_file: &TargetFile, capabilities: &Capabilities) -> Timeouts {
    let round_trip = capabilities.round_trip;
    let tolerance = target_file.tolerance;
    let milliseconds = Duration::from_millis;
    Timeouts {
        patience: milliseconds(tolerance.patience_ms) + round_trip * 20,
        early: milliseconds(tolerance.early_ms) + round_trip,
        late: milliseconds(tolerance.late_ms) + round_trip * 5,
        settling: milliseconds(20) + round_trip * 2,
        silence: milliseconds(500) + round_trip * 5,
        quiet: milliseconds(500) + round_trip * 5,
        shorter: 5,
        travel: milliseconds(20) + round_trip * 2,
        subscribing: capabilities.subscribing,
    }
}

pub(crate) fn skipped(reason: String, seed: u64) -> RunResult {
    RunResult { verdict: Verdict::Skip, ..broken(reason, seed) }
}

pub(crate) fn panicked(seed: u64) -> RunResult {
    broken("the harness panicked in this scenario".to_owned(), seed)
}

pub(crate) fn broken(reason: String, seed: u64) -> RunResult {
    RunResult {
        seed,
        verdict: Verdict::Error,
        level: mqttspec_spec::Level::Must,
        reason,
        failures: Vec::new(),
        clauses_shown: Vec::new(),
        drawn: Vec::new(),
        branches: Vec::new(),
        marks: Vec::new(),
        endured: None,
        trace: mqttspec_judge::trace::Trace::default(),
        history_hash: String::new(),
        output: Vec::new(),
    }
}
