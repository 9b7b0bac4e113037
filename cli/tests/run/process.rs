//! The program under test, a separate folder for each test, and scenarios that pass or fail.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The result of a command of `mqttspec`.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs `mqttspec` with these arguments until it ends.
pub(crate) fn mqttspec(arguments: &[&str]) -> Outcome {
    mqttspec_in(".", arguments)
}

/// The same, in a folder.
pub(crate) fn mqttspec_in(folder: &str, arguments: &[&str]) -> Outcome {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mqttspec"));
    let output = command.current_dir(folder).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Outcome { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// The path of the project's scenarios.
pub(crate) const SCENARIOS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios");

/// A folder that is removed at the end.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Writes a file. Returns its path.
    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        self.at(name)
    }

    pub(crate) fn at(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A scenario of version 3.1.1 with these lines.
pub(crate) fn scenario(lines: &str) -> String {
    format!("title    A PINGREQ is answered\nclauses  MQTT-3.12.4-1\nversions 3.1.1\n\n{lines}")
}

/// A scenario that every server passes.
pub(crate) const HOLDS: &str = "device connects\ndevice > PINGREQ\ndevice < PINGRESP\n";

/// A scenario that every server fails: it expects an answer to nothing.
pub(crate) const FAILS: &str = "device connects\ndevice < PINGRESP\n";
