//! Parses patches of packets and raw bytes.

use super::cursor::{Cursor, Parsed};
use super::values;
use crate::lexicon::SHOWS;
use crate::{
    Atom, AtomText, Diagnostic, Extent, Operand, PacketType, Patch, PatchValue, Place, RawBytes, Span,
};

/// `with connect_flags=0x03, truncated to 7`
pub(super) fn patches(cursor: &mut Cursor<'_>, packet: Option<PacketType>) -> Parsed<Vec<Patch>> {
    let mut patches = Vec::new();
    loop {
        let first = patches.is_empty();
        if cursor.eat_word("truncated") {
            if !cursor.eat_word("to") {
                return Err(cursor.expected("`to` and a number of bytes"));
            }
            patches.push(Patch::TruncatedTo(values::small_number(cursor, "a number of bytes", 0, u32::MAX)?));
        } else if cursor.eat_word("extended") {
            if !cursor.eat_word("by") {
                return Err(cursor.expected("`by` and bytes in hexadecimal"));
            }
            patches.push(Patch::ExtendedBy(hexadecimal_run(cursor)?));
        } else if cursor.eat_word("with") || !first {
            patches.push(set(cursor, packet)?);
        } else {
            return Ok(patches);
        }
        cursor.skip_spaces();
        let goes_on =
            cursor.eat(",") || ["with", "truncated", "extended"].iter().any(|word| cursor.next_is(word));
        if !goes_on {
            return Ok(patches);
        }
    }
}

fn hexadecimal_run(cursor: &mut Cursor<'_>) -> Parsed<Vec<u8>> {
    let chunk = cursor.peek_chunk();
    let digits = chunk.trim_end_matches(',');
    match values::hexadecimal(digits).filter(|bytes| !bytes.is_empty()) {
        Some(bytes) => {
            cursor.advance(digits.len());
            Ok(bytes)
        }
        None => Err(cursor.expected("bytes, each as two hexadecimal digits: `00ff`")),
    }
}

fn set(cursor: &mut Cursor<'_>, packet: Option<PacketType>) -> Parsed<Patch> {
    let Some(packet) = packet else {
        return Err(
            cursor.expected("`truncated to …` or `extended by …` (other raw bytes are written directly)")
        );
    };
    if cursor.eat_word("properties") {
        cursor.skip_spaces();
        if !cursor.eat("{") {
            return Err(
                cursor.expected("the bytes of the properties in braces: `with properties { 21 u16 10 }`")
            );
        }
        return Ok(Patch::Properties(atoms(cursor, 1)?));
    }
    let start = cursor.next_span().start;
    let place = place(cursor, packet)?;
    let span = cursor.span_from(start);
    cursor.skip_spaces();
    if !cursor.eat("=") {
        return Err(cursor.expected("`=` and a value"));
    }
    if !place.is_in(packet) {
        return Err(Diagnostic::error(span, format!("{packet} has no `{}`", cursor.text(span))));
    }
    Ok(Patch::Set { place, value: patch_value(cursor, place)? })
}

fn place(cursor: &mut Cursor<'_>, packet: PacketType) -> Parsed<Place> {
    if cursor.eat_word("byte") {
        return Ok(Place::Byte(values::small_number(cursor, "the offset of a byte", 0, u32::MAX)?));
    }
    let word = cursor.peek_word();
    if let Some((name, place)) = Place::NAMED.iter().find(|(name, _)| *name == word) {
        cursor.advance(name.len());
        return Ok(*place);
    }
    let known = Place::NAMED.iter().filter(|(_, place)| place.is_in(packet)).map(|(name, _)| *name);
    Err(cursor
        .expected_one_of(&format!("a place in {packet}"), ["byte N", "properties"].into_iter().chain(known)))
}

fn patch_value(cursor: &mut Cursor<'_>, place: Place) -> Parsed<PatchValue> {
    cursor.skip_spaces();
    let Some(most) = place.most() else {
        let text = match values::bytes(cursor)? {
            Some(bytes) => return Ok(PatchValue::Bytes(bytes)),
            None => values::text(cursor, "a text `\"MQTX\"` or bytes `x\"4d51\"`")?,
        };
        let literal = text.as_literal().ok_or_else(|| cursor.expected("a text without variables"))?;
        return Ok(PatchValue::Bytes(literal.as_bytes().to_vec()));
    };
    let is_length = matches!(place, Place::RemainingLength | Place::PropertyLength);
    if is_length && cursor.eat_word("nonminimal") {
        return Ok(PatchValue::Nonminimal);
    }
    let start = cursor.at();
    let number = values::number(cursor, if is_length { "a number or `nonminimal`" } else { "a number" })?;
    if number.value > most {
        return Err(Diagnostic::error(cursor.span_from(start), "the number does not fit there")
            .label(format!("expected at most {most}")));
    }
    Ok(PatchValue::Number(number))
}

