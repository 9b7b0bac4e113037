//! The simulated disk, which forgets what was not synced. It is turmoil's file system with faults
//! around it that a director can turn on while the world runs.

use crate::history::nanoseconds;
use crate::seed::{Draw, Seed};
use mqttspec_faults::Probability;
use mqttspec_ports::{Disk, File};
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use turmoil_fs::Fs;
use turmoil_fs::shim::std::fs as simulated;

/// The disk of one host, from one start until the host stops.
#[derive(Clone)]
pub struct WorldDisk {
    drive: Arc<Drive>,
    life: u32,
}

/// A file on a simulated disk. It does not outlive a crash of its host.
pub struct WorldFile {
    drive: Arc<Drive>,
    life: u32,
    path: PathBuf,
    file: Option<simulated::File>,
}

/// The faults that a director has set on a disk.
#[derive(Clone, Copy, Debug)]
struct Faults {
    write_errors: Probability,
    sync_errors: Probability,
    sync_takes: Duration,
    capacity: Option<u64>,
}

/// The drive that all handles of a host share. It survives crashes of the host.
pub(crate) struct Drive {
    files: Fs,
    faults: Mutex<Faults>,
    chance: Mutex<Draw>,
    /// Counts crashes. Operations on a handle from before the last one fail.
    life: AtomicU32,
    operations: AtomicU64,
    /// The operation at which the power fails; 0 for none.
    power_fails_at: AtomicU64,
    /// Syncs that are not done yet, with the nanosecond at which they are.
    syncing: Mutex<Vec<(u64, PathBuf)>>,
    clock: Arc<AtomicU64>,
}

impl Drive {
    /// `sector_bytes` is the unit in which a write survives a crash in part; none if it survives as
    /// a whole or not at all.
    pub(crate) fn new(seed: &Seed, sector_bytes: Option<u64>, clock: Arc<AtomicU64>) -> Drive {
        let mut files = Fs::builder().seed(seed.child("tearing").to_u64());
        if let Some(bytes) = sector_bytes {
            files = files.block_size(bytes);
        }
        Drive {
            files: files.build(),
            faults: Mutex::new(Faults {
                write_errors: Probability::NEVER,
                sync_errors: Probability::NEVER,
                sync_takes: Duration::ZERO,
                capacity: None,
            }),
            chance: Mutex::new(seed.child("errors").draw()),
            life: AtomicU32::new(0),
            operations: AtomicU64::new(0),
            power_fails_at: AtomicU64::new(0),
            syncing: Mutex::default(),
            clock,
        }
    }

    pub(crate) fn disk(self: &Arc<Self>) -> WorldDisk {
        WorldDisk { drive: self.clone(), life: self.life.load(Ordering::Relaxed) }
    }

    /// Drops all data that is not durable. From now on, operations on existing handles fail.
    pub(crate) fn lose_power(&self) {
        self.finish_syncs();
        locked(&self.syncing).clear();
        self.life.fetch_add(1, Ordering::Relaxed);
        self.power_fails_at.store(0, Ordering::Relaxed);
        self.files.crash();
    }

    /// True if an operation of the host was the one at which the power had to fail.
    pub(crate) fn power_failed(&self) -> bool {
        let at = self.power_fails_at.load(Ordering::Relaxed);
        at != 0 && self.operations.load(Ordering::Relaxed) >= at
    }

    fn alive(&self, life: u32) -> io::Result<()> {
        if self.life.load(Ordering::Relaxed) != life || self.power_failed() {
            return Err(io::Error::other("the power failed"));
        }
        Ok(())
    }

    /// Counts an operation that changes the disk. Returns an error if a fault makes it fail.
    fn operate(&self, life: u32, errors: impl FnOnce(&Faults) -> Probability) -> io::Result<()> {
        self.alive(life)?;
        self.operations.fetch_add(1, Ordering::Relaxed);
        self.alive(life)?;
        let errors = errors(&locked(&self.faults));
        if locked(&self.chance).chance(errors) {
            return Err(io::Error::other("the disk reports an error"));
        }
        Ok(())
    }

    fn now(&self) -> u64 {
        self.clock.load(Ordering::Relaxed)
    }

    fn finish_syncs(&self) {
        let now = self.now();
        let mut syncing = locked(&self.syncing);
        let done: Vec<PathBuf> =
            syncing.iter().filter(|(at, _)| *at <= now).map(|(_, path)| path.clone()).collect();
        syncing.retain(|(at, _)| *at > now);
        drop(syncing);
        let _entered = self.files.enter();
        for path in done {
            if let Ok(file) = simulated::File::open(path) {
                // A file that was removed meanwhile has nothing to sync.
                let _ = file.sync_all();
            }
        }
    }

