//! Durable state as key/value records: what a core changes and a store keeps.

use std::collections::BTreeMap;

/// One change to the records of a store. Only the core that wrote them knows what keys and values
/// mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Writes a record, in place of the one that has this key if there is one.
    Put {
        /// The key.
        key: Vec<u8>,
        /// The value.
        value: Vec<u8>,
    },
    /// Removes the record that has this key, if there is one.
    Delete {
        /// The key.
        key: Vec<u8>,
    },
}

impl Change {
    /// Makes the change in a map of records.
    pub fn apply(self, records: &mut BTreeMap<Vec<u8>, Vec<u8>>) {
        match self {
            Self::Put { key, value } => records.insert(key, value),
            Self::Delete { key } => records.remove(&key),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_write_replace_and_remove_records() {
        let put = |key: &str, value: &str| Change::Put { key: key.into(), value: value.into() };
        let mut records = BTreeMap::new();
        for change in [put("a", "1"), put("b", "2"), put("a", "3"), Change::Delete { key: b"b".to_vec() }] {
            change.apply(&mut records);
        }
        Change::Delete { key: b"never there".to_vec() }.apply(&mut records);
        assert_eq!(records, BTreeMap::from([(b"a".to_vec(), b"3".to_vec())]));
    }
}
