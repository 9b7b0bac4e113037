//! Which clauses of a line are broken by an arrival that does not match it.
//!
//! - A PUBLISH that differs only in DUP, QoS or Packet Identifier has arrived nevertheless. Only
//!   the clauses about that field are broken. For example, a retransmission with DUP 0 breaks
//!   3.3.1-1, but meets a line that claims 4.4.0-1 (of both versions).
//! - If an answer is expected, a malformed packet of its type breaks the clauses. A malformed
//!   packet of another type breaks none, because the answer may still arrive.
//! - If a PUBLISH is expected, a malformed packet or the end of the connection breaks no clause,
//!   because the message may still arrive later.
//! - A PUBLISH with another topic breaks only the clause about topics.
//! - If nothing arrives, no clause about the fields of a PUBLISH is broken, nor one by which an
//!   acknowledgement repeats a Packet Identifier, nor the one by which CONNECT is the first packet.
//! - An acknowledgement with the expected Packet Identifier breaks no such clause, whatever else is
//!   wrong with it. Nor does another packet.
//!
//! Monitors judge DUP and malformed packets in every run.

use mqttspec_codec::Packet;
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

/// The clauses by which an acknowledgement repeats the Packet Identifier of what it answers, of both
/// versions. Others ask for the acknowledgement.
const REPEATED: [&str; 5] = ["MQTT-2.2.1-5", "MQTT-2.2.1-6", "MQTT-2.3.1-6", "MQTT-2.3.1-7", "MQTT-3.8.4-2"];

/// The clause by which nothing is sent before CONNECT, of both versions. A Client that sends nothing
/// keeps it.
const FIRST_PACKET: &str = "MQTT-3.1.0-1";

