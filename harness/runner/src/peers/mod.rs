//! Peers under test: the reference broker and the reference client.

pub(crate) mod broker;
pub(crate) mod client;
pub(crate) mod commands;
pub(crate) mod reports;

use core::time::Duration;
use std::rc::Rc;

use mqttspec_codec::Role;
use mqttspec_judge::Case;
use mqttspec_mutants::Mutant;
use mqttspec_notation::STORE;
use mqttspec_world::Seed;

use self::client::{Application, Applications, Keeping};
use crate::facts::DURABLE;
use crate::hosts::{Hosts, PlayedBy};
use crate::recorder::Recorder;

/// The context that a host of a simulation gives to its peer at each start.
pub(crate) struct PeerHost<N, D> {
    pub(crate) net: N,
    pub(crate) disk: D,
    pub(crate) seed: Seed,
    /// Time since the start of the run.
    pub(crate) now: Duration,
}

/// What lies between a peer and the network.
#[derive(Clone, Copy)]
pub(crate) struct Transport {
    pub(crate) mutant: Option<&'static Mutant>,
    pub(crate) over_websocket: bool,
}

/// The applications of a case, one for each client under test. `drawn` are options of
/// the clients that the scenario does not set; `can_crash` says which hosts can crash.
pub(crate) fn applications(
    case: &Case,
    hosts: &Hosts,
    recorder: &Rc<Recorder>,
    mutant: Option<&'static Mutant>,
    drawn: &[(&str, &str)],
    can_crash: &dyn Fn(&str) -> bool,
) -> Result<Applications, String> {
    let mut applications = Applications::default();
    for (index, client) in hosts.indices().zip(&hosts.clients) {
        if client.played_by == PlayedBy::Executor {
            continue;
        }
        let mut options = mqttspec_client::Options::default();
        options.set("client_id", &client.name).map_err(|error| error.to_string())?;
        // As for an adapter: a scenario that wants Clean Start names it.
        options.clean_start = Some(false);
        if hosts.plays_server {
            // Only scenarios about Keep Alive expect PINGREQ packets, and they set it.
            options.keep_alive = 0;
        }
        for (name, value) in drawn.iter().filter(|_| case.tests == Role::Client) {
            options.set(name, value).map_err(|error| error.to_string())?;
        }
        let mut keeping = if can_crash(&client.name) { Keeping::InMemory } else { Keeping::Nowhere };
        for option in client.options.iter().filter(|option| option.versions.applies_to(case.version)) {
            if option.name == STORE {
                if option.value == DURABLE {
                    keeping = Keeping::OnDisk;
                }
                continue;
            }
            options.set(&option.name, &option.value).map_err(|error| error.to_string())?;
        }
        let records_packets = case.tests == Role::Server;
        let version = case.version;
        let mutant = mutant.filter(|mutant| mutant.role == Role::Client);
        let transport = Transport { mutant, over_websocket: case.scenario.over_websocket };
        let application =
            Application::new(index, recorder.clone(), version, options, records_packets, keeping, transport);
        applications.add(&client.name, application);
    }
    Ok(applications)
}
