//! Transcripts of runs, as `mqttspec trace` prints them: one scenario each of several areas.
//! A change of the broker, the world or the notation that moves a byte or a nanosecond shows here.

use crate::common::{played, scenarios, snapshot};
use mqttspec_judge::verdict::Verdict;
use mqttspec_reports::{html, markdown, resilience, seconds, terminal};
use mqttspec_runner::run::run;
use mqttspec_runner::suite::{self, KeepTrace, Selection, SuiteOptions};

#[test]
fn a_will_is_published_when_its_owner_falls_silent() {
    transcript("wills/published-when-owner-falls-silent.mqtt");
}

#[test]
fn a_will_with_a_delay_is_published_once() {
    transcript("wills/published-after-will-delay.mqtt");
}

#[test]
fn qos_2_continues_with_pubrel_after_a_cut() {
    transcript("qos2/to-subscriber-cut-after-pubrec.mqtt");
}

#[test]
fn a_qos_2_publish_repeated_after_a_cut_is_delivered_once() {
    transcript("qos2/to-server-cut-before-or-after-pubrec.mqtt");
}

#[test]
fn a_packet_identifier_in_flight_is_kept_over_a_reconnect() {
    transcript("packet-identifiers/kept-over-a-reconnect.mqtt");
}

#[test]
fn the_report_of_the_wills() {
    let suite = played("wills/", KeepTrace::None);
    let report = [markdown::report(&suite), markdown::statements(&suite)].concat();
    // The tables count the clauses that these files do not show; a line for each would hide the
    // others.
    let shown: String = report
        .lines()
        .filter(|line| {
            !line.contains("| not exercised |  |") && !line.starts_with("| [") || line.contains("| shown |")
        })
        .map(|line| format!("{line}\n"))
        .collect();
    snapshot("report-of-the-wills", &shown);
}

/// The project's resilience table: every fault profile under all its seeds. One version is enough,
/// as the other differs little.
#[test]
fn results_of_a_steady_load_under_each_fault_profile() {
    let five = Some(mqttspec_codec::Version::V5);
    let selection = Selection { filters: vec!["faults/".into()], version: five, ..Selection::default() };
    let plan = suite::plan(&suite::read_folder(&scenarios()).expect("the project's scenarios"), &selection);
    let options = SuiteOptions { keep: KeepTrace::None, ..SuiteOptions::default() };
    let suite = suite::run_all(&plan, &options, &mut |_, _, _| {});
    let table = |width| anstream::adapter::strip_str(&terminal::resilience(&suite, width)).to_string();
    let (wide, narrow) = (table(240), table(80));
    assert!(narrow.lines().all(|line| line.chars().count() <= 80), "{narrow}");
    let markdown = markdown::report(&suite);
    let start = markdown.find("<details><summary>Under a steady load").expect("the table is there");
    let end = start + markdown[start..].find("</details>").expect("it has an end");
    let page = html::page(std::slice::from_ref(&suite)).expect("a page");
    for row in resilience::rows(&suite) {
        assert!(page.contains(&format!("<td>{}</td>", row.cells[0])), "{} is on the page", row.cells[0]);
    }
    snapshot("resilience", &[wide.as_str(), narrow.as_str(), &markdown[start..end]].join("\n"));
}

fn transcript(file: &str) {
    let sources = suite::read_folder(&scenarios()).expect("the project's scenarios");
    let plan = suite::plan(&sources, &Selection { filters: vec![file.into()], ..Selection::default() });
    let case = plan.cases.last().expect("the file is there and can be read");
    let result = run(case, 0);
    assert_eq!(result.verdict, Verdict::Pass, "{:?}", result.failures);
    let mut text = format!("# {}: {}\n", case.name(), case.scenario.title);
    for (what, drawn) in &result.drawn {
        text.push_str(&format!("# drawn from the seed: {what} = {drawn}\n"));
    }
    for line in result.trace.transcript() {
        text.push_str(&format!("{:>12}  {}\n", seconds(line.at_ns, 6), line.text));
    }
    snapshot(&file.trim_end_matches(".mqtt").replace('/', "-"), &text);
}
