//! The time of a run: waits, windows for arrivals, and random times.

use core::time::Duration;
use std::rc::Rc;

use mqttspec_notation::Timing;

use crate::backend::{Backend, Timeouts};
use crate::found::Deviation;
use crate::recorder::Recorder;

/// The window in which something must arrive. Times count from the start of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// When the wait began.
    pub(crate) start: Duration,
    /// Not earlier than this.
    pub(crate) from: Option<Duration>,
    /// Not later than this.
    pub(crate) until: Duration,
    /// How much of the window lies before the time of the scenario, and how much after it: the
    /// tolerance of a live run.
    pub(crate) tolerance: Tolerance,
}

/// How much earlier and later than the scenario says something may come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tolerance {
    early: Duration,
    late: Duration,
}

impl Window {
    /// By how much an arrival in the window is earlier or later than the scenario says; `None` if it
    /// is in time.
    pub(crate) fn deviation(&self, at: Duration) -> Option<Deviation> {
        if let Some(early) = self.scenario_time().and_then(|earliest| earliest.checked_sub(at)) {
            return (!early.is_zero()).then_some(Deviation::Early(early));
        }
        let late = at.saturating_sub(self.until.saturating_sub(self.tolerance.late));
        (!self.tolerance.late.is_zero() && !late.is_zero()).then_some(Deviation::Late(late))
    }

    /// The time before which nothing may come according to the scenario.
    pub(crate) fn scenario_time(&self) -> Option<Duration> {
        self.from.map(|from| from + self.tolerance.early)
    }

    /// The part of the wait that is tolerance.
    pub(crate) fn late(&self) -> Duration {
        self.tolerance.late
    }
}

/// The clock of the executor.
pub(crate) struct Clock {
    backend: Rc<dyn Backend>,
    recorder: Rc<Recorder>,
    pub(crate) timeouts: Timeouts,
    done_at: Duration,
    /// When the executor last sent something.
    sent_at: Option<Duration>,
    /// The longest latency that a link has had, without added latency.
    longest_latency: Duration,
    /// The longest added latency that a link has had.
    longest_added_latency: Duration,
    /// The number of draws so far: each has a stream of its own.
    draws: u64,
}

impl Clock {
    pub(crate) fn new(backend: Rc<dyn Backend>, recorder: Rc<Recorder>) -> Self {
        let timeouts = backend.timeouts();
        let (done_at, longest_latency) = (Duration::ZERO, timeouts.travel);
        let longest_added_latency = Duration::ZERO;
        let sent_at = None;
        Self {
            backend,
            recorder,
            timeouts,
            done_at,
            sent_at,
            longest_latency,
            longest_added_latency,
            draws: 0,
        }
    }

    /// When a live run has to end, less the time that judging it needs.
    pub(crate) fn limit(&self) -> Option<Duration> {
        self.backend.limit().map(|limit| limit.saturating_sub(Duration::from_secs(2)))
    }

    /// Time since the start of the run.
    pub(crate) fn now(&self) -> Duration {
        self.backend.now()
    }

    /// The time at which the last step was done. Times of a scenario count from here.
    pub(crate) fn done_at(&self) -> Duration {
        self.done_at
    }

    /// Notes that the step was done at this time.
    pub(crate) fn done(&mut self, at: Duration) {
        self.done_at = self.done_at.max(at);
    }

    /// Notes that the step is done now.
    pub(crate) fn done_now(&mut self) {
        self.done(self.now());
    }

    /// Waits until a time; then the step is done.
    pub(crate) async fn until(&mut self, time: Duration) {
        self.backend.sleep_until(time).await;
        self.done_now();
    }

    /// Waits for a duration. The step is not done after it.
    pub(crate) async fn sleep(&self, duration: Duration) {
        self.backend.sleep(duration).await;
    }

