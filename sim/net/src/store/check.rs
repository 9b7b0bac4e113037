//! Whether a medium holds a store, and an undamaged one, before anything is written to it.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};

use redb::{Builder, StorageBackend};

use super::StoreError;

/// The number of bytes of a medium that are compared, or kept in memory, at once.
const PAGE_BYTES: usize = 4096;
const PAGE: u64 = PAGE_BYTES as u64;

/// The pieces in which a disk writes: it writes one as a whole or not at all.
const SECTOR_BYTES: usize = 512;

/// The length of redb's magic number.
const MAGIC_BYTES: usize = 9;

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Calls redb, which panics on some damaged files instead of returning an error (by an `assert!` or
/// an index out of range). The panic is returned as an error, and nothing is printed for it. After
/// that, the state of redb is only dropped, within another guard.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let otherwise = take_hook();
        set_hook(Box::new(move |panic| {
            if !GUARDED.get() {
                otherwise(panic);
            }
        }));
    });
    let outer = GUARDED.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(outer);
    outcome.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("its content is wrong");
        Err(StoreError::Damaged(text.lines().next().unwrap_or_default().to_owned()))
    })
}

/// Reads the whole store and compares its checksums. Nothing is written: what redb writes to repair
/// it after a crash stays in memory, so a file that turns out to be damaged is left as it is.
pub(super) fn verify<M: StorageBackend>(medium: &Arc<M>, cache_bytes: usize) -> Result<(), StoreError> {
    guarded(|| {
        let overlay = Overlay::over(Arc::clone(medium))?;
        let mut builder = Builder::new();
        let mut database =
            builder.set_cache_size(cache_bytes).create_with_backend(overlay).map_err(redb::Error::from)?;
        let is_clean = database.check_integrity().map_err(redb::Error::from)?;
        if is_clean { Ok(()) } else { Err(StoreError::Damaged("a checksum is wrong".to_owned())) }
    })
}

/// Whether power failed while the first store was being made here: every sector is zero or one that
/// is written for a new store. redb writes its magic number last, so nothing was ever committed,
/// and making the store again loses nothing. Another program's file that begins with zeros is not
/// taken for one, nor is one of zeros only, unless it is as long as a new store.
pub(super) fn is_unfinished(medium: &impl StorageBackend) -> io::Result<bool> {
    let mut start = [0; MAGIC_BYTES];
    let length = medium.len()?;
    if length < MAGIC_BYTES as u64 {
        return Ok(false);
    }
    medium.read(0, &mut start)?;
    if start != [0; MAGIC_BYTES] {
        return Ok(false);
    }
    let new = NewStore::default();
    if Builder::new().create_with_backend(new.clone()).is_err() {
        return Ok(false);
    }
    let new = new.lock();
    if new.lengths.last().is_none_or(|longest| length > *longest) {
        return Ok(false);
    }
    let mut is_ours = new.lengths.contains(&length);
    let mut sector = [0; SECTOR_BYTES];
    for offset in (0..length).step_by(SECTOR_BYTES) {
        let there = usize::try_from(length - offset).unwrap_or(SECTOR_BYTES).min(SECTOR_BYTES);
        let sector = &mut sector[..there];
        medium.read(offset, sector)?;
        if sector.iter().all(|byte| *byte == 0) {
            continue;
        }
        // A file may end within a sector.
        let from = (offset, sector.to_vec());
        let written = new.sectors.range(from..).take_while(|(at, _)| *at == offset).next();
        if written.is_none_or(|(_, bytes)| !bytes.starts_with(sector)) {
            return Ok(false);
        }
        is_ours = true;
    }
    Ok(is_ours)
}

/// Records what redb writes to make a store.
#[derive(Debug, Clone, Default)]
struct NewStore(Arc<Mutex<Recorded>>);

#[derive(Debug, Default)]
struct Recorded {
    bytes: Vec<u8>,
    lengths: BTreeSet<u64>,
    /// Every content that each sector had.
    sectors: BTreeSet<(u64, Vec<u8>)>,
}

