//! Parses the smallest parts: marks, names, numbers, durations, texts and bytes.

use core::time::Duration;

use super::cursor::{Cursor, Parsed};
use crate::lexicon::{is_bare, is_variable, is_variable_start, may_be_host};
use crate::{
    Diagnostic, HostName, Hosts, Name, Number, Operator, Piece, Radix, Span, Text, Time, TimeRange, Version,
    VersionMark,
};

/// The version of the standard that a word names.
pub(crate) fn version(word: &str) -> Option<Version> {
    match word {
        "3.1" => Some(Version::V3_1),
        "3.1.1" => Some(Version::V3_1_1),
        "5" | "5.0" => Some(Version::V5),
        _ => None,
    }
}

/// `[5]`, if it is next, after spaces. Brackets around anything else are not read.
pub(crate) fn mark(cursor: &mut Cursor<'_>) -> Option<VersionMark> {
    cursor.skip_spaces();
    let inside = cursor.rest().strip_prefix('[')?.split_once(']')?.0;
    let mut versions = inside.split_whitespace().map(version).collect::<Option<Vec<_>>>()?;
    if versions.is_empty() {
        return None;
    }
    versions.sort_unstable();
    versions.dedup();
    cursor.advance(inside.len() + 2);
    Some(VersionMark(versions))
}

/// A name of letters, digits, `-` and `_` that starts with a letter.
pub(crate) fn name(cursor: &mut Cursor<'_>, what: &str) -> Parsed<Name> {
    let word = cursor.peek_word();
    if !word.starts_with(|first: char| first.is_ascii_alphabetic()) {
        return Err(cursor.expected(what));
    }
    Ok(cursor.advance(word.len()).to_owned())
}

/// The name of one host.
pub(crate) fn host(cursor: &mut Cursor<'_>) -> Parsed<Name> {
    let start = cursor.next_span().start;
    let name = name(cursor, "the name of a host")?;
    if may_be_host(&name) {
        Ok(name)
    } else {
        let span = cursor.span_from(start);
        Err(Diagnostic::error(
            span,
            format!("`{name}` cannot be the name of a host: it is a word of the notation"),
        )
        .label("expected the name of a host"))
    }
}

/// `device` or `d1..d100`
pub(crate) fn host_name(cursor: &mut Cursor<'_>) -> Parsed<HostName> {
    let start = cursor.next_span().start;
    let first = host(cursor)?;
    if !cursor.rest().starts_with("..") {
        return Ok(HostName::One(first));
    }
    cursor.advance(2);
    let last = host(cursor)?;
    let split = |name: &str| {
        let prefix = name.trim_end_matches(|digit: char| digit.is_ascii_digit());
        let digits = &name[prefix.len()..];
        let plain = !digits.is_empty() && (digits == "0" || !digits.starts_with('0'));
        plain.then(|| digits.parse::<u32>().ok()).flatten().map(|number| (prefix.to_owned(), number))
    };
    match (split(&first), split(&last)) {
        (Some((prefix, first)), Some((other, last)))
            if prefix == other && first <= last && last - first < 10_000 =>
        {
            Ok(HostName::Numbered { prefix, first, last })
        }
        _ => Err(Diagnostic::error(cursor.span_from(start), "this is not a range of numbered hosts")
            .label("expected the same name with two numbers, the smaller first, at most 10,000: `d1..d20`")),
    }
}

/// Hosts, until the next part that is not a name, or is one of the words in `until`.
pub(crate) fn hosts(cursor: &mut Cursor<'_>, until: &[&str]) -> Parsed<Hosts> {
    if cursor.eat_word("all") {
        return Ok(Hosts::All);
    }
    let mut names = vec![host_name(cursor)?];
    while cursor.peek_word().starts_with(|first: char| first.is_ascii_alphabetic())
        && !until.contains(&cursor.peek_word())
    {
        names.push(host_name(cursor)?);
    }
    Ok(Hosts::Named(names))
}