    fn has_room(&self, more: u64) -> io::Result<()> {
        let Some(capacity) = locked(&self.faults).capacity else { return Ok(()) };
        let used: u64 =
            simulated::read_dir("/")?.filter_map(|entry| Some(entry.ok()?.metadata().ok()?.len())).sum();
        if used.saturating_add(more) > capacity { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl Disk for WorldDisk {
    type File = WorldFile;

    fn open(&self, name: &str) -> io::Result<WorldFile> {
        let path = path_of(name)?;
        let _entered = self.drive.files.enter();
        if !simulated::exists(&path) {
            self.drive.operate(self.life, |faults| faults.write_errors)?;
        }
        self.drive.alive(self.life)?;
        let file = simulated::OpenOptions::new().read(true).write(true).create(true).open(&path)?;
        simulated::sync_dir("/")?;
        Ok(WorldFile { drive: self.drive.clone(), life: self.life, path, file: Some(file) })
    }

    fn exists(&self, name: &str) -> io::Result<bool> {
        self.drive.alive(self.life)?;
        let _entered = self.drive.files.enter();
        Ok(simulated::exists(path_of(name)?))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let path = path_of(name)?;
        self.drive.operate(self.life, |faults| faults.write_errors)?;
        let _entered = self.drive.files.enter();
        simulated::remove_file(path)?;
        simulated::sync_dir("/")
    }

    async fn settled(&self) {
        loop {
            self.drive.finish_syncs();
            let last = locked(&self.drive.syncing).iter().map(|(at, _)| *at).max();
            match last {
                Some(at) if self.drive.alive(self.life).is_ok() => {
                    let left = at.saturating_sub(self.drive.now());
                    mqttspec_runtime::sleep(Duration::from_nanos(left)).await;
                }
                _ => return,
            }
        }
    }
}

impl WorldFile {
    fn file(&self) -> io::Result<&simulated::File> {
        self.file.as_ref().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl File for WorldFile {
    fn length(&self) -> io::Result<u64> {
        self.drive.alive(self.life)?;
        let _entered = self.drive.files.enter();
        Ok(self.file()?.metadata()?.len())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.drive.alive(self.life)?;
        let _entered = self.drive.files.enter();
        std::os::unix::fs::FileExt::read_exact_at(self.file()?, buffer, offset)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.drive.operate(self.life, |faults| faults.write_errors)?;
        let _entered = self.drive.files.enter();
        let end = offset.saturating_add(bytes.len() as u64);
        let more = end.saturating_sub(self.file()?.metadata()?.len());
        if more > 0 {
            self.drive.has_room(more)?;
        }
        std::os::unix::fs::FileExt::write_all_at(self.file()?, bytes, offset)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.drive.operate(self.life, |faults| faults.write_errors)?;
        let _entered = self.drive.files.enter();
        let more = length.saturating_sub(self.file()?.metadata()?.len());
        if more > 0 {
            self.drive.has_room(more)?;
        }
        self.file()?.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.drive.operate(self.life, |faults| faults.sync_errors)?;
        let takes = nanoseconds(locked(&self.drive.faults).sync_takes);
        if takes > 0 {
            let mut syncing = locked(&self.drive.syncing);
            // A drive does one sync after the other.
            let free = syncing.iter().map(|(at, _)| *at).max().unwrap_or(0).max(self.drive.now());
            syncing.push((free.saturating_add(takes), self.path.clone()));
            return Ok(());
        }
        let _entered = self.drive.files.enter();
        self.file()?.sync_all()
    }
}

impl Drop for WorldFile {
    fn drop(&mut self) {
        let _entered = self.drive.files.enter();
        drop(self.file.take());
    }
}

impl fmt::Debug for WorldFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WorldFile({})", self.path.display())
    }
}

impl fmt::Debug for WorldDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WorldDisk(after {} crashes)", self.life)
    }
}

/// A director's handle on the disk of a host. A setting stays until the next setting of the same
/// kind, also over crashes.
#[derive(Clone)]
pub struct DiskFaults {
    pub(crate) drive: Arc<Drive>,
    pub(crate) record: Rc<Recorder>,
}

type Recorder = dyn Fn(String) + 'static;

impl DiskFaults {
    /// The probability with which each write fails.
    pub fn write_errors(&self, probability: Probability) {
        locked(&self.drive.faults).write_errors = probability;
        (self.record)(format!("write errors {:.3} %", probability.as_fraction() * 100.0));
    }

    /// The probability with which each sync fails.
    pub fn sync_errors(&self, probability: Probability) {
        locked(&self.drive.faults).sync_errors = probability;
        (self.record)(format!("sync errors {:.3} %", probability.as_fraction() * 100.0));
    }

    /// How long each sync takes. A crash before its end loses the data of the sync.
    pub fn sync_takes(&self, duration: Duration) {
        locked(&self.drive.faults).sync_takes = duration;
        (self.record)(format!("sync takes {duration:?}"));
    }

    /// The most bytes that all files together may have; none for no limit.
    pub fn capacity(&self, bytes: Option<u64>) {
        locked(&self.drive.faults).capacity = bytes;
        (self.record)(
            bytes.map_or_else(|| "capacity unlimited".to_owned(), |n| format!("capacity {n} bytes")),
        );
    }

    /// The power fails in place of the nth operation from now on that would change the disk: a
    /// write, a change of length, a sync, a new or removed file. 1 is the next operation. The host
    /// crashes during this call. `None` cancels the failure.
    pub fn power_fails_at(&self, nth: Option<u64>) {
        let now = self.drive.operations.load(Ordering::Relaxed);
        let at = nth.map_or(0, |nth| now.saturating_add(nth.max(1)));
        self.drive.power_fails_at.store(at, Ordering::Relaxed);
        (self.record)(nth.map_or_else(
            || "power is safe".to_owned(),
            |nth| format!("power fails at operation {nth} from now"),
        ));
    }

    /// Cancels [`power_fails_at`](DiskFaults::power_fails_at). Returns false if no failure was set.
    pub(crate) fn forget_power_failure(&self) -> bool {
        self.drive.power_fails_at.swap(0, Ordering::Relaxed) != 0
    }

    /// How many operations have changed the disk, or tried to.
    pub fn operations(&self) -> u64 {
        self.drive.operations.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for DiskFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DiskFaults(after {} operations)", self.operations())
    }
}

fn path_of(name: &str) -> io::Result<PathBuf> {
    if name.is_empty() || name.contains('/') {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{name:?} is no name of a file")));
    }
    Ok(PathBuf::from("/").join(name))
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
