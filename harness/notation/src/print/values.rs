//! Prints the smallest parts, so that each parses to an equal value.

use core::fmt::Write;

use super::places::{time, time_range};
use crate::lexicon::{is_taken, is_variable, is_variable_start, version_word};
use crate::parse::{reads_as_positional, reads_as_text};
use crate::vocabulary::{FieldKind, Owner};
use crate::{Field, Number, Operator, Piece, Radix, Test, Text, Timing, Value, VersionMark};

/// `[5] `, with the space after it, or nothing.
pub(super) fn mark(versions: &VersionMark) -> String {
    if versions.0.is_empty() {
        return String::new();
    }
    let versions: Vec<&str> = versions.0.iter().copied().map(version_word).collect();
    format!("[{}] ", versions.join(" "))
}

pub(super) fn number(number: Number) -> String {
    match number.radix {
        Radix::Decimal => number.value.to_string(),
        Radix::Hexadecimal => {
            let digits = format!("{:x}", number.value);
            format!("0x{}{digits}", if digits.len() % 2 == 0 { "" } else { "0" })
        }
    }
}

/// In the largest suitable unit: whole hours, whole minutes from ten on, then s, ms, us with
/// decimals.
/// Without a space; nothing for [`Timing::Usual`].
pub(super) fn timing(timing: Timing) -> String {
    match timing {
        Timing::Usual => String::new(),
        Timing::Within(limit) => format!("within {}", time(limit)),
        Timing::After(delay) => format!("after {}", time(delay)),
        Timing::Between(range) => format!("between {}", time_range(range, false)),
        Timing::At(moment) => format!("at {}", time(moment)),
    }
}

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut all, byte| {
        let _ = write!(all, "{byte:02x}");
        all
    })
}

/// In quotes.
pub(super) fn quoted(text: &Text) -> String {
    let mut written = String::from("\"");
    let mut pieces = text.0.iter().peekable();
    while let Some(piece) = pieces.next() {
        match piece {
            Piece::Literal(literal) => escaped(literal, &mut written),
            Piece::Variable(name) => variable(name, follows_on(pieces.peek().copied()), &mut written),
        }
    }
    written.push('"');
    written
}

fn escaped(literal: &str, written: &mut String) {
    let mut characters = literal.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' => written.push_str("\\\""),
            '\\' => written.push_str("\\\\"),
            '\n' => written.push_str("\\n"),
            '\r' => written.push_str("\\r"),
            '\t' => written.push_str("\\t"),
            '$' if characters.peek().is_some_and(|next| is_variable_start(*next) || *next == '{') => {
                written.push_str("\\$");
            }
            _ if character.is_control() || is_invisible(character) => {
                let _ = write!(written, "\\u{{{:x}}}", u32::from(character));
            }
            _ => written.push(character),
        }
    }
}

/// Characters that some editors do not show, or treat as the end of a line.
fn is_invisible(character: char) -> bool {
    matches!(character, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}')
        || (character.is_whitespace() && character != ' ')
}

fn variable(name: &str, braces: bool, written: &mut String) {
    let _ = if braces { write!(written, "${{{name}}}") } else { write!(written, "${name}") };
}

/// Whether the next piece would be parsed as a part of the name.
fn follows_on(next: Option<&Piece>) -> bool {
    matches!(next, Some(Piece::Literal(literal)) if literal.starts_with(is_variable))
}

fn bare(text: &Text) -> String {
    let mut written = String::new();
    for (at, piece) in text.0.iter().enumerate() {
        match piece {
            Piece::Literal(literal) => written.push_str(literal),
            Piece::Variable(name) => {
                let next = text.0.get(at + 1);
                variable(name, at == 0 || follows_on(next), &mut written);
            }
        }
    }
    written
}

/// The text of a field: without quotes if it parses to the same text.
pub(super) fn text(text: &Text) -> String {
    let candidate = bare(text);
    // After a space it would start a comment.
    let safe = !candidate.starts_with('#') && reads_as_text(&candidate, text);
    if safe { candidate } else { quoted(text) }
}

/// A Topic Name or Topic Filter among fields of `owners`.
pub(super) fn topic(value: &Value, owners: &[Owner]) -> String {
    match value {
        Value::Text(text) => {
            let candidate = bare(text);
            let safe = !is_taken(&candidate, owners)
                && !candidate.starts_with('#')
                && reads_as_text(&candidate, text);
            if safe && reads_as_positional(&candidate) { candidate } else { quoted(text) }
        }
        other => self::value(other, FieldKind::Text),
    }
}

/// A payload before the fields.
pub(super) fn payload(value: &Value) -> String {
    self::value(value, FieldKind::Binary)
}

pub(super) fn value(value: &Value, kind: FieldKind) -> String {
    match value {
        Value::Number(one) => number(*one),
        Value::Word(word) => word.clone(),
        Value::Text(one) if matches!(kind, FieldKind::Binary | FieldKind::Authentication) => quoted(one),
        Value::Text(one) => text(one),
        Value::Bytes(bytes) => format!("x\"{}\"", hexadecimal(bytes)),
        Value::Pair(name, value) => format!("{}:{}", quoted(name), quoted(value)),
        Value::Capture(name) => format!("${name}"),
        Value::Fields(inner) => {
            let owner = if kind == FieldKind::Authentication { Owner::Scram } else { Owner::Will };
            format!("{{{}}}", fields(inner, owner))
        }
    }
}

pub(super) fn operator(operator: Operator) -> &'static str {
    match operator {
        Operator::NotEqual => "!=",
        Operator::Less => "<",
        Operator::AtMost => "<=",
        Operator::More => ">",
        Operator::AtLeast => ">=",
    }
}

/// With single spaces between.
pub(super) fn fields(fields: &[Field], owner: Owner) -> String {
    fields.iter().map(|one| field(one, owner)).collect::<Vec<_>>().join(" ")
}

pub(super) fn field(field: &Field, owner: Owner) -> String {
    let kind = owner.field(&field.name).map_or(FieldKind::Text, |rule| rule.kind);
    let one = |value: &Value| self::value(value, kind);
    let name = &field.name;
    let written = match &field.test {
        Test::Absent => format!("!{name}"),
        Test::Present => name.clone(),
        Test::Equal(Value::Number(number))
            if kind == FieldKind::Flag && *number == Number::decimal(1) && field.live.is_none() =>
        {
            name.clone()
        }
        Test::Equal(value) => format!("{name}={}", one(value)),
        Test::OneOf(values) => format!("{name}={}", values.iter().map(one).collect::<Vec<_>>().join("|")),
        Test::Between(from, to) => format!("{name}={}..{}", number(*from), number(*to)),
        Test::Compared(comparison, value) => format!("{name}{}{}", operator(*comparison), one(value)),
    };
    let live = field.live.map(|live| format!(" [live {}]", number(live))).unwrap_or_default();
    format!("{}{written}{live}", mark(&field.versions))
}

/// Reason Codes of a list, with single spaces between.
pub(super) fn reasons(reasons: &[Test]) -> String {
    let one = |value: &Value| value_of_reason(value);
    let written = reasons.iter().map(|test| match test {
        Test::Equal(value) => one(value),
        Test::OneOf(values) => values.iter().map(one).collect::<Vec<_>>().join("|"),
        Test::Compared(comparison, value) => format!("{}{}", operator(*comparison), one(value)),
        Test::Between(..) | Test::Absent | Test::Present => "any".to_owned(),
    });
    written.collect::<Vec<_>>().join(" ")
}

pub(super) fn value_of_reason(value: &Value) -> String {
    self::value(value, FieldKind::Reason)
}
