//! A folder in which a command of a page runs as a reader would run it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::process::Serve;

const PROGRAM: &str = env!("CARGO_BIN_EXE_mqttspec");

/// The scenario for commands that take any file.
const ANY_SCENARIO: &str = "scenarios/wills/not-published-on-disconnect.mqtt";

/// The scenarios of every command: running all scenarios would take minutes.
const SCENARIOS: [&str; 3] =
    [ANY_SCENARIO, "scenarios/qos1/acknowledged-and-delivered.mqtt", "scenarios/clients/qos-0-once.mqtt"];

/// The scenario of commands with the filter `faults`.
const FAULTS: &str = "scenarios/faults/reset.mqtt";

/// Reports that commands read.
const REPORTS: [&str; 7] = [
    "A.json",
    "B.json",
    "A/report.json",
    "B/report.json",
    "report.json",
    "run-1/report.json",
    "run-2/report.json",
];

/// Runs `mqttspec serve` in place of mosquitto: the test checks the commands, not the broker.
const MOSQUITTO: &str = r#"#!/bin/sh
while [ $# -gt 0 ]; do
  case $1 in
    -p) port=$2 ;;
    -c) port=$(sed -n 's/^listener \([0-9]*\).*/\1/p' "$2") ;;
  esac
  shift
done
exec mqttspec serve --listen "127.0.0.1:$port"
"#;

/// A folder that is removed at the end, and a broker.
pub(crate) struct Sandbox {
    folder: PathBuf,
    broker: OnceLock<Serve>,
}

impl Sandbox {
    /// Creates the folder for a command, with those of the files on pages that it names.
    pub(crate) fn new(command: &str, root: &Path, files: &BTreeMap<String, String>) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("documents-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let sandbox = Self { folder, broker: OnceLock::new() };
        for path in SCENARIOS.into_iter().chain(command.contains("faults").then_some(FAULTS)) {
            sandbox.write(path, &fs::read_to_string(root.join(path)).unwrap());
        }
        for (path, text) in files {
            let name = Path::new(path).file_stem().unwrap().to_string_lossy();
            if command.contains(&*name) {
                sandbox.write(path, text);
            }
        }
        sandbox.write("known.toml", "");
        sandbox.write("bin/mosquitto", MOSQUITTO);
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(sandbox.folder.join("bin/mosquitto"), executable).unwrap();
        fs::create_dir_all(sandbox.folder.join("target/release")).unwrap();
        for link in ["bin/mqttspec", "target/release/mqttspec"] {
            symlink(PROGRAM, sandbox.folder.join(link)).unwrap();
        }
        symlink(root.join("targets"), sandbox.folder.join("targets")).unwrap();
        sandbox
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// The shell that runs the command, with values in place of its placeholders.
    pub(crate) fn shell(&self, command: &str) -> Command {
        let command = self.fill(command);
        if REPORTS.iter().any(|report| command.contains(report)) {
            self.write_reports();
        }
        let path = std::env::var("PATH").unwrap_or_default();
        let mut shell = Command::new("bash");
        shell
            .arg("-c")
            .arg(format!("set -e; {command}"))
            .env("PATH", format!("{}:{path}", self.folder.join("bin").display()))
            .current_dir(&self.folder);
        shell
    }

    fn fill(&self, command: &str) -> String {
        let mut words = Vec::new();
        for word in command.split(' ') {
            match word {
                "[FILTER…]" => continue,
                "[--write-expect]" => words.push("--write-expect"),
                "FILE" if words.last() == Some(&"--expect") => words.push("known.toml"),
                "FILE" | "FILE…" => words.push(ANY_SCENARIO),
                "DIR" => words.push("out"),
                "S" => words.push("7"),
                other => words.push(other),
            }
        }
        let command = words.join(" ");
        let placeholder = ["mqtt://HOST:PORT", "mqtt://127.0.0.1:1883"]
            .into_iter()
            .find(|placeholder| command.contains(placeholder));
        match placeholder {
            Some(placeholder) => {
                let broker = self.broker.get_or_init(|| Serve::start(&[]));
                command.replace(placeholder, &format!("mqtt://{}", broker.address("mqtt")))
            }
            None => command,
        }
    }

    fn write_reports(&self) {
        let status = Command::new(PROGRAM)
            .args(["run", "wills", "--report", "written"])
            .current_dir(&self.folder)
            .output()
            .unwrap()
            .status;
        assert!(status.success(), "the reports could not be written: {status}");
        let report = fs::read_to_string(self.folder.join("written/report.json")).unwrap();
        for name in REPORTS {
            self.write(name, &report);
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}
