//! The durable stores under a power failure at every write, sync and resize in turn: what was
//! committed is there, what was not is there whole or not at all.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use mqttspec_net::store::{Change, LogStore, Record, RedbStore, Store, StoreError};
use mqttspec_ports as ports;

/// Bytes that a disk writes or does not write, never in part.
const SECTOR: usize = 512;

const COMMITS: u32 = 12;

/// A store to test.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Redb,
    Log,
}

const KINDS: [Kind; 2] = [Kind::Redb, Kind::Log];

impl Kind {
    fn open(self, disk: &Disk) -> Result<Box<dyn Store>, StoreError> {
        Ok(match self {
            Kind::Redb => Box::new(RedbStore::open(disk.clone())?),
            Kind::Log => Box::new(LogStore::open(disk.clone())?),
        })
    }
}

#[test]
fn power_fails_at_every_operation_of_a_run_of_commits() {
    for kind in KINDS {
        let operations = {
            let disk = Disk::new();
            let mut store = kind.open(&disk).expect("an empty disk opens");
            for number in 1..=COMMITS {
                commit(&mut store, batch(number)).expect("a healthy disk takes a commit");
            }
            disk.lock().operations
        };
        assert!(operations >= u64::from(COMMITS) * 2, "every commit writes and syncs: {operations}");
        for limit in 0..=operations {
            for luck in [Luck::NothingSurvives, Luck::EverythingSurvives, Luck::Some(1), Luck::Some(2)] {
                power_fails_at(kind, limit, luck);
            }
        }
    }
}

fn power_fails_at(kind: Kind, limit: u64, luck: Luck) {
    let disk = Disk::new();
    disk.lock().operations_left = limit;
    let acknowledged = run_until_power_fails(kind, &disk);
    disk.power_cycle(luck, limit);

    let mut store = kind
        .open(&disk)
        .unwrap_or_else(|error| panic!("{kind:?}, operation {limit}, {luck:?}: does not open: {error}"));
    let found = store.load().expect("an opened store reads");
    let whole = [acknowledged, acknowledged + 1];
    assert!(
        whole.iter().any(|&commits| found == state_after(commits)),
        "{kind:?}, operation {limit}, {luck:?}: {acknowledged} acknowledged, found {found:?}"
    );
    // And it goes on: the next commit is as durable as the first.
    commit(&mut store, batch(COMMITS + 1)).expect("a repaired store takes a commit");
    drop(store);
    disk.power_cycle(Luck::NothingSurvives, 0);
    let found = kind.open(&disk).expect("opens again").load().expect("reads again");
    assert!(found.contains(&(b"last".to_vec(), (COMMITS + 1).to_be_bytes().to_vec())));
}

#[test]
fn a_disk_that_refuses_to_write_refuses_the_commit() {
    for kind in KINDS {
        let disk = Disk::new();
        let mut store = kind.open(&disk).expect("an empty disk opens");
        commit(&mut store, batch(1)).expect("a healthy disk takes a commit");
        disk.lock().operations_left = 0;
        let error = commit(&mut store, batch(2)).expect_err("nothing was written");
        assert!(matches!(error, StoreError::Medium(_)), "{kind:?}: {error}");
    }
}

#[test]
fn a_finished_store_and_a_dropped_one_hold_the_same() {
    for (kind, finish) in KINDS.into_iter().flat_map(|kind| [(kind, true), (kind, false)]) {
        let disk = Disk::new();
        let mut store = kind.open(&disk).expect("an empty disk opens");
        commit(&mut store, batch(1)).expect("a healthy disk takes a commit");
        if finish {
            store.finish();
        }
        drop(store);
        assert_eq!(kind.open(&disk).expect("opens").load().expect("reads"), state_after(1));
    }
}

/// A store of a few records, closed or as a crash leaves it.
fn small_store(close: bool) -> Vec<u8> {
    let disk = Disk::new();
    let mut store = RedbStore::open(disk.clone()).expect("an empty disk opens");
    for number in 1..4 {
        commit(&mut store, batch(number)).expect("a healthy disk takes a commit");
    }
    if close {
        store.close();
    } else {
        drop(store);
    }
    disk.lock().current.clone()
}

/// The answer of a store that is damaged; `None` if it holds what was committed.
type Answer = Option<String>;

/// Opens a store with these bytes. It is damaged, or it holds what was committed and takes more. A
/// last commit that is damaged after a crash looks like one that was not completed, so it may be
/// missing.
fn answer_to(bytes: &[u8], was_closed: bool, what: &str) -> Answer {
    let disk = Disk::new();
    disk.lock().current = bytes.to_vec();
    match RedbStore::open(disk.clone()) {
        Ok(mut store) => {
            let found = store.load().expect(what);
            let is_whole = found == state_after(3);
            assert!(is_whole || !was_closed && found == state_after(2), "{what}: other records");
            commit(&mut store, batch(4)).expect(what);
            let found = store.load().expect(what);
            assert!(!is_whole || found == state_after(4), "{what}: other records after a commit");
            None
        }
        Err(error @ (StoreError::Damaged(_) | StoreError::NoStore)) => {
            assert!(disk.lock().current == bytes, "{what}: it was changed");
            Some(error.to_string())
        }
        Err(other) => panic!("{what}: {other}"),
    }
}

