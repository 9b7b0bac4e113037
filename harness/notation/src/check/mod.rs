//! The rules that need the whole scenario: clauses that exist, hosts that act, captures with a
//! value, lines that a role may send, at least one assertion. A scenario that violates one of them
//! would always pass, or never.

mod blocks;
mod captures;
mod clauses;
mod header;
mod hosts;
mod lines;
mod scram;
mod shows;

pub use clauses::{CatalogueClauses, ClauseLookup};
pub use header::{LATER_USERS, STORE};

use super::diagnostics::{Diagnostic, Diagnostics};
use super::parse::parse_leniently;
use super::{Direction, Roles, Scenario, Span, Step, StepKind, Version, VersionMark};

/// Parses a file and checks it. The [`Diagnostics`] in the result are warnings.
///
/// # Errors
/// All mistakes in the file.
pub fn read(
    file: &str,
    source: &str,
    clauses: &dyn ClauseLookup,
) -> Result<(Scenario, Diagnostics), Diagnostics> {
    let (scenario, mut diagnostics) = parse_leniently(file, source);
    if diagnostics.has_errors() {
        // Lines that could not be parsed would cause further errors; only the clauses do not depend
        // on them.
        let mut checker = Checker::new(&scenario);
        checker.clauses(clauses);
        diagnostics.extend(checker.found);
    } else {
        diagnostics.extend(check(&scenario, clauses));
    }
    if diagnostics.has_errors() { Err(diagnostics) } else { Ok((scenario, diagnostics)) }
}

/// Checks a scenario. The parser has reported other mistakes.
#[must_use]
pub fn check(scenario: &Scenario, clauses: &dyn ClauseLookup) -> Vec<Diagnostic> {
    let mut checker = Checker::new(scenario);
    checker.clauses(clauses);
    checker.some_clause();
    checker.header();
    checker.hosts();
    checker.lines();
    checker.scram();
    checker.captures();
    checker.blocks();
    checker.shows();
    checker.found.sort_by_key(|diagnostic| diagnostic.span.start);
    // A table cell that several lines use is reported once.
    checker.found.dedup_by(|left, right| left == right && left.span.start == right.span.start);
    checker.found
}

struct Checker<'a> {
    scenario: &'a Scenario,
    found: Vec<Diagnostic>,
}

impl<'a> Checker<'a> {
    fn new(scenario: &'a Scenario) -> Self {
        Self { scenario, found: Vec::new() }
    }

    fn error(&mut self, span: Span, message: impl Into<String>) -> &mut Diagnostic {
        self.add(Diagnostic::error(span, message))
    }

    fn warning(&mut self, span: Span, message: impl Into<String>) -> &mut Diagnostic {
        self.add(Diagnostic::warning(span, message))
    }

    fn add(&mut self, diagnostic: Diagnostic) -> &mut Diagnostic {
        self.found.push(diagnostic);
        let last = self.found.len() - 1;
        &mut self.found[last]
    }

    /// Whether the harness sends in this direction, in one of its roles in the scenario.
    fn is_sent(&self, direction: Direction) -> bool {
        match self.scenario.tests {
            Roles::Server => direction == Direction::ToServer,
            Roles::Client => direction == Direction::ToClient,
            Roles::Both => true,
        }
    }

    /// Whether the harness receives in this direction, in one of its roles in the scenario.
    fn is_expected(&self, direction: Direction) -> bool {
        match self.scenario.tests {
            Roles::Server => direction == Direction::ToClient,
            Roles::Client => direction == Direction::ToServer,
            Roles::Both => true,
        }
    }

    /// Calls `visit` for every step, with the versions to which it applies.
    fn visit(&mut self, visit: &mut dyn FnMut(&mut Self, &'a Step, &[Version])) {
        let scenario = self.scenario;
        self.visit_steps(&scenario.steps, &scenario.versions, visit);
    }

    fn visit_steps(
        &mut self,
        steps: &'a [Step],
        versions: &[Version],
        visit: &mut dyn FnMut(&mut Self, &'a Step, &[Version]),
    ) {
        for step in steps {
            let versions = narrowed(versions, &step.versions);
            visit(self, step, &versions);
            for block in inner(step) {
                self.visit_steps(block, &versions, visit);
            }
        }
    }

    /// The versions in both `versions` and a mark. There must be at least one.
    fn marked(&mut self, span: Span, versions: &[Version], mark: &VersionMark) -> Vec<Version> {
        let left = narrowed(versions, mark);
        if left.is_empty() && !versions.is_empty() {
            let known: Vec<String> = versions.iter().map(ToString::to_string).collect();
            let error = self.error(span, "this never applies: the mark leaves no version");
            error.label = format!("the line applies to MQTT {}", known.join(" and "));
        }
        left
    }
}

/// The versions to which a mark applies.
fn narrowed(versions: &[Version], mark: &VersionMark) -> Vec<Version> {
    versions.iter().copied().filter(|version| mark.applies_to(*version)).collect()
}

/// The blocks of a step.
fn inner(step: &Step) -> Vec<&[Step]> {
    match &step.kind {
        StepKind::InAnyOrder(steps) | StepKind::EachRow(steps) | StepKind::Repeat { steps, .. } => {
            vec![steps]
        }
        StepKind::Either(branches) => branches.iter().map(|branch| branch.steps.as_slice()).collect(),
        _ => Vec::new(),
    }
}
