//! A generated scenario as a case, and the shapes of what its run shows.

use std::collections::BTreeMap;

use mqttspec_codec::Version;
use mqttspec_judge::Case;
use mqttspec_judge::results::RunResult;
use mqttspec_judge::verdict::Verdict;
use mqttspec_runner::suite::{Selection, Source, plan};

use crate::shape::Shape;

/// The name under which generated scenarios run. It is no part of their seeds.
pub(crate) const FILE: &str = "generated.mqtt";

/// The shapes of the findings of a run, with what was expected and what happened.
pub(crate) fn shapes(result: &RunResult, version: Version) -> BTreeMap<Shape, (String, String)> {
    let mut shapes = BTreeMap::new();
    for finding in result.failures.iter().map(|reported| &reported.finding) {
        let texts = (finding.expected.clone(), finding.actual.clone());
        shapes.entry(Shape::of(finding, version)).or_insert(texts);
    }
    if result.verdict == Verdict::Error {
        let texts = ("the run comes to its end".to_owned(), result.reason.clone());
        shapes.insert(Shape::of_error(&result.reason, version), texts);
    }
    shapes
}

/// The one case of a generated or shrunk scenario.
pub(crate) fn case_of(text: &str) -> Result<Case, String> {
    let source = Source { file: FILE.to_owned(), text: text.to_owned() };
    let plan = plan(&[source], &Selection::default());
    let error = plan.errors.first().map(|error| error.message.clone());
    let case = plan.cases.into_iter().next().map(|case| Case { of_suite: false, ..case });
    case.ok_or_else(|| error.unwrap_or_else(|| "the scenario has no case".to_owned()))
}