fn is_damaged(bytes: &[u8], was_closed: bool, what: &str) -> bool {
    answer_to(bytes, was_closed, what).is_some()
}

/// The number of answers of each kind. An answer counts up to its first bracket, without numbers.
#[derive(Default)]
struct Answers(BTreeMap<String, usize>);

impl Answers {
    fn count(&mut self, answer: Answer) {
        let answer = answer.unwrap_or_else(|| "no damage".to_owned());
        let begins = answer.split(['<', '{', '(']).next().unwrap_or_default();
        let words =
            begins.split(|character: char| character.is_ascii_digit()).filter(|part| !part.is_empty());
        *self.0.entry(words.collect::<Vec<_>>().join("N")).or_default() += 1;
    }

    fn of_damaged(&self) -> usize {
        self.0.iter().filter(|(answer, _)| *answer != "no damage").map(|(_, count)| count).sum()
    }

    #[expect(clippy::print_stdout, reason = "for people, with --nocapture")]
    fn print(&self, what: &str) {
        println!("{what}");
        for (answer, count) in &self.0 {
            println!("{count:8} {answer}");
        }
    }
}

/// Flips a part of the bits of the bytes that are not zero and of their neighbours. With
/// `MQTTSPEC_EVERY_BIT=1` it flips each of them, which takes a release build and some minutes.
#[test]
fn a_flipped_bit_is_found_or_does_no_harm() {
    let every = std::env::var("MQTTSPEC_EVERY_BIT").is_ok();
    for close in [true, false] {
        let whole = small_store(close);
        let is_used = |at: &usize| whole[at - at % 64..].iter().take(64).any(|byte| *byte != 0);
        let bits: Vec<usize> = (0..whole.len()).filter(is_used).flat_map(|at| at * 8..at * 8 + 8).collect();
        let step = if every { 1 } else { (bits.len() / 951).max(1) | 1 };
        let mut answers = Answers::default();
        let flipped = bits.iter().step_by(step);
        let count = flipped.len();
        for &bit in flipped {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            answers.count(answer_to(&bytes, close, &format!("bit {bit} of {} bytes", whole.len())));
        }
        let state = if close { "closed" } else { "left by a crash" };
        answers.print(&format!("a store that was {state}: {count} bits of {} in use", bits.len()));
        assert!(count > 900 && (answers.of_damaged() > 100 || !close), "{count}");
    }
}

#[test]
fn a_truncated_store_is_damaged() {
    let mut answers = Answers::default();
    for close in [true, false] {
        let whole = small_store(close);
        for cut in 1..=100 {
            let mut bytes = whole.clone();
            bytes.truncate(whole.len() - (whole.len() * cut / 101).max(1));
            let answer = answer_to(&bytes, close, &format!("cut by {cut} of 101"));
            assert!(answer.is_some(), "cut by {cut} of 101");
            answers.count(answer);
        }
    }
    answers.print("truncated at 200 places");
}

/// Files that begin with zeros, one of them of the length of a new store.
#[test]
fn what_is_not_a_store_is_left_as_it_is() {
    let new = {
        let disk = Disk::new();
        drop(RedbStore::open(disk.clone()).expect("an empty disk opens"));
        disk.lock().current.len()
    };
    for length in [9, 10, 4096, new, new + 4096] {
        let mut bytes = vec![0; length];
        bytes[length - 1] = 1;
        assert!(is_damaged(&bytes, true, &format!("{length} bytes, all but one zero")));
    }
    assert!(is_damaged(b"a text, longer than a magic number", true, "a text"));
}

#[test]
fn a_log_with_a_flipped_bit_in_an_earlier_commit_is_damaged() {
    let disk = Disk::new();
    let mut store = Kind::Log.open(&disk).expect("an empty disk opens");
    commit(&mut store, batch(1)).expect("a healthy disk takes a commit");
    commit(&mut store, batch(2)).expect("a healthy disk takes a commit");
    drop(store);
    disk.lock().current[20] ^= 1;
    let error = Kind::Log.open(&disk).map(drop).expect_err("the first commit is not what was written");
    assert!(matches!(error, StoreError::Damaged(_)), "{error}");
}

