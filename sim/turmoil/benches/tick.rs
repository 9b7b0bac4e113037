//! What a tick costs, and how exact the director's times are.
//!
//! `cargo bench -p mqttspec-turmoil --bench tick` prints the wall time of a simulated minute in
//! which clients ask a broker ten times a second, and how much longer than 83 ms an answer took
//! that the broker delays by 63 ms over links of 10 ms.
#![allow(clippy::print_stdout, reason = "a benchmark prints its table")]
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on fails")]

use mqttspec_ports::{Listener as _, Net as _};
use mqttspec_turmoil::{HostContext, Turmoil};
use std::future::pending;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::{JoinSet, spawn_local};

const PORT: u16 = 1883;
const MINUTE: Duration = Duration::from_secs(60);
const DELAY: Duration = Duration::from_millis(63);
const EXACT: Duration = Duration::from_millis(83);

async fn broker(context: HostContext) -> io::Result<()> {
    let listener = context.net().listen(PORT).await?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        spawn_local(async move {
            while let Ok(byte) = stream.read_u8().await {
                tokio::time::sleep(DELAY).await;
                if stream.write_u8(byte).await.is_err() {
                    return;
                }
            }
        });
    }
}

/// The longest that an answer took too long.
fn minute(clients: usize, tick: Duration) -> Duration {
    let names: Vec<String> = (1..=clients).map(|number| format!("client{number}")).collect();
    let mut builder =
        Turmoil::builder(1).tick(tick).latency(Duration::from_millis(10)).host("broker", broker);
    for name in &names {
        builder = builder.host(name, |_| pending::<io::Result<()>>());
    }
    let run = builder.run(|turmoil| async move {
        let mut asking = JoinSet::new();
        for name in names {
            let turmoil = turmoil.clone();
            asking.spawn_local(async move {
                turmoil.sleep(Duration::from_millis(10)).await;
                let mut stream = turmoil.net(&name).unwrap().connect("broker", PORT).await.unwrap();
                let mut longest = Duration::ZERO;
                while turmoil.now() < MINUTE {
                    let asked = turmoil.now();
                    stream.write_u8(1).await.unwrap();
                    stream.read_u8().await.unwrap();
                    longest = longest.max(turmoil.now() - asked - EXACT);
                    turmoil.sleep_until(asked + Duration::from_millis(100)).await;
                }
                longest
            });
        }
        asking.join_all().await.into_iter().max().unwrap_or_default()
    });
    run.unwrap()
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures the wall clock")]
fn timed<T>(work: impl Fn() -> T) -> (Duration, T) {
    let mut best: Option<(Duration, T)> = None;
    for _ in 0..3 {
        let begun = std::time::Instant::now();
        let value = work();
        let took = begun.elapsed();
        if best.as_ref().is_none_or(|(least, _)| took < *least) {
            best = Some((took, value));
        }
    }
    best.unwrap()
}

fn main() {
    println!("{:>8} {:>8} {:>14} {:>16}", "clients", "tick", "wall a minute", "answer too late");
    for clients in [1, 4, 10, 20] {
        for tick in [1, 2, 5, 10] {
            let tick = Duration::from_millis(tick);
            let (took, late) = timed(|| minute(clients, tick));
            println!(
                "{clients:>8} {:>8} {:>14} {:>16}",
                format!("{tick:?}"),
                format!("{took:.1?}"),
                format!("{late:?}")
            );
        }
    }
}
