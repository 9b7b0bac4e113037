//! One live session: first contact, every case in its place, what failed once more by itself, and a server that dies on the way.

use core::time::Duration;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use mqttspec_codec::Version;
use mqttspec_net::transport::{LiveNet, Scheme};
use tokio::task::{AbortHandle, Id, JoinSet};
use tokio::time::Instant;

use super::launcher::Instance;
use super::names::Credentials;
use super::placing::{Place, Placed, Placing};
use super::playing::{Played, Shared, broken, name, pace, panicked, play, skipped};
use super::probes::{KEEP_ALIVE_0, Prober, TIME_TO_ANSWER};
use super::schedule::Limits;
use super::stall_detector::StallDetector;
use super::tokens::token;
use super::wire::Reach;
use super::{LiveError, LiveOptions, Progress, Took};
use crate::backend::Timeouts;
use crate::suite::{Plan, summary};
use mqttspec_codec::Role;
use mqttspec_judge::results::{CaseResult, FORMAT, SuiteResult, Target, TargetKind};
use mqttspec_judge::verdict::Verdict;

/// How many servers are started side by side for cases that need one of their own.
const OWN_SERVERS: usize = 32;

/// How many cases that failed are played again side by side.
const AGAIN: usize = 48;

/// The longest wait that a scenario may ask for, unless the user is patient.
const LONGEST_WAIT: Duration = Duration::from_secs(6);

/// How long silence is watched.
const SILENCE: Duration = Duration::from_millis(400);

/// How long a server that nobody here can start may be away before it counts as gone.
const COMES_BACK: Duration = Duration::from_secs(10);

/// See [`super::run_live`].
pub(crate) async fn judge(
    plan: &Plan,
    options: &LiveOptions,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<SuiteResult, LiveError> {
    let judging = async {
        let mut session = Session::meet(plan, options, progress).await?;
        session.play_all(progress).await;
        let result = session.result(plan);
        session.stop().await;
        Ok(result)
    };
    tokio::select! {
        judged = judging => judged,
        // Dropping the rest kills what was started.
        () = interrupted() => Err(LiveError::Interrupted),
    }
}

/// Resolves when somebody wants the process to end.
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => if pressed.is_err() { std::future::pending().await },
        _ = terminate.recv() => {}
    }
}

struct Session<'s> {
    options: &'s LiveOptions,
    shared: Rc<Shared>,
    placed: Vec<Placed>,
    notes: Vec<String>,
    results: BTreeMap<usize, CaseResult>,
    /// The server is gone for good: why.
    gone: Option<String>,
    /// Those that were played and neither wait for long nor for a clock of the server.
    brisk: Account,
    /// The others that were played.
    by_the_clock: Account,
}

/// A case that is being played beside others.
struct Running {
    index: usize,
    /// On a server of its own.
    is_own: bool,
    /// What came of it the first time, if it is played again.
    before: Option<Played>,
    task: AbortHandle,
}

/// How many cases of a kind are done, and when the last of them was.
#[derive(Clone, Copy, Default)]
struct Account {
    cases: usize,
    last: Option<Instant>,
}

impl Account {
    fn add(&mut self) {
        self.cases += 1;
        self.last = Some(Instant::now());
    }

    fn since(self, begun: Instant) -> Took {
        let took = self.last.map_or(Duration::ZERO, |last| last.saturating_duration_since(begun));
        Took { cases: self.cases, took }
    }
}

