//! Lines and verbs as short sequences: what is sent at once, and what must come before it goes on.
//!
//! The hand-shakes that verbs stand for: MQTT 5.0 and 3.1.1 §3.1, §3.8, §3.10, §3.12, §4.3.

use std::collections::VecDeque;

use mqttspec_codec::{Packet, PacketIdentifier, PubAck, PubRec, QoS, Role};

use super::cast::Part;
use super::director::{Director, Flow};
use super::expect::{Expected, Window, bare};
use super::found::Stop;
use mqttspec_judge::history::Lane;
use mqttspec_notation::{
    Action, Cell, Content, Direction, Field, Number, Operator, PacketPattern, PacketType, Radix, Span, Step,
    StepKind, Subscription, Test, Timing, Value, VersionMark,
};

/// One move of a sequence.
#[derive(Clone, Debug)]
pub(crate) enum Move {
    /// Sent when its turn comes.
    Send(Content),
    /// Waited for.
    Expect(Expected),
    /// What follows the PUBLISH that was sent last, by its QoS. The fields are expected of its first acknowledgement.
    SettleSent(Vec<Field>),
    /// What follows the PUBLISH that came last, by its QoS.
    SettleReceived,
    /// What follows the request that was sent last: its answer with these Reason Codes.
    Answer(Vec<Test>),
    Open,
    Close,
}

/// What is left to do of a step.
#[derive(Clone, Debug)]
pub(crate) struct Sequence {
    pub(crate) lane: Lane,
    pub(crate) moves: VecDeque<Move>,
    /// The packet that was sent or came last in this sequence.
    last: Option<Packet>,
    timing: Timing,
    pub(crate) line: u32,
}

impl Sequence {
    /// What it waits for now, once everything before it was sent.
    pub(crate) fn awaited(&self) -> Option<&Expected> {
        match self.moves.front() {
            Some(Move::Expect(expected)) => Some(expected),
            _ => None,
        }
    }

    /// What it waited for came.
    pub(crate) fn came(&mut self, packet: Option<Packet>) {
        self.moves.pop_front();
        self.last = packet.or(self.last.take());
    }
}

