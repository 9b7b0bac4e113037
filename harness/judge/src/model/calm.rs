//! When nothing disturbed the connections of a host.

use core::time::Duration;

use mqttspec_codec::Role;
use mqttspec_notation::{FaultKind, Hosts, SERVER};

use crate::active_faults::ActiveFaults;
use crate::history::{FaultEvent, History, What};

/// The longest latency that does not count as a disturbance.
const SHORT: Duration = Duration::from_millis(500);

/// How long after a fault lost segments are still being retransmitted.
pub(super) const RECOVERY: Duration = Duration::from_secs(15);

/// The faults of a run with their times.
pub(super) struct Calm<'h> {
    disturbances: Vec<Disturbance<'h>>,
}

struct Disturbance<'h> {
    began: usize,
    event: &'h FaultEvent,
    from: Duration,
    until: Duration,
}

impl<'h> Calm<'h> {
    pub(super) fn of(history: &'h History) -> Self {
        let mut active = ActiveFaults::default();
        let mut disturbances: Vec<Disturbance<'h>> = Vec::new();
        for (index, event) in history.events().iter().enumerate() {
            let change = active.follow(index, &event.what);
            for ended in change.ends {
                if let Some(one) = disturbances.iter_mut().find(|one| one.began == ended) {
                    one.until = event.at;
                }
            }
            let What::Fault(fault) = &event.what else { continue };
            let until = match &fault.fault.kind {
                FaultKind::Cut | FaultKind::Close => event.at,
                FaultKind::Heal | FaultKind::Resume | FaultKind::Start => continue,
                FaultKind::Latency(range) if range.simulated.1 <= SHORT => continue,
                _ => Duration::MAX,
            };
            disturbances.push(Disturbance { began: index, event: fault, from: event.at, until });
        }
        Self { disturbances }
    }

    /// Whether no fault of the host or of the Server was active from one time to another. Most
    /// faults have effects for some time after their end.
    pub(super) fn lasts(&self, host: &str, from: Duration, until: Duration) -> bool {
        self.disturbances.iter().all(|one| {
            let touches = one.event.fault.hosts == Hosts::All
                || one.event.hosts.iter().any(|named| named == host || named == SERVER);
            let settled = match one.event.fault.kind {
                FaultKind::Cut | FaultKind::Close => one.until,
                // What waits at the end of the limit still arrives at its rate.
                FaultKind::Bandwidth { .. } => Duration::MAX,
                _ => one.until.saturating_add(RECOVERY),
            };
            !touches || settled < from || one.from > until
        })
    }

    /// Whether the peer of a host, or the host itself if it runs the peer, may have lost state by a
    /// crash before a time.
    pub(super) fn loses_state(&self, host: &str, observer: Role, until: Duration) -> bool {
        self.disturbances.iter().any(|one| {
            let crashes =
                matches!(one.event.fault.kind, FaultKind::Crash | FaultKind::Disk(_) | FaultKind::Profile(_));
            let peer = if observer == Role::Server { host } else { SERVER };
            let profile = matches!(one.event.fault.kind, FaultKind::Profile(_));
            crashes && one.from <= until && (profile || one.event.hosts.iter().any(|named| named == peer))
        })
    }
}
