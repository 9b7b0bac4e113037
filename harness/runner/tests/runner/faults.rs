//! What the faults of a scenario do in the simulated world, and what it refuses.

use mqttspec_judge::results::RunResult;
use mqttspec_judge::trace::TraceKind;
use mqttspec_judge::verdict::Verdict;
use mqttspec_runner::run::run;

use crate::common::case;

fn passes(header: &str, body: &str) -> RunResult {
    let run = run(&case(header, body), 0);
    let lines: Vec<String> =
        run.trace.events.iter().map(mqttspec_judge::trace::TraceEvent::line_text).collect();
    assert_eq!(run.verdict, Verdict::Pass, "{}\n{}\n{:?}", run.reason, lines.join("\n"), run.failures);
    run
}

fn is_skipped(body: &str, reason: &str) {
    let run = run(&case("broker   store=durable\n", body), 0);
    assert_eq!((run.verdict, run.reason.as_str()), (Verdict::Skip, reason));
}

#[test]
fn high_latency_adds_to_the_latency_that_the_scenario_set_and_restores_it() {
    passes(
        "",
        "device connects keep_alive=0
latency device 1s
profile high-latency device
device > PINGREQ
between 2.99s..3.01s device < PINGRESP
wait 10s
device > PINGREQ
between 1.99s..2.01s device < PINGRESP
",
    );
}

#[test]
fn heal_restores_the_latency_that_the_link_has_without_faults() {
    passes(
        "",
        "device connects keep_alive=0
latency device 1s
heal device
device > PINGREQ
between 3ms..5ms device < PINGRESP
",
    );
}

#[test]
fn a_fault_that_ends_by_itself_does_not_end_another_of_its_kind() {
    passes(
        "",
        "device connects keep_alive=0
partition device for 20s
partition device for 2s
device > PINGREQ
after 19s device < PINGRESP
",
    );
}

#[test]
fn disk_loss_fails_the_power_at_a_write_and_not_at_once() {
    let run = passes(
        "broker   store=durable\n",
        "device connects clean_start=0 session_expiry=100
profile disk-loss broker
wait 1s
device pings
device > PUBLISH id=1 qos=1 retain topic=a/b payload=\"x\"
device < anything
wait 10s
device connects clean_start=0 session_expiry=100
",
    );
    let at = |text: &str| {
        let event = run.trace.events.iter().find(|event| event.text.contains(text));
        event.map_or_else(|| panic!("no {text}"), |event| event.at_ns)
    };
    assert!(at("crash broker") > at("PINGRESP"), "the power fails when the server writes");
}

#[test]
fn a_sound_disk_under_a_crash_is_refused_with_the_reason() {
    let reason = "disk broker sound is not supported: a simulated disk never keeps unsynced writes when the power fails";
    is_skipped("disk broker sound\ndevice connects\ncrash broker for 1s\nwait 2s\n", reason);
    // Where no power fails, a disk that keeps everything is any disk.
    passes("broker   store=durable\n", "disk broker sound\ndevice connects\n");
}

#[test]
fn a_disk_that_loses_whole_writes_beside_one_that_tears_them_is_refused_with_the_reason() {
    is_skipped(
        "disk broker lose-unsynced\ndevice connects\nprofile disk-loss broker\nwait 20s\n",
        "disk broker lose-unsynced is not supported: the disks of this run tear unsynced writes, because another line asks for that",
    );
    passes(
        "broker   store=durable\n",
        "disk broker lose-unsynced\ndevice connects\ncrash broker for 1s\nwait 2s\ndevice connects\n",
    );
}

#[test]
fn a_fault_that_begins_when_its_host_is_down_breaks_the_run() {
    let run = run(&case("", "device connects\ncrash broker\ncrash broker\n"), 0);
    assert_eq!((run.verdict, run.reason.as_str()), (Verdict::Error, "the host \"broker\" is down"));
}

#[test]
fn the_end_of_a_fault_is_recorded_with_its_text() {
    let run = passes("", "device connects\nstall device for 1s\nwait 2s\n");
    let ended: Vec<&str> = run
        .trace
        .events
        .iter()
        .filter(|event| event.kind == TraceKind::FaultEnded)
        .map(|event| event.text.as_str())
        .collect();
    assert_eq!(ended, ["# stall device for 1s: over"]);
}

#[test]
fn what_follows_the_end_of_a_connection_after_anything_is_left_out() {
    let run = passes(
        "",
        "device > CONNECT
device < anything
device > CONNECT
wait 1s
device > PINGREQ
wait 1s
device > CONNECT
device < CONNACK
",
    );
    let sent: Vec<&str> = run.trace.events.iter().map(|event| event.text.as_str()).collect();
    assert!(!sent.iter().any(|text| text.contains("PINGREQ")), "{sent:?}");
}
