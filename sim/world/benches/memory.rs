//! Memory use of 1,000 hosts, and of a simulated day with hourly faults. It reads `/proc`, so it
//! works only on Linux.
//!
//! `cargo bench -p mqttspec-world --bench memory` fails if 1,000 hosts use 256 MiB or more, or if
//! memory use grows during the day.
#![allow(clippy::print_stdout, reason = "a benchmark prints its table")]

use mqttspec_ports::{Listener, Net};
use mqttspec_world::{HostContext, Keep, Probability, World, WorldError};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const PORT: u16 = 1883;

fn main() {
    if resident_kib().is_none() {
        println!("no /proc on this system: nothing measured");
        return;
    }
    day_with_faults();
    thousand_hosts();
}

/// Resident memory of the process.
fn resident_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

async fn broker(context: HostContext) -> io::Result<()> {
    let listener = context.net().listen(PORT).await?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        tokio::task::spawn_local(async move {
            let mut buffer = [0; 64];
            while let Ok(n @ 1..) = stream.read(&mut buffer).await {
                if stream.write_all(&buffer[..n]).await.is_err() {
                    return;
                }
            }
        });
    }
}

async fn pinger(context: HostContext) {
    let mut draw = context.seed().draw();
    loop {
        tokio::time::sleep(draw.duration(Duration::ZERO, Duration::from_secs(30))).await;
        if let Ok(mut stream) = context.net().connect("broker", PORT).await {
            let mut answer = [0; 2];
            while stream.write_all(&[0xC0, 0]).await.is_ok() && stream.read_exact(&mut answer).await.is_ok() {
                tokio::time::sleep(Duration::from_secs(30)).await;
            }
        }
    }
}

fn world(clients: usize) -> mqttspec_world::Builder {
    let mut world = World::builder(1).keep(Keep::Last(64)).host("broker", broker);
    for n in 1..=clients {
        world = world.host(&format!("client{n}"), pinger);
    }
    world
}

fn thousand_hosts() {
    let before = resident_kib().unwrap_or_default();
    let director = |world: World| async move {
        world.sleep(Duration::from_secs(120)).await;
        (world.connections().len(), resident_kib().unwrap_or_default())
    };
    let (connections, during) = world(1_000).run(director).expect("two minutes pass").output;
    let used = during.saturating_sub(before);
    println!(
        "1,000 hosts with {connections} connections: {used} KiB more than an empty process, {during} KiB in total"
    );
    assert!(connections == 1_000 && during < 256 * 1024);
}

fn day_with_faults() {
    println!("a simulated day of 5 pinging hosts, with faults each hour");
    let samples = world(5).run(|world| async move {
        let mut samples = Vec::new();
        for hour in 1..=24u64 {
            world.sleep(Duration::from_secs(600)).await;
            world.crash("broker")?;
            world.sleep(Duration::from_secs(60)).await;
            world.start("broker")?;
            world.between("client1", "broker")?.partition();
            world.sleep(Duration::from_secs(1_200)).await;
            world.everywhere().heal();
            world.everywhere().loss(Probability::percent(30));
            world.sleep(Duration::from_secs(600)).await;
            world.everywhere().loss(Probability::NEVER);
            world.between("client2", "broker")?.reset();
            world.crash("client3")?;
            world.start("client3")?;
            world.sleep_until(Duration::from_secs(hour * 3_600)).await;
            samples.push((resident_kib().unwrap_or_default(), world.connections().len()));
        }
        Ok::<_, WorldError>(samples)
    });
    let samples = samples.expect("the day passes").output.expect("the hosts are declared");
    for (hour, (kib, connections)) in (1..).zip(&samples) {
        if hour % 4 == 0 {
            println!("  after {hour:>2} h: {kib} KiB, {connections} connections known");
        }
    }
    let (middle, last) = (samples[11].0, samples[23].0);
    assert!(last <= middle + middle / 20, "{middle} KiB after half a day, {last} KiB after a day");
}