/// `10` or `0x0a`
pub(crate) fn number(cursor: &mut Cursor<'_>, what: &str) -> Parsed<Number> {
    cursor.skip_spaces();
    let start = cursor.at();
    if cursor.rest().starts_with("0x") {
        let digits = &cursor.run(|character| character.is_ascii_alphanumeric())[2..];
        if let Ok(value) = u64::from_str_radix(digits, 16) {
            cursor.advance(2 + digits.len());
            return Ok(Number { value, radix: Radix::Hexadecimal });
        }
    }
    let digits = cursor.run(|character| character.is_ascii_digit());
    let goes_on = cursor.rest()[digits.len()..].starts_with(|next: char| next.is_ascii_alphabetic());
    match digits.parse() {
        Ok(value) if !goes_on => {
            cursor.advance(digits.len());
            Ok(Number::decimal(value))
        }
        Err(_) if !digits.is_empty() => {
            Err(Diagnostic::error(Span::new(start, start + digits.len()), "the number is too large"))
        }
        _ => Err(cursor.expected(what)),
    }
}

/// A number that is at least `least` and at most `most`.
pub(crate) fn number_between(cursor: &mut Cursor<'_>, what: &str, least: u64, most: u64) -> Parsed<u64> {
    cursor.skip_spaces();
    let start = cursor.at();
    let number = number(cursor, what)?.value;
    if (least..=most).contains(&number) {
        Ok(number)
    } else {
        Err(Diagnostic::error(cursor.span_from(start), format!("{number} is out of range"))
            .label(format!("expected {what}: {least} to {most}")))
    }
}

/// A `u32` from `least` to `most`.
pub(crate) fn small_number(cursor: &mut Cursor<'_>, what: &str, least: u32, most: u32) -> Parsed<u32> {
    let value = number_between(cursor, what, least.into(), most.into())?;
    Ok(u32::try_from(value).unwrap_or(most))
}

/// `5s`, `1.5s [live 200ms]`
pub(crate) fn time(cursor: &mut Cursor<'_>) -> Parsed<Time> {
    let simulated = duration(cursor)?;
    let live = live(cursor, duration)?;
    Ok(Time { simulated, live })
}

/// `5ms..40ms [live 1ms..2ms]`, or one duration as both ends of the range.
pub(crate) fn time_range(cursor: &mut Cursor<'_>) -> Parsed<TimeRange> {
    let simulated = duration_range(cursor)?;
    let live = live(cursor, duration_range)?;
    Ok(TimeRange { simulated, live })
}

/// `[live …]`, if it is next.
pub(crate) fn live<'a, T>(
    cursor: &mut Cursor<'a>,
    read: impl FnOnce(&mut Cursor<'a>) -> Parsed<T>,
) -> Parsed<Option<T>> {
    let mut ahead = cursor.clone();
    ahead.skip_spaces();
    if !(ahead.eat("[") && ahead.eat_word("live")) {
        return Ok(None);
    }
    *cursor = ahead;
    let value = read(cursor)?;
    cursor.skip_spaces();
    if cursor.eat("]") {
        Ok(Some(value))
    } else {
        Err(cursor.expected("`]` after the value for live targets"))
    }
}

fn duration_range(cursor: &mut Cursor<'_>) -> Parsed<(Duration, Duration)> {
    cursor.skip_spaces();
    let start = cursor.at();
    let from = duration(cursor)?;
    if !cursor.eat("..") {
        return Ok((from, from));
    }
    let to = duration(cursor)?;
    if from <= to {
        Ok((from, to))
    } else {
        Err(Diagnostic::error(cursor.span_from(start), "the range ends before it starts")
            .label("expected the shorter duration first"))
    }
}

const UNITS: &[(&str, u128)] =
    &[("us", 1), ("ms", 1_000), ("s", 1_000_000), ("m", 60_000_000), ("h", 3_600_000_000)];

