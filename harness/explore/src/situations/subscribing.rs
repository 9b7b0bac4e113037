//! Situations of Servers: retained messages, Subscription Identifiers and Shared Subscriptions.

use super::{Entry, Sketch};
use crate::features::Feature as F;

pub(super) static ENTRIES: &[Entry] = &[
    Entry::server("retained", &[F::Retained, F::Unsubscribe], retained),
    Entry::server("several-identifiers", &[F::SubscriptionIdentifiers, F::Overlap], identifiers).only_5(),
    Entry::server("shared", &[F::Shared, F::Disconnect, F::Unsubscribe], shared).only_5(),
];

fn clients(sketch: &mut Sketch, names: &str, options: &str) {
    sketch.declare(format!("client   {names} reference keep_alive=5 reconnect_attempts=0{options}"));
}

/// Retained messages that are replaced and cleared, and subscriptions that ask for them.
fn retained(sketch: &mut Sketch) {
    clients(sketch, "w", "");
    clients(sketch, "p", "");
    clients(sketch, "d", "");
    sketch.line("ask w subscribe \"#\" qos=1");
    sketch.line("wait 300ms");
    let topics = ["t/a", "t/b"];
    for _ in 0..1 + sketch.below(3) {
        let (topic, qos) = (sketch.one(&topics), 1 + sketch.below(2));
        let qos = sketch.granted(qos);
        let payload = if sketch.chance(25) { String::new() } else { format!(" {}", sketch.payload()) };
        let retain = sketch.maybe(80, " retain");
        sketch.line(format!("ask p publish {topic}{payload} qos={qos}{retain}"));
        sketch.line("wait 300ms");
    }
    for _ in 0..1 + sketch.below(3) {
        let filter = sketch.one(&["t/a", "t/+", "t/b"]);
        let handling = match sketch.is_5() && sketch.chance(60) {
            true => format!(" retain_handling={}", sketch.below(3)),
            false => String::new(),
        };
        let published = if sketch.is_5() { sketch.maybe(20, " retain_as_published") } else { "" };
        sketch.line(format!("ask d subscribe {filter} qos=1{handling}{published}"));
        sketch.line("wait 6s");
        match sketch.below(4) {
            0 => {
                sketch.line(format!("ask d unsubscribe {filter}"));
                sketch.line("wait 300ms");
            }
            1 => {
                let (topic, payload) = (sketch.one(&topics), sketch.payload());
                sketch.line(format!("ask p publish {topic} {payload} qos=1 retain"));
                sketch.line("wait 300ms");
            }
            _ => {}
        }
    }
    sketch.line("wait 3s");
}

/// Subscriptions of one Client that overlap, with Subscription Identifiers.
fn identifiers(sketch: &mut Sketch) {
    clients(sketch, "p", "");
    clients(sketch, "d", "");
    let filters = ["t/a", "t/+", "t/#", "\"#\"", "+/a"];
    let first = sketch.below(5);
    for number in 0..2 + sketch.below(2) {
        let filter = filters[usize::try_from((first + number) % 5).unwrap_or(0)];
        let identifier = match sketch.chance(80) {
            true => format!(" subscription_identifier={}", 1 + sketch.below(300)),
            false => String::new(),
        };
        let qos = 1 + sketch.below(2);
        let qos = sketch.granted(qos);
        sketch.line(format!("ask d subscribe{identifier} {filter} qos={qos}"));
    }
    sketch.line("wait 500ms");
    for _ in 0..1 + sketch.below(3) {
        let (topic, payload, qos) = (sketch.one(&["t/a", "t/b"]), sketch.payload(), 1 + sketch.below(2));
        let qos = sketch.granted(qos);
        sketch.line(format!("ask p publish {topic} {payload} qos={qos}"));
    }
    sketch.line("wait 8s");
}

/// Two groups with one Topic Filter, whose members come and go.
fn shared(sketch: &mut Sketch) {
    clients(sketch, "p", "");
    clients(sketch, "d1..d3", " session_expiry=0 clean_start=1");
    let filter = sketch.one(&["t/a", "t/#", "\"#\""]).trim_matches('"');
    for member in 1..=3 {
        let group = sketch.one(&["g", "g", "h"]);
        sketch.line(format!("ask d{member} subscribe \"\\$share/{group}/{filter}\" qos=1"));
    }
    sketch.line("wait 500ms");
    let publish = |sketch: &mut Sketch| {
        for _ in 0..1 + sketch.below(4) {
            let payload = sketch.payload();
            sketch.line(format!("ask p publish t/a {payload} qos=1"));
        }
        sketch.line("wait 1s");
    };
    publish(sketch);
    if sketch.chance(70) {
        let member = 1 + sketch.below(3);
        match sketch.below(3) {
            0 => sketch.line(format!("ask d{member} disconnect")),
            1 => sketch.line(format!("crash d{member}")),
            _ => sketch.line(format!("ask d{member} unsubscribe \"\\$share/g/{filter}\"")),
        }
        sketch.line("wait 20s");
        publish(sketch);
    }
    sketch.line("wait 7s");
}
