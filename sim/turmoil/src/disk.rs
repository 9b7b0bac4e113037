//! turmoil's file system as the disk of a host.

use mqttspec_ports::{Disk, File};
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use turmoil::fs::shim::std::fs as simulated;

/// The disk of one host, from one start until the host stops. It works only in code on that host.
#[derive(Clone, Debug)]
pub struct TurmoilDisk {
    drive: Arc<Drive>,
    life: u32,
}

/// A file on a disk of turmoil. It does not outlive a crash of its host.
pub struct TurmoilFile {
    drive: Arc<Drive>,
    life: u32,
    path: PathBuf,
    file: simulated::File,
}

/// What all handles of a host share.
#[derive(Debug, Default)]
pub(crate) struct Drive {
    /// Counts power failures. Operations on a handle from before the last one fail.
    life: AtomicU32,
    /// Operations that changed the disk, or tried to.
    operations: AtomicU64,
    /// The operation at which the power fails; 0 for none.
    power_fails_at: AtomicU64,
    is_full: AtomicBool,
}

impl Drive {
    pub(crate) fn disk(self: &Arc<Self>) -> TurmoilDisk {
        TurmoilDisk { drive: self.clone(), life: self.life.load(Ordering::Relaxed) }
    }

    /// From now on, every operation on an existing handle fails.
    pub(crate) fn lose_power(&self) {
        self.life.fetch_add(1, Ordering::Relaxed);
        self.power_fails_at.store(0, Ordering::Relaxed);
    }

    /// Lets the power fail at the nth operation from now on.
    pub(crate) fn fail_power_at(&self, nth: u64) {
        self.power_fails_at.store(self.operations() + nth, Ordering::Relaxed);
    }

    /// Cancels a planned power failure. Returns false if there is none.
    pub(crate) fn forget_power_failure(&self) -> bool {
        self.power_fails_at.swap(0, Ordering::Relaxed) != 0
    }

    pub(crate) fn power_failed(&self) -> bool {
        let at = self.power_fails_at.load(Ordering::Relaxed);
        at != 0 && self.operations() >= at
    }

    pub(crate) fn operations(&self) -> u64 {
        self.operations.load(Ordering::Relaxed)
    }

    pub(crate) fn fill(&self, is_full: bool) {
        self.is_full.store(is_full, Ordering::Relaxed);
    }

    fn check(&self, life: u32) -> io::Result<()> {
        if self.life.load(Ordering::Relaxed) != life || self.power_failed() {
            return Err(io::Error::other("the power failed"));
        }
        Ok(())
    }

    /// Counts an operation that changes the disk.
    fn operate(&self, life: u32) -> io::Result<()> {
        self.check(life)?;
        self.operations.fetch_add(1, Ordering::Relaxed);
        self.check(life)
    }

    fn has_room(&self, old: u64, new: u64) -> io::Result<()> {
        let is_full = new > old && self.is_full.load(Ordering::Relaxed);
        if is_full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl Disk for TurmoilDisk {
    type File = TurmoilFile;

    fn open(&self, name: &str) -> io::Result<TurmoilFile> {
        let path = path_of(name)?;
        self.drive.check(self.life)?;
        if !simulated::exists(&path) {
            self.drive.operate(self.life)?;
        }
        let file = simulated::OpenOptions::new().read(true).write(true).create(true).open(&path)?;
        simulated::sync_dir("/")?;
        Ok(TurmoilFile { drive: self.drive.clone(), life: self.life, path, file })
    }

    fn exists(&self, name: &str) -> io::Result<bool> {
        self.drive.check(self.life)?;
        Ok(simulated::exists(path_of(name)?))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let path = path_of(name)?;
        self.drive.operate(self.life)?;
        simulated::remove_file(path)?;
        simulated::sync_dir("/")
    }

    async fn settled(&self) {}
}

impl File for TurmoilFile {
    fn length(&self) -> io::Result<u64> {
        self.drive.check(self.life)?;
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.drive.check(self.life)?;
        std::os::unix::fs::FileExt::read_exact_at(&self.file, buffer, offset)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.drive.operate(self.life)?;
        let end = offset.saturating_add(bytes.len() as u64);
        self.drive.has_room(self.file.metadata()?.len(), end)?;
        std::os::unix::fs::FileExt::write_all_at(&self.file, bytes, offset)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.drive.operate(self.life)?;
        self.drive.has_room(self.file.metadata()?.len(), length)?;
        self.file.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.drive.operate(self.life)?;
        self.file.sync_all()
    }
}

impl fmt::Debug for TurmoilFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TurmoilFile({})", self.path.display())
    }
}

fn path_of(name: &str) -> io::Result<PathBuf> {
    if name.is_empty() || name.contains('/') {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{name:?} is no name of a file")));
    }
    Ok(PathBuf::from("/").join(name))
}