impl<'s> Session<'s> {
    /// Starts the server if it is ours to start, and finds out what it can do.
    async fn meet(
        plan: &Plan,
        options: &'s LiveOptions,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Self, LiveError> {
        let target_file = options.target_file.clone();
        let in_file = target_file.credentials.clone().map(Credentials::from);
        let credentials = options.credentials.clone().or(in_file);
        let (reach, url, instance, scheme, starts) = match (&options.target, &target_file.start) {
            (Some(target), _) => {
                let net = LiveNet::to(target, options.tls.clone())?;
                let reach = Reach { net, host: target.host.clone(), port: target.port };
                let power = match target_file.kill.is_some() || target_file.reset.is_some() {
                    true => Some(Rc::new(Instance::running(&target_file, &target.host, target.port)?)),
                    false => None,
                };
                (reach, target.to_string(), power, target.scheme, false)
            }
            (None, Some(start)) => {
                progress(Progress::Doing("starting the server"));
                let instance = Instance::launch(&target_file, start, "").await?;
                let reach =
                    Reach { net: LiveNet::tcp(), host: "127.0.0.1".to_owned(), port: instance.port() };
                let url = format!("mqtt://127.0.0.1:{}", instance.port());
                (reach, url, Some(Rc::new(instance)), Scheme::Mqtt, true)
            }
            (None, None) => return Err(LiveError::NoTarget),
        };
        if let Some(instance) = instance.as_ref().filter(|_| target_file.reset.is_some()) {
            instance.reset().await?;
        }
        progress(Progress::Doing("asking the server what it can do"));
        let prober = Prober {
            reach: reach.clone(),
            url: url.clone(),
            encrypted: scheme.is_encrypted(),
            websocket: matches!(scheme, Scheme::Ws | Scheme::Wss),
            credentials: credentials.clone(),
            token: token(),
            patience: TIME_TO_ANSWER.min(Duration::from_millis(target_file.tolerance.patience_ms) * 5),
        };
        let mut capabilities = match prober.probe().await {
            Ok(capabilities) => capabilities,
            Err(contact) => {
                return Err(match (&target_file.start, &instance, starts) {
                    (Some(start), Some(instance), true) => {
                        let output = instance.output_text();
                        LiveError::Started { contact, start: start.clone(), output }
                    }
                    _ => contact.into(),
                });
            }
        };
        capabilities.overrule(&target_file.capabilities);
        let pace = pace(&target_file, &capabilities);
        let name = name(&target_file, &reach, starts);
        let shared = Shared {
            name,
            url,
            credentials,
            capabilities,
            pace,
            reach,
            token: prober.token.clone(),
            prober,
            keep: options.keep,
            instance,
            starts,
            target_file,
            runs: Cell::new(0),
            seed: options.seed,
            seeds: options.seeds.max(1),
            named: options.named.clone(),
        };
        let mut session = Self {
            options,
            shared: Rc::new(shared),
            placed: Vec::new(),
            notes: Vec::new(),
            results: BTreeMap::new(),
            gone: None,
            brisk: Account::default(),
            by_the_clock: Account::default(),
        };
        session.place(plan);
        progress(Progress::Met {
            name: &session.shared.name,
            url: &session.shared.url,
            capabilities: &session.shared.capabilities.announced,
            tolerance: pace.late,
            notes: &session.notes,
            cases: session.placed.len(),
        });
        Ok(session)
    }

    fn place(&mut self, plan: &Plan) {
        let shared = self.shared.clone();
        let placing = Placing {
            capabilities: &shared.capabilities,
            target_file: &shared.target_file,
            starts: shared.starts,
            limits: Limits {
                wait: (!self.options.patient).then_some(LONGEST_WAIT),
                silence: if self.options.patient { Duration::MAX } else { SILENCE },
            },
            has_credentials: shared.credentials.is_some(),
            quick: self.options.quick,
        };
        let servers = plan.cases.iter().filter(|case| case.tests == Role::Server);
        self.placed = servers.map(|case| placing.place(case)).collect();
        let clients = plan.cases.len() - self.placed.len();
        if clients > 0 {
            self.notes.push(format!("{clients} cases test clients: they are left out before a live server"));
        }
        if shared.capabilities.get(KEEP_ALIVE_0) == Some("0") {
            self.notes.push(
                "the target refuses Keep Alive 0, which turns it off (section 3.1.2.10): scenarios that say nothing of it are played with \
                 10 minutes"
                    .to_owned(),
            );
        }
        for version in Version::ALL {
            let of_version = self.placed.iter().filter(|placed| placed.case.version == version).count();
            if of_version > 0 && !shared.capabilities.versions.contains(&version) {
                self.notes
                    .push(format!("the target does not speak MQTT {version}: {of_version} cases skipped"));
            }
        }
    }

