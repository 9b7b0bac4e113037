//! Lines and verbs as sequences of moves: send a packet, or wait until one arrives.
//!
//! The handshakes of the verbs: MQTT 5.0 and 3.1.1 §3.1, §3.8, §3.10, §3.12, §4.3.

use std::collections::VecDeque;

use mqttspec_codec::{Packet, PubAck, PubRec, QoS, Role, Version};
use mqttspec_judge::history::HostIndex;
use mqttspec_notation::{
    Action, Cell, Content, Direction, Field, Operator, PacketPattern, PacketType, Span, Step, StepKind, Test,
    Timing, Value,
};

use super::matcher::{Expected, Matcher};
use super::patterns::{bare, code, field, filter, identifier, publish};
use super::script::Script;
use crate::found::Stop;

/// One move of a sequence.
#[derive(Clone, Debug)]
pub(crate) enum Move {
    /// Send this.
    Send(Content),
    /// Wait for this.
    Expect(Expected),
    /// Complete the exchange of the PUBLISH that was sent last, by its QoS. The fields are expected
    /// in its first acknowledgement.
    SettleSent(Vec<Field>),
    /// Complete the exchange of the PUBLISH that arrived last, by its QoS.
    SettleReceived,
    /// Wait for the answer to the request that was sent last, with these Reason Codes.
    Answer(Vec<Test>),
    Open,
    Close,
}

/// The moves of a step that are left.
#[derive(Clone, Debug)]
pub(crate) struct Sequence {
    pub(crate) host: HostIndex,
    moves: VecDeque<Move>,
    /// The packet that was sent or arrived last in this sequence.
    last: Option<Packet>,
    pub(crate) timing: Timing,
    pub(crate) line: u32,
    pub(crate) span: Span,
}

impl Sequence {
    /// The sequence of a line, a `told` line, or a verb on a host for which the executor acts.
    pub(crate) fn of(step: &Step, script: &Script<'_>, matcher: &Matcher) -> Result<Self, Stop> {
        let observer = script.hosts.observer();
        let (host, moves) = match &step.kind {
            StepKind::Line { host, direction, content } => {
                (host, vec![line(*direction, content, observer, matcher)?])
            }
            StepKind::Verb { host, action } => (host, verb(action, observer)?),
            StepKind::Told { host, report } => (host, vec![Move::Expect(Expected::Told(report.clone()))]),
            _ => return Err(Stop::broken("only lines, verbs and reports can stand here")),
        };
        let (moves, line) = (moves.into(), script.line_of(step.span));
        let (timing, span) = (step.timing, step.span);
        Ok(Self { host: script.host(host)?, moves, last: None, timing, line, span })
    }

    /// The expectation that is the next move, if the next move is one.
    pub(crate) fn awaited(&self) -> Option<&Expected> {
        match self.moves.front() {
            Some(Move::Expect(expected)) => Some(expected),
            _ => None,
        }
    }

    /// The next move, unless it is an expectation.
    pub(crate) fn next_move(&mut self) -> Option<Move> {
        match self.moves.front() {
            None | Some(Move::Expect(_)) => None,
            Some(_) => self.moves.pop_front(),
        }
    }

    /// Notes that the expectation was met.
    pub(crate) fn arrived(&mut self, packet: Option<Packet>) {
        self.moves.pop_front();
        self.sent(packet);
    }

    /// Notes that a packet was sent.
    pub(crate) fn sent(&mut self, packet: Option<Packet>) {
        self.last = packet.or(self.last.take());
    }