#[test]
fn a_file_is_opened_by_one_at_a_time() {
    let directory = std::env::temp_dir().join(format!("mqttspec-store-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("the temporary directory is writable");
    let path = directory.join("broker.redb");
    let mut store = RedbStore::open_file(&path).expect("a new file opens");
    commit(&mut store, batch(1)).expect("a file takes a commit");
    assert!(matches!(RedbStore::open_file(&path), Err(StoreError::InUse)));
    drop(store);
    let mut store = RedbStore::open_file(&path).expect("opens when the first is gone");
    assert_eq!(store.load().expect("reads"), state_after(1));
    drop(store);
    std::fs::remove_dir_all(&directory).expect("made above");
}

/// How many commits were acknowledged.
fn run_until_power_fails(kind: Kind, disk: &Disk) -> u32 {
    let Ok(mut store) = kind.open(disk) else { return 0 };
    (1..=COMMITS).take_while(|&number| commit(&mut store, batch(number)).is_ok()).count() as u32
}

fn commit(store: &mut impl Store, changes: Vec<Change>) -> Result<(), StoreError> {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(store.commit(changes))
}

/// What the commit with this number changes: something new, something old, something gone,
/// something large.
fn batch(number: u32) -> Vec<Change> {
    let put = |key: Vec<u8>, value: Vec<u8>| Change::Put { key, value };
    let mut changes = vec![
        put(b"last".to_vec(), number.to_be_bytes().to_vec()),
        put(format!("message {number}").into_bytes(), vec![number as u8; 40 * number as usize]),
    ];
    if number.is_multiple_of(3) {
        changes.push(Change::Delete { key: format!("message {}", number - 1).into_bytes() });
    }
    if number.is_multiple_of(4) {
        changes.push(put(b"large".to_vec(), vec![number as u8; 100_000]));
    }
    changes
}

fn state_after(commits: u32) -> Vec<Record> {
    let mut records = BTreeMap::new();
    for change in (1..=commits).flat_map(batch) {
        change.apply(&mut records);
    }
    records.into_iter().collect()
}

/// What a power failure leaves of the writes that were not synced.
#[derive(Debug, Clone, Copy)]
enum Luck {
    NothingSurvives,
    EverythingSurvives,
    /// Each sector on its own, drawn from this seed.
    Some(u64),
}

/// A disk with a write cache, whose power fails after so many operations.
#[derive(Debug, Clone)]
struct Disk(Arc<Mutex<Platter>>);

#[derive(Debug)]
struct Platter {
    synced: Vec<u8>,
    /// What a read sees: `synced` and all that came after.
    current: Vec<u8>,
    unsynced: Vec<(usize, Vec<u8>)>,
    operations: u64,
    operations_left: u64,
}

impl Disk {
    fn new() -> Disk {
        Disk(Arc::new(Mutex::new(Platter {
            synced: Vec::new(),
            current: Vec::new(),
            unsynced: Vec::new(),
            operations: 0,
            operations_left: u64::MAX,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Platter> {
        self.0.lock().expect("no thread panics with the lock held")
    }

    fn power_cycle(&self, luck: Luck, salt: u64) {
        let mut platter = self.lock();
        let mut random = Random(match luck {
            Luck::Some(seed) => seed ^ (salt << 8),
            Luck::NothingSurvives | Luck::EverythingSurvives => 1,
        });
        let mut survives = || match luck {
            Luck::NothingSurvives => false,
            Luck::EverythingSurvives => true,
            Luck::Some(_) => random.next() & 1 == 1,
        };
        let mut left = platter.synced.clone();
        if survives() {
            left.resize(platter.current.len(), 0);
        }
        for (offset, data) in std::mem::take(&mut platter.unsynced) {
            for (index, sector) in data.chunks(SECTOR).enumerate() {
                let start = offset + index * SECTOR;
                if survives() && start + sector.len() <= left.len() {
                    left[start..start + sector.len()].copy_from_slice(sector);
                }
            }
        }
        platter.current.clone_from(&left);
        platter.synced = left;
        platter.operations_left = u64::MAX;
    }
}

impl Platter {
    fn operate(&mut self) -> io::Result<()> {
        self.operations += 1;
        self.operations_left =
            self.operations_left.checked_sub(1).ok_or_else(|| io::Error::other("the power failed"))?;
        Ok(())
    }
}

impl redb::StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        ports::File::length(self)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        ports::File::read_at(self, offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        ports::File::set_length(self, len)
    }

    fn sync_data(&self) -> io::Result<()> {
        ports::File::sync(self)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        ports::File::write_at(self, offset, data)
    }
}

/// A disk with one file.
impl ports::Disk for Disk {
    type File = Disk;

    fn open(&self, _name: &str) -> io::Result<Disk> {
        Ok(self.clone())
    }

    fn exists(&self, _name: &str) -> io::Result<bool> {
        Ok(true)
    }

    fn remove(&self, _name: &str) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn settled(&self) {}
}

impl ports::File for Disk {
    fn length(&self) -> io::Result<u64> {
        Ok(self.lock().current.len() as u64)
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let offset = offset as usize;
        out.copy_from_slice(&self.lock().current[offset..offset + out.len()]);
        Ok(())
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut platter = self.lock();
        platter.operate()?;
        let (start, end) = (offset as usize, offset as usize + data.len());
        let length = platter.current.len().max(end);
        platter.current.resize(length, 0);
        platter.current[start..end].copy_from_slice(data);
        platter.unsynced.push((start, data.to_vec()));
        Ok(())
    }

    fn set_length(&self, len: u64) -> io::Result<()> {
        let mut platter = self.lock();
        platter.operate()?;
        platter.current.resize(len as usize, 0);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut platter = self.lock();
        platter.operate()?;
        platter.synced = platter.current.clone();
        platter.unsynced.clear();
        Ok(())
    }
}

/// splitmix64: enough to toss a coin.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
