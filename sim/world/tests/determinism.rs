//! The same seed gives the same history, byte for byte: twice in one process, and in other
//! processes.
//!
//! `MQTTSPEC_WORLD_SEEDS` and `MQTTSPEC_WORLD_PROCESSES` set the number of seeds and processes;
//! `.ci/run` raises both.

mod common;

use common::{PORT, echo, ms, secs};
use mqttspec_ports::{Disk, File, Net};
use mqttspec_runtime::{sleep, spawn_local, timeout, yield_now};
use mqttspec_world::{HostContext, Probability, RunError, World, WorldError};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::io;
use std::process::Command;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const CHILD: &str = "MQTTSPEC_WORLD_CHILD";

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Sends bursts of random length, races timers against answers, and reconnects after a failure.
async fn chatter(context: HostContext) {
    let mut draw = context.seed().child("chatter").draw();
    loop {
        if let Ok(mut stream) = context.net().connect("broker", PORT).await {
            let mut answer = [0; 256];
            loop {
                let question = vec![draw.word() as u8; 1 + draw.below(200) as usize];
                if stream.write_all(&question).await.is_err() {
                    break;
                }
                // tokio draws which branch it polls first.
                tokio::select! {
                    read = stream.read(&mut answer) => match read {
                        Ok(n @ 1..) => context.note(format!("answer of {n}")),
                        _ => break,
                    },
                    () = tokio::time::sleep(ms(20)) => context.note("impatient"),
                }
                tokio::time::sleep(draw.duration(ms(1), ms(2_000))).await;
            }
        }
        tokio::time::sleep(ms(100)).await;
    }
}

/// The same on either runtime: it asks a burst, waits for the answer or not, and lets others run.
async fn chatter_on_any_runtime(context: HostContext) {
    let mut draw = context.seed().child("chatter").draw();
    loop {
        if let Ok(mut stream) = context.net().connect("broker", PORT).await {
            let mut answer = [0; 256];
            while stream.write_all(&vec![draw.word() as u8; 1 + draw.below(200) as usize]).await.is_ok() {
                match timeout(ms(20), stream.read(&mut answer)).await {
                    Ok(Ok(n @ 1..)) => context.note(format!("answer of {n}")),
                    Ok(_) => break,
                    Err(_) => context.note("impatient"),
                }
                for _ in 0..draw.below(3) {
                    yield_now().await;
                }
                // It has no timer: two of one host may end together, and then in any order.
                let (note, turns) = (context.clone(), draw.below(4));
                spawn_local(async move {
                    for _ in 0..turns {
                        yield_now().await;
                    }
                    note.note("later");
                });
                sleep(draw.duration(ms(1), ms(200))).await;
            }
        }
        sleep(ms(100)).await;
    }
}

/// Echoes, and counts its starts in a file.
async fn counting_echo(context: HostContext) -> io::Result<()> {
    let file = context.disk().open("starts")?;
    let starts = file.length()?;
    file.set_length(starts + 1)?;
    if context.seed().draw().below(2) == 0 {
        file.sync()?;
    }
    context.note(format!("{starts} starts on disk"));
    echo(context).await
}

async fn faults_of_links(world: World) -> Result<(), WorldError> {
    let mut draw = world.seed("faults").draw();
    for _ in 0..20 {
        world.sleep(draw.duration(ms(100), secs(5))).await;
        let host = ["a", "b", "c"][draw.below(3) as usize];
        let links = world.between(host, "broker")?;
        match draw.below(7) {
            0 => links.partition(),
            1 => links.loss(Probability::percent(30)),
            2 => links.latency(ms(1)..=ms(400)),
            3 => links.hold(),
            4 => links.reset(),
            5 => links.blackhole(),
            _ => world.everywhere().heal(),
        }
    }
    Ok(())
}

async fn faults_of_hosts(world: World) -> Result<(), WorldError> {
    let mut draw = world.seed("faults").draw();
    for _ in 0..12 {
        world.sleep(draw.duration(ms(500), secs(8))).await;
        let host = ["broker", "a", "b"][draw.below(3) as usize];
        if !world.is_up(host)? {
            world.start(host)?;
        } else if draw.below(4) == 0 {
            world.kill(host)?;
        } else {
            world.crash(host)?;
        }
    }
    Ok(())
}

async fn faults_of_streams(world: World) -> Result<(), WorldError> {
    let mut draw = world.seed("faults").draw();
    world.everywhere().bandwidth(Some(20_000));
    for _ in 0..20 {
        world.sleep(draw.duration(ms(100), secs(4))).await;
        match draw.below(4) {
            0 => world.one_way("broker", "a")?.partition(),
            1 => world.stall_reading("b")?,
            2 => world.resume_reading("b")?,
            _ => {
                let open = world.connections();
                if let Some((connection, _, _)) = draw.pick(&open) {
                    world.reset_connection(*connection)?;
                }
                world.everywhere().heal();
            }
        }
    }
    Ok(())
}

