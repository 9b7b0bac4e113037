//! The scenarios before a live server: our own broker on real sockets, within this process.

use std::path::Path;

use mqttspec_net::TestBroker;
use mqttspec_net::transport::Target;
use mqttspec_scenarios::live::{LiveError, LiveOptions, run_live};
use mqttspec_scenarios::results::{SuiteResult, TargetKind};
use mqttspec_scenarios::suite::{Selection, plan, read_folder};
use mqttspec_scenarios::verdict::Verdict;

fn at(url: &str) -> LiveOptions {
    let target: Target = url.parse().expect("a test names a server");
    LiveOptions { target: Some(target), ..LiveOptions::default() }
}

fn judge(options: &LiveOptions, filters: &[&str]) -> Result<SuiteResult, LiveError> {
    let sources =
        read_folder(Path::new(env!("CARGO_MANIFEST_DIR"))).expect("the folder of scenarios can be read");
    let filters = filters.iter().map(|filter| (*filter).to_owned()).collect();
    let plan = plan(&sources, &Selection { filters, ..Selection::default() });
    run_live(&plan, options, &mut |_| {})
}

fn bad(suite: &SuiteResult) -> String {
    let bad = suite.cases.iter().filter(|case| matches!(case.verdict, Verdict::Fail | Verdict::Error));
    let line = |case: &mqttspec_scenarios::results::CaseResult| {
        let failures: Vec<String> = case
            .failures
            .iter()
            .map(|failure| {
                let transcript: Vec<&str> =
                    failure.transcript.iter().map(|line| line.text.as_str()).collect();
                format!(
                    "\n  line {}: {} => {}\n    {}",
                    failure.line,
                    failure.expected,
                    failure.actual,
                    transcript.join("\n    ")
                )
            })
            .collect();
        format!("{} {} {}{}\n", case.verdict, case.name(), case.reason, failures.concat())
    };
    bad.map(line).collect()
}

#[test]
fn our_broker_on_sockets_holds_what_it_holds_in_the_simulator() {
    let broker = TestBroker::start().expect("a broker starts");
    let suite = judge(
        &at(&broker.url()),
        &["basics/", "subscribe/", "retained/", "topic-alias/", "qos2/", "publish/", "disconnect/"],
    )
    .expect("the broker is judged");
    assert_eq!(bad(&suite), "");
    assert_eq!(suite.target.kind, TargetKind::Live);
    let passed = suite.cases.iter().filter(|case| case.verdict == Verdict::Pass).count();
    assert!(passed > 100, "only {passed} cases were played");
}
