//! The adapter protocol from outside: the reference client as an adapter, and adapters that misbehave.
#![allow(clippy::unwrap_used, reason = "a test that cannot continue fails")]
#![cfg(unix)]

mod load;

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
    assert_eq!(text.matches(": works").count(), 16, "{text}");
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

/// An adapter in bash, in a file with this name: `connect` is what it does when it has answered the
/// command `connect`.
#[cfg(target_os = "linux")]
fn in_bash(name: &str, connect: &str) -> String {
    let script = format!(
        r#"
        open() {{ exec {{link}}<>/dev/tcp/127.0.0.1/$port; printf '\x10\x12\x00\x04MQTT\x04\x02\x00\x3c\x00\x06device' >&$link; }}
        say() {{ echo "{{\"id\":$n,\"ok\":$1}}"; }}
        while read -r line; do
          n=$((n + 1))
          case "$line" in
            *'"hello"'*) say '{{"name":"x","version":"1","versions":["3.1.1"]}}' ;;
            *'"new"'*) port=${{line#*port\":}}; port=${{port%%,*}}; say '{{}}' ;;
            *'"connect"'*) say '{{}}'; {connect} ;;
            *) say '{{}}' ;;
          esac
        done"#
    );
    let file = format!("{}/{name}", env!("CARGO_TARGET_TMPDIR"));
    std::fs::write(&file, script).unwrap();
    file
}

/// The error output of `mqttspec adapter` on such an adapter.
#[cfg(target_os = "linux")]
fn refused_in_bash(name: &str, connect: &str) -> String {
    let output = mqttspec(&["adapter", &format!("bash '{}'", in_bash(name, connect))]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{text}");
    text
}

#[cfg(target_os = "linux")]
#[test]
fn a_client_that_connects_twice_is_an_error() {
    let text = refused_in_bash("twice", "open; open");
    assert!(text.contains("opened a second Network Connection"), "{text}");
}

#[cfg(target_os = "linux")]
#[test]
fn an_adapter_that_crashes_in_a_case_is_an_error() {
    let text = refused_in_bash("crashes", "open; echo 'out of luck' >&2; exit 7");
    assert!(text.contains("the adapter ended (exit status: 7)\n  | out of luck"), "{text}");
}

#[cfg(target_os = "linux")]
#[test]
fn an_adapter_that_hangs_in_a_case_is_an_error() {
    let text = refused_in_bash("hangs", "open; sleep 300");
    assert!(text.contains("did not answer `drop` within 5s"), "{text}");
}

#[cfg(target_os = "linux")]
#[test]
fn an_adapter_that_reports_events_without_end_is_an_error() {
    let text = refused_in_bash("babbles", r#"open; yes '{"event":"disconnected"}'"#);
    assert!(text.contains("more than 100000 events in one case"), "{text}");
}

/// Returns once this holds.
#[cfg(target_os = "linux")]
#[expect(clippy::disallowed_methods, reason = "the processes are real")]
fn wait_until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..500 {
        if holds() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("not within 10 s: {what}");
}

/// Whether the process with the id in this file is gone, or dead and not reaped.
#[cfg(target_os = "linux")]
fn has_ended(file: &str) -> bool {
    let id = std::fs::read_to_string(file).unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", id.trim()));
    stat.map_or(true, |stat| stat.contains(") Z "))
}

#[cfg(target_os = "linux")]
#[test]
fn nothing_that_an_adapter_started_is_left_over() {
    let file = in_bash("starts-another", "sleep 300 & echo $! >\"$0.child\"; exit 7");
    assert_eq!(mqttspec(&["adapter", &format!("bash '{file}'")]).status.code(), Some(2));
    wait_until("the child ends", || has_ended(&format!("{file}.child")));
}

#[cfg(target_os = "linux")]
#[test]
fn no_adapter_is_left_over_after_sigterm() {
    let file = in_bash("waits", "echo $$ >\"$0.tmp\"; mv \"$0.tmp\" \"$0.id\"; sleep 300");
    let id = format!("{file}.id");
    let _ = std::fs::remove_file(&id);
    let mut command = Command::new(MQTTSPEC);
    let mut mqttspec = command.args(["adapter", &format!("bash '{file}'")]).spawn().unwrap();
    wait_until("the adapter starts", || std::fs::exists(&id).unwrap());
    let killed = Command::new("kill").args(["-TERM", &mqttspec.id().to_string()]).status().unwrap();
    assert!(killed.success());
    assert!(!mqttspec.wait().unwrap().success());
    wait_until("the adapter ends", || has_ended(&id));
}
