//! The client loses no QoS 1 message, and a seed repeats its history in other processes.

use mqttspec_world_peers::{MESSAGES, run};
use std::process::Command;

#[test]
fn no_message_of_qos_1_is_lost_under_partition_and_crash() {
    for seed in 0..5 {
        let outcome = run(seed);
        assert_eq!(outcome.output.len(), MESSAGES as usize, "{}", outcome.trace);
        let text = outcome.trace.to_string();
        assert!(text.contains("disconnected"), "the faults had no effect: {text}");
    }
}

#[test]
fn a_seed_repeats_the_client_over_processes() {
    let processes: u32 =
        std::env::var("MQTTSPEC_WORLD_PROCESSES").ok().and_then(|text| text.parse().ok()).unwrap_or(5);
    let print = || {
        let child = Command::new(env!("CARGO_BIN_EXE_mqttspec-world-peers")).args(["1", "2", "3"]).output();
        String::from_utf8(child.expect("it starts").stdout).expect("text")
    };
    let first = print();
    assert_eq!(first.lines().count(), 3, "{first}");
    for _ in 1..processes {
        assert_eq!(print(), first);
    }
}
