//! The first contact with a target: starts the server if none is given, and probes it.

use core::num::NonZeroU32;
use core::time::Duration;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

use mqttspec_codec::Version;
use mqttspec_net::transport::{LiveNet, Scheme};
use tokio::time::Instant;

use super::acceleration::{Acceleration, CLOCK_SPEED};
use super::case_run::{RunContext, late, name, timeouts};
use super::launcher::Instance;
use super::names::Credentials;
use super::probe_client::ANSWER_TIMEOUT;
use super::probes::Prober;
use super::tokens::token;
use super::wire::Endpoint;
use super::{LiveError, LiveOptions, Progress};
use crate::intake::Budget;

/// The number of servers in addition to the shared one, if the target file does not give it: for a
/// server that starts within `QUICK_START`, and for others.
const QUICK_SERVERS: usize = 32;
const SLOW_SERVERS: usize = 3;
const QUICK_START: Duration = Duration::from_secs(1);

/// The least and the largest number of servers whose clock is put forward. They use the processor
/// while their cases wait, and to start.
const ACCELERATED_SERVERS: (u128, u128) = (12, 64);

/// How long it may take to start all of them, one after the other.
const ACCELERATED_START: Duration = Duration::from_secs(2);

/// Starts the server if no target is given, and probes it. Returns notes for the report too.
pub(crate) async fn contact(
    options: &LiveOptions,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(RunContext, Vec<String>), LiveError> {
    let target_file = options.target_file.clone();
    let in_file = target_file.credentials.clone().map(Credentials::from);
    let credentials = options.credentials.clone().or(in_file);
    let (mut starts_quickly, mut start_takes) = (true, Duration::ZERO);
    let (endpoint, url, instance, scheme, starts) = match (&options.target, &target_file.start) {
        (Some(target), _) => {
            let net = LiveNet::to(target, options.tls.clone())?;
            let endpoint = Endpoint { net, host: target.host.clone(), port: target.port };
            let instance = match target_file.kill.is_some() || target_file.reset.is_some() {
                true => Some(Rc::new(Instance::running(&target_file, &target.host, target.port)?)),
                false => None,
            };
            (endpoint, target.to_string(), instance, target.scheme, false)
        }
        (None, Some(start)) => {
            progress(Progress::Status("starting the server"));
            let began = Instant::now();
            let instance = Instance::launch(&target_file, start, "", None).await?;
            start_takes = began.elapsed();
            starts_quickly = start_takes <= QUICK_START;
            let endpoint =
                Endpoint { net: LiveNet::tcp(), host: "127.0.0.1".to_owned(), port: instance.port() };
            let url = format!("mqtt://127.0.0.1:{}", instance.port());
            (endpoint, url, Some(Rc::new(instance)), Scheme::Mqtt, true)
        }
        (None, None) => return Err(LiveError::NoTarget),
    };
    if let Some(instance) = instance.as_ref().filter(|_| target_file.reset.is_some()) {
        instance.reset().await?;
    }
    progress(Progress::Status("probing the server"));
    let prober = Prober {
        endpoint: endpoint.clone(),
        url: url.clone(),
        encrypted: scheme.is_encrypted(),
        websocket: matches!(scheme, Scheme::Ws | Scheme::Wss),
        credentials: credentials.clone(),
        token: token(),
        patience: ANSWER_TIMEOUT.min(Duration::from_millis(target_file.tolerance.patience_ms) * 5),
    };
    let mut capabilities = match prober.probe().await {
        Ok(capabilities) => capabilities,
        Err(contact) => {
            return Err(match (&target_file.start, &instance, starts) {
                (Some(start), Some(instance), true) => {
                    let output = instance.output_text();
                    LiveError::Started { contact, start: start.clone(), output }
                }
                _ => contact.into(),
            });
        }
    };
    capabilities.override_with(&target_file.capabilities);
    let mut timeouts = timeouts(&target_file, &capabilities);
    let keep_alive_late = late(target_file.tolerance.keep_alive_late_ms(), &capabilities);
    if options.patient {
        timeouts.shorter = 1;
    }
    let version = capabilities.versions.last().copied().unwrap_or(Version::V3_1_1);
    let mut notes = Vec::new();
    if keep_alive_late > timeouts.late {
        let late = keep_alive_late.as_millis();
        notes.push(format!("where a Client may be silent for too long, the tolerance is {late} ms"));
    }
    let acceleration = match options.clock_speed.or(target_file.clock_speed).map(NonZeroU32::get) {
        None | Some(1) => None,
        Some(speed) => {
            progress(Progress::Status("testing whether the server's clock can be put forward"));
            let start = target_file.start.as_deref().filter(|_| starts);
            let probed = Acceleration::probe(&target_file, start, &prober, version, speed).await;
            let value = match &probed {
                Ok(acceleration) => format!("{speed}: {}", acceleration.seen),
                Err(_) => "1".to_owned(),
            };
            capabilities.values.push((CLOCK_SPEED.to_owned(), value));
            notes.extend(probed.as_ref().err().map(|why| format!("all cases run in real time: {why}")));
            probed.ok()
        }
    };
    let run = format!("{}probe", prober.token);
    let service = prober.service(version, &run, timeouts.subscribing).await;
    let name = name(&target_file, &endpoint, starts);
    let servers = target_file.servers.unwrap_or(if starts_quickly { QUICK_SERVERS } else { SLOW_SERVERS });
    let context = RunContext {
        name,
        servers,
        accelerated_servers: match target_file.servers.is_none() && starts_quickly {
            true => accelerated_servers(start_takes),
            false => servers,
        },
        starts_quickly,
        url,
        credentials,
        capabilities,
        timeouts,
        keep_alive_late,
        endpoint,
        token: prober.token.clone(),
        prober,
        keep: options.keep,
        instance,
        starts,
        idle: RefCell::default(),
        acceleration,
        idle_accelerated: RefCell::default(),
        budget: Budget::default(),
        service,
        probes_each_case: options.jobs == 1,
        target_file,
        runs: Cell::new(0),
        seed: options.seed,
        seeds: options.seeds.max(1),
        target_arguments: options.target_arguments.clone(),
    };
    Ok((context, notes))
}

/// The number of servers whose clock is put forward, if a server takes this time to start.
fn accelerated_servers(start_takes: Duration) -> usize {
    let (least, most) = ACCELERATED_SERVERS;
    let number = ACCELERATED_START.as_micros() / start_takes.as_micros().max(1);
    usize::try_from(number.clamp(least, most)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_starts_slowly_is_started_less_often() {
        let servers = [0, 10, 50, 900].map(|start| accelerated_servers(Duration::from_millis(start)));
        assert_eq!(servers, [64, 64, 40, 12]);
    }
}
