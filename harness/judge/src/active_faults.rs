//! Follows faults through the events of a history: where each begins, and which event ends it.

use mqttspec_notation::{Fault, FaultKind, Hosts};

use crate::history::{FaultEvent, What};

/// The faults of a run that have begun and have not ended.
#[derive(Debug, Default)]
pub(crate) struct ActiveFaults<'a> {
    active: Vec<Active<'a>>,
}

#[derive(Debug)]
struct Active<'a> {
    /// The index of the event with which it began.
    began: usize,
    event: &'a FaultEvent,
    /// The hosts on which it is still active.
    hosts: Vec<&'a str>,
}

/// The faults that an event begins and ends. The number of a fault is the index of the event with
/// which it begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) begins: Option<usize>,
    pub(crate) ends: Vec<usize>,
}

impl<'a> ActiveFaults<'a> {
    /// Follows the event at this index of the history.
    pub(crate) fn follow(&mut self, index: usize, what: &'a What) -> Change {
        match what {
            What::Fault(event) => self.step(index, event),
            What::FaultOver { began } => {
                Change { begins: None, ends: self.end(|active| active.began == *began) }
            }
            _ => Change::default(),
        }
    }

    fn step(&mut self, index: usize, event: &'a FaultEvent) -> Change {
        let Fault { kind, .. } = &event.fault;
        match kind {
            FaultKind::Cut | FaultKind::Close => Change::default(),
            FaultKind::Heal => {
                let of_links = |kind: &FaultKind| {
                    !matches!(kind, FaultKind::Stall | FaultKind::Crash | FaultKind::Disk(_))
                };
                Change { begins: None, ends: self.end_on(event, of_links) }
            }
            FaultKind::Resume => {
                Change { begins: None, ends: self.end_on(event, |kind| matches!(kind, FaultKind::Stall)) }
            }
            FaultKind::Start => {
                Change { begins: None, ends: self.end_on(event, |kind| matches!(kind, FaultKind::Crash)) }
            }
            _ => {
                // A link has one latency and one loss: a new one replaces the old one.
                let ends = self.end(|active| replaces(event, active.event));
                let hosts = event.hosts.iter().map(String::as_str).collect();
                self.active.push(Active { began: index, event, hosts });
                Change { begins: Some(index), ends }
            }
        }
    }

    /// Ends the faults of these kinds on the hosts of the event.
    fn end_on(&mut self, event: &FaultEvent, kinds: impl Fn(&FaultKind) -> bool) -> Vec<usize> {
        for active in self.active.iter_mut().filter(|active| kinds(&active.event.fault.kind)) {
            let everywhere = event.fault.hosts == Hosts::All;
            active.hosts.retain(|host| !everywhere && !event.hosts.iter().any(|ended| ended == host));
        }
        self.end(|active| active.hosts.is_empty())
    }

    fn end(&mut self, which: impl Fn(&Active<'_>) -> bool) -> Vec<usize> {
        self.active.extract_if(.., |active| which(active)).map(|active| active.began).collect()
    }
}

/// Whether a new fault replaces one that began earlier. A host that is stalled twice is stalled until
/// both have ended.
fn replaces(new: &FaultEvent, old: &FaultEvent) -> bool {
    if matches!(new.fault.kind, FaultKind::Stall) {
        return false;
    }
    let same_kind = match (&new.fault.kind, &old.fault.kind) {
        (FaultKind::Profile(new), FaultKind::Profile(old)) => new.name == old.name,
        (new, old) => std::mem::discriminant(new) == std::mem::discriminant(old),
    };
    same_kind && new.hosts == old.hosts && new.fault.towards == old.fault.towards
}

#[cfg(test)]
mod tests {
    use mqttspec_notation::{HostName, ProfileFault};

    use super::*;

    fn fault(kind: FaultKind, hosts: &[&str]) -> What {
        let names = hosts.iter().map(|host| HostName::One((*host).to_owned())).collect();
        let fault = Fault { kind, hosts: Hosts::Named(names), towards: None, lasting: None };
        What::fault(fault, hosts.iter().map(|host| (*host).to_owned()).collect())
    }

    fn changes(events: &[What]) -> Vec<(Option<usize>, Vec<usize>)> {
        let mut faults = ActiveFaults::default();
        let follow = |(index, what)| faults.follow(index, what);
        events.iter().enumerate().map(follow).map(|change| (change.begins, change.ends)).collect()
    }

    #[test]
    fn a_fault_lasts_until_it_is_healed_on_each_of_its_hosts() {
        let events = [
            fault(FaultKind::Partition, &["a", "b"]),
            fault(FaultKind::Heal, &["a"]),
            fault(FaultKind::Heal, &["b"]),
            fault(FaultKind::Cut, &["a"]),
        ];
        assert_eq!(changes(&events), [(Some(0), vec![]), (None, vec![]), (None, vec![0]), (None, vec![])]);
    }

    #[test]
    fn each_kind_of_fault_is_ended_by_its_own_step() {
        let events = [
            fault(FaultKind::Stall, &["a"]),
            fault(FaultKind::Crash, &["a"]),
            fault(FaultKind::Loss { per_mille: 5 }, &["a"]),
            fault(FaultKind::Loss { per_mille: 7 }, &["a"]),
            fault(FaultKind::Heal, &["a"]),
            fault(FaultKind::Start, &["a"]),
            fault(FaultKind::Resume, &["a"]),
        ];
        let ends: Vec<Vec<usize>> = changes(&events).into_iter().map(|(_, ends)| ends).collect();
        assert_eq!(ends, [vec![], vec![], vec![], vec![2], vec![3], vec![1], vec![0]]);
    }

    #[test]
    fn a_fault_that_ends_by_itself_is_found_by_its_first_event() {
        let profile = |name: &str| FaultKind::Profile(ProfileFault { name: name.to_owned(), measure: None });
        let events = [
            fault(profile("outage"), &["a"]),
            fault(profile("packet-loss"), &["a"]),
            What::FaultOver { began: 0 },
            What::FaultOver { began: 1 },
        ];
        assert_eq!(changes(&events)[2..], [(None, vec![0]), (None, vec![1])]);
    }

    #[test]
    fn heal_all_also_ends_faults_on_the_broker() {
        let all = Fault { kind: FaultKind::Heal, hosts: Hosts::All, towards: None, lasting: None };
        let events = [fault(FaultKind::Partition, &["broker"]), What::fault(all, vec!["a".to_owned()])];
        assert_eq!(changes(&events)[1], (None, vec![0]));
    }
}
