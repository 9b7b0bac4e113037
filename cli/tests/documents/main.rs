//! Every command in the Markdown pages of the project is a test.
//!
//! Commands of `mqttspec` run as a reader would type them, in a folder with copies of the files
//! that the pages name. All other commands are in one of two lists below: `LONG` commands run only
//! with `cargo test -p mqttspec --test documents -- --include-ignored`, and `NOT_RUN` commands
//! never run. Both give the reason. The packages, targets and folders that a `cargo` command names
//! are checked in any case.
#![allow(clippy::unwrap_used, reason = "a test that cannot continue fails")]

#[cfg(unix)]
mod cargo;
#[cfg(unix)]
mod pages;
#[cfg(unix)]
#[path = "../serve/process.rs"]
#[allow(dead_code, reason = "the tests of `serve` use all of it")]
mod process;
#[cfg(unix)]
mod sandbox;

/// Prefixes of commands that run only on request, because they take long, with the reason.
#[cfg(unix)]
const LONG: [(&str, &str); 7] = [
    ("cargo bench", "a benchmark"),
    ("cd codec/benches/peers && ", "a benchmark"),
    ("cargo run -p mqttspec-world --example ", "compiles the example"),
    ("cargo run -p mqttspec-application --example ", "compiles the example"),
    ("cargo run --manifest-path sim/world/peers/Cargo.toml ", "compiles a separate workspace"),
    ("cargo test --locked --manifest-path sim/world/peers/Cargo.toml", "compiles a separate workspace"),
    ("MQTTSPEC_WORLD_SEEDS=50 MQTTSPEC_WORLD_PROCESSES=20 cargo test", "takes a minute"),
];

/// Prefixes of commands that are not run, with the reason.
#[cfg(unix)]
const NOT_RUN: [(&str, &str); 31] = [
    ("MQTTSPEC_EVERY_BIT=1 cargo test", "compiles a release build; `cargo test` flips some of the bits"),
    ("UPDATE=1 cargo test", "rewrites a page; `cargo test` runs the same test without UPDATE"),
    ("cargo test", "runs this test"),
    ("bash .ci/run", "runs this test"),
    ("bash .ci/nextest", "a step of .ci/run"),
    ("cargo fmt", "a step of .ci/run"),
    ("cargo clippy", "a step of .ci/run"),
    ("bash cli/tests/foreign/install", "a step of .ci/run, and installs software"),
    ("cargo build --release -p mqttspec", "compiles the program that this test runs"),
    ("cargo build --profile campaign", "compiles for minutes"),
    ("cargo install", "installs software"),
    ("npm install", "installs software"),
    ("pip install", "installs software"),
    ("mqttspec adapter 'python3 ", "needs a client library; targets/clients says which"),
    ("mqttspec run --client 'python3 ", "needs a client library; targets/clients says which"),
    ("mqttspec run clients/load- --client 'python3 ", "needs a client library; targets/clients says which"),
    ("apt-get install", "installs software"),
    ("RUSTC_BOOTSTRAP=1 cargo fuzz", "needs cargo-fuzz, and runs until it is stopped"),
    ("cargo run --release --manifest-path fuzz/Cargo.toml --bin steps", "runs for minutes"),
    ("cargo run --release -p mqttspec-net --example mutations", "runs for minutes"),
    ("cargo insta", "needs cargo-insta, and is interactive"),
    ("cargo doc -p mqttspec-codec --open", "opens a browser"),
    ("mqttspec serve", "listens on port 1883; tests/serve runs it on a free port"),
    ("mqttspec explore --for", "runs until its time is over"),
    ("mqttspec explore --target-file", "needs a broker, and runs until its time is over"),
    ("mqttspec explore --mutants", "takes minutes"),
    ("mqttspec run targets/explored/NAME.mqtt", "needs a broker; the file is an example"),
    (
        "mqttspec explore --against reference --against targets/mosquitto.toml",
        "needs a broker, and takes minutes",
    ),
    ("mqttspec shrink FILE", "the file is an example"),
    ("mqttspec merge DIR", "the folders are examples"),
    ("sim/net/examples/loopback.sh", "needs mosquitto, and takes minutes"),
];

/// Text that looks like a command but is not a complete one.
#[cfg(unix)]
const MENTIONS: [&str; 11] = [
    "mqttspec observe",
    "mqttspec observe --to URL",
    "mqttspec explore",
    "cargo doc",
    "cargo run",
    "cargo run --release --",
    "mqttspec serve --option",
    "mqttspec run --client COMMAND",
    "mqttspec run clients/load- --client COMMAND",
    "mqttspec adapter COMMAND",
    "mqttspec adapter --reference",
];

/// Other programs whose commands run like those of `mqttspec`, if they are installed.
#[cfg(unix)]
const IF_INSTALLED: [&str; 1] = ["jq"];

fn main() -> std::process::ExitCode {
    #[cfg(unix)]
    return commands::main();
    #[cfg(not(unix))]
    std::process::ExitCode::SUCCESS
}

#[cfg(unix)]
mod commands {
    use std::collections::BTreeMap;
    use std::path::Path;
    use std::process::{Command, ExitCode};

    use libtest_mimic::{Arguments, Completion, Failed, Trial};

    use super::cargo::check_names;
    use super::pages::{commands, files, pages};
    use super::sandbox::Sandbox;
    use super::{IF_INSTALLED, LONG, MENTIONS, NOT_RUN};

