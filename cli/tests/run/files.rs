//! Which files run: those that are named by their paths, wherever they are, and those that filters
//! choose from a folder.

use crate::process::{FAILS, Folder, HOLDS, SCENARIOS, mqttspec, mqttspec_in, scenario};

#[test]
fn a_file_runs_from_anywhere() {
    let folder = Folder::new("file anywhere");
    let good = folder.write("elsewhere/good.mqtt", &scenario(HOLDS));
    // There is no folder of scenarios here: the others are compiled in.
    let outcome = mqttspec_in(&folder.at("elsewhere"), &["run", "good.mqtt"]);
    assert!(outcome.code == Some(0) && outcome.out.contains("1 passed"), "{outcome:?}");
    let outcome = mqttspec_in(&folder.at("."), &["run", &good]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let outcome = mqttspec_in(&folder.at("."), &["list", "elsewhere/good.mqtt"]);
    assert!(outcome.code == Some(0) && outcome.out.starts_with("elsewhere/good.mqtt"), "{outcome:?}");
    let outcome = mqttspec_in(&folder.at("."), &["run", "--scenarios", "nowhere"]);
    assert!(outcome.code == Some(2) && outcome.err.contains("mqttspec run FILE"), "{outcome:?}");

    // The command that repeats a failure finds the file.
    let bad = folder.write("elsewhere/bad.mqtt", &scenario(FAILS));
    let outcome = mqttspec_in(&folder.at("."), &["run", &bad]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.out.contains(&format!("mqttspec trace '{bad}' --version 3.1.1 --seed 0")), "{outcome:?}");
}

#[test]
fn a_file_outside_the_scenarios_runs_the_same_under_every_name() {
    let folder = Folder::new("renamed");
    let text = format!("{}latency device 1ms..900ms\ndevice > PINGREQ\ndevice < PINGRESP\n", scenario(HOLDS));
    let history = |name: &str| {
        let file = folder.write(name, &text);
        let outcome = mqttspec_in(&folder.at("."), &["trace", &file, "--seed", "3"]);
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        outcome.out.lines().find(|line| line.contains(", history ")).map(str::to_owned)
    };
    let first = history("one.mqtt");
    assert!(first.is_some());
    assert_eq!(history("elsewhere/two.mqtt"), first);
    // The name of a file of the folder is a part of its seed.
    assert_ne!(history("scenarios/three.mqtt"), first);
}

#[test]
fn the_scenarios_are_compiled_in() {
    let folder = Folder::new("empty");
    let here = |arguments: &[&str]| mqttspec_in(&folder.at("."), arguments);
    let of_clone = |arguments: &[&str]| mqttspec_in(&format!("{SCENARIOS}/.."), arguments);
    // Every file is there, with the same name, cases and clauses as in the clone.
    let all = here(&["list"]);
    assert!(all.code == Some(0) && all.out.contains("wills/"), "{all:?}");
    assert_eq!(all.out, of_clone(&["list"]).out);
    // The same names give the same seeds, so the same history.
    let trace = ["trace", "wills/published-when-owner-falls-silent.mqtt", "--seed", "7"];
    let traced = here(&trace);
    assert_eq!(traced.code, Some(0), "{traced:?}");
    assert_eq!(traced.out, of_clone(&trace).out);
    let run = here(&["run", "wills/"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let unknown = here(&["trace", "wills/nothing.mqtt"]);
    assert!(unknown.code == Some(2) && unknown.err.contains("wills/nothing.mqtt"), "{unknown:?}");
    // A folder of that name without scenario files is not one of scenarios.
    std::fs::create_dir_all(folder.at("scenarios")).unwrap();
    assert_eq!(here(&["list"]).out, all.out);
    // Another folder can be named, and one of that name is found.
    folder.write("scenarios/mine.mqtt", &scenario(HOLDS));
    let mine = here(&["list"]);
    assert!(mine.out.starts_with("mine.mqtt") && !mine.out.contains("wills/"), "{mine:?}");
    assert_eq!(here(&["list", "--scenarios", "scenarios"]).out, mine.out);
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
fn cases_of_mqtt_3_1_are_run_on_request() {
    let folder = Folder::new("of 3.1");
    let scenarios = folder.at("scenarios");
    folder.write("scenarios/new.mqtt", &scenario(HOLDS));
    let of_3_1 = scenario(HOLDS).replace("MQTT-3.12.4-1", "U31-017").replace("3.1.1", "3.1");
    let named = folder.write("scenarios/old.mqtt", &of_3_1);
    let run = |arguments: &[&str]| {
        let mut all = vec!["run", "--scenarios", &scenarios];
        all.extend(arguments);
        mqttspec(&all)
    };
    assert!(run(&[]).out.contains("1 passed"));
    for of_old in [&["--version", "3.1"][..], &["--version", "3.1", "U31-017"], &[&named]] {
        let outcome = run(of_old);
        let shown = outcome.out.contains("1 passed") && outcome.out.contains("MQTT 3.1 ");
        assert!(outcome.code == Some(0) && shown, "{of_old:?}: {outcome:?}");
    }
    let other = run(&["new", "--version", "3.1"]);
    assert!(other.code == Some(2) && other.err.contains("no case for MQTT 3.1, only for 3.1.1"), "{other:?}");
    let unasked = run(&["old"]);
    assert!(unasked.code == Some(2) && unasked.err.contains("run with --version 3.1"), "{unasked:?}");
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

#[cfg(unix)]
#[test]
fn what_is_no_file_of_a_reasonable_size_is_refused_by_name() {
    let folder = Folder::new("no files");
    let scenarios = folder.at("scenarios");
    folder.write("scenarios/good.mqtt", &scenario(HOLDS));
    let made = std::process::Command::new("mkfifo").arg(folder.at("scenarios/fifo.mqtt")).status();
    assert!(made.unwrap().success());
    std::os::unix::fs::symlink("/dev/zero", folder.at("scenarios/device.mqtt")).unwrap();
    std::os::unix::fs::symlink("missing", folder.at("scenarios/nowhere.mqtt")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(folder.at("scenarios/socket.mqtt")).unwrap();
    folder.write("scenarios/large.mqtt", &"#".repeat((1 << 20) + 1));
    let refused = [
        ("fifo.mqtt", "it is a FIFO, not a file"),
        ("device.mqtt", "it is a device, not a file"),
        ("socket.mqtt", "it is a socket, not a file"),
        ("large.mqtt", "it has 1048577 bytes, and a scenario file has at most 1048576"),
        ("nowhere.mqtt", "No such file or directory"),
    ];
    // In a folder, with the result of the other file.
    let all = mqttspec(&["run", "--scenarios", &scenarios]);
    assert!(all.code == Some(2) && all.out.contains("1 passed"), "{all:?}");
    for (file, reason) in refused {
        let line = all.out.lines().find(|line| {
            line.contains(&format!("cannot read {}", folder.at("scenarios"))) && line.contains(file)
        });
        assert!(line.is_some_and(|line| line.contains(reason)), "{file}: {}", all.out);
    }
    // Alone, by each command that reads a scenario.
    // A link to nothing that is named is no file: it is taken for a filter.
    for (file, reason) in refused.into_iter().filter(|(file, _)| *file != "nowhere.mqtt") {
        for command in ["run", "trace", "check"] {
            let alone = mqttspec(&[command, &folder.at(&format!("scenarios/{file}"))]);
            let said = format!("{}{}", alone.out, alone.err);
            assert!(
                alone.code == Some(2) && said.contains(file) && said.contains(reason),
                "{command}: {alone:?}"
            );
        }
    }
}

/// Characters that control a terminal are refused, and those that begin markup or separate cells
/// are escaped.
#[cfg(unix)]
#[test]
fn titles_and_names_of_files_are_escaped_in_every_report() {
    let folder = Folder::new("escapes");
    let scenarios = folder.at("scenarios");
    let title =
        |title: &str, lines| format!("title    {title}\n{}", scenario(lines).split_once('\n').unwrap().1);
    let markup = "</script><img src=x onerror=alert(1)>&|`]]>";
    folder.write("scenarios/<i>&|`]]>.mqtt", &title(markup, FAILS));
    folder.write("scenarios/<i>unread.mqtt", &scenario("device conects\n"));
    folder.write("scenarios/title.mqtt", &title("\u{1b}[31mred \u{9b}31m", HOLDS));
    folder.write("scenarios/comment.mqtt", &scenario("device connects # \u{1b}[31m\n"));
    folder.write("scenarios/\u{1b}[32m\u{9b}.mqtt", &scenario(HOLDS));
    let reports = folder.at("reports");
    let run = mqttspec(&["run", "--scenarios", &scenarios, "--report", &reports]);
    assert!(run.out.contains("0 passed, 1 failed") && run.out.contains("4 files cannot be read"), "{run:?}");
    for (file, reason) in [
        ("title.mqtt:1:10", "a file cannot contain the character U+001B"),
        ("comment.mqtt:5:19", "a file cannot contain the character U+001B"),
        ("\\u{1b}[32m\\u{9b}.mqtt", "its name has control characters: rename it"),
    ] {
        assert!(run.out.contains(file) && run.out.contains(reason), "{file}: {}", run.out);
    }
    let mut files = vec![("terminal".to_owned(), format!("{}{}", run.out, run.err))];
    for file in std::fs::read_dir(&reports).unwrap() {
        let path = file.unwrap().path();
        files.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
    }
    assert!(files.len() > 4, "{}", files.len());
    for (name, text) in &files {
        let control = text.chars().find(|character| character.is_control() && *character != '\n');
        assert_eq!(control, None, "{name}");
        if name.ends_with(".html") || name.ends_with(".md") || name.ends_with(".xml") {
            for element in ["<img", "<i>", "</script><"] {
                // Code spans, and the indented text of diagnostics in a fenced block.
                let outside_code =
                    |line: &&str| !line.contains('`') && !line.starts_with(' ') && line.contains(element);
                assert_eq!(text.lines().find(outside_code), None, "{name}: {element}");
            }
        }
    }
}
