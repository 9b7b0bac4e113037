//! Loads between clients under test, for which the reference broker serves.
#![cfg(target_os = "linux")]

use std::process::Output;

use super::{MQTTSPEC, mqttspec, reference};

/// A load under a cut and a crash of the server, shorter than those of the suite.
const SCENARIO: &str = "\
title    Messages arrive as their QoS demands
clauses  MQTT-4.3.1-1 MQTT-4.3.2-4 MQTT-4.3.3-8 MQTT-4.3.3-10
versions 5
tests    client
needs    restart durable-store
broker   store=durable
client   d1..d2 sink reference clean_start=0 session_expiry=3600 reconnect_delay=100ms

latency all 20ms..40ms
sink subscribes load/# qos=2
load d1..d2 to load/$client qos=0,1,2 rate=30/s for 2s
wait 500ms
cut d1 sink
wait 500ms
crash broker for 200ms
wait for quiet 20s
qos 0: at most once shows MQTT-4.3.1-1
sink qos 1: at least once shows MQTT-4.3.2-4
sink qos 2: at least once shows MQTT-4.3.3-8
sink qos 2: at most once shows MQTT-4.3.3-10
";

/// Runs the scenario, in a file with this name, on an adapter.
fn run(name: &str, adapter: &str) -> (Output, String) {
    let file = format!("{}/{name}.mqtt", env!("CARGO_TARGET_TMPDIR"));
    std::fs::write(&file, SCENARIO).unwrap();
    let output = mqttspec(&["run", &file, "--client", adapter]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output, text)
}

/// The reference client, whose lines pass this script of sed.
fn through_sed(script: &str) -> String {
    format!("sh -c '\"{MQTTSPEC}\" adapter --reference | sed -u \"{script}\"'")
}

#[test]
fn the_reference_client_keeps_the_guarantees() {
    let (output, text) = run("kept", &reference());
    assert!(output.status.success() && text.contains("1 passed, 0 failed, 0 skipped"), "{text}");
}

#[test]
fn an_adapter_that_loses_messages_is_found() {
    let (output, text) = run("lost", &through_sed("/received.*qos.:1/d"));
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("of the Server 0 times") && text.contains("MQTT-4.3.2-4"), "{text}");
}

#[test]
fn an_adapter_that_doubles_messages_is_found() {
    let (output, text) = run("doubled", &through_sed("/received/p"));
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("of the Server 2 times") && text.contains("MQTT-4.3.3-10"), "{text}");
}

/// It does not connect again, which no clause demands.
#[test]
fn what_a_client_owes_that_does_not_come_back_is_not_judged() {
    let (output, text) = run("left", &through_sed("/:.connected/{x;s/^/x/;/xx/{x;d};x}"));
    assert!(output.status.success(), "{text}");
    assert!(text.contains("1 not judged") && text.contains("is not connected"), "{text}");
}

/// It asks for a Session that ends with its connection.
#[test]
fn a_client_that_does_not_keep_its_session_is_not_judged() {
    let adapter = format!("sh -c 'sed -u s/:3600/:0/ | \"{MQTTSPEC}\" adapter --reference'");
    let (output, text) = run("forgets", &adapter);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("1 not judged") && text.contains("without the Session"), "{text}");
}
