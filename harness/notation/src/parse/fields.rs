//! Parses fields of packets and their tests, by the table of fields.

use super::cursor::{Cursor, Parsed};
use super::values;
use crate::lexicon::{STOPS, is_bare, misspelt};
use crate::vocabulary::{FieldKind, FieldRule, Owner, nearest, reason_code, reason_names};
use crate::{Diagnostic, Field, Number, PacketType, Span, Test, Value, VersionMark};

/// The next part of a list of fields.
pub(super) enum Item {
    /// A field and its owner.
    Field(Owner, Field),
    /// A text or capture without a name: a Topic Filter, a Topic Name, a payload.
    Bare(Span, VersionMark, Value),
    /// Neither: the end of the line, a word that ends the list, a bracket.
    End,
}

/// Reads the next part of a list. The fields may be those of any of `owners`.
pub(super) fn item(cursor: &mut Cursor<'_>, owners: &[Owner], bare_is: &str) -> Parsed<Item> {
    cursor.skip_spaces();
    let start = cursor.at();
    let versions = values::mark(cursor).unwrap_or_default();
    cursor.skip_spaces();
    let ends = cursor.is_done() || matches!(cursor.peek(), Some('[' | '}' | ',')) || stops(cursor);
    if ends {
        return if versions.0.is_empty() {
            Ok(Item::End)
        } else {
            Err(cursor.expected("a field after the mark"))
        };
    }
    let negated = cursor.eat("!");
    let name = cursor.run(|character| character.is_ascii_alphanumeric() || character == '_');
    let rest = &cursor.rest()[name.len()..];
    let has_operator = rest.starts_with(['=', '<', '>']) || rest.starts_with("!=");
    let alone =
        rest.is_empty() || rest.starts_with(|next: char| next.is_whitespace() || ",]}[".contains(next));
    if !name.is_empty() && (negated || has_operator || alone) {
        let rule = owners.iter().find_map(|owner| owner.field(name).map(|rule| (*owner, rule)));
        if let Some((owner, rule)) = rule {
            cursor.advance(name.len());
            let (test, live) =
                if negated { (absent(cursor, start, rule)?, None) } else { test(cursor, owner, rule)? };
            let field =
                Field { span: cursor.span_from(start), versions, name: rule.name.to_owned(), test, live };
            return Ok(Item::Field(owner, field));
        }
        if negated || has_operator || bare_is.is_empty() {
            return Err(unknown_field(cursor, name, owners));
        }
    }
    bare_item(cursor, start, versions, owners, bare_is)
}

fn bare_item(
    cursor: &mut Cursor<'_>,
    start: usize,
    versions: VersionMark,
    owners: &[Owner],
    bare_is: &str,
) -> Parsed<Item> {
    if bare_is.is_empty() {
        return Err(cursor.expected(&format!("a field of {}", names(owners))));
    }
    let word = cursor.run(is_bare);
    if let Some(meant) = misspelt(word, owners) {
        let span = Span::new(cursor.at(), cursor.at() + word.len());
        return Err(Diagnostic::error(span, format!("{} has no field `{word}`", names(owners))).help(
            format!("did you mean `{meant}`? ({bare_is} of this name is written in quotes: \"{word}\")"),
        ));
    }
    let value = match values::capture(cursor) {
        Some(name) => Value::Capture(name),
        None => match values::bytes(cursor)? {
            Some(bytes) => Value::Bytes(bytes),
            None => Value::Text(values::text(cursor, &format!("{bare_is} or a field of {}", names(owners)))?),
        },
    };
    Ok(Item::Bare(cursor.span_from(start), versions, value))
}

/// Reads fields of `owner` until the next part that is not a field.
pub(super) fn fields(cursor: &mut Cursor<'_>, owner: Owner) -> Parsed<Vec<Field>> {
    let mut fields = Vec::new();
    loop {
        match item(cursor, &[owner], "")? {
            Item::Field(_, field) => push(&mut fields, owner, field)?,
            Item::Bare(..) | Item::End => return Ok(fields),
        }
    }
}

/// Adds a field. It must not exist in the same version, unless it may occur several times.
pub(super) fn push(fields: &mut Vec<Field>, owner: Owner, field: Field) -> Parsed<()> {
    let overlaps = |other: &Field| other.name == field.name && other.versions.overlaps(&field.versions);
    // `id>=2 id!=$held` are two conditions on one field.
    let is_value = |test: &Test| !matches!(test, Test::Compared(..));
    let clash = fields.iter().any(|other| overlaps(other) && is_value(&other.test) && is_value(&field.test));
    if clash && !owner.repeats(&field.name) {
        return Err(Diagnostic::error(field.span, format!("`{}` is written twice", field.name))
            .label(format!("{} has it once", owner.name())));
    }
    fields.push(field);
    Ok(())
}

fn stops(cursor: &mut Cursor<'_>) -> bool {
    STOPS.iter().any(|stop| cursor.next_is(stop))
}

