//! Which clauses of a line are broken by an arrival that does not match it, or by silence.
//!
//! A line that is not met says what is wrong: a packet is missing, comes after another one, or has
//! another field. The catalogue says for each clause what has to be wrong for it to be broken
//! ([`Clause::about`](mqttspec_spec::Clause)). Only the clauses of both are cited. For example, a
//! retransmission with DUP 0 breaks 3.3.1-1, but meets a line that claims 4.4.0-1.
//!
//! - A packet is the expected one with other fields if it has its type and Packet Identifier, or
//!   for a PUBLISH its payload. A PUBLISH with a payload that nothing has sent is a damaged one.
//! - If the expected packet comes soon after the one that differs, the latter is only in the way.
//!   Then a clause is broken only if the catalogue says that it is about that. (A CONNACK that
//!   accepts a Client is never in the way of a close.)
//! - Where nothing may come, the end of the connection, and packets that answer nothing, break only
//!   clauses that are about them.
//! - If an answer is expected, a malformed packet of its type breaks the clauses. A malformed
//!   packet of another type breaks none, because the answer may still arrive.
//! - If the end of the connection is expected, a malformed packet is an answer like any other.
//! - If a PUBLISH is expected, a malformed packet or the end of the connection breaks no clause,
//!   because the message may still arrive later.
//!
//! Monitors judge DUP and malformed packets in every run.

use core::iter;
use core::time::Duration;
use std::borrow::Cow;

use mqttspec_codec::Packet;
use mqttspec_judge::finding::Finding;
use mqttspec_judge::history::{Asked, HostIndex, What};
use mqttspec_notation::{PacketPattern, PacketType};
use mqttspec_spec::Requirement;

use super::Executor;
use super::matcher::{Expected, LineError, Match};
use crate::recorder::{Arrival, Arrived, strongest};

/// What is wrong, in the words of `Clause::about`.
type Words = Vec<Cow<'static, str>>;

/// What is wrong, and which clauses that breaks.
enum Wrong {
    /// It cannot be said in words: all clauses are broken.
    Unknown,
    /// The clauses are broken that are about this, or that the catalogue has no words for.
    This(Words),
    /// Only the clauses are broken that are about this.
    Only(Words),
}

/// The expected packet comes after another one.
const ORDER: &str = "order";

/// Another packet comes where it is expected, whether or not it comes later.
const INSTEAD: &str = "instead";

/// A packet comes where none may.
const EXTRA: &str = "extra";

/// The packet is malformed.
const FORM: &str = "form";

/// How an arrival differs from an expected packet.
enum Difference {
    /// It is the expected packet with these fields changed; none if they have no names.
    Fields(Words),
    /// It is another packet of the type. These of its fields are wrong even so.
    Another(Words),
    /// It is of another type.
    Type,
}

