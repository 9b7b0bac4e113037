//! What `ask` gives a client and what `told` takes from it: one command for each `ask`, and for
//! each `told` a report of its own command.

use mqttspec_judge::Case;
use mqttspec_judge::results::RunResult;
use mqttspec_judge::trace::TraceKind;
use mqttspec_judge::verdict::Verdict;
use mqttspec_runner::run::run;

use crate::common;

/// A scenario of MQTT 5.0 that tests a client.
fn case(client: &str, body: &str) -> Case {
    common::case(&format!("tests    client\n{client}"), body)
}

/// Runs the case under each of the seeds; the first run that is not as wanted is shown.
fn under_seeds(case: &Case, seeds: u64, mut check: impl FnMut(&RunResult) -> Result<(), String>) {
    for seed in 0..seeds {
        let run = run(case, seed);
        if let Err(wrong) = check(&run) {
            let lines: Vec<String> =
                run.trace.events.iter().map(mqttspec_judge::trace::TraceEvent::line_text).collect();
            panic!("seed {seed}: {wrong}\n{}\n{:?}", lines.join("\n"), run.failures);
        }
    }
}

fn passes(run: &RunResult) -> Result<(), String> {
    if run.verdict == Verdict::Pass { Ok(()) } else { Err(format!("{} {}", run.verdict, run.reason)) }
}

fn told<'r>(run: &'r RunResult, word: &str) -> Vec<&'r str> {
    let of_kind = run.trace.events.iter().filter(|event| event.kind == TraceKind::Told);
    of_kind.map(|event| event.text.as_str()).filter(|text| text.contains(word)).collect()
}

#[test]
fn a_refused_client_reports_the_refusal_and_nothing_else() {
    let case = case(
        "client   device reference reconnect=0\n",
        "ask device connect clean_start keep_alive=0
device > CONNECT
device < CONNACK reason=server-unavailable
told device failed reason=server-unavailable
",
    );
    under_seeds(&case, 1000, |run| {
        passes(run)?;
        match told(run, "failed").len() {
            1 => Ok(()),
            count => Err(format!("{count} reports of a failure")),
        }
    });
}

#[test]
fn an_accepted_client_reports_no_failure() {
    let case = case(
        "",
        "ask device connect clean_start keep_alive=0
device > CONNECT
device < CONNACK
told device connected
device > nothing for 1s
",
    );
    under_seeds(&case, 1000, |run| {
        passes(run)?;
        if told(run, "failed").is_empty() { Ok(()) } else { Err("a failure is reported".to_owned()) }
    });
}

#[test]
fn a_client_that_is_started_again_gets_the_one_command_that_the_scenario_gives() {
    let case = case(
        "",
        "ask device connect clean_start=0 keep_alive=0 session_expiry=3600
device > CONNECT
device < CONNACK
crash device
start device after 1s
ask device connect clean_start=0 keep_alive=0 session_expiry=3600
device > CONNECT
device < CONNACK session_present
told device connected session_present
device > nothing for 1s
",
    );
    under_seeds(&case, 200, |run| {
        passes(run)?;
        if told(run, "failed").is_empty() { Ok(()) } else { Err("a failure is reported".to_owned()) }
    });
}

/// The failure of the first publication must not meet a line about the second one.
#[test]
fn a_failure_of_another_command_is_not_taken() {
    let case = case(
        "",
        "ask device connect clean_start keep_alive=0
device > CONNECT
device < CONNACK
ask device publish jobs/1 \"one\" qos=1
device > PUBLISH id=$one qos=1
device < PUBACK id=$one reason=not-authorized
ask device publish jobs/2 \"two\" qos=1
device > PUBLISH id=$two qos=1
told device failed
",
    );
    under_seeds(&case, 20, |run| match (run.verdict, run.failures.first()) {
        (Verdict::Fail, Some(failure)) if failure.source.starts_with("told device failed") => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

/// A connection that is lost later is no end of the command that asked for one.
#[test]
fn a_report_that_belongs_to_no_command_is_not_taken_for_one_of_a_command() {
    let case = case(
        "client   device reference reconnect_delay=1s\n",
        "ask device connect clean_start=0 keep_alive=0 session_expiry=3600
device > CONNECT
device < CONNACK
told device connected
cut device
within 5s device > CONNECT
device < CONNACK session_present
wait 1s
# The loss of the connection was reported before this is asked.
ask device disconnect
told device disconnected error=network
",
    );
    under_seeds(&case, 20, |run| match (run.verdict, run.failures.first()) {
        (Verdict::Fail, Some(failure)) if failure.source.starts_with("told device disconnected") => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

/// What no line took before is still there for a line that expects what the client reports by
/// itself.
#[test]
fn a_spontaneous_report_meets_a_line_that_expects_it() {
    let case = case(
        "client   device reference reconnect_delay=1s\n",
        "ask device connect clean_start=0 keep_alive=0 session_expiry=3600
device > CONNECT
device < CONNACK
told device connected session_present=0
cut device
told device disconnected error=network
within 5s device > CONNECT
device < CONNACK session_present
told device connected session_present
",
    );
    under_seeds(&case, 100, passes);
}
