//! A live session: probes the server, runs every case where it was placed, reruns failures, and
//! restarts a server that ends.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use mqttspec_codec::Version;
use tokio::task::{Id, JoinSet};
use tokio::time::Instant;

use super::acceleration::acceleration_note;
use super::case_run::{
    ENDING, Outcome, RunContext, broken, out_of_time, panicked, patient, run_case, skipped,
};
use super::contact::contact;
use super::passes::{Pass, Running, Tally, deviations_note, interrupted};
use super::placing::{Place, Placed, Placing};
use super::probes::KEEP_ALIVE_0;
use super::schedule::{Limits, Times};
use super::service_watch::ServiceWatch;
use super::stall_detector::StallDetector;
use super::{LiveError, LiveOptions, Progress};
use crate::backend::Timeouts;
use crate::found::Deviated;
use crate::intake::KeptTraces;
use crate::suite::{Plan, summary};
use mqttspec_codec::Role;
use mqttspec_judge::results::{CaseResult, FORMAT, SuiteResult, Target, TargetKind};
use mqttspec_judge::verdict::Verdict;

/// The number of servers whose clock is put forward at a time.
const ACCELERATED_SERVERS: usize = 8;

/// Why a failure of a case that cannot run in real time does not count: not every clock of a server
/// may follow.
const ONLY_ACCELERATED: &str = "it fails on a server whose clock is put forward, and takes too long in \
                                real time: run with --patient";

/// The number of concurrent reruns.
const MAX_RERUNS: usize = 48;

/// The number of concurrent runs of cases whose failure the machine may have caused.
const LAST_JOBS: usize = 16;

/// A scenario with a longer wait is skipped without `--patient`.
const LONGEST_WAIT: Duration = Duration::from_secs(6);

/// The longest time for which `nothing` is expected without `--patient`.
const SILENCE: Duration = Duration::from_millis(400);

/// The number of cases that a note names.
const LISTED: usize = 5;

/// How long the session waits for a server that it cannot start itself.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(10);

/// See [`super::run_live`].
pub(crate) async fn judge(
    plan: &Plan,
    options: &LiveOptions,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<SuiteResult, LiveError> {
    let mut session = tokio::select! {
        connected = Session::connect(plan, options, progress) => connected?,
        // Dropping the session kills the servers that it started.
        () = interrupted() => return Err(LiveError::Interrupted),
    };
    let stopped = tokio::select! {
        () = session.run_all(progress) => None,
        () = interrupted() => Some(GiveUp::Interrupted),
        () = tokio::time::sleep(options.time_limit) => Some(GiveUp::TimeLimit(options.time_limit)),
    };
    if let Some(why) = stopped {
        session.give_up(why, progress);
    }
    let result = session.result(plan);
    session.stop().await;
    Ok(result)
}

/// Why a run ends before its last case.
#[derive(Clone, Copy, Debug)]
enum GiveUp {
    Interrupted,
    TimeLimit(Duration),
}

struct Session<'s> {
    options: &'s LiveOptions,
    context: Rc<RunContext>,
    placed: Vec<Placed>,
    /// The accelerated cases as they run in real time.
    in_real_time: BTreeMap<usize, Placed>,
    /// The accelerated cases that failed and run in real time therefore, as they were accelerated.
    slowed: BTreeMap<usize, Placed>,
    notes: Vec<String>,
    results: BTreeMap<usize, CaseResult>,
    traces: KeptTraces,
    /// Why the server cannot be used any more, if so, and the cases that may be the cause.
    server_lost: Option<(String, Vec<usize>)>,
    /// The cases on the shared server that ended, and when.
    ended: Vec<(usize, Instant)>,
    /// The cases that may be the cause of a server that stopped serving, and those that got messages
    /// of others. Each runs on a server to itself.
    apart: BTreeSet<usize>,
    /// The cases that failed twice while the machine stalled.
    stalled: Vec<usize>,
    /// What came earlier or later than a scenario says, within the tolerance, and in which case.
    deviations: Vec<(String, Deviated)>,
    /// The fast cases that ran.
    fast: Tally,
    /// The slow cases that ran.
    slow: Tally,
}

