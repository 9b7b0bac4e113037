//! The command line.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use mqttspec_codec::Version;
use mqttspec_judge::command::quoted;
use mqttspec_net::transport::Target;
use mqttspec_runner::latitude::Latitude;
use mqttspec_runner::live::TIME_LIMIT;
use mqttspec_runner::run::Simulator;

use crate::sources::Place;

/// Run MQTT conformance scenarios on a simulated network or against a live broker, and report which
/// clauses of the standard hold.
#[derive(Debug, Parser)]
#[command(
    name = "mqttspec",
    version,
    after_help = "Exit codes: 0 everything passed, 1 a check failed or a run broke off, 2 nothing could be run or judged: the error says why."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run scenarios and judge the reference broker and client, or a live broker
    Run(Box<RunArguments>),
    /// List scenarios with their versions and clauses
    List(ListArguments),
    /// Print the transcript of one simulated run
    Trace(TraceArguments),
    /// Check scenario files and explain every mistake
    Check(CheckArguments),
    /// Run the reference broker on real sockets
    Serve(crate::serve::arguments::ServeArguments),
    /// Check an adapter, the process that drives a client under test; see targets/clients/README.md
    Adapter(AdapterArguments),
    /// Pass connections on to a broker, and judge the clients and the broker while they talk
    Observe(crate::observe::ObserveArguments),
    /// Compare two reports, of two runs or two targets
    Compare(CompareArguments),
    /// Draw scenarios from seeds, run them, and shrink what fails
    Explore(Box<ExploreArguments>),
    /// Make a failing scenario file short, and keep what fails
    Shrink(ShrinkArguments),
    /// Put the results of several shards of `explore` together
    Merge(MergeArguments),
    /// Combine the reports of several targets into one HTML page
    Report(ReportArguments),
}

/// Which scenarios are selected.
#[derive(Debug, Args)]
pub(crate) struct SelectionArguments {
    /// File, part of a path, or clause id such as MQTT-3.1.2-8, to select scenarios [default: all]
    #[arg(value_name = "FILTER")]
    pub(crate) filters: Vec<String>,
    /// Select only this version of the standard [default: 3.1.1 and 5]
    #[arg(long, value_name = "VERSION")]
    pub(crate) version: Option<VersionName>,
    #[command(flatten)]
    pub(crate) folder: Folder,
}

/// The location of the scenarios.
#[derive(Debug, Args)]
pub(crate) struct Folder {
    /// Folder of the scenario files [default: scenarios, if it has any; otherwise the files that
    /// are compiled in]
    #[arg(long, value_name = "DIR")]
    scenarios: Option<PathBuf>,
}

const FOLDER: &str = "scenarios";

impl Folder {
    /// The arguments that name this folder, after a space; empty for the default folder.
    pub(crate) fn as_arguments(&self) -> String {
        match &self.scenarios {
            Some(folder) if folder.as_path() != Path::new(FOLDER) => {
                format!(" --scenarios {}", quoted(&folder.to_string_lossy()))
            }
            _ => String::new(),
        }
    }

