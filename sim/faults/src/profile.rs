//! Fault profiles: courses of faults with a name and usual parameters. Scenario files use the same
//! names.

use crate::course::{Course, Step};
use crate::fault::{Fault, Way};
use crate::probability::Probability;
use std::fmt;
use std::time::Duration;

/// A course of faults between some hosts and a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Profile {
    /// `complete-outage`: nothing passes in either direction. Usually 5 s.
    Outage {
        /// From begin to end.
        lasts: Duration,
    },
    /// `intermittent-link`: the link is partitioned and works in turns. Usually 1 s each, for 10 s.
    Intermittent {
        /// How long it works at a time.
        on: Duration,
        /// How long it is partitioned at a time.
        off: Duration,
        /// From begin to end.
        lasts: Duration,
    },
    /// `high-latency`: each direction takes longer. Usually 500 ms, for 8 s.
    HighLatency {
        /// How much longer.
        added: Duration,
        /// From begin to end.
        lasts: Duration,
    },
    /// `packet-loss`: segments are lost in both directions. Usually 30 %, for 6 s.
    PacketLoss {
        /// For each segment.
        probability: Probability,
        /// From begin to end.
        lasts: Duration,
    },
    /// `one-way-partition`: nothing arrives at the hosts. Usually 5 s.
    OneWayPartition {
        /// From begin to end.
        lasts: Duration,
    },
    /// `reset`: the hosts' connections are reset.
    Reset,
    /// `half-open`: the hosts' connections carry nothing any more, and neither end is notified.
    HalfOpen,
    /// `slow-reader`: the hosts do not read. Usually 10 s.
    SlowReader {
        /// From begin to end.
        lasts: Duration,
    },
    /// `broker-crash`: the server crashes, and starts again. Usually after 2 s.
    ServerCrash {
        /// How long the server is down.
        down: Duration,
    },
    /// `client-crash`: the hosts crash, and start again. Usually after 2 s.
    ClientCrash {
        /// How long the hosts are down.
        down: Duration,
    },
    /// `disk-loss`: the server crashes while it writes to its disk ([`Fault::DiskLoss`], within
    /// 5 s), and starts again. Usually after 2 s.
    TornWrites {
        /// How long the server is down.
        down: Duration,
    },
}

/// How long `disk-loss` waits for the server to write.
const WRITES_WITHIN: Duration = Duration::from_secs(5);

impl Profile {
    /// Every profile, with its usual parameters.
    pub const USUAL: [Profile; 11] = [
        Profile::Outage { lasts: Duration::from_secs(5) },
        Profile::Intermittent {
            on: Duration::from_secs(1),
            off: Duration::from_secs(1),
            lasts: Duration::from_secs(10),
        },
        Profile::HighLatency { added: Duration::from_millis(500), lasts: Duration::from_secs(8) },
        Profile::PacketLoss { probability: Probability::THIRTY_PERCENT, lasts: Duration::from_secs(6) },
        Profile::OneWayPartition { lasts: Duration::from_secs(5) },
        Profile::Reset,
        Profile::HalfOpen,
        Profile::SlowReader { lasts: Duration::from_secs(10) },
        Profile::ServerCrash { down: Duration::from_secs(2) },
        Profile::ClientCrash { down: Duration::from_secs(2) },
        Profile::TornWrites { down: Duration::from_secs(2) },
    ];

    /// The profile of that name with its usual parameters; `None` if there is no such profile.
    pub fn named(name: &str) -> Option<Profile> {
        Profile::USUAL.into_iter().find(|profile| profile.name() == name)
    }