impl Director<'_> {
    /// Executes a line, a verb, a wish or a report.
    pub(crate) async fn act(&mut self, step: &Step) -> Flow {
        match &step.kind {
            StepKind::Ask { host, action } => {
                self.pause(step.timing).await;
                return self.ask(host, action).await;
            }
            StepKind::Verb { host, action } if self.part(host) == Part::Reference => {
                return self.application_does(step, host, action).await;
            }
            _ => {}
        }
        let mut sequence = self.sequence(step)?;
        let begins_by_waiting = sequence.awaited().is_some();
        if !begins_by_waiting {
            self.pause(step.timing).await;
        }
        let window = self.window(step.timing);
        let mut first = true;
        loop {
            self.advance(&mut sequence).await?;
            let Some(expected) = sequence.awaited().cloned() else { return Ok(()) };
            let window = match step.timing {
                // It says when the whole hand-shake must be done.
                Timing::Within(_) => window,
                _ if first && begins_by_waiting => window,
                _ => self.window(Timing::Usual),
            };
            first = false;
            let packet = self.expect(sequence.lane, &expected, window).await?;
            sequence.came(packet);
        }
    }

    /// Does everything of a sequence that need not be waited for.
    pub(crate) async fn advance(&mut self, sequence: &mut Sequence) -> Flow {
        loop {
            match sequence.moves.front() {
                None | Some(Move::Expect(_)) => return Ok(()),
                Some(_) => {}
            }
            let lane = sequence.lane;
            match sequence.moves.pop_front() {
                Some(Move::Send(content)) => {
                    let packet = self.send(lane, &content).await?;
                    self.written().await;
                    sequence.last = packet.or(sequence.last.take());
                }
                Some(Move::SettleSent(expecting)) => self.settle_sent(sequence, &expecting),
                Some(Move::SettleReceived) => {
                    self.settle_received(sequence)?;
                    self.written().await;
                }
                Some(Move::Answer(reasons)) => self.answer(sequence, reasons)?,
                Some(Move::Open) => self.dial(lane).await?,
                Some(Move::Close) => self.close(lane),
                Some(Move::Expect(_)) | None => {}
            }
        }
    }

    /// The window in which the sequence's step must be met.
    pub(crate) fn window_of(&self, sequence: &Sequence) -> Window {
        self.window(sequence.timing)
    }

    /// What a line, a verb on a host that the harness plays, or a report stands for.
    pub(crate) fn sequence(&self, step: &Step) -> Result<Sequence, Stop> {
        let (host, moves) = match &step.kind {
            StepKind::Line { host, direction, content } => (host, vec![self.line(*direction, content)?]),
            StepKind::Verb { host, action } => (host, self.verb(action)?),
            StepKind::Told { host, report } => (host, vec![Move::Expect(Expected::Told(report.clone()))]),
            _ => return Err(Stop::broken("only lines, verbs and reports can stand here")),
        };
        Ok(Sequence {
            lane: self.lane(host)?,
            moves: moves.into(),
            last: None,
            timing: step.timing,
            line: self.lines.of_span(step.span),
        })
    }

    fn line(&self, direction: Direction, content: &Content) -> Result<Move, Stop> {
        let content = match content {
            Content::Column(name) => match self.bindings.column(name) {
                Some(Cell::Content(content)) => content,
                _ => return Err(Stop::broken(format!("the column `{name}` holds no line"))),
            },
            content => content,
        };
        let sends = match self.observer() {
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
            Content::Raw(_) | Content::Column(_) => {
                return Err(Stop::broken(format!("`{content}` cannot be expected")));
            }
        }))
    }

    fn verb(&self, action: &Action) -> Result<Vec<Move>, Stop> {
        if self.observer() == Role::Server {
            return Err(Stop::broken("where a client is tested, `ask` says what it is to do"));
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

    /// The acknowledgements that a PUBLISH of the harness must get.
    fn settle_sent(&self, sequence: &mut Sequence, expecting: &[Field]) {
        let Some(Packet::Publish(publish)) = &sequence.last else { return };
        let Some(id) = publish.delivery.packet_identifier() else { return };
        let mut fields = vec![identifier(id)];
        fields.extend(expecting.iter().cloned());
        let counts = |field: &&Field| field.name == "reason" && field.versions.applies_to(self.case.version);
        let reason = expecting.iter().find(counts);
        if reason.is_none() && self.version.is_5() {
            fields.push(field("reason", Test::Compared(Operator::Less, number(0x80, Radix::Hexadecimal))));
        }
        let acknowledgement =
            |packet_type| expecting_packet(PacketPattern { fields: fields.clone(), ..bare(packet_type) });
        if publish.delivery.qos() == QoS::AtLeastOnce {
            sequence.moves.push_front(acknowledgement(PacketType::PubAck));
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
            rest.into_iter().rev().for_each(|next| sequence.moves.push_front(next));
        }
        sequence.moves.push_front(first);
    }

    /// The acknowledgements that the harness gives to a PUBLISH.
    fn settle_received(&mut self, sequence: &mut Sequence) -> Flow {
        let Some(Packet::Publish(publish)) = &sequence.last else { return Ok(()) };
        let Some(id) = publish.delivery.packet_identifier() else { return Ok(()) };
        match publish.delivery.qos() {
            QoS::AtMostOnce => Ok(()),
            QoS::AtLeastOnce => self.send_packet(sequence.lane, PubAck::success(id).into()),
            QoS::ExactlyOnce => {
                self.send_packet(sequence.lane, PubRec::success(id).into())?;
                let release = PacketPattern { fields: vec![identifier(id)], ..bare(PacketType::PubRel) };
                let done = PacketPattern { fields: vec![identifier(id)], ..bare(PacketType::PubComp) };
                sequence.moves.push_front(sending(done));
                sequence.moves.push_front(expecting_packet(release));
                Ok(())
            }
        }
    }

    /// The answer that a SUBSCRIBE or UNSUBSCRIBE of the harness must get.
    fn answer(&self, sequence: &mut Sequence, reasons: Vec<Test>) -> Flow {
        let (id, packet_type, usual) = match &sequence.last {
            Some(Packet::Subscribe(subscribe)) => {
                let granted = subscribe.subscriptions.iter().map(|s| code(u8::from(s.qos))).collect();
                (subscribe.id, PacketType::SubAck, granted)
            }
            Some(Packet::Unsubscribe(unsubscribe)) => {
                let success = unsubscribe.filters.iter().map(|_| code(0)).collect();
                (unsubscribe.id, PacketType::UnsubAck, success)
            }
            _ => return Err(Stop::broken("there is no request to answer")),
        };
        let reasons = if reasons.is_empty() { usual } else { reasons };
        let answer =
            PacketPattern { fields: vec![identifier(id)], reasons: Some(reasons), ..bare(packet_type) };
        sequence.moves.push_front(expecting_packet(answer));
        Ok(())
    }
}

fn sending(pattern: PacketPattern) -> Move {
    Move::Send(Content::Packet(pattern))
}

fn expecting_packet(pattern: PacketPattern) -> Move {
    Move::Expect(Expected::Packet(pattern))
}

pub(crate) fn publish(topic: &Value, payload: Option<&Value>, fields: &[Field]) -> PacketPattern {
    let mut all = vec![field("topic", Test::Equal(topic.clone()))];
    if let Some(payload) = payload {
        all.push(field("payload", Test::Equal(payload.clone())));
    }
    all.extend(fields.iter().cloned());
    PacketPattern { fields: all, ..bare(PacketType::Publish) }
}

pub(crate) fn filter(filter: Value) -> Subscription {
    Subscription { span: Span::default(), versions: VersionMark::default(), filter, options: Vec::new() }
}

fn field(name: &str, test: Test) -> Field {
    Field { span: Span::default(), versions: VersionMark::default(), name: name.to_owned(), test, live: None }
}

fn equal(name: &str, value: u64) -> Field {
    field(name, Test::Equal(number(value, Radix::Decimal)))
}

fn number(value: u64, radix: Radix) -> Value {
    Value::Number(Number { value, radix })
}

fn code(value: u8) -> Test {
    Test::Equal(number(value.into(), Radix::Hexadecimal))
}

fn identifier(id: PacketIdentifier) -> Field {
    equal("id", id.get().into())
}

fn names(fields: &[Field], name: &str) -> bool {
    fields.iter().any(|field| field.name == name)
}

/// Whether what is asked of a Reason Code can only be met by a failure.
fn asks_for_failure(test: &Test) -> bool {
    let failure = |value: &Value| match value {
        Value::Number(number) => number.value >= 0x80,
        Value::Word(word) => {
            mqttspec_notation::vocabulary::reason_code(None, word).is_some_and(|code| code >= 0x80)
        }
        _ => false,
    };
    match test {
        Test::Equal(value) => failure(value),
        Test::OneOf(values) => values.iter().all(failure),
        Test::Between(least, _) => least.value >= 0x80,
        Test::Compared(Operator::AtLeast | Operator::More, value) => failure(value),
        _ => false,
    }
}
