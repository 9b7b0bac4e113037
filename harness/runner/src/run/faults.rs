//! Faults: what the network, the disks and the machines do to the hosts.

use core::time::Duration;

use mqttspec_codec::Role;
use mqttspec_world::{Probability, Profile, WorldError};

use super::cast::{Part, SERVER};
use super::director::{Director, Flow};
use super::found::Stop;
use super::ground::{Ground, Links, Way};
use super::stage::Stage;
use mqttspec_judge::history::{Ending, Lane, What};
use mqttspec_notation::{DiskFault, Fault, FaultKind, Hosts};

impl Director<'_> {
    pub(crate) async fn fault(&mut self, fault: &Fault) -> Flow {
        let text = text(fault);
        let line = self.stage.line();
        if let FaultKind::Profile(profile) = &fault.kind {
            let hosts = self.cast.hosts(&fault.hosts);
            self.stage.record_world(line, What::FaultBegun(text));
            return self.profile(profile, hosts).await;
        }
        self.stage.record_world(line, begun(&fault.kind, text.clone()));
        match &fault.hosts {
            Hosts::All => self.change(fault, None).await?,
            Hosts::Named(_) => {
                for host in self.cast.hosts(&fault.hosts) {
                    self.change(fault, Some(&host)).await?;
                }
            }
        }
        self.done_now();
        if let Some(lasting) = fault.lasting {
            self.end_later(fault, &text, lasting.on(false));
        }
        Ok(())
    }

    /// Begins or ends a fault on one host, or on all.
    async fn change(&mut self, fault: &Fault, host: Option<&str>) -> Flow {
        self.troubled(host);
        let links = || links(&self.ground, host, fault.towards.as_deref());
        match &fault.kind {
            FaultKind::Partition => links()?.partition(),
            FaultKind::Heal => heal(&links()?),
            FaultKind::Latency(range) => {
                let (least, most) = range.on(false);
                links()?.latency(least..=most);
                self.longest_latency = self.longest_latency.max(most);
            }
            FaultKind::Loss { per_mille } => {
                links()?.loss(Probability::fraction(f64::from(*per_mille) / 1000.0));
            }
            FaultKind::Bandwidth { bytes_per_second } => links()?.bandwidth(Some(*bytes_per_second)),
            FaultKind::Cut => {
                links()?.reset();
                self.provoked(host);
            }
            FaultKind::Close => self.close_all(host)?,
            FaultKind::Stall => {
                for host in self.concerned(host) {
                    self.ground.stall(&host)?;
                }
            }
            FaultKind::Resume => {
                for host in self.concerned(host) {
                    self.ground.resume(&host)?;
                }
            }
            FaultKind::Crash => {
                for host in self.concerned(host) {
                    self.ground.crash(&host).await?;
                }
                self.lost_in_crash(host);
            }
            FaultKind::Start => {
                for host in self.concerned(host) {
                    self.ground.start(&host).await?;
                }
            }
            // What was not synced is lost in any crash, and the world was told at its start whether writes are torn.
            FaultKind::Disk(faults) => {
                let full = faults.contains(&DiskFault::Full).then_some(0);
                self.ground.disk_capacity(host.unwrap_or(SERVER), full)?;
            }
            FaultKind::Profile(_) => {}
        }
        Ok(())
    }

    /// The host that is named, or every client's.
    fn concerned(&self, host: Option<&str>) -> Vec<String> {
        match host {
            Some(host) => vec![host.to_owned()],
            None => self.cast.clients.iter().map(|client| client.name.clone()).collect(),
        }
    }

    /// The lanes that a fault on a host concerns: all where it is on all hosts or on the server's.
    fn lanes_of(&self, host: Option<&str>) -> Vec<Lane> {
        let all = 0..self.cast.clients.len();
        all.filter(|index| host.is_none_or(|host| host == SERVER || self.cast.clients[*index].name == host))
            .filter_map(|index| u16::try_from(index).ok().map(Lane))
            .collect()
    }

    fn troubled(&self, host: Option<&str>) {
        for lane in self.lanes_of(host) {
            self.stage.with_lane(lane, |state| state.troubled = true);
        }
    }

    fn provoked(&self, host: Option<&str>) {
        for lane in self.lanes_of(host) {
            self.stage.with_lane(lane, |state| state.provoked = true);
        }
    }

    fn close_all(&mut self, host: Option<&str>) -> Flow {
        for lane in self.lanes_of(host) {
            if self.part(&self.name(lane)) == Part::Reference && self.observer() == Role::Client {
                return Err(Stop::broken(
                    "`close` is for hosts that the harness plays; `cut` resets any connection",
                ));
            }
            self.close(lane);
        }
        Ok(())
    }

    /// Connections that the harness plays end with the machine at either end; the harness does not wait to learn of it from the network.
    fn lost_in_crash(&mut self, host: Option<&str>) {
        if let Some(application) = host.and_then(|host| self.applications.get(host)) {
            application.crashed();
        }
        for lane in self.lanes_of(host) {
            let played = self.connections.borrow_mut()[usize::from(lane.0)].take();
            if let Some(connection) = played {
                connection.abandon(Ending::Crashed);
            }
        }
    }

    /// Ends a fault by itself after some time, while the scenario goes on.
    fn end_later(&self, fault: &Fault, text: &str, lasting: Duration) {
        let (ground, stage, fault, text) =
            (self.ground.clone(), self.stage.clone(), fault.clone(), text.to_owned());
        let hosts: Vec<Option<String>> = match &fault.hosts {
            Hosts::All => vec![None],
            Hosts::Named(_) => self.cast.hosts(&fault.hosts).into_iter().map(Some).collect(),
        };
        tokio::task::spawn_local(async move {
            ground.sleep(lasting).await;
            for host in &hosts {
                end(&ground, &fault, host.as_deref()).await;
            }
            stage.record_world(0, What::FaultEnded(format!("# {text}: over")));
        });
    }

    /// A named course of faults; all but what the name says goes on meanwhile.
    async fn profile(&mut self, name: &str, hosts: Vec<String>) -> Flow {
        let (ground, stage) = (self.ground.clone(), self.stage.clone());
        let unknown = || Stop::broken(format!("this harness has no profile {name} yet"));
        let profile = Profile::named(name).ok_or_else(unknown)?;
        hosts.iter().for_each(|host| self.troubled(Some(host)));
        match profile {
            Profile::Reset => {
                for host in &hosts {
                    ground.links(Way::Between(host, SERVER))?.reset();
                    self.provoked(Some(host));
                }
                return Ok(());
            }
            Profile::HalfOpen => {
                for host in &hosts {
                    ground.links(Way::Between(host, SERVER))?.blackhole();
                    self.provoked(Some(host));
                }
                return Ok(());
            }
            Profile::ServerCrash { down } | Profile::TornWrites { down } => {
                self.crash_for(vec![SERVER.to_owned()], down).await?;
            }
            Profile::ClientCrash { down } => self.crash_for(hosts, down).await?,
            _ => {
                let course = course(profile).ok_or_else(unknown)?;
                tokio::task::spawn_local(
                    async move { follow(&ground, &stage, profile, &course, &hosts).await },
                );
            }
        }
        self.done_now();
        Ok(())
    }

    async fn crash_for(&mut self, hosts: Vec<String>, down: Duration) -> Flow {
        for host in &hosts {
            self.ground.crash(host).await?;
            self.lost_in_crash(Some(host));
            self.stage.record_world(self.stage.line(), What::Crashed(format!("crash {host}")));
        }
        let (ground, stage) = (self.ground.clone(), self.stage.clone());
        tokio::task::spawn_local(async move {
            ground.sleep(down / ground.pace().shorter).await;
            for host in &hosts {
                if ground.start(host).await.is_ok() {
                    stage.record_world(0, What::Started(format!("start {host}")));
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

async fn follow(ground: &Ground, stage: &Stage, profile: Profile, course: &[Stretch], hosts: &[String]) {
    let shorter = ground.pace().shorter;
    for stretch in course {
        let around = || hosts.iter().filter_map(|host| ground.links(Way::Around(host)).ok());
        let lasting = match *stretch {
            Stretch::Cut(lasting) => {
                around().for_each(|links| links.partition());
                lasting
            }
            Stretch::OneWay(lasting) => {
                let towards = hosts.iter().filter_map(|host| ground.links(Way::To(host)).ok());
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
                hosts.iter().for_each(|host| drop(ground.stall(host)));
                lasting
            }
            Stretch::Sound(lasting) => lasting,
        };
        ground.sleep(lasting / shorter).await;
        match stretch {
            Stretch::Cut(_) | Stretch::OneWay(_) => around().for_each(|links| links.join()),
            Stretch::Slow(..) => around().for_each(|links| links.usual_latency_and(Duration::ZERO)),
            Stretch::Lossy(..) => around().for_each(|links| links.loss(Probability::NEVER)),
            Stretch::Stalled(_) => hosts.iter().for_each(|host| drop(ground.resume(host))),
            Stretch::Sound(_) => {}
        }
    }
    stage
        .record_world(0, What::FaultEnded(format!("# profile {} {}: over", profile.name(), hosts.join(" "))));
}

/// The links that a fault is on: all of a host, or one direction.
fn links(ground: &Ground, host: Option<&str>, towards: Option<&str>) -> Result<Links, WorldError> {
    ground.links(match (host, towards) {
        (None, None) => Way::Everywhere,
        (None, Some(to)) => Way::To(to),
        (Some(host), None) => Way::Around(host),
        (Some(host), Some(to)) => Way::FromTo(host, to),
    })
}

fn heal(links: &Links) {
    links.join();
    links.usual_latency_and(Duration::ZERO);
    links.loss(Probability::NEVER);
    links.bandwidth(None);
}

async fn end(ground: &Ground, fault: &Fault, host: Option<&str>) {
    if let Ok(links) = links(ground, host, fault.towards.as_deref()) {
        match &fault.kind {
            FaultKind::Partition => links.join(),
            FaultKind::Latency(_) => links.usual_latency_and(Duration::ZERO),
            FaultKind::Loss { .. } => links.loss(Probability::NEVER),
            FaultKind::Bandwidth { .. } => links.bandwidth(None),
            _ => {}
        }
    }
    match (&fault.kind, host) {
        (FaultKind::Stall, Some(host)) => drop(ground.resume(host)),
        (FaultKind::Crash, Some(host)) => drop(ground.start(host).await),
        _ => {}
    }
}

fn begun(kind: &FaultKind, text: String) -> What {
    match kind {
        FaultKind::Crash => What::Crashed(text),
        FaultKind::Start => What::Started(text),
        FaultKind::Heal | FaultKind::Resume => What::FaultEnded(text),
        _ => What::FaultBegun(text),
    }
}

/// The fault as a line of the notation, without its timing.
fn text(fault: &Fault) -> String {
    mqttspec_notation::Step {
        span: mqttspec_notation::Span::default(),
        versions: mqttspec_notation::VersionMark::default(),
        timing: mqttspec_notation::Timing::Usual,
        kind: mqttspec_notation::StepKind::Fault(fault.clone()),
        shows: None,
        comments: mqttspec_notation::Comments::default(),
    }
    .to_string()
}
