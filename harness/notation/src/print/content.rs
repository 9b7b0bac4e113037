//! Prints the contents of transcript lines.

use super::places;
use super::values::{self, mark};
use crate::vocabulary::Owner;
use crate::{
    Atom, AtomText, Cell, Comparison, Content, Extent, Framing, Operand, PacketPattern, PacketType, Patch,
    PatchValue, RawBytes, Subscription, Text, Value,
};

pub(super) fn content(content: &Content) -> String {
    match content {
        Content::Packet(pattern) => packet(pattern),
        Content::Raw(raw) => raw_bytes(raw),
        Content::Nothing { lasting: None } => "nothing".to_owned(),
        Content::Nothing { lasting: Some(time) } => format!("nothing for {}", places::time(*time)),
        Content::Closed { or } => or
            .iter()
            .fold("closed".to_owned(), |written, pattern| format!("{written} or {}", packet(pattern))),
        Content::Anything => "anything".to_owned(),
        Content::HandshakeOffering(names) => format!("handshake offering {}", names.join(" ")),
        Content::HandshakeSelecting(name) => format!("handshake selecting {name}"),
        Content::Column(name) => format!("${name}"),
    }
}

pub(super) fn packet(pattern: &PacketPattern) -> String {
    let owner = Owner::Packet(pattern.packet_type);
    let mut parts = vec![pattern.packet_type.name().to_owned()];
    parts.extend(pattern.fields.iter().map(|field| values::field(field, owner)));
    parts.extend(subscriptions(&pattern.subscriptions, pattern.packet_type));
    parts.extend(pattern.reasons.iter().map(|reasons| format!("[{}]", values::reasons(reasons))));
    parts.extend(patches(&pattern.patches));
    if pattern.framing != Framing::Own {
        parts.push(pattern.framing.to_string());
    }
    if !pattern.conditions.is_empty() {
        let conditions: Vec<String> = pattern.conditions.iter().map(comparison).collect();
        parts.push(format!("where {}", conditions.join(" and ")));
    }
    parts.join(" ")
}

/// The Topic Filters of SUBSCRIBE or UNSUBSCRIBE, each with its options.
pub(super) fn subscriptions(subscriptions: &[Subscription], packet: PacketType) -> Vec<String> {
    let both = [Owner::Packet(packet), Owner::Subscription];
    let owners = if packet == PacketType::Subscribe { &both[..] } else { &both[..1] };
    let one = |subscription: &Subscription| {
        let mut written =
            format!("{}{}", mark(&subscription.versions), values::topic(&subscription.filter, owners));
        if !subscription.options.is_empty() {
            written.push(' ');
            written.push_str(&values::fields(&subscription.options, Owner::Subscription));
        }
        written
    };
    subscriptions.iter().map(one).collect()
}

fn comparison(comparison: &Comparison) -> String {
    let operator = values::operator(comparison.operator);
    format!("${}{operator}{}", comparison.capture, values::value_of_reason(&comparison.value))
}

fn patches(patches: &[Patch]) -> Option<String> {
    let mut named = false;
    let mut one = |patch: &Patch| {
        let written = match patch {
            Patch::TruncatedTo(bytes) => return format!("truncated to {bytes}"),
            Patch::ExtendedBy(bytes) => return format!("extended by {}", values::hexadecimal(bytes)),
            Patch::Properties(inner) => format!("properties {}", counted(inner)),
            Patch::Set { place, value } => format!("{}={}", place.name(), patch_value(value)),
        };
        let with = if core::mem::replace(&mut named, true) { "" } else { "with " };
        format!("{with}{written}")
    };
    let written: Vec<String> = patches.iter().map(&mut one).collect();
    (!written.is_empty()).then(|| written.join(", "))
}

fn patch_value(value: &PatchValue) -> String {
    match value {
        PatchValue::Number(number) => values::number(*number),
        PatchValue::Bytes(bytes) => bytes_or_text(bytes),
        PatchValue::Nonminimal => "nonminimal".to_owned(),
    }
}

/// As a text if the bytes are printable, otherwise in hexadecimal.
fn bytes_or_text(bytes: &[u8]) -> String {
    match core::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(|character| character.is_control() || character == '$') => {
            values::quoted(&Text::literal(text))
        }
        _ => format!("x\"{}\"", values::hexadecimal(bytes)),
    }
}

pub(super) fn raw_bytes(raw: &RawBytes) -> String {
    let mut parts = vec!["raw".to_owned(), atoms(&raw.atoms)];
    parts.extend(patches(&raw.patches));
    parts.join(" ")
}

fn atoms(list: &[Atom]) -> String {
    list.iter().map(atom).collect::<Vec<_>>().join(" ")
}

fn counted(list: &[Atom]) -> String {
    if list.is_empty() { "{ }".to_owned() } else { format!("{{ {} }}", atoms(list)) }
}

fn atom(atom: &Atom) -> String {
    match atom {
        Atom::Bytes(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" "),
        Atom::Integer(extent, operand) => {
            let word = match extent {
                Extent::Byte => "u8",
                Extent::TwoBytes => "u16",
                Extent::FourBytes => "u32",
                Extent::Variable => "varint",
            };
            format!("{word} {}", self::operand(operand))
        }
        Atom::String(text) => format!("str {}", atom_text(text)),
        Atom::Content(text) => format!("bytes {}", atom_text(text)),
        Atom::Fill { times, byte } => format!("fill {times} {byte:02x}"),
        Atom::Counted(inner) => counted(inner),
        Atom::Any => "any".to_owned(),
    }
}

fn operand(operand: &Operand) -> String {
    match operand {
        Operand::Number(number) => values::number(*number),
        Operand::Capture(name) => format!("${name}"),
    }
}

fn atom_text(text: &AtomText) -> String {
    match text {
        AtomText::Text(text) => values::quoted(text),
        AtomText::Bytes(bytes) => format!("x\"{}\"", values::hexadecimal(bytes)),
    }
}

/// A cell of a table.
pub(super) fn cell(cell: &Cell) -> String {
    match cell {
        Cell::Content(inner) => content(inner),
        Cell::Value(Value::Text(text)) => {
            let candidate = values::text(text);
            if crate::parse::reads_as_cell(&candidate, cell) { candidate } else { values::quoted(text) }
        }
        Cell::Value(value) => values::value_of_reason(value),
    }
}
