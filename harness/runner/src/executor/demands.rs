//! The demands of a case on a backend, computed before the run.

use core::time::Duration;

use mqttspec_faults::{Fault, Way};
use mqttspec_judge::Case;
use mqttspec_notation::{self as notation, Content, FaultKind, Name, Step, StepKind, Timing, Version};

use crate::backend::Demands;
use crate::hosts::{Hosts, SERVER};

/// The demands of a case.
pub(crate) fn demands(case: &Case, hosts: &Hosts) -> Demands {
    let waits = waits(&case.scenario.steps, case.version);
    let over_websocket = case.scenario.over_websocket;
    let mut demands =
        Demands { plays_server: hosts.plays_server, over_websocket, waits, ..Demands::default() };
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
    if let FaultKind::Profile(profile) = &fault.kind {
        let course = profile.profile().map(|profile| profile.course(&hosts.named(&fault.hosts), SERVER));
        let steps = course.into_iter().flat_map(|course| course.steps);
        return steps.map(|step| step.fault).collect();
    }
    let on_links = ways(fault, hosts).into_iter().filter_map(|on| fault.kind.on_link(on));
    let on_hosts = hosts_of(fault, hosts).into_iter().filter_map(|host| fault.kind.on_host(host));
    on_links.chain(on_hosts).collect()
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
