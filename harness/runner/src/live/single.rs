//! Single runs on a live server, for a caller that decides what to run next, such as `explore`.

use core::cell::Cell;
use core::time::Duration;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};

use mqttspec_codec::Version;
use mqttspec_judge::Case;
use mqttspec_judge::history::History;
use mqttspec_judge::results::RunResult;
use mqttspec_judge::verdict::Verdict;
use tokio::runtime::Runtime;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{sleep, timeout};

use super::backend::Finished;
use super::case_run::{RunContext, broken, run_on_own_server, run_on_shared_server};
use super::contact::contact;
use super::fast_time::Overdue;
use super::placing::{Place, Placed};
use super::schedule::{self, Limits, Times};
use super::{LiveError, LiveOptions, Progress};
use crate::backend::Timeouts;
use crate::facts::Facts;

/// The interval between checks whether to stop.
const STOP_INTERVAL: Duration = Duration::from_millis(100);

/// How long a server that the harness cannot start may take until it serves again.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(10);

/// The largest number of servers at the same time, if the target file does not give it. A run mostly
/// waits, so that they need little CPU time.
const MOST_SERVERS: usize = 64;

/// A live server on which single runs execute.
pub struct LiveTarget {
    runtime: Runtime,
    local: LocalSet,
    shared: Rc<Shared>,
    jobs: usize,
}

struct Shared {
    context: RunContext,
    /// Each run has a server to itself.
    has_own: bool,
    /// How often the shared server was restarted.
    restarts: Cell<u64>,
    /// The server is gone, and cannot be started.
    is_gone: Cell<bool>,
}

/// A run on a live server.
#[derive(Debug)]
pub struct LiveRun {
    /// Its result.
    pub result: RunResult,
    /// Its history.
    pub history: History,
    /// What the server no longer did after the run; it was started anew. On a server that other runs
    /// use at the same time, another one may be the cause.
    pub lost: Option<String>,
}

impl LiveTarget {
    /// Starts the server if no target is given, and probes it.
    ///
    /// # Errors
    /// If there is no server to judge.
    pub fn contact(options: &LiveOptions, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Self, LiveError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let local = LocalSet::new();
        let (context, notes) = local.block_on(&runtime, contact(options, progress))?;
        progress(Progress::Connected {
            name: &context.name,
            url: &context.url,
            capabilities: &context.capabilities.values,
            tolerance: context.timeouts.late.max(context.keep_alive_late),
            notes: &notes,
            cases: 0,
        });
        // A server that starts slowly is used by several runs at the same time.
        let has_own = context.starts && context.starts_quickly;
        let most = context.target_file.servers.unwrap_or(MOST_SERVERS);
        let jobs = options.jobs.min(if has_own { most } else { usize::MAX }).max(1);
        let shared = Shared { context, has_own, restarts: Cell::new(0), is_gone: Cell::new(false) };
        Ok(Self { runtime, local, shared: Rc::new(shared), jobs })
    }

    /// The name of the target.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.context.name
    }

    /// The versions that it supports.
    #[must_use]
    pub fn versions(&self) -> &[Version] {
        &self.shared.context.capabilities.versions
    }

    /// A capability, by the name that a run prints.
    #[must_use]
    pub fn capability(&self, name: &str) -> Option<&str> {
        self.shared.context.capabilities.get(name)
    }

    /// Whether each run has a server to itself, which may be crashed or sent anything.
    #[must_use]
    pub fn has_own_servers(&self) -> bool {
        self.shared.has_own
    }

    /// Whether it acknowledges nothing before it is stored, so that a crash loses nothing.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.shared.context.target_file.durable
    }

    /// How much later than specified its timers may act.
    #[must_use]
    pub fn late(&self) -> Duration {
        self.shared.late()
    }

    /// Runs cases concurrently, each under a seed, until there is no `next` one or `stop` is set.
    /// Passes each result with the number of its case to `done`, in the order in which they end.
    /// Runs that have not ended when `stop` is set have no result.
    pub fn run(
        &mut self,
        next: &mut dyn FnMut() -> Option<(Case, u64)>,
        stop: &AtomicBool,
        done: &mut dyn FnMut(usize, LiveRun),
    ) {
        let (shared, jobs) = (&self.shared, self.jobs);
        self.local.block_on(&self.runtime, async {
            let (mut set, mut count, mut has_more) = (JoinSet::new(), 0, true);
            loop {
                while has_more && set.len() < jobs && !shared.is_gone.get() {
                    match next() {
                        Some((case, seed)) => {
                            set.spawn_local(run_numbered(shared.clone(), count, case, seed));
                            count += 1;
                        }
                        None => has_more = false,
                    }
                }
                if set.is_empty() || stop.load(Ordering::Relaxed) {
                    return;
                }
                // A run that panicked has no result.
                if let Ok(Some(Ok((number, run)))) = timeout(STOP_INTERVAL, set.join_next()).await {
                    done(number, run);
                }
            }
        });
    }
}

