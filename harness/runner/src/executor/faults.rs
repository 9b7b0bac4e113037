//! Faults: what the network, the disks and the machines do to the hosts.

use core::time::Duration;
use std::rc::Rc;

use mqttspec_codec::Role;
use mqttspec_judge::history::{Lane as HostIndex, What};
use mqttspec_notation::{self as notation, DiskFault, Fault, FaultKind, HostName};
use mqttspec_world::{Probability, Profile};

use super::Flow;
use super::clients::Clients;
use super::clock::Clock;
use super::wire::Wire;
use crate::backend::{Backend, BackendError, Links, Way};
use crate::found::Stop;
use crate::hosts::{Hosts, PlayedBy, SERVER};
use crate::recorder::Recorder;

/// Injects the faults of the scenario.
pub(crate) struct Faults {
    backend: Rc<dyn Backend>,
    recorder: Rc<Recorder>,
    hosts: Rc<Hosts>,
}

/// What else a fault concerns: the executor's own connections, the clients, and the time.
struct Concerned<'c> {
    wire: &'c Wire,
    clients: &'c Clients<'c>,
    clock: &'c mut Clock,
}

impl Faults {
    pub(crate) fn new(backend: Rc<dyn Backend>, recorder: Rc<Recorder>, hosts: Rc<Hosts>) -> Self {
        Self { backend, recorder, hosts }
    }

    /// Begins or ends a fault. It ends by itself if it has a duration.
    pub(crate) async fn inject(
        &self,
        fault: &Fault,
        wire: &Wire,
        clients: &Clients<'_>,
        clock: &mut Clock,
    ) -> Flow {
        let mut concerned = Concerned { wire, clients, clock };
        let hosts = self.hosts.named(&fault.hosts);
        let what = What::fault(fault.clone(), hosts.clone());
        let began = self.recorder.record(None, self.recorder.line(), what);
        if let FaultKind::Profile(profile) = &fault.kind {
            return self.profile(profile, hosts, began, &mut concerned).await;
        }
        match &fault.hosts {
            notation::Hosts::All => self.change(fault, None, &mut concerned).await?,
            notation::Hosts::Named(_) => {
                for host in &hosts {
                    self.change(fault, Some(host), &mut concerned).await?;
                }
            }
        }
        concerned.clock.done_now();
        if let Some(lasting) = fault.lasting {
            self.end_later(fault, began, lasting.on(false));
        }
        Ok(())
    }

    /// Begins or ends a fault on one host, or on all.
    async fn change(&self, fault: &Fault, host: Option<&str>, concerned: &mut Concerned<'_>) -> Flow {
        self.troubled(host);
        let links = || links(&*self.backend, host, fault.towards.as_deref());
        match &fault.kind {
            FaultKind::Partition => links()?.partition(),
            FaultKind::Heal => heal(&*links()?),
            FaultKind::Latency(range) => {
                let (least, most) = range.on(false);
                links()?.latency(least..=most);
                concerned.clock.latency_is(most);
            }
            FaultKind::Loss { per_mille } => {
                links()?.loss(Probability::fraction(f64::from(*per_mille) / 1000.0));
            }
            FaultKind::Bandwidth { bytes_per_second } => links()?.bandwidth(Some(*bytes_per_second)),
            FaultKind::Cut => {
                links()?.reset();
                self.provoked(host);
            }
            FaultKind::Close => self.close_all(host, concerned.wire)?,
            FaultKind::Stall => {
                for host in self.concerned(host) {
                    self.backend.stall(&host)?;
                }
            }
            FaultKind::Resume => {
                for host in self.concerned(host) {
                    self.backend.resume(&host)?;
                }
            }
            FaultKind::Crash => {
                for host in self.concerned(host) {
                    self.backend.crash(&host).await?;
                }
                self.lost_in_crash(host, concerned);
            }
            FaultKind::Start => {
                for host in self.concerned(host) {
                    self.backend.start(&host).await?;
                }
            }
            // What was not synced is lost in any crash, and the world was told at its start whether writes are torn.
            FaultKind::Disk(faults) => {
                let full = faults.contains(&DiskFault::Full).then_some(0);
                self.backend.disk_capacity(host.unwrap_or(SERVER), full)?;
            }
            FaultKind::Profile(_) => {}
        }
        Ok(())
    }

    /// The host that is named, or every client's.
    fn concerned(&self, host: Option<&str>) -> Vec<String> {
        match host {
            Some(host) => vec![host.to_owned()],
            None => self.hosts.clients.iter().map(|client| client.name.clone()).collect(),
        }
    }

