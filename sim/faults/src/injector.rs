//! The interpreter of courses. It knows which faults are active and what follows from them for each
//! link; the backend only sets.

use crate::course::{Course, Step};
use crate::fault::{Fault, LinkState, Way};
use crate::inject::{FaultError, Inject, Unsupported};
use mqttspec_runtime::{Instant, sleep, sleep_until};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

/// A notification of an observer of a course.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The fault of the step has begun. A disk loss begins when the power fails.
    Begun,
    /// The fault of the step has ended. There is no end if something else ended the fault before.
    Ended,
}

/// Injects faults into a backend. Clones share the backend and the active faults.
///
/// All faults of a backend have to go through one injector and its clones.
pub struct Injector<B: Inject> {
    shared: Rc<Shared<B>>,
}

struct Shared<B: Inject> {
    backend: B,
    /// By token, and so in the order in which they began.
    active: RefCell<BTreeMap<u64, Active<B::Link>>>,
    next_token: Cell<u64>,
}

struct Active<L> {
    fault: Fault,
    /// The links that it is on and that were not healed since.
    links: BTreeSet<L>,
}

type StepFuture = Pin<Box<dyn Future<Output = Result<(), FaultError>>>>;

/// A course of which the first faults have begun.
#[must_use = "the rest of the course happens in `finish`"]
pub struct RunningCourse {
    steps: Vec<StepFuture>,
}

impl<B: Inject> Clone for Injector<B> {
    fn clone(&self) -> Self {
        Injector { shared: self.shared.clone() }
    }
}

impl<B: Inject + 'static> Injector<B> {
    /// No fault is active yet.
    pub fn new(backend: B) -> Injector<B> {
        let active = RefCell::new(BTreeMap::new());
        Injector { shared: Rc::new(Shared { backend, active, next_token: Cell::new(0) }) }
    }

    /// The backend.
    pub fn backend(&self) -> &B {
        &self.shared.backend
    }

    /// Whether the backend can model every fault of a course.
    ///
    /// # Errors
    /// The first that it cannot model.
    pub fn supports(&self, course: &Course) -> Result<(), Unsupported> {
        course.steps.iter().try_for_each(|step| self.shared.backend.supports(&step.fault))
    }

    /// Begins a course: returns when the faults that begin at its start have begun. (A disk loss is
    /// decided then, and begins at a later write.)
    ///
    /// # Errors
    /// [`FaultError`]; then no fault of the course is active.
    pub async fn begin(
        &self,
        course: Course,
        observer: impl Fn(&Step, Phase) + 'static,
    ) -> Result<RunningCourse, FaultError> {
        self.supports(&course)?;
        let (observer, began) = (Rc::new(observer), mqttspec_runtime::now());
        let mut running = RunningCourse { steps: Vec::with_capacity(course.steps.len()) };
        let mut tokens = Vec::new();
        for step in course.steps {
            let at_start = step.begins.is_zero();
            let token = Rc::new(Cell::new(None));
            let (shared, observer) = (self.shared.clone(), observer.clone());
            let mut future: StepFuture =
                Box::pin(shared.follow(step, began, token.clone(), move |step, phase| observer(step, phase)));
            if !at_start {
                running.steps.push(future);
                continue;
            }
            let first_turn = poll_fn(|cx| match future.as_mut().poll(cx) {
                Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
                Poll::Pending if token.get().is_some() => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            });
            match first_turn.await {
                None => running.steps.push(future),
                Some(Ok(())) => {}
                Some(Err(error)) => {
                    for token in tokens {
                        self.shared.end(token).await?;
                    }
                    return Err(error);
                }
            }
            tokens.extend(token.get());
        }
        Ok(running)
    }

    /// Runs a course from start to end.
    ///
    /// # Errors
    /// As [`begin`](Injector::begin) and [`RunningCourse::finish`].
    pub async fn run(
        &self,
        course: Course,
        observer: impl Fn(&Step, Phase) + 'static,
    ) -> Result<(), FaultError> {
        self.begin(course, observer).await?.finish().await
    }

    /// Ends every fault of these links: partitions, latencies, losses and bandwidths.
    ///
    /// # Errors
    /// [`FaultError::UnknownHost`]; [`FaultError::NoLink`]. [`FaultError::Unsupported`] if the
    /// backend cannot partition these links alone, because then it cannot heal them alone.
    pub fn heal(&self, on: &Way) -> Result<(), FaultError> {
        self.shared.backend.supports(&Fault::Partition { on: on.clone() })?;
        let links: BTreeSet<B::Link> = self.shared.backend.links(on)?.into_iter().collect();
        let mut healed = BTreeSet::new();
        self.shared.active.borrow_mut().retain(|_, active| {
            let was_on_links = !active.links.is_empty();
            healed.extend(links.iter().filter(|link| active.links.remove(link)).cloned());
            !(was_on_links && active.links.is_empty())
        });
        healed.iter().for_each(|link| self.shared.set(link));
        Ok(())
    }

    /// Ends every fault that keeps the host from reading.
    ///
    /// # Errors
    /// [`FaultError::UnknownHost`]; [`FaultError::Down`].
    pub fn resume_reading(&self, host: &str) -> Result<(), FaultError> {
        self.shared.forget(|fault| matches!(fault, Fault::StalledReader { host: of } if of == host));
        self.shared.backend.resume_reading(host)
    }

    /// Ends every fault that fills the host's disk.
    ///
    /// # Errors
    /// [`FaultError::UnknownHost`].
    pub fn free_disk(&self, host: &str) -> Result<(), FaultError> {
        self.shared.forget(|fault| matches!(fault, Fault::FullDisk { host: of } if of == host));
        self.shared.backend.free_disk(host)
    }

    /// Starts a host that is down, without waiting for the end of the fault that crashed it.
    ///
    /// # Errors
    /// [`FaultError::UnknownHost`]; [`FaultError::AlreadyUp`]; [`FaultError::Failed`].
    pub async fn start(&self, host: &str) -> Result<(), FaultError> {
        self.shared.forget(|fault| {
            matches!(fault, Fault::Crash { host: of } | Fault::DiskLoss { host: of, .. } if of == host)
        });
        self.shared.backend.start(host).await
    }
}