impl Expected {
    /// What the peer owes by the line, in the words of `Clause::about`; `None` if that has no word.
    pub(crate) fn owed(&self) -> Option<&'static str> {
        match self {
            Expected::Packet(pattern) => Some(pattern.packet_type.name()),
            Expected::Closed(_) => Some("closed"),
            _ => None,
        }
    }
}

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
            && let Some(rest) = without_dup(claimed, expected, arrival)
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
        match without_dup(claimed, expected, arrival) {
            Some(rest) => self.matcher.would_take(&rest, arrival),
            None => Ok(false),
        }
    }

    /// Leaves only the clauses in a finding that this arrival breaks. If it is another packet than
    /// the expected one, that may still come `until` this time.
    pub(crate) async fn blame(
        &mut self,
        found: Finding,
        host: HostIndex,
        expected: &Expected,
        arrival: &Arrival,
        until: Duration,
    ) -> Result<Finding, LineError> {
        if found.requirements.is_empty() {
            return Ok(found);
        }
        let wrong = match (expected, &arrival.what) {
            (Expected::Packet(pattern), what) if may_still_come(pattern, what) => Wrong::Only(Words::new()),
            (Expected::Packet(pattern), Arrived::Malformed(_)) => {
                Wrong::This(vec![FORM.into(), pattern.packet_type.name().into()])
            }
            (Expected::Packet(pattern), Arrived::Ended(_)) => {
                Wrong::This(vec![pattern.packet_type.name().into()])
            }
            (Expected::Packet(_) | Expected::Closed(_), _)
                if self.comes_soon(host, expected, &found.requirements, arrival, until).await? =>
            {
                in_the_way(expected, arrival)
            }
            (Expected::Packet(pattern), _) => self.unlike_packet(pattern, arrival)?,
            (Expected::Closed(or), _) => self.not_closed(or, arrival)?,
            _ => Wrong::Unknown,
        };
        Ok(leave(found, &wrong))
    }

    /// The same for an arrival with which no branch of a choice begins.
    pub(crate) async fn blame_any(
        &mut self,
        found: Finding,
        host: HostIndex,
        beginnings: &[(&Expected, Duration)],
        arrival: &Arrival,
    ) -> Result<Finding, LineError> {
        let is_of_type = |expected: &Expected| is_of_type(expected, arrival);
        match &arrival.what {
            Arrived::Malformed(_) | Arrived::TextFrame | Arrived::Handshake(_)
                if !beginnings.iter().any(|(expected, _)| is_of_type(expected)) =>
            {
                return Ok(leave(found, &Wrong::Only(Words::new())));
            }
            _ if beginnings.iter().any(|(expected, _)| matches!(expected, Expected::Raw(_))) => {
                return Ok(found);
            }
            Arrived::Packet(_) => {
                for (expected, until) in beginnings {
                    if matches!(expected, Expected::Packet(_) | Expected::Closed(_))
                        && self.comes_soon(host, expected, &found.requirements, arrival, *until).await?
                    {
                        return Ok(leave(found, &in_the_way(expected, arrival)));
                    }
                }
            }
            _ => {}
        }
        let mut nearest: Option<(usize, &PacketPattern)> = None;
        for (expected, _) in beginnings {
            let distance = self.distance(expected, arrival)?;
            if let Expected::Packet(pattern) = expected
                && nearest.is_none_or(|(other, _)| distance < other)
            {
                nearest = Some((distance, pattern));
            }
        }
        if let Some((_, pattern)) = nearest
            && let Difference::Fields(fields) = self.difference(pattern, arrival)?
        {
            return Ok(leave(found, &of_fields(fields)));
        }
        let mut wrong = vec![INSTEAD.into()];
        for (expected, _) in beginnings {
            match (expected, expected.owed()) {
                (_, Some(owed)) => wrong.push(owed.into()),
                (Expected::Nothing(_), None) => wrong.push(EXTRA.into()),
                _ => return Ok(found),
            }
        }
        Ok(leave(found, &Wrong::This(wrong)))
    }

    /// How far an arrival is from what is expected: the number of its fields that differ. Another
    /// packet of the type is farther than every changed one, and one of another type farther than
    /// both.
    pub(crate) fn distance(&mut self, expected: &Expected, arrival: &Arrival) -> Result<usize, LineError> {
        let Expected::Packet(pattern) = expected else { return Ok(usize::MAX) };
        Ok(match self.difference(pattern, arrival)? {
            Difference::Fields(fields) => fields.len(),
            Difference::Another(fields) => fields.len() + 1_000,
            Difference::Type => usize::MAX,
        })
    }

    /// What is wrong if this arrives in place of a packet.
    fn unlike_packet(&mut self, pattern: &PacketPattern, arrival: &Arrival) -> Result<Wrong, LineError> {
        let owed = Cow::Borrowed(pattern.packet_type.name());
        Ok(match self.difference(pattern, arrival)? {
            Difference::Fields(fields) => of_fields(fields),
            Difference::Another(mut fields) => {
                fields.push(owed);
                Wrong::This(fields)
            }
            Difference::Type => Wrong::This(vec![owed, INSTEAD.into()]),
        })
    }

    /// What is wrong if this arrives where the end of the connection, or one of these packets and
    /// then the end, is expected.
    fn not_closed(&mut self, or: &[PacketPattern], arrival: &Arrival) -> Result<Wrong, LineError> {
        for pattern in or {
            if let Difference::Fields(mut fields) = self.difference(pattern, arrival)? {
                if is_accepted(arrival) {
                    fields.push("closed".into());
                }
                return Ok(of_fields(fields));
            }
        }
        let extra = (!is_accepted(arrival)).then_some(EXTRA.into());
        Ok(Wrong::This(iter::once("closed".into()).chain(extra).collect()))
    }

    fn difference(&mut self, pattern: &PacketPattern, arrival: &Arrival) -> Result<Difference, LineError> {
        let only = |fields, reasons| {
            let conditions = Vec::new();
            Expected::Packet(PacketPattern { fields, reasons, conditions, ..pattern.clone() })
        };
        if !self.matcher.would_take(&only(Vec::new(), None), arrival)? {
            return Ok(Difference::Type);
        }
        let mut wrong = Words::new();
        for field in &pattern.fields {
            if wrong.iter().any(|name| *name == field.name) {
                continue;
            }
            let same = pattern.fields.iter().filter(|other| other.name == field.name).cloned().collect();
            if !self.matcher.would_take(&only(same, None), arrival)? {
                wrong.push(match &arrival.what {
                    Arrived::Packet(Packet::Publish(publish)) if field.name == "dup" => {
                        wrong_dup(publish.delivery.dup()).into()
                    }
                    _ => Cow::Owned(field.name.clone()),
                });
            }
        }
        if pattern.reasons.is_some()
            && !self.matcher.would_take(&only(Vec::new(), pattern.reasons.clone()), arrival)?
        {
            wrong.push("reasons".into());
        }
        let is_wrong = |name: &str| wrong.iter().any(|wrong| wrong == name);
        match &arrival.what {
            Arrived::Packet(Packet::Publish(publish))
                if is_wrong("payload") && (is_wrong("topic") || self.was_published(&publish.payload)) =>
            {
                return Ok(Difference::Another(Words::new()));
            }
            Arrived::Packet(Packet::Publish(_)) => {}
            _ if is_wrong("id") => return Ok(Difference::Another(vec!["id".into()])),
            _ => {}
        }
        Ok(Difference::Fields(wrong))
    }

    /// Whether nothing arrived before this on its connection: with it, the peer has answered.
    fn is_first(&self, arrival: &Arrival) -> bool {
        self.recorder.with_history(|history| {
            let before = history.events().iter().take(arrival.event);
            let mut received = before.filter(|event| matches!(event.what, What::Received { .. }));
            let source = history.events()[arrival.event].connection;
            received.all(|event| event.connection != source)
        })
    }

    /// Whether a message of the run has this payload.
    fn was_published(&self, payload: &[u8]) -> bool {
        self.recorder.with_history(|history| {
            history.events().iter().any(|event| match &event.what {
                What::Sent { packet: Packet::Publish(publish), .. } => publish.payload == payload,
                What::Sent { packet: Packet::Connect(connect), .. } => {
                    connect.will.as_ref().is_some_and(|will| will.payload.as_bytes() == payload)
                }
                What::Asked(
                    Asked::Publish { message, .. } | Asked::Request { message } | Asked::Deliver { message },
                ) => message.payload == payload,
                _ => false,
            })
        })
    }

    /// Whether what a line expects arrives soon after this, in the time of the line.
    pub(crate) async fn comes_soon(
        &mut self,
        host: HostIndex,
        expected: &Expected,
        claimed: &[Requirement],
        arrival: &Arrival,
        until: Duration,
    ) -> Result<bool, LineError> {
        if matches!(expected, Expected::Closed(_)) && is_accepted(arrival) && self.is_first(arrival) {
            return Ok(false);
        }
        // A packet that answers in a wrong way is rarely followed by a right one.
        let soon = self.clock.now() + self.clock.timeouts.silence;
        let until = if is_of_type(expected, arrival) { until.min(soon) } else { until };
        let mut seen = arrival.event;
        loop {
            for later in self.inboxes.after(host, seen) {
                seen = later.event;
                if self.would_take(claimed, expected, &later)? {
                    return Ok(true);
                }
            }
            if self.clock.now() > until || !self.inboxes.can_arrive(&[host]) {
                return Ok(false);
            }
            self.clock.wait_for_change(until).await;
        }
    }
}

