//! Every word of the notation that a backend executes has an effect on every backend, or is refused
//! with a reason.
//!
//! Each word has a scenario that passes because of the word: without it, or with another in its
//! place, the same scenario does not pass. A word of the grammar that has no scenario here fails the
//! test.

mod faults;
mod steps;

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
    /// The text of the body that has the word, and what stands in its place in the scenario that
    /// must not pass.
    has: &'static str,
    instead: &'static str,
    body: &'static str,
    /// The backends that refuse it.
    refused_by: &'static [&'static str],
    /// A live server cannot play it.
    tests_client: bool,
}

const DURABLE: &str = "broker   store=durable\n";

const fn word(word: &'static str, has: &'static str, body: &'static str) -> Word {
    Word { word, header: "", has, instead: "", body, refused_by: &[], tests_client: false }
}

const fn refused_by(refused_by: &'static [&'static str], word: Word) -> Word {
    Word { refused_by, ..word }
}

/// A scenario that does not pass with `instead` in place of `has`.
const fn changed(word: &'static str, has: &'static str, instead: &'static str, body: &'static str) -> Word {
    Word { word, header: "", has, instead, body, refused_by: &[], tests_client: false }
}

const fn with_header(header: &'static str, word: Word) -> Word {
    Word { header, ..word }
}

const fn on_a_durable_broker(word: Word) -> Word {
    Word { header: DURABLE, ..word }
}

const WORLD: &str = "simulated";
const TURMOIL: &str = "turmoil";
const LIVE: &str = "live";

impl Word {
    /// Its scenario, and the same without the word.
    fn cases(&self) -> [Case; 2] {
        assert!(self.body.contains(self.word) && self.body.contains(self.has), "{}", self.word);
        [("with", self.body.to_owned()), ("without", self.body.replacen(self.has, self.instead, 1))].map(
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
    let steps = steps::RULES.iter().flat_map(|(_, words)| *words);
    steps.chain(faults::WORDS).chain(faults::PROFILES).chain(faults::MEASURES).chain(faults::SHARES_AND_TIMES)
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
    // A busy machine can delay an answer by as much as a fault does, so a word has five tries.
    let mut open: Vec<&Word> = all().filter(|word| !word.tests_client).collect();
    let mut wrong = String::new();
    for _ in 0..5 {
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

/// The grammar of the notation, without its fences.
fn grammar() -> String {
    let page = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../scenarios/NOTATION.md"));
    let text = std::fs::read_to_string(page).expect("the notation can be read");
    let grammar = text.split("```ebnf").nth(1).and_then(|rest| rest.split("```").next());
    grammar.expect("a grammar").to_owned()
}

/// The names of its rules.
fn rules() -> BTreeSet<String> {
    let of_line = |line: &str| line.split_once('=').map(|(name, _)| name.trim().to_owned());
    let begins = |line: &&str| line.starts_with(char::is_alphabetic);
    grammar().lines().filter(begins).filter_map(of_line).collect()
}

/// The words in quotes of a rule of the grammar.
fn terminals(rule: &str) -> BTreeSet<String> {
    let grammar = grammar();
    let begins = [" ", "="].iter().find_map(|end| grammar.find(&format!("\n{rule}{end}")));
    let begins = begins.expect("the rule");
    let ends = grammar[begins..].find(" ;").expect("its end") + begins;
    let quoted = grammar[begins..ends].split('"').skip(1).step_by(2);
    quoted.filter(|word| word.starts_with(char::is_alphabetic)).map(str::to_owned).collect()
}

/// Rules whose words no backend executes, with what becomes of them.
const ELSEWHERE: &[(&str, &str)] = &[
    ("title", "describes the cases"),
    ("reading", "describes the cases"),
    ("clauses", "describes the cases"),
    ("versions", "chooses the cases"),
    ("version", "chooses the cases"),
    ("tests", "chooses the cases"),
    ("over", "is the transport of scenarios about frames and handshakes"),
    ("needs", "chooses the cases"),
    ("seeds", "chooses the cases"),
    ("table", "chooses the cases"),
    ("broker", "starts its options"),
    ("client", "starts its options"),
    ("shows", "says what a verdict blames"),
    ("branch", "says what a verdict blames"),
    ("delivery-check", "is judged from the history"),
    ("guarantee", "is judged from the history"),
    ("step", "is counted over the seeds of a case"),
    ("timed", "begins a command or a report, which have scenarios"),
    ("duration", "is a unit: a backend has only the time"),
];

#[test]
fn every_word_of_the_grammar_has_a_scenario_here() {
    let of = |words: &[Word]| words.iter().map(|word| word.word.to_owned()).collect::<BTreeSet<_>>();
    let mut open = rules();
    for (rule, words) in steps::RULES.iter().chain(&[("fault", faults::WORDS), ("measure", faults::MEASURES)])
    {
        assert_eq!(terminals(rule), of(words), "{rule}");
        assert!(open.remove(*rule), "{rule}");
    }
    for (rule, reason) in ELSEWHERE {
        assert!(open.remove(*rule), "{rule}: {reason}");
    }
    open.retain(|rule| !terminals(rule).is_empty());
    assert_eq!(open, BTreeSet::new(), "rules without scenarios");
    let profiles: Vec<&str> = Profile::USUAL.iter().map(Profile::name).collect();
    assert_eq!(faults::PROFILES.iter().map(|word| word.word).collect::<Vec<_>>(), profiles);
}
