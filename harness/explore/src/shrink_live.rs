//! Makes a scenario short that fails on a live broker.
//!
//! Many candidates run at the same time, because a live run mostly waits. A round tries all single
//! edits of the best scenario. The next round tries those that keep the finding, all together or in
//! parts.

use std::time::Duration;

use mqttspec_notation::{self as notation, Scenario, Step, StepKind, Time, Timing};

use crate::run::{FILE, case_of};
use crate::shape::Shape;
use crate::shrink::{fields_of, is_of, simpler, with_clauses};

/// One change of a scenario.
#[derive(Clone, Debug)]
enum Edit {
    RemoveStep(usize),
    RemoveClient(usize),
    RemoveOption { client: usize, option: usize },
    RemoveField { step: usize, field: usize },
    Replace { step: usize, by: Box<Step> },
}

/// Why shrinking has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Nothing is left to try.
    Shrunk,
    /// The time is over.
    Late,
    /// The campaign was stopped.
    Stopped,
}

impl End {
    /// How a shrunk scenario failed in its repetitions, which are not made after a stop.
    pub(crate) fn words(self, fails: usize, repetitions: usize) -> String {
        match self {
            Self::Shrunk => format!("in {fails} of {repetitions} runs"),
            Self::Late => format!("in {fails} of {repetitions} runs; not shrunk to its end"),
            Self::Stopped => "stopped before it was shrunk to its end".to_owned(),
        }
    }
}

/// What the candidates of a round are.
enum Round {
    /// The first steps only, and without the delivery checks.
    Begins(Vec<Scenario>),
    /// Single edits.
    Edits(Vec<Edit>),
    /// Several edits together.
    Together(Vec<Vec<Edit>>),
}

/// The kinds of edits, in the order in which they are tried.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Steps,
    Values,
}

/// A wait in place of a step.
const SHORT_WAIT: Duration = Duration::from_millis(100);

/// A scenario that is being shrunk.
pub(crate) struct Shrinking {
    best: Scenario,
    round: Option<Round>,
    kind: Kind,
    /// The number of runs that are left.
    left: usize,
}

/// In how many parts the steps are divided to find where the finding is complete.
const PARTS: usize = 8;

impl Shrinking {
    /// `None` if the text is no scenario.
    pub(crate) fn new(text: &str, shape: &Shape, runs: u32) -> Option<Self> {
        let best = notation::parse(FILE, text).ok()?;
        let only_finding = with_clauses(best.clone(), &shape.clauses);
        let count = only_finding.steps.len();
        let begin = |part: usize| {
            let mut candidate = only_finding.clone();
            // The last step shows the clauses.
            let last = candidate.steps.pop();
            candidate.steps.truncate(count * part / PARTS);
            candidate.steps.extend(last);
            candidate
        };
        let begins: Vec<Scenario> = (1..PARTS).map(begin).chain([only_finding.clone()]).collect();
        let left = usize::try_from(runs).unwrap_or(usize::MAX);
        Some(Self { best, round: Some(Round::Begins(begins)), kind: Kind::Steps, left })
    }

    /// The scenarios to try now; empty if nothing is left to do.
    pub(crate) fn candidates(&mut self) -> Vec<String> {
        let candidates: Vec<Scenario> = match &self.round {
            None => Vec::new(),
            Some(Round::Begins(scenarios)) => scenarios.clone(),
            Some(Round::Edits(edits)) => {
                edits.iter().map(|edit| edited(&self.best, std::slice::from_ref(edit))).collect()
            }
            Some(Round::Together(sets)) => sets.iter().map(|edits| edited(&self.best, edits)).collect(),
        };
        if candidates.len() > self.left {
            self.round = None;
            return Vec::new();
        }
        self.left -= candidates.len();
        candidates.iter().map(notation::print).collect()
    }

    /// Takes note of which candidates show the finding.
    pub(crate) fn learn(&mut self, shown: &[bool]) {
        match self.round.take() {
            None => {}
            Some(Round::Begins(scenarios)) => {
                // The shortest comes first.
                if let Some((best, _)) = scenarios.into_iter().zip(shown).find(|(_, shown)| **shown) {
                    self.best = best;
                }
                self.begin(Kind::Steps);
            }
            Some(Round::Edits(edits)) => {
                let good: Vec<Edit> =
                    edits.into_iter().zip(shown).filter(|(_, shown)| **shown).map(|(edit, _)| edit).collect();
                match (good.len(), self.kind) {
                    (0, Kind::Steps) => self.begin(Kind::Values),
                    (0, Kind::Values) => {}
                    (1, _) => self.apply(&good),
                    _ => self.round = Some(Round::Together(parts(&good))),
                }
            }
            Some(Round::Together(sets)) => {
                let largest = sets
                    .iter()
                    .zip(shown)
                    .filter(|(_, shown)| **shown)
                    .map(|(edits, _)| edits)
                    .max_by_key(|edits| edits.len());
                // A single edit was tried before.
                let edits = largest.or(sets.last()).cloned().unwrap_or_default();
                self.apply(&edits);
            }
        }
    }

