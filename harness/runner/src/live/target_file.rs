//! Target files: what cannot be observed over the network about a server, in TOML. See `targets/README.md`.

use core::time::Duration;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// What is known of a target besides its address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TargetFile {
    /// What reports call the target.
    pub name: String,
    /// Starts the server, on the port `{port}` and with `{dir}` as the folder for whatever it writes.
    pub start: Option<String>,
    /// Ends the server as a power failure would; where `start` is ours, SIGKILL does it.
    pub kill: Option<String>,
    /// Ends the server in order; where `start` is ours, SIGTERM does it.
    pub stop: Option<String>,
    /// Forgets all Sessions and retained messages; run before the first scenario.
    pub reset: Option<String>,
    /// Starts the server with options of a scenario's `broker` line: as `start`, with `{options}` where they go.
    pub start_with_options: Option<String>,
    /// What `{options}` holds for each option: `--option {name}={value}`.
    pub option: Option<String>,
    /// Files that are written into `{dir}` before the server is started.
    pub files: BTreeMap<String, String>,
    /// How long the server may take until it accepts connections, in milliseconds.
    pub ready_within_ms: Option<u64>,
    /// Whether the server keeps Sessions and retained messages over a crash.
    pub durable: bool,
    /// The scenarios' `broker` options (`name=value`) that hold of this server as it is configured.
    pub configured: Vec<String>,
    /// What the server can do, by the names that the probes print; this counts and not what a probe finds.
    pub capabilities: BTreeMap<String, String>,
    /// User name and password for every Client that a scenario gives none.
    pub credentials: Option<FileCredentials>,
    /// Another user that the server knows: stands for the user of scenarios that have one on their `broker` line.
    pub second_identity: Option<FileCredentials>,
    /// How far the server's clock may be off what a scenario says.
    pub tolerance: Tolerance,
    /// How many runs go on side by side, unless the command line says otherwise.
    pub jobs: Option<usize>,
}

/// User name and password in a target_file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileCredentials {
    /// User name.
    pub user: String,
    /// Password.
    pub password: Option<String>,
}

/// How far from the time that a scenario says something may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tolerance {
    /// So much sooner, in milliseconds.
    pub early_ms: u64,
    /// So much later, in milliseconds.
    pub late_ms: u64,
    /// How long what is expected may take where the scenario says nothing, in milliseconds.
    pub patience_ms: u64,
}

impl Default for Tolerance {
    /// Servers look at their clocks every second, some (mosquitto 2.0) every five: they are late by that much, and never early.
    fn default() -> Self {
        Self { early_ms: 50, late_ms: 7000, patience_ms: 2000 }
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
        /// What the system says.
        source: std::io::Error,
    },
    /// It is no TOML, or has something that no target file has.
    #[error("{}: {source}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where and what.
        source: Box<toml::de::Error>,
    },
    /// A command has a place that nothing fills.
    #[error(
        "the command `{command}` has {place}, but only {{port}}, {{dir}}, {{mqttspec}} (this program) and, in start_with_options, {{options}} are filled in"
    )]
    Place {
        /// The command.
        command: String,
        /// The place, with its braces.
        place: String,
    },
    /// A command is no list of words: a quote is not closed.
    #[error("the command `{0}` has a quote that is not closed, or no word")]
    Words(String),
    /// `start_with_options` without `option`, or without its place.
    #[error(
        "start_with_options needs {{options}} in it and `option`, for example option = \"--option {{name}}={{value}}\""
    )]
    Options,
}

impl TargetFile {
    /// Reads a target_file.
    ///
    /// # Errors
    /// If the file is not there, or is no target_file.
    pub fn read(path: &Path) -> Result<Self, TargetFileError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| TargetFileError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    /// Reads the text of a target_file; `path` is for messages.
    ///
    /// # Errors
    /// If it is no target_file.
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
            Filling { port: 1, dir: Path::new("dir"), options: "" }.words(command)?;
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

    /// The command that starts the server with these options of a scenario, if the target file knows how.
    pub(crate) fn options_text(&self, options: &[(String, String)]) -> Option<String> {
        let option = self.option.as_ref()?;
        let quoted = options.iter().map(|(name, value)| {
            let one = option.replace("{name}", name).replace("{value}", value);
            // An option may itself be several words of the command; a value with spaces is one.
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

/// What is filled into the places of a command.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filling<'f> {
    pub(crate) port: u16,
    pub(crate) dir: &'f Path,
    pub(crate) options: &'f str,
}

impl Filling<'_> {
    /// The words of a command with its places filled.
    pub(crate) fn words(&self, command: &str) -> Result<Vec<String>, TargetFileError> {
        let filled = self.text(command);
        if let Some(place) = place_left(&filled) {
            return Err(TargetFileError::Place { command: command.to_owned(), place });
        }
        let words = shlex::split(&filled).filter(|words| !words.is_empty());
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

fn place_left(text: &str) -> Option<String> {
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
    fn a_target_file_names_what_it_does_not_know() {
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
    fn places_are_filled_and_words_keep_their_quotes() {
        let filling = Filling { port: 1884, dir: Path::new("/tmp/d"), options: "" };
        let words = filling.words("sh -c 'exec mosquitto -p {port} -c {dir}/m.conf'").unwrap();
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
