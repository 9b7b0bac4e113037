//! The durable store on a disk of the world's kind: simulated, where it can lose power, or real.

use std::fmt;
use std::io;

use mqttspec_ports::{Disk, File};

use super::{Change, Commit, Record, RedbStore, Store, StoreError};

/// The name of the file.
const FILE: &str = "sessions.redb";

/// Records that survive a crash of the host whose disk this is.
pub struct DiskStore<D> {
    store: RedbStore,
    disk: D,
}

impl<D: Disk> DiskStore<D>
where
    D::File: 'static,
{
    /// Opens the store of this disk, which is made if there is none.
    ///
    /// # Errors
    /// When the disk fails, or holds something that no store wrote.
    pub fn open(disk: D) -> Result<DiskStore<D>, StoreError> {
        let store = RedbStore::open(Medium(disk.open(FILE)?))?;
        Ok(DiskStore { store, disk })
    }

    /// Closes the store so that the next open finds nothing to repair.
    pub fn close(self) {
        self.store.close();
    }
}

impl<D> fmt::Debug for DiskStore<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskStore").field("store", &self.store).finish_non_exhaustive()
    }
}

impl<D: Disk> Store for DiskStore<D> {
    fn load(&mut self) -> Result<Vec<Record>, StoreError> {
        self.store.load()
    }

    fn commit(&mut self, changes: Vec<Change>) -> Commit<'_> {
        Box::pin(async move {
            self.store.commit(changes).await?;
            // A slow disk's sync has returned, and is not done.
            self.disk.settled().await;
            Ok(())
        })
    }

    fn finish(&mut self) {
        self.store.finish();
    }
}

#[derive(Debug)]
struct Medium<F>(F);

impl<F: File + 'static> redb::StorageBackend for Medium<F> {
    fn len(&self) -> io::Result<u64> {
        self.0.length()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_at(offset, out)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.set_length(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_at(offset, data)
    }
}
