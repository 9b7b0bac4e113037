//! Parses verbs, `ask` and `told`.

use super::content::add_option;
use super::cursor::{Cursor, Parsed};
use super::fields::{self, Item};
use super::values;
use crate::lexicon::{COMMANDS, REPORTS, SHOWS, VERBS};
use crate::vocabulary::Owner;
use crate::{Action, Diagnostic, Field, PacketType, Report, Span, StepKind, Subscription, Test, Value};

/// The verb after the name of a host.
pub(super) fn verb(cursor: &mut Cursor<'_>) -> Parsed<Action> {
    let word = cursor.peek_word();
    if !VERBS.contains(&word) {
        return Err(cursor.expected_one_of("`>`, `<` or a verb", VERBS.iter().copied()));
    }
    cursor.advance(word.len());
    action(cursor, word, true)
}

/// `device publish t "x"`, after `ask`.
pub(super) fn ask(cursor: &mut Cursor<'_>) -> Parsed<StepKind> {
    let host = values::host(cursor)?;
    let word = cursor.peek_word();
    let Some(at) = COMMANDS.iter().position(|command| *command == word) else {
        return Err(cursor.expected_one_of("a command for the client", COMMANDS.iter().copied()));
    };
    cursor.advance(word.len());
    let action = action(cursor, COMMANDS[at], false)?;
    Ok(StepKind::Ask { host, action })
}

/// A verb, or the command of the same action.
fn action(cursor: &mut Cursor<'_>, word: &str, may_expect: bool) -> Parsed<Action> {
    Ok(match word {
        "opens" => Action::Opens,
        "connects" | "connect" => Action::Connects {
            fields: fields::fields(cursor, Owner::Packet(PacketType::Connect))?,
            expecting: expecting_fields(cursor, may_expect, PacketType::ConnAck)?,
        },
        "subscribes" | "subscribe" => {
            let (fields, subscriptions) = filters(cursor, PacketType::Subscribe)?;
            let expecting = expecting_reasons(cursor, may_expect, PacketType::SubAck)?;
            Action::Subscribes { subscriptions, fields, expecting }
        }
        "unsubscribes" | "unsubscribe" => {
            let (fields, filters) = filters(cursor, PacketType::Unsubscribe)?;
            let expecting = expecting_reasons(cursor, may_expect, PacketType::UnsubAck)?;
            Action::Unsubscribes {
                filters: filters.into_iter().map(|one| one.filter).collect(),
                fields,
                expecting,
            }
        }
        "publishes" | "publish" => {
            let (topic, payload, fields) = message(cursor, Owner::Packet(PacketType::Publish))?;
            let expecting = expecting_fields(cursor, may_expect, PacketType::PubAck)?;
            Action::Publishes { topic, payload, fields, expecting }
        }
        "receives" => {
            let (topic, payload, fields) = message(cursor, Owner::Packet(PacketType::Publish))?;
            Action::Receives { topic, payload, fields }
        }
        "request" => {
            let (topic, payload, fields) = message(cursor, Owner::Packet(PacketType::Publish))?;
            Action::Requests { topic, payload, fields }
        }
        "deliver" => {
            let (topic, payload, fields) = message(cursor, Owner::Packet(PacketType::Publish))?;
            Action::Delivers { topic, payload, fields }
        }
        "reauthenticate" => Action::Reauthenticates,
        "acknowledge" => {
            let (topic, payload, fields) = message(cursor, Owner::Acknowledge)?;
            Action::Acknowledges { topic, payload, fields }
        }
        "pings" => Action::Pings,
        "disconnects" | "disconnect" => {
            Action::Disconnects { fields: fields::fields(cursor, Owner::Packet(PacketType::Disconnect))? }
        }
        _ => Action::Closes,
    })
}

/// `device published t "x"`, after `told`.
pub(super) fn told(cursor: &mut Cursor<'_>) -> Parsed<StepKind> {
    let host = values::host(cursor)?;
    let word = cursor.peek_word();
    if !REPORTS.contains(&word) {
        return Err(cursor.expected_one_of("a report of the client", REPORTS.iter().copied()));
    }
    cursor.advance(word.len());
    let report = match word {
        "connected" => Report::Connected(fields::fields(cursor, Owner::Connected)?),
        "disconnected" => Report::Disconnected(fields::fields(cursor, Owner::Disconnected)?),
        "subscribed" => Report::Subscribed(topic(cursor, "a Topic Filter")?),
        "unsubscribed" => Report::Unsubscribed(topic(cursor, "a Topic Filter")?),
        "published" => {
            let (topic, payload, fields) = message(cursor, Owner::Published)?;
            Report::Published { topic, payload, fields }
        }
        "received" => {
            let (topic, payload, fields) = message(cursor, Owner::Received)?;
            Report::Received { topic, payload, fields }
        }
        "acknowledged" => {
            let (topic, payload, fields) = message(cursor, Owner::Message)?;
            Report::Acknowledged { topic, payload, fields }
        }
        "answered" => {
            let (topic, payload, fields) = message(cursor, Owner::Received)?;
            Report::Answered { topic, payload, fields }
        }
        "delivered" => {
            let (topic, payload, fields) = message(cursor, Owner::Message)?;
            Report::Delivered { topic, payload, fields }
        }
        "reauthenticated" => Report::Reauthenticated,
        _ => Report::Failed(fields::fields(cursor, Owner::Failed)?),
    };
    Ok(StepKind::Told { host, report })
}

