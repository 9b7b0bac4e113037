//! Situations of Servers: messages that Clients publish again, with Topic Aliases, or without
//! permission.

use super::{Entry, Sketch};
use crate::features::Feature as F;

pub(super) static ENTRIES: &[Entry] = &[
    Entry::server("published-again", &[F::Raw, F::Repeats], again),
    Entry::server("aliases-of-a-client", &[F::Raw, F::TopicAliases], aliases).only_5(),
    Entry::server("refused-by-the-server", &[F::Raw, F::Permissions, F::Refusals], refused),
    Entry::server("equal-messages", &[F::Raw, F::Repeats], equal),
    Entry::server("unknown-identifiers", &[F::Raw, F::Stale], unknown),
    Entry::server("frames-of-a-client", &[F::Raw, F::WebSocket], frames).over_websocket(),
];

fn watched(sketch: &mut Sketch) {
    sketch.declare("client   w reference keep_alive=5 reconnect_attempts=0");
    sketch.line("ask w subscribe \"#\" qos=2");
    sketch.line("wait 300ms");
}

/// A message that is sent again on a new connection, once or twice.
fn again(sketch: &mut Sketch) {
    watched(sketch);
    let expiry = sketch.if_5(" session_expiry=3600");
    let connect = format!("p > CONNECT client_id=p clean_start=0 keep_alive=600{expiry}");
    let (id, payload, qos) = (1 + sketch.below(3), sketch.payload(), 1 + u64::from(sketch.chance(70)));
    let qos = sketch.granted(qos);
    let clause = if sketch.is_5() { "MQTT-4.3.3-10" } else { "MQTT-4.3.3-2" };
    let message = format!("id={id} qos={qos} topic=t/a payload={payload}");
    let answer = if qos == 1 { "PUBACK" } else { "PUBREC" };
    sketch.line(&connect);
    sketch.line("p < CONNACK reason=success");
    sketch.line(format!("p > PUBLISH {message}"));
    if sketch.chance(60) {
        sketch.line(format!("p < {answer} id={id}"));
    }
    let mut kept = true;
    for _ in 0..1 + sketch.below(3) {
        let end = sketch.one(&["p closes", "cut p"]);
        sketch.line(end);
        sketch.line("wait 300ms");
        sketch.line(&connect);
        // The message is known only in the same Session.
        sketch.line("p < CONNACK session_present=1");
        sketch.line(format!("p > PUBLISH dup {message}"));
        if qos == 1 {
            sketch.line(format!("p < {answer} id={id}"));
            kept = false;
        } else {
            sketch.claim(format!("p < {answer} id={id}"), clause);
        }
        if !kept {
            break;
        }
    }
    if qos == 2 {
        sketch.line(format!("p > PUBREL id={id}"));
        sketch.line(format!("p < PUBCOMP id={id}"));
        if sketch.chance(50) {
            let payload = sketch.payload();
            sketch.line(format!("p > PUBLISH id={id} qos=2 topic=t/a payload={payload}"));
            sketch.line(format!("p < PUBREC id={id}"));
            sketch.line(format!("p > PUBREL id={id}"));
        }
    }
    sketch.line("p < anything");
    sketch.line("wait 6s");
}

/// Topic Aliases that are set, used, and set anew, up to what the Server announces.
fn aliases(sketch: &mut Sketch) {
    watched(sketch);
    if sketch.chance(50) && sketch.live.is_none() {
        let maximum = 1 + sketch.below(3);
        sketch.declare(format!("broker   topic_alias_maximum={maximum}"));
    }
    let limit = match sketch.live {
        Some(server) if !server.takes_malformed => server.topic_alias_maximum,
        _ => u64::MAX,
    };
    sketch.line("p > CONNECT client_id=p keep_alive=600");
    sketch.line("p < anything");
    sketch.line("wait 100ms");
    let mut alias = 1;
    for number in 0..2 + sketch.below(5) {
        let payload = sketch.payload();
        let sets = number == 0 || sketch.chance(40);
        if sets {
            alias = sketch.number(&[1, 1, 1, 2, 3, 4, 11]).min(limit);
        }
        let topic = if sets { sketch.one(&["t/a", "t/b", "u"]) } else { "\"\"" };
        let qos = sketch.below(2);
        let id = if qos == 1 { format!(" id={}", number + 1) } else { String::new() };
        sketch.line(format!("p > PUBLISH{id} qos={qos} topic={topic} topic_alias={alias} payload={payload}"));
        if sketch.chance(50) {
            sketch.line("wait 100ms");
        }
    }
    sketch.line("wait 12s");
}

