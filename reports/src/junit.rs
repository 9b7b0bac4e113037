//! `junit.xml`: one test case per case, for the test viewers of GitLab, Jenkins and GitHub.
//!
//! A failure that does not decide the exit code must not turn a viewer red. So a failure of level
//! SHOULD or under a contested reading is a skipped test case with the failure as its output,
//! unless the run was strict. Each test suite has the property `strict`.

use mqttspec_judge::results::{CaseResult, SuiteResult};
use mqttspec_judge::verdict::Verdict;
use quick_junit::{NonSuccessKind, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};

use crate::{Outcome, outcome, terminal};

/// The suite as JUnit XML.
///
/// # Errors
/// Those of the library. No suite can cause one: characters that XML cannot contain are left out.
pub fn report(suite: &SuiteResult) -> Result<String, SerializeError> {
    let mut report = Report::new(format!("mqttspec: {}", suite.target));
    let mut folders: Vec<(String, TestSuite)> = Vec::new();
    for case in &suite.cases {
        let folder = if case.folder().is_empty() { "scenarios" } else { case.folder() };
        let last = folders.last().is_some_and(|(name, _)| name == folder);
        if !last {
            let mut tests = TestSuite::new(folder);
            tests.add_property(("strict", if suite.strict { "true" } else { "false" }));
            folders.push((folder.to_owned(), tests));
        }
        if let Some((_, tests)) = folders.last_mut() {
            tests.add_test_case(test_case(case, folder, suite));
        }
    }
    report.add_test_suites(folders.into_iter().map(|(_, tests)| tests));
    if !suite.errors.is_empty() {
        let mut unreadable = TestSuite::new("unreadable scenario files");
        for error in &suite.errors {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
            status.set_message("cannot be read").set_description(&error.message);
            let mut test = TestCase::new(&error.file, status);
            test.set_classname("mqttspec");
            unreadable.add_test_case(test);
        }
        report.add_test_suite(unreadable);
    }
    report.to_string()
}

fn test_case(case: &CaseResult, folder: &str, suite: &SuiteResult) -> TestCase {
    let mut test = TestCase::new(name(case), status(case, suite));
    test.set_classname(format!("mqttspec.{}", folder.replace('/', ".")));
    test.extra.insert("file".into(), case.file.as_str().into());
    if let Some(took) = case.took_ms {
        test.set_time(std::time::Duration::from_millis(took));
    }
    if let Some(by) = case.put_forward_ms {
        test.add_property(("clock_put_forward_ms", by.to_string().as_str()));
    }
    if case.verdict == Verdict::Fail && !suite.counts_against(case) {
        test.set_system_out(plain(case));
    }
    test
}

/// The name without its folder: `published-when-owner-falls-silent 5.0 [row]`.
fn name(case: &CaseResult) -> String {
    let name = case.name();
    let short = name.strip_prefix(case.folder()).unwrap_or(&name).trim_start_matches('/');
    short.replacen(".mqtt ", " ", 1)
}

fn status(case: &CaseResult, suite: &SuiteResult) -> TestCaseStatus {
    let bad = |kind| {
        let mut status = TestCaseStatus::non_success(kind);
        status.set_type(format!("{} {}", case.level, Outcome::of(case)));
        let weak = case.verdict == Verdict::Fail && !case.counts_against(false);
        let because = if weak { " (it decides because of --strict)" } else { "" };
        status.set_message(format!("{}{because}", message(case))).set_description(plain(case));
        status
    };
    let skipped = |why: String| {
        let mut status = TestCaseStatus::skipped();
        status.set_message(why);
        status
    };
    match case.verdict {
        Verdict::Pass => TestCaseStatus::success(),
        Verdict::Skip => skipped(case.reason.clone()),
        Verdict::NotJudged if suite.counts_against(case) => bad(NonSuccessKind::Error),
        Verdict::NotJudged => skipped(format!("not judged: {}", case.reason)),
        Verdict::Error => bad(NonSuccessKind::Error),
        Verdict::Fail if suite.counts_against(case) => bad(NonSuccessKind::Failure),
        Verdict::Fail => skipped(format!(
            "{}{}, which does not decide the exit code: {}",
            Outcome::of(case),
            outcome::weaker(case.level),
            message(case)
        )),
    }
}

fn message(case: &CaseResult) -> String {
    case.failures.first().map_or_else(
        || case.reason.clone(),
        |failure| match &failure.finding.nearly {
            Some(nearly) => nearly.clone(),
            None => format!("expected {}; got {}", failure.finding.expected, failure.finding.actual),
        },
    )
}

/// The failure as the terminal shows it, without colours.
fn plain(case: &CaseResult) -> String {
    const WIDTH: u16 = 120;
    anstream::adapter::strip_str(&terminal::bad_case(case, WIDTH)).to_string()
}
