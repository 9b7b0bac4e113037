//! Stores of the cores' records: a driver commits changes to a key/value store before it sends the
//! acknowledgements.
//!
//! A core returns its Session State as changes to an ordered set of records. Only the core
//! interprets keys and values. Stores are separate from the drivers, so that the same broker runs
//! without durability ([`NoStore`], [`MemoryStore`]), on a real file ([`RedbStore`]) and on a
//! simulated disk ([`DiskStore`], or [`LogStore`], which is faster).
//!
//! "Session State" and how long a Server keeps it: MQTT 5.0 section 4.1, 3.1.1 section 3.1.2.4.

mod check;
mod disk;
mod log;
mod memory;
mod redb;

use std::future::Future;
use std::pin::Pin;

pub use mqttspec_core::Change;

pub use self::disk::DiskStore;
pub use self::log::LogStore;
pub use self::memory::{MemoryStore, NoStore};
pub use self::redb::RedbStore;

/// A record as a store gives it back: key and value.
pub type Record = (Vec<u8>, Vec<u8>);

/// What a commit resolves to.
pub type Commit<'a> = Pin<Box<dyn Future<Output = Result<(), StoreError>> + 'a>>;

/// An ordered set of records that outlives its broker or client.
pub trait Store {
    /// All records in the order of their keys.
    ///
    /// # Errors
    /// When the medium cannot be read or does not hold what was written.
    fn load(&mut self) -> Result<Vec<Record>, StoreError>;

    /// Applies `changes` in order, all or none, and resolves when they are durable: what was
    /// committed is there after a crash at any later moment.
    ///
    /// # Errors
    /// If the medium failed. It is then unknown whether the changes are there after a restart, so
    /// the caller must not acknowledge them, and must not continue to use this store.
    fn commit(&mut self, changes: Vec<Change>) -> Commit<'_>;

    /// Whether it keeps anything: otherwise its broker or client need not record changes for it.
    fn keeps_records(&self) -> bool {
        true
    }

    /// Called after the last commit. A store can clean up here, so that the next start is fast.
    fn finish(&mut self) {}
}

impl<S: Store + ?Sized> Store for Box<S> {
    fn load(&mut self) -> Result<Vec<Record>, StoreError> {
        (**self).load()
    }

    fn commit(&mut self, changes: Vec<Change>) -> Commit<'_> {
        (**self).commit(changes)
    }

    fn keeps_records(&self) -> bool {
        (**self).keeps_records()
    }

    fn finish(&mut self) {
        (**self).finish();
    }
}

impl<S: Store + ?Sized> Store for &mut S {
    fn load(&mut self) -> Result<Vec<Record>, StoreError> {
        (**self).load()
    }

    fn commit(&mut self, changes: Vec<Change>) -> Commit<'_> {
        (**self).commit(changes)
    }

    fn keeps_records(&self) -> bool {
        (**self).keeps_records()
    }

    fn finish(&mut self) {
        (**self).finish();
    }
}

/// Why a store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A read, write or sync of the medium failed.
    #[error("the store's medium failed: {0}")]
    Medium(std::io::Error),
    /// Another process has the store open.
    #[error("the store is open in another process")]
    InUse,
    /// There is no room to write.
    #[error("the disk is full: a store needs at least 1 MiB to be opened")]
    DiskFull,
    /// The medium has other content than a store.
    #[error("it is not a store of this broker, or its first bytes are damaged; it was left as it is")]
    NoStore,
    /// The medium holds a store, but not what was committed to it.
    #[error("the store is damaged, and was left as it is: {0}")]
    Damaged(String),
}

impl From<std::io::Error> for StoreError {
    fn from(error: std::io::Error) -> StoreError {
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => StoreError::DiskFull,
            _ => StoreError::Medium(error),
        }
    }
}
