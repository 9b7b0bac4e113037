//! Which files run: those that are named by their paths, wherever they are, and those that filters
//! choose from a folder.

use crate::process::{FAILS, Folder, HOLDS, mqttspec, mqttspec_in, scenario};

#[test]
fn a_file_runs_from_anywhere() {
    let folder = Folder::new("file anywhere");
    let good = folder.write("elsewhere/good.mqtt", &scenario(HOLDS));
    // There is no folder of scenarios here.
    let outcome = mqttspec_in(&folder.at("elsewhere"), &["run", "good.mqtt"]);
    assert!(outcome.code == Some(0) && outcome.out.contains("1 passed"), "{outcome:?}");
    let outcome = mqttspec_in(&folder.at("."), &["run", &good]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let outcome = mqttspec_in(&folder.at("."), &["list", "elsewhere/good.mqtt"]);
    assert!(outcome.code == Some(0) && outcome.out.starts_with("elsewhere/good.mqtt"), "{outcome:?}");
    let outcome = mqttspec_in(&folder.at("."), &["run"]);
    assert!(outcome.code == Some(2) && outcome.err.contains("mqttspec run FILE"), "{outcome:?}");

    // The command that repeats a failure finds the file.
    let bad = folder.write("elsewhere/bad.mqtt", &scenario(FAILS));
    let outcome = mqttspec_in(&folder.at("."), &["run", &bad]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.out.contains(&format!("mqttspec trace '{bad}' --version 3.1.1 --seed 0")), "{outcome:?}");
}

#[test]
fn a_file_and_a_filter_choose_together() {
    let folder = Folder::new("file-and-filter");
    let other = folder.write("other.mqtt", &scenario(HOLDS));
    let inside = folder.write("scenarios/pings/one.mqtt", &scenario(HOLDS));
    folder.write("scenarios/two.mqtt", &scenario(FAILS));
    let scenarios = folder.at("scenarios");
    let outcome = mqttspec(&["run", "--scenarios", &scenarios, &other, &inside, "pings/"]);
    assert!(outcome.code == Some(0) && outcome.out.contains("2 passed"), "{outcome:?}");
    // Below the folder a file has the same name however it is written, so it has the same seeds.
    let outcome = mqttspec(&["list", "--scenarios", &scenarios, &inside]);
    assert!(outcome.out.starts_with("pings/one.mqtt"), "{outcome:?}");
}

#[test]
fn a_file_that_cannot_be_read_matters_only_where_it_may_be_meant() {
    let folder = Folder::new("unreadable");
    let scenarios = folder.at("scenarios");
    folder.write("scenarios/good.mqtt", &scenario(HOLDS));
    folder.write("scenarios/notes/mistake.mqtt", &scenario("device conects\n"));
    std::fs::write(folder.at("scenarios/notes/bytes.mqtt"), [0xff, 0xfe]).unwrap();
    let run = |filters: &[&str]| {
        let mut arguments = vec!["run", "--scenarios", &scenarios];
        arguments.extend(filters);
        mqttspec(&arguments)
    };
    let all = run(&[]);
    assert!(all.code == Some(2) && all.out.contains("1 passed"), "{all:?}");
    for told in ["notes/mistake.mqtt:5:8", "did you mean `connects`?", "notes/bytes.mqtt: ", "UTF-8"] {
        assert!(all.out.contains(told), "{told}: {}", all.out);
    }
    let good = run(&["good"]);
    assert!(good.code == Some(0) && !good.out.contains("notes/"), "{good:?}");
    assert_eq!(run(&["notes/"]).code, Some(2));
    // The clauses of the file with a mistake are there to be read, those of the other are not.
    let clause = run(&["MQTT-3.12.4-1"]);
    assert!(clause.code == Some(2) && clause.out.contains("mistake.mqtt"), "{clause:?}");
    assert!(run(&["MQTT-3.1.0-1"]).err.contains("no scenario matches"));
}