    /// The hosts of clients that a fault affects: all if it is on all hosts or on the server's.
    fn affected<'f>(&'f self, host: Option<&'f str>) -> impl Iterator<Item = HostIndex> + 'f {
        let on = move |index: &HostIndex| {
            host.is_none_or(|host| host == SERVER || self.hosts.name(*index) == host)
        };
        self.hosts.indices().filter(on)
    }

    fn troubled(&self, host: Option<&str>) {
        for index in self.affected(host) {
            self.recorder.with_host(index, |state| state.troubled = true);
        }
    }

    fn provoked(&self, host: Option<&str>) {
        for index in self.affected(host) {
            self.recorder.with_host(index, |state| state.provoked = true);
        }
    }

    fn close_all(&self, host: Option<&str>, wire: &Wire) -> Flow {
        for index in self.affected(host) {
            let runs_peer = self.hosts.is_played_by(self.hosts.name(index), PlayedBy::Peer);
            if runs_peer && self.hosts.observer() == Role::Client {
                return Err(Stop::broken(
                    "`close` is for hosts that the harness plays; `cut` resets any connection",
                ));
            }
            wire.close(index);
        }
        Ok(())
    }

    /// Connections that the harness plays end with the machine at either end; the harness does not wait to learn of it from the network.
    fn lost_in_crash(&self, host: Option<&str>, concerned: &Concerned<'_>) {
        if let Some(host) = host {
            concerned.clients.crashed(host);
        }
        for index in self.affected(host) {
            concerned.wire.abandon(index);
        }
    }

    /// Ends a fault by itself after some time, while the scenario goes on.
    fn end_later(&self, fault: &Fault, began: usize, lasting: Duration) {
        let (backend, recorder, fault) = (self.backend.clone(), self.recorder.clone(), fault.clone());
        let hosts: Vec<Option<String>> = match &fault.hosts {
            notation::Hosts::All => vec![None],
            notation::Hosts::Named(_) => self.hosts.named(&fault.hosts).into_iter().map(Some).collect(),
        };
        tokio::task::spawn_local(async move {
            backend.sleep(lasting).await;
            for host in &hosts {
                end(&*backend, &fault, host.as_deref()).await;
            }
            recorder.record(None, 0, What::FaultOver { began });
        });
    }

    /// A named course of faults; all but what the name says goes on meanwhile.
    async fn profile(
        &self,
        name: &str,
        hosts: Vec<String>,
        began: usize,
        concerned: &mut Concerned<'_>,
    ) -> Flow {
        let (backend, recorder) = (self.backend.clone(), self.recorder.clone());
        let unknown = || Stop::broken(format!("this harness has no profile {name} yet"));
        let profile = Profile::named(name).ok_or_else(unknown)?;
        hosts.iter().for_each(|host| self.troubled(Some(host)));
        match profile {
            Profile::Reset => {
                for host in &hosts {
                    backend.links(Way::Between(host, SERVER))?.reset();
                    self.provoked(Some(host));
                }
                return Ok(());
            }
            Profile::HalfOpen => {
                for host in &hosts {
                    backend.links(Way::Between(host, SERVER))?.blackhole();
                    self.provoked(Some(host));
                }
                return Ok(());
            }
            Profile::ServerCrash { down } | Profile::TornWrites { down } => {
                self.crash_for(vec![SERVER.to_owned()], down, concerned).await?;
            }
            Profile::ClientCrash { down } => self.crash_for(hosts, down, concerned).await?,
            _ => {
                let course = course(profile).ok_or_else(unknown)?;
                tokio::task::spawn_local(async move {
                    follow(&*backend, &recorder, began, &course, &hosts).await;
                });
            }
        }
        concerned.clock.done_now();
        Ok(())
    }

    async fn crash_for(&self, hosts: Vec<String>, down: Duration, concerned: &Concerned<'_>) -> Flow {
        for host in &hosts {
            self.backend.crash(host).await?;
            self.lost_in_crash(Some(host), concerned);
            self.recorder.record(None, self.recorder.line(), power(FaultKind::Crash, host));
        }
        let (backend, recorder) = (self.backend.clone(), self.recorder.clone());
        tokio::task::spawn_local(async move {
            backend.sleep(down / backend.timeouts().shorter).await;
            for host in &hosts {
                if backend.start(host).await.is_ok() {
                    recorder.record(None, 0, power(FaultKind::Start, host));
                }
            }
        });
        Ok(())
    }
}

