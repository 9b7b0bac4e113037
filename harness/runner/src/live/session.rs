//! A live session: probes the server, runs every case where it was placed, reruns failures, and
//! restarts a server that ends.

mod alone;

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, timeout};

use super::acceleration::has_load;
use super::assigning::{Assigned, assign};
use super::case_run::{Outcome, RunContext, SENDS_AGAIN, panicked, patient, run_case, skipped};
use super::contact::contact;
use super::passes::{
    APART, Ahead, Pass, Running, SECONDS_APART, Sorted, Tally, Waiting, deviations_note, interrupted,
};
use super::placing::{On, Place, Placed};
use super::service_watch::ServiceWatch;
use super::stall_detector::StallDetector;
use super::{LiveError, LiveOptions, Progress};
use crate::backend::{RETRANSMISSION, Timeouts};
use crate::found::Deviated;
use crate::intake::KeptTraces;
use crate::suite::{Plan, summary};
use mqttspec_judge::results::{CaseResult, FORMAT, SuiteResult, Target, TargetKind};
use mqttspec_judge::verdict::Verdict;

/// Why a failure of a case that cannot run in real time does not count: not every clock of a server
/// may follow.
const ONLY_ACCELERATED: &str = "it fails on a server whose clock is put forward, and takes too long in \
                                real time: run with --patient";

/// Why such a case is not judged on a server that sends other messages again at once.
const NOT_SENT_AGAIN: &str = "nothing was sent again in the usual time, in which this server sends other \
                              messages again. The standard gives no time: with --patient or \
                              --clock-speed, the case is judged after a longer wait";

/// A server counts as one that sends again at once if it does so in this many cases for each in
/// which it sends nothing.
const SEEN_AGAIN: usize = 10;

/// The interval at which the session looks for runs to begin, also while none ends.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A fast case that runs for this time has ended, or waits.
const EXCHANGES: Duration = Duration::from_millis(500);

/// The number of concurrent reruns.
const MAX_RERUNS: usize = 48;

/// The number of concurrent runs of cases whose failure the machine may have caused.
const LAST_JOBS: usize = 16;

