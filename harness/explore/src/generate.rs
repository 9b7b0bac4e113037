//! Draws a scenario file from a seed: a safety phase with faults, then a liveness phase, in which
//! everything is healed and connected and the run becomes quiet.

use std::fmt::Write as _;

use mqttspec_codec::{Role, Version};
use mqttspec_notation as notation;
use mqttspec_world::Seed;

use crate::features::Feature;
use crate::moves::Writer;
use crate::situations::Situation;
use crate::swarm::Swarm;

/// The text of the scenario of a seed, in canonical layout. The swarm is its first comment.
#[must_use]
pub fn generate(seed: u64, swarm: &Swarm) -> String {
    canonical(draft(seed, swarm))
}

/// The same scenario in any layout, which is enough to run it.
pub(crate) fn draft(seed: u64, swarm: &Swarm) -> String {
    if let Some(situation) = swarm.situation {
        return of_situation(seed, swarm, situation);
    }
    let draw = Seed::new(seed).child("moves").draw();
    let mut writer = Writer::new(swarm, draw);
    writer.safety_phase();
    writer.liveness_phase();
    let broker = match writer.broker().is_empty() {
        true => String::new(),
        false => format!("broker   {}\n", writer.broker().join(" ")),
    };
    let mut text = header(seed, swarm, writer.claims(), swarm.has(Feature::WebSocket));
    text.push_str(&broker);
    text.push_str(writer.body());
    text.push_str(&checks(swarm));
    text
}

fn of_situation(seed: u64, swarm: &Swarm, situation: Situation) -> String {
    let sketch = situation.sketch(seed, swarm.version, swarm.live);
    let mut text = header(seed, swarm, sketch.claims.iter().copied(), sketch.over_websocket);
    text.push_str(&sketch.header);
    text.push('\n');
    text.push_str(&sketch.body);
    text.push_str(&checks(swarm));
    text
}

/// The text in canonical layout, if it is a scenario.
pub(crate) fn canonical(text: String) -> String {
    notation::parse("generated.mqtt", &text).map_or(text, |scenario| notation::print(&scenario))
}

fn header(
    seed: u64,
    swarm: &Swarm,
    claims: impl Iterator<Item = &'static str>,
    over_websocket: bool,
) -> String {
    let mut text = String::new();
    let version = match swarm.version {
        Version::V3_1 => "3.1",
        Version::V3_1_1 => "3.1.1",
        Version::V5 => "5",
    };
    let clauses = if swarm.is_calm() {
        match swarm.version {
            Version::V5 => "MQTT-4.3.1-1 MQTT-4.3.2-3 MQTT-4.3.3-10 MQTT-4.6.0-5",
            _ => "MQTT-4.3.1-1 MQTT-4.3.2-1 MQTT-4.3.3-2 MQTT-4.6.0-6",
        }
    } else {
        "MQTT-4.3.1-1"
    };
    let _ = writeln!(text, "# Seed {seed}: {swarm}");
    let _ = writeln!(text, "title    Generated from seed {seed}");
    let claims: Vec<&str> = clauses
        .split(' ')
        .chain(claims.filter(|claim| clauses.split(' ').all(|clause| clause != *claim)))
        .collect();
    let _ = writeln!(text, "clauses  {}", claims.join(" "));
    let _ = writeln!(text, "versions {version}");
    if swarm.tests == Role::Client {
        text.push_str("tests    client\n");
    }
    if over_websocket {
        text.push_str("over     websocket\n");
    }
    text
}

/// The delivery checks. A file needs one line that shows a clause: without any, each line would
/// show all of them.
fn checks(swarm: &Swarm) -> String {
    let [once, least, most, order] = match swarm.version {
        Version::V5 => ["MQTT-4.3.1-1", "MQTT-4.3.2-3", "MQTT-4.3.3-10", "MQTT-4.6.0-5"],
        _ => ["MQTT-4.3.1-1", "MQTT-4.3.2-1", "MQTT-4.3.3-2", "MQTT-4.6.0-6"],
    };
    if swarm.situation.is_some() && swarm.tests == Role::Client {
        return format!("qos 0: at most once shows {once}\n");
    }
    if !swarm.is_calm() {
        return format!("nothing more shows {once}\n");
    }
    format!(
        "qos 0: at most once shows {once}\nqos 1: at least once shows {least}\n\
         qos 2: exactly once shows {most}\nqos 1: in order of first delivery shows {order}\n"
    )
}