fn run<F, Fut>(seed: u64, director: F) -> u128
where
    F: FnOnce(World) -> Fut,
    Fut: Future<Output = Result<(), WorldError>>,
{
    let outcome = World::builder(seed)
        .latency(ms(1)..=ms(30))
        .host("broker", counting_echo)
        .host("a", chatter)
        .host("b", chatter)
        .host("c", chatter)
        .run(director)
        .unwrap_or_else(|failure| panic!("{failure}"));
    outcome.output.expect("the hosts are declared");
    assert!(outcome.trace.statistics.segments > 20, "seed {seed}: {:?}", outcome.trace.statistics);
    outcome.trace.hash
}

/// One line per run: scenario, seed, hash.
fn all_runs(seeds: u64) -> String {
    let mut lines = String::new();
    for seed in 0..seeds {
        for (name, hash) in [
            ("links", run(seed, faults_of_links)),
            ("hosts", run(seed, faults_of_hosts)),
            ("streams", run(seed, faults_of_streams)),
        ] {
            writeln!(lines, "run {name} {seed} {hash:032x}").expect("writing to a string succeeds");
        }
    }
    lines
}

#[test]
fn a_seed_repeats_its_history_in_one_process() {
    let seeds = number("MQTTSPEC_WORLD_SEEDS", 10);
    let first = all_runs(seeds);
    assert_eq!(first, all_runs(seeds));
    let different: BTreeSet<&str> = first.lines().filter_map(|line| line.rsplit(' ').next()).collect();
    assert_eq!(different.len() as u64, seeds * 3, "every seed and scenario has a different history");
}

#[test]
fn a_seed_has_the_same_history_without_tokio() {
    let hash = |seed, without_tokio| {
        let mut world = World::builder(seed).latency(ms(1)..=ms(30)).host("broker", counting_echo);
        for name in ["a", "b", "c"] {
            world = world.host(name, chatter_on_any_runtime);
        }
        if without_tokio {
            world = world.without_tokio();
        }
        let of_hosts = |world: World| async move {
            faults_of_links(world.clone()).await?;
            faults_of_hosts(world).await
        };
        let outcome = world.run(of_hosts).unwrap_or_else(|failure| panic!("{failure}"));
        outcome.output.expect("the hosts are declared");
        (outcome.trace.hash, outcome.trace.statistics)
    };
    for seed in 0..number("MQTTSPEC_WORLD_SEEDS", 10) {
        let of_tokio = hash(seed, false);
        assert!(of_tokio.1.segments > 500, "seed {seed}: {:?}", of_tokio.1);
        assert_eq!(hash(seed, true), of_tokio, "seed {seed}");
    }
}

#[test]
fn a_host_that_needs_tokio_fails_without_it() {
    let world = World::builder(1).without_tokio().host("a", |_| async { tokio::time::sleep(ms(1)).await });
    let failure =
        world.run(|world| async move { world.sleep(secs(1)).await }).expect_err("tokio is not there");
    assert!(matches!(failure.error, RunError::HostPanicked { .. }), "{failure}");
}

#[test]
fn a_seed_repeats_its_history_in_other_processes() {
    let seeds = number("MQTTSPEC_WORLD_SEEDS", 10);
    let expected = all_runs(seeds);
    let this = std::env::current_exe().expect("the path of this test is known");
    for _ in 0..number("MQTTSPEC_WORLD_PROCESSES", 2) {
        let child = Command::new(&this)
            .args(["--exact", "prints_its_runs_when_asked", "--nocapture", "--test-threads=1"])
            .env(CHILD, "1")
            .output()
            .expect("this test starts as a child process");
        let printed = String::from_utf8(child.stdout).expect("text");
        let runs: String =
            printed.lines().filter(|line| line.starts_with("run ")).map(|line| format!("{line}\n")).collect();
        assert_eq!(runs, expected);
    }
}

#[test]
fn prints_its_runs_when_asked() {
    if std::env::var_os(CHILD).is_some() {
        println!();
        print!("{}", all_runs(number("MQTTSPEC_WORLD_SEEDS", 10)));
    }
}

#[test]
fn hosts_of_one_instant_are_polled_in_every_order() {
    let orders: BTreeSet<Vec<String>> = (0..50)
        .map(|seed| {
            let mut world = World::builder(seed);
            for name in ["a", "b", "c"] {
                world = world.host(name, |context: HostContext| async move {
                    tokio::time::sleep(secs(1)).await;
                    context.note("now");
                });
            }
            let trace = world.run(|world| async move { world.sleep(secs(2)).await }).expect("ends").trace;
            let noted =
                trace.events.iter().filter(|e| matches!(e.kind, mqttspec_world::EventKind::Note { .. }));
            noted.map(|event| trace.host_name(event.host.expect("a host's")).to_owned()).collect()
        })
        .collect();
    assert_eq!(orders.len(), 6, "three hosts have six orders");
}