impl NewStore {
    fn lock(&self) -> MutexGuard<'_, Recorded> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StorageBackend for NewStore {
    fn len(&self) -> io::Result<u64> {
        Ok(self.lock().bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.lock();
        let range = range(offset, out.len())?;
        out.copy_from_slice(state.bytes.get(range).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut state = self.lock();
        state.bytes.resize(usize::try_from(length).map_err(io::Error::other)?, 0);
        state.lengths.insert(length);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.lock();
        let range = range(offset, data.len())?;
        let (first, last) = (range.start / SECTOR_BYTES, range.end.div_ceil(SECTOR_BYTES));
        state.bytes.get_mut(range).ok_or(io::ErrorKind::UnexpectedEof)?.copy_from_slice(data);
        for start in (first..last).map(|number| number * SECTOR_BYTES) {
            let end = (start + SECTOR_BYTES).min(state.bytes.len());
            let sector = state.bytes.get(start..end).unwrap_or_default().to_vec();
            state.sectors.insert((start as u64, sector));
        }
        Ok(())
    }
}

fn range(offset: u64, length: usize) -> io::Result<std::ops::Range<usize>> {
    let start = usize::try_from(offset).map_err(io::Error::other)?;
    Ok(start..start + length)
}

/// A medium whose changes stay in memory.
#[derive(Debug)]
struct Overlay<M> {
    medium: Arc<M>,
    state: Mutex<Changed>,
}

#[derive(Debug)]
struct Changed {
    length: u64,
    /// Bytes of the medium that count: what is beyond a length that was set is zero.
    below: u64,
    pages: BTreeMap<u64, Box<[u8; PAGE_BYTES]>>,
}

impl<M: StorageBackend> Overlay<M> {
    fn over(medium: Arc<M>) -> io::Result<Overlay<M>> {
        let length = medium.len()?;
        Ok(Overlay { medium, state: Mutex::new(Changed { length, below: length, pages: BTreeMap::new() }) })
    }

    fn lock(&self) -> MutexGuard<'_, Changed> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The part of a page, with what was written to it.
    fn page(&self, state: &Changed, number: u64) -> io::Result<Box<[u8; PAGE_BYTES]>> {
        if let Some(page) = state.pages.get(&number) {
            return Ok(page.clone());
        }
        let mut page = Box::new([0; PAGE_BYTES]);
        let there = state.below.saturating_sub(number * PAGE).min(PAGE);
        if there > 0 {
            let there = usize::try_from(there).unwrap_or(PAGE_BYTES);
            self.medium.read(number * PAGE, &mut page[..there])?;
        }
        Ok(page)
    }
}

/// The pages that a range touches: each with the range within it and its place in the data.
fn pages(offset: u64, length: usize) -> impl Iterator<Item = (u64, std::ops::Range<usize>, usize)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let start = usize::try_from(at % PAGE).unwrap_or_default();
        let part = (PAGE_BYTES - start).min(length - done);
        done += part;
        (part > 0).then_some((at / PAGE, start..start + part, done - part))
    })
}

impl<M: StorageBackend> StorageBackend for Overlay<M> {
    fn len(&self) -> io::Result<u64> {
        Ok(self.lock().length)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.lock();
        if offset + out.len() as u64 > state.length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if state.pages.is_empty() && state.length == state.below {
            return self.medium.read(offset, out);
        }
        for (number, within, place) in pages(offset, out.len()) {
            let page = self.page(&state, number)?;
            out[place..place + within.len()].copy_from_slice(&page[within]);
        }
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut state = self.lock();
        state.below = state.below.min(length);
        state.length = length;
        let _ = state.pages.split_off(&length.div_ceil(PAGE));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.lock();
        if offset + data.len() as u64 > state.length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for (number, within, place) in pages(offset, data.len()) {
            let mut page = self.page(&state, number)?;
            page[within.clone()].copy_from_slice(&data[place..place + within.len()]);
            state.pages.insert(number, page);
        }
        Ok(())
    }
}
