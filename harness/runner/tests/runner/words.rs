//! Every word of the notation's faults has an effect on every backend, or is refused with a reason.
//!
//! Each word has a scenario that passes because of the word: without it, the same scenario does not
//! pass. A word of the grammar that has no scenario here fails the test.

use std::collections::BTreeSet;
use std::path::Path;

use mqttspec_faults::Profile;
use mqttspec_judge::Case;
use mqttspec_judge::results::CaseResult;
use mqttspec_judge::verdict::Verdict;
use mqttspec_net::TestBroker;
use mqttspec_runner::live::{LiveOptions, run_live};
use mqttspec_runner::run::{RunOptions, Simulator, run_with};
use mqttspec_runner::suite::{Plan, Selection, Source, plan};

/// A word, and a scenario of MQTT 5.0 that passes because of it.
#[derive(Clone, Copy)]
struct Word {
    word: &'static str,
    /// The rest of the header.
    header: &'static str,
    /// The text of the body that has the word. The scenario without it must not pass.
    has: &'static str,
    body: &'static str,
    /// The backends that refuse it.
    refused_by: &'static [&'static str],
}

const DURABLE: &str = "broker   store=durable\n";

const fn word(word: &'static str, has: &'static str, body: &'static str) -> Word {
    Word { word, header: "", has, body, refused_by: &[] }
}

const fn refused_by(refused_by: &'static [&'static str], word: Word) -> Word {
    Word { refused_by, ..word }
}

const fn on_a_durable_broker(word: Word) -> Word {
    Word { header: DURABLE, ..word }
}

const WORLD: &str = "simulated";
const TURMOIL: &str = "turmoil";
const LIVE: &str = "live";

/// The words of `fault` in the grammar.
const WORDS: &[Word] = &[
    word("cut", "cut device\n", "device connects\ncut device\ndevice < closed\n"),
    word(
        "close",
        "close device\n",
        "watcher connects\nwatcher subscribes w/a qos=1\ndevice connects will={topic=w/a payload=\"gone\"}\nclose device\nwatcher receives w/a \"gone\"\n",
    ),
    word(
        "partition",
        "partition device\n",
        "device connects keep_alive=0\npartition device\ndevice > PINGREQ\ndevice < nothing for 1s\n",
    ),
    word(
        "heal",
        "heal device after 1s\n",
        "device connects keep_alive=0\npartition device\ndevice > PINGREQ\nheal device after 1s\ndevice < PINGRESP\n",
    ),
    word(
        "latency",
        "latency device 500ms\n",
        "device connects keep_alive=0\nlatency device 500ms\ndevice > PINGREQ\nafter 900ms device < PINGRESP\n",
    ),
    refused_by(
        &[TURMOIL],
        word(
            "loss",
            "loss device 100%\n",
            "device connects keep_alive=0\nloss device 100%\ndevice > PINGREQ\ndevice < nothing for 1s\n",
        ),
    ),
    refused_by(
        &[TURMOIL],
        word(
            "bandwidth",
            "bandwidth device 2B/s\n",
            "device connects keep_alive=0\nbandwidth device 2B/s\ndevice > PINGREQ\nafter 900ms device < PINGRESP\n",
        ),
    ),
    refused_by(
        &[TURMOIL],
        word(
            "B/s",
            "bandwidth device 2B/s\n",
            "device connects keep_alive=0\nbandwidth device 2B/s\ndevice > PINGREQ\nafter 900ms device < PINGRESP\n",
        ),
    ),
    // A thousand times and a million times faster: the lowest limit of the link is not in the way.
    refused_by(
        &[TURMOIL],
        word(
            "kB/s",
            "bandwidth device 1kB/s\n",
            "device connects keep_alive=0\nbandwidth device 1B/s\nbandwidth device 1kB/s\ndevice > PUBLISH id=1 qos=1 topic=t/a payload=\"some twenty bytes of it\"\nwithin 2s device < PUBACK id=1\n",
        ),
    ),
    refused_by(
        &[TURMOIL],
        word(
            "MB/s",
            "bandwidth device 1MB/s\n",
            "device connects keep_alive=0\nbandwidth device 1B/s\nbandwidth device 1MB/s\ndevice > PUBLISH id=1 qos=1 topic=t/a payload=\"some twenty bytes of it\"\nwithin 2s device < PUBACK id=1\n",
        ),
    ),
    word(
        "stall",
        "stall device\n",
        "device connects keep_alive=0\nstall device\ndevice > PINGREQ\ndevice < nothing for 1s\n",
    ),
    word(
        "resume",
        "resume device after 1s\n",
        "device connects keep_alive=0\nstall device\ndevice > PINGREQ\nresume device after 1s\ndevice < PINGRESP\n",
    ),
    refused_by(
        &[LIVE],
        word(
            "crash",
            "crash broker\n",
            "device connects\ncrash broker\nstart broker after 1s\ndevice connects\n",
        ),
    ),
    refused_by(
        &[LIVE],
        word(
            "start",
            "start broker after 1s\n",
            "device connects\ncrash broker\nstart broker after 1s\ndevice connects\n",
        ),
    ),
    refused_by(
        &[LIVE],
        on_a_durable_broker(word(
            "disk",
            "disk broker full\n",
            "device connects keep_alive=0\ndisk broker full\ndevice > raw 31 { str \"t/a\" 00 fill 4000000 61 }\ndevice < closed\n",
        )),
    ),
    refused_by(
        &[LIVE],
        on_a_durable_broker(word(
            "full",
            "disk broker full\n",
            "device connects keep_alive=0\ndisk broker full\ndevice > raw 31 { str \"t/a\" 00 fill 4000000 61 }\ndevice < closed\n",
        )),
    ),
    // A retained message of 4 MB makes the store grow. The other words of a disk end `full`; what
    // they do to unsynced writes, only a faulty broker shows: see tests/faults.rs and the tests of
    // the disks.
    refused_by(
        &[LIVE],
        on_a_durable_broker(word(
            "sound",
            "disk broker sound\n",
            "device connects keep_alive=0\ndisk broker full\ndisk broker sound\ndevice > raw 31 { str \"t/a\" 00 fill 4000000 61 }\ndevice pings\n",
        )),
    ),
    refused_by(
        &[LIVE],
        on_a_durable_broker(word(
            "lose-unsynced",
            "disk broker lose-unsynced\n",
            "device connects keep_alive=0\ndisk broker full\ndisk broker lose-unsynced\ndevice > raw 31 { str \"t/a\" 00 fill 4000000 61 }\ndevice pings\n",
        )),
    ),
    refused_by(
        &[LIVE],
        on_a_durable_broker(word(
            "torn",
            "disk broker torn\n",
            "device connects keep_alive=0\ndisk broker full\ndisk broker torn\ndevice > raw 31 { str \"t/a\" 00 fill 4000000 61 }\ndevice pings\n",
        )),
    ),
    word("profile", "profile reset device\n", "device connects\nprofile reset device\ndevice < closed\n"),
    refused_by(
        &[TURMOIL],
        word(
            "to",
            " to broker",
            "device connects keep_alive=0\ndevice subscribes t/a\nother connects\npartition device to broker\nother publishes t/a \"x\"\nwithin 2s device < PUBLISH topic=t/a\n",
        ),
    ),
    word(
        "for",
        " for 1s",
        "device connects keep_alive=0\npartition device for 1s\ndevice > PINGREQ\ndevice < PINGRESP\n",
    ),
];