fn names(owners: &[Owner]) -> &'static str {
    owners.first().map_or("the packet", |owner| owner.name())
}

fn unknown_field(cursor: &Cursor<'_>, name: &str, owners: &[Owner]) -> Diagnostic {
    let span = Span::new(cursor.at(), cursor.at() + name.len());
    let error = Diagnostic::error(span, format!("{} has no field `{name}`", names(owners)));
    let known: Vec<&str> = owners.iter().flat_map(|owner| owner.fields()).map(|rule| rule.name).collect();
    if name == "clean_session" {
        return error.help("Clean Session and Clean Start are one field in the notation: `clean_start`");
    }
    match nearest(name, known.iter().copied()) {
        Some(word) => error.help(format!("did you mean `{word}`?")),
        None if known.is_empty() => error.label("the packet has no fields"),
        None => error.help(format!("its fields are: {}", known.join(" "))),
    }
}

fn absent(cursor: &Cursor<'_>, start: usize, rule: &FieldRule) -> Parsed<Test> {
    if rule.optional {
        return Ok(Test::Absent);
    }
    let error = Diagnostic::error(cursor.span_from(start), format!("`{}` is always there", rule.name));
    Err(if rule.kind == FieldKind::Flag {
        error.help(format!("write `{}=0`", rule.name))
    } else {
        error.label("only an optional field can be absent")
    })
}

/// The test after the name of a field.
fn test(cursor: &mut Cursor<'_>, owner: Owner, rule: &FieldRule) -> Parsed<(Test, Option<Number>)> {
    if let Some(operator) = values::operator(cursor) {
        // `topic_alias>0`: the number need not be a valid value of the field.
        let kind = match rule.kind {
            FieldKind::Flag | FieldKind::Number { .. } => FieldKind::Number { least: 0, most: u64::MAX },
            kind => kind,
        };
        return Ok((Test::Compared(operator, value(cursor, owner, &FieldRule { kind, ..*rule })?), None));
    }
    if !cursor.eat("=") {
        return match rule.kind {
            FieldKind::Flag => Ok((Test::Equal(Value::Number(Number::decimal(1))), None)),
            _ if rule.optional => Ok((Test::Present, None)),
            _ => Err(cursor.expected(&format!("`=` and a value: `{}` is always there", rule.name))),
        };
    }
    let first = value(cursor, owner, rule)?;
    if cursor.eat("..") {
        let Value::Number(from) = first else {
            return Err(cursor.expected("a number before `..`"));
        };
        let to = values::number(cursor, "the number at which the range ends")?;
        return Ok((Test::Between(from, to), None));
    }
    if cursor.eat("|") {
        let mut values = vec![first];
        loop {
            values.push(value(cursor, owner, rule)?);
            if !cursor.eat("|") {
                return Ok((Test::OneOf(values), None));
            }
        }
    }
    let live = values::live(cursor, |cursor| values::number(cursor, "a number for live targets"))?;
    if live.is_some() && !matches!(first, Value::Number(_)) {
        return Err(cursor.expected("`[live …]` only after a number"));
    }
    Ok((Test::Equal(first), live))
}

/// A value of the rule's kind, or a capture.
pub(super) fn value(cursor: &mut Cursor<'_>, owner: Owner, rule: &FieldRule) -> Parsed<Value> {
    if let Some(name) = values::capture(cursor) {
        return Ok(Value::Capture(name));
    }
    match rule.kind {
        FieldKind::Flag => flag_or_number(cursor, rule.name, 0, 1),
        FieldKind::Number { least, most } => flag_or_number(cursor, rule.name, least, most),
        FieldKind::Text => Ok(Value::Text(values::text(cursor, &format!("the text of `{}`", rule.name))?)),
        FieldKind::Binary => match values::bytes(cursor)? {
            Some(bytes) => Ok(Value::Bytes(bytes)),
            None => Ok(Value::Text(values::text(cursor, "a text `\"…\"` or bytes `x\"61ff\"`")?)),
        },
        FieldKind::Reason => reason(cursor, owner.reason_packet()),
        FieldKind::Pair => pair(cursor),
        FieldKind::Will => {
            braces(cursor, Owner::Will, "the fields of the Will in braces: `will={topic=t payload=\"x\"}`")
        }
        FieldKind::Authentication if cursor.peek() == Some('{') => {
            braces(cursor, Owner::Scram, "a SCRAM message in braces: `{scram=client-first}`")
        }
        FieldKind::Authentication => match values::bytes(cursor)? {
            Some(bytes) => Ok(Value::Bytes(bytes)),
            None => Ok(Value::Text(values::text(
                cursor,
                "a text `\"…\"`, bytes `x\"61ff\"` or a SCRAM message `{scram=client-first}`",
            )?)),
        },
        FieldKind::Word(words) => word(cursor, words),
    }
}