    /// The best scenario so far.
    pub(crate) fn text(&self) -> String {
        notation::print(&self.best)
    }

    /// The best scenario so far, with this title.
    pub(crate) fn titled(self, title: String) -> String {
        notation::print(&Scenario { title, header_comments: Vec::new(), ..self.best })
    }

    fn apply(&mut self, edits: &[Edit]) {
        self.best = edited(&self.best, edits);
        self.begin(Kind::Steps);
    }

    fn begin(&mut self, kind: Kind) {
        self.kind = kind;
        let edits = match kind {
            Kind::Steps => removals(&self.best),
            Kind::Values => simplifications(&self.best),
        };
        // The last step shows the clauses, so a scenario of a few lines has no valid removal.
        let is_valid =
            |edit: &Edit| case_of(&notation::print(&edited(&self.best, std::slice::from_ref(edit)))).is_ok();
        let edits: Vec<Edit> = edits.into_iter().filter(is_valid).collect();
        if edits.is_empty() && kind == Kind::Steps {
            return self.begin(Kind::Values);
        }
        self.round = (!edits.is_empty()).then_some(Round::Edits(edits));
    }
}

/// Shrinks several scenarios at the same time. `try_all` gets the candidates of a round, each with the
/// number of its scenario, and returns which of them show what they must; `None` ends it.
pub(crate) fn shrink_together(
    shrinking: &mut [Option<Shrinking>],
    mut try_all: impl FnMut(&[(usize, String)]) -> Option<Vec<bool>>,
) {
    loop {
        let (mut candidates, mut counts) = (Vec::new(), Vec::new());
        for (number, one) in shrinking.iter_mut().enumerate() {
            let of_one = one.as_mut().map_or_else(Vec::new, Shrinking::candidates);
            counts.push(of_one.len());
            candidates.extend(of_one.into_iter().map(|text| (number, text)));
        }
        if candidates.is_empty() {
            return;
        }
        let Some(shown) = try_all(&candidates) else { return };
        let mut rest = &shown[..];
        for (one, count) in shrinking.iter_mut().zip(counts) {
            let (of_one, others) = rest.split_at(count);
            rest = others;
            if let Some(one) = one {
                one.learn(of_one);
            }
        }
    }
}

/// All edits, halves and quarters of them, and the first one.
fn parts(edits: &[Edit]) -> Vec<Vec<Edit>> {
    let mut sets = vec![edits.to_vec()];
    for count in [2, 4] {
        let size = edits.len().div_ceil(count).max(2);
        sets.extend(edits.chunks(size).filter(|set| set.len() < edits.len()).map(<[Edit]>::to_vec));
    }
    sets.extend(edits.first().map(|edit| vec![edit.clone()]));
    sets
}

fn removals(scenario: &Scenario) -> Vec<Edit> {
    let steps = (0..scenario.steps.len().saturating_sub(1)).map(Edit::RemoveStep);
    steps.chain((0..scenario.clients.len()).map(Edit::RemoveClient)).collect()
}

fn simplifications(scenario: &Scenario) -> Vec<Edit> {
    let mut edits = Vec::new();
    for (client, line) in scenario.clients.iter().enumerate() {
        edits.extend((0..line.options.len()).map(|option| Edit::RemoveOption { client, option }));
    }
    let last = scenario.steps.len().saturating_sub(1);
    for (step, of) in scenario.steps.iter().enumerate() {
        if step < last && !matches!(of.kind, StepKind::Wait(_)) {
            // It may only take time.
            let kind = StepKind::Wait(Time::everywhere(SHORT_WAIT));
            let by = Box::new(Step { kind, timing: Timing::Usual, ..of.clone() });
            edits.push(Edit::Replace { step, by });
        }
        edits.extend(simpler(of).into_iter().map(|by| Edit::Replace { step, by: Box::new(by) }));
        let fields = fields_of(&mut of.clone()).map_or(0, |fields| fields.len());
        edits.extend((0..fields).map(|field| Edit::RemoveField { step, field }));
    }
    edits
}

/// The scenario with these edits. Of two edits of one step or value, only the first counts.
fn edited(scenario: &Scenario, edits: &[Edit]) -> Scenario {
    let mut edited = scenario.clone();
    let (mut steps, mut clients, mut fields, mut options) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut replaced = Vec::new();
    for edit in edits {
        match edit {
            Edit::RemoveStep(step) => steps.push(*step),
            Edit::RemoveClient(client) => clients.push(*client),
            Edit::RemoveOption { client, option } => options.push((*client, *option)),
            Edit::RemoveField { step, field } => fields.push((*step, *field)),
            Edit::Replace { step, by } => {
                if !replaced.contains(step) {
                    replaced.push(*step);
                    edited.steps[*step] = (**by).clone();
                }
            }
        }
    }
    // From the last to the first: a removal changes the numbers of what comes after it.
    for list in [&mut fields, &mut options] {
        list.sort_unstable();
        list.reverse();
    }
    for (step, field) in fields.into_iter().filter(|(step, _)| !replaced.contains(step)) {
        if let Some(fields) = fields_of(&mut edited.steps[step]) {
            fields.remove(field);
        }
    }
    for (client, option) in options {
        edited.clients[client].options.remove(option);
    }
    let names: Vec<String> = clients
        .iter()
        .flat_map(|client| &edited.clients[*client].names)
        .flat_map(notation::HostName::expand)
        .collect();
    let mut number = 0;
    edited.steps.retain(|step| {
        number += 1;
        !steps.contains(&(number - 1)) && !names.iter().any(|name| is_of(step, name))
    });
    let mut number = 0;
    edited.clients.retain(|_| {
        number += 1;
        !clients.contains(&(number - 1))
    });
    edited
}

