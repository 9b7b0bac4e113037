//! Transcripts of real runs, reviewed: one scenario of each family that the product is named for, as `mqttspec trace` prints it.
//! A change of the broker, the world or the notation that moves a byte or a nanosecond shows here.

mod common;

use common::{scenarios, snapshot};
use mqttspec_reports::{markdown, seconds};
use mqttspec_scenarios::run::run;
use mqttspec_scenarios::suite::{self, KeepTrace, Selection};
use mqttspec_scenarios::verdict::Verdict;

#[test]
fn a_will_is_published_when_its_owner_falls_silent() {
    transcript("wills/published-when-owner-falls-silent.mqtt");
}

#[test]
fn a_will_with_a_delay_is_published_once() {
    transcript("wills/published-after-will-delay.mqtt");
}

#[test]
fn qos_2_goes_on_with_pubrel_after_a_cut() {
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
    let suite = common::played("wills/", KeepTrace::None);
    let report = [markdown::report(&suite), markdown::statements(&suite)].concat();
    // What these files do not show is counted in the tables; a line for each such statement would hide the others.
    let shown: String = report
        .lines()
        .filter(|line| {
            !line.contains("| not exercised |  |") && !line.starts_with("| [") || line.contains("| shown |")
        })
        .map(|line| format!("{line}\n"))
        .collect();
    snapshot("report-of-the-wills", &shown);
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