/// One stretch of a profile: what the links are like, and for how long.
#[derive(Clone, Copy)]
enum Stretch {
    Cut(Duration),
    OneWay(Duration),
    Slow(Duration, Duration),
    Lossy(Probability, Duration),
    Stalled(Duration),
    Sound(Duration),
}

/// The stretches of a profile of the links; none for what happens at one moment.
fn course(profile: Profile) -> Option<Vec<Stretch>> {
    Some(match profile {
        Profile::Outage { lasts } => vec![Stretch::Cut(lasts)],
        Profile::Intermittent { on, off, lasts } => {
            let turns = lasts.as_nanos() / (on + off).as_nanos().max(1);
            (0..turns).flat_map(|_| [Stretch::Cut(off), Stretch::Sound(on)]).collect()
        }
        Profile::HighLatency { added, lasts } => vec![Stretch::Slow(added, lasts)],
        Profile::PacketLoss { probability, lasts } => vec![Stretch::Lossy(probability, lasts)],
        Profile::OneWayPartition { lasts } => vec![Stretch::OneWay(lasts)],
        Profile::SlowReader { lasts } => vec![Stretch::Stalled(lasts)],
        _ => return None,
    })
}

async fn follow(
    backend: &dyn Backend,
    recorder: &Recorder,
    began: usize,
    course: &[Stretch],
    hosts: &[String],
) {
    let shorter = backend.timeouts().shorter;
    for stretch in course {
        let around = || hosts.iter().filter_map(|host| backend.links(Way::Around(host)).ok());
        let lasting = match *stretch {
            Stretch::Cut(lasting) => {
                around().for_each(|links| links.partition());
                lasting
            }
            Stretch::OneWay(lasting) => {
                let towards = hosts.iter().filter_map(|host| backend.links(Way::To(host)).ok());
                towards.for_each(|links| links.partition());
                lasting
            }
            Stretch::Slow(latency, lasting) => {
                around().for_each(|links| links.usual_latency_and(latency));
                lasting
            }
            Stretch::Lossy(probability, lasting) => {
                around().for_each(|links| links.loss(probability));
                lasting
            }
            Stretch::Stalled(lasting) => {
                hosts.iter().for_each(|host| drop(backend.stall(host)));
                lasting
            }
            Stretch::Sound(lasting) => lasting,
        };
        backend.sleep(lasting / shorter).await;
        match stretch {
            Stretch::Cut(_) | Stretch::OneWay(_) => around().for_each(|links| links.join()),
            Stretch::Slow(..) => around().for_each(|links| links.usual_latency_and(Duration::ZERO)),
            Stretch::Lossy(..) => around().for_each(|links| links.loss(Probability::NEVER)),
            Stretch::Stalled(_) => hosts.iter().for_each(|host| drop(backend.resume(host))),
            Stretch::Sound(_) => {}
        }
    }
    recorder.record(None, 0, What::FaultOver { began });
}

/// The links that a fault is on: all of a host, or one direction.
fn links(
    backend: &dyn Backend,
    host: Option<&str>,
    towards: Option<&str>,
) -> Result<Box<dyn Links>, BackendError> {
    backend.links(match (host, towards) {
        (None, None) => Way::Everywhere,
        (None, Some(to)) => Way::To(to),
        (Some(host), None) => Way::Around(host),
        (Some(host), Some(to)) => Way::FromTo(host, to),
    })
}

fn heal(links: &dyn Links) {
    links.join();
    links.usual_latency_and(Duration::ZERO);
    links.loss(Probability::NEVER);
    links.bandwidth(None);
}

async fn end(backend: &dyn Backend, fault: &Fault, host: Option<&str>) {
    if let Ok(links) = links(backend, host, fault.towards.as_deref()) {
        match &fault.kind {
            FaultKind::Partition => links.join(),
            FaultKind::Latency(_) => links.usual_latency_and(Duration::ZERO),
            FaultKind::Loss { .. } => links.loss(Probability::NEVER),
            FaultKind::Bandwidth { .. } => links.bandwidth(None),
            _ => {}
        }
    }
    match (&fault.kind, host) {
        (FaultKind::Stall, Some(host)) => drop(backend.resume(host)),
        (FaultKind::Crash, Some(host)) => drop(backend.start(host).await),
        _ => {}
    }
}

/// The power of one host fails or returns.
fn power(kind: FaultKind, host: &str) -> What {
    let hosts = notation::Hosts::Named(vec![HostName::One(host.to_owned())]);
    What::fault(Fault { kind, hosts, towards: None, lasting: None }, vec![host.to_owned()])
}