/// Leaves only the clauses in a finding that are broken if none of what is `owed` arrives.
pub(crate) fn silence(found: Finding, owed: &[Option<&'static str>]) -> Finding {
    let words: Option<Words> = owed.iter().map(|owed| owed.map(Cow::Borrowed)).collect();
    leave(found, &words.map_or(Wrong::Unknown, Wrong::This))
}

/// Leaves only the clauses in a finding that are broken if this arrives where nothing may.
pub(crate) fn blame_extra(found: Finding, arrival: &Arrival) -> Finding {
    let wrong = match &arrival.what {
        Arrived::Packet(packet @ (Packet::ConnAck(_) | Packet::PingResp | Packet::Disconnect(_))) => {
            Wrong::Only(vec![packet.packet_type().name().into()])
        }
        Arrived::Packet(_) => Wrong::This(vec![EXTRA.into()]),
        Arrived::Ended(_) => Wrong::Only(vec!["closed".into()]),
        Arrived::Malformed(_) | Arrived::TextFrame | Arrived::Handshake(_) => Wrong::Only(Words::new()),
    };
    leave(found, &wrong)
}

/// Leaves only the clauses in a finding that are broken if the application gets this message in
/// place of another one, which may come after it.
pub(crate) fn blame_message(found: Finding, fields: Vec<String>, comes: bool) -> Finding {
    let is_another = fields.iter().any(|field| field == "payload");
    let wrong = match (is_another, comes) {
        (true, true) => Wrong::Only(vec![ORDER.into(), EXTRA.into()]),
        (true, false) => Wrong::This(vec![PacketType::Publish.name().into(), EXTRA.into()]),
        (false, _) => of_fields(fields.into_iter().map(Cow::Owned).collect()),
    };
    leave(found, &wrong)
}

/// Leaves no clause in a finding: the peer does not answer the PINGREQ that would show that nothing
/// came.
pub(crate) fn unproved(found: Finding) -> Finding {
    leave(found, &Wrong::Only(Words::new()))
}

/// What is wrong if this comes before what is expected.
fn in_the_way(expected: &Expected, arrival: &Arrival) -> Wrong {
    Wrong::Only(match expected {
        Expected::Closed(_) => vec![EXTRA.into()],
        _ if is_of_type(expected, arrival) => vec![ORDER.into(), EXTRA.into()],
        _ => vec![INSTEAD.into()],
    })
}

/// Whether this is a CONNACK that accepts a Client.
fn is_accepted(arrival: &Arrival) -> bool {
    matches!(&arrival.what, Arrived::Packet(Packet::ConnAck(ack)) if !ack.reason.is_failure())
}

/// Whether a packet arrives, possibly malformed, that is of the expected type.
fn is_of_type(expected: &Expected, arrival: &Arrival) -> bool {
    let Expected::Packet(pattern) = expected else { return false };
    match &arrival.what {
        Arrived::Packet(packet) => packet.packet_type() == pattern.packet_type,
        Arrived::Malformed(error) => error.packet == Some(pattern.packet_type),
        Arrived::Ended(_) | Arrived::TextFrame | Arrived::Handshake(_) => false,
    }
}

fn of_fields(fields: Words) -> Wrong {
    if fields.is_empty() { Wrong::Unknown } else { Wrong::This(fields) }
}

/// Leaves only the clauses in a finding that are broken by what is wrong.
fn leave(found: Finding, wrong: &Wrong) -> Finding {
    let (words, only) = match wrong {
        Wrong::Unknown => return found,
        Wrong::This(words) => (words, false),
        Wrong::Only(words) => (words, true),
    };
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    let is_broken = |clause: &Requirement| match clause.in_catalogue() {
        Some(clause) if only => clause.is_about(&words),
        Some(clause) => clause.is_broken_by(&words),
        None => true,
    };
    let mut requirements = found.requirements;
    requirements.retain(is_broken);
    Finding { level: strongest(&requirements), requirements, ..found }
}

/// Whether a packet may come later, on this connection or the next one, after something that is no
/// packet.
fn may_still_come(pattern: &PacketPattern, arrived: &Arrived) -> bool {
    let is_message = pattern.packet_type == PacketType::Publish;
    match arrived {
        Arrived::Malformed(error) => is_message || error.packet != Some(pattern.packet_type),
        Arrived::Ended(_) => is_message,
        Arrived::TextFrame | Arrived::Handshake(_) => true,
        Arrived::Packet(_) => false,
    }
}

/// The word for a DUP that has this value and has to have the other one.
fn wrong_dup(is_set: bool) -> &'static str {
    if is_set { "dup=1" } else { "dup=0" }
}

/// The expectation of a PUBLISH without its DUP, if the line claims no clause that the DUP of this
/// arrival can break.
fn without_dup(claimed: &[Requirement], expected: &Expected, arrival: &Arrival) -> Option<Expected> {
    let Expected::Packet(pattern) = expected else { return None };
    let Arrived::Packet(Packet::Publish(publish)) = &arrival.what else { return None };
    let names_dup = pattern.fields.iter().any(|field| field.name == "dup");
    let wrong = wrong_dup(publish.delivery.dup());
    let is_about_it =
        |clause: &Requirement| clause.in_catalogue().is_some_and(|clause| clause.is_about(&[wrong]));
    if pattern.packet_type != PacketType::Publish || !names_dup || claimed.iter().any(is_about_it) {
        return None;
    }
    let fields = pattern.fields.iter().filter(|field| field.name != "dup").cloned().collect();
    Some(Expected::Packet(PacketPattern { fields, ..pattern.clone() }))
}