/// The file with a title, the clauses, and where and how it fails.
pub(crate) fn described(shrinking: Shrinking, shape: &Shape, target: &str, fails: &str) -> String {
    let mut scenario = shrinking.best;
    scenario.header_comments.clear();
    scenario.title = format!("{} expects {}", shape.check, shape.expected).replace('#', "").trim().to_owned();
    scenario.comments_below.push(format!("fails: {}: {}", shape.check, shape.clauses.join(" ")));
    scenario.comments_below.push(format!("on {target}; {fails}"));
    notation::print(&scenario)
}

/// A scenario with a comment at its end.
pub(crate) fn marked(text: &str, comment: &str) -> String {
    let Ok(mut scenario) = notation::parse(FILE, text) else { return text.to_owned() };
    scenario.comments_below.push(comment.to_owned());
    notation::print(&scenario)
}

#[cfg(test)]
mod tests {
    use mqttspec_codec::Version;

    use super::*;

    const TEXT: &str = "title    A run\nclauses  MQTT-4.3.1-1\nversions 5\n\
        client   a reference keep_alive=5\nclient   b reference\n\n\
        ask a subscribe t qos=1\nwait 2s\nask b publish t \"one\" qos=1\nask b publish u \"two\" retain\n\
        cut a\nwait 1s\nnothing more shows MQTT-4.3.1-1\n";

    /// Shrinks a scenario that fails if its text has these words.
    fn shrunk(words: &[&str], runs: u32) -> String {
        let shape = Shape {
            version: Version::V5.to_string(),
            check: "the monitor `test`".to_owned(),
            clauses: vec!["MQTT-3.3.4-9".to_owned()],
            expected: "nothing".to_owned(),
        };
        let mut shrinking = Shrinking::new(TEXT, &shape, runs).expect("a scenario");
        loop {
            let candidates = shrinking.candidates();
            if candidates.is_empty() {
                return described(shrinking, &shape, "test", &End::Shrunk.words(3, 3));
            }
            let fails = |text: &String| words.iter().all(|word| text.contains(word));
            shrinking.learn(&candidates.iter().map(fails).collect::<Vec<_>>());
        }
    }

    #[test]
    fn only_what_fails_is_left() {
        let body = |text: &str| text.split_once("\n\n").map(|(_, body)| body.to_owned());
        let one = body(&shrunk(&["publish u"], 300)).expect("a body");
        assert!(one.starts_with("ask b publish u \"two\"\nnothing more shows MQTT-3.3.4-9\n"), "{one}");
        let two = body(&shrunk(&["subscribe t", "cut a"], 300)).expect("a body");
        assert!(two.starts_with("ask a subscribe t\ncut a\nnothing more"), "{two}");
    }

    #[test]
    fn what_was_shrunk_is_kept_when_the_time_is_over() {
        let shape = Shape {
            version: Version::V5.to_string(),
            check: "the monitor `test`".to_owned(),
            clauses: vec!["MQTT-3.3.4-9".to_owned()],
            expected: "nothing".to_owned(),
        };
        let mut shrinking = [Shrinking::new(TEXT, &shape, 300)];
        let mut rounds = 0;
        shrink_together(&mut shrinking, |candidates| {
            rounds += 1;
            (rounds < 4).then(|| candidates.iter().map(|(_, text)| text.contains("publish u")).collect())
        });
        let [Some(shrinking)] = shrinking else { panic!("a scenario") };
        let text = described(shrinking, &shape, "test", &End::Late.words(3, 3));
        assert!(text.contains("publish u") && text.lines().count() < TEXT.lines().count(), "{text}");
        assert!(text.ends_with("# on test; in 3 of 3 runs; not shrunk to its end\n"), "{text}");
    }

    #[test]
    fn a_marked_scenario_is_still_one() {
        let text = marked(TEXT, "on test; not shrunk yet");
        assert!(text.ends_with("# on test; not shrunk yet\n"), "{text}");
        assert!(case_of(&text).is_ok(), "{text}");
    }

    #[test]
    fn the_number_of_runs_is_bounded() {
        assert!(shrunk(&["publish u"], 3).contains("ask a subscribe t qos=1"));
    }
}
