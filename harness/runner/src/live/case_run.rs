//! Runs one case on a live server: under each of its seeds, on the shared server or on its own.

use core::time::Duration;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;

use mqttspec_codec::Version;
use tokio::task::LocalSet;
use tokio::time::Instant;

use super::acceleration::Acceleration;
use super::backend::{self, Environment, Finished};
use super::capabilities::{Capabilities, KEEP_ALIVE_0};
use super::cleaning;
use super::fast_time::FastTime;
use super::launcher::{Instance, LaunchError};
use super::names::{Credentials, Names};
use super::placing::{On, Place, Placed};
use super::probes::Prober;
use super::service::{NO_LONGER_SERVES, Service};
use super::target_file::TargetFile;
use super::tokens::base36;
use super::wire::Endpoint;
use crate::backend::{RETRANSMISSION, Timeouts};
use crate::facts::{Facts, SERVER_KEEP_ALIVE};
use crate::found::{Deviated, Timed};
use crate::intake::{Budget, Intake};
use crate::suite::KeepTrace;
use mqttspec_judge::Case;
use mqttspec_judge::command::RepeatCommand;
use mqttspec_judge::finding::{Check, Finding};
use mqttspec_judge::results::RunResult;
use mqttspec_judge::verdict::Verdict;

/// The largest patience that counts for the duration after which a run is endless.
const LONG_PATIENCE: Duration = Duration::from_secs(10);

/// Open packets are sent again when a Session is resumed.
pub(crate) const SENDS_AGAIN: &str = "MQTT-4.4.0-1";

/// How long a process may take to end after its port has closed.
pub(crate) const ENDING: Duration = Duration::from_millis(300);

/// In a run in which nothing was sent for this time, nothing more is expected.
const REST: Duration = Duration::from_secs(4);

/// What all runs of a session share.
pub(crate) struct RunContext {
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) target_file: TargetFile,
    pub(crate) credentials: Option<Credentials>,
    pub(crate) capabilities: Capabilities,
    pub(crate) timeouts: Timeouts,
    /// How much later than specified the server may end the connection of a silent Client.
    pub(crate) keep_alive_late: Duration,
    pub(crate) endpoint: Endpoint,
    pub(crate) prober: Prober,
    pub(crate) keep: KeepTrace,
    /// The process of the shared server, if the harness can crash and start it.
    pub(crate) instance: Option<Rc<Instance>>,
    /// Whether the harness can start servers.
    pub(crate) starts: bool,
    /// The number of servers beside the shared one.
    pub(crate) servers: usize,
    /// The number of servers whose clock is put forward at a time.
    pub(crate) accelerated_servers: usize,
    /// Whether a server that the harness starts is ready within a short time.
    pub(crate) starts_quickly: bool,
    /// Servers that were started for one case at a time, and are free.
    pub(crate) idle: RefCell<Vec<Rc<Instance>>>,
    /// Servers whose clock can be put forward, if there can be any.
    pub(crate) acceleration: Option<Acceleration>,
    /// Those of them that are free.
    pub(crate) idle_accelerated: RefCell<Vec<Rc<Instance>>>,
    /// What the servers may send to all runs.
    pub(crate) budget: Budget,
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
    /// How long the run waited for a packet.
    pub(crate) patience: Duration,
    /// Whether a message of another run arrived.
    pub(crate) crosstalk: bool,
    /// Whether a failure may be caused by timing.
    pub(crate) timing_sensitive: bool,
    /// By how much the clock of the server was put forward before the case ended.
    pub(crate) put_forward: Duration,
    /// What came earlier or later than the scenario says, within the tolerance.
    pub(crate) deviations: Vec<Deviated>,
    /// What the shared server no longer does, if the probe found a difference from the start.
    pub(crate) lacks: Option<String>,
    /// The same of a server on which nothing else ran since it last served.
    pub(crate) own_lacks: Option<String>,
}

impl Outcome {
    pub(crate) fn of(index: usize, run: RunResult) -> Self {
        let started = Instant::now();
        Self {
            index,
            runs: vec![run],
            took: Duration::ZERO,
            started,
            patience: Duration::ZERO,
            crosstalk: false,
            timing_sensitive: true,
            put_forward: Duration::ZERO,
            deviations: Vec::new(),
            lacks: None,
            own_lacks: None,
        }
    }

