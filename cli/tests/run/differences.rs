//! Comparisons of two runs, and lists of known failures.

use crate::process::{FAILS, Folder, HOLDS, Outcome, mqttspec, scenario};

/// Runs the scenarios of the folder in the simulator.
fn run(folder: &Folder, more: &[&str]) -> Outcome {
    let scenarios = folder.at("scenarios");
    let mut arguments = vec!["run", "--scenarios", &scenarios];
    arguments.extend(more);
    mqttspec(&arguments)
}

#[test]
fn compare_reports_differences_of_two_runs() {
    let folder = Folder::new("compare");
    folder.write("scenarios/a.mqtt", &scenario(HOLDS));
    folder.write("scenarios/b.mqtt", &scenario(HOLDS));
    assert_eq!(run(&folder, &["--report", &folder.at("before")]).code, Some(0));
    folder.write("scenarios/b.mqtt", &scenario(FAILS));
    assert_eq!(run(&folder, &["--report", &folder.at("after")]).code, Some(1));

    let (before, after) = (folder.at("before/report.json"), folder.at("after/report.json"));
    let outcome = mqttspec(&["compare", &before, &after]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.out.contains("Holds no more (1)\n  b.mqtt 3.1.1"), "{}", outcome.out);
    assert!(outcome.out.contains("1 changed, 1 the same"), "{}", outcome.out);
    let outcome = mqttspec(&["compare", &after, &before]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(outcome.out.contains("Holds now (1)\n  b.mqtt 3.1.1"), "{}", outcome.out);
    assert_eq!(mqttspec(&["compare", &before, &before]).code, Some(0));
    let outcome = mqttspec(&["compare", &before, &folder.at("none.json")]);
    assert!(outcome.code == Some(2) && outcome.err.contains("none.json"), "{outcome:?}");
}

#[test]
fn known_failures_decide_the_exit_code() {
    let folder = Folder::new("expect");
    let known = folder.at("known.toml");
    folder.write("scenarios/a.mqtt", &scenario(HOLDS));
    folder.write("scenarios/b.mqtt", &scenario(FAILS));
    let outcome = run(&folder, &["--expect", &known]);
    assert!(outcome.code == Some(2) && outcome.err.contains("--write-expect"), "{outcome:?}");
    assert_eq!(run(&folder, &["--expect", &known, "--write-expect"]).code, Some(0));
    let outcome = run(&folder, &["--expect", &known]);
    assert!(outcome.code == Some(0) && outcome.out.contains("as expected: 1 known failure"), "{outcome:?}");

    folder.write("scenarios/a.mqtt", &scenario(FAILS));
    folder.write("scenarios/b.mqtt", &scenario(HOLDS));
    let outcome = run(&folder, &["--expect", &known]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.out.contains("+ fail   a.mqtt 3.1.1  is not listed"), "{}", outcome.out);
    assert!(outcome.out.contains("- pass   b.mqtt 3.1.1  is listed and passes now"), "{}", outcome.out);

    // Only the list decides: a run without failures exits with 1 as long as a failure is listed.
    folder.write("scenarios/a.mqtt", &scenario(HOLDS));
    assert_eq!(run(&folder, &["--expect", &known]).code, Some(1));
    folder.write("known.toml", "[[known]]\ncase = \"a.mqtt 3.1.1\"\nverdict = \"pass\"\n");
    let outcome = run(&folder, &["--expect", &known]);
    assert!(outcome.code == Some(2) && outcome.err.contains("only `fail` and `error`"), "{outcome:?}");
}
