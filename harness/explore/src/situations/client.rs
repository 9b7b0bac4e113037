//! Situations of clients. In most of them the harness plays the Server.

use super::script::Script;
use super::{Entry, Sketch};
use crate::features::Feature as F;
use crate::moves::malformed;

pub(super) static ENTRIES: &[Entry] = &[
    Entry::client("exchanges", &[F::Qos1, F::Qos2], exchanges),
    Entry::client("acknowledged-by-hand", &[F::Qos1, F::Qos2, F::Refusals], by_hand),
    Entry::client("malformed-from-the-server", &[F::Malformed], malformed_packet),
    Entry::client("disconnected-by-the-application", &[F::Disconnect], disconnected),
    Entry::client("limits-of-the-server", &[F::Limits], limits).only_5(),
    Entry::client("what-it-is-asked", &[F::Characters], fields),
    Entry::client("aliases-move", &[F::TopicAliases], aliases).only_5(),
    Entry::client("authenticates", &[F::Auth], authenticates).only_5(),
    Entry::client("text-frames", &[F::WebSocket], text_frames).over_websocket(),
];

fn exchanges(sketch: &mut Sketch) {
    let options = sketch.maybe(20, " receive_maximum=2");
    let options = if sketch.is_5() { options } else { "" };
    let mut script = Script::new(sketch, options, "");
    for _ in 0..1 + script.sketch.below(5) {
        script.exchange();
    }
    match script.sketch.below(4) {
        0 => script.loses(true),
        1 => script.loses(false),
        2 => script.begins_anew(),
        _ => {}
    }
    script.ends();
}

/// The application acknowledges messages itself, refuses some, and some too late.
fn by_hand(sketch: &mut Sketch) {
    let mut script = Script::new(sketch, " acknowledgement=manual", "");
    for _ in 0..1 + script.sketch.below(3) {
        let id = script.identifier();
        let qos = 1 + script.sketch.below(2);
        for _ in 0..1 + script.sketch.below(2) {
            let (topic, payload) = (script.topic(), script.sketch.payload());
            script.line(&format!("device < PUBLISH id={id} qos={qos} topic={topic} payload={payload}"));
            script.line("wait 100ms");
            if script.sketch.chance(25) {
                // Not acknowledged before the connection ends.
                script.loses(true);
                return script.ends();
            }
            let refuses = script.sketch.is_5() && script.sketch.chance(50);
            let reason = if refuses { " reason=quota-exceeded" } else { "" };
            script.line(&format!("ask device acknowledge {topic} {payload}{reason}"));
            let answer = if qos == 1 { "PUBACK" } else { "PUBREC" };
            script.line(&format!("device > {answer} id={id}"));
            if qos == 2 && refuses {
                return after_a_refusal(&mut script, id);
            }
            if qos == 2 {
                script.line(&format!("device < PUBREL id={id}"));
                script.line(&format!("device > PUBCOMP id={id}"));
            }
        }
    }
    script.ends();
}

/// The identifier of a message that the application has refused is free: the next one is new.
fn after_a_refusal(script: &mut Script<'_>, id: u64) {
    let (topic, payload) = (script.topic(), script.sketch.payload());
    script.line(&format!("device < PUBLISH id={id} qos=2 topic={topic} payload={payload}"));
    script.line("either");
    // A client that answers before its application does.
    script.line(&format!("  device > PUBREC id={id}"));
    script.line(&format!("  device < PUBREL id={id}"));
    script.line(&format!("  device > PUBCOMP id={id}"));
    script.line("or may");
    script.line("  device > nothing for 1s");
    script.line(&format!("  ask device acknowledge {topic} {payload}"));
    script.line(&format!("  device > PUBREC id={id}"));
    script.ends();
}

fn malformed_packet(sketch: &mut Sketch) {
    let mut script = Script::new(sketch, " reconnect=0", "");
    if script.sketch.chance(50) {
        script.exchange();
    }
    script.anything();
    let lines = malformed::of_server(script.sketch.version);
    let line = script.sketch.one(&lines);
    script.line(&format!("device < {line}"));
    script.line("wait 15s");
}