/// The fault profiles.
const PROFILES: &[Word] = &[
    word(
        "complete-outage",
        "profile complete-outage device\n",
        "device connects keep_alive=0\nprofile complete-outage device\ndevice > PINGREQ\nafter 3s [live 500ms] device < PINGRESP\n",
    ),
    word(
        "intermittent-link",
        "profile intermittent-link device\n",
        "device connects keep_alive=0\nprofile intermittent-link device\ndevice > PINGREQ\nafter 500ms [live 100ms] device < PINGRESP\n",
    ),
    word(
        "high-latency",
        "profile high-latency device\n",
        "device connects keep_alive=0\nprofile high-latency device\ndevice > PINGREQ\nafter 900ms device < PINGRESP\n",
    ),
    refused_by(
        &[TURMOIL],
        word(
            "packet-loss",
            "profile packet-loss device\n",
            "device connects keep_alive=0\nprofile packet-loss device\nrepeat 40\n  device pings\ndevice > PINGREQ\nat 1s [live 300ms] device < PINGRESP\n",
        ),
    ),
    refused_by(
        &[TURMOIL],
        word(
            "one-way-partition",
            "profile one-way-partition device\n",
            "device connects keep_alive=0\nprofile one-way-partition device\ndevice > PINGREQ\nafter 3s [live 500ms] device < PINGRESP\n",
        ),
    ),
    word("reset", "profile reset device\n", "device connects\nprofile reset device\ndevice < closed\n"),
    word(
        "half-open",
        "profile half-open device\n",
        "device connects keep_alive=0\nprofile half-open device\ndevice > PINGREQ\ndevice < nothing for 1s\n",
    ),
    word(
        "slow-reader",
        "profile slow-reader device\n",
        "device connects keep_alive=0\nprofile slow-reader device\ndevice > PINGREQ\nafter 5s [live 500ms] device < PINGRESP\n",
    ),
    refused_by(
        &[LIVE],
        word(
            "broker-crash",
            "profile broker-crash broker\n",
            "device connects\nprofile broker-crash broker\nwait 3s\ndevice connects\n",
        ),
    ),
    word(
        "client-crash",
        "profile client-crash device\n",
        "device connects\nprofile client-crash device\nwait 3s [live 1s]\ndevice connects\n",
    ),
    refused_by(
        &[LIVE],
        on_a_durable_broker(word(
            "disk-loss",
            "profile disk-loss broker\n",
            "device connects\nprofile disk-loss broker\nwait 10s\ndevice connects\n",
        )),
    ),
];