    /// The scenarios that are meant.
    pub(crate) fn place(&self) -> Place {
        match &self.scenarios {
            Some(folder) => Place::Folder(folder.clone()),
            None => Place::folder_with_files(Path::new(FOLDER)).unwrap_or(Place::Embedded),
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    #[command(flatten)]
    pub(crate) selection: SelectionArguments,
    /// First seed of each case; all random choices derive from it
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Number of runs of each case, each with its own seed; a scenario may ask for more
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) seeds: u32,
    /// Draw the choices that the standard leaves to the reference peer under test from the seed, or
    /// make one of them: --latitude=send_maximum=1
    #[arg(long, value_name = "CHOICE", num_args = 0..=1, require_equals = true, default_missing_value = "drawn", conflicts_with_all = ["target", "start", "target_file"])]
    pub(crate) latitude: Option<Latitude>,
    /// Write report.html, report.json, report.md, statements.md and junit.xml into this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) report: Option<PathBuf>,
    /// Number of concurrent runs; it does not affect results [default: the number of CPUs; 128
    /// against a live broker]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) jobs: Option<u16>,
    /// Run only this row of the scenarios' tables, by its first column
    #[arg(long, value_name = "NAME")]
    pub(crate) row: Option<String>,
    /// Real time that a run on a live broker or client may take; the cases that are left then are
    /// errors [default: 7200]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) time_limit: Option<u32>,
    /// Let recommendations (SHOULD) and contested readings affect the exit code too
    #[arg(long)]
    pub(crate) strict: bool,
    /// Also print what became of the messages of each scenario with a load and faults, as in faults/
    #[arg(long)]
    pub(crate) resilience: bool,
    /// Run the reference peers on this backend; skip cases that it cannot do, with the reason
    #[arg(long, value_name = "BACKEND", default_value = "simulated", conflicts_with_all = ["target", "start"])]
    pub(crate) backend: BackendName,
    /// List of known failures: exit with 1 if another case fails, or if a listed case passes
    #[arg(long, value_name = "FILE")]
    pub(crate) expect: Option<PathBuf>,
    /// Write the current failures into the file of --expect, and keep the reasons that it gives
    #[arg(long, requires = "expect")]
    pub(crate) write_expect: bool,
    #[command(flatten)]
    pub(crate) live: LiveArguments,
    #[command(flatten)]
    pub(crate) client: ClientArguments,
}

impl RunArguments {
    pub(crate) fn time_limit(&self) -> Duration {
        self.time_limit.map_or(TIME_LIMIT, |seconds| Duration::from_secs(seconds.into()))
    }
}

/// A client library in place of the reference client.
#[derive(Debug, Args)]
#[command(next_help_heading = "Client libraries")]
pub(crate) struct ClientArguments {
    /// Judge the client that this adapter drives; the harness is its server on real sockets:
    /// --client 'python3 targets/clients/paho_mqtt.py'
    #[arg(long, value_name = "COMMAND", conflicts_with_all = ["target", "start", "target_file", "latitude", "backend"])]
    pub(crate) client: Option<String>,
    /// Target file of a client, with the command of its adapter; see targets/clients/README.md
    #[arg(long, value_name = "FILE", conflicts_with_all = ["client", "target", "start", "target_file", "latitude", "backend"])]
    pub(crate) client_target: Option<PathBuf>,
}

/// A live broker in place of the simulated one.
#[derive(Debug, Args)]
#[command(next_help_heading = "Live brokers")]
pub(crate) struct LiveArguments {
    /// Judge the broker at this address: mqtt://HOST:PORT, mqtts://…, ws://…/PATH, wss://…
    #[arg(long, value_name = "URL", conflicts_with = "start")]
    pub(crate) target: Option<Target>,
    /// Start the broker on a free port, and stop it at the end: --start 'mosquitto -p {port}'
    #[arg(long, value_name = "COMMAND")]
    pub(crate) start: Option<String>,
    /// Target file: settings that cannot be observed over the network; see targets/README.md
    #[arg(long, value_name = "FILE", alias = "profile")]
    pub(crate) target_file: Option<PathBuf>,
    /// Certificate authorities (PEM) to trust for mqtts:// and wss://
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Certificate (PEM) that every client shows to the broker over mqtts:// and wss://
    #[arg(long, value_name = "FILE", requires = "client_key", requires = "ca")]
    pub(crate) client_certificate: Option<PathBuf>,
    /// Private key (PEM) of --client-certificate
    #[arg(long, value_name = "FILE", requires = "client_certificate")]
    pub(crate) client_key: Option<PathBuf>,
    /// User name for every Client to which a scenario gives none
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// File whose first line is the password for --user
    #[arg(long, value_name = "FILE", requires = "user")]
    pub(crate) password_file: Option<PathBuf>,
    /// Run scenarios with long waits too, instead of skipping them
    #[arg(long)]
    pub(crate) patient: bool,
    /// Skip scenarios that wait for a second or longer, or for a timer of the broker, such as Keep
    /// Alive or expiry
    #[arg(long, conflicts_with = "patient")]
    pub(crate) quick: bool,
    /// Put the clock of the broker forward while a scenario waits, up to N times as fast as real
    /// time, with libfaketime; see targets/README.md. The clock of a client runs up to 20 times as
    /// fast; see targets/clients/README.md
    #[arg(long, value_name = "N", conflicts_with_all = ["target", "quick"])]
    pub(crate) clock_speed: Option<NonZeroU32>,
}

impl LiveArguments {
    /// The arguments that name the broker, to repeat the command.
    pub(crate) fn as_arguments(&self) -> String {
        let path = |path: &PathBuf| path.to_string_lossy().into_owned();
        let named = [
            ("--target", self.target.as_ref().map(Target::to_string)),
            ("--start", self.start.clone()),
            ("--target-file", self.target_file.as_ref().map(path)),
            ("--ca", self.ca.as_ref().map(path)),
            ("--client-certificate", self.client_certificate.as_ref().map(path)),
            ("--client-key", self.client_key.as_ref().map(path)),
            ("--clock-speed", self.clock_speed.map(|speed| speed.to_string())),
            ("--user", self.user.clone()),
            ("--password-file", self.password_file.as_ref().map(path)),
        ];
        let mut words: Vec<String> = named
            .into_iter()
            .filter_map(|(name, value)| Some(format!("{name} {}", quoted(&value?))))
            .collect();
        if self.patient {
            words.push("--patient".to_owned());
        }
        words.join(" ")
    }
}

#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    #[command(flatten)]
    pub(crate) selection: SelectionArguments,
}

