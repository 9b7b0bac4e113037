//! The deliveries that a receiver has had, so that the application gets each one once. The oldest
//! are forgotten.

use std::collections::BTreeMap;

/// The number of deliveries that are remembered.
const REMEMBERED_MAX: usize = 10_000;

#[derive(Debug, Default)]
pub(crate) struct Seen {
    numbers: BTreeMap<String, u64>,
    ids: BTreeMap<u64, String>,
}

/// The effect of a new delivery on the store.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Remembered {
    /// The position of the new one in the order.
    pub(crate) number: u64,
    /// The one that is forgotten in exchange.
    pub(crate) forgotten: Option<String>,
}

impl Seen {
    /// Adds a delivery; `None` if it was received before.
    pub(crate) fn remember(&mut self, id: &str) -> Option<Remembered> {
        if self.numbers.contains_key(id) {
            return None;
        }
        let number = self.ids.last_key_value().map_or(0, |(last, _)| last + 1);
        self.restore(id.to_owned(), number);
        let forgotten = if self.ids.len() > REMEMBERED_MAX { self.ids.pop_first() } else { None };
        let forgotten = forgotten.map(|(_, id)| id);
        if let Some(id) = &forgotten {
            self.numbers.remove(id);
        }
        Some(Remembered { number, forgotten })
    }

    pub(crate) fn restore(&mut self, id: String, number: u64) {
        self.ids.insert(number, id.clone());
        self.numbers.insert(id, number);
    }

    /// Removes a delivery. Returns whether it was there.
    pub(crate) fn forget(&mut self, id: &str) -> bool {
        let Some(number) = self.numbers.remove(id) else { return false };
        self.ids.remove(&number);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_when_there_are_too_many() {
        let mut seen = Seen::default();
        for number in 0..REMEMBERED_MAX {
            assert_eq!(seen.remember(&number.to_string()).and_then(|one| one.forgotten), None);
        }
        assert_eq!(seen.remember("0"), None);
        assert_eq!(seen.remember("new").and_then(|one| one.forgotten).as_deref(), Some("0"));
        assert!(seen.remember("0").is_some());
        assert!(seen.forget("new"));
        assert!(!seen.forget("new"));
    }
}
