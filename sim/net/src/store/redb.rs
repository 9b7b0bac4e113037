//! The durable store: one redb table, one transaction a commit, on any medium that can sync.
//!
//! redb is used because it takes its file as a trait, so the same engine runs on a real file and on
//! the simulated disk; because a commit is one copy-on-write transaction, all or none after a crash
//! at any point; and because it starts no threads and hashes with a fixed hasher, so equal commits
//! write equal bytes.

use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::{
    BackendError, Builder, Database, ReadableDatabase as _, ReadableTable as _, StorageBackend,
    TableDefinition, TableError,
};

use super::{Change, Commit, Record, Store, StoreError};

/// Records by key. Both are the core's own encoding.
const RECORDS: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("records");

/// Bytes of pages that redb keeps in memory. Records are read once, at start, so a large cache
/// would lie idle.
const CACHE_BYTES: usize = 16 << 20;

/// Records that survive a crash, in redb.
///
/// A store that is dropped leaves its medium as a crash would leave it, so that a simulated crash
/// is one; the next open repairs it, which takes a time that grows with its size.
/// [`close`](RedbStore::close) spares that.
#[derive(Debug)]
pub struct RedbStore {
    database: Option<Database>,
    medium_open: Arc<AtomicBool>,
}

impl RedbStore {
    /// Opens the store on a medium, which is empty or holds what an earlier store left, in whatever
    /// state.
    ///
    /// # Errors
    /// When the medium fails, or holds something that no store wrote.
    pub fn open(medium: impl StorageBackend) -> Result<RedbStore, StoreError> {
        forget_unfinished(&medium)?;
        let medium_open = Arc::new(AtomicBool::new(true));
        let gate = Gate { medium, open: Arc::clone(&medium_open) };
        let database = Builder::new()
            .set_cache_size(CACHE_BYTES)
            .create_with_backend(gate)
            .map_err(redb::Error::from)?;
        Ok(RedbStore { database: Some(database), medium_open })
    }

    /// Opens the store in a file, which is made if there is none. The file is locked while the
    /// store is open.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when another process has it open; otherwise as
    /// [`open`](RedbStore::open).
    pub fn open_file(path: &Path) -> Result<RedbStore, StoreError> {
        let file =
            std::fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        // The name of a new file is durable only when its directory is.
        if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            std::fs::File::open(directory)?.sync_all()?;
        }
        RedbStore::open(redb::backends::FileBackend::new(file).map_err(redb::Error::from)?)
    }

    /// Closes the store so that the next open finds nothing to repair.
    pub fn close(mut self) {
        self.finish();
    }

    fn read_all(&self) -> Result<Vec<Record>, redb::Error> {
        let Some(database) = &self.database else { return Err(redb::Error::DatabaseClosed) };
        let table = match database.begin_read()?.open_table(RECORDS) {
            Ok(table) => table,
            // Nothing was ever committed.
            Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let mut records = Vec::new();
        for entry in table.iter()? {
            let (key, value) = entry?;
            records.push((key.value().to_vec(), value.value().to_vec()));
        }
        Ok(records)
    }

    fn write_all(&self, changes: &[Change]) -> Result<(), redb::Error> {
        let Some(database) = &self.database else { return Err(redb::Error::DatabaseClosed) };
        let transaction = database.begin_write()?;
        {
            let mut table = transaction.open_table(RECORDS)?;
            for change in changes {
                match change {
                    Change::Put { key, value } => table.insert(key.as_slice(), value.as_slice())?,
                    Change::Delete { key } => table.remove(key.as_slice())?,
                };
            }
        }
        Ok(transaction.commit()?)
    }
}

impl Drop for RedbStore {
    fn drop(&mut self) {
        if self.database.is_some() {
            self.medium_open.store(false, Ordering::Relaxed);
        }
    }
}

impl Store for RedbStore {
    fn load(&mut self) -> Result<Vec<Record>, StoreError> {
        Ok(self.read_all()?)
    }

    fn commit(&mut self, changes: Vec<Change>) -> Commit<'_> {
        let result = self.write_all(&changes).map_err(StoreError::from);
        Box::pin(std::future::ready(result))
    }

    fn finish(&mut self) {
        drop(self.database.take());
    }
}

impl From<redb::Error> for StoreError {
    fn from(error: redb::Error) -> StoreError {
        match error {
            // So redb says that the magic number of its files is not there.
            redb::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
                StoreError::Damaged(error.to_string())
            }
            redb::Error::Io(error) => StoreError::Medium(error),
            redb::Error::DatabaseAlreadyOpen => StoreError::InUse,
            redb::Error::PreviousIo | redb::Error::DatabaseClosed => StoreError::Medium(gone()),
            other => StoreError::Damaged(other.to_string()),
        }
    }
}

/// Empties a medium on which power failed while its first store was being made: redb writes its
/// magic number last, so a medium that has none was never committed to, and redb would take it for
/// another program's file.
fn forget_unfinished(medium: &impl StorageBackend) -> io::Result<()> {
    let mut start = [0; 9];
    let length = medium.len()?;
    if length == 0 {
        return Ok(());
    }
    if let Some(start) = start.get_mut(..usize::try_from(length).unwrap_or(usize::MAX).min(9)) {
        medium.read(0, start)?;
    }
    if start == [0; 9] {
        medium.set_len(0)?;
        medium.sync_data()?;
    }
    Ok(())
}

/// A medium that can be made deaf. redb tidies up when it is dropped, which the writes of a host
/// that has lost its power cannot do.
#[derive(Debug)]
struct Gate<M> {
    medium: M,
    open: Arc<AtomicBool>,
}

impl<M: StorageBackend> Gate<M> {
    fn pass(&self) -> io::Result<&M> {
        if self.open.load(Ordering::Relaxed) { Ok(&self.medium) } else { Err(gone()) }
    }
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the store ended")
}

impl<M: StorageBackend> StorageBackend for Gate<M> {
    fn len(&self) -> io::Result<u64> {
        self.pass()?.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.pass()?.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.pass()?.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.pass()?.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.pass()?.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.medium.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.medium.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.medium.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.medium.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.medium.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.medium.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.medium.query_lock_range(start, end)
    }
}