#[derive(Debug, Args)]
pub(crate) struct TraceArguments {
    /// Scenario file: a path, or a path below the folder of scenarios
    #[arg(value_name = "FILE")]
    pub(crate) file: String,
    /// Seed of the run
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Draw the choices that the standard leaves to the reference peer under test from the seed, or
    /// make one of them: --latitude=send_maximum=1
    #[arg(long, value_name = "CHOICE", num_args = 0..=1, require_equals = true, default_missing_value = "drawn")]
    pub(crate) latitude: Option<Latitude>,
    /// Version of the standard [default: the newest of the scenario]
    #[arg(long, value_name = "VERSION")]
    pub(crate) version: Option<VersionName>,
    /// Row of the scenario's table, by its first column [default: the first]
    #[arg(long, value_name = "NAME")]
    pub(crate) row: Option<String>,
    /// Role under test, for a scenario that tests both [default: server]
    #[arg(long, value_name = "ROLE")]
    pub(crate) tests: Option<RoleName>,
    /// Write the run as a capture file for Wireshark (pcapng)
    #[arg(long, value_name = "FILE")]
    pub(crate) pcap: Option<PathBuf>,
    /// Write the run as a sequence diagram (SVG)
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) folder: Folder,
}

#[derive(Debug, Args)]
pub(crate) struct AdapterArguments {
    /// Command of the adapter: 'python3 targets/clients/paho_mqtt.py'
    #[arg(value_name = "COMMAND", required_unless_present = "reference")]
    pub(crate) command: Option<String>,
    /// Be an adapter: drive the reference client by the lines on the standard input
    #[arg(long, conflicts_with = "command")]
    pub(crate) reference: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CompareArguments {
    /// report.json of the earlier run or first target, or its folder
    #[arg(value_name = "BEFORE")]
    pub(crate) before: PathBuf,
    /// report.json of the later run or second target, or its folder
    #[arg(value_name = "AFTER")]
    pub(crate) after: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct ReportArguments {
    /// report.json of each target, or its folder, in the order of the columns
    #[arg(value_name = "REPORT", required = true)]
    pub(crate) reports: Vec<PathBuf>,
    /// Write report.html into this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct ExploreArguments {
    /// Stop after this time: 10m, 90s, 8h [default: until Ctrl-C]
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    pub(crate) lasting: Option<Duration>,
    /// Stop after this number of runs
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) runs: Option<u64>,
    /// First seed; everything that a run does derives from its seed
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Only this version of the standard
    #[arg(long, value_name = "VERSION")]
    pub(crate) version: Option<VersionName>,
    /// Role under test
    #[arg(long, value_name = "ROLE", default_value = "server")]
    pub(crate) tests: RoleName,
    /// Draw the choices that the standard leaves to the reference peer under test from the seed, or
    /// make one of them: --latitude=send_maximum=1
    #[arg(long, value_name = "CHOICE", num_args = 0..=1, require_equals = true, default_missing_value = "drawn")]
    pub(crate) latitude: Option<Latitude>,
    /// Only these features, or, with a `-` before each, all others: qos1,cut or -raw,-malformed
    #[arg(long, value_name = "LIST", allow_hyphen_values = true)]
    pub(crate) features: Option<mqttspec_explore::Features>,
    /// Run one part of the seeds: 1/4 is the first of four
    #[arg(long, value_name = "I/N", default_value = "1/1")]
    pub(crate) shard: mqttspec_explore::Shard,
    /// Number of threads; it does not affect results [default: the number of CPUs]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) jobs: Option<u16>,
    /// Write campaign.json, coverage.md and one scenario for each finding into this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Continue the campaign whose results are in this folder; the other options must be as before
    #[arg(long, value_name = "DIR", conflicts_with = "out")]
    pub(crate) resume: Option<PathBuf>,
    /// Print the scenario of --seed, and run nothing
    #[arg(long)]
    pub(crate) print: bool,
    /// Measure the finder: run --runs against each mutant of the server and of the client until the
    /// first finding, and print a page in Markdown
    #[arg(long, requires = "runs", conflicts_with_all = ["print", "out", "resume", "lasting", "shard"])]
    pub(crate) mutants: bool,
    /// Compare two brokers: run the same scenarios on both, and list what their clients see
    /// differently; twice, each with `reference` or a target file
    #[arg(long, value_name = "BROKER", conflicts_with_all = ["print", "mutants", "resume", "shard", "latitude", "tests", "target", "start", "target_file"])]
    pub(crate) against: Vec<Compared>,
    #[command(flatten)]
    pub(crate) live: LiveArguments,
}

/// A broker to compare.
#[derive(Clone, Debug)]
pub(crate) enum Compared {
    /// The reference broker, in the simulated world.
    Reference,
    /// The broker of a target file.
    TargetFile(PathBuf),
}

impl FromStr for Compared {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(if text == "reference" { Self::Reference } else { Self::TargetFile(text.into()) })
    }
}

