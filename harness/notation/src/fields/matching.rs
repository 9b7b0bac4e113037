//! Compares a packet with the expectation of a line.

use mqttspec_codec::{Packet, Version};

use super::bindings::{Bindings, Unknown, as_bytes};
use super::exchange::Exchange;
use super::{observe, scram, words};
use crate::vocabulary::reason_code;
use crate::{Comparison, Field, Name, Operator, PacketPattern, PacketType, Subscription, Test, Value};

/// Why a packet does not match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// A part differs.
    Differs {
        /// In the notation: `qos=1`, or the packet's type.
        expected: String,
        /// In the notation.
        actual: String,
    },
    /// The line uses a variable that has no value.
    Unknown(Name),
}

impl From<Unknown> for Mismatch {
    fn from(unknown: Unknown) -> Self {
        Mismatch::Unknown(unknown.0)
    }
}

/// The expectation of a line, in a version.
#[derive(Clone, Copy, Debug)]
pub struct Expectation<'a> {
    /// The line.
    pub pattern: &'a PacketPattern,
    /// The version of the run.
    pub version: Version,
    /// The number of the host. Each host has SCRAM exchanges of its own.
    pub host: u16,
}

/// The captures that get their value from a matching packet.
type Captured = Vec<(Name, Value)>;

impl Expectation<'_> {
    /// Compares a packet. If it matches, captures without a value take theirs.
    ///
    /// # Errors
    /// The first difference.
    pub fn accept(self, packet: &Packet, bindings: &mut Bindings) -> Result<(), Mismatch> {
        let Comparing { captured, exchange, .. } = self.compare(&observe(packet), bindings)?;
        for (name, value) in captured {
            bindings.bind(&name, value);
        }
        if let Some(exchange) = exchange {
            bindings.set_exchange(self.host, exchange);
        }
        Ok(())
    }

    fn compare<'b>(self, seen: &PacketPattern, bindings: &'b Bindings) -> Result<Comparing<'b>, Mismatch> {
        let pattern = self.pattern;
        if pattern.packet_type != seen.packet_type {
            return Err(differs(pattern.packet_type.name(), seen.packet_type.name()));
        }
        let (version, packet) = (self.version, pattern.packet_type);
        let mut comparison =
            Comparing { packet, version, host: self.host, bindings, captured: Vec::new(), exchange: None };
        comparison.fields(&pattern.fields, &seen.fields)?;
        if !pattern.subscriptions.is_empty() {
            comparison.subscriptions(&pattern.subscriptions, &seen.subscriptions)?;
        }
        if let (Some(expected), Some(actual)) = (&pattern.reasons, &seen.reasons) {
            comparison.reasons(expected, actual)?;
        }
        for condition in &pattern.conditions {
            comparison.condition(condition)?;
        }
        Ok(comparison)
    }
}

/// Compares fields that are not those of a packet, such as those of a client's report. If all
/// match, captures without a value take theirs.
///
/// # Errors
/// The first difference.
pub fn accept_fields(
    expected: &[Field],
    seen: &[Field],
    packet: PacketType,
    version: Version,
    bindings: &mut Bindings,
) -> Result<(), Mismatch> {
    let mut comparison =
        Comparing { packet, version, host: 0, bindings, captured: Vec::new(), exchange: None };
    comparison.fields(expected, seen)?;
    for (name, value) in comparison.captured {
        bindings.bind(&name, value);
    }
    Ok(())
}

fn differs(expected: impl Into<String>, actual: impl Into<String>) -> Mismatch {
    Mismatch::Differs { expected: expected.into(), actual: actual.into() }
}

struct Comparing<'a> {
    packet: PacketType,
    version: Version,
    host: u16,
    bindings: &'a Bindings,
    captured: Captured,
    /// The exchange after the message of the packet.
    exchange: Option<Exchange>,
}

