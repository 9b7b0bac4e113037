//! The run itself: its clock, its repetition, how it fails, and its disks.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;
#[path = "../../world/tests/contract/mod.rs"]
mod contract;
#[path = "../../world/tests/felt/mod.rs"]
mod felt;

use common::{PORT, ask, broker_and_client, crash, dial, echo, ignore, ms, played, secs};
use contract::{content, reads_what_was_written};
use felt::{Felt, asker};
use mqttspec_faults::{Course, Injector, Profile};
use mqttspec_ports::{Disk as _, File as _, Listener as _, Net as _};
use mqttspec_turmoil::{HostContext, RunError, Turmoil};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

/// Echoes, and writes to its disk all the while. It writes half a turn after the client asks, so
/// that at 5 s no question is under way when the power fails.
async fn writing_echo(context: HostContext) -> io::Result<()> {
    let disk = context.disk();
    tokio::task::spawn_local(async move {
        let file = disk.open("log")?;
        tokio::time::sleep(ms(50)).await;
        for number in 0_u64.. {
            file.write_at(number % 1_000, b"entry")?;
            file.sync()?;
            tokio::time::sleep(ms(100)).await;
        }
        io::Result::Ok(())
    });
    echo(context).await
}

fn felt_under(profile: Profile) -> Felt {
    let felt = Rc::new(RefCell::new(Felt::default()));
    let (at_client, report) = (felt.clone(), felt.clone());
    let client = move |context: HostContext| {
        let felt = at_client.clone();
        async move {
            asker(context.net(), felt).await;
            io::Result::Ok(())
        }
    };
    let run =
        Turmoil::builder(11).host("broker", writing_echo).host("client", client).run(|turmoil| async move {
            turmoil.sleep(secs(5)).await;
            assert!(felt.borrow().errors.is_empty() && felt.borrow().slowest == ms(2), "{felt:?}");
            let course = profile.course(&["client"], "broker");
            Injector::new(turmoil.clone()).run(course, ignore).await.unwrap();
            turmoil.sleep(secs(40)).await;
            let before = felt.borrow().answers;
            turmoil.sleep(secs(5)).await;
            assert!(felt.borrow().answers > before + 40, "{profile}: it is over, and answers come again");
        });
    run.unwrap_or_else(|error| panic!("{profile}: {error}"));
    report.take()
}

#[test]
fn every_profile_that_turmoil_models_is_felt_as_in_the_world() {
    let mut refused = Vec::new();
    for profile in Profile::USUAL {
        let course = profile.course(&["client"], "broker");
        if course.steps.iter().any(|step| mqttspec_turmoil::supports(&step.fault).is_err()) {
            refused.push(profile.name());
            continue;
        }
        let felt = felt_under(profile);
        assert!(felt.is_as_expected(profile), "{profile}: {felt:?}");
    }
    assert_eq!(refused, ["packet-loss", "one-way-partition"]);
}

/// What the director measures is never shorter than what a host lets pass, and at most a tick
/// longer.
#[test]
fn a_host_and_the_director_measure_the_same_time() {
    for tick in [1, 5, 10] {
        let sleeper = move |context: HostContext| async move {
            let (mut stream, _) = context.net().listen(PORT).await?.accept().await?;
            let asked = stream.read_u64().await?;
            tokio::time::sleep(Duration::from_millis(asked)).await;
            stream.write_u8(1).await?;
            // The peer closes.
            stream.read(&mut [0; 1]).await.map(drop)
        };
        let builder = Turmoil::builder(3).tick(ms(tick)).latency(ms(10));
        let run = builder.host("broker", sleeper).host("client", played).run(|turmoil| async move {
            for asked in [0, 1, 4, 10, 33, 250] {
                let injector = Injector::new(turmoil.clone());
                if !turmoil.is_up("broker").unwrap() {
                    injector.start("broker").await.unwrap();
                }
                turmoil.sleep(ms(20)).await;
                let mut stream = dial(&turmoil).await;
                let sent = turmoil.now();
                stream.write_u64(asked).await.unwrap();
                stream.read_u8().await.unwrap();
                let took = turmoil.now() - sent;
                let least = ms(20 + asked);
                assert!(least <= took && took <= least + 2 * ms(tick), "{tick} {asked}: {took:?}");
                drop(stream);
                turmoil.sleep(ms(50)).await;
            }
        });
        run.unwrap();
    }
}