impl Word {
    /// Its scenario, and the same without the word.
    fn cases(&self) -> [Case; 2] {
        assert!(self.has.contains(self.word) && self.body.contains(self.has), "{}", self.word);
        [("with", self.body.to_owned()), ("without", self.body.replacen(self.has, "", 1))].map(
            |(which, body)| {
                let title = self.word.replace('/', " ");
                let text = format!(
                    "title    {title} {which}\nclauses  MQTT-3.1.0-1\nversions 5\n{}\n{body}",
                    self.header
                );
                let file = format!("{}-{which}.mqtt", title.replace(' ', "-"));
                let plan = plan(&[Source { file, text }], &Selection::default());
                if let Some(error) = plan.errors.first() {
                    panic!("{} {which}: {}", self.word, error.message);
                }
                plan.cases[0].clone()
            },
        )
    }

    /// What is wrong with the verdicts of the scenario with the word and without it.
    fn judge(&self, backend: &str, with: (Verdict, &str), without: (Verdict, &str)) -> Option<String> {
        let refused = self.refused_by.contains(&backend);
        let expected = if refused { Verdict::Skip } else { Verdict::Pass };
        let has_effect = refused || !matches!(without.0, Verdict::Pass | Verdict::Skip);
        let has_reason = !refused || !with.1.is_empty();
        let is_fine = with.0 == expected && has_effect && has_reason;
        (!is_fine).then(|| format!("{backend}: `{}`: with it {with:?}, without it {without:?}\n", self.word))
    }
}

fn all() -> impl Iterator<Item = &'static Word> {
    WORDS.iter().chain(PROFILES)
}

fn in_simulation(backend: &str, simulator: Simulator) {
    let mut wrong = String::new();
    for word in all() {
        let [with, without] = word
            .cases()
            .map(|case| run_with(&case, 0, RunOptions { simulator, ..RunOptions::default() }))
            .map(|run| {
                let failures: Vec<String> = run
                    .failures
                    .iter()
                    .map(|failure| format!("{}: {}", failure.finding.expected, failure.finding.actual))
                    .collect();
                (run.verdict, format!("{}{}", run.reason, failures.join("; ")))
            });
        wrong.extend(word.judge(backend, (with.0, &with.1), (without.0, &without.1)));
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn every_fault_has_an_effect_in_the_simulated_world() {
    in_simulation(WORLD, Simulator::World);
}

#[test]
fn every_fault_has_an_effect_in_turmoil_or_is_refused() {
    in_simulation(TURMOIL, Simulator::Turmoil);
}

#[test]
fn every_fault_has_an_effect_before_a_live_server_or_is_refused() {
    let broker = TestBroker::start().expect("a broker starts");
    let target = broker.url().parse().expect("the address of the broker");
    let options = LiveOptions { target: Some(target), ..LiveOptions::default() };
    // A busy machine can delay an answer by as much as a fault does, so a word has three tries.
    let mut open: Vec<&Word> = all().collect();
    let mut wrong = String::new();
    for _ in 0..3 {
        let cases: Vec<Case> = open.iter().flat_map(|word| word.cases()).collect();
        let plan = Plan { cases, errors: Vec::new() };
        let suite = run_live(&plan, &options, &mut |_| {}).expect("a live run");
        let verdicts = suite.cases.chunks(2).map(|pair| [verdict_of(&pair[0]), verdict_of(&pair[1])]);
        wrong.clear();
        let tried = open.iter().copied().zip(verdicts);
        open = tried
            .filter_map(|(word, [with, without])| {
                let is_wrong = word.judge(LIVE, (with.0, &with.1), (without.0, &without.1));
                is_wrong.map(|text| {
                    wrong.push_str(&text);
                    word
                })
            })
            .collect();
        if open.is_empty() {
            return;
        }
    }
    panic!("\n{wrong}");
}

fn verdict_of(case: &CaseResult) -> (Verdict, String) {
    let failures: Vec<String> = case
        .failures
        .iter()
        .map(|failure| format!("{}: {}", failure.finding.expected, failure.finding.actual))
        .collect();
    (case.verdict, format!("{}{}", case.reason, failures.join("; ")))
}

/// The words in quotes of a rule of the grammar.
fn terminals(rule: &str) -> BTreeSet<String> {
    let page = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../scenarios/NOTATION.md"));
    let text = std::fs::read_to_string(page).expect("the notation can be read");
    let grammar = text.split("```ebnf").nth(1).and_then(|rest| rest.split("```").next()).expect("a grammar");
    let begins = grammar.find(&format!("\n{rule} ")).expect("the rule");
    let ends = grammar[begins..].find(" ;\n").expect("its end") + begins;
    let quoted = grammar[begins..ends].split('"').skip(1).step_by(2);
    quoted.filter(|word| word.starts_with(char::is_alphabetic)).map(str::to_owned).collect()
}

#[test]
fn every_fault_of_the_grammar_has_a_scenario_here() {
    let known: BTreeSet<String> = WORDS.iter().map(|word| word.word.to_owned()).collect();
    assert_eq!(terminals("fault"), known);
    let profiles: Vec<&str> = Profile::USUAL.iter().map(Profile::name).collect();
    assert_eq!(PROFILES.iter().map(|word| word.word).collect::<Vec<_>>(), profiles);
}
