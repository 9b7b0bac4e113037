//! Parses the contents of transcript lines: packets, `raw`, `nothing`, `closed`, `anything`.

use super::bytes::{patches, raw};
use super::cursor::{Cursor, Parsed};
use super::fields::{self, Item};
use super::values;
use crate::lexicon::{SHOWS, packet_type};
use crate::vocabulary::{Owner, nearest};
use crate::{
    Comparison, Content, Diagnostic, Field, Framing, Name, PacketPattern, PacketType, Subscription, Test,
    Value,
};

/// The content after `>` or `<`, or in a cell of a table.
pub(super) fn content(cursor: &mut Cursor<'_>) -> Parsed<Content> {
    if let Some(column) = values::capture(cursor) {
        return Ok(Content::Column(column));
    }
    if cursor.eat_word("raw") {
        return Ok(Content::Raw(raw(cursor)?));
    }
    if cursor.eat_word("nothing") {
        let lasting = if cursor.eat_word("for") { Some(values::time(cursor)?) } else { None };
        return Ok(Content::Nothing { lasting });
    }
    if cursor.eat_word("handshake") {
        return handshake(cursor);
    }
    if cursor.eat_word("anything") {
        return Ok(Content::Anything);
    }
    if cursor.eat_word("closed") {
        let mut or = Vec::new();
        while cursor.eat_word("or") {
            or.push(packet(cursor)?);
        }
        return Ok(Content::Closed { or });
    }
    packet(cursor).map(Content::Packet)
}

/// Whether a cell of a table is read as [`Content`], not as a value.
pub(super) fn is_content(cursor: &mut Cursor<'_>) -> bool {
    let word = cursor.peek_word();
    // A misspelt packet name must not become a text.
    let capitals = word.len() >= 4 && word.chars().all(|letter| letter.is_ascii_uppercase());
    let misspelt = || nearest(word, PacketType::ALL.into_iter().map(PacketType::name)).is_some();
    packet_type(word).is_some()
        || capitals && misspelt()
        || ["raw", "nothing", "anything", "closed", "handshake"].iter().any(|word| cursor.next_is(word))
}

/// What follows `handshake`.
fn handshake(cursor: &mut Cursor<'_>) -> Parsed<Content> {
    if cursor.eat_word("selecting") {
        let name = subprotocol(cursor).ok_or_else(|| cursor.expected("a subprotocol: `selecting mqtt`"))?;
        return Ok(Content::HandshakeSelecting(name));
    }
    if !cursor.eat_word("offering") {
        return Err(cursor.expected("`offering` (after `>`) or `selecting` (after `<`) and a subprotocol"));
    }
    let mut names = Vec::new();
    while let Some(name) = subprotocol(cursor) {
        names.push(name);
    }
    if names.is_empty() {
        return Err(cursor.expected("a subprotocol: `offering mqtt`"));
    }
    Ok(Content::HandshakeOffering(names))
}

/// The name of a subprotocol, if one is next.
fn subprotocol(cursor: &mut Cursor<'_>) -> Option<Name> {
    cursor.skip_spaces();
    let name = cursor.run(|character| character.is_ascii_alphanumeric() || "-._".contains(character));
    if name.is_empty() || name == SHOWS {
        return None;
    }
    Some(cursor.advance(name.len()).to_owned())
}

/// `in a text frame`, if it is next.
fn framing(cursor: &mut Cursor<'_>) -> Parsed<Framing> {
    if !cursor.eat_word("in") {
        return Ok(Framing::Own);
    }
    let words = |cursor: &mut Cursor<'_>, words: &[&str]| {
        words.iter().try_for_each(|word| match cursor.eat_word(word) {
            true => Ok(()),
            false => Err(cursor.expected(&format!("`{word}`"))),
        })
    };
    if cursor.eat_word("a") {
        words(cursor, &["text", "frame"])?;
        return Ok(Framing::Text);
    }
    if cursor.eat_word("one") {
        words(cursor, &["frame", "with", "the", "next"])?;
        return Ok(Framing::WithNext);
    }
    if cursor.eat_word("frames") {
        words(cursor, &["of"])?;
        return Ok(Framing::Pieces(values::small_number(cursor, "a number of bytes", 1, u32::MAX)?));
    }
    Err(cursor.expected("`a text frame`, `frames of 3` or `one frame with the next`"))
}