#[test]
fn the_clock_of_a_host_goes_on_over_its_crashes() {
    let noted: Rc<RefCell<Vec<(u32, Duration)>>> = Rc::default();
    let notes = noted.clone();
    let clock = move |context: HostContext| {
        notes.borrow_mut().push((context.incarnation(), context.now()));
        assert_eq!(context.name(), "broker");
        std::future::pending::<io::Result<()>>()
    };
    let run = Turmoil::builder(1).host("broker", clock).run(|turmoil| async move {
        turmoil.sleep_until(secs(1)).await;
        let injector = Injector::new(turmoil.clone());
        injector.run(Course::of(crash("broker"), Some(secs(2))), ignore).await.unwrap();
        let started = turmoil.now();
        turmoil.sleep(ms(2)).await;
        started
    });
    assert_eq!(run.unwrap(), secs(3));
    let noted = noted.take();
    assert_eq!(noted.iter().map(|(incarnation, _)| *incarnation).collect::<Vec<_>>(), [1, 2]);
    assert!((secs(3)..=secs(3) + ms(2)).contains(&noted[1].1), "{noted:?}");
}

/// A run with everything that is drawn, as lines of what the director saw.
fn transcript(seed: u64) -> Vec<String> {
    let lines: Rc<RefCell<Vec<String>>> = Rc::default();
    let seen = lines.clone();
    let mut builder = Turmoil::builder(seed).latency(ms(2)).host("broker", writing_echo);
    for name in ["a", "b", "c"] {
        builder = builder.host(name, played);
    }
    let run = builder.run(|turmoil| async move {
        let injector = Injector::new(turmoil.clone());
        let jitter =
            mqttspec_faults::Fault::Latency { on: mqttspec_faults::Way::Everywhere, latency: ms(1)..=ms(40) };
        injector.run(Course::of(jitter, None), ignore).await.unwrap();
        let loss = Profile::TornWrites { down: secs(1) }.course(&["a"], "broker");
        let rest = injector.begin(loss, ignore).await.unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        for name in ["a", "b", "c"] {
            let (turmoil, seen) = (turmoil.clone(), seen.clone());
            tasks.spawn_local(async move {
                for number in 0..100_u8 {
                    let net = turmoil.net(name).unwrap();
                    let outcome = async {
                        let mut stream = net.connect("broker", PORT).await?;
                        stream.write_u8(number).await?;
                        stream.read_u8().await
                    };
                    // A crash between a question and its answer is never noticed, as in TCP.
                    let outcome =
                        timeout(secs(3), outcome).await.map(|outcome| outcome.map_err(|error| error.kind()));
                    let line = format!("{:?} {name} {number} {outcome:?}", turmoil.now());
                    seen.borrow_mut().push(line);
                }
            });
        }
        rest.finish().await.unwrap();
        while tasks.join_next().await.is_some() {}
    });
    run.unwrap();
    lines.take()
}

#[test]
fn a_seed_repeats_a_run() {
    let first = transcript(5);
    assert!(first.len() == 300);
    assert_eq!(transcript(5), first);
    assert_ne!(transcript(6), first);
}

async fn panics(_: HostContext) -> io::Result<()> {
    panic!("a bug")
}

#[test]
fn a_run_fails_with_what_went_wrong() {
    let run = Turmoil::builder(1).host("broker", panics).run(|_| std::future::pending::<()>());
    assert!(matches!(run, Err(RunError::Panicked { .. })), "{run:?}");
    let run = broker_and_client().time_limit(secs(3)).run(|_| std::future::pending::<()>());
    assert!(matches!(run, Err(RunError::TimeLimit { limit }) if limit == secs(3)), "{run:?}");
    let twice = broker_and_client().host("broker", echo).run(|_| async {});
    assert!(matches!(&twice, Err(RunError::HostName(name)) if name == "broker"), "{twice:?}");
    let fine = broker_and_client().tick(Duration::from_micros(1_500)).run(|_| async {});
    assert!(matches!(fine, Err(RunError::Resolution { what: "a tick", .. })), "{fine:?}");
    let instant = broker_and_client().latency(Duration::ZERO).run(|_| async {});
    assert!(matches!(instant, Err(RunError::Resolution { what: "a latency", .. })), "{instant:?}");
}

