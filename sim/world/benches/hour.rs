//! Wall time of a simulated hour of pinging hosts, and of many short runs with faults.
//!
//! `cargo bench -p mqttspec-world --bench hour [world|floor|runs|stock]…` prints one table per
//! section, by default all of them. Stock turmoil is measured over a part of the hour and scaled
//! up, because the whole hour would take minutes. Times are the best of several runs, because noise
//! on a shared machine can only make a run slower.
#![allow(clippy::print_stdout, reason = "a benchmark prints its table")]

use mqttspec_ports::{Listener, Net};
use mqttspec_world::{HostContext, Keep, Probability, World};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const PORT: u16 = 1883;
const PING_EVERY: Duration = Duration::from_secs(30);
const HOUR: Duration = Duration::from_secs(3_600);

fn main() {
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    if is_wanted("world") {
        println!("a simulated hour, each host pinging every 30 s");
        println!(
            "{:>8} {:>12} {:>10} {:>10} {:>10} {:>12}",
            "hosts", "wall", "segments", "polls", "sweeps", "ns/segment"
        );
        for hosts in [1, 5, 20, 100, 1_000] {
            report_hour(hosts);
        }
    }
    if is_wanted("floor") {
        println!(
            "\nlower bound: the same number of tasks and timers in a bare paused tokio runtime, no network"
        );
        println!("{:>8} {:>12} {:>10} {:>12}", "hosts", "wall", "timers", "ns/timer");
        for hosts in [1, 5, 20, 100, 1_000] {
            report_floor(hosts);
        }
    }
    if is_wanted("runs") {
        println!("\nset-up, and runs of five minutes with faults (one core)");
        report_runs();
    }
    if is_wanted("stock") {
        // Not with 1,000 hosts: five ticks take a minute.
        println!("\nthe same hour in stock turmoil 0.7, measured over a part and scaled");
        println!("{:>8} {:>8} {:>12} {:>14}", "hosts", "tick", "measured", "wall per hour");
        for (hosts, ticks) in [(1, 60_000), (5, 60_000), (20, 10_000), (100, 1_000)] {
            for tick in [1, 10] {
                report_stock(hosts, Duration::from_millis(tick), Duration::from_millis(ticks * tick));
            }
        }
    }
}

