//! Tasks are polled in the same order and see the same times on tokio and on the virtual runtime.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use mqttspec_runtime::{Instant, Virtual, now, sleep, sleep_until, spawn_local, timeout, yield_now};
use tokio::sync::Notify;
use tokio::task::LocalSet;

/// What happened: the millisecond, the task, and what it did.
type Log = Rc<RefCell<Vec<(u128, u64, String)>>>;

/// The number of tasks, which notify each other.
const TASKS: u64 = 5;

/// The choices of a task (SplitMix64).
struct Choices(u64);

impl Choices {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }

    /// An end within 200 ms, which is no whole millisecond. Timers of different tasks end in
    /// different milliseconds: the order of those that end together is not the same.
    fn end(&mut self, shared: &Shared, timers_of: u64) -> Instant {
        let passed = u64::try_from((now() - shared.began).as_millis()).unwrap();
        let (earliest, classes) = (passed + 1 + self.below(200), 2 * TASKS);
        let end = earliest + (timers_of + classes - earliest % classes) % classes;
        shared.began + Duration::from_millis(end) - Duration::from_micros(self.below(1_000))
    }
}

#[derive(Clone)]
struct Shared {
    began: Instant,
    log: Log,
    bells: Rc<Vec<Notify>>,
}

impl Shared {
    fn note(&self, task: u64, what: impl Into<String>) {
        self.log.borrow_mut().push(((now() - self.began).as_millis(), task, what.into()));
    }
}

async fn task(shared: Shared, number: u64, mut choices: Choices) {
    let bell = |number: u64| &shared.bells[usize::try_from(number % TASKS).unwrap()];
    let mut timer = sleep_until(choices.end(&shared, number));
    for _ in 0..40 {
        match choices.below(7) {
            0 => sleep(choices.end(&shared, number) - now()).await,
            1 => yield_now().await,
            2 => bell(choices.below(TASKS)).notify_one(),
            3 => {
                let limit = choices.end(&shared, number) - now();
                let rung = timeout(limit, bell(number).notified()).await;
                shared.note(number, format!("rung: {}", rung.is_ok()));
            }
            4 => timer.reset(choices.end(&shared, number)),
            5 => poll_fn(|context| timer.poll_deadline(context)).await,
            _ => {
                let (to_child, end) = (shared.clone(), choices.end(&shared, TASKS + number));
                let child = spawn_local(async move {
                    to_child.note(number, "child");
                    sleep_until(end).await;
                    to_child.note(number, "child ends");
                });
                if choices.below(3) == 0 {
                    sleep_until(choices.end(&shared, number)).await;
                    child.abort();
                }
            }
        }
        shared.note(number, "step");
    }
}

async fn program(seed: u64, log: Log) {
    let bells = Rc::new((0..TASKS).map(|_| Notify::new()).collect());
    let shared = Shared { began: now(), log, bells };
    for number in 0..TASKS {
        spawn_local(task(shared.clone(), number, Choices(seed * TASKS + number)));
    }
    sleep(Duration::from_secs(60)).await;
    shared.note(TASKS, "end");
}

fn on_tokio(seed: u64) -> Vec<(u128, u64, String)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let log = Log::default();
    LocalSet::new().block_on(&runtime.unwrap(), program(seed, log.clone()));
    log.take()
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn on_virtual(seed: u64) -> Vec<(u128, u64, String)> {
    let (runtime, log) = (Virtual::new(), Log::default());
    let _entered = runtime.enter();
    let woken = Arc::new(Woken(AtomicBool::new(true)));
    let waker = Waker::from(woken.clone());
    let mut run = pin!(runtime.run_until(program(seed, log.clone())));
    loop {
        if woken.0.swap(false, Ordering::Relaxed)
            && let Poll::Ready(()) = run.as_mut().poll(&mut Context::from_waker(&waker))
        {
            return log.take();
        }
        if !runtime.wake_yielded() && !woken.0.load(Ordering::Relaxed) {
            runtime.advance_to(runtime.next_timer().expect("the program waits for a timer"));
        }
    }
}

#[test]
fn tasks_of_both_runtimes_do_the_same() {
    for seed in 0..200 {
        let (expected, actual) = (on_tokio(seed), on_virtual(seed));
        assert!(expected.len() > 200, "seed {seed}: the tasks end");
        let differ = expected.iter().zip(&actual).find(|(expected, actual)| expected != actual);
        assert_eq!((differ, actual.len()), (None, expected.len()), "seed {seed}");
    }
}
