//! A store without durability: it exists as long as a caller holds it. Most runs use it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::{Change, Commit, Record, Store, StoreError};

/// Records in memory. Clones share them, so a test can keep one, crash the broker that was given
/// another, and start the next broker on what was committed.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    records: Rc<RefCell<BTreeMap<Vec<u8>, Vec<u8>>>>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> MemoryStore {
        MemoryStore::default()
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.borrow().len()
    }

    /// Whether there are no records.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.borrow().is_empty()
    }
}

impl Store for MemoryStore {
    fn load(&mut self) -> Result<Vec<Record>, StoreError> {
        Ok(self.records.borrow().iter().map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    fn commit(&mut self, changes: Vec<Change>) -> Commit<'_> {
        let mut records = self.records.borrow_mut();
        for change in changes {
            change.apply(&mut records);
        }
        Box::pin(std::future::ready(Ok(())))
    }
}

/// A store that keeps nothing, not even in memory: for a broker whose Sessions need not outlive it.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoStore;

impl Store for NoStore {
    fn load(&mut self) -> Result<Vec<Record>, StoreError> {
        Ok(Vec::new())
    }

    fn commit(&mut self, _changes: Vec<Change>) -> Commit<'_> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn keeps_records(&self) -> bool {
        false
    }
}
