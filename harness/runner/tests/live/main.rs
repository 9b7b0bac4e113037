//! Runs scenarios on live servers: mostly the reference broker on real sockets, in this process.

#![expect(
    clippy::disallowed_methods,
    reason = "servers that play tricks need threads beside the session that is tested"
)]
#![expect(clippy::print_stderr, reason = "a test that is left out says so")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mqttspec_broker::Options;
use mqttspec_codec::Role;
use mqttspec_judge::Case;
use mqttspec_judge::results::{SuiteResult, TargetKind};
use mqttspec_judge::verdict::Verdict;
use mqttspec_net::TestBroker;
use mqttspec_net::transport::{ClientTls, ServerTls, Target};
use mqttspec_runner::live::target_file::TargetFile;
use mqttspec_runner::live::{ContactError, Credentials, LiveError, LiveOptions, run_live};
use mqttspec_runner::suite::{Plan, Selection, Source, plan, read_folder};

fn at(url: &str) -> LiveOptions {
    let target: Target = url.parse().expect("a test names a server");
    LiveOptions { target: Some(target), ..LiveOptions::default() }
}

/// Three scenarios that need few capabilities: a message, a reset connection, an expired Keep
/// Alive.
const SMOKE: [&str; 3] = [
    "qos1/acknowledged-and-delivered",
    "qos2/to-server-cut-before-or-after-pubrec",
    "wills/published-when-owner-falls-silent",
];