    /// The same profile with this duration; for a crash, the time until the host is back. `None` if
    /// the profile has no duration.
    #[must_use]
    pub fn lasting(mut self, time: Duration) -> Option<Profile> {
        match &mut self {
            Profile::Outage { lasts }
            | Profile::Intermittent { lasts, .. }
            | Profile::HighLatency { lasts, .. }
            | Profile::PacketLoss { lasts, .. }
            | Profile::OneWayPartition { lasts }
            | Profile::SlowReader { lasts } => *lasts = time,
            Profile::ServerCrash { down } | Profile::ClientCrash { down } | Profile::TornWrites { down } => {
                *down = time;
            }
            Profile::Reset | Profile::HalfOpen => return None,
        }
        Some(self)
    }

    /// The name.
    pub fn name(&self) -> &'static str {
        match self {
            Profile::Outage { .. } => "complete-outage",
            Profile::Intermittent { .. } => "intermittent-link",
            Profile::HighLatency { .. } => "high-latency",
            Profile::PacketLoss { .. } => "packet-loss",
            Profile::OneWayPartition { .. } => "one-way-partition",
            Profile::Reset => "reset",
            Profile::HalfOpen => "half-open",
            Profile::SlowReader { .. } => "slow-reader",
            Profile::ServerCrash { .. } => "broker-crash",
            Profile::ClientCrash { .. } => "client-crash",
            Profile::TornWrites { .. } => "disk-loss",
        }
    }

    /// The course of the profile. Faults of links are between `hosts` and all others. Faults of the
    /// server do not depend on `hosts`.
    pub fn course<H: AsRef<str>>(&self, hosts: &[H], server: &str) -> Course {
        let names = || hosts.iter().map(|host| host.as_ref().to_owned());
        let around = || names().map(Way::Around);
        let each = |faults: Vec<Fault>, lasts| {
            faults.into_iter().map(|fault| Step { fault, begins: Duration::ZERO, lasts }).collect()
        };
        let host = server.to_owned();
        match *self {
            Profile::Outage { lasts } => {
                each(around().map(|on| Fault::Partition { on }).collect(), Some(lasts))
            }
            Profile::Intermittent { on, off, lasts } => around()
                .flat_map(|way| {
                    partitions(on, off, lasts).map(move |(begins, off)| Step {
                        fault: Fault::Partition { on: way.clone() },
                        begins,
                        lasts: Some(off),
                    })
                })
                .collect(),
            Profile::HighLatency { added, lasts } => {
                each(around().map(|on| Fault::AddedLatency { on, added }).collect(), Some(lasts))
            }
            Profile::PacketLoss { probability, lasts } => {
                each(around().map(|on| Fault::Loss { on, probability }).collect(), Some(lasts))
            }
            Profile::OneWayPartition { lasts } => {
                each(names().map(|host| Fault::Partition { on: Way::To(host) }).collect(), Some(lasts))
            }
            Profile::Reset => each(around().map(|on| Fault::Reset { on }).collect(), None),
            Profile::HalfOpen => each(around().map(|on| Fault::HalfOpen { on }).collect(), None),
            Profile::SlowReader { lasts } => {
                each(names().map(|host| Fault::StalledReader { host }).collect(), Some(lasts))
            }
            Profile::ServerCrash { down } => each(vec![Fault::Crash { host }], Some(down)),
            Profile::ClientCrash { down } => {
                each(names().map(|host| Fault::Crash { host }).collect(), Some(down))
            }
            Profile::TornWrites { down } => {
                each(vec![Fault::DiskLoss { host, within: WRITES_WITHIN }], Some(down))
            }
        }
    }
}

