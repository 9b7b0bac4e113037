//! Every report of one small suite with every outcome. The expected texts are in
//! `reports/snapshots`.

use std::collections::BTreeSet;

use crate::common::{failure, played, scenarios, snapshot, suite, trace};
use mqttspec_codec::Role;
use mqttspec_judge::Case;
use mqttspec_judge::results::{CaseResult, FORMAT, SuiteResult};
use mqttspec_judge::verdict::Verdict;
use mqttspec_reports::baseline::Baseline;
use mqttspec_reports::compare::{Change, Comparison};
use mqttspec_reports::diagram::{self, Diagram, Observer};
use mqttspec_reports::{
    Areas, Coverage, Outcome, html, json, junit, markdown, terminal, write, write_matrix,
};
use mqttspec_runner::suite::{self as planned, KeepTrace, Selection, Source, SuiteOptions};

#[test]
fn the_terminal_shows_the_whole_suite_in_80_columns() {
    snapshot("terminal-80", &at_width(80));
}

#[test]
fn the_terminal_shows_the_whole_suite_in_40_columns() {
    snapshot("terminal-40", &at_width(40));
}

#[test]
fn the_terminal_shows_the_whole_suite_in_120_columns() {
    snapshot("terminal-120", &at_width(120));
}

#[test]
fn only_addresses_and_commands_are_wider_than_the_terminal() {
    for width in [40, 60, 80, 120] {
        let text = at_width(width);
        for line in text.lines() {
            let copied = ["https://", "mqttspec trace", ".mqtt", "keepalive", "^^^"]
                .iter()
                .any(|what| line.contains(what));
            assert!(copied || line.chars().count() <= usize::from(width), "{width} columns: {line}");
        }
    }
}

#[test]
fn colours_can_be_stripped() {
    let styled = terminal::summary(&suite(), 80);
    assert!(styled.contains("\u{1b}["));
    assert!(!plain(&styled).contains('\u{1b}'));
}

#[test]
fn strict_lets_should_and_contested_readings_decide() {
    let weak = |case: &&CaseResult| {
        case.verdict == Verdict::Pass || !case.counts_against(false) && case.verdict == Verdict::Fail
    };
    let cases: Vec<_> = suite().cases.iter().filter(weak).cloned().collect();
    let usual = SuiteResult { cases, errors: Vec::new(), ..suite() };
    let strict = SuiteResult { strict: true, ..usual.clone() };
    assert_eq!((usual.exit_code(), strict.exit_code()), (0, 1));
    let summary = |suite: &SuiteResult| plain(&terminal::summary(suite, 200));
    assert!(summary(&usual).contains("Every MUST that was checked holds; something recommended"));
    assert!(summary(&strict).contains("Every MUST that was checked holds; under --strict"));
    let junit = |suite: &SuiteResult| junit::report(suite).unwrap();
    assert_eq!(junit(&usual).matches("<failure").count(), 0);
    assert_eq!(junit(&strict).matches("<failure").count(), 2);
    assert_eq!(junit(&strict).matches("(it decides because of --strict)").count(), 2);
    let json = |suite: &SuiteResult| json::report(suite).unwrap();
    assert!(json(&usual).contains("\"strict\": false,\n  \"exit_code\": 0"));
    assert!(json(&strict).contains("\"strict\": true,\n  \"exit_code\": 1"));
    assert!(markdown::report(&usual).starts_with("# ✅") && !markdown::report(&usual).contains("strict"));
    assert!(
        markdown::report(&strict).starts_with("# ❌") && markdown::report(&strict).contains("; `--strict`.")
    );
    assert!(html::page(&[strict]).unwrap().contains("under --strict"));
}

#[test]
fn rows_of_a_scenario_that_fail_at_the_same_line_are_shown_once() {
    let failed = suite().cases.into_iter().find(|case| Outcome::of(case) == Outcome::Failed).unwrap();
    let row = |row: &str| CaseResult { row: Some(row.into()), ..failed.clone() };
    let mut elsewhere = row("elsewhere");
    elsewhere.failures[0].finding.line = 12;
    let suite = SuiteResult { cases: vec![row("one"), row("two"), row("three"), elsewhere], ..suite() };
    let summary = plain(&terminal::summary(&suite, 100));
    assert_eq!(summary.matches("\nFAILED ").count(), 2);
    assert!(summary.contains("also         the same line fails in 5.0 [two], 5.0 [three]\n"), "{summary}");
}

