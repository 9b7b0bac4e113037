//! Every scenario file × version as a named test of its own, against the reference broker or the
//! reference client in the simulated world.
//!
//! `cargo test -p mqttspec-runner --test scenarios -- wills/` runs those whose name has `wills/` in
//! it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};
use mqttspec_codec::Version;
use mqttspec_judge::Case;
use mqttspec_judge::results::CaseResult;
use mqttspec_judge::verdict::Verdict;
use mqttspec_runner::suite::{Selection, SuiteOptions, plan, read_folder, run_case};

fn main() {
    let arguments = Arguments::from_args();
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../scenarios"));
    let sources = read_folder(folder).expect("the folder of scenarios can be read");
    let mut cases_of_all = plan(&sources, &Selection::default());
    let of_3_1 = Selection { version: Some(Version::V3_1), ..Selection::default() };
    cases_of_all.cases.extend(plan(&sources, &of_3_1).cases);
    let plan = cases_of_all;

    let mut trials = Vec::new();
    // An empty discovery would pass without having shown anything.
    let (files, cases) = (sources.len(), plan.cases.len());
    trials.push(Trial::test("scenarios are found", move || {
        if cases == 0 { Err(format!("no case in {files} files").into()) } else { Ok(()) }
    }));
    for error in plan.errors {
        trials.push(Trial::test(error.file.clone(), move || Err(Failed::from(error.message))));
    }
    let mut by_name: BTreeMap<String, Vec<Case>> = BTreeMap::new();
    for case in plan.cases {
        // The rows of a table are one test: they are a line each in its message.
        by_name.entry(format!("{} {}", case.file, case.version_text())).or_default().push(case);
    }
    for (name, cases) in by_name {
        let cases = Arc::new(cases);
        trials.push(Trial::test(name, move || judge(&cases)));
    }
    libtest_mimic::run(&arguments, trials).exit();
}

fn judge(cases: &[Case]) -> Result<(), Failed> {
    let mut bad = String::new();
    for case in cases {
        let result = run_case(case, &SuiteOptions::default());
        if result.counts_against(false) || result.verdict == Verdict::NotJudged {
            tell(&result, &mut bad);
        }
    }
    if bad.is_empty() { Ok(()) } else { Err(bad.into()) }
}

fn tell(result: &CaseResult, into: &mut String) {
    let _ = writeln!(into, "\n{} {}", result.verdict, result.name());
    if !result.reason.is_empty() {
        let _ = writeln!(into, "  {}", result.reason);
    }
    for failure in &result.failures {
        let finding = &failure.finding;
        let _ = writeln!(into, "  {}:{}  {}", failure.file, finding.line, failure.source);
        for requirement in &finding.requirements {
            let _ = writeln!(into, "  requirement {}: {}", requirement.clause, requirement.summary);
        }
        let _ = writeln!(into, "  expected    {}\n  actual      {}", finding.expected, finding.actual);
        for line in &failure.transcript {
            let _ = writeln!(into, "    {:>12.6}  {}", line.at_ns as f64 / 1e9, line.text);
        }
        let _ = writeln!(into, "  again: {}", failure.command);
    }
}
