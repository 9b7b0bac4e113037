//! Runs the programs and compares what they print.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Trial};

/// What a program printed, and whether it succeeded.
struct Ran {
    text: String,
    passed: bool,
}

fn program(peer: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    command.current_dir(package).env("PEER", peer).env("CARGO_PKG_NAME", "mine").arg("--test-threads=1");
    for name in ["MQTTSPEC_SEED", "MQTTSPEC_SEEDS", "MQTTSPEC_REPORT", "MQTTSPEC_TWICE", "NEXTEST"] {
        command.env_remove(name);
    }
    command
}

fn ran(command: &mut Command) -> Ran {
    let output = command.output().expect("this program can be run");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    // The last line has the duration and the number of all cases.
    let text = text.lines().filter(|line| !line.starts_with("test result")).map(|line| format!("{line}\n"));
    Ran { text: text.collect(), passed: output.status.success() }
}

/// The names of the tests that ran, each with its outcome but without the reason.
fn verdicts(ran: &Ran) -> Vec<String> {
    let outcome = |line: &str| Some(line.strip_prefix("test ")?.split(" (").next()?.to_owned());
    ran.text.lines().filter_map(outcome).collect()
}

/// The line that says how the peer ended.
fn actual(peer: &str) -> String {
    let ran = ran(program(peer).args(["--exact", "wills::published-when-owner-falls-silent::5.0"]));
    assert!(!ran.passed, "{}", ran.text);
    let text: Vec<&str> = ran.text.lines().map(str::trim).collect();
    let begin = text.iter().position(|line| line.starts_with("actual")).expect("a failure has it");
    let end = text.iter().position(|line| *line == "transcript").expect("a failure has it");
    let text = text[begin..end].join(" ");
    // The line of the panic is not told.
    text.split_once(".rs:").map_or_else(|| text.clone(), |(until, _)| format!("{until}.rs"))
}