#[test]
fn markdown_has_the_verdict_then_failures_then_areas_and_gaps() {
    snapshot("markdown", &markdown::report(&suite()));
}

#[test]
fn a_run_that_violates_a_rule_with_every_packet_is_cut() {
    let mut case = suite().cases.into_iter().find(|case| Outcome::of(case) == Outcome::Failed).unwrap();
    case.failures = vec![failure(); 57];
    let suite = SuiteResult { cases: vec![case], ..suite() };
    let summary = plain(&terminal::summary(&suite, 100));
    assert_eq!(summary.matches("  found by ").count(), 3);
    assert!(summary.contains("more         54 failures of the same run"), "{summary}");
    assert_eq!(summary.matches("  again ").count(), 1, "they have one command: {summary}");
    assert_eq!(markdown::report(&suite).matches("**again**").count(), 1);
    assert!(markdown::report(&suite).contains("\n54 more of the same run"));
}

#[test]
fn a_failure_has_the_output_of_the_server_of_its_run() {
    let mut case = suite().cases.into_iter().find(|case| case.shown.is_some()).unwrap();
    case.shown.as_mut().unwrap().output = vec!["segmentation <fault>".into()];
    let suite = SuiteResult { cases: vec![case], ..suite() };
    let text = markdown::report(&suite);
    let start = text.find("<details><summary><b>failed").unwrap();
    let end = start + text[start..].find("</details>").unwrap();
    snapshot("markdown-of-a-failure", &text[start..end]);
    assert!(plain(&terminal::summary(&suite, 80)).contains("segmentation <fault>"));
    assert!(html::page(&[suite]).unwrap().contains("segmentation \\u003cfault>"));
}

#[test]
fn markdown_fits_a_comment_however_much_fails() {
    let failed = suite().cases.into_iter().find(|case| Outcome::of(case) == Outcome::Failed).unwrap();
    let many = |index: u32| CaseResult { file: format!("wills/number-{index:04}.mqtt"), ..failed.clone() };
    let suite = SuiteResult { cases: (0..900).map(many).collect(), ..suite() };
    let text = markdown::report(&suite);
    assert!(text.len() < 65_536, "{}", text.len());
    let shown = text.matches("<details><summary><b>failed").count();
    let listed = text.lines().filter(|line| line.starts_with("- wills/number-")).count();
    let more = format!("- … and {} more", 900 - shown - listed);
    assert!(shown > 10 && text.contains(&more), "shown {shown}, listed {listed}");
}

#[test]
fn junit_has_a_test_case_for_every_case() {
    let text = junit::report(&suite()).unwrap();
    assert_eq!(text.matches("<testcase").count(), suite().cases.len() + suite().errors.len());
    snapshot("junit", &text);
}

#[test]
fn every_case_of_the_project_has_a_name_of_its_own() {
    let plan = planned::plan(&planned::read_folder(&scenarios()).unwrap(), &Selection::default());
    let names: BTreeSet<String> = plan.cases.iter().map(Case::name).collect();
    assert!(names.len() > 600 && names.len() == plan.cases.len());
}