fn judge(options: &LiveOptions, filters: &[&str]) -> Result<SuiteResult, LiveError> {
    let sources = read_folder(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../scenarios")))
        .expect("the folder of scenarios can be read");
    for filter in filters {
        assert!(sources.iter().any(|source| source.file.contains(filter)), "no scenario matches {filter}");
    }
    let filters = filters.iter().map(|filter| (*filter).to_owned()).collect();
    let plan = plan(&sources, &Selection { filters, ..Selection::default() });
    run_live(&plan, options, &mut |_| {})
}

fn bad(suite: &SuiteResult) -> String {
    let bad = suite.cases.iter().filter(|case| matches!(case.verdict, Verdict::Fail | Verdict::Error));
    let line = |case: &mqttspec_judge::results::CaseResult| {
        let failures: Vec<String> = case
            .failures
            .iter()
            .map(|failure| {
                let transcript: Vec<&str> =
                    failure.transcript.iter().map(|line| line.text.as_str()).collect();
                format!(
                    "\n  line {}: {} => {}\n    {}",
                    failure.finding.line,
                    failure.finding.expected,
                    failure.finding.actual,
                    transcript.join("\n    ")
                )
            })
            .collect();
        format!("{} {} {}{}\n", case.verdict, case.name(), case.reason, failures.concat())
    };
    bad.map(line).collect()
}

/// The number of servers for the cases without options. So cases that must run alone on a server
/// still run concurrently.
const SERVERS: usize = 8;

/// Options of the broker, by name.
type Settings = Vec<(String, String)>;

/// The server options of a case, without `store`: a case that needs a durable store has `needs`.
fn options_of(case: &Case) -> Settings {
    let options = case.scenario.broker.iter().filter(|option| option.versions.applies_to(case.version));
    options
        .filter(|option| !["store", "users_after_restart"].contains(&option.name.as_str()))
        .map(|option| (option.name.clone(), option.value.clone()))
        .collect()
}

/// Judges the reference broker with these options by the cases that have them, over WebSocket if one
/// needs that. `None` if the options refuse anonymous Clients.
fn judge_with(options: &[(String, String)], cases: Vec<Case>) -> Option<SuiteResult> {
    let mut of_broker = Options::default();
    let mut configured = Vec::new();
    for (name, value) in options {
        of_broker.set(name, value).expect("a scenario asks for options that there are");
        configured.push(format!("{name}={value}"));
    }
    let broker = TestBroker::with(of_broker);
    let over_websocket = cases.iter().any(|case| case.scenario.over_websocket);
    let broker = if over_websocket { broker.websocket() } else { broker };
    let broker = broker.start().expect("a broker starts");
    let target_file = TargetFile { configured, ..TargetFile::default() };
    let live = LiveOptions { target_file, quick: true, ..at(&broker.url()) };
    match run_live(&Plan { cases, errors: Vec::new() }, &live, &mut |_| {}) {
        Ok(suite) => Some(suite),
        Err(LiveError::Contact(ContactError::Refused { .. })) => None,
        Err(error) => panic!("{options:?}: {error}"),
    }
}

#[test]
fn the_reference_broker_passes_on_sockets_as_in_the_simulator() {
    let sources = read_folder(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../scenarios")))
        .expect("the folder of scenarios can be read");
    let plan = plan(&sources, &Selection::default());
    assert_eq!(plan.errors, []);
    let all = plan.cases.iter().filter(|case| case.tests == Role::Server).count();
    let mut groups: BTreeMap<(Settings, bool, usize), Vec<Case>> = BTreeMap::new();
    for (index, case) in plan.cases.into_iter().filter(|case| case.tests == Role::Server).enumerate() {
        let options = options_of(&case);
        let share = if options.is_empty() { index % SERVERS } else { 0 };
        groups.entry((options, case.scenario.over_websocket, share)).or_default().push(case);
    }
    let suites: Vec<Option<SuiteResult>> = std::thread::scope(|scope| {
        let judged: Vec<_> = groups
            .into_iter()
            .map(|((options, ..), cases)| scope.spawn(move || judge_with(&options, cases)))
            .collect();
        judged.into_iter().map(|judged| judged.join().expect("the harness does not panic")).collect()
    });
    assert!(suites.iter().flatten().all(|suite| suite.target.kind == TargetKind::Live));
    let wrong: String = suites.iter().flatten().map(bad).collect();
    assert_eq!(wrong, "");
    let (mut passed, mut left_out) = (0, BTreeMap::new());
    for case in suites.iter().flatten().flat_map(|suite| &suite.cases) {
        match case.verdict {
            Verdict::Pass => passed += 1,
            _ => *left_out.entry(case.reason.clone()).or_insert(0) += 1,
        }
    }
    eprintln!("{passed} of {all} cases ran; skipped: {left_out:#?}");
    assert!(passed * 4 > all * 3, "only {passed} of {all} cases ran; skipped: {left_out:#?}");
}

mod fences {
    //! A server of several nodes may answer a SUBSCRIBE before all nodes know the Subscription.

    use std::collections::BTreeMap;
    use std::io::{Read as _, Write as _};
    use std::net::{Ipv4Addr, TcpListener, TcpStream};
    use std::sync::{Arc, Mutex};
    use std::time::{Duration, Instant};

    use super::*;

    type Subscriptions = Arc<Mutex<BTreeMap<Vec<u8>, (Instant, TcpStream)>>>;

    /// A minimal server for MQTT 3.1.1 and QoS 0. A Subscription is in force after a delay from its
    /// SUBACK.
    fn slow_to_subscribe(delay: Duration) -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let port = listener.local_addr().expect("it has an address").port();
        std::thread::spawn(move || {
            let subscriptions = Subscriptions::default();
            for stream in listener.incoming().flatten() {
                let subscriptions = subscriptions.clone();
                std::thread::spawn(move || serve(stream, &subscriptions, delay));
            }
        });
        port
    }

    /// Serves one connection to its end. All packets have a Remaining Length of one byte.
    fn serve(mut stream: TcpStream, subscriptions: &Subscriptions, delay: Duration) -> Option<()> {
        loop {
            let mut header = [0; 2];
            stream.read_exact(&mut header).ok()?;
            let mut body = vec![0; usize::from(header[1])];
            stream.read_exact(&mut body).ok()?;
            match header[0] >> 4 {
                // CONNECT; only 3.1.1 is supported.
                1 if body.get(6) != Some(&4) => return None,
                1 => stream.write_all(&[0x20, 2, 0, 0]).ok()?,
                3 => {
                    let topic = &body[2..2 + usize::from(body[1])];
                    let mut subscriptions = subscriptions.lock().ok()?;
                    if let Some((from, subscriber)) = subscriptions.get_mut(topic)
                        && *from <= Instant::now()
                    {
                        // The subscriber may have disconnected.
                        let _ = subscriber.write_all(&[&[0x30, header[1]], body.as_slice()].concat());
                    }
                }
                8 => {
                    let filter = body[4..4 + usize::from(body[3])].to_vec();
                    let subscriber = stream.try_clone().ok()?;
                    subscriptions.lock().ok()?.insert(filter, (Instant::now() + delay, subscriber));
                    stream.write_all(&[0x90, 3, body[0], body[1], 0]).ok()?;
                }
                12 => stream.write_all(&[0xd0, 0]).ok()?,
                _ => return None,
            }
        }
    }

    fn judge_slow(delay: Duration) -> SuiteResult {
        let text = "title    A message after the SUBACK\nclauses  [3.1.1] MQTT-3.8.4-1 [5] MQTT-3.8.4-1\nversions 3.1.1 5\n\n\
            reader connects\nreader subscribes a qos=0\nwriter connects\nwriter publishes a \"x\"\n\
            reader receives a \"x\" qos=0\n";
        let source = Source { file: "a/fence.mqtt".to_owned(), text: text.to_owned() };
        let plan = plan(&[source], &Selection::default());
        assert_eq!(plan.errors, []);
        let url = format!("mqtt://127.0.0.1:{}", slow_to_subscribe(delay));
        run_live(&plan, &at(&url), &mut |_| {}).expect("the server is judged")
    }

    fn said(suite: &SuiteResult) -> &str {
        let said = suite.target.capabilities.iter().find(|(name, _)| name == "subscriptions_in_force");
        said.map_or("", |(_, value)| value)
    }

    #[test]
    fn runs_wait_until_a_subscription_is_in_force() {
        let suite = judge_slow(Duration::from_millis(300));
        assert_eq!(bad(&suite), "");
        assert!(suite.cases.iter().any(|case| case.verdict == Verdict::Pass));
        assert!(said(&suite).contains("ms after SUBACK"), "{}", said(&suite));
    }

    #[test]
    fn runs_do_not_wait_if_subscriptions_are_in_force_at_once() {
        let suite = judge_slow(Duration::ZERO);
        assert_eq!(bad(&suite), "");
        assert_eq!(said(&suite), "with SUBACK");
    }
}

mod contact;
mod violations;

mod tolerance {
    //! A timed event that is not in time: a note with the figure, or a failure.

    use mqttspec_runner::live::target_file::Tolerance;

    use super::*;

    /// A Keep Alive of one second is over after a second and a half.
    fn judged(line: &str, late_ms: u64) -> SuiteResult {
        judged_with(line, Tolerance { late_ms, ..Tolerance::default() })
    }

    fn judged_with(line: &str, tolerance: Tolerance) -> SuiteResult {
        let text = format!(
            "title    A time\nclauses  MQTT-3.1.2-22\nversions 5\n\ndevice connects keep_alive=1\n{line} \
             device < closed or DISCONNECT reason=keep-alive-timeout shows MQTT-3.1.2-22\n"
        );
        let plan = plan(&[Source { file: "time.mqtt".to_owned(), text }], &Selection::default());
        assert_eq!(plan.errors, []);
        let broker = TestBroker::start().expect("a broker starts");
        let target_file = TargetFile { tolerance, ..TargetFile::default() };
        run_live(&plan, &LiveOptions { target_file, ..at(&broker.url()) }, &mut |_| {})
            .expect("the server answers")
    }

    #[test]
    fn what_is_late_within_the_tolerance_is_a_note_with_the_figure() {
        let suite = judged("within 1s", 4000);
        assert_eq!(suite.cases[0].verdict, Verdict::Pass, "{}", bad(&suite));
        let note = suite.notes.iter().find(|note| note.contains("time.mqtt 5.0 line 6: "));
        let late = note.and_then(|note| note.rsplit("line 6: ").next()?.split(' ').next()?.parse().ok());
        let late: u64 = late.unwrap_or_else(|| panic!("{:?}", suite.notes));
        assert!((400..4000).contains(&late), "{late}");
    }

    #[test]
    fn a_silent_client_may_have_a_tolerance_of_its_own() {
        let tolerance = Tolerance { late_ms: 100, keep_alive_late_ms: Some(4000), ..Tolerance::default() };
        let suite = judged_with("within 1s", tolerance);
        assert_eq!(suite.cases[0].verdict, Verdict::Pass, "{}", bad(&suite));
    }

    #[test]
    fn what_follows_a_silence_counts_from_the_time_of_the_scenario() {
        // The silence is proved at 0.2 s, and its PINGREQ moves the end of the Keep Alive to 1.7 s.
        let tolerance = Tolerance { early_ms: 800, late_ms: 1000, ..Tolerance::default() };
        let suite = judged_with("after 1s device < nothing\nwithin 300ms", tolerance);
        assert_eq!(suite.cases[0].verdict, Verdict::Pass, "{}", bad(&suite));
    }

    #[test]
    fn what_is_late_or_early_beyond_the_tolerance_fails_with_the_figure() {
        let suite = judged("within 1s", 100);
        assert_eq!(suite.cases[0].verdict, Verdict::Fail);
        assert!(bad(&suite).contains("are tolerance"), "{}", bad(&suite));
        let early = judged("after 2s", 4000);
        assert_eq!(early.cases[0].verdict, Verdict::Fail);
        assert!(bad(&early).contains(" after 1.5"), "{}", bad(&early));
    }
}

mod single {
    //! Single runs, as a campaign has them.

    use std::sync::atomic::AtomicBool;

    use mqttspec_judge::history::What;
    use mqttspec_runner::live::single::LiveTarget;

    use super::*;

    #[test]
    fn each_run_has_its_result_and_its_history() {
        let text = "title    A run\nclauses  MQTT-4.3.1-1\nversions 5\nclient   a reference\n\n\
                    ask a subscribe t qos=1\nask a publish t \"one\" qos=1\nwait for quiet 5s\n\
                    qos 1: at least once shows MQTT-4.3.1-1\n";
        let plan =
            plan(&[Source { file: "run.mqtt".to_owned(), text: text.to_owned() }], &Selection::default());
        assert_eq!(plan.errors, []);
        let broker = TestBroker::start().expect("a broker starts");
        let mut target = LiveTarget::contact(&at(&broker.url()), &mut |_| {}).expect("the server answers");
        assert!(!target.has_own_servers());
        let mut cases = std::iter::repeat_n(plan.cases[0].clone(), 3).zip(0..);
        let mut runs = BTreeMap::new();
        target.run(&mut || cases.next(), &AtomicBool::new(false), &mut |number, run| {
            let is_message = |what: &What| {
                matches!(what, What::Received { packet, .. }
                if packet.packet_type() == mqttspec_codec::PacketType::Publish)
            };
            let messages = run.history.events().iter().filter(|event| is_message(&event.what)).count();
            runs.insert(number, (run.result.verdict, messages, run.lost));
        });
        let expected = (Verdict::Pass, 1, None);
        assert_eq!(runs, BTreeMap::from([(0, expected.clone()), (1, expected.clone()), (2, expected)]));
    }
}

mod target_files {
    //! Target files, and servers that they start.

    use super::*;

    fn folder() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../targets")
    }

    #[test]
    fn every_target_file_and_the_example_of_the_page_can_be_read() {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(folder()).expect("there are target files").flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "toml") {
                names.push(TargetFile::read(&entry.path()).expect("a ready target file is one").name);
            }
        }
        assert!(names.len() >= 5, "{names:?}");
        let page = std::fs::read_to_string(folder().join("README.md")).expect("there is a page");
        let example = page
            .split("```toml\n")
            .nth(1)
            .and_then(|rest| rest.split("```").next())
            .expect("it has an example");
        let target_file =
            TargetFile::parse(example, Path::new("README.md")).expect("the example is a target file");
        assert_eq!(target_file.name, "my broker");
        // The page explains each key of the example, and every key is in the example or on the
        // page.
        for key in [
            "name",
            "start",
            "kill",
            "stop",
            "reset",
            "start_with_options",
            "option",
            "files",
            "configured",
            "durable",
            "capabilities",
            "credentials",
            "second_identity",
            "tolerance",
            "ready_within_ms",
            "jobs",
            "clock_speed",
        ] {
            assert!(page.contains(&format!("`{key}`")), "{key} is not explained");
        }
    }

    #[test]
    fn the_error_for_a_command_that_is_not_a_server_has_its_output() {
        let start = |start: &str| {
            let target_file = TargetFile {
                start: Some(start.to_owned()),
                ready_within_ms: Some(400),
                ..TargetFile::default()
            };
            judge(&LiveOptions { target_file, ..LiveOptions::default() }, &SMOKE)
                .expect_err("it is no server")
                .to_string()
        };
        let error = start("sh -c 'echo no such option >&2; exit 3'");
        assert!(error.contains("exit status: 3") && error.contains("no such option"), "{error}");
        let error = start("mqttspec-no-such-program --port {port}");
        assert!(error.contains("mqttspec-no-such-program") && error.contains("installed"), "{error}");
        let error = start("sleep 60");
        assert!(error.contains("accepts no connection"), "{error}");
    }

    /// A server in Python; `None` without Python. It ends with the session that started it.
    fn server(script: &str) -> Option<TargetFile> {
        if std::process::Command::new("python3").arg("--version").output().is_err() {
            eprintln!("left out: python3 is not installed");
            return None;
        }
        let start = Some("python3 {dir}/broker.py {port}".to_owned());
        let files = [("broker.py".to_owned(), script.to_owned())].into();
        Some(TargetFile { start, files, ..TargetFile::default() })
    }

    const SILENT: &str = "\
import socket, sys
listener = socket.create_server(('127.0.0.1', int(sys.argv[1])))
print('listening', flush=True)
held = []
while True:
    held.append(listener.accept()[0])
