//! The demands of a case on a backend, computed before the run.

use core::time::Duration;

use mqttspec_faults::{Fault, Probability, Profile, Way};
use mqttspec_judge::Case;
use mqttspec_notation::{
    self as notation, Content, DiskFault, FaultKind, Name, Step, StepKind, Timing, Version,
};

use crate::backend::Demands;
use crate::hosts::{Hosts, SERVER};

/// The demands of a case.
pub(crate) fn demands(case: &Case, hosts: &Hosts) -> Demands {
    let waits = waits(&case.scenario.steps, case.version);
    let mut demands = Demands { plays_server: hosts.plays_server, waits, ..Demands::default() };
    case.scenario.walk(&mut |step| {
        if let StepKind::Fault(fault) = &step.kind
            && step.versions.applies_to(case.version)
        {
            demands.faults.extend(faults(fault, hosts));
            if fault.kind == FaultKind::Heal {
                // A backend heals the links that it can partition.
                demands.faults.extend(ways(fault, hosts).into_iter().map(|on| Fault::Partition { on }));
            }
            if let FaultKind::Disk(words) = &fault.kind {
                let on = hosts_of(fault, hosts).into_iter();
                demands.disks.extend(on.map(|host| (host, words.clone())));
            }
        }
    });
    demands
}

/// The minimum time that the steps wait.
fn waits(steps: &[Step], version: Version) -> Duration {
    let mut waited = Duration::ZERO;
    for step in steps.iter().filter(|step| step.versions.applies_to(version)) {
        let before = match step.timing {
            Timing::Usual | Timing::Within(_) => Duration::ZERO,
            Timing::After(time) => time.on(false),
            Timing::At(time) => time.on(false).saturating_sub(waited),
            Timing::Between(range) => range.on(false).0,
        };
        waited += before;
        waited += match &step.kind {
            StepKind::Wait(time) => time.on(false),
            StepKind::WaitUntil(time) => time.on(false).saturating_sub(waited),
            StepKind::Line { content: Content::Nothing { lasting: Some(time) }, .. } => time.on(false),
            StepKind::Repeat { times, steps, .. } => waits(steps, version).saturating_mul(*times),
            StepKind::InAnyOrder(steps) | StepKind::EachRow(steps) => waits(steps, version),
            StepKind::Either(branches) => {
                let each = branches.iter().map(|branch| waits(&branch.steps, version));
                each.min().unwrap_or_default()
            }
            _ => Duration::ZERO,
        };
    }
    waited
}

/// The faults that a line begins.
pub(crate) fn faults(fault: &notation::Fault, hosts: &Hosts) -> Vec<Fault> {
    let on_links = |make: &dyn Fn(Way) -> Fault| ways(fault, hosts).into_iter().map(make).collect();
    let on_hosts = |make: &dyn Fn(Name) -> Fault| hosts_of(fault, hosts).into_iter().map(make).collect();
    match &fault.kind {
        FaultKind::Partition => on_links(&|on| Fault::Partition { on }),
        FaultKind::Latency(range) => {
            let (least, most) = range.on(false);
            on_links(&|on| Fault::Latency { on, latency: least..=most })
        }
        FaultKind::Loss { per_mille } => {
            let probability = Probability::fraction(f64::from(*per_mille) / 1000.0);
            on_links(&|on| Fault::Loss { on, probability })
        }
        FaultKind::Bandwidth { bytes_per_second } => {
            on_links(&|on| Fault::Bandwidth { on, bytes_per_second: *bytes_per_second })
        }
        FaultKind::Cut => on_links(&|on| Fault::Reset { on }),
        FaultKind::Stall => on_hosts(&|host| Fault::StalledReader { host }),
        FaultKind::Crash => on_hosts(&|host| Fault::Crash { host }),
        FaultKind::Disk(words) if words.contains(&DiskFault::Full) => {
            on_hosts(&|host| Fault::FullDisk { host })
        }
        FaultKind::Profile(name) => {
            let course =
                Profile::named(name).map(|profile| profile.course(&hosts.named(&fault.hosts), SERVER));
            course.map_or_else(Vec::new, |course| course.steps.into_iter().map(|step| step.fault).collect())
        }
        FaultKind::Disk(_) | FaultKind::Heal | FaultKind::Close | FaultKind::Resume | FaultKind::Start => {
            Vec::new()
        }
    }
}

/// The links that a line is about.
pub(crate) fn ways(fault: &notation::Fault, hosts: &Hosts) -> Vec<Way> {
    match (&fault.hosts, &fault.towards) {
        (notation::Hosts::All, None) => vec![Way::Everywhere],
        (notation::Hosts::All, Some(to)) => vec![Way::To(to.clone())],
        (notation::Hosts::Named(_), None) => hosts.named(&fault.hosts).into_iter().map(Way::Around).collect(),
        (notation::Hosts::Named(_), Some(to)) => {
            let named = hosts.named(&fault.hosts).into_iter();
            named.map(|from| Way::OneWay { from, to: to.clone() }).collect()
        }
    }
}

/// The hosts whose machines a line is about. A disk without a host's name is the server's.
pub(crate) fn hosts_of(fault: &notation::Fault, hosts: &Hosts) -> Vec<Name> {
    match (&fault.kind, &fault.hosts) {
        (FaultKind::Disk(_), notation::Hosts::All) => vec![SERVER.to_owned()],
        _ => hosts.named(&fault.hosts),
    }
}