#[derive(Debug, Args)]
pub(crate) struct ShrinkArguments {
    /// Scenario file that fails
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Seed under which it fails in the simulator
    #[arg(long, value_name = "SEED", default_value_t = 0, conflicts_with_all = ["target", "start", "target_file"])]
    pub(crate) seed: u64,
    /// Number of runs after which to stop [default: 1500; 250 on a live broker]
    #[arg(long, value_name = "N")]
    pub(crate) runs: Option<u32>,
    #[command(flatten)]
    pub(crate) live: LiveArguments,
}

#[derive(Debug, Args)]
pub(crate) struct MergeArguments {
    /// Folders of `explore --out`
    #[arg(value_name = "DIR", required = true)]
    pub(crate) folders: Vec<PathBuf>,
    /// Write the results into this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
}

/// Reads a duration: a number and `s`, `m` or `h`.
fn duration(text: &str) -> Result<Duration, String> {
    let unit = [("s", 1), ("m", 60), ("h", 3600)];
    let found = unit.into_iter().find_map(|(unit, seconds)| {
        text.strip_suffix(unit)?.parse::<u64>().ok()?.checked_mul(seconds).map(Duration::from_secs)
    });
    found.ok_or_else(|| format!("`{text}` is not a time: write 90s, 10m or 8h"))
}

#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    /// Scenario files
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
}

/// A role as an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoleName {
    /// The Server: the harness acts as the Clients
    Server,
    /// The Client: the harness acts as the Server
    Client,
}

/// A simulated backend as an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BackendName {
    /// The simulated world, which models every fault
    Simulated,
    /// A stock turmoil simulation: a second opinion, and slower
    Turmoil,
}

impl From<BackendName> for Simulator {
    fn from(name: BackendName) -> Self {
        match name {
            BackendName::Simulated => Self::World,
            BackendName::Turmoil => Self::Turmoil,
        }
    }
}

/// A version of the standard as an argument.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum VersionName {
    /// MQTT 3.1
    #[value(name = "3.1")]
    V3_1,
    /// MQTT 3.1.1
    #[value(name = "3.1.1", alias = "3", alias = "4")]
    V3_1_1,
    /// MQTT 5.0
    #[value(name = "5", alias = "5.0")]
    V5,
}

impl From<VersionName> for Version {
    fn from(name: VersionName) -> Self {
        match name {
            VersionName::V3_1 => Self::V3_1,
            VersionName::V3_1_1 => Self::V3_1_1,
            VersionName::V5 => Self::V5,
        }
    }
}