impl Comparing<'_> {
    fn fields(&mut self, expected: &[Field], seen: &[Field]) -> Result<(), Mismatch> {
        // Repeated fields are compared in order: each is searched after the previous one.
        let mut previous: Vec<(&str, usize)> = Vec::new();
        let version = self.version;
        for field in expected.iter().filter(|field| field.versions.applies_to(version)) {
            let from =
                previous.iter().rev().find(|(name, _)| *name == field.name).map_or(0, |(_, place)| *place);
            let mut found: Result<usize, Option<Mismatch>> = Err(None);
            for (place, candidate) in seen.iter().enumerate().skip(from) {
                if candidate.name != field.name {
                    continue;
                }
                let Test::Equal(actual) = &candidate.test else { continue };
                match self.value(&field.name, &field.test, Some(actual)) {
                    Ok(()) => {
                        found = Ok(place);
                        break;
                    }
                    Err(mismatch) => {
                        if let Err(first @ None) = &mut found {
                            *first = Some(mismatch);
                        }
                    }
                }
            }
            match found {
                Ok(place) => previous.push((&field.name, place + 1)),
                Err(Some(mismatch)) => return Err(mismatch),
                Err(None) => self.value(&field.name, &field.test, None)?,
            }
        }
        Ok(())
    }

    /// Tests one value; `None` if the packet does not have the field.
    fn value(&mut self, name: &str, test: &Test, actual: Option<&Value>) -> Result<(), Mismatch> {
        let mismatch = |expected: String| {
            let seen = actual.map_or_else(|| format!("no {name}"), |actual| self.shown(name, actual));
            differs(expected, seen)
        };
        match (test, actual) {
            (Test::Absent, None) | (Test::Present, Some(_)) => Ok(()),
            (Test::Absent, Some(_)) => Err(mismatch(format!("no {name}"))),
            (Test::Present, None) => Err(mismatch(name.to_owned())),
            (Test::Equal(Value::Capture(capture)), Some(actual)) if self.lookup(capture).is_none() => {
                self.captured.push((capture.clone(), actual.clone()));
                Ok(())
            }
            (Test::Equal(Value::Capture(capture)), None) if self.lookup(capture).is_none() => {
                Err(mismatch(name.to_owned()))
            }
            (Test::Equal(Value::Fields(fields)), Some(actual)) if name == scram::FIELD => {
                let exchange = scram::accepted(fields, actual, self.host, self.bindings);
                self.exchange = Some(exchange.map_err(|why| {
                    let shown = self.shown(name, actual);
                    differs(
                        format!("{name}={}", words(&Value::Fields(fields.clone()))),
                        format!("{shown}: {why}"),
                    )
                })?);
                Ok(())
            }
            (Test::Equal(Value::Fields(expected)), Some(Value::Fields(actual))) => {
                let expected = expected.clone();
                let actual = actual.clone();
                self.fields(&expected, &actual)
            }
            (Test::Equal(expected), actual) => {
                let expected = self.resolve(expected)?;
                match actual {
                    Some(actual) if self.equal(&expected, actual) => Ok(()),
                    _ => Err(mismatch(self.shown(name, &expected))),
                }
            }
            (Test::OneOf(values), actual) => {
                let mut shown = Vec::new();
                for expected in values {
                    let expected = self.resolve(expected)?;
                    if actual.is_some_and(|actual| self.equal(&expected, actual)) {
                        return Ok(());
                    }
                    shown.push(words(&expected));
                }
                Err(mismatch(format!("{name}={}", shown.join("|"))))
            }
            (Test::Between(least, most), actual) => match actual {
                Some(Value::Number(number)) if (least.value..=most.value).contains(&number.value) => Ok(()),
                _ => Err(mismatch(format!("{name}={}..{}", least.value, most.value))),
            },
            (Test::Compared(operator, expected), actual) => {
                let expected = self.resolve(expected)?;
                match actual {
                    Some(actual) if self.holds(*operator, actual, &expected) => Ok(()),
                    // An absent field is not equal to any value.
                    None if *operator == Operator::NotEqual => Ok(()),
                    _ => Err(mismatch(format!("{name}{}{}", sign(*operator), words(&expected)))),
                }
            }
        }
    }

    fn shown(&self, name: &str, value: &Value) -> String {
        let code = match value {
            Value::Number(number) if name == "reason" => u8::try_from(number.value).ok(),
            _ => None,
        };
        match code.and_then(|code| crate::vocabulary::reason_name(Some(self.packet), code)) {
            Some(reason) => format!("{name}={reason}"),
            None => format!("{name}={}", words(value)),
        }
    }

    fn lookup(&self, capture: &str) -> Option<Value> {
        let captured = self.captured.iter().find(|(name, _)| name == capture).map(|(_, value)| value.clone());
        captured.or_else(|| self.bindings.get(capture))
    }

    fn resolve(&self, value: &Value) -> Result<Value, Mismatch> {
        match value {
            Value::Capture(name) => self.lookup(name).ok_or_else(|| Mismatch::Unknown(name.clone())),
            other => Ok(self.bindings.resolve(other)?),
        }
    }

    fn equal(&self, expected: &Value, actual: &Value) -> bool {
        if let (Some(expected), Some(actual)) = (self.number(expected), self.number(actual)) {
            return expected == actual;
        }
        match (expected, actual) {
            (Value::Pair(..), Value::Pair(..)) => expected == actual,
            _ => as_bytes(expected).is_some_and(|expected| as_bytes(actual) == Some(expected)),
        }
    }

    fn holds(&self, operator: Operator, actual: &Value, expected: &Value) -> bool {
        match (self.number(actual), self.number(expected)) {
            (Some(actual), Some(expected)) => operator.holds(&actual, &expected),
            _ if operator == Operator::NotEqual => !self.equal(expected, actual),
            _ => operator.holds(&as_bytes(actual), &as_bytes(expected)),
        }
    }

    /// A number, or the value of a Reason Code's name.
    fn number(&self, value: &Value) -> Option<u64> {
        match value {
            Value::Number(number) => Some(number.value),
            Value::Word(word) => {
                reason_code(Some(self.packet), word).or_else(|| reason_code(None, word)).map(u64::from)
            }
            _ => None,
        }
    }

    fn subscriptions(&mut self, expected: &[Subscription], seen: &[Subscription]) -> Result<(), Mismatch> {
        let version = self.version;
        let expected: Vec<_> =
            expected.iter().filter(|expected| expected.versions.applies_to(version)).collect();
        if expected.len() != seen.len() {
            return Err(differs(
                format!("{} Topic Filters", expected.len()),
                format!("{} Topic Filters", seen.len()),
            ));
        }
        for (expected, seen) in expected.into_iter().zip(seen) {
            self.value("filter", &Test::Equal(expected.filter.clone()), Some(&seen.filter))?;
            for option in expected.options.iter().filter(|option| option.versions.applies_to(version)) {
                // Options that are 0 are not listed.
                let zero = Value::Number(crate::Number::decimal(0));
                let actual = seen.options.iter().find(|seen| seen.name == option.name);
                let actual = match actual.map(|actual| &actual.test) {
                    Some(Test::Equal(value)) => value,
                    _ => &zero,
                };
                self.value(&option.name, &option.test, Some(actual))?;
            }
        }
        Ok(())
    }

    fn reasons(&mut self, expected: &[Test], seen: &[Test]) -> Result<(), Mismatch> {
        // UNSUBACK has no Reason Codes before 5.0 (3.1.1 §3.11).
        if self.packet == PacketType::UnsubAck && !self.version.is_5() {
            return Ok(());
        }
        if expected.len() != seen.len() {
            return Err(differs(
                format!("{} Reason Codes", expected.len()),
                format!("{} Reason Codes", seen.len()),
            ));
        }
        for (expected, seen) in expected.iter().zip(seen) {
            if let Test::Equal(actual) = seen {
                self.value("reason", expected, Some(actual))?;
            }
        }
        Ok(())
    }

    fn condition(&mut self, condition: &Comparison) -> Result<(), Mismatch> {
        let actual = self.resolve(&Value::Capture(condition.capture.clone()))?;
        let expected = self.resolve(&condition.value)?;
        if self.holds(condition.operator, &actual, &expected) {
            return Ok(());
        }
        let name = format!("${}", condition.capture);
        Err(differs(
            format!("{name}{}{}", sign(condition.operator), words(&expected)),
            format!("{name}={}", words(&actual)),
        ))
    }
}

fn sign(operator: Operator) -> &'static str {
    match operator {
        Operator::NotEqual => "!=",
        Operator::Less => "<",
        Operator::AtMost => "<=",
        Operator::More => ">",
        Operator::AtLeast => ">=",
    }
}
