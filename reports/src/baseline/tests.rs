//! Comparison of runs with a list, and rewriting of the list.

use mqttspec_judge::results::{CaseResult, FORMAT, SuiteResult, Target, TargetKind};
use mqttspec_judge::verdict::Verdict;
use mqttspec_spec::Level;

use super::{Baseline, BaselineError};

const LIST: &str = "\
[[known]]
case = \"wills/one.mqtt 5.0\"
verdict = \"fail\"
reason = \"issue 17: \\\"later\\\"\"

[[known]]
case = \"wills/two.mqtt 5.0 client [row]\"
verdict = \"error\"
";

#[test]
fn a_listed_failure_is_as_expected() {
    let difference =
        compare(&[case("wills/one.mqtt", Verdict::Fail), case("wills/else.mqtt", Verdict::Pass)]);
    assert!(difference.is_empty());
    assert_eq!((difference.as_listed, difference.not_run), (1, 1));
    assert_eq!(difference.text(), "as expected: 1 known failure, 1 listed and not run\n");
}

#[test]
fn an_unlisted_failure_is_a_difference() {
    let difference = compare(&[case("wills/new.mqtt", Verdict::Fail)]);
    assert_eq!(difference.unlisted, [("wills/new.mqtt 5.0".to_owned(), Verdict::Fail)]);
    assert!(difference.text().contains("+ fail   wills/new.mqtt 5.0  is not listed"));
}

#[test]
fn a_listed_case_that_passes_is_a_difference() {
    let difference = compare(&[case("wills/one.mqtt", Verdict::Pass)]);
    assert!(!difference.is_empty());
    assert!(difference.text().contains("passes now (was known: issue 17: \"later\")"));
}

#[test]
fn an_error_is_not_the_failure_that_is_known() {
    let difference = compare(&[case("wills/one.mqtt", Verdict::Error)]);
    assert_eq!(difference.otherwise, [("wills/one.mqtt 5.0".to_owned(), Verdict::Fail, Verdict::Error)]);
    assert!(!difference.is_empty());
}

#[test]
fn a_skipped_case_is_reported_and_is_no_difference() {
    let difference = compare(&[case("wills/one.mqtt", Verdict::Skip)]);
    assert!(difference.is_empty());
    assert!(difference.text().contains("skip"));
}

#[test]
fn weak_failures_need_no_entry_unless_strict() {
    let weak = CaseResult { level: Level::Should, ..case("wills/weak.mqtt", Verdict::Fail) };
    let contested = CaseResult { reading: Some("ours".into()), ..case("wills/read.mqtt", Verdict::Fail) };
    let usual = suite(&[weak, contested]);
    assert!(Baseline::default().compare(&usual).is_empty());
    let strict = SuiteResult { strict: true, ..usual };
    assert_eq!(Baseline::default().compare(&strict).unlisted.len(), 2);
}

#[test]
fn a_list_knows_a_client_from_a_server() {
    let client = CaseResult {
        row: Some("row".into()),
        tests: "client".into(),
        both_sides: true,
        ..case("wills/two.mqtt", Verdict::Error)
    };
    assert!(compare(std::slice::from_ref(&client)).is_empty());
    let server = CaseResult { tests: "server".into(), ..client };
    assert!(!compare(&[server]).is_empty());
}

#[test]
fn rewriting_keeps_reasons_and_cases_that_were_not_run() {
    let list = Baseline::read(LIST).unwrap();
    let suite = suite(&[case("wills/one.mqtt", Verdict::Error), case("wills/new.mqtt", Verdict::Fail)]);
    let rewritten = list.rewritten(&suite);
    let again = Baseline::read(&rewritten.text()).unwrap();
    assert_eq!(again, rewritten);
    assert!(again.compare(&suite).is_empty());
    assert_eq!(again.len(), 3, "the case that was not run is still there");
    assert!(
        again.text().contains("issue 17: \\\"later\\\"") || again.text().contains("'issue 17: \"later\"'")
    );
    let passes = self::suite(&[case("wills/one.mqtt", Verdict::Pass)]);
    assert_eq!(again.rewritten(&passes).len(), 2);
}

#[test]
fn a_case_that_is_not_judged_is_reported_and_stays_in_the_list() {
    let suite = suite(&[case("wills/one.mqtt", Verdict::NotJudged)]);
    let live =
        SuiteResult { target: Target { kind: TargetKind::Live, ..Target::simulated() }, ..suite.clone() };
    let known = Baseline::read(LIST).unwrap();
    let difference = known.compare(&live);
    assert!(difference.is_empty());
    assert!(difference.text().contains("wills/one.mqtt 5.0  is listed and was not judged"));
    assert_eq!(known.rewritten(&live).len(), known.len());
    // The reference peers must allow every set-up, so this must not become a known failure.
    let none = Baseline::default();
    assert_eq!(none.compare(&suite).unlisted, [("wills/one.mqtt 5.0".to_owned(), Verdict::NotJudged)]);
    assert!(none.rewritten(&suite).is_empty());
}

#[test]
fn mistakes_in_the_file_are_named() {
    let error = |text: &str| Baseline::read(text).unwrap_err();
    assert!(
        matches!(error(&[LIST, LIST].concat()), BaselineError::Twice { case } if case == "wills/one.mqtt 5.0")
    );
    assert!(matches!(error(&LIST.replace("error", "pass")), BaselineError::NoFailure { .. }));
    let misspelt = error(&LIST.replace("reason", "raeson")).to_string();
    assert!(misspelt.contains("raeson") && misspelt.contains("line 4"), "{misspelt}");
}

fn compare(cases: &[CaseResult]) -> super::Difference {
    Baseline::read(LIST).unwrap().compare(&suite(cases))
}

fn suite(cases: &[CaseResult]) -> SuiteResult {
    SuiteResult {
        format: FORMAT,
        target: Target::simulated(),
        seed: 0,
        seeds: 1,
        strict: false,
        cases: cases.to_vec(),
        errors: Vec::new(),
        notes: Vec::new(),
    }
}

fn case(file: &str, verdict: Verdict) -> CaseResult {
    CaseResult {
        file: file.into(),
        title: "A title".into(),
        version: "5.0".into(),
        row: None,
        tests: "server".into(),
        both_sides: false,
        reading: None,
        clauses: Vec::new(),
        clauses_shown: Vec::new(),
        verdict,
        level: Level::Must,
        reason: String::new(),
        took_ms: None,
        put_forward_ms: None,
        runs: 1,
        failed_seeds: Vec::new(),
        failures: Vec::new(),
        branches: Vec::new(),
        marks: Vec::new(),
        endured: None,
        shown: None,
    }
}
