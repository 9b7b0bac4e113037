//! Injects the faults of the scenario into the network, the disks and the machines of the hosts.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use mqttspec_codec::Role;
use mqttspec_faults::{Course, Fault, FaultError, Phase, RunningCourse, Step as CourseStep};
use mqttspec_judge::history::{HostIndex, What};
use mqttspec_notation::{self as notation, DiskFault, FaultKind, HostName, ProfileFault};

use super::Flow;
use super::clock::Clock;
use super::connections::Connections;
use super::demands::{faults, hosts_of, ways};
use crate::backend::Backend;
use crate::found::Stop;
use crate::hosts::{Hosts, PlayedBy, SERVER};
use crate::peers::client::Applications;
use crate::recorder::Recorder;

/// The time after which a packet has arrived that is lost six times in a row.
const LONGEST_RETRY: core::time::Duration = core::time::Duration::from_secs(13);

pub(crate) struct Faults {
    backend: Rc<dyn Backend>,
    crashes: Crashes,
    /// A fault that could not begin or end while the scenario went on.
    failed: Rc<RefCell<Option<FaultError>>>,
    /// The number of courses that run beside the scenario.
    running: Rc<Cell<u32>>,
    /// Whether packets were lost, which the transport sends again later and later.
    has_lost: Cell<bool>,
}

impl Faults {
    pub(crate) fn new(backend: Rc<dyn Backend>, crashes: Crashes) -> Self {
        Self { backend, crashes, failed: Rc::default(), running: Rc::default(), has_lost: Cell::default() }
    }

    /// Begins or ends a fault. It ends by itself if it has a duration.
    pub(crate) async fn inject(&self, fault: &notation::Fault, clock: &mut Clock) -> Flow {
        let (recorder, injector) = (&self.crashes.recorder, self.backend.faults());
        let hosts = &self.crashes.hosts;
        let what = What::fault(fault.clone(), hosts.named(&fault.hosts));
        let began = recorder.record(None, recorder.line(), what);
        self.trouble(fault);
        if matches!(fault.kind, FaultKind::Loss { .. } | FaultKind::Profile(_)) {
            self.has_lost.set(true);
        }
        match &fault.kind {
            FaultKind::Profile(profile) => self.profile(profile, fault, began, clock).await?,
            FaultKind::Heal => {
                for way in ways(fault, hosts) {
                    injector.heal(&way)?;
                }
            }
            FaultKind::Resume => {
                for host in hosts_of(fault, hosts) {
                    injector.resume_reading(&host)?;
                }
            }
            FaultKind::Start => {
                for host in hosts_of(fault, hosts) {
                    injector.start(&host).await?;
                }
            }
            FaultKind::Close => self.close(fault)?,
            FaultKind::Disk(words) if !words.contains(&DiskFault::Full) => {
                // The faults of disks for unsynced writes were set when the run began.
                for host in hosts_of(fault, hosts) {
                    injector.free_disk(&host)?;
                }
            }
            _ => {
                let lasts = fault.lasting.map(|time| time.on(false));
                let step = |fault| CourseStep { fault, begins: core::time::Duration::ZERO, lasts };
                let course: Course = faults(fault, hosts).into_iter().map(step).collect();
                let crashes = self.crashes.clone();
                let observer = move |step: &CourseStep, phase| {
                    if let (Some(host), Phase::Begun) = (crashed(step), phase) {
                        crashes.crashed(host);
                    }
                };
                let running = self.begin(course, observer, clock).await?;
                if fault.kind == FaultKind::Cut {
                    self.provoke(fault);
                }
                if lasts.is_some() {
                    self.finish(running, Some(What::FaultOver { began }));
                }
            }
        }
        clock.done_now();
        Ok(())
    }

    /// Starts a fault profile. The scenario continues meanwhile.
    async fn profile(
        &self,
        named: &ProfileFault,
        fault: &notation::Fault,
        began: usize,
        clock: &mut Clock,
    ) -> Flow {
        let unknown = || Stop::broken(format!("there is no fault profile {}", named.name));
        let profile = named.profile().ok_or_else(unknown)?;
        let hosts = self.crashes.hosts.named(&fault.hosts);
        let course = match fault.lasting.and_then(|time| profile.lasting(time.on(false))) {
            Some(lasting) => lasting.course(&hosts, SERVER),
            None => profile.course(&hosts, SERVER).shortened(clock.timeouts.shorter),
        };
        let (crashes, line) = (self.crashes.clone(), self.crashes.recorder.line());
        let observer = move |step: &CourseStep, phase| {
            let Some(host) = crashed(step) else { return };
            match phase {
                Phase::Begun => {
                    crashes.crashed(host);
                    crashes.recorder.record(None, line, power(FaultKind::Crash, host));
                }
                Phase::Ended => {
                    crashes.recorder.record(None, 0, power(FaultKind::Start, host));
                }
            }
        };
        let is_instant = course.steps.iter().all(|step| step.fault.is_instant());
        let is_crash = course.steps.iter().any(|step| crashed(step).is_some());
        let running = self.begin(course, observer, clock).await?;
        if is_instant {
            self.provoke(fault);
            return Ok(());
        }
        let over = (!is_crash).then(|| What::FaultOver { began });
        self.finish(running, over);
        Ok(())
    }