fn disconnected(sketch: &mut Sketch) {
    let mut script = Script::new(sketch, " reconnect=0", "");
    for _ in 0..script.sketch.below(3) {
        script.exchange();
    }
    script.anything();
    script.line("ask device disconnect");
    script.line("wait 15s");
}

/// What CONNACK rules out.
fn limits(sketch: &mut Sketch) {
    let choices = [
        format!(" maximum_qos={}", sketch.below(2)),
        " retain_available=0".to_owned(),
        format!(" server_keep_alive={}", 5 + sketch.below(10)),
        format!(" maximum_packet_size={}", 24 + sketch.below(24)),
        format!(" receive_maximum={}", 1 + sketch.below(2)),
        format!(" topic_alias_maximum={}", sketch.below(3)),
    ];
    let mut connack = String::new();
    for choice in &choices {
        if sketch.chance(40) {
            connack.push_str(choice);
        }
    }
    let options = format!(" reconnect=0{}", sketch.maybe(50, " topic_aliases=true"));
    let mut script = Script::new(sketch, &options, &connack);
    script.anything();
    // What the application asked for before CONNACK is older than its limits.
    script.line("wait 4s");
    for _ in 0..2 + script.sketch.below(5) {
        let (topic, payload, qos) = (script.topic(), script.sketch.payload(), script.sketch.below(3));
        let payload = match script.sketch.chance(30) {
            true => format!("{}{}\"", payload.trim_end_matches('"'), "x".repeat(30)),
            false => payload,
        };
        let retain = script.sketch.maybe(30, " retain");
        script.line(&format!("ask device publish {topic} {payload} qos={qos}{retain}"));
        if script.sketch.chance(30) {
            script.line("wait 1s");
        }
    }
    script.line("wait 40s");
}

/// The fields of CONNECT, and topics and payloads of every form.
fn fields(sketch: &mut Sketch) {
    let mut options = String::new();
    if sketch.chance(50) {
        let (qos, retain) = (sketch.below(3), sketch.maybe(50, " will_retain=true"));
        options = format!(" will_topic=t/a will_payload=gone will_qos={qos}{retain}");
    }
    sketch.declare(format!("client   device reference reconnect=0{options}"));
    let clean = sketch.below(2);
    let identifier = if clean == 1 { sketch.maybe(50, " client_id=\"\"") } else { "" };
    let user = sketch.maybe(30, " user_name=me password=\"secret\"");
    sketch.line(format!("ask device connect clean_start={clean} keep_alive=3600{identifier}{user}"));
    sketch.line("device > CONNECT");
    let assigned = if identifier.is_empty() { "" } else { sketch.if_5(" assigned_client_id=given") };
    sketch.line(format!("device < CONNACK session_present=0{assigned}"));
    sketch.line("device > anything");
    for _ in 0..1 + sketch.below(4) {
        let topic = sketch.one(&["t/a", "jobs/1", "\"\\u{feff}t/a\"", "t//b", "T/a", "\"caf\\u{e9}\""]);
        match sketch.below(4) {
            0 => {
                let filter = sketch.one(&["t/a", "a/#", "+/b", "\"#\"", "\"\\u{feff}t/a\"", "jobs/1"]);
                sketch.line(format!("ask device subscribe {filter} qos=1"));
            }
            1 => {
                let qos = sketch.below(3);
                let id = if qos == 0 { String::new() } else { format!(" id={}", 1 + sketch.below(9)) };
                let payload = sketch.payload();
                sketch.line(format!("device < PUBLISH{id} qos={qos} topic={topic} payload={payload}"));
            }
            _ => {
                let (qos, retain) = (sketch.below(3), sketch.maybe(20, " retain"));
                let payload = match sketch.chance(40) {
                    // The Remaining Length has two bytes.
                    true => format!("{}{}\"", sketch.payload().trim_end_matches('"'), "x".repeat(130)),
                    false => sketch.payload(),
                };
                let response = match sketch.is_5() && sketch.chance(30) {
                    true => " response_topic=answers/device",
                    false => "",
                };
                sketch.line(format!("ask device publish {topic} {payload} qos={qos}{retain}{response}"));
            }
        }
    }
    sketch.line("wait 12s");
}

