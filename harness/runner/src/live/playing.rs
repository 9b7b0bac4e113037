//! One case before a live server: under its seeds, on the server that all share or on one of its own.

use core::time::Duration;
use std::cell::Cell;
use std::rc::Rc;

use mqttspec_codec::Version;
use tokio::task::LocalSet;
use tokio::time::Instant;

use super::backend::{self, Surroundings};
use super::cleaning;
use super::launcher::{Instance, LaunchError};
use super::names::{Credentials, Names};
use super::placing::{Place, Placed, says_keep_alive};
use super::probes::{Capabilities, KEEP_ALIVE_0, Prober};
use super::target_file::TargetFile;
use super::tokens::base36;
use super::wire::Reach;
use crate::backend::Timeouts;
use crate::suite::KeepTrace;
use mqttspec_judge::Case;
use mqttspec_judge::command::RepeatCommand;
use mqttspec_judge::results::RunResult;
use mqttspec_judge::verdict::Verdict;

/// What every run needs to know.
pub(crate) struct Shared {
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) target_file: TargetFile,
    pub(crate) credentials: Option<Credentials>,
    pub(crate) capabilities: Capabilities,
    pub(crate) pace: Timeouts,
    pub(crate) reach: Reach,
    pub(crate) prober: Prober,
    /// Whose traces are kept.
    pub(crate) keep: KeepTrace,
    /// The server that all share, if it can be crashed and started.
    pub(crate) instance: Option<Rc<Instance>>,
    /// Whether servers can be started here.
    pub(crate) starts: bool,
    pub(crate) token: String,
    pub(crate) runs: Cell<u64>,
    pub(crate) seed: u64,
    pub(crate) seeds: u32,
    /// How the target was named: see [`super::LiveOptions::named`].
    pub(crate) named: String,
}

/// What came of playing one case.
pub(crate) struct Played {
    pub(crate) index: usize,
    pub(crate) runs: Vec<RunResult>,
    pub(crate) took: Duration,
    pub(crate) begun: Instant,
    /// Whether a message of another run came: the server does not keep runs apart.
    pub(crate) strayed: bool,
    /// Whether what failed may be due to somebody's lack of time.
    pub(crate) timed: bool,
    /// Whether the server that all share still answered when something had failed on it.
    pub(crate) alive: bool,
}

impl Played {
    pub(crate) fn of(index: usize, run: RunResult) -> Self {
        let begun = Instant::now();
        Self { index, runs: vec![run], took: Duration::ZERO, begun, strayed: false, timed: true, alive: true }
    }

    /// Whether both failed at the same lines.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let lines = |played: &Self| -> Vec<(Verdict, Vec<u32>)> {
            let of_run = |run: &RunResult| {
                (run.verdict, run.failures.iter().map(|failure| failure.finding.line).collect())
            };
            played.runs.iter().map(of_run).collect()
        };
        lines(self) == lines(other)
    }

    pub(crate) fn verdict(&self) -> Verdict {
        self.runs.iter().map(|run| run.verdict).max().unwrap_or(Verdict::Error)
    }

    /// Whether it may have to be played again.
    pub(crate) fn is_bad(&self) -> bool {
        matches!(self.verdict(), Verdict::NotJudged | Verdict::Fail | Verdict::Error)
    }

    /// Whether another run would end in the same way: the server chose something else than the scenario needs.
    pub(crate) fn is_settled(&self) -> bool {
        self.verdict() == Verdict::NotJudged && !self.timed
    }
}

impl Shared {
    pub(crate) async fn is_alive(&self) -> bool {
        self.prober.is_alive(self.version(), self.pace.patience * 2).await
    }

    /// The newest version that the server speaks.
    pub(crate) fn version(&self) -> Version {
        self.capabilities.versions.last().copied().unwrap_or(Version::V3_1_1)
    }

    /// What a case has on the wire for Keep Alive 0: something else only where the server refuses it, and where the scenario says nothing of it.
    fn keep_alive(&self, placed: &Placed) -> u16 {
        match self.capabilities.get(KEEP_ALIVE_0) {
            Some("0") if !says_keep_alive(&placed.case) => 600,
            _ => 0,
        }
    }

    pub(crate) fn next_token(&self) -> String {
        self.runs.set(self.runs.get() + 1);
        format!("{}{}", self.token, base36(self.runs.get()))
    }

    /// The one command that runs a case again under a seed.
    pub(crate) fn command(&self, case: &Case, seed: u64) -> RepeatCommand {
        let target = match (&self.target_file.start, self.starts) {
            _ if !self.named.is_empty() => self.named.clone(),
            (Some(start), true) => format!("--start '{start}'"),
            _ => format!("--target {}", self.url),
        };
        RepeatCommand { role: None, target: Some(target), ..case.repeat_command(seed) }
    }
}