    /// What the test does with a command.
    #[derive(Clone)]
    enum Treatment {
        /// Runs this command of `mqttspec` or another installed program.
        Run(String),
        Long(&'static str),
        NotRun(&'static str),
        Unknown,
    }

    pub(super) fn main() -> ExitCode {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap();
        let pages = pages(&root);
        // A command that several pages give is one test.
        let mut places: BTreeMap<String, String> = BTreeMap::new();
        let mut files_of_pages = BTreeMap::new();
        for (name, text) in &pages {
            for (line, command) in commands(text) {
                if !MENTIONS.contains(&&*command) {
                    places.entry(command).or_insert_with(|| format!("{name}:{line}"));
                }
            }
            files_of_pages.extend(files(text));
        }
        let mut trials = vec![lists(&places), examples(&root, &files_of_pages), names(&root, &places)];
        for (command, place) in places {
            let treatment = treatment(&command);
            let (root, files) = (root.clone(), files_of_pages.clone());
            let name = format!("{place} {command}");
            let kind = if let Treatment::Long(reason) = treatment { reason } else { "" };
            let trial = Trial::ignorable_test(name, move || test(&command, treatment, &root, &files));
            trials.push(trial.with_kind(kind).with_ignored_flag(!kind.is_empty()));
        }
        let mut arguments = Arguments::from_args();
        // Most of the commands wait for a broker.
        arguments.test_threads.get_or_insert(8);
        libtest_mimic::run(&arguments, trials).exit_code()
    }

    fn treatment(command: &str) -> Treatment {
        let find = |list: &[(&str, &'static str)]| {
            list.iter().find(|(prefix, _)| command.starts_with(prefix)).map(|(_, reason)| *reason)
        };
        // `cargo run --` runs the program that is built already.
        let arguments = ["cargo run --release -- ", "cargo run -- "]
            .into_iter()
            .find_map(|prefix| command.strip_prefix(prefix));
        let is_program = |word: &str| word == "mqttspec" || word.ends_with("/mqttspec");
        let is_other = |program: &&str| command.split(' ').next() == Some(program);
        if let Some(arguments) = arguments {
            Treatment::Run(format!("mqttspec {arguments}"))
        } else if let Some(reason) = find(&LONG) {
            Treatment::Long(reason)
        } else if let Some(reason) = find(&NOT_RUN) {
            Treatment::NotRun(reason)
        } else if command.split(' ').any(is_program) || IF_INSTALLED.iter().any(is_other) {
            Treatment::Run(command.to_owned())
        } else {
            Treatment::Unknown
        }
    }

    fn test(
        command: &str,
        treatment: Treatment,
        root: &Path,
        files: &BTreeMap<String, String>,
    ) -> Result<Completion, Failed> {
        match treatment {
            Treatment::NotRun(reason) => Ok(Completion::ignored_with(reason)),
            Treatment::Long(_) => finish(Command::new("bash").arg("-c").arg(command).current_dir(root)),
            Treatment::Run(command) => {
                let program = command.split(' ').next().unwrap_or_default();
                if IF_INSTALLED.contains(&program) && !is_installed(program) {
                    return Ok(Completion::ignored_with(format!("{program} is not installed")));
                }
                finish(&mut Sandbox::new(&command, root, files).shell(&command))
            }
            Treatment::Unknown => {
                Err(format!("`{command}` is neither run nor in a list of {}", file!()).into())
            }
        }
    }

    fn is_installed(program: &str) -> bool {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
    }

    fn finish(command: &mut Command) -> Result<Completion, Failed> {
        let output = command.output()?;
        if output.status.success() {
            return Ok(Completion::Completed);
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Err(format!("{}\n{}{}", output.status, text(&output.stdout), text(&output.stderr)).into())
    }

    /// Each entry of a list is the prefix of a command of a page.
    fn lists(places: &BTreeMap<String, String>) -> Trial {
        let unused = |list: &[(&'static str, &str)]| {
            let is_unused = |prefix: &&str| !places.keys().any(|command| command.starts_with(prefix));
            list.iter().map(|(prefix, _)| *prefix).filter(is_unused).collect::<Vec<_>>()
        };
        let unused = [unused(&LONG), unused(&NOT_RUN)].concat();
        Trial::test("the lists have no unused entry", move || {
            if unused.is_empty() { Ok(()) } else { Err(format!("on no page: {unused:?}").into()) }
        })
    }

    /// The packages, targets and folders in commands exist, also in commands that are not run.
    fn names(root: &Path, places: &BTreeMap<String, String>) -> Trial {
        let wrong: Vec<String> = places
            .iter()
            .filter_map(|(command, place)| Some((command, place, check_names(command, root).err()?)))
            .map(|(command, place, error)| format!("{place} {command}: {error}"))
            .collect();
        Trial::test("names in cargo commands exist", move || {
            if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
        })
    }

    /// A file that a page shows, and that exists, has the content that the page shows.
    fn examples(root: &Path, files: &BTreeMap<String, String>) -> Trial {
        let differs = |(name, text): &(&String, &String)| {
            std::fs::read_to_string(root.join(name)).is_ok_and(|actual| actual.trim() != text.trim())
        };
        let different: Vec<_> = files.iter().filter(differs).map(|(name, _)| name.clone()).collect();
        let count = files.len();
        Trial::test("files on pages are current", move || {
            if different.is_empty() && count > 0 { Ok(()) } else { Err(format!("{different:?}").into()) }
        })
    }
}
