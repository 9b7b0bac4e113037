//! Peers under test: the reference broker and the reference client.

pub(crate) mod broker;
pub(crate) mod client;
pub(crate) mod reports;

use core::time::Duration;
use std::rc::Rc;

use mqttspec_codec::Role;
use mqttspec_judge::Case;
use mqttspec_mutants::Mutant;
use mqttspec_world::Seed;

use self::broker::{DURABLE, STORE};
use self::client::{Application, Applications};
use crate::hosts::{Hosts, PlayedBy};
use crate::recorder::Recorder;

/// What a host of a simulation gives to the peer that runs on it, at each start.
pub(crate) struct PeerHost<N, D> {
    pub(crate) net: N,
    pub(crate) disk: D,
    pub(crate) seed: Seed,
    /// Time since the start of the run.
    pub(crate) now: Duration,
}

/// The clients of a case with their applications.
pub(crate) fn applications(
    case: &Case,
    hosts: &Hosts,
    recorder: &Rc<Recorder>,
    mutant: Option<&'static Mutant>,
) -> Result<Applications, String> {
    let mut applications = Applications::default();
    for (index, client) in hosts.indices().zip(&hosts.clients) {
        if client.played_by == PlayedBy::Executor {
            continue;
        }
        let mut options = mqttspec_client::Options::default();
        options.set("client_id", &client.name).map_err(|error| error.to_string())?;
        if hosts.plays_server {
            // Its PINGREQ packets belong into those transcripts only that are about them.
            options.keep_alive = 0;
        }
        let mut durable = false;
        for option in client.options.iter().filter(|option| option.versions.applies_to(case.version)) {
            if option.name == STORE {
                durable = option.value == DURABLE;
                continue;
            }
            options.set(&option.name, &option.value).map_err(|error| error.to_string())?;
        }
        let records_packets = case.tests == Role::Server;
        let version = case.version;
        let mutant = mutant.filter(|mutant| mutant.role == Role::Client);
        let application =
            Application::new(index, recorder.clone(), version, options, records_packets, durable, mutant);
        applications.add(&client.name, application);
    }
    Ok(applications)
}
