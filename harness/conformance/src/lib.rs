//! Runs the scenarios as tests of your own crate: `cargo test` runs your broker or client in the
//! simulator, with simulated time, faults and crashes.
//!
//! The test target must have `harness = false`:
//!
//! ```no_run
//! use mqttspec_conformance::{Listener, Net, conformance};
//! # async fn serve(_: impl tokio::io::AsyncRead + tokio::io::AsyncWrite) {}
//!
//! fn main() -> std::process::ExitCode {
//!     conformance()
//!         .broker(|host| async move {
//!             let listener = host.net().listen(1883).await?;
//!             loop {
//!                 let (stream, _) = listener.accept().await?;
//!                 tokio::task::spawn_local(serve(stream)); // your broker
//!             }
//!         })
//!         .main()
//! }
//! ```
#![forbid(unsafe_code)]

mod core;
mod settings;
mod trials;

use ::core::future::Future;
use ::core::time::Duration;
use std::path::PathBuf;
use std::process::ExitCode;

use mqttspec_runner::hosted::HostedPeer;

pub use mqttspec_codec::Version;
pub use mqttspec_ports::{Disk, File, Listener, Net};
pub use mqttspec_runner::hosted::{
    App, ClientCommand, ClientEvent, CommandId, Connect, Disconnect, Events, Host, PacketProperties,
    PeerResult, Publish, Subscription, Trouble, TurmoilHost, Unsupported, Will, WorldDisk, WorldHost,
    WorldNet,
};

pub use crate::core::{BrokerCore, Output};
use crate::settings::Settings;

/// Starts the description of a test program that runs the scenarios on a peer.
#[must_use]
pub fn conformance() -> Conformance {
    Conformance { settings: Settings::default() }
}

/// A test program without a peer yet.
#[derive(Debug)]
pub struct Conformance {
    settings: Settings,
}

impl Conformance {
    /// Tests a broker in the simulated world. The closure makes its main task at each start.
    ///
    /// The task must listen at port 1883 of [`Host::net`] and serve until it is dropped. Its other
    /// tasks are spawned with `tokio::task::spawn_local`.
    #[must_use]
    pub fn broker<F, Fut>(self, main: F) -> Tests
    where
        F: Fn(WorldHost) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = PeerResult> + 'static,
    {
        Tests { peer: HostedPeer::broker_in_world(main), settings: self.settings }
    }

    /// Tests a broker core that does no I/O, in the simulated world. The closure makes the core at
    /// each start.
    #[must_use]
    pub fn broker_core<F, C>(self, make: F) -> Tests
    where
        F: Fn(&WorldHost) -> Result<C, Box<dyn std::error::Error>> + Send + Sync + 'static,
        C: BrokerCore,
    {
        let make = std::sync::Arc::new(make);
        self.broker(move |host| {
            let make = make.clone();
            async move {
                let core = make(&host)?;
                let net = host.net();
                Ok(core::serve(net, move || host.now(), core).await?)
            }
        })
    }

    /// Tests a client in the simulated world, through its application. The closure makes its main
    /// task at each start.
    ///
    /// The task takes the commands of the [`App`], opens Network Connections to port 1883 of the
    /// host `broker` with [`Host::net`], and reports events. It must run until it is dropped. A
    /// command, a field or an option that the client does not have is answered with
    /// [`Host::unsupported`] as the error of the task: the case is skipped.
    #[must_use]
    pub fn client<F, Fut>(self, main: F) -> Tests
    where
        F: Fn(WorldHost, App) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = PeerResult> + 'static,
    {
        Tests { peer: HostedPeer::client_in_world(main), settings: self.settings }
    }

    /// Tests a broker in a stock turmoil simulation: code that uses the types of `turmoil::net`
    /// runs unchanged. Scenarios with faults that turmoil does not model are skipped.
    #[must_use]
    pub fn broker_in_turmoil<F, Fut>(self, main: F) -> Tests
    where
        F: Fn(TurmoilHost) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = PeerResult> + 'static,
    {
        Tests { peer: HostedPeer::broker_in_turmoil(main), settings: self.settings }
    }
}

/// A test program with its peer.
#[derive(Debug)]
pub struct Tests {
    peer: HostedPeer,
    settings: Settings,
}

impl Tests {
    /// The name of the peer in reports. The default is the name of the package.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.settings.name = name.into();
        self
    }

    /// States that the client reconnects by itself after the loss of its Network Connection.
    /// Without this, its application repeats the command to connect.
    #[must_use]
    pub fn reconnects(mut self) -> Self {
        self.peer = self.peer.reconnecting();
        self
    }

    /// A file with failures that are known, relative to the package. Such a failure is reported as
    /// ignored; a case that is listed and passes fails. With `MQTTSPEC_WRITE_KNOWN=1` a run writes
    /// the file.
    #[must_use]
    pub fn known_failures(mut self, file: impl Into<PathBuf>) -> Self {
        self.settings.known = Some(file.into());
        self
    }

    /// Runs only cases whose path contains one of these words, or that are about one of these
    /// clauses.
    #[must_use]
    pub fn only<S: Into<String>>(mut self, filters: impl IntoIterator<Item = S>) -> Self {
        self.settings.filters.extend(filters.into_iter().map(Into::into));
        self
    }

    /// Runs the scenario files of a folder in place of those that are compiled in.
    #[must_use]
    pub fn scenarios(mut self, folder: impl Into<PathBuf>) -> Self {
        self.settings.scenarios = Some(folder.into());
        self
    }

    /// Runs each case under this number of seeds, or more if its scenario asks for more. The
    /// default is 1. `MQTTSPEC_SEEDS` overrides it.
    #[must_use]
    pub fn seeds(mut self, seeds: u32) -> Self {
        self.settings.seeds = seeds;
        self
    }

    /// Sets how much later than specified the peer may act. The default is 7 s for brokers, because
    /// many check their timers only every few seconds, which the standard does not forbid. It is
    /// 1.5 s for clients.
    #[must_use]
    pub fn tolerance(mut self, late: Duration) -> Self {
        self.settings.tolerance = Some(late);
        self
    }

    /// How long the peer may run, in real time, without yielding. A peer that blocks its thread or
    /// loops without an `await` cannot be stopped: the process aborts with a message that names the
    /// case, the host and the simulated time. The default is one minute.
    #[must_use]
    pub fn blocking_limit(mut self, limit: Duration) -> Self {
        self.settings.blocking_limit = limit;
        self
    }

    /// Also counts failures of level SHOULD and under a contested reading.
    #[must_use]
    pub fn strict(mut self) -> Self {
        self.settings.strict = true;
        self
    }

    /// Runs each case twice and fails if the two histories differ: then something in the peer
    /// depends on more than the seed. `MQTTSPEC_TWICE=1` does the same.
    #[must_use]
    pub fn twice(mut self) -> Self {
        self.settings.twice = true;
        self
    }

    /// Writes reports into a folder, relative to the package, if the cases run in one process.
    /// `MQTTSPEC_REPORT` overrides it.
    #[must_use]
    pub fn report(mut self, folder: impl Into<PathBuf>) -> Self {
        self.settings.report = Some(folder.into());
        self
    }

    /// Runs the tests that the arguments of the process select, as `cargo test` and nextest pass
    /// them.
    #[must_use]
    pub fn main(self) -> ExitCode {
        trials::run(self.peer, self.settings.with_environment())
    }
}
