//! The values of variables: captures, loop counters and the columns of a table's row.

use std::collections::BTreeMap;

use super::exchange::Exchange;
use crate::bytes::Variables;
use crate::{Cell, Name, Number, Text, Value};

/// A variable that has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`${0}` has no value here")]
pub struct Unknown(pub Name);

/// The variables of a run, in scopes. A capture that gets its first value in a round ends with the
/// round.
#[derive(Clone, Debug)]
pub struct Bindings {
    scopes: Vec<BTreeMap<Name, Value>>,
    columns: BTreeMap<Name, Cell>,
    /// The SCRAM exchange of each host.
    exchanges: BTreeMap<u16, Exchange>,
}

impl Default for Bindings {
    fn default() -> Self {
        Self { scopes: vec![BTreeMap::new()], columns: BTreeMap::new(), exchanges: BTreeMap::new() }
    }
}

impl Bindings {
    /// Starts a round.
    pub fn enter(&mut self) {
        self.scopes.push(BTreeMap::new());
    }

    /// Ends a round.
    pub fn leave(&mut self) {
        if self.scopes.len() > 1 {
            self.scopes.pop();
        }
    }

    /// Sets a variable in the innermost scope.
    pub fn bind(&mut self, name: &str, value: Value) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.insert(name.to_owned(), value);
        }
    }

    /// Sets the cell of a column.
    pub fn bind_column(&mut self, name: &str, cell: Cell) {
        self.columns.insert(name.to_owned(), cell);
    }

    pub(super) fn exchange(&self, host: u16) -> Exchange {
        self.exchanges.get(&host).cloned().unwrap_or_default()
    }

    pub(super) fn set_exchange(&mut self, host: u16, exchange: Exchange) {
        self.exchanges.insert(host, exchange);
    }

    /// The cell of a column.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Cell> {
        self.columns.get(name)
    }

    /// The value of a variable. It contains no variables.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Value> {
        let bound = self.scopes.iter().rev().find_map(|scope| scope.get(name));
        match (bound, self.columns.get(name)) {
            (Some(value), _) => Some(value.clone()),
            (None, Some(Cell::Value(value))) => self.resolve(value).ok(),
            _ => None,
        }
    }

    /// The value with every variable in it replaced.
    ///
    /// # Errors
    /// The first variable without a value.
    pub fn resolve(&self, value: &Value) -> Result<Value, Unknown> {
        Ok(match value {
            Value::Capture(name) => self.get(name).ok_or_else(|| Unknown(name.clone()))?,
            Value::Text(text) => Value::Text(Text::literal(&self.text(text)?)),
            Value::Pair(name, value) => {
                Value::Pair(Text::literal(&self.text(name)?), Text::literal(&self.text(value)?))
            }
            other => other.clone(),
        })
    }

    /// The text with every variable in it replaced.
    ///
    /// # Errors
    /// The first variable without a value.
    pub fn text(&self, text: &Text) -> Result<String, Unknown> {
        text.resolve(|name| self.get(name).and_then(|value| as_text(&value))).map_err(Unknown)
    }
}

impl Variables for Bindings {
    fn number(&self, name: &str) -> Option<u64> {
        match self.get(name)? {
            Value::Number(number) => Some(number.value),
            _ => None,
        }
    }

    fn text(&self, name: &str) -> Option<String> {
        as_text(&self.get(name)?)
    }
}

/// A resolved value as a text, for insertion into another text.
pub(super) fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::Number(Number { value, .. }) => Some(value.to_string()),
        Value::Word(word) => Some(word.clone()),
        Value::Text(text) => text.as_literal().map(str::to_owned),
        Value::Bytes(bytes) => String::from_utf8(bytes.clone()).ok(),
        _ => None,
    }
}

/// A resolved value as bytes.
pub(super) fn as_bytes(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::Bytes(bytes) => Some(bytes.clone()),
        other => as_text(other).map(String::into_bytes),
    }
}