/// Fields of the packet and Topic Filters with their options.
fn filters(cursor: &mut Cursor<'_>, packet: PacketType) -> Parsed<(Vec<Field>, Vec<Subscription>)> {
    let owner = Owner::Packet(packet);
    let both = [owner, Owner::Subscription];
    let owners = if packet == PacketType::Subscribe { &both[..] } else { &both[..1] };
    let mut fields = Vec::new();
    let mut filters: Vec<Subscription> = Vec::new();
    loop {
        match fields::item(cursor, owners, "a Topic Filter")? {
            Item::Field(Owner::Subscription, option) => add_option(&mut filters, option)?,
            Item::Field(owner, field) => fields::push(&mut fields, owner, field)?,
            Item::Bare(span, versions, filter) => {
                if packet == PacketType::Unsubscribe && !versions.0.is_empty() {
                    return Err(Diagnostic::error(span, "a Topic Filter of `unsubscribes` cannot be marked")
                        .help("mark the whole line, or write the UNSUBSCRIBE as a line of the transcript"));
                }
                filters.push(Subscription { span, versions, filter, options: Vec::new() });
            }
            Item::End if filters.is_empty() => return Err(no_filter(cursor)),
            Item::End => return Ok((fields, filters)),
        }
    }
}

fn no_filter(cursor: &mut Cursor<'_>) -> Diagnostic {
    cursor.expected("a Topic Filter").help("a Topic Filter of only # is written in quotes: \"#\"")
}

/// `t "payload" qos=1`
fn message(cursor: &mut Cursor<'_>, owner: Owner) -> Parsed<(Value, Option<Value>, Vec<Field>)> {
    let topic = topic(cursor, "a Topic Name")?;
    cursor.skip_spaces();
    let payload = match values::capture(cursor) {
        Some(name) => Some(Value::Capture(name)),
        None => match values::bytes(cursor)? {
            Some(bytes) => Some(Value::Bytes(bytes)),
            None if cursor.peek() == Some('"') => Some(Value::Text(values::text(cursor, "a payload")?)),
            None => None,
        },
    };
    let fields = fields::fields(cursor, owner)?;
    let twice =
        fields.iter().find(|field| field.name == "topic" || (field.name == "payload" && payload.is_some()));
    match twice {
        Some(field) => Err(Diagnostic::error(
            field.span,
            format!("the {} is already given before the fields", field.name),
        )),
        None => Ok((topic, payload, fields)),
    }
}

fn topic(cursor: &mut Cursor<'_>, what: &str) -> Parsed<Value> {
    match values::capture(cursor) {
        Some(name) => Ok(Value::Capture(name)),
        None => Ok(Value::Text(values::text(cursor, what)?)),
    }
}

fn expecting_fields(cursor: &mut Cursor<'_>, allowed: bool, packet: PacketType) -> Parsed<Vec<Field>> {
    if !eat_expecting(cursor, allowed)? {
        return Ok(Vec::new());
    }
    let fields = fields::fields(cursor, Owner::Packet(packet))?;
    match fields.iter().find(|field| field.name == "id") {
        Some(field) => {
            Err(Diagnostic::error(field.span, "an answer always has the Packet Identifier of its request"))
        }
        None if fields.is_empty() => Err(cursor.expected(&format!("fields of {packet}"))),
        None => Ok(fields),
    }
}

fn expecting_reasons(cursor: &mut Cursor<'_>, allowed: bool, packet: PacketType) -> Parsed<Vec<Test>> {
    let mut reasons = Vec::new();
    if eat_expecting(cursor, allowed)? {
        while reasons.is_empty() || !(cursor.is_done() || cursor.next_is(SHOWS)) {
            reasons.push(fields::reason_test(cursor, packet)?);
        }
    }
    Ok(reasons)
}

fn eat_expecting(cursor: &mut Cursor<'_>, allowed: bool) -> Parsed<bool> {
    let start = cursor.next_span();
    if !cursor.eat_word("expecting") {
        return Ok(false);
    }
    if allowed {
        Ok(true)
    } else {
        Err(Diagnostic::error(Span::new(start.start, start.start + 9), "`ask` has no `expecting`")
            .help("expect the client's report with a line `told HOST …`"))
    }
}
