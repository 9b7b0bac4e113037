//! Situations of Servers: deliveries that a Client limits, refuses or does not finish.

use super::{Entry, Sketch};
use crate::features::Feature as F;

pub(super) static ENTRIES: &[Entry] = &[
    Entry::server("packets-of-the-maximum-size", &[F::Limits], sizes).only_5(),
    Entry::server("refused-by-the-client", &[F::Raw, F::Refusals], refused).only_5(),
    Entry::server("left-unfinished", &[F::Raw, F::Repeats], unfinished),
];

/// The bytes of a PUBLISH of QoS 1 to `t/a` without properties, besides its payload.
const PUBLISH: u64 = 10;

/// Messages as large as the Client takes, and one or two bytes more or less.
fn sizes(sketch: &mut Sketch) {
    let maximum = 40 + sketch.below(60);
    sketch.declare("client   p reference keep_alive=5 reconnect_attempts=0");
    sketch.declare(format!(
        "client   d reference keep_alive=5 reconnect_attempts=0 maximum_packet_size={maximum}"
    ));
    sketch.line("ask d subscribe t/a qos=1");
    sketch.line("wait 300ms");
    for number in 0..2 + sketch.below(3) {
        let length = maximum - PUBLISH + sketch.below(5) - 2;
        let length = usize::try_from(length).unwrap_or(0);
        let payload = format!("{number}{}", "x".repeat(length - 1));
        sketch.line(format!("ask p publish t/a \"{payload}\" qos=1"));
    }
    sketch.line("wait 10s");
}

/// A subscriber that refuses messages.
fn refused(sketch: &mut Sketch) {
    sketch.declare("client   p reference keep_alive=5 reconnect_attempts=0");
    sketch.line("d > CONNECT client_id=d clean_start=0 keep_alive=600 session_expiry=3600");
    sketch.line("d < CONNACK");
    sketch.line("d > SUBSCRIBE id=1 t/a qos=2");
    sketch.line("d < SUBACK id=1");
    let count = 1 + sketch.below(3);
    for number in 1..=count {
        let (payload, qos) = (sketch.payload(), 1 + u64::from(sketch.chance(70)));
        let qos = sketch.granted(qos);
        sketch.line(format!("ask p publish t/a {payload} qos={qos}"));
        sketch.line(format!("d < PUBLISH id=$m{number}"));
        let reason = if sketch.chance(70) { sketch.one(&[" reason=0x80", " reason=0x97"]) } else { "" };
        let answer = if qos == 1 { "PUBACK" } else { "PUBREC" };
        sketch.line(format!("d > {answer} id=$m{number}{reason}"));
        if qos == 2 && reason.is_empty() {
            sketch.line(format!("d < PUBREL id=$m{number}"));
            sketch.line(format!("d > PUBCOMP id=$m{number}"));
        }
    }
    sketch.line("d < anything");
    sketch.line("wait 3s");
    if sketch.chance(50) {
        sketch.line("d closes");
        sketch.line("d > CONNECT client_id=d clean_start=0 keep_alive=600 session_expiry=3600");
        sketch.line("d < anything");
        sketch.line("wait 6s");
    }
}

/// A subscriber whose connection ends in the middle of an exchange.
fn unfinished(sketch: &mut Sketch) {
    sketch.declare("client   p reference keep_alive=5 reconnect_attempts=0");
    let expiry = sketch.if_5(" session_expiry=3600");
    let connect = format!("d > CONNECT client_id=d clean_start=0 keep_alive=600{expiry}");
    sketch.line(&connect);
    sketch.line("d < CONNACK");
    sketch.line("d > SUBSCRIBE id=1 t/a qos=2");
    sketch.line("d < SUBACK id=1");
    for number in 1..=1 + sketch.below(3) {
        let (payload, qos) = (sketch.payload(), 1 + u64::from(sketch.chance(70)));
        let qos = sketch.granted(qos);
        sketch.line(format!("ask p publish t/a {payload} qos={qos}"));
        sketch.line(format!("d < PUBLISH id=$m{number}"));
        if qos == 2 && sketch.chance(60) {
            sketch.line(format!("d > PUBREC id=$m{number}"));
            if sketch.chance(50) {
                sketch.line(format!("d < PUBREL id=$m{number}"));
            }
        }
    }
    let end = sketch.one(&["d closes", "cut d"]);
    sketch.line(end);
    sketch.line("wait 200ms");
    sketch.line(&connect);
    sketch.line("d < anything");
    sketch.line("wait 8s");
}