#[test]
fn the_sides_of_a_scenario_that_tests_both_have_names_of_their_own_in_every_report() {
    let text = "title Both sides\nclauses [5] MQTT-3.1.0-1\nversions 5\ntests server client\n\n\
                device > CONNECT client_id=device\ndevice < CONNACK reason=success\n";
    let source = Source { file: "connect/both.mqtt".into(), text: text.into() };
    let plan = planned::plan(&[source], &Selection::default());
    let mut suite = planned::run_all(&plan, &SuiteOptions::default(), &mut |_, _, _| {});
    let names: Vec<String> = suite.cases.iter().map(CaseResult::name).collect();
    assert_eq!(names, ["connect/both.mqtt 5.0 server", "connect/both.mqtt 5.0 client"]);
    assert!(plan.cases.iter().map(Case::name).eq(names.iter().cloned()));
    let roles: Vec<_> = plan.cases.iter().map(|case| case.repeat_command(0).role).collect();
    assert_eq!(roles, [Some(Role::Server), Some(Role::Client)]);
    suite = json::read(&json::report(&suite).unwrap()).unwrap();
    for case in &mut suite.cases {
        case.verdict = Verdict::Fail;
        case.failures = vec![failure()];
    }
    let known = Baseline::default().rewritten(&suite);
    let before = SuiteResult { cases: Vec::new(), ..suite.clone() };
    let reports = [
        junit::report(&suite).unwrap().replace("both 5.0", "both.mqtt 5.0"),
        known.text(),
        Comparison::of(&before, &suite).text(),
        markdown::report(&suite),
        terminal::summary(&suite, 100),
    ];
    for text in &reports {
        for side in ["server", "client"] {
            assert!(text.contains(&format!("both.mqtt 5.0 {side}")), "{side}: {text}");
        }
    }
    assert_eq!(known.len(), 2);
    assert!(known.compare(&suite).is_empty());
}

#[test]
fn json_is_read_back_as_it_was() {
    let suite = suite();
    let text = json::report(&suite).unwrap();
    assert_eq!(json::read(&text).unwrap(), suite);
    snapshot("json", &text);
}

#[test]
fn json_of_another_format_is_refused_with_the_remedy() {
    let text = json::report(&SuiteResult { format: FORMAT + 1, ..suite() }).unwrap();
    let error = json::read(&text).unwrap_err().to_string();
    assert!(error.contains("run the suite again"), "{error}");
    assert!(json::read("{}").is_err());
}

#[test]
fn json_fits_its_schema() {
    let schema: serde_json::Value = serde_json::from_str(json::SCHEMA).unwrap();
    assert_eq!(schema["properties"]["format"]["const"], FORMAT);
    let validator = jsonschema::validator_for(&schema).unwrap();
    for suite in [suite(), played("wills/", KeepTrace::All), played("clients/", KeepTrace::Failing)] {
        let report = serde_json::from_str(&json::report(&suite).unwrap()).unwrap();
        let errors: Vec<String> = validator
            .iter_errors(&report)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert_eq!(errors, Vec::<String>::new());
    }
    let mut report: serde_json::Value = serde_json::from_str(&json::report(&suite()).unwrap()).unwrap();
    report["cases"][0]["verdict"] = "maybe".into();
    assert!(!validator.is_valid(&report), "the schema can refuse");
}

#[test]
fn a_clause_is_failed_if_any_check_cites_it_and_shown_only_if_a_case_passed() {
    let coverage = Coverage::of(&suite());
    let [three, five] = &coverage[..] else { panic!("both versions ran") };
    assert_eq!((three.version.as_str(), five.version.as_str()), ("3.1.1", "5.0"));
    assert_eq!((three.all.total, three.all.shown, three.all.failed), (106, 1, 0));
    let all = &five.all;
    assert_eq!((all.total, all.shown, all.failed, all.contested, all.skipped), (202, 2, 3, 1, 1));
    for coverage in [three, five] {
        let sum: usize = coverage.areas.iter().map(|area| area.total).sum();
        assert_eq!(sum, coverage.all.total, "every numbered statement is in one area");
    }
    let areas = Areas::of(&suite());
    let cases: u32 = areas.rows.iter().map(|area| area.tally.total()).sum();
    assert_eq!(cases, areas.all.tally.total(), "every case is in one area");
}

#[test]
fn a_failure_of_level_should_violates_no_clause_that_says_must() {
    let all = suite();
    let of = |verdict: &str| {
        let cases = all.cases.iter().filter(|case| case.file.contains(verdict)).cloned().collect();
        Coverage::of(&SuiteResult { cases, ..all.clone() }).remove(0).all
    };
    // The refusal lacks a reason, which is only a SHOULD; the MUST of the clause was met.
    assert_eq!((of("reason-string").shown, of("reason-string").failed), (1, 0));
    assert_eq!((of("not-published").shown, of("not-published").failed), (0, 2));
}