/// The bytes after `raw`.
pub(super) fn raw(cursor: &mut Cursor<'_>) -> Parsed<RawBytes> {
    cursor.skip_spaces();
    let start = cursor.at();
    let atoms = atoms(cursor, 0)?;
    if atoms.is_empty() {
        return Err(cursor.expected("bytes: `10 { str \"MQTT\" 05 02 u16 60 00 str \"a\" }`"));
    }
    let patches = patches(cursor, None)?;
    Ok(RawBytes { span: cursor.span_from(start), atoms, patches })
}

/// The maximum nesting of braces. No packet needs more lengths within lengths.
const DEEPEST: usize = 4;

/// Atoms up to the end of the line. Within `depth` braces, up to the closing brace, which is read
/// too.
fn atoms(cursor: &mut Cursor<'_>, depth: usize) -> Parsed<Vec<Atom>> {
    let braces = depth > 0;
    let opened = cursor.at().saturating_sub(1);
    let mut list: Vec<Atom> = Vec::new();
    loop {
        cursor.skip_spaces();
        if braces && cursor.eat("}") {
            return Ok(list);
        }
        if braces && cursor.is_done() {
            return Err(Diagnostic::error(Span::new(opened, opened + 1), "the brace is not closed")
                .label("expected `}` after the bytes"));
        }
        if depth < DEEPEST && cursor.eat("{") {
            list.push(Atom::Counted(atoms(cursor, depth + 1)?));
        } else if !braces
            && (cursor.is_done() || ["truncated", "extended", SHOWS].iter().any(|word| cursor.next_is(word)))
        {
            return Ok(list);
        } else {
            match (atom(cursor)?, list.last_mut()) {
                // `05 02` and `0502` are the same bytes.
                (Atom::Bytes(more), Some(Atom::Bytes(bytes))) => bytes.extend(more),
                (atom, _) => list.push(atom),
            }
        }
    }
}

fn atom(cursor: &mut Cursor<'_>) -> Parsed<Atom> {
    const WORDS: [&str; 8] = ["u8", "u16", "u32", "varint", "str", "bytes", "fill", "any"];
    let word = cursor.peek_word();
    if let Some(bytes) = values::hexadecimal(word).filter(|bytes| !bytes.is_empty()) {
        cursor.advance(word.len());
        return Ok(Atom::Bytes(bytes));
    }
    if !WORDS.contains(&word) {
        return Err(cursor.expected_one_of("a byte (two hexadecimal digits), `{` or a typed atom", WORDS));
    }
    cursor.advance(word.len());
    Ok(match word {
        "u8" => Atom::Integer(Extent::Byte, operand(cursor, 0xff)?),
        "u16" => Atom::Integer(Extent::TwoBytes, operand(cursor, 0xffff)?),
        "u32" => Atom::Integer(Extent::FourBytes, operand(cursor, u32::MAX.into())?),
        "varint" => Atom::Integer(Extent::Variable, operand(cursor, 268_435_455)?),
        "str" => Atom::String(atom_text(cursor)?),
        "bytes" => Atom::Content(atom_text(cursor)?),
        "any" => Atom::Any,
        _ => {
            let times = values::small_number(cursor, "how many times", 0, 16 << 20)?;
            let bytes = hexadecimal_byte(cursor)?;
            Atom::Fill { times, byte: bytes }
        }
    })
}

fn hexadecimal_byte(cursor: &mut Cursor<'_>) -> Parsed<u8> {
    let word = cursor.peek_word();
    match values::hexadecimal(word).as_deref() {
        Some([byte]) => {
            cursor.advance(word.len());
            Ok(*byte)
        }
        _ => Err(cursor.expected("one byte as two hexadecimal digits")),
    }
}

fn operand(cursor: &mut Cursor<'_>, most: u64) -> Parsed<Operand> {
    if let Some(name) = values::capture(cursor) {
        return Ok(Operand::Capture(name));
    }
    let start = cursor.next_span().start;
    let number = values::number(cursor, "a number or a capture")?;
    if number.value <= most {
        Ok(Operand::Number(number))
    } else {
        Err(Diagnostic::error(cursor.span_from(start), "the number does not fit")
            .label(format!("expected at most {most}")))
    }
}

fn atom_text(cursor: &mut Cursor<'_>) -> Parsed<AtomText> {
    match values::bytes(cursor)? {
        Some(bytes) => Ok(AtomText::Bytes(bytes)),
        None if cursor.peek() == Some('"') => Ok(AtomText::Text(values::text(cursor, "a text")?)),
        None => Err(cursor.expected("a text `\"MQTT\"` or bytes `x\"4d51\"`")),
    }
}
