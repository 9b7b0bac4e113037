//! Runs the stateful fuzz targets without a fuzzer, for as many steps of the cores as are asked
//! for, with the checks of the targets and a budget of memory: what an input makes a core allocate
//! is bounded by the length of the input, so no short input is expensive.
//!
//! See `steps.md`, to which it appends its figures.

use std::alloc::System;
use std::env::args;
use std::fs;
use std::io::Write as _;
use std::time::Instant;

use cap::Cap;

#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, usize::MAX);

/// Bytes that an input may make a target allocate in all, besides a number for each of its own: what
/// one empty run takes, with a crash and a restore.
const BASE: usize = 512 << 10;

/// Bytes that may be allocated at a time.
const AT_A_TIME: usize = 64 << 20;

/// Runs an input; returns the number of steps.
type Run = fn(&[u8]) -> u64;

/// The targets, with the bytes that each byte of an input may make them allocate in all. A byte may
/// be a crash, after which a core reads all its records again.
const TARGETS: [(&str, Run, usize); 2] =
    [("broker", mqttspec_broker::fuzz::run, 4 << 10), ("client", mqttspec_client::fuzz::run, 64 << 10)];

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, most: usize) -> usize {
        (self.next() % most.max(1) as u64) as usize
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }

    /// A mutation of one of the seeds, or random bytes.
    fn input(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        if seeds.is_empty() || self.below(2) == 0 {
            let length = 1 + self.below(3000);
            return self.bytes(length);
        }
        let mut input = seeds[self.below(seeds.len())].clone();
        for _ in 0..=self.below(8) {
            let at = self.below(input.len() + 1);
            match self.below(4) {
                0 if at < input.len() => input[at] = self.next() as u8,
                1 => input.truncate(at),
                2 => {
                    let length = self.below(40);
                    let more = self.bytes(length);
                    input.splice(at..at, more);
                }
                _ => {
                    let other = &seeds[self.below(seeds.len())];
                    input.extend_from_slice(&other[self.below(other.len())..]);
                    input.truncate(6000);
                }
            }
        }
        input
    }
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = format!("{}/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut seeds: Vec<_> = files.filter_map(|file| fs::read(file.path()).ok()).collect();
    seeds.sort();
    seeds.retain(|seed| !seed.is_empty());
    seeds
}

fn main() {
    let numbers: Vec<u64> = args().skip(1).filter_map(|number| number.parse().ok()).collect();
    let &[steps, seed] = numbers.as_slice() else { panic!("usage: steps STEPS SEED [TARGET]") };
    let named = args().nth(3);
    for (target, run, per_byte) in TARGETS {
        if named.as_ref().is_some_and(|named| named != target) {
            continue;
        }
        let (seeds, mut random) = (seeds(target), Random(seed));
        let started = Instant::now();
        let (mut done, mut inputs, mut most, mut most_of_long) = (0, 0_u64, 0, 0);
        while done < steps {
            let input = random.input(&seeds);
            let before = MEMORY.total_allocated();
            done += run(&input);
            inputs += 1;
            let took = MEMORY.total_allocated() - before;
            assert!(
                took <= BASE + per_byte * input.len(),
                "{target}: {} bytes made it allocate {took}: {input:02x?}",
                input.len()
            );
            most = most.max(took);
            if input.len() >= 100 {
                most_of_long = most_of_long.max(took / input.len());
            }
            assert!(MEMORY.max_allocated() < AT_A_TIME, "{target}: too much at a time: {input:02x?}");
        }
        let seconds = started.elapsed().as_secs_f64();
        let row = format!(
            "| {target} | {seed} | {done} | {inputs} | {:.0} | {} KiB | {most_of_long} | {} KiB |\n",
            done as f64 / seconds,
            most >> 10,
            MEMORY.max_allocated() >> 10,
        );
        print!("{row}");
        let file = format!("{}/steps.md", env!("CARGO_MANIFEST_DIR"));
        let mut file = fs::OpenOptions::new().append(true).open(file).expect("steps.md can be written");
        file.write_all(row.as_bytes()).expect("steps.md can be written");
    }
}
