//! Over WebSocket, packets are in binary frames.
//!
//! MQTT 5.0 §6, 3.1.1 §6.

use super::exchanges::Judgement;
use super::observation::{Observation, Seen};
use super::{Clauses, Monitor, Watcher};
use crate::finding::Finding;
use crate::history::ConnectionKey;

const BINARY: Clauses = Clauses::both(&["MQTT-6.0.0-1"], &["MQTT-6.0.0-1"]);

pub(super) const MONITOR: Monitor =
    Monitor { name: "WebSocket frames", rules: &[BINARY], watcher: || Box::new(Frames) };

struct Frames;

impl Watcher for Frames {
    fn see(&mut self, observation: &Observation<'_>, _: Judgement) -> Vec<Finding> {
        let Seen::TextFrame = observation.seen else { return Vec::new() };
        let expected = "packets in binary frames".to_owned();
        let actual = format!("a text frame of the {}", observation.peer);
        vec![observation.finding(&MONITOR, BINARY.of(observation), expected, actual)]
    }

    fn forget_before(&mut self, _: ConnectionKey) {}
}
