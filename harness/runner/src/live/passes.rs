//! What a session counts and holds of cases that run concurrently.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use tokio::task::{AbortHandle, Id};
use tokio::time::Instant;

use super::Elapsed;
use super::case_run::Outcome;
use super::placing::On;
use crate::backend::Timeouts;
use crate::found::{Deviated, Deviation};

/// A case that runs concurrently with others.
pub(crate) struct Running {
    pub(crate) index: usize,
    pub(crate) on: On,
    /// The outcome of the first attempt, if this is a rerun.
    pub(crate) before: Option<Outcome>,
    /// Whether this is a rerun that began before the first attempt ended.
    pub(crate) is_ahead: bool,
    pub(crate) began: Instant,
    pub(crate) task: AbortHandle,
}

/// Cases that run concurrently.
pub(crate) struct Pass {
    pub(crate) cases: Vec<usize>,
    pub(crate) jobs: usize,
    /// Whether the first outcome of a case counts.
    pub(crate) is_last: bool,
}

/// The cases that have not begun, by the kind of their server. They are taken from the end.
pub(crate) struct Waiting {
    queues: [(On, Vec<usize>); 3],
}

impl Waiting {
    /// The last of these cases begins first.
    pub(crate) fn new(cases: &[usize], on: impl Fn(usize) -> On) -> Self {
        let of = |kind| (kind, cases.iter().copied().filter(|index| on(*index) == kind).collect());
        Self { queues: [of(On::Accelerated), of(On::Own), of(On::Shared)] }
    }

    /// Adds a case that begins next.
    pub(crate) fn push(&mut self, on: On, index: usize) {
        if let Some((_, queue)) = self.queues.iter_mut().find(|(kind, _)| *kind == on) {
            queue.push(index);
        }
    }

    /// Takes a case for whose kind of server there is room.
    pub(crate) fn pop(&mut self, has_room: impl Fn(On) -> bool) -> Option<(On, usize)> {
        let mut with_room = self.queues.iter_mut().filter(|(on, _)| has_room(*on));
        with_room.find_map(|(on, queue)| Some((*on, queue.pop()?)))
    }

    /// The cases that wait for room on this kind of server.
    pub(crate) fn on(&self, on: On) -> impl Iterator<Item = usize> {
        let of_kind = self.queues.iter().filter(move |(kind, _)| *kind == on);
        of_kind.flat_map(|(_, queue)| queue.iter().copied())
    }

    pub(crate) fn take_all(&mut self) -> impl Iterator<Item = usize> {
        self.queues.iter_mut().flat_map(|(_, queue)| queue.drain(..))
    }
}

/// How much later than the first attempt such a rerun begins. What disturbs one should not disturb
/// the other at the same line.
pub(crate) const APART: Duration = Duration::from_millis(500);

/// The same of cases that wait for timers: for a server that counts seconds, the attempts begin in
/// different parts of one.
pub(crate) const SECONDS_APART: Duration = Duration::from_millis(1400);

/// Reruns that begin before it is known whether they are needed: a case that waits for several
/// seconds and fails would take twice as long otherwise.
#[derive(Default)]
pub(crate) struct Ahead {
    /// The cases that have had one.
    begun: BTreeSet<usize>,
    /// The outcomes of those that ended before the first attempt.
    ended: BTreeMap<usize, Outcome>,
}

/// What becomes of the outcome of a run.
pub(crate) enum Sorted {
    /// It is processed, with that of the first attempt if it is a rerun.
    Process(Box<Outcome>, Option<Box<Outcome>>),
    /// Another run of the case goes on.
    Later,
}

impl Ahead {
    /// The cases that run for the first time, for at least the time that they have to be apart, and
    /// have not had such a rerun.
    pub(crate) fn candidates(
        &self,
        running: &BTreeMap<Id, Running>,
        apart: impl Fn(usize) -> Option<Duration>,
    ) -> Vec<usize> {
        let is_late = |one: &Running| apart(one.index).is_some_and(|apart| one.began.elapsed() >= apart);
        let is_first = |one: &&Running| one.before.is_none() && !one.is_ahead && is_late(one);
        let indices = running.values().filter(is_first).map(|one| one.index);
        indices.filter(|index| !self.begun.contains(index)).collect()
    }