/// `14.9s`: a whole number of microseconds, at most about a thousand years.
pub(crate) fn duration(cursor: &mut Cursor<'_>) -> Parsed<Duration> {
    const EXPECTED: &str = "a duration with its unit (us, ms, s, m, h): `500ms`, `14.9s`";
    cursor.skip_spaces();
    let start = cursor.at();
    let whole = cursor.run(|character| character.is_ascii_digit());
    if whole.is_empty() {
        return Err(cursor.expected(EXPECTED));
    }
    let mut ahead = cursor.clone();
    ahead.advance(whole.len());
    let mut fraction = "";
    if ahead.rest().starts_with('.') && !ahead.rest().starts_with("..") {
        ahead.advance(1);
        let digits = ahead.run(|character| character.is_ascii_digit());
        fraction = ahead.advance(digits.len());
    }
    let unit = ahead.run(|character| character.is_ascii_alphabetic());
    let Some((_, scale)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err(cursor.expected(EXPECTED));
    };
    ahead.advance(unit.len());
    *cursor = ahead;
    let span = cursor.span_from(start);
    let micros = in_micros(whole, fraction, *scale);
    let micros = micros.ok_or_else(|| {
        Diagnostic::error(span, "the duration is not a whole number of microseconds, or too long")
            .label(EXPECTED)
    })?;
    Ok(Duration::from_micros(micros))
}

fn in_micros(whole: &str, fraction: &str, scale: u128) -> Option<u64> {
    if whole.len() > 15 || fraction.len() > 9 {
        return None;
    }
    let divisor = 10u128.pow(u32::try_from(fraction.len()).ok()?);
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    let micros = digits * scale;
    const LONGEST: u128 = 1_000 * 366 * 24 * 3_600 * 1_000_000;
    (micros.is_multiple_of(divisor) && micros / divisor <= LONGEST)
        .then(|| u64::try_from(micros / divisor).ok())
        .flatten()
}

/// The next comparison operator, if there is one. `=` is not one.
pub(crate) fn operator(cursor: &mut Cursor<'_>) -> Option<Operator> {
    const OPERATORS: [(&str, Operator); 5] = [
        ("!=", Operator::NotEqual),
        ("<=", Operator::AtMost),
        (">=", Operator::AtLeast),
        ("<", Operator::Less),
        (">", Operator::More),
    ];
    OPERATORS.into_iter().find(|(token, _)| cursor.eat(token)).map(|(_, operator)| operator)
}

/// The name of a capture `$m`. A `$` that starts a text is not read.
pub(crate) fn capture(cursor: &mut Cursor<'_>) -> Option<Name> {
    cursor.skip_spaces();
    let word = cursor.rest().strip_prefix('$')?;
    let name = &word[..word.find(|character| !is_variable(character)).unwrap_or(word.len())];
    let alone = !word[name.len()..].starts_with(is_bare);
    if !name.starts_with(is_variable_start) || !alone {
        return None;
    }
    let name = name.to_owned();
    cursor.advance(name.len() + 1);
    Some(name)
}

/// A text in quotes or bare.
pub(crate) fn text(cursor: &mut Cursor<'_>, what: &str) -> Parsed<Text> {
    cursor.skip_spaces();
    if cursor.peek() == Some('"') { quoted(cursor) } else { bare(cursor, what) }
}

fn bare(cursor: &mut Cursor<'_>, what: &str) -> Parsed<Text> {
    let start = cursor.at();
    let mut pieces = Pieces::default();
    while let Some(character) = cursor.peek().filter(|&character| is_bare(character)) {
        if character != '$' {
            pieces.literal(cursor.advance(character.len_utf8()));
        } else if cursor.at() == start && is_leading_dollar_level(cursor.rest()) {
            // `$SYS/…` and `$share/…` are topics of the standard (sections 4.7.2 and 4.8.2).
            pieces.literal(cursor.advance(1));
        } else {
            dollar(cursor, &mut pieces)?;
        }
    }
    if cursor.at() == start { Err(cursor.expected(what)) } else { Ok(pieces.finish()) }
}

/// Whether a text starts with a level like `$share/`.
pub(crate) fn is_leading_dollar_level(text: &str) -> bool {
    text.strip_prefix('$').is_some_and(|rest| {
        let level = rest.trim_start_matches(is_variable);
        rest.starts_with(is_variable_start) && level.starts_with('/')
    })
}