/// When an intermittent link is partitioned, and for how long.
fn partitions(on: Duration, off: Duration, lasts: Duration) -> impl Iterator<Item = (Duration, Duration)> {
    let turn = on + off;
    let begins = std::iter::successors(Some(Duration::ZERO), move |begins| {
        // One partition for the whole time if a turn takes no time.
        (!turn.is_zero()).then(|| *begins + turn)
    });
    begins.take_while(move |begins| *begins < lasts).map(move |begins| {
        let left = lasts.saturating_sub(begins);
        (begins, if turn.is_zero() { left } else { off.min(left) })
    })
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Profile::Outage { lasts }
            | Profile::OneWayPartition { lasts }
            | Profile::SlowReader { lasts } => {
                write!(f, " for {lasts:?}")
            }
            Profile::Intermittent { on, off, lasts } => write!(f, " {on:?} on, {off:?} off, for {lasts:?}"),
            Profile::HighLatency { added, lasts } => write!(f, " +{added:?} for {lasts:?}"),
            Profile::PacketLoss { probability, lasts } => {
                write!(f, " {:.0} % for {lasts:?}", probability.as_fraction() * 100.0)
            }
            Profile::ServerCrash { down } | Profile::ClientCrash { down } | Profile::TornWrites { down } => {
                write!(f, ", back after {down:?}")
            }
            Profile::Reset | Profile::HalfOpen => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Duration = Duration::ZERO;
    const S: Duration = Duration::from_secs(1);

    #[test]
    fn a_name_leads_to_its_profile() {
        for profile in Profile::USUAL {
            assert_eq!(Profile::named(profile.name()), Some(profile));
        }
        assert_eq!(Profile::named("gremlins"), None);
    }

    #[test]
    fn a_profile_with_a_duration_takes_another() {
        for profile in Profile::USUAL {
            let longer = profile.lasting(60 * S);
            let has_none = matches!(profile, Profile::Reset | Profile::HalfOpen);
            assert_eq!(longer.is_none(), has_none, "{profile}");
            assert_ne!(longer, Some(profile));
            assert_eq!(longer.map(|longer| longer.name()), (!has_none).then_some(profile.name()));
        }
    }

    #[test]
    fn an_intermittent_link_is_partitioned_first_and_never_past_the_end() {
        let of = |on, off, lasts| partitions(on, off, lasts).collect::<Vec<_>>();
        assert_eq!(of(S, S, 4 * S), [(NONE, S), (2 * S, S)]);
        assert_eq!(of(S, 2 * S, 4 * S), [(NONE, 2 * S), (3 * S, S)]);
        assert_eq!(of(NONE, NONE, 4 * S), [(NONE, 4 * S)]);
        assert_eq!(of(S, S, NONE), []);
    }

    #[test]
    fn faults_of_links_are_on_each_host_and_those_of_a_server_on_the_server() {
        let on = |host: &str| Fault::Partition { on: Way::Around(host.to_owned()) };
        let outage = Profile::Outage { lasts: S }.course(&["a", "b"], "broker");
        let faults: Vec<_> = outage.steps.iter().map(|step| &step.fault).collect();
        assert_eq!(faults, [&on("a"), &on("b")]);
        let crash = Profile::ServerCrash { down: S }.course(&["a", "b"], "broker");
        let fault = Fault::Crash { host: "broker".to_owned() };
        assert_eq!(crash.steps, [Step { fault, begins: Duration::ZERO, lasts: Some(S) }]);
    }

    #[test]
    fn every_time_of_a_course_is_shortened_and_no_measure() {
        let loss = Profile::TornWrites { down: 2 * S }.course(&["a"], "broker").shortened(5);
        let fault = Fault::DiskLoss { host: "broker".to_owned(), within: S };
        assert_eq!(
            loss.steps,
            [Step { fault, begins: Duration::ZERO, lasts: Some(Duration::from_millis(400)) }]
        );
        let slow = Profile::HighLatency { added: S, lasts: 5 * S }.course(&["a"], "broker").shortened(5);
        assert_eq!(slow.steps[0].lasts, Some(S));
        assert!(matches!(slow.steps[0].fault, Fault::AddedLatency { added: S, .. }));
        let turns =
            Profile::Intermittent { on: S, off: S, lasts: 10 * S }.course(&["a"], "broker").shortened(5);
        assert_eq!(turns.steps[4].begins, Duration::from_millis(1_600));
        assert_eq!(turns.clone().shortened(0), turns);
    }
}