#[test]
fn a_comparison_distinguishes_worse_better_and_otherwise() {
    let before = suite();
    let mut after = suite();
    for case in &mut after.cases {
        match case.file.as_str() {
            "connect/malformed.mqtt" => {
                case.verdict = Verdict::Fail;
                case.failures = vec![failure()];
            }
            "wills/not-published-on-disconnect.mqtt" => {
                case.verdict = Verdict::Pass;
                case.failures.clear();
            }
            "connect/unsupported-version.mqtt" => case.failures[0].finding.line = 9,
            "shared/one-member.mqtt" => case.verdict = Verdict::Pass,
            _ => {}
        }
    }
    after.cases.retain(|case| case.file != "connect/reason-string.mqtt");
    let comparison = Comparison::of(&before, &after);
    let changes: Vec<Change> = comparison.changed.iter().map(|changed| changed.change).collect();
    assert_eq!(changes, [Change::Worse, Change::Otherwise, Change::Better, Change::Skipped, Change::Gone]);
    assert!(comparison.is_worse() && !Comparison::of(&before, &before).is_worse());
    assert_eq!(Comparison::of(&before, &before).same, before.cases.len());
    snapshot("compare", &plain(&comparison.text()));
}

#[test]
fn a_diagram_is_drawn_with_its_faults_and_its_failure() {
    let diagram = Diagram::of(&trace(), Observer::Client, &[failure()]);
    snapshot("diagram.svg", &diagram::svg(&diagram, "A Will <published> in spite of a DISCONNECT"));
}

#[test]
fn the_page_escapes_its_data_and_loads_nothing() {
    let page = html::page(&[suite(), played("wills/", KeepTrace::All)]).unwrap();
    assert!(!page.contains("<gone>"), "what a packet says is no markup");
    for loads in ["src=\"http", "<link rel=\"stylesheet", "@import", "fetch(", "XMLHttpRequest", "import("] {
        assert!(!page.contains(loads), "{loads}");
    }
    let start = page.find("id=\"data\">").unwrap() + "id=\"data\">".len();
    let end = start + page[start..].find("</script>").unwrap();
    let data: serde_json::Value = serde_json::from_str(&page[start..end]).unwrap();
    assert_eq!(data["targets"].as_array().unwrap().len(), 2);
    let words: Vec<&str> = data["cases"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|case| case["results"][0]["word"].as_str())
        .collect();
    for word in ["pass", "fail", "nearly", "contested", "skip", "error"] {
        assert!(words.contains(&word), "{word} of {words:?}");
    }
}

#[test]
fn reports_of_simulated_runs_repeat_byte_for_byte() {
    let pages = [(); 2].map(|()| {
        let suite = played("wills/", KeepTrace::All);
        [
            json::report(&suite).unwrap(),
            html::page(std::slice::from_ref(&suite)).unwrap(),
            junit::report(&suite).unwrap(),
            markdown::report(&suite),
        ]
    });
    assert!(pages[0] == pages[1]);
    for text in &pages[0] {
        assert!(!text.contains(env!("CARGO_MANIFEST_DIR")), "no path of this machine");
    }
}

#[test]
fn all_files_are_written_into_a_new_folder() {
    let folder = tempfile::tempdir().unwrap();
    let written = write(&suite(), &folder.path().join("a/b")).unwrap();
    let names: Vec<_> = written.iter().map(|path| path.file_name().unwrap().to_owned()).collect();
    assert_eq!(names, ["report.json", "junit.xml", "report.md", "statements.md", "report.html"]);
    assert!(written.iter().all(|path| path.exists()));
    assert_eq!(
        write_matrix(&[suite(), suite()], folder.path()).unwrap(),
        [folder.path().join("report.html")]
    );
    let blocked = folder.path().join("file");
    std::fs::write(&blocked, "").unwrap();
    assert!(write(&suite(), &blocked).unwrap_err().to_string().contains("cannot create the folder"));
}

fn at_width(width: u16) -> String {
    plain(&terminal::summary(&suite(), width))
}

fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}