/// The number of cases that a note names.
const LISTED: usize = 5;

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
    /// The accelerated cases that failed and run in real time therefore.
    slowed: BTreeSet<usize>,
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
    /// Whether the server sent something again only within the long patience.
    sends_again_late: bool,
    /// The cases in which it sent nothing again at first.
    not_sent_again: BTreeSet<usize>,
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
        let (context, mut notes) = contact(options, progress).await?;
        let Assigned { placed, in_real_time, notes: of_cases } = assign(plan, options, &context);
        notes.extend(of_cases);
        let session = Self {
            options,
            context: Rc::new(context),
            placed,
            in_real_time,
            slowed: BTreeSet::new(),
            notes,
            results: BTreeMap::new(),
            traces: KeptTraces::default(),
            server_lost: None,
            ended: Vec::new(),
            apart: BTreeSet::new(),
            stalled: Vec::new(),
            deviations: Vec::new(),
            sends_again_late: false,
            not_sent_again: BTreeSet::new(),
            fast: Tally::default(),
            slow: Tally::default(),
        };
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
        let slowed: Vec<usize> = self.slowed.iter().filter(passed).copied().collect();
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
    /// case has half the patience. A failed case is rerun when all first attempts of fast cases have
    /// exchanged their packets. If it fails at the same lines again, the failure counts, unless it
    /// may be caused by timing and a stall was detected meanwhile. In the last pass, the first
    /// attempt counts. An accelerated case is rerun in real time.
    /// Returns the cases that must run alone, and adds every case that failed to `failed_once`.
    async fn run_concurrently(
        &mut self,
        Pass { mut cases, jobs, is_last }: Pass,
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
        // The longest begin first. An accelerated one that fails also runs in real time. Loads take two
        // seconds or more and rarely fail, so they would only occupy servers at first.
        let round_trip = context.capabilities.round_trip;
        cases.sort_by_cached_key(|index| {
            let in_real_time = self.in_real_time.get(index).filter(|_| self.runs_in_real_time_too(*index));
            let placed = in_real_time.unwrap_or(&self.placed[*index]);
            let awaits_timer = placed.is_slow && !placed.within.is_zero();
            let late = if awaits_timer { context.late(placed) } else { Duration::ZERO };
            let may_take = placed.may_take(round_trip, context.timeouts.patience, late);
            let is_load = in_real_time.is_some() && has_load(&placed.case);
            (self.begins_twice(*index), !is_load, may_take)
        });
        let mut waiting = Waiting::new(&cases, |index| self.placed[index].place.on());
        let mut reruns: Vec<Outcome> = Vec::new();
        let mut ahead = Ahead::default();
        let mut alone = Vec::new();
        let mut set = JoinSet::new();
        let mut running: BTreeMap<Id, Running> = BTreeMap::new();
        loop {
            if self.server_lost.is_some() {
                // `run_exclusively` gives each of them an error.
                alone.extend(waiting.take_all());
                alone.extend(reruns.drain(..).map(|outcome| outcome.index));
            }
            let has_room = |on: On, running: &BTreeMap<Id, Running>| {
                let count = running.values().filter(|one| one.on == on && !one.is_ahead).count();
                count < context.most_on(on).min(jobs)
            };
            // Half as many more for what is to end early.
            let has_room_ahead = |on: On, running: &BTreeMap<Id, Running>| {
                let most = context.most_on(on).min(jobs);
                running.values().filter(|one| one.on == on).count() < most + most / 2
            };
            while let Some((on, index)) = waiting.pop(|on| has_room(on, &running)) {
                let placed = self.placed[index].clone();
                let timeouts = match placed.is_slow {
                    // On an accelerated server, the long patience is of the server's time.
                    true if self.begins_twice(index) => patient(context.timeouts),
                    true => context.timeouts,
                    false => first,
                };
                let task = set.spawn_local(run_case(context.clone(), index, placed, timeouts));
                let began = Instant::now();
                let one = Running { index, on, before: None, is_ahead: false, began, task };
                running.insert(one.task.id(), one);
            }
            let is_fast = |index: usize| !self.placed[index].is_slow;
            let exchanges = |one: &Running| {
                let is_new = one.before.is_none() && one.began.elapsed() < EXCHANGES;
                is_new && one.on == On::Shared && is_fast(one.index)
            };
            let has_first = waiting.on(On::Shared).any(is_fast) || running.values().any(exchanges);
            if !is_last {
                for index in ahead.candidates(&running, |index| self.apart(index)) {
                    // Without such a run, the case is rerun as it runs now.
                    let placed = self.in_real_time.get(&index).unwrap_or(&self.placed[index]).clone();
                    let on = placed.place.on();
                    if has_room_ahead(on, &running) && (placed.is_slow || !has_first) {
                        ahead.begins(index);
                        let run = run_case(context.clone(), index, placed, context.timeouts);
                        let task = set.spawn_local(run);
                        let began = Instant::now();
                        let one = Running { index, on, before: None, is_ahead: true, began, task };
                        running.insert(one.task.id(), one);
                    }
                }
            }
            // The last outcome is taken that may be rerun: one that waits for a server keeps no other
            // one waiting. Those that mostly wait do so meanwhile, like the first attempts of such cases.
            let mostly_waits = |outcome: &Outcome| {
                let is_slowed = !outcome.put_forward.is_zero() && self.placed[outcome.index].is_slow;
                outcome.awaits_retransmission() || is_slowed
            };
            reruns.sort_by_key(|outcome| (mostly_waits(outcome), self.placed[outcome.index].waits));
            let may_begin = |next: &Outcome, running: &BTreeMap<Id, Running>| {
                let waits = mostly_waits(next);
                let on = self.placed[next.index].place.on();
                let is_alike =
                    |one: &&Running| one.before.as_ref().is_some_and(|before| mostly_waits(before) == waits);
                (waits || !has_first)
                    && running.values().filter(is_alike).count() < MAX_RERUNS.min(jobs)
                    && (on == On::Shared || has_room(on, running))
            };
            while let Some(at) = reruns.iter().rposition(|next| may_begin(next, &running)) {
                let before = reruns.remove(at);
                let index = before.index;
                let placed = self.placed[index].clone();
                let on = placed.place.on();
                // On an accelerated server, the long patience is of the server's time.
                let is_patient = before.awaits_retransmission()
                    && before.patience < RETRANSMISSION
                    && (on == On::Accelerated
                        || self.slowed.contains(&index)
                        || !before.sends_nothing_again()
                        || self.waits_to_see_again(index));
                let timeouts = if is_patient { patient(context.timeouts) } else { context.timeouts };
                let task = set.spawn_local(run_case(context.clone(), index, placed, timeouts));
                let (before, began) = (Some(before), Instant::now());
                let one = Running { index, on, before, is_ahead: false, began, task };
                running.insert(one.task.id(), one);
            }
            // A rerun ahead may be due before a run ends.
            let Ok(joined) = timeout(LOOK_AGAIN, set.join_next_with_id()).await else { continue };
            let Some(joined) = joined else { return alone };
            let id = joined.as_ref().map_or_else(tokio::task::JoinError::id, |(id, _)| *id);
            // An aborted task was removed already.
            let Some(Running { index, before, on, is_ahead, .. }) = running.remove(&id) else {
                continue;
            };
            let outcome = match joined {
                Ok((_, outcome)) => outcome,
                Err(_) => Outcome::of(index, panicked(context.seed)),
            };
            if on == On::Shared {
                self.ended.push((index, Instant::now()));
            }
            if outcome.is_bad() && outcome.lacks.is_none() && !outcome.crosstalk && !is_ahead {
                failed_once.insert(index);
            }
            let is_accelerated = on == On::Accelerated && self.runs_in_real_time_too(index);
            let is_patient = outcome.patience >= RETRANSMISSION;
            if is_accelerated && outcome.awaits_retransmission() && outcome.own_lacks.is_none() && !is_patient
            {
                reruns.push(outcome);
                continue;
            }
            // Also after one with less patience, an accelerated run is the first attempt.
            let before = before.filter(|_| !is_accelerated);
            if before.is_none() && !is_ahead && outcome.sends_nothing_again() {
                self.not_sent_again.insert(index);
            }
            let waits_longer = self.waits_to_see_again(index);
            let (mut outcome, before) =
                match ahead.sort(outcome, before, is_ahead, waits_longer, &mut running) {
                    Sorted::Process(outcome, before) => (*outcome, before.map(|before| *before)),
                    Sorted::Later => continue,
                };
            if let Some(lacks) = outcome.lacks.clone() {
                // Any case that ran on the server since it last served, or runs now, may be the
                // cause.
                let mut suspects = self.suspects(service.last_served());
                let on_it = running.values().filter(|one| one.on == On::Shared);
                suspects.extend(on_it.map(|one| one.index));
                suspects.sort_unstable();
                suspects.dedup();
                running.retain(|_, one| {
                    let is_suspect = suspects.contains(&one.index);
                    if is_suspect {
                        one.task.abort();
                    }
                    !is_suspect
                });
                self.revive(&lacks, &suspects).await;
                service.served();
                reruns.retain(|outcome| !suspects.contains(&outcome.index));
                for index in suspects {
                    alone.extend(self.set_apart(index, &mut waiting));
                }
                continue;
            }
            // Until the clock is put forward, a run is like one in real time.
            if !outcome.put_forward.is_zero()
                && (outcome.is_bad() || outcome.own_lacks.is_some())
                && self.slow_down(index)
            {
                match outcome.own_lacks {
                    None => reruns.push(outcome),
                    Some(_) => waiting.push(self.placed[index].place.on(), index),
                }
                continue;
            }
            // This run was begun ahead, and the accelerated one has failed.
            if before.as_ref().is_some_and(|before| !before.put_forward.is_zero()) {
                self.slow_down(index);
            }
            if let Some(lacks) = outcome.own_lacks.clone() {
                self.notes.push(format!("after {} the server {lacks}", self.names(&[index])));
                outcome.stops_service(&lacks, &lacks);
                self.done(outcome, progress);
                continue;
            }
            if context.probes_each_case && on == On::Shared {
                service.served();
            }
            let stalled = stalls.stalled_since(outcome.started);
            let excused = outcome.may_be_caused_by(stalled);
            let is_final = match &before {
                Some(before) => !before.sends_nothing_again() || before.fails_like(&outcome),
                None => !outcome.awaits_retransmission(),
            };
            if !outcome.is_bad() {
                self.sends_again_late |= outcome.patience >= RETRANSMISSION && !self.begins_twice(index);
                self.done(outcome, progress);
            } else if outcome.crosstalk {
                alone.extend(self.set_apart(index, &mut waiting));
            } else if outcome.is_settled() {
                self.done(outcome, progress);
            } else if is_final && is_last {
                match excused {
                    true => alone.push(index),
                    false => self.done(outcome, progress),
                }
            } else if let Some(before) = before {
                let patience = before.patience.max(outcome.patience);
                let was_short = before.sends_nothing_again() && patience < RETRANSMISSION;
                if before.fails_like(&outcome) && was_short {
                    self.done(outcome.not_judged(NOT_SENT_AGAIN), progress);
                } else if before.fails_like(&outcome) && !excused {
                    self.done(outcome, progress);
                } else if !before.put_forward.is_zero() && outcome.put_forward.is_zero() {
                    // It fails otherwise in real time: that is its first attempt.
                    reruns.push(outcome);
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

    /// After which time the rerun of a case begins before its first attempt has ended: it waits, and
    /// needs little else. `None` if it does not. On a server that goes on after the session, a rerun
    /// that is dropped would leave something.
    fn apart(&self, index: usize) -> Option<Duration> {
        let Placed { case, place, is_slow, overdue, .. } = &self.placed[index];
        let after = match place {
            Place::Accelerated(_) if self.begins_twice(index) => Duration::ZERO,
            Place::Accelerated(_) if overdue.is_set() && self.runs_in_real_time_too(index) => Duration::ZERO,
            Place::Accelerated(_) => return None,
            _ if *is_slow => SECONDS_APART,
            _ => APART,
        };
        (self.context.starts && !has_load(case)).then_some(after)
    }

    /// Whether the run of an accelerated case in real time begins together with it: if nothing is sent
    /// again, the case takes longest of all.
    fn begins_twice(&self, index: usize) -> bool {
        let Placed { case, place, .. } = &self.placed[index];
        matches!(place, Place::Accelerated(_))
            && self.runs_in_real_time_too(index)
            && case.scenario.clauses_of(case.version).contains(&SENDS_AGAIN)
            && !has_load(case)
    }

    /// Whether a case is one of those that are accelerated first, and can run in real time.
    fn runs_in_real_time_too(&self, index: usize) -> bool {
        self.in_real_time.get(&index).is_some_and(|placed| !matches!(placed.place, Place::Skip(_)))
    }

    /// Whether a case for which nothing was sent again runs with the long patience in real time.
    /// Not on a server that sent everything else again at once.
    fn waits_to_see_again(&self, index: usize) -> bool {
        let version = self.placed[index].case.version_text();
        let shows = |case: &&CaseResult| {
            case.verdict == Verdict::Pass
                && case.version == version
                && case.clauses_shown.iter().any(|clause| clause == SENDS_AGAIN)
        };
        let shown = self.results.values().filter(shows).count();
        self.options.patient || self.sends_again_late || shown < SEEN_AGAIN * self.not_sent_again.len()
    }

    /// Lets an accelerated case run in real time: only there its failure counts. Returns whether it
    /// does: not if it is not accelerated, or waits too long in real time. Then it is not judged.
    fn slow_down(&mut self, index: usize) -> bool {
        let is_accelerated = matches!(self.placed[index].place, Place::Accelerated(_));
        if !is_accelerated || !self.runs_in_real_time_too(index) {
            return false;
        }
        let Some(placed) = self.in_real_time.get(&index) else { return false };
        self.placed[index] = placed.clone();
        self.slowed.insert(index)
    }

    /// Lets a case run on a server to itself. Returns it if it must run alone instead: there is only
    /// one server, or it had a server to itself already.
    fn set_apart(&mut self, index: usize, waiting: &mut Waiting) -> Option<usize> {
        if !self.context.starts || !self.apart.insert(index) {
            return Some(index);
        }
        if self.slow_down(index) {
            self.slowed.remove(&index);
        }
        self.placed[index].place = Place::Own(Vec::new());
        waiting.push(On::Own, index);
        None
    }

    fn done(&mut self, mut outcome: Outcome, progress: &mut dyn FnMut(Progress<'_>)) {
        let Placed { case, place, is_slow, .. } = &self.placed[outcome.index];
        let is_accelerated = matches!(place, Place::Accelerated(_)) && !outcome.put_forward.is_zero();
        if is_accelerated && outcome.verdict() == Verdict::Fail {
            outcome = outcome.not_judged(ONLY_ACCELERATED);
        }
        if !matches!(place, Place::Skip(_)) {
            let tally = if *is_slow { &mut self.slow } else { &mut self.fast };
            tally.add();
        }
        let name = case.name();
        self.deviations.retain(|(other, _): &(String, Deviated)| *other != name);
        self.deviations.extend(outcome.deviations.iter().map(|one| (name.clone(), *one)));
        let result = summary(case, outcome.runs, self.options.keep, Some(outcome.took));
        let put_forward = u64::try_from(outcome.put_forward.as_millis()).ok().filter(|by| *by > 0);
        let mut result = CaseResult { put_forward_ms: put_forward, ..result };
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
        let idle = self.context.idle.take().into_iter().chain(self.context.idle_accelerated.take());
        let shared = self.context.instance.clone().filter(|_| self.context.starts);
        let mut stopping = JoinSet::new();
        for instance in idle.chain(shared) {
            stopping.spawn_local(async move { instance.stop().await });
        }
        stopping.join_all().await;
    }
}