";

    #[test]
    fn the_error_for_a_started_server_that_never_answers_has_its_output() {
        let Some(target_file) = server(SILENT) else { return };
        let options = LiveOptions { target_file, ..LiveOptions::default() };
        let error = judge(&options, &SMOKE).expect_err("it never answers").to_string();
        assert!(error.contains("does not answer") && error.contains("listening"), "{error}");
    }

    /// Accepts Clients of MQTT 3.1.1 and answers their PINGREQ; a PUBLISH to `die` ends it, one to
    /// `hang` silences it.
    const FRAIL: &str = "\
import asyncio, os, sys, time
async def serve(reader, writer):
    try:
        while True:
            first, length = await reader.readexactly(2)
            body = await reader.readexactly(length)
            if first >> 4 == 1:
                if body[6] != 4:
                    break
                writer.write(bytes([0x20, 2, 0, 0]))
            elif first >> 4 == 8:
                writer.write(bytes([0x90, 3]) + body[:2] + bytes([0]))
            elif first >> 4 == 12:
                writer.write(bytes([0xd0, 0]))
            elif first >> 4 == 3 and body.endswith(b'die'):
                print('dying', flush=True)
                os._exit(7)
            elif first >> 4 == 3 and body.endswith(b'hang'):
                time.sleep(600)
            elif first >> 4 == 14:
                break
    except asyncio.IncompleteReadError:
        pass
    writer.close()