impl RunningCourse {
    /// Returns when every fault of the course that has an end has ended.
    ///
    /// # Errors
    /// The first fault that could not begin or end; the others begin and end all the same.
    pub async fn finish(mut self) -> Result<(), FaultError> {
        let mut outcome = Ok(());
        poll_fn(|cx| {
            self.steps.retain_mut(|step| match step.as_mut().poll(cx) {
                Poll::Pending => true,
                Poll::Ready(result) => {
                    if outcome.is_ok() {
                        outcome = result;
                    }
                    false
                }
            });
            if self.steps.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        outcome
    }
}

impl<B: Inject> Shared<B> {
    /// One step of a course. The token is set when the fault has begun or, if it begins by itself,
    /// is certain to.
    async fn follow(
        self: Rc<Self>,
        step: Step,
        course_began: Instant,
        token: Rc<Cell<Option<u64>>>,
        observer: impl Fn(&Step, Phase),
    ) -> Result<(), FaultError> {
        if !step.begins.is_zero() {
            sleep_until(course_began + step.begins).await;
        }
        let began = self.begin(&step.fault, &token).await?;
        observer(&step, Phase::Begun);
        let Some(lasts) = step.lasts.filter(|_| !step.fault.is_instant()) else { return Ok(()) };
        sleep(lasts).await;
        if self.end(began).await? {
            observer(&step, Phase::Ended);
        }
        Ok(())
    }

    async fn begin(&self, fault: &Fault, decided: &Cell<Option<u64>>) -> Result<u64, FaultError> {
        let backend = &self.backend;
        let mut links = BTreeSet::new();
        match fault {
            Fault::Reset { on } => backend.reset(on)?,
            Fault::HalfOpen { on } => backend.half_open(on)?,
            Fault::StalledReader { host } => backend.stall_reading(host)?,
            Fault::FullDisk { host } => backend.fill_disk(host)?,
            Fault::Crash { host } => backend.crash(host).await?,
            Fault::DiskLoss { host, within } => {
                let crash = backend.crash_at_write(host, *within)?;
                let token = self.activate(fault, links);
                decided.set(Some(token));
                crash.await?;
                return Ok(token);
            }
            _ => {
                if let Some(on) = fault.on_links() {
                    links = backend.links(on)?.into_iter().collect();
                }
            }
        }
        let token = self.activate(fault, links.clone());
        links.iter().for_each(|link| self.set(link));
        decided.set(Some(token));
        Ok(token)
    }

    fn activate(&self, fault: &Fault, links: BTreeSet<B::Link>) -> u64 {
        let token = self.next_token.get();
        self.next_token.set(token + 1);
        if !fault.is_instant() {
            self.active.borrow_mut().insert(token, Active { fault: fault.clone(), links });
        }
        token
    }

    /// Ends a fault. False if it was not active any more.
    async fn end(&self, token: u64) -> Result<bool, FaultError> {
        let Some(ended) = self.active.borrow_mut().remove(&token) else { return Ok(false) };
        ended.links.iter().for_each(|link| self.set(link));
        let is_active = |fault: &Fault| self.active.borrow().values().any(|other| other.fault == *fault);
        let outcome = match &ended.fault {
            Fault::StalledReader { host } if !is_active(&ended.fault) => self.backend.resume_reading(host),
            Fault::FullDisk { host } if !is_active(&ended.fault) => self.backend.free_disk(host),
            Fault::Crash { host } | Fault::DiskLoss { host, .. } => self.backend.start(host).await,
            _ => Ok(()),
        };
        match outcome {
            // Down: the process that did not read is gone. AlreadyUp: the host was started by
            // something else.
            Err(FaultError::Down(_) | FaultError::AlreadyUp(_)) => Ok(false),
            outcome => outcome.map(|()| true),
        }
    }

    fn forget(&self, which: impl Fn(&Fault) -> bool) {
        self.active.borrow_mut().retain(|_, active| !which(&active.fault));
    }

    /// Puts in force on a link what follows from the active faults.
    fn set(&self, link: &B::Link) {
        let mut state = LinkState::default();
        for active in self.active.borrow().values().filter(|active| active.links.contains(link)) {
            state.add(&active.fault);
        }
        self.backend.set(link, &state);
    }
}