/// The clauses about the QoS of a delivery, of both versions.
const QOS: [&str; 10] = [
    "MQTT-3.2.2-11",
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

/// The clause about the topics that a Server sends, of both versions.
const TOPIC: &str = "MQTT-3.3.2-3";

/// The clause of 3.1.1 about what follows a refused CONNECT. The same number of 5.0 asks for the CONNACK
/// that arrived.
const REFUSED: &str = "MQTT-3.1.4-5";

/// The clauses about the place of a CONNACK, of both versions, which Session Present does not break.
const CONNACK: [&str; 2] = ["MQTT-3.2.0-1", "MQTT-3.2.0-2"];

/// The clauses about the fields of a PUBLISH that is sent, of both versions. Where none is sent, none of
/// them is broken.
const CONTENT: [&str; 10] = [
    "MQTT-3.3.1-1",
    "MQTT-3.3.1-2",
    "MQTT-3.3.1-3",
    TOPIC,
    "MQTT-3.3.4-5",
    "MQTT-2.2.1-3",
    "MQTT-2.2.1-4",
    "MQTT-2.3.1-2",
    "MQTT-2.3.1-3",
    "MQTT-2.3.1-4",
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
            && let Some(rest) = without_dup(claimed, expected)
            && self.matcher.compare(&rest, arrival)? == Match::Equal
        {
            return Ok(Match::Equal);
        }
        Ok(matched)
    }

    /// Whether [`Self::compare`] would find that they are equal. No capture takes a value.
    pub(crate) fn would_take(
        &mut self,
        claimed: &[Requirement],
        expected: &Expected,
        arrival: &Arrival,
    ) -> Result<bool, LineError> {
        if self.matcher.would_take(expected, arrival)? {
            return Ok(true);
        }
        match without_dup(claimed, expected) {
            Some(rest) => self.matcher.would_take(&rest, arrival),
            None => Ok(false),
        }
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
                Arrived::TextFrame | Arrived::Handshake(_) => true,
                Arrived::Packet(_) => false,
            };
            if may_still_come {
                requirements.clear();
            }
        }
        if let Some(about) = self.about_what_differs(expected, arrival)? {
            requirements.retain(|clause| clause.is_one_of(&about));
        }
        if !self.has_another_identifier(expected, arrival)? {
            requirements.retain(|clause| !clause.is_one_of(&REPEATED));
        }
        if let (Expected::Closed(_), Arrived::Packet(Packet::ConnAck(connack))) = (expected, &arrival.what)
            && !connack.reason.is_failure()
        {
            // What is not refused breaks nothing about what follows a refusal.
            requirements.retain(|clause| !clause.is_one_of(&[REFUSED]));
        }
        if self.differs_in_session(expected, arrival)? {
            requirements.retain(|clause| !clause.is_one_of(&CONNACK));
        }
        if requirements.iter().any(is_about_topic) && self.is_of_another_topic(expected, arrival)? {
            requirements.retain(is_about_topic);
        }
        Ok(Finding { level: strongest(&requirements), requirements, ..found })
    }

    /// Whether a packet of the expected type arrives that has another Packet Identifier.
    fn has_another_identifier(&mut self, expected: &Expected, arrival: &Arrival) -> Result<bool, LineError> {
        let Expected::Packet(pattern) = expected else { return Ok(false) };
        let fields: Vec<_> = pattern.fields.iter().filter(|field| field.name == "id").cloned().collect();
        let bare = |fields| {
            let (reasons, conditions) = (None, Vec::new());
            Expected::Packet(PacketPattern { fields, reasons, conditions, ..pattern.clone() })
        };
        let is_of_type = self.matcher.would_take(&bare(Vec::new()), arrival)?;
        Ok(is_of_type && !self.matcher.would_take(&bare(fields), arrival)?)
    }

    /// Whether this is the expected CONNACK, but for Session Present.
    fn differs_in_session(&mut self, expected: &Expected, arrival: &Arrival) -> Result<bool, LineError> {
        let Expected::Packet(pattern) = expected else { return Ok(false) };
        if pattern.packet_type != PacketType::ConnAck {
            return Ok(false);
        }
        let fields = pattern.fields.iter().filter(|field| field.name != "session_present");
        let rest = PacketPattern { fields: fields.cloned().collect(), ..pattern.clone() };
        self.matcher.would_take(&Expected::Packet(rest), arrival)
    }

    /// The same for an arrival with which no branch of a choice begins.
    pub(crate) fn blame_any(
        &mut self,
        found: Finding,
        expected: &[&Expected],
        arrival: &Arrival,
    ) -> Result<Finding, LineError> {
        let mut requirements = found.requirements;
        for expected in expected {
            if let Some(about) = self.about_what_differs(expected, arrival)? {
                requirements.retain(|clause| clause.is_one_of(&about));
                break;
            }
        }
        Ok(Finding { level: strongest(&requirements), requirements, ..found })
    }

    /// Whether a message arrives that has another topic than the expected one, which may still come.
    fn is_of_another_topic(&mut self, expected: &Expected, arrival: &Arrival) -> Result<bool, LineError> {
        let Expected::Packet(pattern) = expected else { return Ok(false) };
        let is_publish = matches!(&arrival.what, Arrived::Packet(Packet::Publish(_)));
        let fields: Vec<_> = pattern.fields.iter().filter(|field| field.name == "topic").cloned().collect();
        if pattern.packet_type != PacketType::Publish || !is_publish || fields.is_empty() {
            return Ok(false);
        }
        let with_topic = Expected::Packet(PacketPattern { fields, ..pattern.clone() });
        Ok(!self.matcher.would_take(&with_topic, arrival)?)
    }

    /// The clauses about the fields of a PUBLISH that differ, if it is the expected one otherwise.
    fn about_what_differs(
        &mut self,
        expected: &Expected,
        arrival: &Arrival,
    ) -> Result<Option<Vec<&'static str>>, LineError> {
        for fields in [&["dup"][..], &["qos"], &["id"], &["dup", "qos"], &["dup", "id"]] {
            if let Some(rest) = without(expected, fields)
                && self.matcher.would_take(&rest, arrival)?
            {
                let about = |field: &&str| match *field {
                    "dup" => about_dup(expected),
                    "qos" => &QOS[..],
                    _ => &IDENTIFIER,
                };
                return Ok(Some(fields.iter().flat_map(about).copied().collect()));
            }
        }
        Ok(None)
    }
}

/// Leaves only the clauses in a finding that are broken if nothing arrives: those about the fields of
/// the `awaited` packet are not.
pub(crate) fn silence(found: Finding, awaited: Option<PacketType>) -> Finding {
    let mut requirements = found.requirements;
    requirements.retain(|clause| {
        !(clause.is_one_of(&REPEATED)
            || awaited == Some(PacketType::Publish) && clause.is_one_of(&CONTENT)
            || awaited == Some(PacketType::Connect) && clause.is_one_of(&[FIRST_PACKET]))
    });
    Finding { level: strongest(&requirements), requirements, ..found }
}

fn is_about_topic(clause: &Requirement) -> bool {
    clause.is_one_of(&[TOPIC])
}

/// The expectation without its DUP, if the line claims no clause about that.
fn without_dup(claimed: &[Requirement], expected: &Expected) -> Option<Expected> {
    let rest = without(expected, &["dup"])?;
    let is_about_dup = |clause: &Requirement| clause.is_one_of(about_dup(expected));
    (!claimed.iter().any(is_about_dup)).then_some(rest)
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
