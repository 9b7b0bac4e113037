//! Which source mutant is active, and which were reached. Only in the copy that source.py makes.
#![allow(missing_docs, reason = "a copy that no person reads")]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const MOST: usize = 1 << 13;

static ACTIVE: AtomicUsize = AtomicUsize::new(usize::MAX);
static REACHED: [AtomicBool; MOST] = [const { AtomicBool::new(false) }; MOST];

/// Whether a mutant is active. Its place is reached.
#[inline]
pub fn on(mutant: usize) -> bool {
    REACHED[mutant].store(true, Ordering::Relaxed);
    ACTIVE.load(Ordering::Relaxed) == mutant
}

/// Makes a mutant active.
pub fn select(mutant: usize) {
    ACTIVE.store(mutant, Ordering::Relaxed);
}

/// The mutants whose places were reached since the last call.
pub fn take_reached() -> Vec<usize> {
    (0..MOST).filter(|mutant| REACHED[*mutant].swap(false, Ordering::Relaxed)).collect()
}
