//! SCRAM messages of lines: those of a sent line are computed, those of an expected line are
//! checked (RFC 5802, RFC 7677).

use std::borrow::Cow;

use mqttspec_codec::Version;

use super::bindings::{Bindings, Unknown, as_bytes, as_text};
use super::exchange::Exchange;
use crate::{Field, Name, PacketPattern, Test, Value};

/// The field that can be a SCRAM message.
pub(super) const FIELD: &str = "authentication_data";

/// Why a message cannot be computed.
pub(super) enum NotComputed {
    /// A variable has no value.
    Unknown(Unknown),
    /// A message has no predecessor, or needs a field.
    Message { message: Name, reason: &'static str },
}

impl From<Unknown> for NotComputed {
    fn from(unknown: Unknown) -> Self {
        Self::Unknown(unknown)
    }
}

/// The name of the message, if these are the fields of one.
pub(super) fn message(fields: &[Field]) -> Option<&str> {
    match fields.iter().find(|field| field.name == "scram").map(|field| &field.test) {
        Some(Test::Equal(Value::Word(word))) => Some(word),
        _ => None,
    }
}

/// The pattern with the SCRAM message that it sends as bytes; `None` if it has none.
pub(super) fn computed(
    pattern: &PacketPattern,
    version: Version,
    host: u16,
    bindings: &mut Bindings,
) -> Result<Option<PacketPattern>, NotComputed> {
    let is_scram = |field: &Field| {
        field.name == FIELD
            && field.versions.applies_to(version)
            && matches!(field.test, Test::Equal(Value::Fields(_)))
    };
    let Some(place) = pattern.fields.iter().position(is_scram) else { return Ok(None) };
    let mut pattern = pattern.clone();
    if let Test::Equal(Value::Fields(fields)) = &pattern.fields[place].test {
        let mut exchange = bindings.exchange(host);
        let message = message(fields).unwrap_or_default();
        let (user_name, password) =
            (text(fields, "user_name", bindings)?, text(fields, "password", bindings)?);
        let bytes = exchange
            .send(message, user_name, password, host)
            .map_err(|reason| NotComputed::Message { message: message.to_owned(), reason })?;
        bindings.set_exchange(host, exchange);
        pattern.fields[place].test = Test::Equal(Value::Bytes(bytes));
    }
    Ok(Some(pattern))
}

/// The exchange after a message that arrived.
///
/// # Errors
/// Why it is not the expected one.
pub(super) fn accepted(
    fields: &[Field],
    actual: &Value,
    host: u16,
    bindings: &Bindings,
) -> Result<Exchange, Cow<'static, str>> {
    let data = as_bytes(actual).unwrap_or_default();
    let mut exchange = bindings.exchange(host);
    let user_name = text(fields, "user_name", bindings).map_err(|error| error.to_string())?;
    exchange.accept(message(fields).unwrap_or_default(), &data, user_name.as_deref())?;
    Ok(exchange)
}

fn text(fields: &[Field], name: &str, bindings: &Bindings) -> Result<Option<String>, Unknown> {
    match fields.iter().find(|field| field.name == name).map(|field| &field.test) {
        Some(Test::Equal(value)) => Ok(as_text(&bindings.resolve(value)?)),
        _ => Ok(None),
    }
}
