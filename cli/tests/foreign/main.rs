//! Unmodified third-party clients against `mqttspec serve`: every situation must work, and the
//! broker's checks must find no violation by the client.
//!
//! `cli/tests/foreign/install`, which `.ci/run` calls, installs the clients. A client that is not
//! installed is skipped with a message. Each situation has its own broker, with `--check`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot continue fails, and reports skipped clients"
)]

#[cfg(unix)]
#[path = "../serve/process.rs"]
#[allow(dead_code, reason = "the tests of `serve` use all of it")]
mod process;

fn main() -> std::process::ExitCode {
    #[cfg(unix)]
    return play::main();
    #[cfg(not(unix))]
    std::process::ExitCode::SUCCESS
}

#[cfg(unix)]
mod play {
    use std::path::{Path, PathBuf};
    use std::process::{Command, ExitCode};
    use std::sync::Arc;

    use libtest_mimic::{Arguments, Completion, Failed, Trial};
    use rcgen::{CertifiedKey, generate_simple_self_signed};

    use super::process::{Serve, file};

    const SITUATIONS: [&str; 9] =
        ["connect", "qos", "retained", "will", "resume", "shared", "properties", "tls", "websocket"];

    /// The exit code of a player whose client does not support a situation.
    const LACKING: i32 = 77;

    /// A client, and the program that drives it.
    struct Player {
        name: &'static str,
        program: PathBuf,
        script: Option<PathBuf>,
        /// A file that exists if the client is installed.
        proof: PathBuf,
    }

    pub(super) fn main() -> ExitCode {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign");
        let installed = std::env::var_os("MQTTSPEC_FOREIGN")
            .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/foreign"), PathBuf::from);
        let rumqttc = installed.join("rumqttc/debug/foreign-rumqttc");
        let players = [
            Player {
                name: "mosquitto",
                program: here.join("with_mosquitto.sh"),
                script: None,
                proof: installed.join("debian/usr/bin/mosquitto_sub"),
            },
            Player {
                name: "paho-mqtt",
                program: installed.join("python/bin/python"),
                script: Some(here.join("with_paho.py")),
                proof: installed.join("python/has-paho"),
            },
            Player {
                name: "MQTT.js",
                program: "node".into(),
                script: Some(here.join("with_mqttjs.cjs")),
                proof: installed.join("node/node_modules/mqtt/package.json"),
            },
            Player { name: "rumqttc", program: rumqttc.clone(), script: None, proof: rumqttc },
        ];
        let mut trials = Vec::new();
        for player in players {
            let there = player.proof.exists();
            if !there {
                println!(
                    "{} is not installed and skipped; `cli/tests/foreign/install` installs it",
                    player.name
                );
            }
            let player = Arc::new(player);
            for situation in SITUATIONS {
                let (player, installed) = (Arc::clone(&player), installed.clone());
                let name = format!("{}::{situation}", player.name);
                let trial = Trial::ignorable_test(name, move || player.play(situation, &installed));
                trials.push(trial.with_ignored_flag(!there));
            }
        }
        libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
    }

    impl Player {
        fn play(&self, situation: &str, installed: &Path) -> Result<Completion, Failed> {
            let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()])?;
            let named = |name: &str| format!("{}-{situation}.{name}", self.name);
            let certificate = file(&named("pem"), &cert.pem());
            let key = file(&named("key"), &signing_key.serialize_pem());
            let serve =
                Serve::start(&["--check", "--tls", &certificate, &key, "--tls-listen", "0", "--ws", "0"]);
            let debian = installed.join("debian/usr");
            let path = std::env::var("PATH").unwrap_or_default();
            let output = Command::new(&self.program)
                .args(&self.script)
                .arg(situation)
                .env("MQTTSPEC_FOREIGN", installed)
                .env("MQTTSPEC_MQTT", serve.address("mqtt").to_string())
                .env("MQTTSPEC_MQTTS", serve.address("mqtts").to_string())
                .env("MQTTSPEC_WS", serve.address("ws").to_string())
                .env("MQTTSPEC_CA", &certificate)
                .env("PATH", format!("{}:{path}", debian.join("bin").display()))
                .env("LD_LIBRARY_PATH", debian.join("lib/x86_64-linux-gnu"))
                .output()?;
            let (code, found) = serve.stop();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            match output.status.code() {
                Some(LACKING) => return Ok(Completion::ignored_with(said.trim())),
                Some(0) => {}
                _ => return Err(format!("{said}\n{found}").into()),
            }
            if code != 0 {
                return Err(format!("the situation worked, but the client violated clauses:\n{found}").into());
            }
            Ok(Completion::Completed)
        }
    }
}
