//! The claims of a case: the expected lines that show clauses. Every other expected line is set-up.
//!
//! A failed claim violates its own clauses and no others. A failed set-up line says nothing about a
//! clause: the case is then *not judged*.

use std::collections::BTreeSet;
use std::rc::Rc;

use mqttspec_notation::{Branch, Content, Guarantee, Property, Shows, Span, Step, StepKind};
use mqttspec_spec::Requirement;

use crate::Case;

/// The clauses that a line shows; empty for set-up.
pub type Shown = Rc<[Requirement]>;

/// The lines of a case that expect or send something, with the clauses that they show.
#[derive(Clone, Debug)]
pub struct Claims {
    lines: Vec<Line>,
    none: Shown,
}

/// A line that is not a block.
#[derive(Clone, Debug)]
struct Line {
    span: Span,
    /// The line's host; `None` for a delivery check of all hosts.
    host: Option<String>,
    /// Whether the peer under test can make it fail.
    expects: bool,
    shown: Shown,
    /// Whether it is a `nothing more`.
    nothing_more: bool,
    /// The branches that contain it, outermost first: where the `either` begins, and the index of
    /// the branch.
    branches: Vec<(usize, usize)>,
}

impl Claims {
    /// The claims of the lines that apply to the case's version.
    #[must_use]
    pub fn of(case: &Case) -> Self {
        let mut reader = Reader { case, lines: Vec::new(), branches: Vec::new() };
        // Without any `shows` in the file, every line is a claim of all its clauses: no failure may
        // be taken for set-up.
        let all = (!case.scenario.marks_claims()).then_some(&Shows::All);
        reader.steps(&case.scenario.steps, all);
        Self { lines: reader.lines, none: Rc::from(Vec::new()) }
    }

    /// The clauses of the line that begins here. A line that only sends can fail too, if its host
    /// has no connection. The host's next expecting line would fail for the same reason, so the
    /// failure counts as that line's.
    #[must_use]
    pub fn at(&self, span: Span) -> Shown {
        let found = self.lines.binary_search_by_key(&span.start, |line| line.span.start);
        let Some((place, line)) = found.ok().map(|place| (place, &self.lines[place])) else {
            return self.none.clone();
        };
        if line.expects {
            return line.shown.clone();
        }
        let next = self.lines[place + 1..].iter().find(|next| {
            next.expects && next.host == line.host && !is_elsewhere(&next.branches, &line.branches)
        });
        let Some(next) = next else { return self.none.clone() };
        match next.branches.iter().find(|branch| !line.branches.contains(branch)) {
            Some((either, _)) => common(&self.beginnings(*either)),
            None => next.shown.clone(),
        }
    }

    /// The clauses that an unexpected packet or message of `host` violates: those of its `nothing
    /// more`.
    #[must_use]
    pub fn nothing_more(&self, host: &str) -> Shown {
        let of_host = |line: &&Line| line.nothing_more && line.host.as_deref().is_none_or(|of| of == host);
        let shown: Vec<Shown> = self.lines.iter().filter(of_host).map(|line| line.shown.clone()).collect();
        common(&shown)
    }

    /// The clauses of all lines of a branch.
    #[must_use]
    pub fn of_branch(&self, branch: &Branch) -> Shown {
        let Some((first, last)) = branch.steps.first().zip(branch.steps.last()) else {
            return self.none.clone();
        };
        let within = |line: &&Line| (first.span.start..=end(last)).contains(&line.span.start);
        all(self.lines.iter().filter(within).map(|line| &line.shown))
    }

    /// The clauses that a run has shown. `passed` has the offsets of the lines that passed. If the
    /// run stopped early, at offset `stopped`, the clauses of all later lines are still open.
    #[must_use]
    pub fn shown(&self, passed: &BTreeSet<usize>, stopped: Option<usize>) -> BTreeSet<String> {
        let ids = |lines: &mut dyn Iterator<Item = &Line>| -> BTreeSet<String> {
            lines.flat_map(|line| line.shown.iter()).map(|shown| shown.clause.clone()).collect()
        };
        let is_later = |line: &&Line| stopped.is_some_and(|stopped| line.span.start > stopped);
        let open = ids(&mut self.lines.iter().filter(is_later));
        let passed = ids(&mut self.lines.iter().filter(|line| passed.contains(&line.span.start)));
        passed.difference(&open).cloned().collect()
    }

