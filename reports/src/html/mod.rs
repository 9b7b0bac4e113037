//! `report.html`: one self-contained page for one suite or several. It loads no other files.
//!
//! A template makes the frame of the page and its figures. The page's script draws the matrix from
//! the embedded data, and a diagram when its case is opened. `page.html` is the template;
//! `page.css`, `page.js` and `detail.js` are embedded.

mod data;

use mqttspec_judge::results::{SuiteResult, Target, TargetKind};
use serde::Serialize;
use thiserror::Error;

use crate::diagram::STYLE as DIAGRAM_STYLE;
use crate::{AreaCoverage, Coverage, outcome, resilience};

/// Why the page could not be made.
#[derive(Debug, Error)]
pub enum PageError {
    /// The template does not fit its values.
    #[error("cannot fill the page: {0}")]
    Template(#[from] minijinja::Error),
    /// The data cannot be serialized as JSON.
    #[error("cannot serialize the results as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// The page for one suite or several. Each suite is a column of the matrix.
///
/// # Errors
/// [`PageError`]. No suite can cause it; it would be a bug in this crate.
pub fn page(suites: &[SuiteResult]) -> Result<String, PageError> {
    let data = serde_json::to_string(&data::Data::of(suites))?;
    let context = Context {
        targets: suites.iter().enumerate().map(|(index, suite)| Head::of(index, suite)).collect(),
        load: (resilience::HEADING, resilience::LEGEND, resilience::COLUMNS),
        many: suites.len() > 1,
        good: suites.iter().all(|suite| suite.exit_code() == 0),
        word: match suites {
            [suite] => outcome::sentence(suite).to_owned(),
            suites => format!("{} targets beside each other", suites.len()),
        },
        style: [include_str!("page.css"), DIAGRAM_STYLE].concat(),
        script: [include_str!("detail.js"), include_str!("page.js")].concat(),
        // In JSON, `<` occurs only inside strings. Escaped there, it cannot end the script element.
        data: data.replace('<', "\\u003c"),
    };
    let mut environment = minijinja::Environment::new();
    environment.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
    environment.add_template("page.html", include_str!("page.html"))?;
    Ok(environment
        .get_template("page.html")?
        .render(minijinja::Value::from(minijinja::value::Serde(&context)))?)
}

/// The values of the template.
#[derive(Serialize)]
struct Context {
    targets: Vec<Head>,
    /// The resilience table's heading, legend and columns.
    load: (&'static str, &'static str, [&'static str; 14]),
    many: bool,
    good: bool,
    word: String,
    style: String,
    script: String,
    data: String,
}

/// The figures of one target.
#[derive(Serialize)]
struct Head {
    letter: String,
    name: String,
    about: String,
    good: bool,
    word: &'static str,
    passed: u32,
    failed: u32,
    skipped: u32,
    not_judged: u32,
    errors: u32,
    total: u32,
    parts: Vec<Part>,
    shares: Vec<Share>,
    notes: Vec<String>,
    capabilities: Vec<(String, String)>,
    output: Vec<String>,
    unreadable: Vec<Unreadable>,
    endured: Vec<LoadRow>,
}

/// A row of the resilience table.
#[derive(Serialize)]
struct LoadRow {
    word: &'static str,
    cells: [String; 14],
}

/// A part of the bar of verdicts.
#[derive(Serialize)]
struct Part {
    class: &'static str,
    count: u32,
}

/// The share of one version of the standard that was shown.
#[derive(Serialize)]
struct Share {
    version: String,
    total: usize,
    shown: usize,
    shown_percent: usize,
    failed: usize,
    failed_percent: usize,
    not_judged: usize,
    not_shown: usize,
    unobservable: usize,
}

/// A scenario file that could not be read.
#[derive(Serialize)]
struct Unreadable {
    file: String,
    message: String,
}

impl Head {
    fn of(index: usize, suite: &SuiteResult) -> Self {
        let tally = suite.tally();
        let parts = [
            ("pass", tally.passed),
            ("fail", tally.failed),
            ("error", tally.errors),
            ("not-judged", tally.not_judged),
            ("skip", tally.skipped),
        ];
        Self {
            letter: data::letter(index),
            name: suite.target.name.clone(),
            about: about(&suite.target, suite),
            good: suite.exit_code() == 0,
            word: outcome::sentence(suite),
            passed: tally.passed,
            failed: tally.failed,
            skipped: tally.skipped,
            not_judged: tally.not_judged,
            errors: tally.errors,
            total: tally.total(),
            parts: parts
                .into_iter()
                .filter(|(_, count)| *count > 0)
                .map(|(class, count)| Part { class, count })
                .collect(),
            shares: Coverage::of(suite).iter().map(Share::of).collect(),
            notes: suite.notes.clone(),
            capabilities: suite.target.capabilities.clone(),
            output: suite.target.output.clone(),
            unreadable: suite
                .errors
                .iter()
                .map(|error| Unreadable { file: error.file.clone(), message: error.message.clone() })
                .collect(),
            endured: resilience::rows(suite)
                .into_iter()
                .map(|row| LoadRow { word: row.outcome.word(), cells: row.cells })
                .collect(),
        }
    }
}

impl Share {
    fn of(coverage: &Coverage) -> Self {
        let AreaCoverage {
            total,
            shown,
            failed,
            contested,
            skipped,
            not_judged,
            unobservable,
            not_shown,
            ..
        } = coverage.all;
        let percent = |count: usize| (count * 100).checked_div(total).unwrap_or(0);
        Self {
            version: coverage.version.clone(),
            total,
            shown,
            shown_percent: percent(shown),
            failed: failed + contested,
            failed_percent: percent(failed + contested),
            not_judged,
            not_shown: not_shown + skipped,
            unobservable,
        }
    }
}

fn about(target: &Target, suite: &SuiteResult) -> String {
    let runs: u64 = suite.cases.iter().map(|case| u64::from(case.runs)).sum();
    let place = match (target.kind, &target.url) {
        (TargetKind::Simulated | TargetKind::Hosted, _) => "simulated".to_owned(),
        (TargetKind::Latitude, _) => "simulated, with latitude".to_owned(),
        (TargetKind::Live, Some(url)) => format!("live at {url}"),
        (TargetKind::Live, None) => "live".to_owned(),
    };
    let tolerance =
        target.tolerance_ms.map_or_else(String::new, |tolerance| format!(", tolerance {tolerance} ms"));
    format!("{place}, seed {}, {runs} runs{tolerance}", suite.seed)
}
