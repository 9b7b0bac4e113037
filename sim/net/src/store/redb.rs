//! The durable store: one redb table, one transaction a commit, on any medium that can sync.
//!
//! redb is used because it takes its file as a trait, so the same engine runs on a real file and on
//! the simulated disk; because a commit is one copy-on-write transaction, all or none after a crash
//! at any point; and because it starts no threads and hashes with a fixed hasher, so equal commits
//! write equal bytes.

use std::io::{self, Write as _};
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::{
    BackendError, Builder, Database, ReadableDatabase as _, ReadableTable as _, StorageBackend,
    TableDefinition, TableError,
};

use super::check;
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
    /// Opens the store on a medium, which is empty or holds what an earlier store left: closed, or
    /// by a crash at any moment. The whole store is read once to compare its checksums.
    ///
    /// # Errors
    /// When the medium fails, or holds something that no store wrote. Then it is left as it is.
    pub fn open(medium: impl StorageBackend) -> Result<RedbStore, StoreError> {
        let medium = Arc::new(medium);
        if check::is_unfinished(&*medium)? {
            medium.set_len(0)?;
            medium.sync_data()?;
        }
        if medium.len()? > 0 {
            check::verify(&medium, CACHE_BYTES)?;
        }
        let medium_open = Arc::new(AtomicBool::new(true));
        let gate = Gate { medium, open: Arc::clone(&medium_open) };
        let database = check::guarded(|| {
            let mut builder = Builder::new();
            let database = builder.set_cache_size(CACHE_BYTES).create_with_backend(gate);
            Ok(database.map_err(redb::Error::from)?)
        })?;
        Ok(RedbStore { database: Some(database), medium_open })
    }

    /// Opens the store in a file, which is made if there is none. The file is locked while the
    /// store is open.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when another process has it open, [`StoreError::DiskFull`]; otherwise
    /// as [`open`](RedbStore::open).
    pub fn open_file(path: &Path) -> Result<RedbStore, StoreError> {
        has_room(path)?;
        let file =
            std::fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        // The name of a new file is durable only when its directory is.
        if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            std::fs::File::open(directory)?.sync_all()?;
        }
        let backend = redb::backends::FileBackend::new(file).map_err(redb::Error::from)?;
        // Another process may be writing, so the content is looked at only with the lock.
        if !backend.try_lock_range(Bound::Unbounded, Bound::Unbounded).map_err(io_error)? {
            return Err(StoreError::InUse);
        }
        RedbStore::open(Locked(backend))
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
            self.finish();
        }
    }
}

impl Store for RedbStore {
    fn load(&mut self) -> Result<Vec<Record>, StoreError> {
        check::guarded(|| Ok(self.read_all()?))
    }

    fn commit(&mut self, changes: Vec<Change>) -> Commit<'_> {
        let result = check::guarded(|| Ok(self.write_all(&changes)?));
        Box::pin(std::future::ready(result))
    }

    fn finish(&mut self) {
        let database = self.database.take();
        // What is committed is durable already, so an error here loses nothing.
        let _ = check::guarded(|| {
            drop(database);
            Ok(())
        });
    }
}

impl From<redb::Error> for StoreError {
    fn from(error: redb::Error) -> StoreError {
        match error {
            // So redb says that the magic number of its files is not there.
            redb::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => StoreError::NoStore,
            // It reads where the damaged file leads it, or where a truncated one ended.
            redb::Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                StoreError::Damaged("it ends too early".to_owned())
            }
            redb::Error::Io(error) if is_full(&error) => StoreError::DiskFull,
            redb::Error::Io(error) => StoreError::Medium(error),
            redb::Error::DatabaseAlreadyOpen => StoreError::InUse,
            redb::Error::PreviousIo | redb::Error::DatabaseClosed => StoreError::Medium(gone()),
            other => StoreError::Damaged(other.to_string()),
        }
    }
}

/// Bytes that a disk must have free for a store to be opened. A store that grows needs more. With
/// this check, a full disk is reported at the start instead of at the first commit.
const ROOM_BYTES: usize = 1 << 20;

/// Writes a file beside the store, and removes it. Other problems of the disk are reported by the
/// store itself.
fn has_room(path: &Path) -> Result<(), StoreError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".room-{}", std::process::id()));
    let probe = path.with_file_name(name);
    let Ok(mut file) = std::fs::OpenOptions::new().write(true).create_new(true).open(&probe) else {
        return Ok(());
    };
    let written = file.write_all(&vec![1; ROOM_BYTES]).and_then(|()| file.sync_data());
    let _ = std::fs::remove_file(&probe);
    match written {
        Err(error) if is_full(&error) => Err(StoreError::DiskFull),
        _ => Ok(()),
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn io_error(error: BackendError) -> io::Error {
    match error {
        BackendError::Io(error) => error,
        other => io::Error::other(other.to_string()),
    }
}

/// A file that this process has locked as a whole: redb need not lock parts of it.
#[derive(Debug)]
struct Locked(redb::backends::FileBackend);

impl StorageBackend for Locked {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.0.close()
    }
}

/// A medium whose writes can be switched off. redb writes when it is dropped, and a host without
/// power must not write.
#[derive(Debug)]
struct Gate<M> {
    medium: Arc<M>,
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
}