/// Messages that the Server does not authorize, and then one that it does, with the same identifier.
fn refused(sketch: &mut Sketch) {
    watched(sketch);
    sketch.declare("broker   users=\"anonymous; publish t/#; subscribe t/#\"");
    sketch.line("p > CONNECT client_id=p keep_alive=600");
    sketch.line("p < CONNACK");
    for number in 0..2 + sketch.below(3) {
        let (payload, qos) = (sketch.payload(), 1 + sketch.below(2));
        let id = sketch.number(&[1, 1, 2]);
        let topic = if number == 0 { "u" } else { sketch.one(&["t/a", "t/a", "u"]) };
        sketch.line(format!("p > PUBLISH id={id} qos={qos} topic={topic} payload={payload}"));
        let answer = if qos == 1 { "PUBACK" } else { "PUBREC" };
        let expected = format!("p < {answer} id={id}");
        if sketch.is_5() && sketch.chance(50) {
            sketch.claim(expected, if qos == 1 { "MQTT-4.3.2-4" } else { "MQTT-4.3.3-8" });
        } else {
            sketch.line(expected);
        }
        if qos == 2 && (topic == "t/a" || !sketch.is_5()) {
            sketch.line(format!("p > PUBREL id={id}"));
            sketch.line(format!("p < PUBCOMP id={id}"));
        }
    }
    sketch.line("p < anything");
    if sketch.chance(40) {
        sketch.line("p > SUBSCRIBE id=9 u qos=1");
    }
    sketch.line("wait 6s");
}

/// Messages that equal earlier ones.
fn equal(sketch: &mut Sketch) {
    watched(sketch);
    sketch.line("p > CONNECT client_id=p keep_alive=600");
    sketch.line("p < CONNACK");
    let (payload, qos) = (sketch.payload(), 1 + sketch.below(2));
    let qos = sketch.granted(qos);
    for id in 1..=2 + sketch.below(2) {
        sketch.line(format!("p publishes t/a {payload} qos={qos} id={id}"));
    }
    sketch.line("p < anything");
    let payload = sketch.payload();
    sketch.line(format!("p > PUBLISH id=7 qos=1 topic=t/a payload={payload}"));
    sketch.line("wait 8s");
}

/// Acknowledgements of nothing.
fn unknown(sketch: &mut Sketch) {
    sketch.line("p > CONNECT client_id=p keep_alive=600");
    sketch.line("p < CONNACK");
    for _ in 0..1 + sketch.below(3) {
        let id = 60_000 + sketch.below(3);
        match sketch.below(3) {
            0 => sketch.line(format!("p > PUBACK id={id}")),
            1 if sketch.is_5() => {
                sketch.line(format!("p > PUBREL id={id}"));
                sketch.claim(format!("p < PUBCOMP id={id}"), "U5-117");
            }
            1 => {
                // A Server may take it for a violation of the protocol.
                sketch.line(format!("p > PUBREL id={id}"));
                sketch.claim(format!("p < closed or PUBCOMP id={id}"), "MQTT-4.3.3-2");
                return sketch.line("wait 6s");
            }
            _ => sketch.line(format!("p > PUBCOMP id={id}")),
        }
    }
    sketch.line("p < anything");
    sketch.line("p > PINGREQ");
    sketch.line("wait 6s");
}

/// WebSocket frames: their kind, their bounds, and the opening handshake.
fn frames(sketch: &mut Sketch) {
    watched(sketch);
    if sketch.chance(40) {
        let offers = sketch.one(&["mqtt", "mqttv3.1 mqtt", "mqtt mqttv3.1"]);
        sketch.line(format!("p > handshake offering {offers}"));
        sketch.claim("p < handshake selecting mqtt", "MQTT-6.0.0-4");
    }
    let frames = sketch.one(&["", " in frames of 1", " in frames of 7"]);
    sketch.line(format!("p > CONNECT client_id=p keep_alive=600{frames}"));
    sketch.line("p < CONNACK");
    let payload = sketch.payload();
    if sketch.chance(50) {
        sketch.line("p > PINGREQ in one frame with the next");
    }
    let frames = sketch.one(&["", " in frames of 2", " in a text frame", " in a text frame"]);
    sketch.line(format!("p > PUBLISH topic=t/a payload={payload}{frames}"));
    if frames.contains("text") {
        let disconnect = sketch.if_5(" or DISCONNECT reason>=0x80");
        sketch.claim(format!("p < closed{disconnect} or PINGRESP"), "MQTT-6.0.0-1");
    } else {
        sketch.line("p < anything");
        sketch.line("p > PINGREQ");
    }
    sketch.line("wait 5s");
}