    /// Expects the acknowledgements of the executor's PUBLISH.
    pub(crate) fn settle_sent(&mut self, expecting: &[Field], version: Version) {
        let Some(Packet::Publish(publish)) = &self.last else { return };
        let Some(id) = publish.delivery.packet_identifier() else { return };
        let mut fields = vec![identifier(id)];
        fields.extend(expecting.iter().cloned());
        let counts = |field: &&Field| field.name == "reason" && field.versions.applies_to(version);
        let reason = expecting.iter().find(counts);
        if reason.is_none() && version.is_5() {
            fields.push(field("reason", Test::Compared(Operator::Less, code(0x80))));
        }
        let acknowledgement =
            |packet_type| expecting_packet(PacketPattern { fields: fields.clone(), ..bare(packet_type) });
        if publish.delivery.qos() == QoS::AtLeastOnce {
            self.moves.push_front(acknowledgement(PacketType::PubAck));
            return;
        }
        let first = acknowledgement(PacketType::PubRec);
        let refused = reason.is_some_and(|reason| asks_for_failure(&reason.test));
        let rest = [
            sending(PacketPattern { fields: vec![identifier(id)], ..bare(PacketType::PubRel) }),
            expecting_packet(PacketPattern { fields: vec![identifier(id)], ..bare(PacketType::PubComp) }),
        ];
        // A refusal ends the exchange (MQTT 5.0 §4.3.3).
        if !refused {
            rest.into_iter().rev().for_each(|next| self.moves.push_front(next));
        }
        self.moves.push_front(first);
    }

    /// The acknowledgement that the executor sends for a PUBLISH. The rest of the handshake
    /// follows.
    pub(crate) fn settle_received(&mut self) -> Option<Packet> {
        let Some(Packet::Publish(publish)) = &self.last else { return None };
        let id = publish.delivery.packet_identifier()?;
        match publish.delivery.qos() {
            QoS::AtMostOnce => None,
            QoS::AtLeastOnce => Some(PubAck::success(id).into()),
            QoS::ExactlyOnce => {
                let release = PacketPattern { fields: vec![identifier(id)], ..bare(PacketType::PubRel) };
                let done = PacketPattern { fields: vec![identifier(id)], ..bare(PacketType::PubComp) };
                self.moves.push_front(sending(done));
                self.moves.push_front(expecting_packet(release));
                Some(PubRec::success(id).into())
            }
        }
    }

    /// Expects the answer to the executor's SUBSCRIBE or UNSUBSCRIBE.
    pub(crate) fn answer(&mut self, reasons: Vec<Test>) -> Result<(), Stop> {
        let (id, packet_type, usual) = match &self.last {
            Some(Packet::Subscribe(subscribe)) => {
                let granted =
                    subscribe.subscriptions.iter().map(|s| Test::Equal(code(u8::from(s.qos)))).collect();
                (subscribe.id, PacketType::SubAck, granted)
            }
            Some(Packet::Unsubscribe(unsubscribe)) => {
                let success = unsubscribe.filters.iter().map(|_| Test::Equal(code(0))).collect();
                (unsubscribe.id, PacketType::UnsubAck, success)
            }
            _ => return Err(Stop::broken("there is no request to answer")),
        };
        let reasons = if reasons.is_empty() { usual } else { reasons };
        let answer =
            PacketPattern { fields: vec![identifier(id)], reasons: Some(reasons), ..bare(packet_type) };
        self.moves.push_front(expecting_packet(answer));
        Ok(())
    }
}

/// The move of a line.
fn line(direction: Direction, content: &Content, observer: Role, matcher: &Matcher) -> Result<Move, Stop> {
    let content = match content {
        Content::Column(name) => match matcher.column(name) {
            Some(Cell::Content(content)) => content,
            _ => return Err(Stop::broken(format!("the column `{name}` does not contain a packet"))),
        },
        content => content,
    };
    let sends = match observer {
        Role::Client => direction == Direction::ToServer,
        Role::Server => direction == Direction::ToClient,
    };
    if sends {
        return Ok(Move::Send(content.clone()));
    }
    Ok(Move::Expect(match content {
        Content::Packet(pattern) => Expected::Packet(pattern.clone()),
        Content::Closed { or } => Expected::Closed(or.clone()),
        Content::Nothing { lasting } => Expected::Nothing(lasting.map(|time| time.on(false))),
        Content::Anything => Expected::Anything,
        Content::Raw(raw) => Expected::Raw(raw.clone()),
        Content::Column(_) => {
            return Err(Stop::broken(format!("`{content}` cannot be expected")));
        }
    }))
}

