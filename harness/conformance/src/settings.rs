//! The settings of a run, from the test program and from environment variables.

use core::time::Duration;
use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The settings of a test program.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) name: String,
    pub(crate) known: Option<PathBuf>,
    /// Whether the file of known failures is written.
    pub(crate) writes_known: bool,
    pub(crate) filters: Vec<String>,
    pub(crate) scenarios: Option<PathBuf>,
    pub(crate) seed: u64,
    pub(crate) seeds: u32,
    pub(crate) tolerance: Option<Duration>,
    /// The real time that one poll of the peer may take.
    pub(crate) blocking_limit: Duration,
    pub(crate) strict: bool,
    pub(crate) twice: bool,
    pub(crate) report: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: env::var("CARGO_PKG_NAME").unwrap_or_else(|_| "the broker".to_owned()),
            known: None,
            writes_known: false,
            filters: Vec::new(),
            scenarios: None,
            seed: 0,
            seeds: 1,
            tolerance: None,
            blocking_limit: Duration::from_secs(60),
            strict: false,
            twice: false,
            report: None,
        }
    }
}

impl Settings {
    /// The settings, as overridden by environment variables.
    pub(crate) fn with_environment(mut self) -> Self {
        let number = |name| env::var(name).ok()?.parse::<u64>().ok();
        let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty() && value != "0");
        if let Some(seed) = number("MQTTSPEC_SEED") {
            self.seed = seed;
        }
        if let Some(seeds) = number("MQTTSPEC_SEEDS") {
            self.seeds = u32::try_from(seeds).unwrap_or(u32::MAX);
        }
        if let Some(folder) = env::var_os("MQTTSPEC_REPORT") {
            self.report = Some(folder.into());
        }
        self.twice |= is_set("MQTTSPEC_TWICE");
        self.writes_known = is_set("MQTTSPEC_WRITE_KNOWN");
        // nextest runs each test in a process of its own: no process sees all results.
        if is_set("NEXTEST") {
            self.report = None;
            self.writes_known = false;
        }
        for path in [&mut self.known, &mut self.report, &mut self.scenarios].into_iter().flatten() {
            *path = in_package(path);
        }
        self
    }
}

/// A path in the folder of the package, wherever the program is started.
fn in_package(path: &Path) -> PathBuf {
    env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| path.to_owned(), |folder| Path::new(&folder).join(path))
}

/// The command that repeats one test under a seed.
pub(crate) fn repeat_command(test: &str, seed: u64) -> String {
    let package = env::var("CARGO_PKG_NAME").map_or_else(|_| String::new(), |name| format!(" -p {name}"));
    let program = env::args_os().next().map(PathBuf::from);
    let target = program.as_deref().and_then(Path::file_stem).and_then(OsStr::to_str).map(target_name);
    let target = target.map_or_else(String::new, |name| format!(" --test {name}"));
    format!("MQTTSPEC_SEED={seed} cargo test{package}{target} -- --exact '{test}'")
}

/// The name of a test target, from the name of its program: cargo adds a hash.
fn target_name(program: &str) -> &str {
    match program.rsplit_once('-') {
        Some((name, hash)) if hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => name,
        _ => program,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_cargo_is_no_part_of_the_name_of_a_target() {
        assert_eq!(target_name("mqtt-conformance-0123456789abcdef"), "mqtt-conformance");
        assert_eq!(target_name("mqtt-conformance"), "mqtt-conformance");
    }
}
