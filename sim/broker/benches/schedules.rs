//! The speed of the fuzz target on one core, without the instrumentation of a fuzzer: the seeds of
//! the corpus and random bytes as schedules, with every check of the target.
//!
//! `cargo bench -p mqttspec-broker --features fuzz --bench schedules`
#![expect(clippy::print_stdout, reason = "it is what this program is for")]
#![expect(clippy::disallowed_methods, reason = "it measures real time")]

use std::time::{Duration, Instant};

use mqttspec_broker::fuzz::run;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

const TIME: Duration = Duration::from_secs(5);

fn main() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/broker");
    let seeds = std::fs::read_dir(corpus).into_iter().flatten().flatten();
    let seeds: Vec<Vec<u8>> = seeds.filter_map(|seed| std::fs::read(seed.path()).ok()).collect();
    measure("the seeds of the corpus", &seeds);
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let drawn = (0..1000).map(|_| {
        let mut bytes = vec![0; 2000];
        random.fill_bytes(&mut bytes);
        bytes
    });
    measure("2,000 random bytes each", &drawn.collect::<Vec<_>>());
}

fn measure(what: &str, schedules: &[Vec<u8>]) {
    let start = Instant::now();
    let (mut executions, mut packets) = (0_u64, 0);
    while start.elapsed() < TIME {
        for bytes in schedules {
            packets += run(bytes);
            executions += 1;
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{what}: {:.0} executions/s, {:.0} packets/s",
        executions as f64 / seconds,
        packets as f64 / seconds
    );
}