    /// The clauses of the first line of each branch of an `either`.
    fn beginnings(&self, either: usize) -> Vec<Shown> {
        let mut seen = BTreeSet::new();
        let mut first = Vec::new();
        for line in &self.lines {
            if let Some((_, branch)) = line.branches.iter().find(|(of, _)| *of == either)
                && seen.insert(*branch)
            {
                first.push(line.shown.clone());
            }
        }
        first
    }
}

/// What is broken if none of several alternatives is met: the clauses that all of them show, or if
/// they have none in common, those that any of them shows.
#[must_use]
pub fn common(alternatives: &[Shown]) -> Shown {
    let any = all(alternatives.iter());
    let in_all = |shown: &&Requirement| alternatives.iter().all(|line| line.contains(shown));
    let common: Vec<Requirement> = any.iter().filter(in_all).cloned().collect();
    if common.is_empty() { any } else { common.into() }
}

/// The clauses that any of several lines shows, each once.
#[must_use]
pub fn all<'a>(lines: impl Iterator<Item = &'a Shown>) -> Shown {
    let mut together: Vec<Requirement> = Vec::new();
    for shown in lines.flat_map(|line| line.iter()) {
        if !together.contains(shown) {
            together.push(shown.clone());
        }
    }
    together.into()
}

/// Whether both are in one `either`, in different branches of it.
fn is_elsewhere(one: &[(usize, usize)], other: &[(usize, usize)]) -> bool {
    one.iter().any(|(either, branch)| other.iter().any(|(of, another)| of == either && another != branch))
}

/// The offset at which the last line of a step begins.
fn end(step: &Step) -> usize {
    let last = match &step.kind {
        StepKind::InAnyOrder(steps) | StepKind::EachRow(steps) | StepKind::Repeat { steps, .. } => {
            steps.last()
        }
        StepKind::Either(branches) => branches.last().and_then(|branch| branch.steps.last()),
        _ => None,
    };
    last.map_or(step.span.start, end)
}

struct Reader<'c> {
    case: &'c Case,
    lines: Vec<Line>,
    branches: Vec<(usize, usize)>,
}

impl Reader<'_> {
    fn steps(&mut self, steps: &[Step], inherited: Option<&Shows>) {
        for step in steps.iter().filter(|step| step.versions.applies_to(self.case.version)) {
            let shows = step.shows.as_ref().or(inherited);
            match &step.kind {
                StepKind::InAnyOrder(steps) | StepKind::EachRow(steps) | StepKind::Repeat { steps, .. } => {
                    self.steps(steps, shows);
                }
                StepKind::Either(branches) => {
                    for (index, branch) in branches.iter().enumerate() {
                        self.branches.push((step.span.start, index));
                        self.steps(&branch.steps, branch.shows.as_ref().or(shows));
                        self.branches.pop();
                    }
                }
                _ => self.line(step, shows),
            }
        }
    }

    fn line(&mut self, step: &Step, shows: Option<&Shows>) {
        let (host, expects) = match &step.kind {
            StepKind::Line { host, direction, content } => {
                let expected = direction.is_expected(self.case.tests);
                (Some(host), expected && !matches!(content, Content::Anything))
            }
            StepKind::Verb { host, action } => (Some(host), action.expects()),
            StepKind::Told { host, .. } => (Some(host), true),
            StepKind::Property(property) => (property.host.as_ref(), true),
            _ => return,
        };
        let shown = match shows.filter(|_| expects) {
            Some(shows) => self.case.shown_by(shows),
            None => Vec::new(),
        };
        self.lines.push(Line {
            span: step.span,
            host: host.cloned(),
            expects,
            shown: shown.into(),
            nothing_more: is_nothing_more(&step.kind),
            branches: self.branches.clone(),
        });
    }
}

fn is_nothing_more(kind: &StepKind) -> bool {
    let asks = |property: &Property| property.guarantees.contains(&Guarantee::NothingMore);
    matches!(kind, StepKind::Property(property) if asks(property))
}

#[cfg(test)]
mod tests;