impl<'s> Session<'s> {
    /// Contacts the server, and places the cases.
    async fn connect(
        plan: &Plan,
        options: &'s LiveOptions,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Self, LiveError> {
        let (context, notes) = contact(options, progress).await?;
        let mut session = Self {
            options,
            context: Rc::new(context),
            placed: Vec::new(),
            in_real_time: BTreeMap::new(),
            slowed: BTreeMap::new(),
            notes,
            results: BTreeMap::new(),
            traces: KeptTraces::default(),
            server_lost: None,
            ended: Vec::new(),
            apart: BTreeSet::new(),
            stalled: Vec::new(),
            deviations: Vec::new(),
            fast: Tally::default(),
            slow: Tally::default(),
        };
        session.place(plan);
        progress(Progress::Connected {
            name: &session.context.name,
            url: &session.context.url,
            capabilities: &session.context.capabilities.values,
            tolerance: session.context.timeouts.late,
            notes: &session.notes,
            cases: session.placed.len(),
        });
        Ok(session)
    }

    fn place(&mut self, plan: &Plan) {
        let context = self.context.clone();
        let placing = Placing {
            capabilities: &context.capabilities,
            target_file: &context.target_file,
            starts: context.starts,
            limits: Limits {
                times: Times::Live,
                wait: (!self.options.patient).then_some(LONGEST_WAIT),
                silence: if self.options.patient { Duration::MAX } else { SILENCE },
                travel: context.timeouts.travel,
            },
            has_credentials: context.credentials.is_some(),
            quick: self.options.quick,
        };
        let servers = plan.cases.iter().filter(|case| case.tests == Role::Server);
        self.placed = servers.map(|case| placing.place(case)).collect();
        let clients = plan.cases.len() - self.placed.len();
        let servers = plan.cases.iter().filter(|case| case.tests == Role::Server);
        if let Some(acceleration) = context.acceleration.as_ref().filter(|_| !self.options.quick) {
            for (index, case) in servers.enumerate() {
                if let Some(placed) = placing.place_accelerated(case, acceleration.speed) {
                    let before = std::mem::replace(&mut self.placed[index], placed);
                    self.in_real_time.insert(index, before);
                }
            }
            self.notes.push(acceleration_note(self.in_real_time.len(), acceleration.speed));
        }
        if clients > 0 {
            self.notes.push(format!("{clients} cases test clients: not run against a live server"));
        }
        if context.capabilities.get(KEEP_ALIVE_0) == Some("0") {
            self.notes.push(
                "the target refuses Keep Alive 0, which disables it (section 3.1.2.10): scenarios that do \
                 not set Keep Alive run with 10 minutes"
                    .to_owned(),
            );
        }
        for version in Version::ALL {
            let of_version = self.placed.iter().filter(|placed| placed.case.version == version).count();
            if of_version > 0 && !context.capabilities.versions.contains(&version) {
                self.notes
                    .push(format!("the target does not support MQTT {version}: {of_version} cases skipped"));
            }
        }
    }