pub(crate) fn run() -> ExitCode {
    let trials = vec![
        Trial::test("the reference broker passes as a hosted peer", || {
            for area in ["wills::", "faults::", "sessions::", "connect::"] {
                let ran = ran(program("reference").arg(area));
                assert!(ran.passed && !ran.text.contains("ignored"), "{}", ran.text);
            }
            Ok(())
        }),
        Trial::test("a wrong answer is a failure with its requirement and the command to repeat it", || {
            insta::assert_snapshot!(
                "failure",
                ran(program("mini").args(["--exact", "connect::second-connect-is-a-protocol-error::3.1.1"]))
                    .text
            );
            Ok(())
        }),
        Trial::test("the mistakes of the small broker are found", || {
            let mistakes = [
                "connect::unsupported-protocol-version::3.1.1",
                "connect::second-connect-is-a-protocol-error::3.1.1",
                "subscribe::one-suback-for-several-filters::3.1.1",
            ];
            for mistake in mistakes {
                let ran = ran(program("mini").args(["--exact", mistake]));
                assert!(!ran.passed && ran.text.contains("requirement  MQTT-3."), "{}", ran.text);
            }
            Ok(())
        }),
        Trial::test("the history model judges what no line of a scenario is about", || {
            let case = "qos1::after-puback-a-new-message::3.1.1";
            let ran = ran(program("delivers-at-qos-0").args(["--exact", case]));
            let found_by = ran.text.lines().filter(|line| line.trim_start().starts_with("found by"));
            let found_by: BTreeSet<&str> = found_by.map(str::trim).collect();
            let of_the_model = BTreeSet::from(["found by     the monitor `history model`"]);
            assert!(!ran.passed && found_by == of_the_model, "{}", ran.text);
            Ok(())
        }),
        Trial::test("the end of a peer is the failure of its case", || {
            let peers = ["panics", "panics-in-a-task", "returns", "errs", "spins"];
            let text: Vec<String> = peers.iter().map(|peer| format!("{peer}: {}", actual(peer))).collect();
            insta::assert_snapshot!("ends", text.join("\n"));
            assert!(
                actual("real-socket")
                    .contains("it panicked: A Tokio 1.x context was found, but IO is disabled.")
            );
            Ok(())
        }),
        Trial::test("a peer that blocks the thread is named", || {
            let case = "connect::accepted::3.1.1";
            let brokers =
                ["blocks", "loops", "blocks-in-a-task", "spins-in-a-task", "blocks-on-the-first-connection"];
            let mut text = String::new();
            for peer in brokers.into_iter().chain(["turmoil-loops", "client-that-blocks"]) {
                let case = if peer.starts_with("client") { "clients::qos-0-once::3.1.1" } else { case };
                let ran = ran(program(peer).args(["--exact", case]));
                let line = ran.text.lines().find(|line| line.contains("of simulated time: it spins or"));
                assert!(!ran.passed && line.is_some(), "{peer}: {}", ran.text);
                text += &format!("{peer}: {}\n", line.unwrap_or_default());
            }
            insta::assert_snapshot!("blocks", text);
            Ok(())
        }),
        Trial::test("what a peer cannot do is skipped with the reason", || {
            let cases = [
                "wills::carries-its-properties::5.0",
                "wills::each-quality-of-service::3.1.1",
                "connect::wrong-credentials::3.1.1::no-name",
                "faults::broker-crash::3.1.1",
                "wills::published-on-take-over::3.1.1",
            ];
            let mut text = String::new();
            for case in cases {
                text += &ran(program("mini").args(["--exact", case])).text;
            }
            text += &ran(program("chooses").arg("connect::maximum-qos")).text;
            insta::assert_snapshot!("skipped", text);
            Ok(())
        }),
        Trial::test("a peer that depends on more than its seed is found", || {
            let ran = ran(program("draws")
                .env("MQTTSPEC_TWICE", "1")
                .args(["--exact", "connect::second-connect-is-a-protocol-error::3.1.1"]));
            assert!(
                !ran.passed && ran.text.contains("the peer depends on more than its seed\n  first run "),
                "{}",
                ran.text
            );
            Ok(())
        }),
        Trial::test("a broker on the sockets of turmoil runs unchanged", || {
            let ran = ran(program("turmoil").arg("subscribe::"));
            assert!(
                ran.text.contains("test subscribe::one-suback-for-several-filters::3.1.1"),
                "{}",
                ran.text
            );
            let world = self::ran(program("mini").arg("subscribe::"));
            assert_eq!(verdicts(&ran), verdicts(&world));
            Ok(())
        }),
        Trial::test("a core without I/O is driven", || {
            for case in [
                "connect::accepted::3.1.1",
                "connect::pingreq-is-answered::3.1.1",
                "connect::keep-alive-closes::3.1.1",
                "connect::unsupported-protocol-version::3.1.1",
            ] {
                let ran = ran(program("core").args(["--exact", case]));
                assert!(ran.text.contains(&format!("test {case} ... ok")), "{}", ran.text);
            }
            Ok(())
        }),
        Trial::test("the reference client passes as a hosted peer", || {
            let ran = ran(&mut program("client"));
            assert!(ran.passed, "{}", ran.text);
            let ignored: Vec<_> = ran.text.lines().filter(|line| line.contains("ignored")).collect();
            insta::assert_snapshot!("client_ignored", ignored.join("\n"));
            // Without its own policy to connect again, the application does that.
            let ran = self::ran(&mut program("client-that-does-not-reconnect"));
            assert!(ran.passed, "{}", ran.text);
            let other: Vec<_> = ran.text.lines().filter(|line| line.contains("ignored")).collect();
            insta::assert_snapshot!("client_does_not_reconnect", other.join("\n"));
            Ok(())
        }),
        Trial::test("a client that sends no PINGREQ is found", || {
            let case = "clients::pings-while-idle::5.0";
            let ran = ran(program("client-without-pings").args(["--exact", case]));
            insta::assert_snapshot!("client_failure", ran.text);
            Ok(())
        }),
        Trial::test("a client that ends is the failure of its case", || {
            let mut text = String::new();
            for peer in ["client-that-panics", "client-that-takes-no-command", "client-that-ends-no-command"]
            {
                let ran = ran(program(peer).args(["--exact", "clients::qos-0-once::5.0"]));
                assert!(!ran.passed, "{}", ran.text);
                let actual = ran.text.lines().find(|line| line.trim().starts_with("actual"));
                text += &format!("{peer}: {}\n", actual.unwrap_or_default().trim());
            }
            insta::assert_snapshot!("client_ends", text);
            Ok(())
        }),
        Trial::test("what a client cannot do is skipped with the reason", || {
            let mut text = String::new();
            for case in [
                "clients::qos-0-once::5.0",
                "clients::qos-0-once::3.1.1",
                "clients::acknowledges-by-hand::3.1.1",
            ] {
                text += &ran(program("client-of-3.1.1").args(["--exact", case])).text;
            }
            let case = "clients::crash-in-mid-flow::3.1.1";
            text += &ran(program("client-without-a-disk").args(["--exact", case])).text;
            insta::assert_snapshot!("client_skipped", text);
            Ok(())
        }),
        Trial::test("known failures are listed, and those that pass are not", known_failures),
        Trial::test("tests are listed by area, version and row", || {
            let ran = ran(program("mini").args(["--list", "wills::published-when"]));
            insta::assert_snapshot!("listed", ran.text);
            Ok(())
        }),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn known_failures() -> Result<(), libtest_mimic::Failed> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("known.toml");
    let case = "subscribe::one-suback-for-several-filters::3.1.1";
    let with = |peer: &str| {
        let mut command = program(peer);
        command.env("KNOWN", &file).args(["--exact", case]);
        command
    };
    let unwritten = ran(&mut with("mini"));
    assert!(
        !unwritten.passed && unwritten.text.contains("cannot read the known failures"),
        "{}",
        unwritten.text
    );
    let writing = ran(with("mini").env("MQTTSPEC_WRITE_KNOWN", "1"));
    assert!(writing.passed, "{}", writing.text);
    let known = std::fs::read_to_string(&file)?;
    assert!(known.contains("case = \"subscribe/one-suback-for-several-filters.mqtt 3.1.1\""), "{known}");
    let listed = ran(&mut with("mini"));
    assert!(listed.passed && listed.text.contains("ignored (a known failure)"), "{}", listed.text);
    let repaired = ran(&mut with("reference"));
    assert!(!repaired.passed && repaired.text.contains("passes and is listed in"), "{}", repaired.text);
    Ok(())
}