/// The wall clock.
struct Stopwatch(std::time::Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "a benchmark measures the wall clock")]
    fn start() -> Stopwatch {
        Stopwatch(std::time::Instant::now())
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

fn timed<T>(times: u32, mut run: impl FnMut() -> T) -> (Duration, T) {
    let mut best: Option<(Duration, T)> = None;
    for _ in 0..times {
        let begun = Stopwatch::start();
        let value = run();
        let took = begun.elapsed();
        if best.as_ref().is_none_or(|(least, _)| took < *least) {
            best = Some((took, value));
        }
    }
    best.expect("at least one run")
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

/// Pings forever; reconnects whenever the connection fails.
async fn pinger(context: HostContext) {
    let mut draw = context.seed().child("phase").draw();
    tokio::time::sleep(draw.duration(Duration::ZERO, PING_EVERY)).await;
    loop {
        if let Ok(mut stream) = context.net().connect("broker", PORT).await {
            let _failed = ping(&mut stream).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn ping<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(stream: &mut S) -> io::Result<()> {
    let mut answer = [0; 2];
    loop {
        stream.write_all(&[0xC0, 0]).await?;
        stream.read_exact(&mut answer).await?;
        tokio::time::sleep(PING_EVERY).await;
    }
}

fn hour(hosts: usize) -> mqttspec_world::Statistics {
    let mut world =
        World::builder(1).keep(Keep::Last(16)).latency(Duration::from_millis(10)).host("broker", broker);
    for n in 1..=hosts {
        world = world.host(&format!("client{n}"), pinger);
    }
    world.run(|world| async move { world.sleep(HOUR).await }).expect("the hour passes").trace.statistics
}

fn report_hour(hosts: usize) {
    let (took, statistics) = timed(if hosts < 1_000 { 5 } else { 3 }, || hour(hosts));
    let per_segment = took.as_nanos() / u128::from(statistics.segments.max(1));
    println!(
        "{hosts:>8} {:>12} {:>10} {:>10} {:>10} {per_segment:>12}",
        format!("{took:.2?}"),
        statistics.segments,
        statistics.polls,
        statistics.sweeps,
    );
}

/// Five minutes with a partition, loss, latency and a crash of the broker.
fn faulty_run(seed: u64) -> u128 {
    let mut world =
        World::builder(seed).keep(Keep::Last(16)).latency(Duration::from_millis(10)).host("broker", broker);
    for name in ["client1", "client2", "client3", "client4"] {
        world = world.host(name, pinger);
    }
    let director = |world: World| async move {
        let secs = Duration::from_secs;
        world.sleep_until(secs(60)).await;
        world.between("client1", "broker")?.partition();
        world.sleep_until(secs(65)).await;
        world.everywhere().heal();
        world.everywhere().loss(Probability::percent(30));
        world.sleep_until(secs(100)).await;
        world.everywhere().loss(Probability::NEVER);
        world.crash("broker")?;
        world.sleep_until(secs(110)).await;
        world.start("broker")?;
        world.everywhere().latency(Duration::from_millis(1)..=Duration::from_millis(300));
        world.sleep_until(secs(300)).await;
        Ok::<_, mqttspec_world::WorldError>(world.hash())
    };
    world.run(director).expect("the run ends").output.expect("the hosts are declared")
}

fn tiny_exchange() {
    World::builder(1)
        .keep(Keep::Last(0))
        .host("broker", broker)
        .host("client", |_| std::future::pending::<()>())
        .run(|world| async move {
            let net = world.net("client").expect("up");
            let mut stream = net.connect("broker", PORT).await.expect("listens");
            stream.write_all(b"hi").await.expect("open");
            stream.read_exact(&mut [0; 2]).await.expect("open");
        })
        .expect("ends");
}

fn report_runs() {
    let (took, ()) = timed(5, || (0..100).for_each(|_| tiny_exchange()));
    println!("set-up of two hosts and a tiny exchange: {:.1?}", took / 100);
    let (took, _) = timed(3, || (0..1_000).map(faulty_run).fold(0, |all, hash| all ^ hash));
    let per_minute = 60_000.0 / took.as_secs_f64();
    println!("1,000 seeds x 5 min with faults, 5 hosts: {took:.2?}, {per_minute:.0} runs per minute");
}

/// Each ping causes three wake-ups: when it is due, when it arrives, and when its answer arrives.
fn floor(hosts: usize) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime");
    let timers = std::rc::Rc::new(std::cell::Cell::new(0));
    let local = tokio::task::LocalSet::new();
    for host in 0..hosts {
        let timers = timers.clone();
        local.spawn_local(async move {
            tokio::time::sleep(PING_EVERY * u32::try_from(host).unwrap_or(0) / 1_000).await;
            loop {
                for _ in 0..2 {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                tokio::time::sleep(PING_EVERY).await;
                timers.set(timers.get() + 3);
            }
        });
    }
    local.block_on(&runtime, async { tokio::time::sleep(HOUR).await });
    timers.get()
}

fn report_floor(hosts: usize) {
    let (took, timers) = timed(5, || floor(hosts));
    let took_text = format!("{took:.2?}");
    println!("{hosts:>8} {took_text:>12} {timers:>10} {:>12}", took.as_nanos() / u128::from(timers.max(1)));
}

fn report_stock(hosts: usize, tick: Duration, part: Duration) {
    let (_, took) = timed(1, || {
        let mut sim = turmoil::Builder::new()
            .rng_seed(1)
            .tick_duration(tick)
            .tcp_capacity(16_384)
            .simulation_duration(part * 2 + Duration::from_secs(1))
            .min_message_latency(Duration::from_millis(10))
            .max_message_latency(Duration::from_millis(10))
            .build();
        sim.host("broker", || async {
            let listener = turmoil::net::TcpListener::bind(("0.0.0.0", PORT)).await?;
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
        });
        for n in 1..=hosts {
            sim.host(format!("client{n}"), || async {
                let mut stream = turmoil::net::TcpStream::connect(("broker", PORT)).await?;
                ping(&mut stream).await?;
                Ok(())
            });
        }
        // The first tick connects all hosts and is not representative.
        sim.step().expect("the simulation starts");
        let begun = Stopwatch::start();
        let end = sim.elapsed() + part;
        while sim.elapsed() < end {
            sim.step().expect("the simulation continues");
        }
        begun.elapsed()
    });
    let an_hour = took.mul_f64(HOUR.as_secs_f64() / part.as_secs_f64());
    println!(
        "{hosts:>8} {:>8} {:>12} {:>14}",
        format!("{tick:?}"),
        format!("{took:.2?}"),
        format!("{an_hour:.2?}")
    );
}
