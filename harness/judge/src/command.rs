//! The command that repeats a run.

use std::fmt;

use mqttspec_codec::{Role, Version};
use mqttspec_spec::role_word;

/// The command that repeats a run and prints its transcript. [`fmt::Display`] writes its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepeatCommand {
    /// The scenario file, relative to the folder of scenarios and separated by `/`; the full path
    /// of a file outside it.
    pub file: String,
    /// The version of the standard.
    pub version: Version,
    /// The role under test, where the scenario has a case for each.
    pub role: Option<Role>,
    /// The row of the scenario's table.
    pub row: Option<String>,
    /// The seed.
    pub seed: u64,
    /// How the peer under test uses the choices that the standard leaves open; `None` for the
    /// choices of the reference peer.
    pub latitude: Option<String>,
    /// The arguments that name a live target; `None` in the simulator.
    pub target: Option<String>,
}

impl fmt::Display for RepeatCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, version, role, row, seed, latitude, target } = self;
        let verb = if target.is_some() { "run" } else { "trace" };
        write!(f, "mqttspec {verb} {} --version {version}", quoted(file))?;
        if let Some(role) = role {
            write!(f, " --tests {}", role_word(*role))?;
        }
        if let Some(row) = row {
            write!(f, " --row {row}")?;
        }
        if let Some(latitude) = latitude {
            write!(f, " --latitude={latitude}")?;
        }
        match target {
            Some(target) if *seed == 0 => write!(f, " {target}"),
            Some(target) => write!(f, " {target} --seed {seed}"),
            None => write!(f, " --seed {seed}"),
        }
    }
}

/// Quotes a word for a shell, if it needs that.
#[must_use]
pub fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=@%+,".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_simulated_run_is_traced_and_a_live_one_is_run() {
        let command = RepeatCommand {
            file: "connect/refused.mqtt".to_owned(),
            version: Version::V5,
            role: Some(Role::Client),
            row: Some("bad-flag".to_owned()),
            seed: 0,
            latitude: None,
            target: None,
        };
        insta::assert_snapshot!(command, @"mqttspec trace connect/refused.mqtt --version 5.0 --tests client --row bad-flag --seed 0");
        let target = Some("--target mqtt://127.0.0.1".to_owned());
        let live = RepeatCommand { role: None, target, ..command };
        insta::assert_snapshot!(live, @"mqttspec run connect/refused.mqtt --version 5.0 --row bad-flag --target mqtt://127.0.0.1");
        let seeded = RepeatCommand { row: None, seed: 7, ..live };
        let elsewhere =
            RepeatCommand { file: "/tmp/my tests/a.mqtt".to_owned(), target: None, ..seeded.clone() };
        insta::assert_snapshot!(elsewhere, @"mqttspec trace '/tmp/my tests/a.mqtt' --version 5.0 --seed 7");
        insta::assert_snapshot!(seeded, @"mqttspec run connect/refused.mqtt --version 5.0 --target mqtt://127.0.0.1 --seed 7");
    }
}
