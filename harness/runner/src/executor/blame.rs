//! Which clauses of a line are broken by an arrival that does not match it.
//!
//! - A PUBLISH that differs only in DUP, QoS or Packet Identifier has arrived nevertheless. Only
//!   the clauses about that field are broken. For example, a retransmission with DUP 0 breaks
//!   3.3.1-1, but meets a line that claims 4.4.0-1 (of both versions).
//! - If an answer is expected, a malformed packet of its type breaks the clauses. A malformed
//!   packet of another type breaks none, because the answer may still arrive.
//! - If a PUBLISH is expected, a malformed packet or the end of the connection breaks no clause,
//!   because the message may still arrive later.
//!
//! Monitors judge DUP and malformed packets in every run.

use mqttspec_judge::finding::Finding;
use mqttspec_notation::{PacketPattern, PacketType, Test, Value};
use mqttspec_spec::Requirement;

use super::Executor;
use super::matcher::{Expected, LineError, Match};
use crate::recorder::{Arrival, Arrived, strongest};

/// The clauses about DUP 0 of a first transmission, of both versions.
const FIRST: [&str; 7] = [
    "MQTT-3.3.1-2",
    "MQTT-3.3.1-3",
    "MQTT-4.3.1-1",
    "MQTT-4.3.2-1",
    "MQTT-4.3.2-2",
    "MQTT-4.3.3-1",
    "MQTT-4.3.3-2",
];

/// The clause about DUP 1 of a retransmission, of both versions.
const AGAIN: [&str; 1] = ["MQTT-3.3.1-1"];

/// The clauses about the Packet Identifier of a PUBLISH, of both versions.
const IDENTIFIER: [&str; 6] =
    ["MQTT-2.2.1-3", "MQTT-2.2.1-4", "MQTT-2.3.1-2", "MQTT-2.3.1-3", "MQTT-2.3.1-4", "MQTT-4.4.0-1"];

/// The clauses about the QoS of a delivery, of both versions.
const QOS: [&str; 9] = [
    "MQTT-3.3.4-2",
    "MQTT-3.3.5-1",
    "MQTT-3.8.4-6",
    "MQTT-3.8.4-8",
    "MQTT-4.3.1-1",
    "MQTT-4.3.2-1",
    "MQTT-4.3.2-2",
    "MQTT-4.3.3-1",
    "MQTT-4.3.3-2",
];

impl Executor<'_> {
    /// Compares an arrival with the expectation of a line that claims these clauses. DUP counts
    /// only if the line claims a clause about it.
    pub(crate) fn compare(
        &mut self,
        claimed: &[Requirement],
        expected: &Expected,
        arrival: &Arrival,
    ) -> Result<Match, LineError> {
        let matched = self.matcher.compare(expected, arrival)?;
        if matched != Match::Equal
            && let Some(rest) = without(expected, &["dup"])
            && !claimed.iter().any(|clause| about_dup(expected).contains(&clause.clause.as_str()))
            && self.matcher.compare(&rest, arrival)? == Match::Equal
        {
            return Ok(Match::Equal);
        }
        Ok(matched)
    }

    /// Leaves only the clauses in a finding that this arrival breaks.
    pub(crate) fn blame(
        &mut self,
        found: Finding,
        expected: &Expected,
        arrival: &Arrival,
    ) -> Result<Finding, LineError> {
        let mut requirements = found.requirements;
        if let Expected::Packet(pattern) = expected {
            let may_still_come = match &arrival.what {
                Arrived::Malformed(error) => {
                    pattern.packet_type == PacketType::Publish || error.packet != Some(pattern.packet_type)
                }
                Arrived::Ended(_) => pattern.packet_type == PacketType::Publish,
                Arrived::Packet(_) => false,
            };
            if may_still_come {
                requirements.clear();
            }
        }
        for fields in [&["dup"][..], &["qos"], &["id"], &["dup", "qos"], &["dup", "id"]] {
            if let Some(rest) = without(expected, fields)
                && self.matcher.would_take(&rest, arrival)?
            {
                let about = |field: &&str| match *field {
                    "dup" => about_dup(expected),
                    "qos" => &QOS[..],
                    _ => &IDENTIFIER,
                };
                let about: Vec<&str> = fields.iter().flat_map(about).copied().collect();
                requirements.retain(|clause| about.contains(&clause.clause.as_str()));
                break;
            }
        }
        Ok(Finding { level: strongest(&requirements), requirements, ..found })
    }
}

/// The expectation of a PUBLISH without these fields; `None` if it does not name them all.
fn without(expected: &Expected, names: &[&str]) -> Option<Expected> {
    let Expected::Packet(pattern) = expected else { return None };
    if pattern.packet_type != PacketType::Publish {
        return None;
    }
    let is_named = |name: &&str| pattern.fields.iter().any(|field| field.name == **name);
    let fields = pattern.fields.iter().filter(|field| !names.contains(&field.name.as_str()));
    let rest = PacketPattern { fields: fields.cloned().collect(), ..pattern.clone() };
    names.iter().all(is_named).then_some(Expected::Packet(rest))
}

/// The clauses about the DUP that a line expects.
fn about_dup(expected: &Expected) -> &'static [&'static str] {
    let Expected::Packet(pattern) = expected else { return &[] };
    let is_0 = |test: &Test| matches!(test, Test::Equal(Value::Number(number)) if number.value == 0);
    match pattern.fields.iter().find(|field| field.name == "dup") {
        Some(dup) if is_0(&dup.test) => &FIRST,
        Some(_) => &AGAIN,
        None => &[],
    }
}
