//! Every report of one small suite that has all there is. The expected texts are in `reports/snapshots` and were read by a person.

mod common;

use common::{failure, played, snapshot, suite, trace};
use mqttspec_reports::compare::{Change, Comparison};
use mqttspec_reports::diagram::{self, Diagram, Observer};
use mqttspec_reports::{
    Coverage, Modules, Outcome, html, json, junit, markdown, terminal, write, write_matrix,
};
use mqttspec_scenarios::results::{FORMAT, SuiteResult};
use mqttspec_scenarios::suite::KeepTrace;
use mqttspec_scenarios::verdict::Verdict;

#[test]
fn the_terminal_tells_the_whole_suite_in_80_columns() {
    snapshot("terminal-80", &at_width(80));
}

#[test]
fn the_terminal_tells_the_whole_suite_in_40_columns() {
    snapshot("terminal-40", &at_width(40));
}

#[test]
fn the_terminal_tells_the_whole_suite_in_120_columns() {
    snapshot("terminal-120", &at_width(120));
}

#[test]
fn nothing_is_wider_than_the_terminal_but_what_is_copied() {
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
fn colours_stand_where_the_caller_can_strip_them() {
    let styled = terminal::summary(&suite(), 80, false);
    assert!(styled.contains("\u{1b}["));
    assert!(!plain(&styled).contains('\u{1b}'));
}

#[test]
fn strict_lets_should_and_contested_readings_decide() {
    let weak = |case: &&mqttspec_scenarios::results::CaseResult| {
        case.verdict == Verdict::Pass || !case.counts_against(false) && case.verdict == Verdict::Fail
    };
    let cases: Vec<_> = suite().cases.iter().filter(weak).cloned().collect();
    let suite = SuiteResult { cases, errors: Vec::new(), ..suite() };
    assert_eq!((suite.exit_code(false), suite.exit_code(true)), (0, 1));
    assert!(plain(&terminal::summary(&suite, 200, false)).contains("Every MUST that was checked holds"));
    assert!(
        plain(&terminal::summary(&suite, 200, true)).contains("Something that was checked does not hold")
    );
    assert!(!junit::report(&suite, false).unwrap().contains("<failure"));
    assert_eq!(junit::report(&suite, true).unwrap().matches("<failure").count(), 2);
}

#[test]
fn markdown_tells_the_verdict_then_failures_then_modules_and_what_is_missing() {
    snapshot("markdown", &markdown::report(&suite(), false));
}

#[test]
fn markdown_fits_a_comment_however_much_fails() {
    let failed = suite().cases.into_iter().find(|case| Outcome::of(case) == Outcome::Failed).unwrap();
    let many = |index: u32| mqttspec_scenarios::results::CaseResult {
        file: format!("wills/number-{index:04}.mqtt"),
        ..failed.clone()
    };
    let suite = SuiteResult { cases: (0..900).map(many).collect(), ..suite() };
    let text = markdown::report(&suite, false);
    assert!(text.len() < 65_536, "{}", text.len());
    let told = text.matches("<details><summary><b>failed").count();
    let listed = text.lines().filter(|line| line.starts_with("- wills/number-")).count();
    let more = format!("- … and {} more", 900 - told - listed);
    assert!(told > 10 && text.contains(&more), "told {told}, listed {listed}");
}

#[test]
fn junit_has_a_test_case_for_every_case() {
    let text = junit::report(&suite(), false).unwrap();
    assert_eq!(text.matches("<testcase").count(), suite().cases.len() + suite().errors.len());
    snapshot("junit", &text);
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
fn a_clause_is_failed_if_any_check_names_it_and_shown_only_if_a_case_passed() {
    let coverage = Coverage::of(&suite());
    let [three, five] = &coverage[..] else { panic!("both versions ran") };
    assert_eq!((three.version.as_str(), five.version.as_str()), ("3.1.1", "5.0"));
    assert_eq!((three.all.total, three.all.shown, three.all.failed), (141, 1, 0));
    let all = &five.all;
    assert_eq!((all.total, all.shown, all.failed, all.contested, all.skipped), (251, 1, 4, 1, 1));
    for coverage in [three, five] {
        let sum: usize = coverage.modules.iter().map(|module| module.total).sum();
        assert_eq!(sum, coverage.all.total, "every numbered statement is in one module");
    }
    let modules = Modules::of(&suite());
    let cases: u32 = modules.rows.iter().map(|module| module.tally.total()).sum();
    assert_eq!(cases, modules.all.tally.total(), "every case is in one module");
}

#[test]
fn a_comparison_tells_worse_from_better_and_from_otherwise() {
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
            "connect/unsupported-version.mqtt" => case.failures[0].line = 9,
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
fn the_page_holds_its_data_safely_and_loads_nothing() {
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
            junit::report(&suite, false).unwrap(),
            markdown::report(&suite, false),
        ]
    });
    assert!(pages[0] == pages[1]);
    for text in &pages[0] {
        assert!(!text.contains(env!("CARGO_MANIFEST_DIR")), "no path of this machine");
    }
}

#[test]
fn all_files_are_written_into_a_folder_that_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let written = write(&suite(), &folder.path().join("a/b"), false).unwrap();
    let names: Vec<_> = written.iter().map(|path| path.file_name().unwrap().to_owned()).collect();
    assert_eq!(names, ["report.json", "junit.xml", "report.md", "statements.md", "report.html"]);
    assert!(written.iter().all(|path| path.exists()));
    assert_eq!(
        write_matrix(&[suite(), suite()], folder.path()).unwrap(),
        [folder.path().join("report.html")]
    );
    let blocked = folder.path().join("file");
    std::fs::write(&blocked, "").unwrap();
    assert!(write(&suite(), &blocked, false).unwrap_err().to_string().contains("cannot make the folder"));
}

fn at_width(width: u16) -> String {
    plain(&terminal::summary(&suite(), width, false))
}

fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}