    async fn run_all(&mut self, progress: &mut dyn FnMut(Progress<'_>)) {
        for index in 0..self.placed.len() {
            if let Place::Skip(reason) = self.placed[index].place.clone() {
                let run = skipped(reason, self.context.seed);
                self.done(Outcome::of(index, run), progress);
            }
        }
        let started = Instant::now();
        let runs_concurrently =
            |placed: &Placed| placed.place == Place::Shared || placed.place.has_own_server();
        let all = (0..self.placed.len()).filter(|index| runs_concurrently(&self.placed[*index])).collect();
        let mut failed_once = BTreeSet::new();
        let jobs = self.options.jobs.max(1);
        let first = Pass { cases: all, jobs, is_last: false };
        let mut alone = self.run_concurrently(first, &mut failed_once, progress).await;
        let again = std::mem::take(&mut self.stalled);
        let last = Pass { cases: again, jobs: jobs.min(LAST_JOBS), is_last: true };
        alone.extend(self.run_concurrently(last, &mut failed_once, progress).await);
        let runs_exclusively = |placed: &Placed| matches!(placed.place, Place::Exclusive { .. });
        alone.extend((0..self.placed.len()).filter(|index| runs_exclusively(&self.placed[*index])));
        alone.sort_unstable_by_key(|index| (self.placed[*index].is_slow, *index));
        alone.dedup();
        for index in alone {
            self.run_exclusively(index, progress).await;
        }
        let passed =
            |index: &&usize| self.results.get(index).is_some_and(|case| case.verdict == Verdict::Pass);
        let recovered: Vec<usize> = failed_once.iter().filter(passed).copied().collect();
        let slowed: Vec<usize> = self.slowed.keys().filter(passed).copied().collect();
        if !recovered.is_empty() {
            self.notes.push(format!(
                "{} cases failed when run concurrently and passed when rerun: {}",
                recovered.len(),
                self.names(&recovered)
            ));
        }
        if !slowed.is_empty() {
            self.notes.push(format!(
                "{} cases failed on a server whose clock was put forward and passed in real time, which \
                 counts: {}",
                slowed.len(),
                self.names(&slowed)
            ));
        }
        self.notes.extend(deviations_note(&self.deviations, self.context.timeouts));
        progress(Progress::Finished { fast: self.fast.since(started), slow: self.slow.since(started) });
    }

    /// Runs cases concurrently, those with the longest waits first. The first attempt of a fast
    /// case has half the patience. A failed case is rerun when no first attempt of a fast case is
    /// left. If it fails at the same lines again, the failure counts, unless it may be caused by
    /// timing and a stall was detected meanwhile. In the last pass, the first attempt counts.
    /// Returns the cases that must run alone, and adds every case that failed to `failed_once`.
    async fn run_concurrently(
        &mut self,
        Pass { cases, jobs, is_last }: Pass,
        failed_once: &mut BTreeSet<usize>,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Vec<usize> {
        if cases.is_empty() {
            return Vec::new();
        }
        let context = self.context.clone();
        let stalls = StallDetector::watch(
            &context.prober,
            context.version(),
            format!("{}calm", context.token),
            context.capabilities.round_trip,
        );
        let service = ServiceWatch::start(context.clone());
        let first = match is_last {
            true => context.timeouts,
            false => Timeouts { patience: context.timeouts.patience / 2, ..context.timeouts },
        };
        let (mut own, mut shared): (Vec<usize>, Vec<usize>) =
            cases.into_iter().partition(|index| self.placed[*index].place.has_own_server());
        // The cases are taken from the end, so that the longest begin first.
        let round_trip = context.capabilities.round_trip;
        let least = |index: &usize| self.placed[*index].takes_at_least(round_trip);
        own.sort_by_key(least);
        shared.sort_by_key(least);
        let mut reruns: Vec<Outcome> = Vec::new();
        let mut alone = Vec::new();
        let mut set = JoinSet::new();
        let mut running: BTreeMap<Id, Running> = BTreeMap::new();
        loop {
            if self.server_lost.is_some() {
                // `run_exclusively` gives each of them an error.
                alone.extend(own.drain(..).chain(shared.drain(..)));
                alone.extend(reruns.drain(..).map(|outcome| outcome.index));
            }
            for (queue, most, is_own) in
                [(&mut own, self.context.servers.min(jobs), true), (&mut shared, jobs, false)]
            {
                while running.values().filter(|one| one.is_own == is_own).count() < most
                    && let Some(index) = self.next_of(queue, &running)
                {
                    let placed = self.placed[index].clone();
                    let timeouts = if placed.is_slow { context.timeouts } else { first };
                    let task = set.spawn_local(run_case(context.clone(), index, placed, timeouts));
                    running.insert(task.id(), Running { index, is_own, before: None, task });
                }
            }
            let is_first_and_fast = |one: &Running| one.before.is_none() && !self.placed[one.index].is_slow;
            let has_first = !own.is_empty() || !shared.is_empty() || running.values().any(is_first_and_fast);
            // The outcomes are taken from the end. Those that mostly wait do so meanwhile.
            let key = |outcome: &Outcome| (outcome.awaits_retransmission(), self.placed[outcome.index].waits);
            reruns.sort_by_key(key);
            while let Some(before) = reruns.pop_if(|next| {
                let waits = next.awaits_retransmission();
                let is_own = self.placed[next.index].place.has_own_server();
                let is_alike = |one: &&Running| {
                    one.before.as_ref().is_some_and(|before| before.awaits_retransmission() == waits)
                };
                (waits || !has_first)
                    && running.values().filter(is_alike).count() < MAX_RERUNS.min(jobs)
                    && (!is_own || running.values().filter(|one| one.is_own).count() < self.context.servers)
            }) {
                let index = before.index;
                // The long patience is of the server's time.
                let accelerated = self.slowed.get(&index).filter(|_| before.awaits_retransmission());
                let placed = accelerated.unwrap_or(&self.placed[index]).clone();
                let is_own = placed.place.has_own_server();
                let timeouts = match before.awaits_retransmission() {
                    true => patient(context.timeouts),
                    false => context.timeouts,
                };
                let task = set.spawn_local(run_case(context.clone(), index, placed, timeouts));
                running.insert(task.id(), Running { index, is_own, before: Some(before), task });
            }
            let Some(joined) = set.join_next_with_id().await else { return alone };
            let id = joined.as_ref().map_or_else(tokio::task::JoinError::id, |(id, _)| *id);
            // An aborted task was removed already.
            let Some(Running { index, before, is_own, .. }) = running.remove(&id) else { continue };
            let mut outcome = match joined {
                Ok((_, outcome)) => outcome,
                Err(_) => Outcome::of(index, panicked(context.seed)),
            };
            if !is_own {
                self.ended.push((index, Instant::now()));
            }
            if outcome.is_bad() && outcome.lacks.is_none() && !outcome.crosstalk {
                failed_once.insert(index);
            }
            if let Some(lacks) = outcome.lacks.clone() {
                // Any case that ran on the server since it last served, or runs now, may be the
                // cause.
                let mut suspects = self.suspects(service.last_served());
                running.retain(|_, one| {
                    if !one.is_own {
                        one.task.abort();
                        suspects.push(one.index);
                    }
                    one.is_own
                });
                self.revive(&lacks, &suspects).await;
                service.served();
                reruns.retain(|outcome| !suspects.contains(&outcome.index));
                for index in suspects {
                    alone.extend(self.set_apart(index, &mut own));
                }
                continue;
            }
            if outcome.is_bad() || outcome.own_lacks.is_some() {
                match self.slow_down(index) {
                    Some(Place::Own(_)) => {
                        own.push(index);
                        continue;
                    }
                    Some(_) => {
                        shared.push(index);
                        continue;
                    }
                    None => {}
                }
            }
            if let Some(lacks) = outcome.own_lacks.clone() {
                self.notes.push(format!("after {} the server {lacks}", self.names(&[index])));
                outcome.stops_service(&lacks, &lacks);
                self.done(outcome, progress);
                continue;
            }
            if context.probes_each_case && !is_own {
                service.served();
            }
            let stalled = stalls.stalled_since(outcome.started);
            let excused = outcome.may_be_caused_by(stalled);
            let is_final = match &before {
                Some(before) => !before.sends_nothing_again() || before.fails_like(&outcome),
                None => !outcome.awaits_retransmission(),
            };
            if !outcome.is_bad() {
                self.done(outcome, progress);
            } else if outcome.crosstalk {
                alone.extend(self.set_apart(index, &mut own));
            } else if outcome.is_settled() {
                self.done(outcome, progress);
            } else if is_final && is_last {
                match excused {
                    true => alone.push(index),
                    false => self.done(outcome, progress),
                }
            } else if let Some(before) = before {
                if before.fails_like(&outcome) && !excused {
                    self.done(outcome, progress);
                } else if before.sends_nothing_again() {
                    let reason = "the server sends again later than other messages, for which the \
                                  standard gives no time";
                    self.done(outcome.not_judged(reason), progress);
                } else {
                    self.stalled.push(index);
                }
            } else {
                reruns.push(outcome);
            }
        }
    }

    /// Takes the next case from the end of a queue. Only a few servers are accelerated at a time:
    /// they use the processor while their cases wait.
    fn next_of(&self, queue: &mut Vec<usize>, running: &BTreeMap<Id, Running>) -> Option<usize> {
        let is_accelerated = |index: usize| matches!(self.placed[index].place, Place::Accelerated(_));
        let accelerated = running.values().filter(|one| is_accelerated(one.index)).count();
        let is_next = |index: &usize| accelerated < ACCELERATED_SERVERS || !is_accelerated(*index);
        let position = queue.iter().rposition(is_next)?;
        Some(queue.remove(position))
    }

    /// Lets an accelerated case run in real time: only there its failure counts. Returns where it
    /// runs; `None` if it is not accelerated, or waits too long in real time: then it is not judged.
    fn slow_down(&mut self, index: usize) -> Option<Place> {
        let is_accelerated = matches!(self.placed[index].place, Place::Accelerated(_));
        let before = self.in_real_time.get(&index).filter(|_| is_accelerated)?.clone();
        if matches!(before.place, Place::Skip(_)) {
            return None;
        }
        let accelerated = std::mem::replace(&mut self.placed[index], before);
        self.slowed.insert(index, accelerated);
        Some(self.placed[index].place.clone())
    }

    /// Lets a case run on a server to itself. Returns it if it must run alone instead: there is only
    /// one server, or it had a server to itself already.
    fn set_apart(&mut self, index: usize, own: &mut Vec<usize>) -> Option<usize> {
        if !self.context.starts || !self.apart.insert(index) {
            return Some(index);
        }
        self.placed[index].place = Place::Own(Vec::new());
        own.push(index);
        None
    }

    /// Runs a case while no other case runs. Its outcome counts.
    async fn run_exclusively(&mut self, index: usize, progress: &mut dyn FnMut(Progress<'_>)) {
        if let Some((reason, suspects)) = &self.server_lost {
            let lost = Outcome::of(index, broken(reason.clone(), self.context.seed));
            let lost = if suspects.contains(&index) { lost } else { lost.not_judged(reason) };
            self.done(lost, progress);
            return;
        }
        let placed = self.placed[index].clone();
        let is_shared = !placed.place.has_own_server();
        let timeouts = self.context.timeouts;
        let mut outcome = run_case(self.context.clone(), index, placed.clone(), timeouts).await;
        if outcome.awaits_retransmission() {
            outcome = run_case(self.context.clone(), index, placed, patient(timeouts)).await;
        }
        // A case that passes may have ended the server too: it may expect a close.
        let lacks = if is_shared { self.context.lacks().await } else { None };
        if let Some(lacks) = outcome.own_lacks.clone() {
            self.notes.push(format!("after {} the server {lacks}", self.names(&[index])));
            outcome.stops_service(&lacks, &lacks);
        } else if let Some(lacks) = lacks {
            tokio::time::sleep(ENDING).await;
            let how = self.how_it_ended(&lacks);
            outcome.stops_service(&lacks, &how);
            self.revive(&lacks, &[index]).await;
        }
        self.done(outcome, progress);
    }

    /// The cases on the shared server that ended after this time.
    fn suspects(&self, since: Instant) -> Vec<usize> {
        self.ended.iter().filter(|(_, ended)| *ended >= since).map(|(index, _)| *index).collect()
    }

    fn how_it_ended(&self, lacks: &str) -> String {
        let how = self.context.instance.as_ref().and_then(|instance| instance.ended());
        how.map_or_else(|| lacks.to_owned(), |how| format!("ended ({how})"))
    }

    /// Restarts a server that ended or no longer serves, or waits until it serves again.
    async fn revive(&mut self, lacks: &str, suspects: &[usize]) {
        let context = self.context.clone();
        let how = self.how_it_ended(lacks);
        let after = self.names(suspects);
        self.notes.push(match suspects {
            [_] => format!("after {after} the server {how}"),
            _ => format!(
                "the server {how}: the {} cases that may be the cause run again, each alone on a server",
                suspects.len()
            ),
        });
        if let Some(instance) =
            context.instance.as_ref().filter(|_| context.starts || context.target_file.kill.is_some())
        {
            let restarted = async {
                instance.crash().await?;
                instance.start().await
            };
            if let Err(error) = restarted.await {
                let reason = format!("the server ended, and cannot be restarted: {error}");
                self.server_lost = Some((reason, suspects.to_vec()));
            }
            return;
        }
        let until = Instant::now() + RECOVERY_TIMEOUT;
        while Instant::now() < until {
            if context.lacks().await.is_none() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let url = &context.url;
        let reason =
            format!("the server at {url} {how} after {after}, and no command is known that starts it");
        self.server_lost = Some((reason, suspects.to_vec()));
    }

    /// A few names of cases, for people.
    fn names(&self, indices: &[usize]) -> String {
        let names = indices.iter().take(LISTED).map(|index| self.placed[*index].case.name());
        let mut text = names.collect::<Vec<_>>().join(", ");
        if let Some(more) = indices.len().checked_sub(LISTED + 1) {
            text.push_str(&format!(" and {} others", more + 1));
        }
        text
    }

    /// Ends a run that was stopped: the cases without a result are not judged.
    fn give_up(&mut self, why: GiveUp, progress: &mut dyn FnMut(Progress<'_>)) {
        let left: Vec<usize> =
            (0..self.placed.len()).filter(|index| !self.results.contains_key(index)).collect();
        match why {
            GiveUp::Interrupted => {
                self.notes.push(format!("the run was stopped: {} cases are not judged", left.len()));
            }
            GiveUp::TimeLimit(limit) => self.notes.push(format!(
                "the run was stopped after {limit:?}, its time limit: {} cases did not end",
                left.len()
            )),
        }
        for index in left {
            let outcome = match why {
                GiveUp::Interrupted => Outcome::of(index, broken(String::new(), self.context.seed))
                    .not_judged("the run was stopped before this case ended"),
                // A run that did not end is no success.
                GiveUp::TimeLimit(limit) => Outcome::of(index, broken(out_of_time(limit), self.context.seed)),
            };
            self.done(outcome, progress);
        }
    }

    fn done(&mut self, mut outcome: Outcome, progress: &mut dyn FnMut(Progress<'_>)) {
        let Placed { case, place, is_slow, .. } = &self.placed[outcome.index];
        if matches!(place, Place::Accelerated(_)) && outcome.verdict() == Verdict::Fail {
            outcome = outcome.not_judged(ONLY_ACCELERATED);
        }
        if !matches!(place, Place::Skip(_)) {
            let tally = if *is_slow { &mut self.slow } else { &mut self.fast };
            tally.add();
        }
        let name = case.name();
        self.deviations.retain(|(other, _): &(String, Deviated)| *other != name);
        self.deviations.extend(outcome.deviations.iter().map(|one| (name.clone(), *one)));
        let mut result = summary(case, outcome.runs, self.options.keep, Some(outcome.took));
        self.traces.keep(&mut result);
        self.results.insert(outcome.index, result);
        let (done, of) = (self.results.len(), self.placed.len());
        if let Some(case) = self.results.get(&outcome.index) {
            progress(Progress::CaseDone { case, done, of });
        }
    }

    fn result(&mut self, plan: &Plan) -> SuiteResult {
        let context = &self.context;
        SuiteResult {
            format: FORMAT,
            target: Target {
                name: context.name.clone(),
                kind: TargetKind::Live,
                url: Some(context.url.clone()),
                capabilities: context.capabilities.values.clone(),
                tolerance_ms: u64::try_from(context.timeouts.late.as_millis()).ok(),
                output: context.instance.as_ref().map_or_else(Vec::new, |instance| instance.output()),
            },
            seed: context.seed,
            seeds: context.seeds,
            strict: false,
            cases: std::mem::take(&mut self.results).into_values().collect(),
            errors: plan.errors.clone(),
            notes: std::mem::take(&mut self.notes),
        }
    }

    async fn stop(&self) {
        let idle = self.context.idle.take();
        for instance in idle.into_iter().chain(self.context.idle_accelerated.take()) {
            instance.stop().await;
        }
        if let Some(instance) = self.context.instance.as_ref().filter(|_| self.context.starts) {
            instance.stop().await;
        }
    }
}
