//! Lets the time of a server pass fast while a run waits, in steps that the server follows.
//!
//! Exchanges take real time: the clock is put forward only while a run waits, and never within the
//! patience of a wait for an answer. Each step is a small part of what is left until the end of the
//! wait, and the next one follows only after the server has answered a PINGREQ on a connection of
//! the harness and nothing arrived for the run. So a machine that stalls makes a wait longer, and
//! cannot use up more than a part of the time in which an event must come.
//!
//! The links, loads and reference clients of the run have the same clock. A step ends at the next
//! of their timers. While they exchange packets, the steps are short.

use core::future::Future;
use core::time::Duration;
use std::cell::Cell;
use std::io;
use std::rc::Rc;

use mqttspec_codec::Version;
use tokio::time::{Instant, sleep, timeout};

use super::launcher::Instance;
use super::probe_client::ProbeClient;
use super::probes::Prober;
use super::target_clock::TargetClock;

/// The real time between two steps, in which the server acts on the new time.
const ROUND: Duration = Duration::from_millis(5);

/// The same after a step of at most [`BUSY_STEP`].
const BUSY_ROUND: Duration = Duration::from_millis(1);

/// The part of what is left of a wait that a step takes: in a wait for an event, whose time is known
/// no better than the step is long,
const AWAITING: f64 = 0.1;

/// in a wait for an event that may not come,
const WATCHING: f64 = 0.25;

/// and in a wait at whose end the run goes on, whatever has arrived.
const SLEEPING: f64 = 0.75;

/// The real time at the end of a wait for an event that may not come.
const SETTLING: Duration = Duration::from_millis(200);

/// A shorter rest of a wait passes in real time.
const SHORTEST: Duration = Duration::from_millis(30);

/// The longest step while packets are exchanged, and so the largest delay that a step adds to a timer
/// of this process.
const BUSY_STEP: Duration = Duration::from_millis(40);

/// What has not arrived after this real time is overdue.
const PROMPT: Duration = Duration::from_millis(100);

/// How long the answer to the PINGREQ of a step may take, until another one is sent.
const ANSWER: Duration = Duration::from_secs(2);

/// What a run waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// The time itself.
    Time,
    /// Something that should arrive. The end of the wait takes real time: the patience with every
    /// server.
    Arrival,
    /// Something that may arrive.
    Possible,
}

/// The time of a server with a clock of its own, for one run.
pub(crate) struct FastTime {
    instance: Rc<Instance>,
    clock: Rc<TargetClock>,
    /// The time that was added to the clock before the run.
    before: Duration,
    prober: Prober,
    version: Version,
    /// The most target time that passes in a real second, in seconds.
    speed: u32,
    /// How long an answer may take in real time.
    patience: Duration,
    client: Cell<Option<ProbeClient>>,
    overdue: Overdue,
}

/// Whether an accelerated run waits in real time for something that should have arrived. If it does not
/// come, the case fails, and runs in real time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overdue(Rc<Cell<bool>>);

impl Overdue {
    pub(crate) fn is_set(&self) -> bool {
        self.0.get()
    }
}

impl FastTime {
    /// The time of a server; `None` if the harness did not start it with a clock of its own.
    pub(crate) fn of(
        instance: &Rc<Instance>,
        prober: Prober,
        version: Version,
        speed: u32,
        patience: Duration,
        overdue: Overdue,
    ) -> Option<Self> {
        let (clock, instance, client) = (instance.clock()?.clone(), instance.clone(), Cell::default());
        let before = clock.here().by();
        Some(Self { instance, clock, before, prober, version, speed, patience, client, overdue })
    }

    /// What the clock of the server shows, since the server was started first.
    pub(crate) fn now(&self) -> Duration {
        self.clock.now()
    }

    /// The time that was added to the clock in this run. Before the first step, a run is like one in
    /// real time.
    pub(crate) fn put_forward(&self) -> Duration {
        self.clock.here().by().saturating_sub(self.before)
    }

    /// Runs a future, all of whose timers are timers of this clock.
    pub(crate) async fn run<F: Future>(&self, future: F) -> F::Output {
        self.clock.here().run(future).await
    }

    /// See [`TargetClock::grain`].
    pub(crate) fn grain(&self) -> Duration {
        self.clock.grain()
    }

