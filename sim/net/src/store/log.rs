//! The durable store of simulated hosts: a file to which each commit appends what it changes.
//!
//! It gives the guarantees of [`RedbStore`](super::RedbStore) at a small part of its cost, which
//! is most of what a durable broker costs in a simulation. The price: the file only grows, and an
//! open reads all of it. So it is for hosts that live for one run.
//!
//! A commit is one frame: a checksum, the length of its changes, the changes, and zeros up to a
//! multiple of [`ALIGNMENT`]. The checksum covers the frame's offset, so what an earlier file left
//! on the medium is no frame. Power can fail only while the last frame is being written: an open
//! drops that one, and takes any other whose checksum is wrong for damage.

use std::collections::BTreeMap;
use std::fmt;
use std::io;

use bytes::{Buf, BufMut};
use mqttspec_ports::{Disk, File};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{Change, Commit, Record, Store, StoreError};

/// The name of the file.
const FILE: &str = "sessions.log";

/// Frames begin at multiples of this number of bytes, so no sector ends inside the head of a frame.
const ALIGNMENT: usize = 16;

/// Bytes of the checksum and of the length.
const HEAD: usize = 16;

/// The first byte of a change: a record is written, or removed.
const PUT: u8 = 1;
const DELETE: u8 = 0;

/// Records that survive a crash of the host whose disk this is, in a log.
pub struct LogStore<D: Disk> {
    disk: D,
    file: D::File,
    /// Where the next frame begins.
    end: u64,
}

impl<D: Disk> LogStore<D> {
    /// Opens the store of this disk, which is made if there is none.
    ///
    /// # Errors
    /// When the disk fails, or holds something that no store wrote.
    pub fn open(disk: D) -> Result<LogStore<D>, StoreError> {
        let file = disk.open(FILE)?;
        let length = file.length()?;
        let (_, end) = replay(&file)?;
        if end < length {
            file.set_length(end)?;
            file.sync()?;
        }
        Ok(LogStore { disk, file, end })
    }
}

impl<D: Disk> fmt::Debug for LogStore<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogStore").field("end", &self.end).finish_non_exhaustive()
    }
}

impl<D: Disk> Store for LogStore<D> {
    fn load(&mut self) -> Result<Vec<Record>, StoreError> {
        let (records, _) = replay(&self.file)?;
        Ok(records.into_iter().collect())
    }

    fn commit(&mut self, changes: Vec<Change>) -> Commit<'_> {
        Box::pin(async move {
            let frame = frame(self.end, &changes);
            self.file.write_at(self.end, &frame)?;
            self.file.sync()?;
            self.end += frame.len() as u64;
            // A slow disk's sync has returned, and is not done.
            self.disk.settled().await;
            Ok(())
        })
    }
}

type Records = BTreeMap<Vec<u8>, Vec<u8>>;

/// The records of a log, and where its last whole frame ends.
fn replay(file: &impl File) -> Result<(Records, u64), StoreError> {
    let mut log = vec![0; usize::try_from(file.length()?).map_err(io::Error::other)?];
    file.read_at(0, &mut log)?;
    let mut records = Records::new();
    let mut rest = &log[..];
    loop {
        let offset = (log.len() - rest.len()) as u64;
        let Some((mut head, body)) = rest.split_at_checked(HEAD) else { return Ok((records, offset)) };
        let (checksum, length) = (head.get_u64_le(), head.get_u64_le());
        let length = usize::try_from(length).ok().filter(|length| *length <= body.len());
        let Some((changes, after)) = length.and_then(|length| body.split_at_checked(length)) else {
            return Ok((records, offset));
        };
        let Some(after) = after.get(padding(changes.len())..) else { return Ok((records, offset)) };
        if checksum != xxh3_64_with_seed(changes, offset) {
            if changes.is_empty() || after.is_empty() {
                return Ok((records, offset));
            }
            return Err(StoreError::Damaged(format!("the commit at byte {offset} has another checksum")));
        }
        let broken = || StoreError::Damaged(format!("the commit at byte {offset} is no list of changes"));
        for change in decode(changes).ok_or_else(broken)? {
            change.apply(&mut records);
        }
        rest = after;
    }
}

/// The frame of a commit that begins at this offset.
fn frame(offset: u64, changes: &[Change]) -> Vec<u8> {
    let mut frame = vec![0; HEAD];
    for change in changes {
        let (kind, parts) = match change {
            Change::Put { key, value } => (PUT, [Some(key), Some(value)]),
            Change::Delete { key } => (DELETE, [Some(key), None]),
        };
        frame.put_u8(kind);
        for part in parts.into_iter().flatten() {
            frame.put_u64_le(part.len() as u64);
            frame.put_slice(part);
        }
    }
    let length = frame.len() - HEAD;
    let checksum = xxh3_64_with_seed(&frame[HEAD..], offset);
    let mut head = &mut frame[..HEAD];
    head.put_u64_le(checksum);
    head.put_u64_le(length as u64);
    frame.resize(frame.len() + padding(length), 0);
    frame
}

/// The number of zeros after changes of this length.
fn padding(length: usize) -> usize {
    length.next_multiple_of(ALIGNMENT) - length
}

/// The changes of a frame; `None` if the bytes are no list of changes.
fn decode(mut bytes: &[u8]) -> Option<Vec<Change>> {
    let mut changes = Vec::new();
    while let Some((kind, rest)) = bytes.split_first() {
        bytes = rest;
        let key = part(&mut bytes)?;
        changes.push(match *kind {
            PUT => Change::Put { key, value: part(&mut bytes)? },
            DELETE => Change::Delete { key },
            _ => return None,
        });
    }
    Some(changes)
}

fn part(bytes: &mut &[u8]) -> Option<Vec<u8>> {
    let length = usize::try_from(bytes.try_get_u64_le().ok()?).ok()?;
    let (part, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(part.to_vec())
}