    /// Whether both outcomes have the same verdicts, failed lines and failed checks. How often a check
    /// failed, and at which lines, depends on what was under way then.
    pub(crate) fn fails_like(&self, other: &Self) -> bool {
        let are_alike = |(one, other): (&RunResult, &RunResult)| {
            one.verdict == other.verdict && failed(one) == failed(other)
        };
        self.runs.len() == other.runs.len() && self.runs.iter().zip(&other.runs).all(are_alike)
    }

    /// Whether it fails so that a rerun at the same time decides whether that counts: something did
    /// not come within the tolerance. Something that came too early may not come so early on a
    /// server that has less to do. `waits_longer` is whether such a rerun waits for longer, if
    /// nothing was sent again.
    pub(crate) fn is_confirmed_by_rerun(&self, waits_longer: bool) -> bool {
        let is_of_server = self.crosstalk || self.lacks.is_some() || self.own_lacks.is_some();
        let is_missing =
            self.verdict() == Verdict::Fail && self.findings().all(|found| found.event.is_none());
        let was_patient = self.patience >= RETRANSMISSION || self.sends_nothing_again() && !waits_longer;
        is_missing && !is_of_server && (was_patient || !self.awaits_retransmission())
    }

    /// Whether it fails only because nothing was sent again so far, or because messages were not
    /// delivered when nothing was sent for a while.
    pub(crate) fn awaits_retransmission(&self) -> bool {
        let is_check = |finding: &Finding| matches!(finding.check, Check::DeliveryCheck(_));
        let mut findings = self.findings().peekable();
        findings.peek().is_some() && findings.all(|finding| is_check(finding) || is_not_sent_again(finding))
    }

    /// Whether it fails only because nothing was sent again so far.
    pub(crate) fn sends_nothing_again(&self) -> bool {
        let mut findings = self.findings().peekable();
        findings.peek().is_some() && findings.all(is_not_sent_again)
    }

    fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.runs.iter().flat_map(|run| &run.failures).map(|failure| &failure.finding)
    }

    /// Whether stalls of this duration may be the cause of the failure.
    pub(crate) fn may_be_caused_by(&self, stalled: Duration) -> bool {
        if !self.timing_sensitive || stalled.is_zero() {
            return false;
        }
        // A short stall is no reason why the server sent something wrong, and none why something did
        // not come: most of the time in which the run waited for it was no stall.
        let is_untimed = |finding: &Finding| {
            !finding.timing_sensitive
                || finding.event.is_none()
                || matches!(finding.check, Check::Monitor(_) | Check::DeliveryCheck(_))
        };
        let is_certain = self.verdict() == Verdict::Fail && self.findings().all(is_untimed);
        !is_certain || stalled > self.patience / 2
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

    /// Notes that after this case the server no longer does what it did at the start.
    pub(crate) fn stops_service(&mut self, lacks: &str, how: &str) {
        let is_gone = !lacks.starts_with(NO_LONGER_SERVES);
        for run in self.runs.iter_mut().filter(|run| is_gone || run.verdict != Verdict::Fail) {
            run.verdict = Verdict::Error;
            run.reason = format!("after this scenario the server {how}; the transcript has its last packets");
        }
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

/// The checks that failed in a run by their names, and the lines by their numbers.
fn failed(run: &RunResult) -> BTreeSet<(Option<&str>, u32)> {
    let findings = run.failures.iter().map(|failure| &failure.finding);
    let named = findings.map(|finding| match &finding.check {
        Check::Monitor(name) | Check::DeliveryCheck(name) => (Some(name.as_str()), 0),
        _ => (None, finding.line),
    });
    named.collect()
}

fn is_not_sent_again(finding: &Finding) -> bool {
    finding.event.is_none()
        && finding.timing_sensitive
        && finding.requirements.iter().any(|clause| clause.is_one_of(&[SENDS_AGAIN]))
}

impl RunContext {
    /// What the server did at the start and no longer does, in words. A probe that finds a
    /// difference is repeated, because the server may only have been slow.
    pub(crate) async fn lacks(&self) -> Option<String> {
        self.lacks_at(&self.prober).await
    }

    /// The same of another server.
    async fn lacks_at(&self, prober: &Prober) -> Option<String> {
        self.lacks_once(prober).await?;
        self.lacks_once(prober).await
    }

    pub(crate) async fn lacks_once(&self, prober: &Prober) -> Option<String> {
        let run = self.next_token();
        prober.service(self.version(), &run, self.timeouts.subscribing).await.lacks(self.service)
    }

    /// The number of cases that may run at the same time on servers of this kind.
    pub(crate) fn most_on(&self, on: On) -> usize {
        match on {
            On::Shared => usize::MAX,
            On::Own => self.servers,
            On::Accelerated => self.accelerated_servers,
        }
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

    /// How much later than specified the timers of the server may act in a case.
    pub(crate) fn late(&self, placed: &Placed) -> Duration {
        let ends_silence = Facts::of(&placed.case).ends_silence
            || self.keep_alive(placed) != 0
            || self.capabilities.get(SERVER_KEEP_ALIVE).is_some();
        self.timeouts.late.max(if ends_silence { self.keep_alive_late } else { Duration::ZERO })
    }

    /// The names of a run on a server that the scenario does not configure.
    fn names(&self, placed: &Placed, plain: bool) -> Rc<Names> {
        let token = (!plain).then(|| self.next_token());
        // A scenario about anonymous access needs Clients without credentials.
        let tests_anonymous =
            placed.case.scenario.broker.iter().any(|option| option.name == "allow_anonymous");
        let credentials = self.credentials.clone().filter(|_| !tests_anonymous);
        let second = self.target_file.second_identity.clone().map(Credentials::from);
        let names = Names::new(token, &self.token, credentials).with_second_identity(second);
        Rc::new(names.with_keep_alive(self.keep_alive(placed)))
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
    (timeouts.late, timeouts.least) = match placed.is_slow {
        true => (context.late(&placed), Duration::ZERO),
        // Only a timer of the server justifies the long tolerance, and a fast case waits for none.
        false => (Duration::ZERO, timeouts.patience),
    };
    let started = Instant::now();
    let mut runs = Vec::new();
    let (mut crosstalk, mut timing_sensitive, mut own_lacks) = (false, false, None);
    let mut put_forward = Duration::ZERO;
    let mut deviations = Vec::new();
    for offset in 0..u64::from(context.seeds) {
        let seed = context.seed.wrapping_add(offset);
        let Finished { result, timed, .. } = match &placed.place {
            Place::Own(options) | Place::Accelerated(options) => {
                run_on_own_server(&context, &placed, options, seed, timeouts, &mut own_lacks).await
            }
            Place::Exclusive { plain_names } => {
                run_on_shared_server(&context, &placed, seed, timeouts, *plain_names, &mut crosstalk).await
            }
            _ => run_on_shared_server(&context, &placed, seed, timeouts, false, &mut crosstalk).await,
        };
        timing_sensitive |= timed.sensitive;
        put_forward += timed.put_forward;
        deviations.extend(timed.deviations);
        runs.push(result);
    }
    let mut outcome = Outcome {
        index,
        runs,
        took: started.elapsed(),
        started,
        patience: timeouts.patience,
        crosstalk,
        timing_sensitive,
        put_forward,
        deviations,
        lacks: None,
        own_lacks,
    };
    if (outcome.is_bad() || context.probes_each_case) && !placed.place.has_own_server() {
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
) -> Finished {
    let names = context.names(placed, plain_names);
    let instance = context.instance.clone();
    let environment = Environment {
        // Another run may have left Sessions and messages with the same names.
        model: !plain_names,
        endpoint: context.endpoint.clone(),
        names: names.clone(),
        timeouts,
        instance,
        intake: Rc::new(Intake::new(&context.budget)),
        limit: limit(placed.waits, timeouts) + timeouts.travel * placed.lines,
        time: None,
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
    lacks: &mut Option<String>,
) -> Finished {
    let target_file = &context.target_file;
    let start = if options.is_empty() { &target_file.start } else { &target_file.start_with_options };
    let Some(start) = start else {
        let reason = "the target file has no command that starts a server".to_owned();
        return Finished::broken(broken(reason, seed), Timed::default());
    };
    // A scenario that configures or crashes its server needs a new one. Others need only one that
    // no other case uses at the same time. When the clock is put forward, messages of a case before
    // may come, such as a Will that was delayed.
    let is_accelerated = matches!(placed.place, Place::Accelerated(_));
    let facts = Facts::of(&placed.case);
    let needs_new = placed.is_first || facts.crashes_server || is_accelerated && facts.needs_plain_names;
    let is_pooled = options.is_empty() && !needs_new;
    let acceleration = context.acceleration.as_ref().filter(|_| is_accelerated);
    let pool = if is_accelerated { &context.idle_accelerated } else { &context.idle };
    let idle = if is_pooled { pool.borrow_mut().pop() } else { None };
    let text = target_file.options_text(options).unwrap_or_default();
    let instance = match idle {
        Some(instance) => instance,
        None => match Instance::launch(target_file, start, &text, acceleration.map(|one| &one.library)).await
        {
            Ok(instance) => Rc::new(instance),
            Err(error) => {
                let timed = Timed { sensitive: true, ..Timed::default() };
                return Finished::broken(broken(launch_failed(&error, options), seed), timed);
            }
        },
    };
    let plain_names = facts.needs_plain_names;
    let names = match options {
        // Another case may have left a Session on it that the server does not end.
        [] => context.names(placed, plain_names),
        // The scenario itself decides about credentials.
        _ => Rc::new(Names::new(None, &context.token, None).with_keep_alive(context.keep_alive(placed))),
    };
    let endpoint = Endpoint { port: instance.port(), ..context.endpoint.clone() };
    let prober = Prober { endpoint: endpoint.clone(), ..context.prober.clone() };
    let time = acceleration.and_then(|one| {
        let (patience, overdue) = (context.timeouts.patience, placed.overdue.clone());
        FastTime::of(&instance, prober.clone(), context.version(), one.speed, patience, overdue).map(Rc::new)
    });
    let real_waits = placed.waits / acceleration.map_or(1, |one| one.speed);
    let environment = Environment {
        model: !(is_pooled && plain_names),
        endpoint,
        names: names.clone(),
        timeouts,
        instance: Some(instance.clone()),
        intake: Rc::new(Intake::new(&context.budget)),
        limit: limit(real_waits, timeouts) + timeouts.travel * placed.lines,
        time,
    };
    let mut finished = run_in_local_set(context, &placed.case, seed, environment).await;
    if matches!(finished.result.verdict, Verdict::NotJudged | Verdict::Fail | Verdict::Error) {
        finished.result.output = instance.output();
    }
    if is_pooled {
        let (id, patience) = (context.next_token(), context.timeouts.patience);
        cleaning::clean(&prober, names.take_leftovers(), placed.case.version, &id, patience).await;
        *lacks = context.lacks_at(&prober).await;
        if lacks.is_none() {
            pool.borrow_mut().push(instance);
            return finished;
        }
        // The port of a process closes before the process has ended.
        tokio::time::sleep(ENDING).await;
    }
    // A crash by the scenario forgets the process, so this one ended by itself.
    if let Some(how) = instance.ended() {
        *lacks = Some(format!("ended ({how})"));
    }
    instance.stop().await;
    finished
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
) -> Finished {
    let set = LocalSet::new();
    let with_trace = context.keep == KeepTrace::All;
    let command = context.command(case, seed);
    let time = environment.time.clone();
    let run = set.run_until(backend::run(case, &command, environment, with_trace));
    match time {
        Some(time) => time.run(run).await,
        None => run.await,
    }
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
        late: late(tolerance.late_ms, capabilities),
        least: Duration::ZERO,
        settling: milliseconds(20) + round_trip * 2,
        silence: milliseconds(500) + round_trip * 5,
        quiet: milliseconds(500) + round_trip * 5,
        rest: Some(milliseconds(tolerance.patience_ms).max(REST) + round_trip * 20),
        shorter: 5,
        travel: milliseconds(20) + round_trip * 2,
        subscribing: capabilities.subscribing,
    }
}

/// How much later than specified a timer may act. A round trip is added, as to all times.
pub(crate) fn late(milliseconds: u64, capabilities: &Capabilities) -> Duration {
    Duration::from_millis(milliseconds) + capabilities.round_trip * 5
}

/// The reason of the error of a case that did not end within the time limit of all cases.
pub(crate) fn out_of_time(limit: Duration) -> String {
    format!("the run was stopped after {limit:?}, its time limit, before this case ended")
}

/// Timeouts for a server that may send again late.
pub(crate) fn patient(timeouts: Timeouts) -> Timeouts {
    let rest = timeouts.rest.map(|rest| rest.max(RETRANSMISSION));
    Timeouts { patience: timeouts.patience.max(RETRANSMISSION), rest, ..timeouts }
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