async def main():
    server = await asyncio.start_server(serve, '127.0.0.1', int(sys.argv[1]))
    await server.serve_forever()
asyncio.run(main())
";

    fn scenario(file: &str, body: &str) -> Source {
        let header = "title    A server that falls\nclauses  MQTT-3.12.4-1\nversions 3.1.1 5\n\n";
        let header =
            header.replace("clauses  MQTT-3.12.4-1", "clauses  [3.1.1] MQTT-3.12.4-1 [5] MQTT-3.12.4-1");
        Source { file: file.to_owned(), text: format!("{header}{body}") }
    }

    #[test]
    fn a_failed_case_with_its_own_server_keeps_the_output() {
        let Some(mut target_file) = server(FRAIL) else { return };
        target_file.start_with_options =
            Some("sh -c 'echo started {options}; exec python3 {dir}/broker.py {port}'".to_owned());
        target_file.option = Some("{name}={value}".to_owned());
        let mut asks = scenario("a/asks.mqtt", "device connects\ndevice < PINGRESP\n");
        asks.text =
            asks.text.replace("versions 3.1.1 5\n", "versions 3.1.1 5\nbroker   maximum_subscriptions=7\n");
        let plan = plan(
            &[asks],
            &Selection { version: Some(mqttspec_notation::Version::V3_1_1), ..Selection::default() },
        );
        assert_eq!(plan.errors, []);
        let suite = run_live(&plan, &LiveOptions { target_file, ..LiveOptions::default() }, &mut |_| {})
            .expect("the server is judged");
        let shown = suite.cases[0].shown.as_ref().expect("the run that failed is kept");
        assert_eq!(suite.cases[0].verdict, Verdict::Fail, "{}", suite.cases[0].reason);
        assert_eq!(shown.output, ["started maximum_subscriptions=7"]);
    }

    #[test]
    fn a_server_that_ends_is_an_error_of_its_case_and_the_others_continue() {
        let Some(target_file) = server(FRAIL) else { return };
        let lives =
            "device connects\ndevice pings\ndevice < nothing for 300ms\ndevice pings\ndevice disconnects\n";
        let sources = [
            scenario("a/lives.mqtt", lives),
            scenario("b/kills.mqtt", "device connects\ndevice publishes t \"die\"\ndevice pings\n"),
            scenario("c/silences.mqtt", "device connects\ndevice publishes t \"hang\"\ndevice pings\n"),
            scenario("d/lives.mqtt", lives),
            // The end of the server looks like the close that the scenario expects.
            scenario("e/kills-last.mqtt", "device connects\ndevice publishes t \"die\"\ndevice < closed\n"),
        ];
        let plan = plan(&sources, &Selection::default());
        assert_eq!(plan.errors, []);
        let options = LiveOptions { target_file, ..LiveOptions::default() };
        let suite = run_live(&plan, &options, &mut |_| {}).expect("the server is judged");
        let of = |file: &str, version: &str| {
            suite
                .cases
                .iter()
                .find(|case| case.file == file && case.version == version)
                .expect("each case has a result")
        };
        let all: Vec<String> = suite
            .cases
            .iter()
            .map(|case| format!("{} {} {}", case.verdict, case.name(), case.reason))
            .collect();
        let all = all.join("\n");
        for file in ["a/lives.mqtt", "d/lives.mqtt"] {
            assert_eq!(of(file, "3.1.1").verdict, Verdict::Pass, "{all}");
        }
        let kills = of("b/kills.mqtt", "3.1.1");
        for kills in [kills, of("e/kills-last.mqtt", "3.1.1")] {
            assert!(kills.verdict == Verdict::Error && kills.reason.contains("exit status: 7"), "{all}");
        }
        let shown = kills.shown.as_ref().expect("its last packets are kept");
        assert!(shown.trace.events.iter().any(|event| event.text.contains("die")), "{all}");
        let silences = of("c/silences.mqtt", "3.1.1");
        assert!(silences.verdict == Verdict::Error && silences.reason.contains("no longer answers"), "{all}");
        // A version that it does not support is one note and not a failure.
        assert!(
            suite.cases.iter().filter(|case| case.version == "5.0").all(|case| case.verdict == Verdict::Skip),
            "{all}"
        );
        assert_eq!(suite.notes[0], "the target does not support MQTT 5.0: 5 cases skipped");
        assert!(suite.notes.iter().any(|note| note.contains("ended (exit status: 7)")), "{all}");
        assert!(suite.target.output.iter().any(|line| line == "dying"), "{:?}", suite.target.output);
    }
}