/// More topics than Topic Aliases.
fn aliases(sketch: &mut Sketch) {
    let maximum = 1 + sketch.below(2);
    let connack = format!(" topic_alias_maximum={maximum}");
    let mut script = Script::new(sketch, " topic_aliases=true", &connack);
    script.anything();
    for _ in 0..6 + script.sketch.below(10) {
        let topic = script.sketch.one(&["jobs/1", "jobs/2", "jobs/3"]);
        let payload = script.sketch.payload();
        script.line(&format!("ask device publish {topic} {payload} qos=0"));
    }
    script.line("wait 5s");
}

/// Enhanced authentication, also on the open connection, with a right or a wrong signature.
fn authenticates(sketch: &mut Sketch) {
    let method = "authentication_method=SCRAM-SHA-256";
    let first = "authentication_data={scram=client-first user_name=me}";
    let challenge = format!(
        "device < AUTH reason=continue-authentication {method} \
         authentication_data={{scram=server-first password=\"secret\"}}"
    );
    sketch.declare("client   device reference authentication=scram-sha-256 reconnect=0");
    sketch.line("ask device connect clean_start keep_alive=3600 user_name=me password=\"secret\"");
    sketch.line(format!("device > CONNECT {method} {first}"));
    sketch.line(&challenge);
    sketch.line("device > AUTH reason=continue-authentication authentication_data={scram=client-final}");
    sketch.line(format!("device < CONNACK {method} authentication_data={{scram=server-final}}"));
    sketch.line("ask device reauthenticate");
    sketch.line(format!("device > AUTH {first}"));
    let meanwhile = sketch.chance(50);
    if meanwhile {
        let payload = sketch.payload();
        sketch.line(format!("device < PUBLISH id=7 qos=1 topic=t/a payload={payload}"));
        sketch.line("device > PUBACK id=7");
    }
    if sketch.chance(20) {
        sketch.line("device > anything");
        return sketch.line("wait 12s");
    }
    sketch.line(&challenge);
    sketch.line("device > AUTH reason=continue-authentication authentication_data={scram=client-final}");
    if sketch.chance(50) {
        let wrong = "authentication_data=\"v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"";
        sketch.line(format!("device < AUTH reason=success {method} {wrong}"));
        sketch.claim("device > closed or DISCONNECT", "MQTT-4.12.1-2");
    } else {
        sketch.line(format!(
            "device < AUTH reason=success {method} authentication_data={{scram=server-final}}"
        ));
        sketch.line("device > anything");
        sketch.line("wait 5s");
    }
}

fn text_frames(sketch: &mut Sketch) {
    let offers = sketch.chance(50);
    sketch.declare("client   device reference reconnect=0");
    sketch.line("ask device connect clean_start keep_alive=3600");
    if offers {
        let clause = "MQTT-6.0.0-3";
        sketch.claim("device > handshake offering mqtt", clause);
    }
    sketch.line("device > CONNECT");
    sketch.line("device < CONNACK");
    let payload = sketch.payload();
    if sketch.chance(60) {
        let payload = sketch.payload();
        sketch.line(format!("ask device publish t/a {payload} qos=1"));
        sketch.line("device > PUBLISH id=$p");
        sketch.line("device < PUBACK id=$p");
    }
    let text = sketch.maybe(60, " in a text frame");
    sketch.line(format!("device < PUBLISH topic=t/a payload={payload}{text}"));
    if text.is_empty() {
        sketch.line("device > anything");
        sketch.line("wait 5s");
    } else {
        sketch.claim("device > closed or DISCONNECT reason>=0x80", "MQTT-6.0.0-1");
    }
}
