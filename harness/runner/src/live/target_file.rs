//! Target files: settings of a server that cannot be observed over the network, in TOML. See
//! `targets/README.md`.

use core::num::NonZeroU32;
use core::time::Duration;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The settings of a target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TargetFile {
    /// The target's name in reports.
    pub name: String,
    /// The command that starts the server, on the port `{port}` and with the folder `{dir}`.
    pub start: Option<String>,
    /// The command that kills the server, as a power failure would. The default is SIGKILL, for a
    /// server that the harness started.
    pub kill: Option<String>,
    /// The command that shuts the server down. The default is SIGTERM, for a server that the
    /// harness started.
    pub stop: Option<String>,
    /// The command that deletes all Sessions and retained messages, run before the first scenario.
    pub reset: Option<String>,
    /// Like `start`, with the options of a scenario's `broker` line in place of `{options}`.
    pub start_with_options: Option<String>,
    /// The text of one option in `{options}`, for example `--option {name}={value}`.
    pub option: Option<String>,
    /// The names of the options that `start_with_options` knows. If there are none, it knows all.
    pub options: Vec<String>,
    /// Files that are written into `{dir}` before the server is started.
    pub files: BTreeMap<String, String>,
    /// How long the server may take until it accepts connections, in milliseconds.
    pub ready_within_ms: Option<u64>,
    /// Whether the server keeps Sessions and retained messages over a crash.
    pub durable: bool,
    /// The `broker` options of scenarios (`name=value`) with which the server is already
    /// configured.
    pub configured: Vec<String>,
    /// Capabilities of the server, by the names that a run prints. They override probed ones.
    pub capabilities: BTreeMap<String, String>,
    /// Credentials for every Client to which a scenario gives none.
    pub credentials: Option<FileCredentials>,
    /// Another user of the server. It replaces the user that scenarios have on their `broker` line.
    pub second_identity: Option<FileCredentials>,
    /// How far the server may deviate from the times of a scenario.
    pub tolerance: Tolerance,
    /// The number of concurrent runs, unless the command line gives one.
    pub jobs: Option<usize>,
    /// The number of servers that are started beside the shared one.
    pub servers: Option<usize>,
    /// How much faster than real time the clock of servers may run that the harness starts, while a
    /// scenario waits. Without it, and with 1, they have the machine's clock.
    pub clock_speed: Option<NonZeroU32>,
}

/// User name and password in a target file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileCredentials {
    /// The User Name.
    pub user: String,
    /// The Password.
    pub password: Option<String>,
}

/// How far the server may deviate from the times of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tolerance {
    /// How much earlier than specified, in milliseconds.
    pub early_ms: u64,
    /// How much later than specified, in milliseconds.
    pub late_ms: u64,
    /// The same in a scenario in which the server may end the connection of a silent Client, if it
    /// looks for such Clients more rarely than it checks its other timers.
    pub keep_alive_late_ms: Option<u64>,
    /// How long an expected packet may take if the scenario gives no time, in milliseconds.
    pub patience_ms: u64,
}

impl Tolerance {
    /// How much later than specified the server may end the connection of a silent Client.
    pub(crate) fn keep_alive_late_ms(self) -> u64 {
        self.keep_alive_late_ms.unwrap_or(self.late_ms)
    }
}

impl Default for Tolerance {
    /// Most servers check their timers every second, some (mosquitto 2.0) every five seconds. They
    /// act late by that time, and never early.
    fn default() -> Self {
        Self { early_ms: 50, late_ms: 4000, keep_alive_late_ms: None, patience_ms: 2000 }
    }
}

/// Why a target file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TargetFileError {
    /// The file cannot be read.
    #[error("cannot read the target file {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file is not TOML, or has an unknown key or a wrong value.
    #[error("{}: {source}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The error and its position.
        source: Box<toml::de::Error>,
    },
    /// A command has an unknown placeholder.
    #[error(
        "unknown placeholder {placeholder} in the command `{command}`\n  placeholders are {{port}}, {{dir}}, {{mqttspec}} (this program) and, in start_with_options, {{options}}"
    )]
    Placeholder {
        /// The command.
        command: String,
        /// The placeholder, with its braces.
        placeholder: String,
    },
    /// A command cannot be split into words.
    #[error("the command `{0}` is empty, or has a quote that is not closed")]
    Words(String),
    /// Only one of `start_with_options` and `option`, or no `{options}` in the first.
    #[error(
        "start_with_options must contain {{options}} and needs `option`, for example option = \"--option {{name}}={{value}}\""
    )]
    Options,
}

impl TargetFile {
    /// Reads a target file.
    ///
    /// # Errors
    /// If the file cannot be read or is not a valid target file.
    pub fn read(path: &Path) -> Result<Self, TargetFileError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| TargetFileError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    /// Parses the text of a target file; `path` is for messages.
    ///
    /// # Errors
    /// If it is not a valid target file.
    pub fn parse(text: &str, path: &Path) -> Result<Self, TargetFileError> {
        let malformed =
            |source| TargetFileError::Malformed { path: path.to_owned(), source: Box::new(source) };
        let target_file: Self = toml::from_str(text).map_err(malformed)?;
        target_file.check()?;
        Ok(target_file)
    }