    /// Waits until an event is recorded, or until just after `until`.
    pub(crate) async fn wait_for_change(&self, until: Duration) {
        // An arrival at exactly the deadline is in time, so the wait ends after it.
        let deadline = until + Duration::from_millis(1);
        tokio::select! {
            biased;
            () = self.recorder.changed() => {}
            () = self.backend.await_until(deadline) => {}
        }
    }

    /// The same, where it is no failure that nothing comes.
    pub(crate) async fn watch_for_change(&self, until: Duration) {
        tokio::select! {
            biased;
            () = self.recorder.changed() => {}
            () = self.backend.watch_until(until + Duration::from_millis(1)) => {}
        }
    }

    /// Waits for the time of a step that sends or acts; returns the wait if it was drawn.
    pub(crate) async fn pause(&mut self, timing: Timing) -> Option<Duration> {
        let (until, drawn) = match timing {
            Timing::Usual | Timing::Within(_) => return None,
            Timing::After(time) => (self.done_at + time.on(false), None),
            Timing::At(time) => (time.on(false), None),
            Timing::Between(range) => {
                let (least, most) = range.on(false);
                let drawn = self.draw(least, most);
                (self.done_at + drawn, Some(drawn))
            }
        };
        self.until(until).await;
        drawn
    }

    /// The window for an expected arrival.
    pub(crate) fn window(&self, timing: Timing) -> Window {
        let Timeouts { patience, early, late, least, .. } = self.timeouts;
        let (from, until, late) = match timing {
            Timing::Usual => (None, self.done_at + patience, Duration::ZERO),
            Timing::Within(time) => {
                let late = late.max(least.saturating_sub(time.on(false)));
                (None, self.done_at + time.on(false) + late, late)
            }
            Timing::After(time) => {
                let from = self.done_at + time.on(false);
                (Some(from), from + patience, Duration::ZERO)
            }
            Timing::At(time) => (Some(time.on(false)), time.on(false) + patience, Duration::ZERO),
            Timing::Between(range) => {
                let (from, most) = range.on(false);
                let late = late.max(least.saturating_sub(most));
                (Some(self.done_at + from), self.done_at + most + late, late)
            }
        };
        // The wait counts from an arrival that may be older.
        let early = (early + self.backend.grain()).min(from.unwrap_or_default());
        let from = from.map(|from| from - early);
        Window { start: self.done_at, from, until, tolerance: Tolerance { early, late } }
    }

    /// Lets the connections write, so that the packets are in the history before the next step.
    pub(crate) async fn written(&mut self) {
        mqttspec_runtime::yield_now().await;
        self.sent_at = Some(self.now());
    }

    /// Waits until the packets that the executor sent have arrived. So the steps of a scenario
    /// happen one after another, even if the next one waits for no answer. A step with a timing
    /// does not wait.
    pub(crate) async fn sent_has_arrived(&mut self) {
        if let Some(sent) = self.sent_at.take() {
            let longest = self.longest_latency + self.longest_added_latency;
            self.until(sent + longest + Duration::from_millis(1)).await;
        }
    }

    /// Waits until acknowledged Subscriptions are in force, on a server that acknowledges them
    /// earlier.
    pub(crate) async fn subscriptions_are_in_force(&mut self) {
        if !self.timeouts.subscribing.is_zero()
            && let Some(acknowledged) = self.recorder.take_subscribed()
        {
            self.until(acknowledged + self.timeouts.subscribing).await;
        }
    }

    /// A link has this latency from now on.
    pub(crate) fn latency_is(&mut self, latency: Duration) {
        self.longest_latency = self.longest_latency.max(latency);
    }

    /// A link takes this much longer from now on.
    pub(crate) fn added_latency_is(&mut self, added: Duration) {
        self.longest_added_latency = self.longest_added_latency.max(added);
    }

    fn draw(&mut self, least: Duration, most: Duration) -> Duration {
        self.draws += 1;
        // Whole microseconds are easier to read.
        let drawn = self.backend.seed().nth(self.draws).draw().duration(least, most);
        Duration::from_micros(u64::try_from(drawn.as_micros()).unwrap_or(u64::MAX))
    }
}
