//! What the runs of one case need of a hosted peer.

use core::time::Duration;
use std::collections::BTreeMap;
use std::rc::Rc;

use mqttspec_codec::Role;
use mqttspec_faults::Fault;
use mqttspec_judge::Case;
use mqttspec_judge::model::Tolerance;

use super::host::{Asked, Place};
use super::{HostedPeer, Lives};
use crate::backend::RETRANSMISSION;
use crate::executor::demands;
use crate::hosts::{Hosts, PlayedBy, SERVER};
use crate::live::client::peer::client_options;
use crate::peers::client::Applications;
use crate::recorder::Recorder;
use crate::run_clock::RunClock;

/// What the runs of one case need of the peer under test.
pub(crate) struct HostedCase<'t> {
    pub(crate) peer: &'t HostedPeer,
    pub(crate) late: Duration,
    pub(crate) subscribing: Duration,
    /// The real time that one poll may take.
    pub(crate) real_poll: Duration,
    /// The options of the scenario that a broker does not have as it is.
    pub(crate) missing: Vec<(String, String)>,
}

impl HostedCase<'_> {
    /// How exact the times of the peer must be for the history model. Its clock is that of the run,
    /// and its timers may be late.
    pub(crate) fn tolerance(&self) -> Tolerance {
        let Self { late, subscribing, .. } = *self;
        Tolerance { early: Duration::ZERO, late, answer: late, again: RETRANSMISSION, subscribing }
    }

    /// The lives of the peers in one run.
    pub(crate) fn lives(
        &self,
        case: &Case,
        hosts: &Hosts,
        applications: &Applications,
        recorder: &Rc<Recorder>,
        clock: &RunClock,
    ) -> Lives {
        let places = match self.peer.role() {
            Role::Server => BTreeMap::from([(SERVER.to_owned(), self.place_of_broker(case))]),
            Role::Client => self.places_of_clients(case, hosts, applications),
        };
        Lives {
            peer: self.peer.clone(),
            places: Rc::new(places),
            version: case.version,
            clock: clock.clone(),
            recorder: recorder.clone(),
            ends: Rc::default(),
        }
    }

    fn place_of_broker(&self, case: &Case) -> Place {
        let counting = case.scenario.broker.iter().filter(|option| option.versions.applies_to(case.version));
        let options = counting.map(|option| (option.name.clone(), option.value.clone())).collect();
        let needs_disk = case
            .scenario
            .needs
            .iter()
            .any(|need| need.name == "durable-store" && need.versions.applies_to(case.version));
        Place { asked: Rc::new(Asked::about(options)), missing: self.missing.clone(), needs_disk }
    }

    fn places_of_clients(
        &self,
        case: &Case,
        hosts: &Hosts,
        applications: &Applications,
    ) -> BTreeMap<String, Place> {
        let faults = demands(case, hosts).faults;
        let clients = hosts.clients.iter().filter(|client| client.played_by == PlayedBy::Peer);
        clients
            .filter_map(|client| {
                let application = applications.get(&client.name)?;
                let options = client_options(&application.options, self.peer.reconnects());
                let options: Vec<(String, String)> = options.into_iter().collect();
                let crashes = |fault: &Fault| match fault {
                    Fault::Crash { host } | Fault::DiskLoss { host, .. } => *host == client.name,
                    _ => false,
                };
                let place = Place {
                    asked: Rc::new(Asked::about(options.clone())),
                    missing: options,
                    needs_disk: faults.iter().any(crashes),
                };
                Some((client.name.clone(), place))
            })
            .collect()
    }
}
