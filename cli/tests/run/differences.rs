//! What changed between two runs, and lists of known failures.

use crate::process::{FAILS, Folder, HOLDS, Told, mqttspec, scenario};

/// Plays the scenarios of the folder in the simulator.
fn run(folder: &Folder, more: &[&str]) -> Told {
    let scenarios = folder.at("scenarios");
    let mut arguments = vec!["run", "--scenarios", &scenarios];
    arguments.extend(more);
    mqttspec(&arguments)
}

#[test]
fn two_runs_beside_each_other() {
    let folder = Folder::new("compare");
    folder.write("scenarios/a.mqtt", &scenario(HOLDS));
    folder.write("scenarios/b.mqtt", &scenario(HOLDS));
    assert_eq!(run(&folder, &["--report", &folder.at("before")]).code, Some(0));
    folder.write("scenarios/b.mqtt", &scenario(FAILS));
    assert_eq!(run(&folder, &["--report", &folder.at("after")]).code, Some(1));

    let (before, after) = (folder.at("before/report.json"), folder.at("after/report.json"));
    let told = mqttspec(&["compare", &before, &after]);
    assert_eq!(told.code, Some(1), "{told:?}");
    assert!(told.out.contains("Holds no more (1)\n  b.mqtt 3.1.1"), "{}", told.out);
    assert!(told.out.contains("1 changed, 1 the same"), "{}", told.out);
    let told = mqttspec(&["compare", &after, &before]);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(told.out.contains("Holds now (1)\n  b.mqtt 3.1.1"), "{}", told.out);
    assert_eq!(mqttspec(&["compare", &before, &before]).code, Some(0));
    let told = mqttspec(&["compare", &before, &folder.at("none.json")]);
    assert!(told.code == Some(2) && told.err.contains("none.json"), "{told:?}");
}

#[test]
fn known_failures_decide_the_exit_code() {
    let folder = Folder::new("expect");
    let known = folder.at("known.toml");
    folder.write("scenarios/a.mqtt", &scenario(HOLDS));
    folder.write("scenarios/b.mqtt", &scenario(FAILS));
    let told = run(&folder, &["--expect", &known]);
    assert!(told.code == Some(2) && told.err.contains("--write-expect"), "{told:?}");
    assert_eq!(run(&folder, &["--expect", &known, "--write-expect"]).code, Some(0));
    let told = run(&folder, &["--expect", &known]);
    assert!(told.code == Some(0) && told.out.contains("as expected: 1 known failure"), "{told:?}");

    folder.write("scenarios/a.mqtt", &scenario(FAILS));
    folder.write("scenarios/b.mqtt", &scenario(HOLDS));
    let told = run(&folder, &["--expect", &known]);
    assert_eq!(told.code, Some(1), "{told:?}");
    assert!(told.out.contains("+ fail   a.mqtt 3.1.1  is not listed"), "{}", told.out);
    assert!(told.out.contains("- pass   b.mqtt 3.1.1  is listed and passes now"), "{}", told.out);

    // What is known decides alone: a run in which all is well has an exit code 1 as long as a failure is listed.
    folder.write("scenarios/a.mqtt", &scenario(HOLDS));
    assert_eq!(run(&folder, &["--expect", &known]).code, Some(1));
    folder.write("known.toml", "[[known]]\ncase = \"a.mqtt 3.1.1\"\nverdict = \"pass\"\n");
    let told = run(&folder, &["--expect", &known]);
    assert!(told.code == Some(2) && told.err.contains("only `fail` and `error`"), "{told:?}");
}