#[test]
#[should_panic(expected = "of the director")]
fn a_panic_of_the_director_goes_on() {
    let _ = broker_and_client().run(|turmoil| async move {
        let mut stream = dial(&turmoil).await;
        ask(&turmoil, &mut stream, b"x").await;
        panic!("of the director");
    });
}

#[test]
fn a_disk_reads_what_was_written() {
    let passed = Rc::new(Cell::new(false));
    let at_host = passed.clone();
    let host = move |context: HostContext| {
        at_host.set(reads_what_was_written(&context.disk()).is_ok());
        std::future::pending::<io::Result<()>>()
    };
    Turmoil::builder(1).host("store", host).run(|turmoil| async move { turmoil.sleep(ms(5)).await }).unwrap();
    assert!(passed.get());
}

/// Runs a host that does something at each of its starts, and crashes it in between.
fn over_a_crash(first: fn(&HostContext), second: fn(&HostContext)) {
    let host = move |context: HostContext| {
        if context.incarnation() == 1 {
            first(&context);
        } else {
            second(&context);
        }
        std::future::pending::<io::Result<()>>()
    };
    let run = Turmoil::builder(1).torn_writes(None).host("store", host).run(|turmoil| async move {
        turmoil.sleep(ms(5)).await;
        let course = Course::of(crash("store"), Some(ms(5)));
        Injector::new(turmoil.clone()).run(course, ignore).await.unwrap();
        turmoil.sleep(ms(5)).await;
    });
    run.unwrap();
}

#[test]
fn a_crash_forgets_what_was_not_synced() {
    over_a_crash(
        |context| {
            let file = context.disk().open("a").unwrap();
            file.write_at(0, b"synced").unwrap();
            file.sync().unwrap();
            file.write_at(0, b"unsync").unwrap();
            context.disk().open("b").unwrap().write_at(0, b"never").unwrap();
        },
        |context| {
            assert_eq!(content(&context.disk(), "a").unwrap(), b"synced");
            assert_eq!(content(&context.disk(), "b").unwrap(), b"", "the name is durable, the bytes are not");
        },
    );
}

#[test]
fn what_a_host_writes_while_it_is_dropped_is_not_written() {
    struct WritesWhenDropped(mqttspec_turmoil::TurmoilFile);
    impl Drop for WritesWhenDropped {
        fn drop(&mut self) {
            assert!(self.0.write_at(0, b"too late").is_err());
            assert!(self.0.sync().is_err());
        }
    }
    over_a_crash(
        |context| {
            let file = WritesWhenDropped(context.disk().open("a").unwrap());
            tokio::task::spawn_local(async move {
                let _held = file;
                std::future::pending::<()>().await;
            });
        },
        |context| assert_eq!(content(&context.disk(), "a").unwrap(), b""),
    );
}

#[test]
fn a_disk_loss_comes_in_place_of_one_of_eight_operations() {
    let mut moments = BTreeSet::new();
    for seed in 0..40 {
        let written = Rc::new(Cell::new(0_u8));
        let (counted, kept) = (written.clone(), Rc::new(RefCell::new(Vec::new())));
        let found = kept.clone();
        let writer = move |context: HostContext| {
            let (counted, found) = (counted.clone(), found.clone());
            async move {
                let file = context.disk().open("records")?;
                if context.incarnation() > 1 {
                    *found.borrow_mut() = content(&context.disk(), "records")?;
                    return std::future::pending().await;
                }
                for number in 0..100_u8 {
                    tokio::time::sleep(ms(10)).await;
                    file.write_at(u64::from(number), &[1])?;
                    file.sync()?;
                    counted.set(number + 1);
                }
                io::Result::Ok(())
            }
        };
        let run = Turmoil::builder(seed).host("broker", writer).run(|turmoil| async move {
            turmoil.sleep(ms(105)).await;
            let course = Profile::TornWrites { down: secs(2) }.course(&["broker"], "broker");
            Injector::new(turmoil.clone()).run(course, ignore).await.unwrap();
            turmoil.sleep(ms(5)).await;
            turmoil.now()
        });
        let ended = run.unwrap();
        assert!(ended < ms(2_200), "{ended:?}");
        let (written, kept) = (usize::from(written.get()), kept.take().len());
        assert!(kept == written || kept == written + 1, "{written} were synced, {kept} are kept");
        moments.insert(written);
    }
    assert_eq!(moments, [10, 11, 12, 13].into(), "eight operations are four writes and their syncs");
}