    fn check(&self) -> Result<(), TargetFileError> {
        let commands = [&self.start, &self.kill, &self.stop, &self.reset, &self.start_with_options];
        for command in commands.into_iter().flatten() {
            Placeholders { port: 1, dir: Path::new("dir"), options: "" }.words(command)?;
        }
        match (&self.start_with_options, &self.option) {
            (Some(command), Some(_)) if command.contains("{options}") => Ok(()),
            (None, None) => Ok(()),
            _ => Err(TargetFileError::Options),
        }
    }

    /// How long the server may take until it accepts connections.
    #[must_use]
    pub fn ready_within(&self) -> Duration {
        Duration::from_millis(self.ready_within_ms.unwrap_or(20_000))
    }

    /// The text that replaces `{options}`; `None` if the target file does not support options.
    pub(crate) fn options_text(&self, options: &[(String, String)]) -> Option<String> {
        let option = self.option.as_ref()?;
        let quoted = options.iter().map(|(name, value)| {
            let one = option.replace("{name}", name).replace("{value}", value);
            // An option may consist of several words, but a value with spaces must stay one word.
            match one.split_once(value.as_str()) {
                Some((before, after)) if value.contains([' ', ';', '"', '#', '\'']) => {
                    quoted_word(before, value, after)
                }
                _ => one,
            }
        });
        Some(quoted.collect::<Vec<_>>().join(" "))
    }
}

/// Quotes the last word of `before`, the value and what follows as one word of a command.
fn quoted_word(before: &str, value: &str, after: &str) -> String {
    let (words, start) = before.rsplit_once(' ').map_or(("", before), |(words, start)| (words, start));
    let word = format!("{start}{value}{after}");
    let word = shlex::try_quote(&word).map_or_else(|_| String::new(), std::borrow::Cow::into_owned);
    format!("{words} {word}")
}

/// The values of the placeholders of a command.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placeholders<'f> {
    pub(crate) port: u16,
    pub(crate) dir: &'f Path,
    pub(crate) options: &'f str,
}

impl Placeholders<'_> {
    /// The words of a command, with its placeholders replaced.
    pub(crate) fn words(&self, command: &str) -> Result<Vec<String>, TargetFileError> {
        let replaced = self.text(command);
        if let Some(placeholder) = first_placeholder(&replaced) {
            return Err(TargetFileError::Placeholder { command: command.to_owned(), placeholder });
        }
        let words = shlex::split(&replaced).filter(|words| !words.is_empty());
        words.ok_or_else(|| TargetFileError::Words(command.to_owned()))
    }

    pub(crate) fn text(&self, text: &str) -> String {
        let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("mqttspec"));
        text.replace("{port}", &self.port.to_string())
            .replace("{dir}", &self.dir.to_string_lossy())
            .replace("{mqttspec}", &program.to_string_lossy())
            .replace("{options}", self.options)
    }
}

fn first_placeholder(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('{')?;
    let (name, _) = rest.split_once('}')?;
    let is_name = !name.is_empty() && name.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_');
    is_name.then(|| format!("{{{name}}}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<TargetFile, TargetFileError> {
        TargetFile::parse(text, Path::new("p.toml"))
    }

    #[test]
    fn errors_name_the_unknown_key_and_placeholder() {
        let error = parse("name = \"x\"\nstrat = \"mosquitto\"\n").unwrap_err().to_string();
        assert!(error.contains("strat") && error.contains("start"), "{error}");
        let error = parse("start = \"mosquitto -p {prot}\"").unwrap_err().to_string();
        assert!(error.contains("{prot}"), "{error}");
        let error = parse("start = \"mosquitto 'x\"").unwrap_err().to_string();
        assert!(error.contains("quote"), "{error}");
        let error = parse("start_with_options = \"serve {options}\"").unwrap_err().to_string();
        assert!(error.contains("--option"), "{error}");
    }

    #[test]
    fn the_speed_of_the_clock_is_at_least_1() {
        let speed = |text| parse(text).map(|file| file.clock_speed.map(NonZeroU32::get));
        assert_eq!(speed("clock_speed = 100").unwrap(), Some(100));
        assert_eq!(speed("").unwrap(), None);
        let error = speed("clock_speed = 0").unwrap_err().to_string();
        assert!(error.contains("clock_speed = 0"), "{error}");
    }

    #[test]
    fn placeholders_are_replaced_inside_quoted_words() {
        let placeholders = Placeholders { port: 1884, dir: Path::new("/tmp/d"), options: "" };
        let words = placeholders.words("sh -c 'exec mosquitto -p {port} -c {dir}/m.conf'").unwrap();
        assert_eq!(words, ["sh", "-c", "exec mosquitto -p 1884 -c /tmp/d/m.conf"]);
    }

    #[test]
    fn a_value_with_spaces_is_one_word() {
        let target_file =
            TargetFile { option: Some("--option {name}={value}".to_owned()), ..TargetFile::default() };
        let option = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let options =
            [option("users", "user alice password secret;  publish own/#"), option("maximum_qos", "1")];
        let text = target_file.options_text(&options).unwrap();
        let words = shlex::split(&text).unwrap();
        assert_eq!(
            words,
            ["--option", "users=user alice password secret;  publish own/#", "--option", "maximum_qos=1"]
        );
    }
}
