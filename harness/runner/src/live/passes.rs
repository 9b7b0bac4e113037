//! What a session counts and holds of cases that run concurrently.

use core::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::Elapsed;
use super::case_run::Outcome;
use crate::backend::Timeouts;
use crate::found::{Deviated, Deviation};

/// A case that runs concurrently with others.
pub(crate) struct Running {
    pub(crate) index: usize,
    /// Whether it has a server of its own.
    pub(crate) is_own: bool,
    /// The outcome of the first attempt, if this is a rerun.
    pub(crate) before: Option<Outcome>,
    pub(crate) task: AbortHandle,
}

/// Cases that run concurrently.
pub(crate) struct Pass {
    pub(crate) cases: Vec<usize>,
    pub(crate) jobs: usize,
    /// Whether the first outcome of a case counts.
    pub(crate) is_last: bool,
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
