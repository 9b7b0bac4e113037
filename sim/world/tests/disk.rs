//! What a disk keeps and loses, and a real store on it.

mod common;
mod contract;

use common::{ms, secs};
use contract::{content, reads_what_was_written};
use mqttspec_ports::{Disk, File};
use mqttspec_world::{HostContext, Probability, World, WorldDisk};
use redb::{Database, Durability, ReadableDatabase, StorageBackend, TableDefinition};
use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::rc::Rc;

/// Runs one host whose disk the director uses in its place.
fn on_disk<F, Fut>(director: F)
where
    F: FnOnce(World, Rc<RefCell<Option<WorldDisk>>>) -> Fut,
    Fut: Future<Output = ()>,
{
    let disk = Rc::new(RefCell::new(None));
    let given = disk.clone();
    World::builder(5)
        .torn_writes(None)
        .host("store", move |context: HostContext| {
            *given.borrow_mut() = Some(context.disk());
            std::future::pending::<()>()
        })
        .run(|world| async move {
            world.sleep(ms(1)).await;
            director(world, disk).await;
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
}

fn of(disk: &RefCell<Option<WorldDisk>>) -> WorldDisk {
    disk.borrow().clone().expect("the host has started")
}

#[test]
fn a_simulated_disk_reads_what_was_written() {
    on_disk(|_, disk| async move { reads_what_was_written(&of(&disk)).unwrap() });
}

#[test]
fn a_crash_forgets_what_was_not_synced() {
    on_disk(|world, disk| async move {
        let file = of(&disk).open("a").unwrap();
        file.write_at(0, b"synced").unwrap();
        file.sync().unwrap();
        file.write_at(0, b"unsync").unwrap();
        of(&disk).open("b").unwrap().write_at(0, b"never").unwrap();
        world.crash("store").unwrap();
        assert!(file.length().is_err(), "a handle does not survive the crash");
        assert!(file.sync().is_err());
        world.start("store").unwrap();
        assert_eq!(content(&of(&disk), "a").unwrap(), b"synced");
        assert_eq!(content(&of(&disk), "b").unwrap(), b"", "the name is durable, but the bytes are not");
    });
}

#[test]
fn a_killed_process_loses_nothing_that_it_wrote() {
    on_disk(|world, disk| async move {
        of(&disk).open("a").unwrap().write_at(0, b"unsynced").unwrap();
        world.kill("store").unwrap();
        world.start("store").unwrap();
        assert_eq!(content(&of(&disk), "a").unwrap(), b"unsynced");
    });
}

#[test]
fn a_torn_write_survives_up_to_a_sector() {
    let mut lengths = std::collections::BTreeSet::new();
    for seed in 0..100 {
        let disk = Rc::new(RefCell::new(None));
        let given = disk.clone();
        let survived = World::builder(seed)
            .torn_writes(Some(4))
            .host("store", move |context: HostContext| {
                *given.borrow_mut() = Some(context.disk());
                std::future::pending::<()>()
            })
            .run(|world| async move {
                of(&disk).open("a").unwrap().write_at(0, b"0123456789").unwrap();
                world.crash("store").unwrap();
                world.start("store").unwrap();
                content(&of(&disk), "a").unwrap()
            })
            .unwrap()
            .output;
        assert!(b"0123456789".starts_with(&survived), "{survived:?}");
        lengths.insert(survived.len());
    }
    assert_eq!(lengths, [0, 4, 8, 10].into());
}

#[test]
fn errors_and_a_full_disk_are_told_to_the_host() {
    on_disk(|world, disk| async move {
        let faults = world.disk("store").unwrap();
        let file = of(&disk).open("a").unwrap();
        faults.write_errors(Probability::ALWAYS);
        assert!(file.write_at(0, b"x").is_err());
        file.sync().unwrap();
        faults.write_errors(Probability::NEVER);
        faults.sync_errors(Probability::ALWAYS);
        file.write_at(0, b"x").unwrap();
        assert!(file.sync().is_err());
        faults.sync_errors(Probability::NEVER);
        faults.capacity(Some(10));
        file.write_at(0, &[b'x'; 10]).unwrap();
        assert_eq!(file.write_at(1, &[b'x'; 10]).unwrap_err().kind(), ErrorKind::StorageFull);
        file.write_at(0, &[b'y'; 10]).unwrap();
        assert_eq!(file.set_length(11).unwrap_err().kind(), ErrorKind::StorageFull);
        faults.capacity(None);
        file.set_length(11).unwrap();
    });
}

#[test]
fn a_slow_sync_is_durable_once_the_disk_has_settled() {
    on_disk(|world, disk| async move {
        world.disk("store").unwrap().sync_takes(ms(30));
        let file = of(&disk).open("a").unwrap();
        file.write_at(0, b"one").unwrap();
        file.sync().unwrap();
        let begun = world.now();
        of(&disk).settled().await;
        assert_eq!(world.now() - begun, ms(30));
        file.write_at(0, b"two").unwrap();
        file.sync().unwrap();
        world.sleep(ms(29)).await;
        world.crash("store").unwrap();
        world.start("store").unwrap();
        assert_eq!(content(&of(&disk), "a").unwrap(), b"one");
    });
}

const TABLE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("messages");

/// redb's storage interface on a file of the world.
#[derive(Debug)]
struct Backend<F>(F);

impl<F: File> StorageBackend for Backend<F> {
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

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_at(offset, bytes)
    }
}

/// Stores numbered records, one per commit, and counts acknowledged commits.
async fn recorder(context: HostContext, acknowledged: Rc<Cell<u64>>) -> Result<(), String> {
    tokio::time::sleep(ms(1)).await;
    let store = open_store(&context.disk()).map_err(|error| error.to_string())?;
    for number in acknowledged.get()..ROUNDS {
        commit(&store, number).map_err(|error| error.to_string())?;
        acknowledged.set(number + 1);
        tokio::time::sleep(ms(10)).await;
    }
    Ok(())
}

const ROUNDS: u64 = 5;

/// Opens the store. redb cannot open a file whose creation was interrupted; such a file holds no
/// data. A second file, created after the first is complete, marks the first one as valid.
fn open_store(disk: &WorldDisk) -> Result<Database, redb::Error> {
    if !disk.exists("store.complete")? && disk.exists("store.redb")? {
        disk.remove("store.redb")?;
    }
    let file = disk.open("store.redb")?;
    let store = Database::builder().set_cache_size(1 << 20).create_with_backend(Backend(file))?;
    disk.open("store.complete")?;
    Ok(store)
}

fn commit(store: &Database, number: u64) -> Result<(), redb::Error> {
    let mut transaction = store.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    // Two rows in one transaction: both are stored or neither is.
    transaction.open_table(TABLE)?.insert(number, value(number).as_slice())?;
    transaction.open_table(TABLE)?.insert(number + 1_000, value(number).as_slice())?;
    transaction.commit()?;
    Ok(())
}

fn value(number: u64) -> Vec<u8> {
    vec![u8::try_from(number % 251).expect("below 251"); 700]
}

fn rows(disk: &WorldDisk) -> Result<Vec<u64>, redb::Error> {
    let mut store = open_store(disk)?;
    assert!(store.check_integrity()?, "the store is consistent without repair");
    let transaction = store.begin_read()?;
    let table = match transaction.open_table(TABLE) {
        Ok(table) => table,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut numbers = Vec::new();
    for row in table.range(0..1_000)? {
        let (number, bytes) = row?;
        assert_eq!(bytes.value(), value(number.value()), "row {} is complete", number.value());
        let twin = table.get(number.value() + 1_000)?.expect("both rows are stored or neither is");
        assert_eq!(twin.value(), bytes.value());
        numbers.push(number.value());
    }
    Ok(numbers)
}

/// Runs the recorder with a power failure at one disk operation. Returns whether the run reached
/// that operation.
fn power_fails_at(seed: u64, operation: u64) -> bool {
    let acknowledged = Rc::new(Cell::new(0));
    let (counted, disk) = (acknowledged.clone(), Rc::new(RefCell::new(None)));
    let given = disk.clone();
    World::builder(seed)
        .host("store", move |context: HostContext| {
            *given.borrow_mut() = Some(context.disk());
            recorder(context, counted.clone())
        })
        .run(|world| async move {
            let faults = world.disk("store").expect("declared");
            faults.power_fails_at(Some(operation));
            world.sleep(secs(10)).await;
            faults.power_fails_at(None);
            let crashed = faults.operations() >= operation;
            assert!(!world.is_up("store").expect("declared"), "the host has crashed or finished");
            assert!(crashed || acknowledged.get() == ROUNDS);
            let before = acknowledged.get();
            world.start("store").expect("down");
            let found = rows(&of(&disk)).unwrap_or_else(|error| panic!("operation {operation}: {error}"));
            let expected: Vec<u64> = (0..found.len() as u64).collect();
            assert_eq!(found, expected, "operation {operation}: the rows have gaps");
            assert!(
                found.len() as u64 >= before,
                "operation {operation}: {before} acknowledged, {found:?} found"
            );
            crashed
        })
        .unwrap_or_else(|failure| panic!("{failure}"))
        .output
}

#[test]
fn a_store_survives_a_power_failure_at_every_operation_of_its_commits() {
    for seed in 0..3 {
        let mut operation = 1;
        while power_fails_at(seed, operation) {
            operation += 1;
        }
        assert!(operation > 30, "only {operation} operations");
    }
}
