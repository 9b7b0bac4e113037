//! The adapter protocol from outside: the reference client as an adapter, and adapters that misbehave.
#![allow(clippy::unwrap_used, reason = "a test that cannot continue fails")]
#![cfg(unix)]

use std::process::{Command, Output};

const MQTTSPEC: &str = env!("CARGO_BIN_EXE_mqttspec");

fn mqttspec(arguments: &[&str]) -> Output {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    Command::new(MQTTSPEC).current_dir(root).args(arguments).output().unwrap()
}

fn reference() -> String {
    format!("{MQTTSPEC} adapter --reference")
}

/// Runs `mqttspec adapter` on a shell script; returns its error output.
fn refused(script: &str) -> String {
    let output = mqttspec(&["adapter", &format!("sh -c '{script}'")]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{text}");
    text
}

#[test]
fn the_reference_adapter_does_all_that_is_checked() {
    let output = mqttspec(&["adapter", &reference()]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert_eq!(text.matches(": works").count(), 14, "{text}");
}

#[test]
fn the_reference_client_is_judged_over_real_sockets() {
    for file in ["clients/crash-in-mid-flow.mqtt", "clients/inbound-qos2-once.mqtt"] {
        let output = mqttspec(&["run", file, "--client", &reference()]);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("2 passed, 0 failed, 0 skipped"), "{text}");
    }
}

#[test]
fn an_adapter_that_ends_is_an_error_with_its_standard_error() {
    let text = refused("echo no such library >&2; exit 3");
    assert!(text.contains("the adapter ended (exit status: 3)\n  | no such library"), "{text}");
}

#[test]
fn a_line_that_is_not_of_the_protocol_is_an_error() {
    let text = refused("echo Hello; sleep 60");
    assert!(text.contains("a line that is not one of the protocol") && text.contains("Hello"), "{text}");
}

#[test]
fn a_line_without_end_is_an_error() {
    let text = refused("yes | tr -d \"\\n\"");
    assert!(text.contains("without a line break"), "{text}");
}

const HELLO: &str =
    r#"read l; echo "{\"id\":1,\"ok\":{\"name\":\"x\",\"version\":\"1\",\"versions\":[\"3.1.1\"]}}""#;

#[test]
fn an_adapter_that_does_not_answer_is_an_error() {
    let text = refused(&format!("{HELLO}; sleep 60"));
    assert!(text.contains("did not answer `new` within 5s"), "{text}");
}

#[test]
fn a_client_that_never_connects_is_an_error() {
    let answer = r#"n=2; while read l; do echo "{\"id\":$n,\"ok\":{}}"; n=$((n+1)); done"#;
    let text = refused(&format!("{HELLO}; {answer}"));
    assert!(text.contains("opened no Network Connection"), "{text}");
}

#[test]
fn an_event_of_an_unknown_command_is_an_error() {
    let answer =
        r#"read l; echo "{\"id\":2,\"ok\":{}}"; echo "{\"event\":\"published\",\"id\":9}"; sleep 60"#;
    let text = refused(&format!("{HELLO}; {answer}"));
    assert!(text.contains("`published` names the command 9, which is not open"), "{text}");
}