    async fn play_all(&mut self, progress: &mut dyn FnMut(Progress<'_>)) {
        for index in 0..self.placed.len() {
            if let Place::Nowhere(reason) = self.placed[index].place.clone() {
                let run = skipped(reason, self.shared.seed);
                self.done(Played::of(index, run), progress);
            }
        }
        let begun = Instant::now();
        let is_beside = |placed: &Placed| matches!(placed.place, Place::Beside | Place::Own(_));
        let all = (0..self.placed.len()).filter(|index| is_beside(&self.placed[*index])).collect();
        let mut suspects = BTreeSet::new();
        let mut alone = self.play_beside(all, &mut suspects, progress).await;
        let is_alone = |placed: &Placed| matches!(placed.place, Place::Alone { .. });
        alone.extend((0..self.placed.len()).filter(|index| is_alone(&self.placed[*index])));
        alone.sort_unstable_by_key(|index| (self.placed[*index].by_the_clock, *index));
        alone.dedup();
        for index in alone {
            self.play_alone(index, progress).await;
        }
        let held = |index: &&usize| self.results.get(index).is_some_and(|case| case.verdict == Verdict::Pass);
        let held: Vec<String> =
            suspects.iter().filter(held).map(|index| self.placed[*index].case.name()).collect();
        if !held.is_empty() {
            self.notes.push(format!(
                "{} cases failed beside others and held when they were played again: {}",
                held.len(),
                held.join(", ")
            ));
        }
        progress(Progress::Over {
            brisk: self.brisk.since(begun),
            by_the_clock: self.by_the_clock.since(begun),
        });
    }

    /// Plays cases side by side, those that wait longest first. What fails while many play, the first time with half the patience, is
    /// played again when all have begun and those that are left mostly wait. What fails there in the same way counts; but where it may be
    /// due to lack of time, only if everybody got theirs meanwhile. Gives the cases that are to be played while nothing else goes on, and
    /// adds to `suspects` those that failed once.
    async fn play_beside(
        &mut self,
        cases: Vec<usize>,
        suspects: &mut BTreeSet<usize>,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Vec<usize> {
        let shared = self.shared.clone();
        let jobs = self.options.jobs.max(1);
        let stalls = StallDetector::watch(
            &shared.prober,
            shared.version(),
            format!("{}calm", shared.token),
            shared.capabilities.round_trip,
        );
        let first = Timeouts { patience: shared.pace.patience / 2, ..shared.pace };
        let (mut own, mut beside): (Vec<usize>, Vec<usize>) =
            cases.into_iter().partition(|index| matches!(self.placed[*index].place, Place::Own(_)));
        // Taken from the end.
        own.sort_by_key(|index| self.placed[*index].waits);
        beside.sort_by_key(|index| self.placed[*index].waits);
        let mut again: Vec<Played> = Vec::new();
        let mut alone = Vec::new();
        let mut set = JoinSet::new();
        let mut running: BTreeMap<Id, Running> = BTreeMap::new();
        loop {
            if self.gone.is_some() {
                // There is nobody to play them with: each says so.
                alone.extend(own.drain(..).chain(beside.drain(..)));
                alone.extend(again.drain(..).map(|played| played.index));
            }
            for (queue, most, is_own) in [(&mut own, OWN_SERVERS.min(jobs), true), (&mut beside, jobs, false)]
            {
                while running.values().filter(|one| one.is_own == is_own).count() < most
                    && let Some(index) = queue.pop()
                {
                    let placed = self.placed[index].clone();
                    let pace = if placed.by_the_clock { shared.pace } else { first };
                    let task = set.spawn_local(play(shared.clone(), index, placed, pace));
                    running.insert(task.id(), Running { index, is_own, before: None, task });
                }
            }
            let works = |one: &Running| one.before.is_none() && !self.placed[one.index].by_the_clock;
            if own.is_empty() && beside.is_empty() && !running.values().any(works) {
                again.sort_by_key(|played| self.placed[played.index].waits);
                while running.values().filter(|one| one.before.is_some()).count() < AGAIN.min(jobs)
                    && let Some(before) = again.pop()
                {
                    let (index, placed) = (before.index, self.placed[before.index].clone());
                    let is_own = matches!(placed.place, Place::Own(_));
                    let task = set.spawn_local(play(shared.clone(), index, placed, shared.pace));
                    running.insert(task.id(), Running { index, is_own, before: Some(before), task });
                }
            }
            let Some(joined) = set.join_next_with_id().await else { return alone };
            let id = joined.as_ref().map_or_else(tokio::task::JoinError::id, |(id, _)| *id);
            // What was aborted is not there any more.
            let Some(Running { index, before, .. }) = running.remove(&id) else { continue };
            let played = match joined {
                Ok((_, played)) => played,
                Err(_) => Played::of(index, panicked(shared.seed)),
            };
            if played.is_bad() && played.alive && !played.strayed {
                suspects.insert(index);
            }
            if !played.is_bad() {
                self.done(played, progress);
            } else if !played.alive {
                // Whoever did it, all that were under way on that server are played again by themselves.
                alone.push(index);
                running.retain(|_, one| {
                    if !one.is_own {
                        one.task.abort();
                        alone.push(one.index);
                    }
                    one.is_own
                });
                self.revive().await;
            } else if played.strayed {
                alone.push(index);
            } else if played.is_settled() {
                self.done(played, progress);
            } else if let Some(before) = before {
                let by_time = played.timed || before.timed;
                if before.is_like(&played) && (!by_time || stalls.is_calm_since(played.begun)) {
                    self.done(played, progress);
                } else {
                    alone.push(index);
                }
            } else {
                again.push(played);
            }
        }
    }

    /// Plays a case while nothing else goes on: what comes of it counts.
    async fn play_alone(&mut self, index: usize, progress: &mut dyn FnMut(Progress<'_>)) {
        if let Some(reason) = self.gone.clone() {
            let run = broken(reason, self.shared.seed);
            self.done(Played::of(index, run), progress);
            return;
        }
        let placed = self.placed[index].clone();
        let is_shared = !matches!(placed.place, Place::Own(_));
        let mut played = play(self.shared.clone(), index, placed, self.shared.pace).await;
        // Also what passes may end the server: a close may be what the scenario expects.
        played.alive = !is_shared || self.shared.is_alive().await;
        if !played.alive {
            // A process that ends closes its port a moment before it has ended.
            tokio::time::sleep(Duration::from_millis(300)).await;
            let how = self.how_it_ended();
            let reason =
                format!("the server {how} in this scenario; its last packets are those of the transcript");
            for run in &mut played.runs {
                run.verdict = Verdict::Error;
                run.reason.clone_from(&reason);
            }
            self.revive().await;
        }
        self.done(played, progress);
    }

    fn how_it_ended(&self) -> String {
        let how = self.shared.instance.as_ref().and_then(|instance| instance.ended());
        how.map_or_else(|| "no longer answers a CONNECT".to_owned(), |how| format!("ended ({how})"))
    }

    /// Brings a server back that has died or hangs.
    async fn revive(&mut self) {
        let shared = self.shared.clone();
        let how = self.how_it_ended();
        self.notes
            .push(format!("the server {how} in mid run: what was under way was played again by itself"));
        if let Some(instance) =
            shared.instance.as_ref().filter(|_| shared.starts || shared.target_file.kill.is_some())
        {
            let restarted = async {
                instance.crash().await?;
                instance.start().await
            };
            if let Err(error) = restarted.await {
                self.gone = Some(format!("the server died, and does not start again: {error}"));
            }
            return;
        }
        let until = Instant::now() + COMES_BACK;
        while Instant::now() < until {
            if shared.is_alive().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        self.gone = Some(format!(
            "the server at {} died in an earlier scenario, and nothing here can start it",
            shared.url
        ));
    }

    fn done(&mut self, played: Played, progress: &mut dyn FnMut(Progress<'_>)) {
        let Placed { case, place, by_the_clock, .. } = &self.placed[played.index];
        if !matches!(place, Place::Nowhere(_)) {
            let account = if *by_the_clock { &mut self.by_the_clock } else { &mut self.brisk };
            account.add();
        }
        let result = summary(case, played.runs, self.options.keep, Some(played.took));
        self.results.insert(played.index, result);
        let (done, of) = (self.results.len(), self.placed.len());
        if let Some(case) = self.results.get(&played.index) {
            progress(Progress::Done { case, done, of });
        }
    }

    fn result(&mut self, plan: &Plan) -> SuiteResult {
        let shared = &self.shared;
        SuiteResult {
            format: FORMAT,
            target: Target {
                name: shared.name.clone(),
                kind: TargetKind::Live,
                url: Some(shared.url.clone()),
                capabilities: shared.capabilities.announced.clone(),
                tolerance_ms: u64::try_from(shared.pace.late.as_millis()).ok(),
                output: shared.instance.as_ref().map_or_else(Vec::new, |instance| instance.output()),
            },
            seed: shared.seed,
            seeds: shared.seeds,
            strict: false,
            cases: std::mem::take(&mut self.results).into_values().collect(),
            errors: plan.errors.clone(),
            notes: std::mem::take(&mut self.notes),
        }
    }

    async fn stop(&self) {
        if let Some(instance) = self.shared.instance.as_ref().filter(|_| self.shared.starts) {
            instance.stop().await;
        }
    }
}
