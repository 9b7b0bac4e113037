//! Live targets: the same scenarios judge a real broker over TCP, TLS or WebSocket.
//!
//! [`backend::LiveBackend`] provides what the simulated world provides otherwise: connections
//! through a relay with faults, real time, and control over a server that the harness started.
//! The other modules handle what only real brokers need:
//!
//! - [`probes`]: the first connections, with [`probe_client`], which find the [`capabilities`] of the
//!   server
//! - [`names`]: names on the wire that keep concurrent runs apart
//! - [`schedule`]: the live times of a scenario
//! - [`target_clock`], [`fast_time`]: servers whose time passes fast while a run waits
//! - [`acceleration`]: whether such servers can be had, and which cases run on them
//! - [`placing`], [`assigning`]: whether a case runs, and on which server
//! - [`case_run`]: the runs of one case
//! - [`service`]: whether the server still works as at the start
//! - [`started`]: the servers that this process has started
//! - [`contact`]: starts and probes the server
//! - [`single`]: single runs, for `explore`
//! - [`session`]: all cases, and the reruns before a failure counts
//! - [`client`]: clients under test, for which the harness acts as the server

pub(crate) mod acceleration;
pub(crate) mod assigning;
pub(crate) mod backend;
pub(crate) mod capabilities;
pub(crate) mod case_run;
pub(crate) mod cleaning;
pub mod client;
pub(crate) mod contact;
pub(crate) mod fast_time;
pub(crate) mod launcher;
pub(crate) mod names;
pub(crate) mod passes;
pub(crate) mod placing;
pub(crate) mod probe_client;
pub(crate) mod probes;
pub(crate) mod schedule;
pub(crate) mod service;
pub(crate) mod service_watch;
pub(crate) mod session;
pub mod single;
pub(crate) mod stall_detector;
pub(crate) mod started;
pub(crate) mod target_clock;
pub mod target_file;
pub(crate) mod tokens;
pub(crate) mod wire;

use core::num::NonZeroU32;
use core::time::Duration;
use std::io;

use mqttspec_net::transport::{ClientTls, LiveNetError, Target};
use tokio::task::LocalSet;

pub use self::launcher::LaunchError;
pub use self::names::Credentials;
pub use self::passes::interrupted;
pub use self::probes::ContactError;
pub use self::started::kill_servers;
use self::target_file::TargetFile;
use crate::suite::{KeepTrace, Plan};
use mqttspec_judge::results::{CaseResult, SuiteResult};

/// The default of the real time that a run of all cases may take.
pub const TIME_LIMIT: Duration = Duration::from_secs(2 * 3600);

/// The default number of concurrent runs. They mostly wait, so it exceeds the number of CPUs.
pub const JOBS: usize = 192;

/// Which server to judge, and how.
#[derive(Clone, Debug)]
pub struct LiveOptions {
    /// A server that runs already; without it the target file's `start` starts one.
    pub target: Option<Target>,
    /// The trusted certificate authorities, for an encrypted target.
    pub tls: Option<ClientTls>,
    /// The settings of the target.
    pub target_file: TargetFile,
    /// Credentials for Clients to which a scenario gives none. They override the target file's.
    pub credentials: Option<Credentials>,
    /// The first seed, for faults and random choices.
    pub seed: u64,
    /// The number of runs of each case, each with its own seed.
    pub seeds: u32,
    /// The number of concurrent runs.
    pub jobs: usize,
    /// Which runs keep their trace.
    pub keep: KeepTrace,
    /// Runs scenarios with long waits too, instead of skipping them.
    pub patient: bool,
    /// The arguments that named the target, for the commands that repeat a case, such as
    /// `--target-file targets/mosquitto.toml`. If empty, a command names the address, or the
    /// command that starts the server.
    pub target_arguments: String,
    /// Skips cases that wait for a second or longer, or for a timer of the server.
    pub quick: bool,
    /// The real time that all cases may take. Those that are left then are errors.
    pub time_limit: Duration,
    /// How much faster than real time the clock of servers that are started may run while a case
    /// waits. It overrides the target file's.
    pub clock_speed: Option<NonZeroU32>,
}

impl Default for LiveOptions {
    fn default() -> Self {
        Self {
            target: None,
            tls: None,
            target_file: TargetFile::default(),
            credentials: None,
            seed: 0,
            seeds: 1,
            jobs: JOBS,
            keep: KeepTrace::default(),
            patient: false,
            target_arguments: String::new(),
            quick: false,
            time_limit: TIME_LIMIT,
            clock_speed: None,
        }
    }
}

/// Why no case could be judged.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// Neither a target nor a command that starts one.
    #[error("no target: use --target URL, --start COMMAND, or a target file with `start`")]
    NoTarget,
    /// The server cannot be started.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// The server cannot be reached, or is not an MQTT server.
    #[error(transparent)]
    Contact(#[from] ContactError),
    /// The same, for a server that the harness started.
    #[error("{contact}\n  the server was started with `{start}`{output}")]
    Started {
        /// The error.
        contact: ContactError,
        /// The command.
        start: String,
        /// The last lines of its output, after a line break; empty if there are none.
        output: String,
    },
    /// The target's transport cannot be used.
    #[error("{}{}", .0, remedy(*.0))]
    Transport(#[from] LiveNetError),
    /// The operating system refused to start the runtime.
    #[error("cannot start: {0}")]
    Machine(#[from] io::Error),
    /// SIGINT or SIGTERM.
    #[error("interrupted; the server that mqttspec started was stopped")]
    Interrupted,
}

fn remedy(error: LiveNetError) -> &'static str {
    match error {
        LiveNetError::NothingToTrust(_) => ": --ca FILE names them",
        LiveNetError::NotBuilt(_) => "",
    }
}

/// An event of a live session, for a progress display.
#[derive(Debug)]
pub enum Progress<'p> {
    /// The server was probed, and the cases were placed.
    Connected {
        /// The target's name.
        name: &'p str,
        /// The target's address.
        url: &'p str,
        /// Its capabilities, by name.
        capabilities: &'p [(String, String)],
        /// How much later than specified the server may act.
        tolerance: Duration,
        /// Notes about skipped cases, one line each.
        notes: &'p [String],
        /// The number of cases, including skipped ones.
        cases: usize,
    },
    /// A case is done.
    CaseDone {
        /// Its result.
        case: &'p CaseResult,
        /// The number of cases that are done.
        done: usize,
        /// The number of all cases.
        of: usize,
    },
    /// A step that takes a while, as text.
    Status(&'p str),
    /// All cases are done.
    Finished {
        /// The fast cases.
        fast: Elapsed,
        /// The slow cases: they wait for a second or longer, or for a timer of the server.
        slow: Elapsed,
    },
}

/// The duration of a group of cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed {
    /// The number of cases.
    pub cases: usize,
    /// From the start of the first case of all groups to the end of the last case of this group.
    pub duration: Duration,
}

/// Judges a live server by every case of the plan that tests servers.
///
/// # Errors
/// If no server can be judged.
pub fn run_live(
    plan: &Plan,
    options: &LiveOptions,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<SuiteResult, LiveError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    let judged = local.block_on(&runtime, session::judge(plan, options, progress));
    // Dropping the set ends the remaining tasks of runs, so they cannot keep the process alive.
    drop(local);
    runtime.shutdown_background();
    judged
}
