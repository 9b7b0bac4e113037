//! Each fault profile as an application sees it: a question every 100 ms, and a new connection
//! whenever that fails.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;
mod felt;

use common::{PORT, echo, ms, secs};
use felt::{Felt, asker};
use mqttspec_faults::{Course, Fault, FaultError, Injector, Phase, Step, Way};
use mqttspec_ports::{Disk, File, Net};
use mqttspec_world::{EventKind, HostContext, Profile, World, WorldDisk};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io;
use std::rc::Rc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Echoes, and writes to its disk all the while.
async fn writing_echo(context: HostContext) -> io::Result<()> {
    let disk = context.disk();
    tokio::task::spawn_local(async move {
        let file = disk.open("log")?;
        for n in 0u64.. {
            file.write_at(n % 1_000, b"entry")?;
            file.sync()?;
            tokio::time::sleep(ms(100)).await;
        }
        io::Result::Ok(())
    });
    echo(context).await
}

fn ignore(_: &Step, _: Phase) {}

fn felt_under(profile: Profile) -> Felt {
    let felt = Rc::new(RefCell::new(Felt::default()));
    let at_client = felt.clone();
    let report = felt.clone();
    World::builder(11)
        .host("broker", writing_echo)
        .host("client", move |context| asker(context.net(), at_client.clone()))
        .run(|world| async move {
            world.sleep(secs(5)).await;
            assert!(felt.borrow().errors.is_empty() && felt.borrow().slowest == ms(2));
            let course = profile.course(&["client"], "broker");
            Injector::new(world.clone()).run(course, ignore).await.expect("both are there");
            world.sleep(secs(40)).await;
            let before = felt.borrow().answers;
            world.sleep(secs(5)).await;
            assert!(felt.borrow().answers > before + 40, "{profile}: it is over, and answers come again");
        })
        .unwrap_or_else(|failure| panic!("{profile}: {failure}"));
    report.take()
}

#[test]
fn every_profile_is_felt_and_gets_over() {
    for profile in Profile::USUAL {
        let felt = felt_under(profile);
        assert!(felt.is_as_expected(profile), "{profile}: {felt:?}");
    }
}

/// How long a question and its answer take at these times, with a host that does these faults.
fn round_trips<F, Fut>(latency: u64, at: &[u64], faults: F) -> Vec<u128>
where
    F: FnOnce(Injector<World>) -> Fut,
    Fut: Future<Output = Result<(), FaultError>>,
{
    World::builder(1)
        .latency(ms(latency))
        .host("broker", echo)
        .host("client", |_| std::future::pending::<()>())
        .run(|world| async move {
            let mut stream = world.net("client").unwrap().connect("broker", PORT).await.unwrap();
            let faults = faults(Injector::new(world.clone()));
            let mut round_trips = Vec::new();
            let asks = async {
                for at in at {
                    world.sleep_until(ms(*at)).await;
                    let asked = world.now();
                    stream.write_all(b"ping").await.unwrap();
                    stream.read_exact(&mut [0; 4]).await.unwrap();
                    round_trips.push((world.now() - asked).as_millis());
                }
            };
            tokio::join!(async { faults.await.unwrap() }, asks);
            round_trips
        })
        .unwrap_or_else(|failure| panic!("{failure}"))
        .output
}

#[test]
fn a_high_latency_is_added_to_the_latency_that_was_set_before_and_ends_without_it() {
    let slow = |lasts| Profile::HighLatency { added: ms(100), lasts }.course(&["client"], "broker");
    // Of the world.
    let of_world = round_trips(20, &[500, 1_100, 2_100], |injector| async move {
        injector.backend().sleep_until(ms(1_000)).await;
        injector.run(slow(secs(1)), ignore).await
    });
    assert_eq!(of_world, [40, 240, 40]);
    // By the director, and by an earlier fault.
    let of_fault = round_trips(1, &[500, 1_100, 2_100], |injector| async move {
        injector.backend().everywhere().latency(ms(5));
        let latency = Fault::Latency { on: Way::Around("client".to_owned()), latency: ms(20)..=ms(20) };
        injector.run(Course::of(latency, None), ignore).await?;
        injector.backend().sleep_until(ms(1_000)).await;
        injector.run(slow(secs(1)), ignore).await
    });
    assert_eq!(of_fault, [40, 240, 40]);
}

#[test]
fn two_high_latencies_at_once_add_up_and_end_apart() {
    let slow = |lasts| Profile::HighLatency { added: ms(100), lasts }.course(&["client"], "broker");
    let seen = round_trips(20, &[500, 1_100, 2_100, 3_100], |injector| async move {
        injector.backend().sleep_until(ms(1_000)).await;
        let first = injector.begin(slow(secs(1)), ignore).await?;
        let second = injector.begin(slow(secs(2)), ignore).await?;
        let (first, second) = tokio::join!(first.finish(), second.finish());
        first.and(second)
    });
    assert_eq!(seen, [40, 440, 240, 40]);
}

#[test]
fn a_partition_by_the_director_outlasts_a_course() {
    let seen = round_trips(10, &[1_500], |injector| async move {
        let links = injector.backend().between("client", "broker")?;
        links.partition();
        injector.run(Profile::Outage { lasts: secs(1) }.course(&["client"], "broker"), ignore).await?;
        injector.backend().sleep_until(secs(4)).await;
        links.heal();
        Ok(())
    });
    // Sent at 1.5 s; tried 0.2, 0.6, 1.4 and 3.0 s later.
    assert_eq!(seen, [3_020]);
}