fn flag_or_number(cursor: &mut Cursor<'_>, name: &str, least: u64, most: u64) -> Parsed<Value> {
    cursor.skip_spaces();
    let start = cursor.at();
    let number = values::number(cursor, &format!("a number for `{name}`"))?;
    if (least..=most).contains(&number.value) {
        return Ok(Value::Number(number));
    }
    let error = Diagnostic::error(cursor.span_from(start), format!("`{name}` cannot be {}", number.value));
    Err(error.label(format!("expected {least} to {most}")).help(
        "a packet that breaks the standard is sent by patching a valid one (`with byte 8=0xff`, `with id=0`, \
         `with properties { 21 u16 0 }`) or as `raw` bytes",
    ))
}

/// A Reason Code by name or number.
pub(super) fn reason(cursor: &mut Cursor<'_>, packet: Option<PacketType>) -> Parsed<Value> {
    if let Some(name) = values::capture(cursor) {
        return Ok(Value::Capture(name));
    }
    let word = cursor.peek_word();
    let start = cursor.next_span().start;
    if word.starts_with(|first: char| first.is_ascii_digit()) {
        let number = values::number(cursor, "a Reason Code")?;
        return if number.value <= 0xff {
            Ok(Value::Number(number))
        } else {
            Err(Diagnostic::error(cursor.span_from(start), "a Reason Code is one byte")
                .label("expected 0x00 to 0xff"))
        };
    }
    if word.is_empty() {
        return Err(cursor
            .expected("a Reason Code: its name in the standard (`not-authorized`) or a number (`0x87`)"));
    }
    cursor.advance(word.len());
    if reason_code(packet, word).is_some() {
        return Ok(Value::Word(word.to_owned()));
    }
    let of = packet.map_or("any packet", PacketType::name);
    let error = Diagnostic::error(cursor.span_from(start), format!("`{word}` is not a Reason Code of {of}"));
    Err(match nearest(word, reason_names(packet)) {
        Some(near) => error.help(format!("did you mean `{near}`?")),
        None => error.help(format!("{of} has: {}", reason_names(packet).collect::<Vec<_>>().join(" "))),
    })
}

fn pair(cursor: &mut Cursor<'_>) -> Parsed<Value> {
    const EXPECTED: &str = "a name and a value in quotes: `user_property=\"name\":\"value\"`";
    if cursor.peek() != Some('"') {
        return Err(cursor.expected(EXPECTED));
    }
    let name = values::text(cursor, EXPECTED)?;
    if !cursor.eat(":") || cursor.peek() != Some('"') {
        return Err(cursor.expected(EXPECTED));
    }
    Ok(Value::Pair(name, values::text(cursor, EXPECTED)?))
}

/// The fields of `owner` in braces.
fn braces(cursor: &mut Cursor<'_>, owner: Owner, expected: &str) -> Parsed<Value> {
    let start = cursor.at();
    if !cursor.eat("{") {
        return Err(cursor.expected(expected));
    }
    let fields = fields(cursor, owner)?;
    cursor.skip_spaces();
    if cursor.eat("}") {
        return Ok(Value::Fields(fields));
    }
    let span = Span::new(start, start + 1);
    Err(if cursor.is_done() {
        let what = if owner == Owner::Will { "the Will" } else { "the SCRAM message" };
        Diagnostic::error(span, format!("{what} is not closed")).label("expected `}` after its fields")
    } else {
        cursor.expected(&format!("a field of {} or `}}`", owner.name()))
    })
}

fn word(cursor: &mut Cursor<'_>, words: &[&'static str]) -> Parsed<Value> {
    let word = cursor.peek_word();
    if words.contains(&word) {
        return Ok(Value::Word(cursor.advance(word.len()).to_owned()));
    }
    Err(cursor.expected_one_of("one of its words", words.iter().copied()))
}

/// `[granted-1 failure|not-authorized >=0x80 any]`, after the opening bracket.
pub(super) fn reasons(cursor: &mut Cursor<'_>, packet: PacketType) -> Parsed<Vec<Test>> {
    let mut reasons = Vec::new();
    loop {
        cursor.skip_spaces();
        if cursor.eat("]") {
            return Ok(reasons);
        }
        if cursor.is_done() {
            return Err(cursor.expected("`]` after the Reason Codes"));
        }
        reasons.push(reason_test(cursor, packet)?);
    }
}

/// One Reason Code of a list, or its test.
pub(super) fn reason_test(cursor: &mut Cursor<'_>, packet: PacketType) -> Parsed<Test> {
    cursor.skip_spaces();
    if cursor.eat_word("any") {
        return Ok(Test::Present);
    }
    if let Some(operator) = values::operator(cursor) {
        return Ok(Test::Compared(operator, reason(cursor, Some(packet))?));
    }
    let mut codes = vec![reason(cursor, Some(packet))?];
    while cursor.eat("|") {
        codes.push(reason(cursor, Some(packet))?);
    }
    Ok(match (codes.len(), codes.pop()) {
        (1, Some(only)) => Test::Equal(only),
        (_, last) => Test::OneOf(codes.into_iter().chain(last).collect()),
    })
}