fn quoted(cursor: &mut Cursor<'_>) -> Parsed<Text> {
    let start = cursor.at();
    cursor.advance(1);
    let mut pieces = Pieces::default();
    loop {
        match cursor.peek() {
            None => {
                return Err(Diagnostic::error(cursor.span_from(start), "the text is not closed")
                    .label("expected `\"` at its end"));
            }
            Some('"') => {
                cursor.advance(1);
                return Ok(pieces.finish());
            }
            Some('$') => dollar(cursor, &mut pieces)?,
            Some('\\') => escape(cursor, &mut pieces)?,
            Some(character) => pieces.literal(cursor.advance(character.len_utf8())),
        }
    }
}

/// `$i`, `${i}`, or a literal `$`.
fn dollar(cursor: &mut Cursor<'_>, pieces: &mut Pieces) -> Parsed<()> {
    let start = cursor.at();
    cursor.advance(1);
    let braces = cursor.eat("{");
    let name = cursor.run(is_variable);
    if name.starts_with(is_variable_start) {
        pieces.variable(cursor.advance(name.len()));
    } else if !braces {
        pieces.literal("$");
        return Ok(());
    }
    if braces && (name.is_empty() || !cursor.eat("}")) {
        return Err(Diagnostic::error(cursor.span_from(start), "this is not a variable")
            .label("expected `${name}`; a literal `${` is written `\\${`"));
    }
    Ok(())
}

fn escape(cursor: &mut Cursor<'_>, pieces: &mut Pieces) -> Parsed<()> {
    let start = cursor.at();
    cursor.advance(1);
    let character = cursor.peek();
    if let Some(character) = character {
        cursor.advance(character.len_utf8());
    }
    let meant = match character {
        Some('n') => Some('\n'),
        Some('r') => Some('\r'),
        Some('t') => Some('\t'),
        Some(same @ ('"' | '\\' | '$')) => Some(same),
        Some('u') if cursor.eat("{") => {
            let digits = cursor.run(|digit| digit.is_ascii_hexdigit());
            cursor.advance(digits.len());
            let meant = u32::from_str_radix(digits, 16).ok().and_then(char::from_u32);
            meant.filter(|_| cursor.eat("}"))
        }
        _ => None,
    };
    let meant = meant.ok_or_else(|| {
        Diagnostic::error(cursor.span_from(start), "unknown escape")
            .label("expected \\\" \\\\ \\$ \\n \\r \\t or \\u{…} with the number of a character")
    })?;
    pieces.literal(meant.encode_utf8(&mut [0; 4]));
    Ok(())
}

/// The bytes of `x"61ff"`, if it is next.
pub(crate) fn bytes(cursor: &mut Cursor<'_>) -> Parsed<Option<Vec<u8>>> {
    cursor.skip_spaces();
    if !cursor.rest().starts_with("x\"") {
        return Ok(None);
    }
    let start = cursor.at();
    cursor.advance(2);
    let digits = cursor.run(|character| character != '"');
    cursor.advance(digits.len());
    let closed = cursor.eat("\"");
    let compact: String = digits.split_whitespace().collect();
    let bytes = hexadecimal(&compact).filter(|_| closed);
    bytes.map(Some).ok_or_else(|| {
        Diagnostic::error(cursor.span_from(start), "these are not bytes")
            .label("expected two hexadecimal digits for each byte: `x\"61ff\"`")
    })
}

/// The bytes of pairs of hexadecimal digits.
pub(crate) fn hexadecimal(digits: &str) -> Option<Vec<u8>> {
    if !digits.len().is_multiple_of(2) || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok()).collect()
}

/// Builds a [`Text`], and joins adjacent literals.
#[derive(Default)]
struct Pieces(Vec<Piece>);

impl Pieces {
    fn literal(&mut self, text: &str) {
        match self.0.last_mut() {
            Some(Piece::Literal(last)) => last.push_str(text),
            _ => self.0.push(Piece::Literal(text.to_owned())),
        }
    }

    fn variable(&mut self, name: &str) {
        self.0.push(Piece::Variable(name.to_owned()));
    }

    fn finish(self) -> Text {
        Text(self.0)
    }
}