impl Drop for LiveTarget {
    /// Stops the servers that were started.
    fn drop(&mut self) {
        let context = &self.shared.context;
        self.local.block_on(&self.runtime, async {
            let idle = context.idle.take();
            for instance in idle.iter().chain(context.instance.iter().filter(|_| context.starts)) {
                instance.stop().await;
            }
        });
    }
}

async fn run_numbered(shared: Rc<Shared>, number: usize, case: Case, seed: u64) -> (usize, LiveRun) {
    (number, shared.run(&case, seed).await)
}

impl Shared {
    /// Each drawn scenario may set every timer.
    fn late(&self) -> Duration {
        self.context.timeouts.late.max(self.context.keep_alive_late)
    }

    async fn run(&self, case: &Case, seed: u64) -> LiveRun {
        let limits =
            Limits { times: Times::Live, wait: None, silence: Duration::MAX, travel: Duration::ZERO };
        let scheduled = match schedule::live(&case.scenario, case.version, limits) {
            Ok(scheduled) => scheduled,
            Err(longest) => {
                let result = broken(format!("it waits for {longest:?}"), seed);
                return LiveRun { result, history: History::default(), lost: None };
            }
        };
        let facts = Facts::of(case);
        let needs_own = facts.crashes_server || facts.needs_plain_names;
        let is_own = self.context.starts && (self.has_own || needs_own);
        let placed = Placed {
            case: Case { scenario: scheduled.scenario.into(), ..case.clone() },
            place: if is_own { Place::Own(Vec::new()) } else { Place::Shared },
            waits: scheduled.waits,
            lines: scheduled.lines,
            within: scheduled.within,
            is_slow: true,
            // Malformed packets, whose names carry no token, may leave something on a server.
            is_first: needs_own,
            overdue: Overdue::default(),
        };
        let context = &self.context;
        let timeouts = Timeouts { late: self.late(), ..context.timeouts };
        let mut lost = None;
        let finished = if is_own {
            run_on_own_server(context, &placed, &[], seed, timeouts, &mut lost).await
        } else {
            let restarts = self.restarts.get();
            let finished = run_on_shared_server(context, &placed, seed, timeouts, false, &mut false).await;
            if restarts != self.restarts.get() {
                let reason = "the server was restarted meanwhile".to_owned();
                return LiveRun { result: not_judged(reason, seed), history: History::default(), lost };
            }
            if finished.result.verdict != Verdict::Pass || !serves(context).await {
                lost = context.lacks().await;
                if lost.is_some() {
                    self.restart().await;
                }
            }
            finished
        };
        let Finished { result, history, .. } = finished;
        LiveRun { result, history, lost }
    }

    /// Restarts the shared server, or waits until it serves again.
    async fn restart(&self) {
        self.restarts.set(self.restarts.get() + 1);
        let context = &self.context;
        let has_power = context.starts || context.target_file.kill.is_some();
        if let Some(instance) = context.instance.as_ref().filter(|_| has_power) {
            let restarted = async {
                instance.crash().await?;
                instance.start().await
            };
            self.is_gone.set(restarted.await.is_err());
            return;
        }
        let serves = async {
            while context.lacks().await.is_some() {
                sleep(STOP_INTERVAL).await;
            }
        };
        self.is_gone.set(timeout(RECOVERY_TIMEOUT, serves).await.is_err());
    }
}

async fn serves(context: &RunContext) -> bool {
    context.lacks_once(&context.prober).await.is_none()
}

fn not_judged(reason: String, seed: u64) -> RunResult {
    RunResult { verdict: Verdict::NotJudged, ..broken(reason, seed) }
}
