//! The mapping between packets and the notation's fields: a packet as a line ([`observe`]), the
//! comparison with a line ([`Expectation`], [`accept_raw`]), and the packet of a line ([`build`]).
//!
//! It follows the packets of chapter 3 of both standards and the properties of MQTT 5.0 §2.2.2.2,
//! with the names of the notation's vocabulary.

mod bindings;
mod build;
mod exchange;
mod matching;
mod observe;
mod raw;
mod scram;

use crate::{Test, Value};

pub use bindings::{Bindings, Unknown};
pub use build::{BuildError, Defaults, build};
pub use matching::{Expectation, Mismatch, accept_fields};
pub use observe::{field, line, observe, property_fields};
pub use raw::accept_raw;

/// A payload in the notation: `"text"` if it is one, otherwise `x"61ff"`; long ones are cut.
#[must_use]
pub fn payload_text(payload: &[u8]) -> String {
    const SHOWN: usize = 60;
    let cut = if payload.len() > SHOWN { format!("… ({} bytes)", payload.len()) } else { String::new() };
    match std::str::from_utf8(payload) {
        Ok(text) if !text.chars().any(char::is_control) => {
            let shown: String = text.chars().take(SHOWN).collect();
            format!("{shown:?}{cut}")
        }
        _ => format!("x\"{}\"{cut}", hex(&payload[..payload.len().min(SHOWN)], "")),
    }
}

/// Bytes as hex pairs with `between` between them.
#[must_use]
pub fn hex(bytes: &[u8], between: &str) -> String {
    let mut text = String::with_capacity(bytes.len() * (2 + between.len()));
    for (index, byte) in bytes.iter().enumerate() {
        if index > 0 {
            text.push_str(between);
        }
        let digits = [byte >> 4, byte & 15].map(|half| char::from_digit(half.into(), 16));
        text.extend(digits.into_iter().flatten());
    }
    text
}

/// A field in a short notation, for messages.
#[must_use]
pub fn field_words(field: &crate::Field) -> String {
    match &field.test {
        Test::Equal(value) => format!("{}={}", field.name, words(value)),
        Test::Absent => format!("!{}", field.name),
        _ => field.name.clone(),
    }
}

/// A value in a short notation, for messages.
fn words(value: &Value) -> String {
    match value {
        Value::Number(number) => match number.radix {
            crate::Radix::Decimal => number.value.to_string(),
            crate::Radix::Hexadecimal => format!("0x{:02x}", number.value),
        },
        Value::Word(word) => word.clone(),
        Value::Text(text) => payload_text(text_lossy(text).as_bytes()),
        Value::Bytes(bytes) => payload_text(bytes),
        Value::Pair(name, value) => format!("{:?}:{:?}", text_lossy(name), text_lossy(value)),
        Value::Capture(name) => format!("${name}"),
        Value::Fields(fields) => {
            if let Some(message) = scram::message(fields) {
                return format!("{{scram={message}}}");
            }
            let fields: Vec<String> = fields.iter().map(|field| field.name.clone()).collect();
            format!("{{{}}}", fields.join(" "))
        }
    }
}

fn text_lossy(text: &crate::Text) -> String {
    text.resolve(|name| Some(format!("${name}"))).unwrap_or_default()
}