/// What is on the disk after a disk loss at a host that writes numbered records of three sectors
/// each and syncs after every second one; and how many writes and syncs had returned.
fn left_by_a_disk_loss(seed: u64, profile: Profile) -> (Vec<u8>, usize, usize) {
    let disk: Rc<RefCell<Option<WorldDisk>>> = Rc::default();
    let returned = Rc::new(RefCell::new((0, 0)));
    let (given, counted) = (disk.clone(), returned.clone());
    let writer = move |context: HostContext| {
        *given.borrow_mut() = Some(context.disk());
        let (disk, counted, first) = (context.disk(), counted.clone(), context.incarnation() == 1);
        async move {
            if !first {
                return std::future::pending().await;
            }
            let file = disk.open("records")?;
            file.set_length(RECORD as u64 * 100)?;
            file.sync()?;
            for number in 0..100_usize {
                tokio::time::sleep(ms(10)).await;
                file.write_at((number * RECORD) as u64, &[number as u8 + 1; RECORD])?;
                counted.borrow_mut().0 = number + 1;
                if number % 2 == 1 {
                    file.sync()?;
                    counted.borrow_mut().1 = number + 1;
                }
            }
            io::Result::Ok(())
        }
    };
    let bytes = World::builder(seed)
        .host("broker", writer)
        .host("client", |_| std::future::pending::<()>())
        .run(|world| async move {
            world.sleep(ms(105)).await;
            let began = world.now();
            Injector::new(world.clone()).run(profile.course(&["client"], "broker"), ignore).await.unwrap();
            assert!(world.is_up("broker").unwrap());
            assert!(world.now() - began <= secs(2) + ms(80), "back 2 s after the power failed");
            let disk = disk.borrow().clone().unwrap();
            let mut bytes = vec![0; RECORD * 100];
            disk.open("records").unwrap().read_at(0, &mut bytes).unwrap();
            bytes
        })
        .unwrap_or_else(|failure| panic!("{failure}"))
        .output;
    let (written, synced) = returned.take();
    (bytes, written, synced)
}

const SECTOR: usize = 512;
const RECORD: usize = 3 * SECTOR;

#[test]
fn a_disk_loss_keeps_what_was_synced_and_first_sectors_of_the_rest() {
    let profile = Profile::TornWrites { down: secs(2) };
    let (mut kept_of_the_rest, mut moments) = (BTreeSet::new(), BTreeSet::new());
    for seed in 0..100 {
        let (bytes, written, synced) = left_by_a_disk_loss(seed, profile);
        moments.insert((written, synced));
        for (number, record) in bytes.chunks(RECORD).enumerate() {
            let kept = record.iter().take_while(|byte| usize::from(**byte) == number + 1).count();
            assert!(record[kept..].iter().all(|byte| *byte == 0), "seed {seed}: record {number}");
            assert_eq!(kept % SECTOR, 0, "seed {seed}: record {number}");
            if number < synced {
                assert_eq!(kept, RECORD, "seed {seed}: record {number} was synced");
            } else if number < written {
                kept_of_the_rest.insert(kept / SECTOR);
            } else {
                assert_eq!(kept, 0, "seed {seed}: record {number} was never written");
            }
        }
    }
    assert_eq!(kept_of_the_rest, [0, 1, 2, 3].into());
    // In place of each of the next eight operations: write 11, write 12, the sync
    // of both, write 13 …
    let expected = [(10, 10), (11, 10), (12, 10), (12, 12), (13, 12), (14, 12), (14, 14), (15, 14)];
    assert_eq!(moments, expected.into());
}

#[test]
fn a_disk_loss_of_a_host_that_does_not_write_comes_after_five_seconds() {
    let crashed = World::builder(1)
        .host("broker", echo)
        .run(|world| async move {
            let course = Profile::TornWrites { down: secs(2) }.course(&["broker"], "broker");
            Injector::new(world.clone()).run(course, ignore).await.unwrap();
            world.now()
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(crashed.output, secs(7));
    let at: Vec<_> = crashed.trace.events.iter().filter(|e| e.kind == EventKind::HostCrashed).collect();
    assert_eq!(at.iter().map(|event| event.at).collect::<Vec<_>>(), [secs(5)]);
}

#[test]
fn a_host_that_ends_before_its_disk_loss_keeps_its_power_later() {
    World::builder(1)
        .host("broker", writing_echo)
        .run(|world| async move {
            // The host writes every 100 ms; the sync of its first write is the second operation.
            world.sleep(ms(50)).await;
            let injector = Injector::new(world.clone());
            let course = Profile::TornWrites { down: secs(2) }.course(&["broker"], "broker");
            let loss = injector.begin(course, ignore).await.unwrap();
            world.kill("broker").unwrap();
            assert_eq!(loss.finish().await, Err(FaultError::Down("broker".to_owned())));
            world.start("broker").unwrap();
            world.sleep(secs(10)).await;
            assert!(world.is_up("broker").unwrap(), "the planned power failure is forgotten");
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn a_fault_of_a_host_that_does_not_exist_is_refused() {
    World::builder(1)
        .host("broker", echo)
        .run(|world| async move {
            let injector = Injector::new(world);
            for profile in Profile::USUAL {
                let error = injector.run(profile.course(&["nobody"], "nobody"), ignore).await;
                assert_eq!(error, Err(FaultError::UnknownHost("nobody".to_owned())), "{profile}");
            }
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
}