    pub(crate) fn begins(&mut self, index: usize) {
        self.begun.insert(index);
    }

    /// Decides about a run that has ended. A rerun is dropped if it is not needed. `waits_longer` is
    /// whether the rerun of this case waits for longer, if nothing was sent again.
    pub(crate) fn sort(
        &mut self,
        outcome: Outcome,
        before: Option<Outcome>,
        is_ahead: bool,
        waits_longer: bool,
        running: &mut BTreeMap<Id, Running>,
    ) -> Sorted {
        let index = outcome.index;
        if is_ahead && outcome.lacks.is_none() {
            self.ended.insert(index, outcome);
            return Sorted::Later;
        }
        if before.is_none() && self.begun.contains(&index) {
            if outcome.is_confirmed_by_rerun(waits_longer) {
                if let Some(rerun) = self.ended.remove(&index) {
                    return Sorted::Process(Box::new(rerun), Some(Box::new(outcome)));
                }
                if let Some(rerun) = running.values_mut().find(|one| one.index == index) {
                    (rerun.before, rerun.is_ahead) = (Some(outcome), false);
                    return Sorted::Later;
                }
            }
            self.ended.remove(&index);
            running.retain(|_, one| {
                if one.index == index {
                    one.task.abort();
                }
                one.index != index
            });
        }
        Sorted::Process(Box::new(outcome), before.map(Box::new))
    }
}

/// The number of cases that are done, and the time of the last.
#[derive(Clone, Copy, Default)]
pub(crate) struct Tally {
    pub(crate) cases: usize,
    pub(crate) last: Option<Instant>,
}

impl Tally {
    pub(crate) fn add(&mut self) {
        self.cases += 1;
        self.last = Some(Instant::now());
    }

    pub(crate) fn since(self, started: Instant) -> Elapsed {
        let duration = self.last.map_or(Duration::ZERO, |last| last.saturating_duration_since(started));
        Elapsed { cases: self.cases, duration }
    }
}

/// The largest deviations within the tolerance, for people. `None` if there are none.
pub(crate) fn deviations_note(deviations: &[(String, Deviated)], timeouts: Timeouts) -> Option<String> {
    const LISTED: usize = 12;
    let text = |by: Deviation| match by {
        Deviation::Early(early) => (early, format!("{} ms early", early.as_millis())),
        Deviation::Late(late) => (late, format!("{} ms late", late.as_millis())),
    };
    let mut all: Vec<_> = deviations.iter().map(|(name, one)| (text(one.by), name, one.line)).collect();
    all.retain(|((by, _), _, _)| by.as_millis() > 0);
    all.sort_unstable_by(|one, other| other.cmp(one));
    let listed = all.iter().take(LISTED).map(|((_, by), name, line)| format!("{name} line {line}: {by}"));
    let mut listed: Vec<String> = listed.collect();
    if let Some(more @ 1..) = all.len().checked_sub(LISTED) {
        listed.push(format!("and {more} others by less"));
    }
    let (early, late) = (timeouts.early.as_millis(), timeouts.late.as_millis());
    (!listed.is_empty()).then(|| {
        format!(
            "{} timed events were within the tolerance of {early} ms early and {late} ms late, and not in \
             time: {}",
            all.len(),
            listed.join(", ")
        )
    })
}

/// Returns on SIGINT or SIGTERM. It must run in a tokio runtime.
pub async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        received = tokio::signal::ctrl_c() => if received.is_err() { std::future::pending().await },
        _ = terminate.recv() => {}
    }
}

#[cfg(test)]
mod tests {
    use mqttspec_judge::verdict::Verdict;
    use tokio::task::JoinSet;

    use super::*;
    use crate::live::case_run::broken;

