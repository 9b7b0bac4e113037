//! What may stand on the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use mqttspec_codec::Version;
use mqttspec_net::transport::Target;

/// Runs MQTT scenarios on a simulated network and says which clauses of the standard hold.
#[derive(Debug, Parser)]
#[command(
    name = "mqttspec",
    version,
    after_help = "Exit codes: 0 everything that was checked holds, 1 something failed or broke, 2 nothing could be judged."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Plays scenarios against the reference broker and client, and judges them
    Run(Box<RunArguments>),
    /// Lists scenarios with their versions and clauses
    List(ListArguments),
    /// Prints the transcript of one run, with simulated times
    Trace(TraceArguments),
    /// Reads scenario files and explains what is wrong in them
    Check(CheckArguments),
    /// Runs the reference broker on real sockets
    Serve(crate::serve::arguments::ServeArguments),
    /// Tells what changed between two reports: two runs, or two targets
    Compare(CompareArguments),
    /// Puts several reports beside each other in one page
    Report(ReportArguments),
}

/// Which scenarios are meant.
#[derive(Debug, Args)]
pub(crate) struct Chosen {
    /// Parts of a path, or clause ids (MQTT-3.1.2-8); without any, every scenario
    #[arg(value_name = "FILTER")]
    pub(crate) filters: Vec<String>,
    /// Only this version of the standard
    #[arg(long, value_name = "VERSION")]
    pub(crate) version: Option<VersionName>,
    #[command(flatten)]
    pub(crate) folder: Folder,
}

/// Where scenarios lie.
#[derive(Debug, Args)]
pub(crate) struct Folder {
    /// The folder of scenario files
    #[arg(long, value_name = "DIR", default_value = FOLDER)]
    pub(crate) scenarios: PathBuf,
}

const FOLDER: &str = "scenarios";

impl Folder {
    /// The words that name the folder on a command line, with a space before them; none for the usual one.
    pub(crate) fn as_typed(&self) -> String {
        if self.scenarios.as_path() == std::path::Path::new(FOLDER) {
            return String::new();
        }
        format!(" --scenarios {}", quoted(&self.scenarios.to_string_lossy()))
    }
}

/// A word as a shell takes it.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=@%+,".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    #[command(flatten)]
    pub(crate) chosen: Chosen,
    /// The seed that everything derives from
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub(crate) seed: u64,
    /// How many seeds a scenario runs under, unless it asks for more itself
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) seeds: u32,
    /// Writes report.html, report.json, report.md, statements.md and junit.xml into this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) report: Option<PathBuf>,
    /// How many scenarios run side by side; the results do not depend on it [default: one for each processor; 128 before a live broker]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) jobs: Option<u16>,
    /// Only this row of the scenarios' tables, by its first column
    #[arg(long, value_name = "NAME")]
    pub(crate) row: Option<String>,
    /// Lets what the standard only recommends (SHOULD), and contested readings, decide the exit code too
    #[arg(long)]
    pub(crate) strict: bool,
    /// Shows what a load went through under each fault profile, of the scenarios in faults/
    #[arg(long)]
    pub(crate) resilience: bool,
    /// A list of known failures: the exit code is 1 if another case fails, or if a listed one passes
    #[arg(long, value_name = "FILE")]
    pub(crate) expect: Option<PathBuf>,
    /// Writes what fails now into the file of --expect, and keeps the reasons that stand there
    #[arg(long, requires = "expect")]
    pub(crate) write_expect: bool,
    #[command(flatten)]
    pub(crate) live: LiveArguments,
}

/// A live broker in place of the simulated one.
#[derive(Debug, Args)]
#[command(next_help_heading = "Live brokers")]
pub(crate) struct LiveArguments {
    /// Judges the broker at this address: mqtt://HOST:PORT, mqtts://…, ws://…/PATH, wss://…
    #[arg(long, value_name = "URL", conflicts_with = "start")]
    pub(crate) target: Option<Target>,
    /// Starts the broker itself, on a free port, and stops it at the end: --start 'mosquitto -p {port}'
    #[arg(long, value_name = "COMMAND")]
    pub(crate) start: Option<String>,
    /// The target file: settings that cannot be observed over the network; see targets/README.md
    #[arg(long, value_name = "FILE", alias = "profile")]
    pub(crate) target_file: Option<PathBuf>,
    /// The certificate authorities (PEM) to trust for mqtts:// and wss://
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// The user name of every Client that a scenario gives none
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// The file whose first line is the password for --user
    #[arg(long, value_name = "FILE", requires = "user")]
    pub(crate) password_file: Option<PathBuf>,
    /// Waits as long as scenarios say; otherwise those that need long are skipped
    #[arg(long)]
    pub(crate) patient: bool,
    /// Skips what waits for a second or longer, or for a clock of the broker, such as a Keep Alive or an expiry
    #[arg(long, conflicts_with = "patient")]
    pub(crate) quick: bool,
}

impl LiveArguments {
    /// The words that name the broker on a command line.
    pub(crate) fn as_typed(&self) -> String {
        let path = |path: &PathBuf| path.to_string_lossy().into_owned();
        let named = [
            ("--target", self.target.as_ref().map(Target::to_string)),
            ("--start", self.start.clone()),
            ("--target-file", self.target_file.as_ref().map(path)),
            ("--ca", self.ca.as_ref().map(path)),
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
    pub(crate) chosen: Chosen,
}

#[derive(Debug, Args)]
pub(crate) struct TraceArguments {
    /// The scenario file: a path, or its name below the folder of scenarios
    #[arg(value_name = "FILE")]
    pub(crate) file: String,
    /// The seed of the run
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub(crate) seed: u64,
    /// The version of the standard [default: the newest that the scenario runs]
    #[arg(long, value_name = "VERSION")]
    pub(crate) version: Option<VersionName>,
    /// The row of the scenario's table, by its first column
    #[arg(long, value_name = "NAME")]
    pub(crate) row: Option<String>,
    /// Which side is tested, where the scenario tests both [default: server]
    #[arg(long, value_name = "SIDE")]
    pub(crate) tests: Option<SideName>,
    /// Writes the run as a capture file, which Wireshark opens
    #[arg(long, value_name = "FILE")]
    pub(crate) pcap: Option<PathBuf>,
    /// Writes the run as a sequence diagram
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) folder: Folder,
}

#[derive(Debug, Args)]
pub(crate) struct CompareArguments {
    /// The earlier report.json, or that of the first target
    #[arg(value_name = "BEFORE")]
    pub(crate) before: PathBuf,
    /// The later report.json, or that of the second target
    #[arg(value_name = "AFTER")]
    pub(crate) after: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct ReportArguments {
    /// The report.json of each target, in the order of their columns
    #[arg(value_name = "REPORT", required = true)]
    pub(crate) reports: Vec<PathBuf>,
    /// Writes report.html into this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    /// The scenario files
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
}

/// A side of the Network Connection as people type it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SideName {
    /// The server: the harness plays the clients
    Server,
    /// The client: the harness plays the server
    Client,
}

/// A version of the standard as people type it.
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