/// The moves of a verb.
fn verb(action: &Action, observer: Role) -> Result<Vec<Move>, Stop> {
    if observer == Role::Server {
        return Err(Stop::broken("a client under test gets its commands with `ask`"));
    }
    Ok(match action {
        Action::Opens => vec![Move::Open],
        Action::Connects { fields, expecting } => {
            let mut expected = expecting.clone();
            if !names(&expected, "reason") {
                expected.push(field("reason", Test::Equal(Value::Word("success".to_owned()))));
            }
            vec![
                sending(PacketPattern { fields: fields.clone(), ..bare(PacketType::Connect) }),
                expecting_packet(PacketPattern { fields: expected, ..bare(PacketType::ConnAck) }),
            ]
        }
        Action::Subscribes { subscriptions, fields, expecting } => {
            let (fields, subscriptions) = (fields.clone(), subscriptions.clone());
            let packet = PacketPattern { fields, subscriptions, ..bare(PacketType::Subscribe) };
            vec![sending(packet), Move::Answer(expecting.clone())]
        }
        Action::Unsubscribes { filters, fields, expecting } => {
            let subscriptions = filters.iter().cloned().map(filter).collect();
            let packet =
                PacketPattern { fields: fields.clone(), subscriptions, ..bare(PacketType::Unsubscribe) };
            vec![sending(packet), Move::Answer(expecting.clone())]
        }
        Action::Publishes { topic, payload, fields, expecting } => {
            let packet = publish(topic, payload.as_ref(), fields);
            vec![sending(packet), Move::SettleSent(expecting.clone())]
        }
        Action::Receives { topic, payload, fields } => {
            vec![expecting_packet(publish(topic, payload.as_ref(), fields)), Move::SettleReceived]
        }
        Action::Requests { .. }
        | Action::Delivers { .. }
        | Action::Acknowledges { .. }
        | Action::Reauthenticates => return Err(Stop::broken("only `ask` gives this command")),
        Action::Pings => {
            vec![sending(bare(PacketType::PingReq)), expecting_packet(bare(PacketType::PingResp))]
        }
        Action::Disconnects { fields } => {
            let packet = PacketPattern { fields: fields.clone(), ..bare(PacketType::Disconnect) };
            vec![sending(packet), Move::Close]
        }
        Action::Closes => vec![Move::Close],
    })
}

fn sending(pattern: PacketPattern) -> Move {
    Move::Send(Content::Packet(pattern))
}

fn expecting_packet(pattern: PacketPattern) -> Move {
    Move::Expect(Expected::Packet(pattern))
}

fn names(fields: &[Field], name: &str) -> bool {
    fields.iter().any(|field| field.name == name)
}

/// The one Reason Code that meets a test.
pub(crate) fn asked_code(test: &Test) -> Option<u8> {
    match test {
        Test::Equal(value) => reason_code(value),
        _ => None,
    }
}

fn reason_code(value: &Value) -> Option<u8> {
    match value {
        Value::Number(number) => u8::try_from(number.value).ok(),
        Value::Word(word) => mqttspec_notation::vocabulary::reason_code(None, word),
        _ => None,
    }
}

/// Whether only a failure can meet this test of a Reason Code.
fn asks_for_failure(test: &Test) -> bool {
    let failure = |value: &Value| reason_code(value).is_some_and(|code| code >= 0x80);
    match test {
        Test::Equal(value) => failure(value),
        Test::OneOf(values) => values.iter().all(failure),
        Test::Between(least, _) => least.value >= 0x80,
        Test::Compared(Operator::AtLeast | Operator::More, value) => failure(value),
        _ => false,
    }
}