    fn outcome(verdict: Verdict) -> Outcome {
        Outcome::of(7, mqttspec_judge::results::RunResult { verdict, ..broken(String::new(), 0) })
    }

    /// A case whose first attempt has ended, and whose rerun began before that.
    fn with_rerun(set: &mut JoinSet<()>) -> (Ahead, BTreeMap<Id, Running>) {
        let mut ahead = Ahead::default();
        let began = Instant::now();
        let task = set.spawn(std::future::pending());
        let rerun = Running { index: 7, on: On::Shared, before: None, is_ahead: true, began, task };
        ahead.begins(7);
        (ahead, BTreeMap::from([(rerun.task.id(), rerun)]))
    }

    #[tokio::test]
    async fn a_rerun_ahead_confirms_a_failure() {
        let mut set = JoinSet::new();
        let (mut ahead, mut running) = with_rerun(&mut set);
        let first = ahead.sort(outcome(Verdict::Fail), None, false, true, &mut running);
        assert!(matches!(first, Sorted::Later));
        let rerun = running.pop_first().unwrap().1;
        assert!(!rerun.is_ahead);
        match ahead.sort(outcome(Verdict::Fail), rerun.before, rerun.is_ahead, true, &mut running) {
            Sorted::Process(_, before) => assert_eq!(before.unwrap().verdict(), Verdict::Fail),
            Sorted::Later => panic!("both attempts have ended"),
        }
    }

    #[tokio::test]
    async fn a_rerun_that_ends_before_the_first_attempt_waits_for_it() {
        let mut set = JoinSet::new();
        let (mut ahead, mut running) = with_rerun(&mut set);
        running.clear();
        let rerun = ahead.sort(outcome(Verdict::Pass), None, true, true, &mut running);
        assert!(matches!(rerun, Sorted::Later));
        match ahead.sort(outcome(Verdict::Fail), None, false, true, &mut running) {
            Sorted::Process(rerun, before) => {
                assert_eq!((rerun.verdict(), before.unwrap().verdict()), (Verdict::Pass, Verdict::Fail));
            }
            Sorted::Later => panic!("both attempts have ended"),
        }
    }

    #[tokio::test]
    async fn a_rerun_ahead_is_dropped_if_the_first_attempt_passes() {
        let mut set = JoinSet::new();
        let (mut ahead, mut running) = with_rerun(&mut set);
        let first = ahead.sort(outcome(Verdict::Pass), None, false, true, &mut running);
        assert!(matches!(first, Sorted::Process(_, None)) && running.is_empty());
        assert!(set.join_next().await.unwrap().unwrap_err().is_cancelled());
    }

    #[tokio::test]
    async fn a_rerun_begins_ahead_once_and_if_the_case_gains_by_it() {
        let mut set = JoinSet::new();
        let (_, mut running) = with_rerun(&mut set);
        running.values_mut().for_each(|one| one.is_ahead = false);
        let mut ahead = Ahead::default();
        assert!(ahead.candidates(&running, |_| None).is_empty());
        assert!(ahead.candidates(&running, |_| Some(Duration::from_secs(3600))).is_empty());
        assert_eq!(ahead.candidates(&running, |_| Some(Duration::ZERO)), [7]);
        ahead.begins(7);
        assert!(ahead.candidates(&running, |_| Some(Duration::ZERO)).is_empty());
    }

    #[test]
    fn a_case_begins_where_there_is_room() {
        let on = |index| if index % 2 == 0 { On::Own } else { On::Shared };
        let mut waiting = Waiting::new(&[0, 1, 2, 3, 4], on);
        assert_eq!(waiting.pop(|on| on != On::Own), Some((On::Shared, 3)));
        assert_eq!(waiting.pop(|_| true), Some((On::Own, 4)));
        waiting.push(On::Accelerated, 9);
        assert_eq!(waiting.pop(|_| true), Some((On::Accelerated, 9)));
        assert_eq!(waiting.pop(|_| false), None);
        assert_eq!(waiting.take_all().collect::<Vec<_>>(), [0, 2, 1]);
    }
}
