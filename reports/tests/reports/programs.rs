//! Opens reports in other programs: `report.html` in a browser, a capture in Wireshark's command
//! line. A test whose program is not installed says so and ends.

use std::path::Path;
use std::process::Command;

use crate::common::{played, scenarios, suite};
use mqttspec_reports::capture;
use mqttspec_reports::diagram::Observer;
use mqttspec_reports::html;
use mqttspec_runner::run::run;
use mqttspec_runner::suite::{self as planned, KeepTrace, Selection};

/// Drives the page with key presses, and writes down what it shows.
const DRIVER: &str = include_str!("common/driver.js");

#[test]
fn the_page_works_in_a_browser_with_keys_and_filters() {
    let Some(browser) =
        ["chromium", "chromium-browser", "google-chrome"].into_iter().find(|name| is_there(name))
    else {
        println!("skipped: no Chromium is installed (Debian: apt-get install chromium)");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let page = html::page(&[suite(), played("wills/", KeepTrace::All)]).unwrap();
    let driven = page.replace("</body>", &format!("<script>{DRIVER}</script></body>"));
    assert_ne!(page, driven);
    let path = folder.path().join("report.html");
    std::fs::write(&path, driven).unwrap();
    let profile = format!("--user-data-dir={}", folder.path().join("profile").display());
    let address = format!("file://{}", path.display());
    let arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--dump-dom"];
    // If the browser could not start, this says nothing about the page: it is started again.
    let output = (0..3).find_map(|_| {
        let mut command = Command::new(browser);
        command.args(arguments).args([profile.as_str(), "--virtual-time-budget=10000", &address]);
        let document = command.output().ok()?.stdout;
        between(&String::from_utf8_lossy(&document), "<pre id=\"driven\">", "</pre>").map(str::to_owned)
    });
    let output = output.expect("the browser shows the page to the end of the driver");
    println!("{output}");
    let wrong: Vec<&str> = output.lines().filter(|line| line.starts_with("WRONG")).collect();
    assert_eq!(wrong, Vec::<&str>::new());
    assert!(output.lines().filter(|line| line.starts_with("right")).count() >= 12, "{output}");
}

#[test]
fn wireshark_dissects_a_capture() {
    if !is_there("tshark") {
        println!("skipped: tshark is not installed (Debian: apt-get install tshark)");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (file, tests) in [("wills/published-when-owner-falls-silent.mqtt", "server"), ("clients/", "client")]
    {
        let selection = Selection { filters: vec![file.into()], ..Selection::default() };
        let plan = planned::plan(&planned::read_folder(&scenarios()).unwrap(), &selection);
        let case = plan.cases.first().unwrap();
        assert_eq!(case.tests.to_string(), tests);
        let result = run(case, 0);
        let path = folder.path().join(format!("{tests}.pcapng"));
        std::fs::write(&path, capture::pcapng(&result.trace, Observer::of(tests), &case.name()).unwrap())
            .unwrap();
        let packets = result.trace.events.iter().filter(|event| !event.hex.is_empty()).count();
        let types = tshark(&path, &["-Y", "mqtt", "-T", "fields", "-e", "mqtt.msgtype"]);
        let dissected: usize = types.lines().map(|line| line.split(',').count()).sum();
        assert_eq!(dissected, packets, "every packet is dissected: {types}");
        let odd = "tcp.analysis.flags && !tcp.analysis.keep_alive && !tcp.analysis.window_full";
        assert_eq!(tshark(&path, &["-Y", odd]), "", "the TCP around them is sound");
        let checked = ["-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"];
        let bad =
            [&checked[..], &["-Y", "tcp.checksum.status == 0 || ip.checksum.status == 0 || _ws.malformed"]];
        assert_eq!(tshark(&path, &bad.concat()), "", "checksums hold and nothing is malformed");
    }
}

fn tshark(file: &Path, arguments: &[&str]) -> String {
    let output =
        Command::new("tshark").arg("-r").arg(file).args(arguments).output().expect("tshark is there");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn is_there(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

fn between<'t>(text: &'t str, start: &str, end: &str) -> Option<&'t str> {
    let from = text.find(start)? + start.len();
    Some(&text[from..from + text[from..].find(end)?])
}