/// Plays a case in its place, under each of its seeds.
pub(crate) async fn play(shared: Rc<Shared>, index: usize, placed: Placed, mut pace: Timeouts) -> Played {
    if !placed.by_the_clock {
        // Clocks of servers are coarse. What follows at once from what came before is not late because of them.
        pace.late = pace.late.min(pace.patience);
    }
    let begun = Instant::now();
    let mut runs = Vec::new();
    let (mut strayed, mut timed) = (false, false);
    for offset in 0..u64::from(shared.seeds) {
        let seed = shared.seed.wrapping_add(offset);
        let (run, by_time) = match &placed.place {
            Place::Own(options) => play_on_own(&shared, &placed, options, seed, pace).await,
            Place::Alone { unnamed } => {
                play_on_shared(&shared, &placed, seed, pace, *unnamed, &mut strayed).await
            }
            _ => play_on_shared(&shared, &placed, seed, pace, false, &mut strayed).await,
        };
        timed |= by_time;
        runs.push(run);
    }
    let mut played = Played { index, runs, took: begun.elapsed(), begun, strayed, timed, alive: true };
    if played.is_bad() && !matches!(placed.place, Place::Own(_)) {
        played.alive = shared.is_alive().await;
    }
    played
}

pub(crate) async fn play_on_shared(
    shared: &Shared,
    placed: &Placed,
    seed: u64,
    pace: Timeouts,
    unnamed: bool,
    strayed: &mut bool,
) -> (RunResult, bool) {
    let token = (!unnamed).then(|| shared.next_token());
    // Where nobody may come without credentials, a Client that has none shows it.
    let none_asked = placed.case.scenario.broker.iter().any(|option| option.name == "allow_anonymous");
    let credentials = shared.credentials.clone().filter(|_| !none_asked);
    let second = shared.target_file.second_identity.clone().map(Credentials::from);
    let names = Names::new(token, &shared.token, credentials).with_second_identity(second);
    let names = Rc::new(names.with_keep_alive(shared.keep_alive(placed)));
    let power = shared.instance.clone();
    let surroundings = Surroundings {
        reach: shared.reach.clone(),
        names: names.clone(),
        timeouts: pace,
        power,
        limit: limit(placed.waits, pace),
    };
    let run = in_a_set_of_its_own(shared, &placed.case, seed, surroundings).await;
    *strayed |= names.has_strayed();
    let left = names.take_left_behind();
    cleaning::clean(&shared.prober, left, placed.case.version, &shared.next_token(), shared.pace.patience)
        .await;
    run
}

pub(crate) async fn play_on_own(
    shared: &Shared,
    placed: &Placed,
    options: &[(String, String)],
    seed: u64,
    pace: Timeouts,
) -> (RunResult, bool) {
    let target_file = &shared.target_file;
    let start = if options.is_empty() { &target_file.start } else { &target_file.start_with_options };
    let Some(start) = start else {
        return (broken("the target file does not say how a server is started".to_owned(), seed), false);
    };
    let text = target_file.options_text(options).unwrap_or_default();
    let instance = match Instance::launch(target_file, start, &text).await {
        Ok(instance) => Rc::new(instance),
        Err(error) => return (broken(launch_failed(&error, options), seed), true),
    };
    // What the options ask of Clients is the scenario's business.
    let credentials = shared.credentials.clone().filter(|_| options.is_empty());
    let names = Names::new(None, &shared.token, credentials).with_keep_alive(shared.keep_alive(placed));
    let names = Rc::new(names);
    let reach = Reach { port: instance.port(), ..shared.reach.clone() };
    let surroundings = Surroundings {
        reach,
        names,
        timeouts: pace,
        power: Some(instance.clone()),
        limit: limit(placed.waits, pace),
    };
    let (mut run, by_time) = in_a_set_of_its_own(shared, &placed.case, seed, surroundings).await;
    // A crash that the scenario asks for leaves no such trace.
    if let Some(how) = instance.ended() {
        run.verdict = Verdict::Error;
        run.reason = format!(
            "the server ended ({how}) in this scenario; its last packets are those of the transcript"
        );
    }
    instance.stop().await;
    if matches!(run.verdict, Verdict::NotJudged | Verdict::Fail | Verdict::Error) {
        run.output = instance.output();
    }
    (run, by_time)
}

pub(crate) fn launch_failed(error: &LaunchError, options: &[(String, String)]) -> String {
    let options: Vec<String> = options.iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("a server with {} does not start: {error}", options.join(" "))
}

/// A run's tasks end with the run.
pub(crate) async fn in_a_set_of_its_own(
    shared: &Shared,
    case: &Case,
    seed: u64,
    surroundings: Surroundings,
) -> (RunResult, bool) {
    let set = LocalSet::new();
    let with_trace = shared.keep == KeepTrace::All;
    let command = shared.command(case, seed);
    set.run_until(backend::run(case, &command, surroundings, with_trace)).await
}

/// What reports call the target.
pub(crate) fn name(target_file: &TargetFile, reach: &Reach, starts: bool) -> String {
    let program = || {
        let command = target_file.start.as_deref().filter(|_| starts)?;
        command.split_whitespace().next()?.rsplit('/').next().map(str::to_owned)
    };
    if !target_file.name.is_empty() {
        return target_file.name.clone();
    }
    program().unwrap_or_else(|| format!("{}:{}", reach.host, reach.port))
}

/// How long a run may take before it counts as one that never ends.
pub(crate) fn limit(waits: Duration, pace: Timeouts) -> Duration {
    waits * 2 + pace.patience * 10 + Duration::from_secs(20)
}

/// Deadlines scale with the round trip that was measured.
pub(crate) fn pace(target_file: &TargetFile, capabilities: &Capabilities) -> Timeouts {
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
    broken("the harness itself failed in this scenario".to_owned(), seed)
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
