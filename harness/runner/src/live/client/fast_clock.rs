//! Clients whose clock runs faster than real time, and the time of a run with them.
//!
//! The clock of a server is put forward while a run waits. A client cannot be woken up for that without
//! sending it something: it would wait for its next timer in real time. So its clock runs at one speed
//! all the time. libfaketime shortens the times for which the process waits, too.

use core::convert::Infallible;
use core::time::Duration;
use std::process::Command;
use std::rc::Rc;

use mqttspec_runtime::Ahead;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep};

use crate::backend::Timeouts;
use crate::live::target_clock::{ClockLibrary, LibraryError};

/// The fastest clock: a delay of 10 ms by the machine is 0.2 s of the client's time.
const FASTEST: u32 = 20;

/// The real time in which an ordinary answer comes, also from a client in a slow language.
const NOISE: Duration = Duration::from_millis(50);

/// The real time after which the clock of a run follows the clocks of its clients.
const TICK: Duration = Duration::from_millis(1);

/// Clocks of clients, all with one speed.
#[derive(Clone, Debug)]
pub(super) struct FastClock {
    library: ClockLibrary,
    /// How much faster than real time it runs.
    pub(super) speed: u32,
}

impl FastClock {
    /// Clocks that run at this speed, or at the fastest one.
    pub(super) fn new(speed: u32) -> Result<Self, LibraryError> {
        Ok(Self { library: ClockLibrary::find()?, speed: speed.min(FASTEST) })
    }

    /// Lets a process have such a clock.
    pub(super) fn preload_into(&self, command: &mut Command) {
        self.library.preload_into(command);
        command.env("FAKETIME", format!("+0 x{}", self.speed));
    }

    /// The timeouts in the time of the client. What takes real time takes longer in its time.
    pub(super) fn timeouts(&self, of_real_time: Timeouts) -> Timeouts {
        let noise = NOISE * self.speed;
        Timeouts {
            patience: of_real_time.patience * self.speed,
            early: of_real_time.early + noise / 4,
            late: of_real_time.late + noise,
            settling: noise,
            silence: of_real_time.silence + noise,
            quiet: of_real_time.quiet + noise * 2,
            rest: of_real_time.rest.map(|rest| rest + noise * 4),
            travel: noise / 2,
            ..of_real_time
        }
    }
}

/// The time of a run: that of its clients.
#[derive(Clone)]
pub(super) struct RunTime {
    began: Instant,
    fast: Option<(Rc<Ahead>, u32)>,
}

impl RunTime {
    pub(super) fn starting(clock: Option<&FastClock>) -> Self {
        Self { began: Instant::now(), fast: clock.map(|clock| (Ahead::new(), clock.speed)) }
    }

    pub(super) fn now(&self) -> Duration {
        let now = self.fast.as_ref().map_or_else(Instant::now, |(clock, _)| clock.now());
        now.saturating_duration_since(self.began)
    }

    pub(super) async fn sleep_until(&self, since_start: Duration) {
        mqttspec_runtime::sleep_until(self.began + since_start).await;
    }

    /// By how much this time is ahead of real time.
    pub(super) fn put_forward(&self) -> Duration {
        self.fast.as_ref().map_or(Duration::ZERO, |(clock, _)| clock.by())
    }

    /// Runs a run with its tasks, all of whose timers are timers of this time.
    pub(super) async fn run<F: Future>(&self, run: F) -> F::Output {
        let set = LocalSet::new();
        let Some((clock, speed)) = &self.fast else { return set.run_until(run).await };
        tokio::select! {
            biased;
            never = keep_pace(clock, *speed) => match never {},
            output = clock.run(set.run_until(run)) => output,
        }
    }
}

/// Lets a clock run at a speed.
async fn keep_pace(clock: &Ahead, speed: u32) -> Infallible {
    let mut last = Instant::now();
    loop {
        sleep(TICK).await;
        let now = Instant::now();
        clock.advance((now - last) * speed.saturating_sub(1));
        last = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_time_of_a_run_passes_at_the_speed_of_its_clients() {
        let clock = FastClock { library: ClockLibrary::named("lib.so"), speed: 20 };
        let (time, began) = (RunTime::starting(Some(&clock)), Instant::now());
        time.run(time.sleep_until(Duration::from_secs(60))).await;
        assert!(time.now() >= Duration::from_secs(60));
        let took = began.elapsed();
        assert!(took > Duration::from_millis(2900) && took < Duration::from_millis(3100), "{took:?}");
        assert_eq!(time.put_forward() + took, time.now());
    }

    #[tokio::test(start_paused = true)]
    async fn without_such_a_clock_it_is_real_time() {
        let (time, began) = (RunTime::starting(None), Instant::now());
        time.run(time.sleep_until(Duration::from_secs(60))).await;
        assert_eq!(began.elapsed(), Duration::from_secs(60));
        assert_eq!((time.now(), time.put_forward()), (Duration::from_secs(60), Duration::ZERO));
    }
}
