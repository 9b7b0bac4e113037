//! Live targets: the same scenarios judge a real broker over TCP, TLS or WebSocket.
//!
//! What the executor asks of the simulated world, a [`backend::LiveBackend`] gives it here: connections through a relay with faults, real time, and the
//! power of a server that was started here. What is particular to real brokers stands in this folder: first contact and capabilities
//! ([`probes`]), names on the wire that keep runs apart ([`names`]), times that people can wait for ([`schedule`]), where a case is played
//! ([`placing`]), one case ([`playing`]), and what is done before a failure counts ([`session`]). It is apart from `run`, because it talks to the real machine.

pub(crate) mod backend;
pub(crate) mod cleaning;
pub(crate) mod launcher;
pub(crate) mod names;
pub(crate) mod placing;
pub(crate) mod playing;
pub(crate) mod probes;
pub(crate) mod schedule;
pub(crate) mod session;
pub(crate) mod stall_detector;
pub mod target_file;
pub(crate) mod tokens;
pub(crate) mod wire;

use core::time::Duration;
use std::io;

use mqttspec_net::transport::{ClientTls, LiveNetError, Target};
use tokio::task::LocalSet;

pub use self::launcher::LaunchError;
pub use self::names::Credentials;
pub use self::probes::ContactError;
use self::target_file::TargetFile;
use crate::suite::{KeepTrace, Plan};
use mqttspec_judge::results::{CaseResult, SuiteResult};

/// How many runs go on side by side where nobody says otherwise: they mostly wait.
pub const JOBS: usize = 128;

/// Which server is judged, and how.
#[derive(Clone, Debug)]
pub struct LiveOptions {
    /// A server that runs already; without it the target file's `start` starts one.
    pub target: Option<Target>,
    /// Whom to trust, where the target is encrypted.
    pub tls: Option<ClientTls>,
    /// What is known of the target.
    pub target_file: TargetFile,
    /// User name and password for Clients of which a scenario says nothing about them; those of the target file otherwise.
    pub credentials: Option<Credentials>,
    /// What faults and choices are drawn from.
    pub seed: u64,
    /// How many runs each case gets, each with other draws.
    pub seeds: u32,
    /// How many runs go on side by side.
    pub jobs: usize,
    /// Whose traces are kept.
    pub keep: KeepTrace,
    /// Waits as long as scenarios say, however long that is.
    pub patient: bool,
    /// How the command line named the target, for the commands that play a case again: `--target-file targets/mosquitto.toml`. Where it is
    /// empty they name the address, or the command that starts the server.
    pub named: String,
    /// Leaves out what waits for a second or longer, or for a clock of the server.
    pub quick: bool,
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
            named: String::new(),
            quick: false,
        }
    }
}

/// Why nothing could be judged.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// Neither a target nor a way to start one.
    #[error(
        "there is no target: --target URL names one, --start COMMAND or a target file with `start` starts one"
    )]
    NoTarget,
    /// The server cannot be started.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// What answers cannot be judged.
    #[error(transparent)]
    Contact(#[from] ContactError),
    /// The server was started, and what answers cannot be judged.
    #[error("{contact}\n  the server was started with `{start}`{output}")]
    Started {
        /// What is wrong.
        contact: ContactError,
        /// The command.
        start: String,
        /// What it printed, behind a line break; empty if nothing.
        output: String,
    },
    /// The target's transport cannot be used.
    #[error("{}{}", .0, remedy(*.0))]
    Transport(#[from] LiveNetError),
    /// This machine gives no runtime.
    #[error("cannot begin: {0}")]
    Machine(#[from] io::Error),
    /// Somebody wants it to end.
    #[error("interrupted; the server that was started is stopped")]
    Interrupted,
}

fn remedy(error: LiveNetError) -> &'static str {
    match error {
        LiveNetError::NothingToTrust(_) => ": --ca FILE names them",
        LiveNetError::NotBuilt(_) => "",
    }
}

/// What is told while a live run goes on.
#[derive(Debug)]
pub enum Progress<'p> {
    /// A server was found: its name, what it can do, and notes about what is left out.
    Met {
        /// What the target is called.
        name: &'p str,
        /// Where it is.
        url: &'p str,
        /// What it can do.
        capabilities: &'p [(String, String)],
        /// The tolerance that is used.
        tolerance: Duration,
        /// One line each.
        notes: &'p [String],
        /// How many cases are played.
        cases: usize,
    },
    /// A case is done.
    Done {
        /// What came of it.
        case: &'p CaseResult,
        /// How many are done.
        done: usize,
        /// Of how many.
        of: usize,
    },
    /// Something that takes a while, in words.
    Doing(&'p str),
    /// All cases are done.
    Over {
        /// The cases that neither wait for long nor for a clock of the server.
        brisk: Took,
        /// The others: they wait for a second or longer, or for an interval of the server to run out.
        by_the_clock: Took,
    },
}

/// How long cases took that were played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Took {
    /// How many they are.
    pub cases: usize,
    /// From the beginning of the first of all cases to the end of the last of these.
    pub took: Duration,
}

/// Judges a live server by every case of the plan that tests servers.
///
/// # Errors
/// If there is no server that could be judged.
pub fn run_live(
    plan: &Plan,
    options: &LiveOptions,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<SuiteResult, LiveError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    let judged = local.block_on(&runtime, session::judge(plan, options, progress));
    // What a run left behind must not keep the process: its tasks end with the set.
    drop(local);
    runtime.shutdown_background();
    judged
}