fn packet(cursor: &mut Cursor<'_>) -> Parsed<PacketPattern> {
    let name = cursor.peek_word();
    let span = cursor.next_span();
    let Some(packet_type) = packet_type(name) else {
        let words = ["nothing", "closed", "anything", "raw", "handshake"];
        let names = PacketType::ALL.into_iter().map(PacketType::name).chain(words);
        let near = nearest(&name.to_ascii_uppercase(), names.clone()).or_else(|| nearest(name, names));
        return Err(cursor
            .expected("a packet (`CONNECT`), `raw`, `nothing`, `closed` or `anything`")
            .did_you_mean(near));
    };
    cursor.advance(name.len());
    let mut pattern = PacketPattern {
        span,
        packet_type,
        fields: Vec::new(),
        subscriptions: Vec::new(),
        reasons: None,
        patches: Vec::new(),
        framing: Framing::Own,
        conditions: Vec::new(),
    };
    body(cursor, &mut pattern)?;
    pattern.patches = patches(cursor, Some(packet_type))?;
    pattern.framing = framing(cursor)?;
    if cursor.eat_word("where") {
        pattern.conditions.push(comparison(cursor)?);
        while cursor.eat_word("and") {
            pattern.conditions.push(comparison(cursor)?);
        }
    }
    pattern.span = cursor.span_from(span.start);
    Ok(pattern)
}

/// The fields, Topic Filters and Reason Codes.
fn body(cursor: &mut Cursor<'_>, pattern: &mut PacketPattern) -> Parsed<()> {
    let owner = Owner::Packet(pattern.packet_type);
    let (owners, bare_is): (&[Owner], &str) = match pattern.packet_type {
        PacketType::Subscribe => (&[owner, Owner::Subscription], "a Topic Filter"),
        PacketType::Unsubscribe => (&[owner], "a Topic Filter"),
        PacketType::Publish => (&[owner], "a Topic Name"),
        _ => (&[owner], ""),
    };
    let has_reasons = matches!(pattern.packet_type, PacketType::SubAck | PacketType::UnsubAck);
    loop {
        match fields::item(cursor, owners, bare_is)? {
            Item::Field(Owner::Subscription, option) => add_option(&mut pattern.subscriptions, option)?,
            Item::Field(owner, field) => fields::push(&mut pattern.fields, owner, field)?,
            Item::Bare(span, versions, topic) if pattern.packet_type == PacketType::Publish => {
                let test = Test::Equal(topic);
                let field = Field { span, versions, name: "topic".to_owned(), test, live: None };
                fields::push(&mut pattern.fields, owner, field)?;
            }
            Item::Bare(span, versions, filter) => {
                pattern.subscriptions.push(Subscription { span, versions, filter, options: Vec::new() });
            }
            Item::End if has_reasons && pattern.reasons.is_none() && cursor.eat("[") => {
                pattern.reasons = Some(fields::reasons(cursor, pattern.packet_type)?);
            }
            Item::End => return Ok(()),
        }
    }
}

/// Adds a Subscription Option to the Topic Filter before it.
pub(super) fn add_option(subscriptions: &mut [Subscription], option: Field) -> Parsed<()> {
    match subscriptions.last_mut() {
        Some(subscription) => fields::push(&mut subscription.options, Owner::Subscription, option),
        None => {
            Err(Diagnostic::error(option.span, format!("`{}` belongs after a Topic Filter", option.name))
                .label("expected a Topic Filter first: `a/b qos=1`"))
        }
    }
}

fn comparison(cursor: &mut Cursor<'_>) -> Parsed<Comparison> {
    cursor.skip_spaces();
    let start = cursor.at();
    let capture = values::capture(cursor).ok_or_else(|| cursor.expected("a capture: `where $code>=0x80`"))?;
    cursor.skip_spaces();
    let operator = values::operator(cursor).ok_or_else(|| {
        cursor.expected("`!=`, `<`, `<=`, `>` or `>=` (for equality, write the value in the field)")
    })?;
    let value = match values::capture(cursor) {
        Some(name) => Value::Capture(name),
        None if cursor.peek_word().starts_with(|first: char| first.is_ascii_alphabetic()) => {
            fields::reason(cursor, None)?
        }
        None => Value::Number(values::number(cursor, "a number, a Reason Code or a capture")?),
    };
    Ok(Comparison { span: cursor.span_from(start), capture, operator, value })
}