    /// Waits until the clock of the server shows this time. `recorded` counts what the run has
    /// recorded.
    pub(crate) async fn wait_until(&self, until: Duration, wait: Wait, recorded: impl Fn() -> usize) {
        let (share, at_real_time) = match wait {
            Wait::Time => (SLEEPING, Duration::ZERO),
            Wait::Arrival => (AWAITING, self.patience),
            Wait::Possible => (WATCHING, SETTLING.min(self.patience)),
        };
        let fast_until = until.saturating_sub(at_real_time);
        let (mut stepped, mut round) = (Instant::now(), ROUND);
        while fast_until.saturating_sub(self.now()) > SHORTEST {
            let before = recorded();
            sleep(round).await;
            // Real time passes while the server does not answer.
            if !self.answers().await {
                continue;
            }
            // The packets of the server that it sent before its PINGRESP are read now.
            for _ in 0..4 {
                tokio::task::yield_now().await;
            }
            let left = fast_until.saturating_sub(self.now());
            let step = step(left, stepped.elapsed(), share, self.speed);
            round = BUSY_ROUND;
            let step = match (self.next_timer(), recorded() == before) {
                (None, true) => step,
                (None, false) => continue,
                (Some(timer), true) => step.min(timer.max(BUSY_STEP)),
                (Some(_), false) => step.min(BUSY_STEP),
            };
            if step > BUSY_STEP {
                round = ROUND;
            }
            stepped = Instant::now();
            if self.advance(step).await.is_err() {
                break;
            }
        }
        if wait == Wait::Arrival && !self.put_forward().is_zero() {
            sleep(PROMPT.min(until.saturating_sub(self.now()))).await;
            self.overdue.0.set(true);
        }
        sleep(until.saturating_sub(self.now())).await;
    }

    /// The time until the next timer of links, loads and clients in this process.
    fn next_timer(&self) -> Option<Duration> {
        let here = self.clock.here();
        here.next_timer().map(|timer| timer.saturating_duration_since(here.now()))
    }

    /// Puts the clock forward, and wakes the server, which may wait for the next event or timer.
    pub(crate) async fn advance(&self, by: Duration) -> io::Result<()> {
        self.clock.advance(by)?;
        self.answers().await;
        Ok(())
    }

    /// Waits for the answer to a PINGREQ. Also returns `true` if no server runs that could answer.
    pub(crate) async fn answers(&self) -> bool {
        let answered = async {
            // The server may have closed the connection: a step may be longer than any Keep Alive.
            for _ in 0..2 {
                let client = match self.client.take() {
                    Some(client) => Some(client),
                    None => self.connect().await,
                };
                let Some(mut client) = client else { return !self.instance.is_open().await };
                if client.ping().await.is_some() {
                    self.client.set(Some(client));
                    return true;
                }
            }
            false
        };
        timeout(ANSWER, answered).await.unwrap_or(false)
    }

    async fn connect(&self) -> Option<ProbeClient> {
        let id = format!("{}clock", self.prober.token);
        self.prober.connect_with_keep_alive(self.version, &id, u16::MAX, ANSWER).await
    }
}

/// The next step of a wait of which this much is left, after this much real time since the last step.
fn step(left: Duration, real: Duration, share: f64, speed: u32) -> Duration {
    left.mul_f64(share).min(real.saturating_mul(speed))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_step_is_a_part_of_what_is_left() {
        let step = |left, real| step(left, real, AWAITING, 1_000_000);
        assert_eq!(step(20_000 * MS, 5 * MS), 2000 * MS);
        assert_eq!(step(2_000 * MS, 5 * MS), 200 * MS);
        // A stall does not make the next step long.
        assert_eq!(step(20_000 * MS, 5000 * MS), 2000 * MS);
    }

    #[test]
    fn no_step_is_faster_than_the_speed() {
        assert_eq!(step(86_400_000 * MS, 5 * MS, AWAITING, 100), 500 * MS);
        assert_eq!(step(1000 * MS, 5 * MS, AWAITING, 100), 100 * MS);
    }

    #[test]
    fn a_day_ends_after_a_hundred_steps() {
        let (mut left, mut steps) = (86_400_000 * MS, 0);
        while left > SHORTEST {
            left -= step(left, 5 * MS, AWAITING, 1_000_000);
            steps += 1;
        }
        assert!(steps < 150, "{steps}");
    }
}