    async fn begin(
        &self,
        course: Course,
        observer: impl Fn(&CourseStep, Phase) + 'static,
        clock: &mut Clock,
    ) -> Result<RunningCourse, Stop> {
        for step in &course.steps {
            match &step.fault {
                Fault::Latency { latency, .. } => clock.latency_is(*latency.end()),
                Fault::AddedLatency { added, .. } => clock.added_latency_is(*added),
                _ => {}
            }
        }
        Ok(self.backend.faults().begin(course, Box::new(observer)).await?)
    }

    /// Waits in the background for the end of a course, and records it.
    fn finish(&self, running: RunningCourse, over: Option<What>) {
        let (recorder, failed) = (self.crashes.recorder.clone(), self.failed.clone());
        let count = self.running.clone();
        count.set(count.get() + 1);
        mqttspec_runtime::spawn_local(async move {
            if let Err(error) = running.finish().await {
                failed.borrow_mut().get_or_insert(error);
            }
            if let Some(over) = over {
                recorder.record(None, 0, over);
            }
            count.set(count.get() - 1);
        });
    }

    /// How long a packet may be on its way at most, for the faults so far.
    pub(crate) fn longest_retry(&self) -> core::time::Duration {
        match self.has_lost.get() {
            true => LONGEST_RETRY,
            false => core::time::Duration::ZERO,
        }
    }

    /// Whether a course runs beside the scenario.
    pub(crate) fn are_running(&self) -> bool {
        self.running.get() > 0
    }

    /// A fault may have failed since the last call.
    pub(crate) fn check(&self) -> Flow {
        match self.failed.borrow_mut().take() {
            Some(error) => Err(error.into()),
            None => Ok(()),
        }
    }

    /// The clients that a fault affects.
    fn affected(&self, fault: &notation::Fault) -> Vec<HostIndex> {
        match &fault.hosts {
            notation::Hosts::All => self.crashes.hosts.indices().collect(),
            named @ notation::Hosts::Named(_) => {
                let named = self.crashes.hosts.named(named);
                named.iter().flat_map(|host| self.crashes.affected(host)).collect()
            }
        }
    }

    fn trouble(&self, fault: &notation::Fault) {
        for host in self.affected(fault) {
            self.crashes.recorder.with_host(host, |state| state.troubled = true);
        }
    }

    fn provoke(&self, fault: &notation::Fault) {
        for host in self.affected(fault) {
            self.crashes.recorder.with_host(host, |state| state.provoked = true);
        }
    }

    /// Closes the executor's connections.
    fn close(&self, fault: &notation::Fault) -> Flow {
        let hosts = &self.crashes.hosts;
        for host in self.affected(fault) {
            let runs_peer = hosts.is_played_by(hosts.name(host), PlayedBy::Peer);
            if runs_peer && hosts.observer() == Role::Client {
                return Err(Stop::broken(
                    "`close` is for hosts that the executor plays; `cut` resets any connection",
                ));
            }
            self.crashes.connections.close(host);
            self.crashes.recorder.with_host(host, |state| (state.open, state.provoked) = (false, true));
        }
        Ok(())
    }
}

/// The effects of a crash of a host on the executor's own connections and on the client on the
/// host.
#[derive(Clone)]
pub(crate) struct Crashes {
    pub(crate) recorder: Rc<Recorder>,
    pub(crate) hosts: Rc<Hosts>,
    pub(crate) connections: Connections,
    pub(crate) applications: Rc<Applications>,
}

impl Crashes {
    /// If the machine at one end of an executor's connection crashes, the connection is dropped
    /// immediately, before the network reports it.
    fn crashed(&self, host: &str) {
        if let Some(application) = self.applications.get(host) {
            application.crashed();
        }
        self.affected(host).for_each(|host| self.connections.abandon(host));
    }

    /// The clients that a fault of a host affects: all if it is the server's.
    fn affected<'c>(&'c self, host: &'c str) -> impl Iterator<Item = HostIndex> + 'c {
        let on = move |index: &HostIndex| host == SERVER || self.hosts.name(*index) == host;
        self.hosts.indices().filter(on)
    }
}

/// The host whose power fails in a step.
fn crashed(step: &CourseStep) -> Option<&str> {
    match &step.fault {
        Fault::Crash { host } | Fault::DiskLoss { host, .. } => Some(host),
        _ => None,
    }
}

/// The power of one host fails or returns.
fn power(kind: FaultKind, host: &str) -> What {
    let hosts = notation::Hosts::Named(vec![HostName::One(host.to_owned())]);
    let fault = notation::Fault { kind, hosts, towards: None, lasting: None };
    What::fault(fault, vec![host.to_owned()])
}
